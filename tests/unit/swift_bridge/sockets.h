// Blocking sockets on loopback for the tests beside this one. One thread plays the client and Swift
// in turn, while the bridge runs on its own. Nothing sleeps: each step waits for its bytes, and
// only a hang reaches the time-out.
#pragma once
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <string_view>

#include "base/sys/fd.h"

namespace zvm::test {

class Socket {
 public:
  Socket() = default;

  explicit Socket(UniqueFd fd) : fd_(std::move(fd)) {
    const timeval patience{60, 0};
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    const int on = 1;
    ::setsockopt(fd_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }

  static Socket connect(uint16_t port) {
    UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
    return Socket(std::move(fd));
  }

  // False: the peer has closed.
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(n));
    }
    return true;
  }

  // Up to and with the delimiter; what there was, if the peer closed before it.
  std::string read_until(std::string_view delimiter) {
    size_t at = 0;
    while ((at = buffer_.find(delimiter)) == buffer_.npos)
      if (!fill()) return std::exchange(buffer_, std::string());
    return take(at + delimiter.size());
  }

  std::string read_head() { return read_until("\r\n\r\n"); }

  std::string read_exactly(size_t size) {
    while (buffer_.size() < size)
      if (!fill()) break;
    return take(std::min(size, buffer_.size()));
  }

  // What is there, once something is; "" at the end.
  std::string read_some() {
    if (buffer_.empty()) fill();
    return std::exchange(buffer_, std::string());
  }

  std::string read_to_end() {
    while (fill()) {
    }
    return std::exchange(buffer_, std::string());
  }

  // True when the peer has closed and nothing is left; waits for it.
  bool at_end() { return buffer_.empty() && !fill(); }

  int fd() const { return fd_.get(); }

  void finish_sending() { ::shutdown(fd_.get(), SHUT_WR); }

  void close() { fd_.reset(); }

  // Closes with a reset instead of a FIN.
  void reset() {
    const linger now{1, 0};
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
    fd_.reset();
  }

 private:
  bool fill() {
    char bytes[16384];
    const ssize_t n = ::recv(fd_.get(), bytes, sizeof bytes, 0);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) ADD_FAILURE() << "nothing came";
    if (n <= 0) return false;
    buffer_.append(bytes, static_cast<size_t>(n));
    return true;
  }

  std::string take(size_t size) {
    std::string out = buffer_.substr(0, size);
    buffer_.erase(0, size);
    return out;
  }

  UniqueFd fd_;
  std::string buffer_;
};

class Listener {
 public:
  Listener() : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::bind(fd_.get(), reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
    EXPECT_EQ(::listen(fd_.get(), 64), 0);
    socklen_t length = sizeof at;
    ::getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&at), &length);
    port_ = ntohs(at.sin_port);
    const timeval patience{60, 0};
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  }

  uint16_t port() const { return port_; }

  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

  // Waits for a connection; one without a descriptor when the listener was shut down.
  Socket accept() {
    UniqueFd fd(::accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    return Socket(std::move(fd));
  }

  // As accept(), told apart.
  bool accept_into(Socket* into) {
    UniqueFd fd(::accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!fd) return false;
    *into = Socket(std::move(fd));
    return true;
  }

  // Ends a blocking accept(); from any thread.
  void shut_down() { ::shutdown(fd_.get(), SHUT_RDWR); }

 private:
  UniqueFd fd_;
  uint16_t port_ = 0;
};

}  // namespace zvm::test
