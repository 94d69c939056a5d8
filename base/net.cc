#include "base/net.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <charconv>
#include <cstring>

namespace zvm {

namespace {

constexpr std::string_view kUnixPrefix = "unix:";

auto bad_address(std::string_view text) {
  return fail(Origin::kHost, Kind::kInvalid,
      "address \"" + std::string(text) + "\" is not ip:port, [ip6]:port or unix:/path");
}

bool parse_port(std::string_view text, in_port_t* port) {
  uint16_t value = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
  *port = htons(value);
  return ec == std::errc() && end == text.data() + text.size();
}

Error while_naming(const Address& address, std::string_view call, int sys_errno) {
  return errno_error(std::string(call) + " " + address.text, sys_errno);
}

UniqueFd make_socket(const Address& address) {
  UniqueFd fd(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (fd && address.storage.ss_family != AF_UNIX) {
    // Set on a listening socket too: what it accepts inherits it.
    const int on = 1;
    ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  return fd;
}

const sockaddr* raw(const Address& address) {
  return reinterpret_cast<const sockaddr*>(&address.storage);
}

const char* unix_path(const Address& address) {
  return reinterpret_cast<const sockaddr_un&>(address.storage).sun_path;
}

// True when the path was a socket that nobody listens on, and is gone now.
bool remove_stale(const Address& address) {
  struct stat st {};

  if (::lstat(unix_path(address), &st) != 0 || !S_ISSOCK(st.st_mode)) return false;
  const UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!probe) return false;
  if (::connect(probe.get(), raw(address), address.length) == 0 || errno != ECONNREFUSED)
    return false;
  return ::unlink(unix_path(address)) == 0;
}

std::string numeric_text(const sockaddr_storage& storage) {
  char ip[INET6_ADDRSTRLEN] = "";
  if (storage.ss_family == AF_INET) {
    const auto& in = reinterpret_cast<const sockaddr_in&>(storage);
    ::inet_ntop(AF_INET, &in.sin_addr, ip, sizeof ip);
    return std::string(ip) + ":" + std::to_string(ntohs(in.sin_port));
  }
  if (storage.ss_family == AF_INET6) {
    const auto& in6 = reinterpret_cast<const sockaddr_in6&>(storage);
    ::inet_ntop(AF_INET6, &in6.sin6_addr, ip, sizeof ip);
    return "[" + std::string(ip) + "]:" + std::to_string(ntohs(in6.sin6_port));
  }
  return storage.ss_family == AF_UNIX ? "unix" : "?";
}

}  // namespace

Result<Address> parse_address(std::string_view text) {
  Address address;
  address.text = std::string(text);
  if (text.substr(0, kUnixPrefix.size()) == kUnixPrefix) {
    const std::string_view path = text.substr(kUnixPrefix.size());
    auto& un = reinterpret_cast<sockaddr_un&>(address.storage);
    if (path.empty() || path[0] != '/' || path.find('\0') != path.npos) return bad_address(text);
    if (path.size() >= sizeof un.sun_path)
      return fail(Origin::kHost, Kind::kInvalid,
          "address \"" + address.text + "\" is longer than a Unix socket's path may be");
    un.sun_family = AF_UNIX;
    std::memcpy(un.sun_path, path.data(), path.size());
    address.length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
    return address;
  }
  const size_t colon = text.rfind(':');
  in_port_t port = 0;
  if (colon == text.npos || !parse_port(text.substr(colon + 1), &port)) return bad_address(text);
  std::string host(text.substr(0, colon));
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
    auto& in6 = reinterpret_cast<sockaddr_in6&>(address.storage);
    if (::inet_pton(AF_INET6, host.c_str(), &in6.sin6_addr) != 1) return bad_address(text);
    in6.sin6_family = AF_INET6;
    in6.sin6_port = port;
    address.length = sizeof in6;
    return address;
  }
  auto& in = reinterpret_cast<sockaddr_in&>(address.storage);
  if (::inet_pton(AF_INET, host.c_str(), &in.sin_addr) != 1) return bad_address(text);
  in.sin_family = AF_INET;
  in.sin_port = port;
  address.length = sizeof in;
  return address;
}

Result<UniqueFd> listen_on(const Address& address, int backlog, mode_t mode) {
  UniqueFd fd = make_socket(address);
  if (!fd) return tl::unexpected(while_naming(address, "socket", errno));
  const bool is_unix = address.storage.ss_family == AF_UNIX;
  if (is_unix) {
    // SECURITY: bind() makes the file with the socket's own mode less the umask: set before, so
    // that the file is at no moment open to more than `mode` says.
    if (::fchmod(fd.get(), mode) != 0)
      return tl::unexpected(while_naming(address, "fchmod", errno));
  } else {
    const int on = 1;
    ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  }
  int rc = ::bind(fd.get(), raw(address), address.length);
  if (rc != 0 && errno == EADDRINUSE && is_unix) {
    if (!remove_stale(address))
      errno = EADDRINUSE;
    else
      rc = ::bind(fd.get(), raw(address), address.length);
  }
  if (rc != 0) return tl::unexpected(while_naming(address, "bind", errno));
  if (is_unix && ::chmod(unix_path(address), mode) != 0)
    return tl::unexpected(while_naming(address, "chmod", errno));
  if (::listen(fd.get(), backlog) != 0)
    return tl::unexpected(while_naming(address, "listen", errno));
  return fd;
}

Task<Result<UniqueFd>> connect_to(Loop& loop, Address address, Deadline deadline, Stop* stop) {
  UniqueFd fd = make_socket(address);
  if (!fd) co_return tl::unexpected(while_naming(address, "socket", errno));
  for (;;) {
    const FdRef socket = fd;
    const int rc = co_await loop.connect(socket, raw(address), address.length, deadline, stop);
    if (rc == 0) co_return std::move(fd);
    if (rc == -EINTR) continue;
    Error error = while_naming(address, "connecting to", -rc);
    const bool ours = error.kind() == Kind::kTimeout || error.kind() == Kind::kCancelled ||
                      error.kind() == Kind::kDenied || error.kind() == Kind::kOverloaded;
    if (!ours) error = Error(Origin::kHost, Kind::kDisconnected, error.what(), -rc);
    co_return tl::unexpected(std::move(error));
  }
}

std::string peer_text(FdRef socket) {
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;
  if (::getpeername(socket.fd, reinterpret_cast<sockaddr*>(&storage), &length) != 0) return "?";
  return numeric_text(storage);
}

std::string local_text(FdRef socket) {
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;
  if (::getsockname(socket.fd, reinterpret_cast<sockaddr*>(&storage), &length) != 0) return "?";
  return numeric_text(storage);
}

}  // namespace zvm
