// zvm-loader: launcher of jails (one process per image, started by zvm-broker) and, forked from it,
// pid 1 of each jail. Static, single-threaded, no allocation after start.
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "loader/init.h"
#include "loader/launch.h"
#include "loader/scm.h"
#include "loader/world.h"

namespace zvm::loader {

namespace {

void say(int fd, const char* text) noexcept {
  if (::write(fd, text, std::strlen(text)) < 0) ::_exit(1);
}

void on_child(int) {}  // interrupts ppoll; the work is done after it

LaunchReply build_world(World* world) noexcept {
  for (size_t i = 0; i < kWorldStepCount; ++i) {
    const int r = kWorldSteps[i].run(*world);
    if (r == 0) continue;
    LaunchReply failed{-r, {}};
    std::strncpy(failed.step, kWorldSteps[i].name, sizeof failed.step - 1);
    return failed;
  }
  return {};
}

// The namespace's owner is the effective uid of its maker, and only that uid can be mapped by pid 1
// itself (steps.cc, map_identity).
int become_owner(uint32_t uid) noexcept {
  if (::setresgid(-1, uid, -1) < 0) return -errno;
  if (::setresuid(-1, uid, -1) < 0) return -errno;
  // KERNEL: a change of identity makes the process undumpable, and then /proc/self belongs to root.
  return ::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) < 0 ? -errno : 0;
}

// Returns the pidfd, or -errno. In pid 1 of the jail it does not return.
int launch(const LaunchRequest& request, const ScmReceive& in, FdRef proc) noexcept {
  if (int r = become_owner(request.uid); r < 0) return r;
  JailPlan plan{};
  plan.uid = request.uid;
  plan.policy = request.policy;
  plan.flags = request.flags;
  plan.limits = request.limits;
  plan.proc = proc.fd;
  for (size_t i = 0; i < in.fd_count; ++i) plan.fds[i] = in.fds[i].get();

  int pidfd = -1;
  clone_args args{};
  args.flags = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_PIDFD;
  args.pidfd = reinterpret_cast<uintptr_t>(&pidfd);
  args.exit_signal = SIGCHLD;
  // PERF: a fork of this small process, without an exec, is the jail's pid 1 (ADR 0003).
  const long pid = ::syscall(SYS_clone3, &args, sizeof args);
  if (pid < 0) return -errno;
  if (pid == 0) run_init(plan);
  return pidfd;
}

bool valid(const LaunchRequest& r, const ScmReceive& in) noexcept {
  const bool program = (r.flags & wire::kProgramInFd) != 0;
  return r.version == wire::kVersion && r.uid != 0 && in.fd_count == kLaunchFds + (program ? 1 : 0);
}

void serve(FdRef socket, FdRef proc) noexcept {
  static ScmReceive in;
  for (;;) {
    pollfd broker{socket.fd, POLLIN, 0};
    sigset_t none;
    ::sigemptyset(&none);
    const int ready = ::ppoll(&broker, 1, nullptr, &none);
    while (::waitpid(-1, nullptr, WNOHANG) > 0) {
    }
    if (ready <= 0) continue;
    if (receive_packet(socket, &in) < 0) return;  // the broker is gone: so must be every jail
    LaunchRequest request;
    LaunchReply reply{EBADMSG, {}};
    UniqueFd pidfd;
    if (in.size == sizeof request) {
      std::memcpy(&request, in.packet, sizeof request);
      if (valid(request, in)) {
        const int r = launch(request, in, proc);
        reply.error = r < 0 ? -r : 0;
        pidfd.reset(r < 0 ? -1 : r);
      }
    }
    in.prepare();  // closes this jail's descriptors
    const int fd = pidfd.get();
    if (send_packet(socket, &reply, sizeof reply, &fd, reply.error == 0 ? 1 : 0) < 0) return;
  }
}

int run_launcher() noexcept {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);

  struct sigaction action {};

  action.sa_handler = on_child;
  ::sigaction(SIGCHLD, &action, nullptr);
  sigset_t child;
  ::sigemptyset(&child);
  ::sigaddset(&child, SIGCHLD);
  ::sigprocmask(SIG_BLOCK, &child, nullptr);  // delivered only in ppoll; pid 1 inherits that
  ::umask(022);

  World world;
  const LaunchReply built = build_world(&world);
  const FdRef socket(kLauncherSocket);
  if (send_packet(socket, &built, sizeof built) < 0 || built.error != 0) return 1;
  serve(socket, world.proc);
  return 0;
}

}  // namespace

}  // namespace zvm::loader

int main(int argc, char** argv) {
  using namespace zvm::loader;
  const char* verb = argc == 2 ? argv[1] : "";
  if (std::strcmp(verb, "--version") == 0) {
    say(1, "zvm-loader " ZVM_VERSION "\n");
    return 0;
  }
  if (std::strcmp(verb, "--help") == 0) {
    say(1,
        "zvm-loader starts jails for zvm-broker, which runs it; it is of no use by itself.\n"
        "  zvm-loader --launcher host   serve the socket on descriptor 3\n"
        "  zvm-loader --version | --help\n");
    return 0;
  }
  if (argc == 3 && std::strcmp(argv[1], "--launcher") == 0 && std::strcmp(argv[2], "host") == 0) {
    return run_launcher();
  }
  say(2, "zvm-loader: see --help\n");
  return 2;
}
