#include "loader/launcher_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "loader/scm.h"

namespace zvm::loader {

namespace {

constexpr int kWorldDeadlineMs = 30'000;
constexpr int kLaunchDeadlineMs = 10'000;

// Between fork and exec: nothing that allocates.
[[noreturn]] void become_launcher(
    const char* loader, const char* image, int socket, pid_t broker) noexcept {
  // SECURITY: launchers and, through them, jails never outlive the broker.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != broker) ::_exit(1);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  const int nothing = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  if (nothing < 0 || ::dup2(nothing, 0) < 0 || ::dup2(nothing, 1) < 0) ::_exit(1);
  // dup2 onto itself would keep close-on-exec.
  if (socket == kLauncherSocket ? ::fcntl(socket, F_SETFD, 0) < 0
                                : ::dup2(socket, kLauncherSocket) < 0) {
    ::_exit(1);
  }
  if (::syscall(SYS_close_range, kLauncherSocket + 1, ~0u, 0) < 0) ::_exit(1);
  char* const arguments[] = {const_cast<char*>("zvm-loader"), const_cast<char*>("--launcher"),
      const_cast<char*>(image), nullptr};
  char* const environment[] = {nullptr};
  ::execve(loader, arguments, environment);
  ::_exit(127);
}

// One packet within the deadline.
Status receive_within(FdRef socket, ScmReceive* in, int deadline_ms) {
  pollfd p{socket.fd, POLLIN, 0};
  int ready;
  do {
    ready = ::poll(&p, 1, deadline_ms);
  } while (ready < 0 && errno == EINTR);
  if (ready == 0) return fail(Origin::kHost, Kind::kDisconnected, "launcher does not answer");
  if (receive_packet(socket, in, MSG_DONTWAIT) < 0) {
    return fail(Origin::kHost, Kind::kDisconnected, "launcher is gone");
  }
  return {};
}

Result<LaunchReply> read_reply(const ScmReceive& in) {
  LaunchReply reply;
  if (in.size != sizeof reply) {
    return fail(Origin::kHost, Kind::kDisconnected, "launcher speaks another language");
  }
  std::memcpy(&reply, in.packet, sizeof reply);
  reply.step[sizeof reply.step - 1] = '\0';
  return reply;
}

}  // namespace

Result<LauncherProcess> LauncherProcess::start(
    const std::string& loader, const std::string& image) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
    return fail_errno("socketpair", errno);
  UniqueFd ours(ends[0]), theirs(ends[1]);
  const pid_t broker = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) return fail_errno("fork", errno);
  if (pid == 0) become_launcher(loader.c_str(), image.c_str(), theirs.get(), broker);
  theirs.reset();
  LauncherProcess process(pid, std::move(ours));
  ScmReceive in;
  ZVM_CHECK_OK(receive_within(process.socket_, &in, kWorldDeadlineMs));
  ZVM_TRY(const LaunchReply built, read_reply(in));
  if (built.error != 0) {
    return fail_errno(std::string("building the world of jails, step ") + built.step, built.error);
  }
  return process;
}

LauncherProcess::LauncherProcess(LauncherProcess&& o) noexcept
    : pid_(std::exchange(o.pid_, -1)), socket_(std::move(o.socket_)) {}

LauncherProcess& LauncherProcess::operator=(LauncherProcess&& o) noexcept {
  std::swap(pid_, o.pid_);
  std::swap(socket_, o.socket_);
  return *this;
}

LauncherProcess::~LauncherProcess() {
  if (pid_ <= 0) return;
  socket_.reset();
  ::kill(pid_, SIGKILL);
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

Result<UniqueFd> LauncherProcess::launch(
    const LaunchRequest& request, const int* fds, size_t fd_count) {
  if (send_packet(socket_, &request, sizeof request, fds, fd_count) < 0) {
    return fail(Origin::kHost, Kind::kDisconnected, "launcher is gone");
  }
  ScmReceive in;
  ZVM_CHECK_OK(receive_within(socket_, &in, kLaunchDeadlineMs));
  ZVM_TRY(const LaunchReply reply, read_reply(in));
  if (reply.error != 0) return fail_errno("clone3", reply.error);
  if (in.fd_count != 1) return fail(Origin::kHost, Kind::kDisconnected, "launcher sent no pidfd");
  return std::move(in.fds[0]);
}

}  // namespace zvm::loader
