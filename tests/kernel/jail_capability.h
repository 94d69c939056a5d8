// What this machine lacks for making jails: one question, asked by every suite that makes some.
#pragma once
#include <sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

namespace zvm::testing {

// The missing capability in words for GTEST_SKIP, or "".
inline std::string missing_for_jails() {
  if (::geteuid() != 0) return "root";
  if (::access("/dev/fuse", R_OK | W_OK) != 0) return "/dev/fuse";
  const pid_t pid = ::fork();
  if (pid == 0) {
    // In the launcher's order: a chroot is left first, since no user namespace is made in one.
    const auto self = static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0));
    const bool made = ::unshare(CLONE_NEWNS | CLONE_NEWNET) == 0 &&
                      ::setns(self, CLONE_NEWNS) == 0 &&
                      ::unshare(CLONE_NEWUSER | CLONE_NEWPID) == 0;
    ::_exit(made ? 0 : 1);
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  return status == 0 ? "" : "user, pid, mount and network namespaces";
}

}  // namespace zvm::testing
