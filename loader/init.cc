#include "loader/init.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

namespace zvm::loader {

namespace {

struct Birth {
  JailPlan* plan;
  Failure failure;  // written by pid 2, in the memory that both share until the exec
};

int become_program(void* argument) noexcept {
  auto* birth = static_cast<Birth*>(argument);
  birth->failure = run_steps(*birth->plan, Where::kProgram);
  ::_exit(127);  // only a failure comes here
}

void report(const JailPlan& plan, const wire::Report& r) noexcept {
  // One write below PIPE_BUF is whole or nothing. hostd may be gone: then so is the leash.
  if (::write(plan.fds[kFdStatus], &r, sizeof r) < 0) ::_exit(2);
}

[[noreturn]] void end_not_started(const JailPlan& plan, Failure failure) noexcept {
  wire::Report r{};
  r.version = wire::kVersion;
  r.end = wire::End::kNotStarted;
  r.step = failure.step;
  r.detail = failure.error;
  report(plan, r);
  ::_exit(1);
}

uint64_t microseconds(const timeval& t) noexcept {
  return static_cast<uint64_t>(t.tv_sec) * 1000000 + static_cast<uint64_t>(t.tv_usec);
}

// Waits until a child has changed state; leaves the jail when the leash is cut.
void wait_for_change(const JailPlan& plan) noexcept {
  pollfd leash{plan.fds[kFdLeash], POLLIN, 0};
  sigset_t none;
  ::sigemptyset(&none);
  // Any event on the leash ends the jail: hostd never writes to it.
  if (::ppoll(&leash, 1, nullptr, &none) > 0) ::_exit(3);
}

// Reaps until nobody is left. What still runs when the program has ended is killed first: a report
// means that nothing writes to a channel any more, and that every processor second is counted.
int reap_all(const JailPlan& plan, pid_t program) noexcept {
  int program_status = 0;
  for (;;) {
    int status = 0;
    const pid_t pid = ::waitpid(-1, &status, WNOHANG | __WALL);
    if (pid == program) {
      program_status = status;
      ::kill(-1, SIGKILL);
    } else if (pid == 0) {
      wait_for_change(plan);
    } else if (pid < 0 && errno == ECHILD) {
      return program_status;
    }
  }
}

}  // namespace

void run_init(JailPlan& plan) noexcept {
  if (const Failure f = run_steps(plan, Where::kInit); f.error != 0) end_not_started(plan, f);

  // PERF: VFORK|VM copies no page table (bench jail_start); the child has a stack of its own.
  alignas(16) static char stack[64 * 1024];
  Birth birth{&plan, {}};
  const pid_t program =
      ::clone(become_program, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, &birth);
  if (program < 0) end_not_started(plan, {static_cast<uint16_t>(kStepCount - 1), errno});
  if (birth.failure.error != 0) end_not_started(plan, birth.failure);

  const int status = reap_all(plan, program);
  wire::Report r{};
  r.version = wire::kVersion;
  r.end = WIFSIGNALED(status) ? wire::End::kSignalled : wire::End::kExited;
  r.detail = WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
  r.core = WIFSIGNALED(status) && WCOREDUMP(status) ? 1 : 0;
  rusage used{};
  ::getrusage(RUSAGE_CHILDREN, &used);
  r.user_us = microseconds(used.ru_utime);
  r.system_us = microseconds(used.ru_stime);
  r.max_rss_kib = static_cast<uint64_t>(used.ru_maxrss);
  report(plan, r);
  ::_exit(0);
}

}  // namespace zvm::loader
