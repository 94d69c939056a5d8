// zvm-broker: see loader/broker.h. This file: command line, settings, socket, privileges.
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "base/log.h"
#include "loader/broker.h"
#include "loader/broker_privileges.h"

namespace {

using namespace zvm;
using namespace zvm::loader;

Result<passwd> find_user(const std::string& user) {
  uid_t uid = 0;
  const auto [end, ec] = std::from_chars(user.data(), user.data() + user.size(), uid);
  if (ec == std::errc() && end == user.data() + user.size()) {
    passwd numeric{};
    numeric.pw_uid = uid;
    return numeric;
  }
  const passwd* p = ::getpwnam(user.c_str());
  if (p == nullptr) return fail(Origin::kHost, Kind::kNotFound, "broker.user: no user " + user);
  return *p;
}

Result<std::string> find_loader(const std::string& configured) {
  if (!configured.empty()) return configured;
  std::error_code ec;
  const auto own = std::filesystem::read_symlink("/proc/self/exe", ec);
  for (const auto& path :
      {own.parent_path() / "zvm-loader", std::filesystem::path("/usr/libexec/zvm/zvm-loader")}) {
    if (::access(path.c_str(), X_OK) == 0) return path.string();
  }
  return fail(Origin::kHost, Kind::kNotFound, "no zvm-loader; set broker.loader");
}

// systemd's way of passing sockets: sd_listen_fds(3).
UniqueFd socket_from_systemd() {
  const char* pid = std::getenv("LISTEN_PID");
  const char* count = std::getenv("LISTEN_FDS");
  if (pid == nullptr || count == nullptr || std::to_string(::getpid()) != pid ||
      std::string_view(count) != "1") {
    return UniqueFd();
  }
  UniqueFd fd(3);
  ::fcntl(fd.get(), F_SETFD, FD_CLOEXEC);
  ::fcntl(fd.get(), F_SETFL, O_NONBLOCK);
  return fd;
}

Result<UniqueFd> listen_at(const std::string& path, uid_t peer) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return fail(Origin::kHost, Kind::kInvalid, "broker.socket is too long");
  path.copy(address.sun_path, path.size());
  UniqueFd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return fail_errno("socket", errno);
  ::unlink(path.c_str());
  const mode_t old = ::umask(0177);
  const int bound = ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  const int bind_errno = errno;
  ::umask(old);
  if (bound < 0) return fail_errno("binding " + path, bind_errno);
  if (::chown(path.c_str(), peer, static_cast<gid_t>(-1)) < 0)
    return fail_errno("chown " + path, errno);
  if (::listen(fd.get(), 16) < 0) return fail_errno("listen", errno);
  return fd;
}

Result<UniqueFd> end_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGTERM);
  ::sigaddset(&set, SIGINT);
  if (::sigprocmask(SIG_BLOCK, &set, nullptr) < 0) return fail_errno("sigprocmask", errno);
  UniqueFd fd(::signalfd(-1, &set, SFD_CLOEXEC));
  if (!fd) return fail_errno("signalfd", errno);
  return fd;
}

// Two descriptors per jail, and jails may ask for many: their limit cannot be above ours.
void raise_descriptor_limit() {
  rlimit wanted{1u << 17, 1u << 17};
  if (::setrlimit(RLIMIT_NOFILE, &wanted) == 0) return;
  if (::getrlimit(RLIMIT_NOFILE, &wanted) < 0) return;
  wanted.rlim_cur = wanted.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &wanted);
}

Status run(const BrokerConfig& config) {
  BrokerOptions options;
  options.config = config;
  ZVM_TRY(options.loader, find_loader(config.loader));
  ZVM_TRY(const passwd user, find_user(config.user));
  options.peer = user.pw_uid;
  UniqueFd listener = socket_from_systemd();
  if (!listener) {
    ZVM_TRY(listener, listen_at(config.socket, options.peer));
  }
  ZVM_TRY(auto stop, end_signals());
  raise_descriptor_limit();
  ZVM_CHECK_OK(keep_few_capabilities());
  log(Level::kInfo, "ready",
      {{"SOCKET", config.socket}, {"PEER_UID", std::to_string(options.peer)},
          {"LOADER", options.loader}});
  return run_broker(std::move(options), std::move(listener), std::move(stop));
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("zvm-broker: makes jails and FUSE mounts for zvm-hostd");
  std::string path = "/etc/zvm/host.toml";
  bool check_only = false, print = false;
  app.add_option("--config", path, "configuration file; its table [broker] is read")
      ->capture_default_str();
  app.add_flag("--check-config", check_only, "check the configuration and exit");
  app.add_flag("--print-config", print,
      "print the configuration in force and exit; defaults without a file");
  app.set_version_flag("--version", "zvm-broker " ZVM_VERSION);
  CLI11_PARSE(app, argc, argv);
  log_setup("zvm-broker", Level::kInfo);

  const bool defaults = print && app.count("--config") == 0;
  auto config = defaults ? Result<BrokerConfig>(BrokerConfig{}) : load_broker_config(path);
  if (!config) {
    log_error("cannot use the configuration", config.error());
    return 1;
  }
  if (print) std::fputs(print_broker_config(*config).c_str(), stdout);
  if (print || check_only) return 0;
  if (auto ok = run(*config); !ok) {
    log_error("cannot go on", ok.error());
    return 1;
  }
  return 0;
}
