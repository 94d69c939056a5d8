#include "loader/steps.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/sys/fd.h"
#include "loader/args.h"
#include "loader/policies/compute.h"
#include "loader/policies/image.h"

namespace zvm::loader {

namespace {

int result(long r) noexcept {
  return r < 0 ? -errno : 0;
}

// The args of the one program that this process will ever start.
ArgsView args;

int write_proc(int proc, const char* path, const char* text, size_t size) noexcept {
  const UniqueFd file(::openat(proc, path, O_WRONLY | O_CLOEXEC));
  if (!file) return -errno;
  // KERNEL: a map is written by exactly one write().
  const ssize_t n = ::write(file.get(), text, size);
  if (n < 0) return -errno;
  return static_cast<size_t>(n) == size ? 0 : -EIO;
}

constexpr const char* kDevices[] = {
    "/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"};
static_assert(sizeof kDevices / sizeof *kDevices == sizeof JailPlan::devices / sizeof(int));
constexpr size_t kDeviceCount = sizeof kDevices / sizeof *kDevices;

// Appends a number; stdio would double what each jail's fork has to copy.
char* put_number(char* at, uint32_t n) noexcept {
  char digits[10];
  size_t count = 0;
  do {
    digits[count++] = static_cast<char>('0' + n % 10);
    n /= 10;
  } while (n != 0);
  while (count > 0) *at++ = digits[--count];
  *at++ = ' ';
  return at;
}

}  // namespace

Failure run_steps(JailPlan& plan, Where where) noexcept {
  for (size_t i = 0; i < kStepCount; ++i) {
    if (kSteps[i].where != where) continue;
    if (const int r = kSteps[i].run(plan); r < 0) return {static_cast<uint16_t>(i), -r};
  }
  return {};
}

namespace steps {

// KERNEL: a process may map one id by itself if that is its effective id and the namespace's owner
// (user_namespaces(7)); the launcher took the jail's uid as its effective one before the clone. So
// nobody has to wait for anybody to write the maps.
int map_identity(JailPlan& plan) noexcept {
  char map[64];
  const auto size =
      static_cast<size_t>(put_number(put_number(put_number(map, kJailUid), plan.uid), 1) - map);
  if (int r = write_proc(plan.proc, "self/setgroups", "deny", 4); r < 0) return r;
  if (int r = write_proc(plan.proc, "self/gid_map", map, size); r < 0) return r;
  return write_proc(plan.proc, "self/uid_map", map, size);
}

int take_identity(JailPlan&) noexcept {
  if (int r = result(::setresgid(kJailUid, kJailUid, kJailUid)); r < 0) return r;
  // KERNEL: no uid of this namespace is 0, so this does not clear the capabilities.
  return result(::setresuid(kJailUid, kJailUid, kJailUid));
}

int mount_channels(JailPlan& plan) noexcept {
  // The nodes lie in the launcher's /dev, which the next mount covers.
  for (size_t i = 0; i < kDeviceCount; ++i) {
    plan.devices[i] = ::open_tree(
        AT_FDCWD, kDevices[i], OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW);
    if (plan.devices[i] < 0) return -errno;
  }
  return result(::move_mount(plan.fds[kFdMount], "", AT_FDCWD, "/dev", MOVE_MOUNT_F_EMPTY_PATH));
}

int mount_devices(JailPlan& plan) noexcept {
  for (size_t i = 0; i < kDeviceCount; ++i) {
    // SECURITY: without MOVE_MOUNT_T_SYMLINKS a symbolic link that hostd serves is not followed.
    if (::move_mount(plan.devices[i], "", AT_FDCWD, kDevices[i], MOVE_MOUNT_F_EMPTY_PATH) < 0) {
      return -errno;
    }
  }
  return 0;
}

int mount_tmp(JailPlan& plan) noexcept {
  return result(::move_mount(plan.fds[kFdTmp], "", AT_FDCWD, "/tmp", MOVE_MOUNT_F_EMPTY_PATH));
}

int forbid_gains(JailPlan&) noexcept {
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return -errno;
  constexpr unsigned long kBits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
                                  SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
                                  SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
  return result(::prctl(PR_SET_SECUREBITS, kBits, 0, 0, 0));
}

int drop_capabilities(JailPlan&) noexcept {
  for (unsigned long cap = 0; cap < 64; ++cap) {
    if (::prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0) continue;
    if (errno != EINVAL) return -errno;
    break;  // beyond the last one that this kernel knows
  }
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  const __user_cap_data_struct none[2]{};
  return result(::syscall(SYS_capset, &header, none));  // empties the ambient set too
}

int hide_from_debuggers(JailPlan&) noexcept {
  return result(::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0));
}

// KERNEL: reaches pid 1 of a pid namespace too, because the launcher is in an ancestor of it. The
// launcher's death before this step is seen by hostd, which then lets go of the leash.
int die_with_launcher(JailPlan&) noexcept {
  return result(::prctl(PR_SET_PDEATHSIG, SIGKILL));
}

int close_inherited_fds(JailPlan& plan) noexcept {
  int keep[] = {plan.fds[kFdArgs], plan.fds[kFdStatus], plan.fds[kFdLeash],
      (plan.flags & wire::kProgramInFd) ? plan.fds[kFdProgram] : plan.fds[kFdArgs]};
  // Four numbers: sorted by insertion.
  for (size_t i = 1; i < 4; ++i) {
    for (size_t j = i; j > 0 && keep[j - 1] > keep[j]; --j) std::swap(keep[j - 1], keep[j]);
  }
  unsigned from = 0;
  for (const int fd : keep) {
    const auto number = static_cast<unsigned>(fd);
    if (number > from && ::syscall(SYS_close_range, from, number - 1, 0) < 0) return -errno;
    from = number + 1;
  }
  return result(::syscall(SYS_close_range, from, ~0u, 0));
}

int read_args(JailPlan& plan) noexcept {
  struct stat st;
  if (::fstat(plan.fds[kFdArgs], &st) < 0) return -errno;
  if (st.st_size <= 0 || st.st_size > static_cast<off_t>(wire::kMaxArgsBytes)) return -E2BIG;
  const auto size = static_cast<size_t>(st.st_size);
  // SECURITY: a copy of our own, which nobody outside can change while it is parsed.
  void* blob = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (blob == MAP_FAILED) return -errno;
  const ssize_t n = ::pread(plan.fds[kFdArgs], blob, size, 0);
  if (n < 0) return -errno;
  if (static_cast<size_t>(n) != size) return -EINVAL;
  return parse_args(static_cast<char*>(blob), size, &args) ? 0 : -EINVAL;
}

int start_session(JailPlan&) noexcept {
  if (::setsid() < 0) return -errno;
  sigset_t none;
  ::sigemptyset(&none);  // pid 1 waits with SIGCHLD blocked
  return result(::sigprocmask(SIG_SETMASK, &none, nullptr));
}

int open_stdio(JailPlan& plan) noexcept {
  const char* in = (plan.flags & wire::kStdinIsChannel) ? "/dev/stdin" : "/dev/null";
  if (const int fd = ::open(in, O_RDONLY | O_NOCTTY); fd != 0) return fd < 0 ? -errno : -EBADF;
  // Append: children of the program that share a name with it then never overwrite each other.
  const char* const outputs[] = {"/dev/stdout", "/dev/stderr"};
  for (int i = 0; i < 2; ++i) {
    const int fd = ::open(outputs[i], O_WRONLY | O_APPEND | O_NOCTTY);
    if (fd != i + 1) return fd < 0 ? -errno : -EBADF;
  }
  return 0;
}

int keep_stdio_only(JailPlan& plan) noexcept {
  // The program's own descriptor is close-on-exec: execute() needs it, the program does not get it.
  if (!(plan.flags & wire::kProgramInFd)) return result(::syscall(SYS_close_range, 3, ~0u, 0));
  const auto program = static_cast<unsigned>(plan.fds[kFdProgram]);
  if (program > 3 && ::syscall(SYS_close_range, 3, program - 1, 0) < 0) return -errno;
  return result(::syscall(SYS_close_range, program + 1, ~0u, 0));
}

int set_limits(JailPlan& plan) noexcept {
  const wire::Limits& l = plan.limits;

  const struct {
    int resource;
    rlim_t soft, hard;
  } limits[] = {
      {plan.policy == wire::Policy::kCompute ? RLIMIT_AS : RLIMIT_DATA, l.memory, l.memory},
      {RLIMIT_STACK, l.stack, l.stack},
      // A second more, so that the program sees SIGXCPU and hostd can tell it from a kill.
      {RLIMIT_CPU, l.cpu_seconds, rlim_t{l.cpu_seconds} + 1},
      {RLIMIT_NOFILE, l.open_files, l.open_files},
      {RLIMIT_NPROC, rlim_t{l.processes} + 1, rlim_t{l.processes} + 1},  // pid 1 has the same uid
      {RLIMIT_CORE, 0, 0},
      {RLIMIT_MEMLOCK, 0, 0},
      {RLIMIT_MSGQUEUE, 0, 0},
      {RLIMIT_SIGPENDING, 256, 256},
      {RLIMIT_NICE, 0, 0},
      {RLIMIT_RTPRIO, 0, 0},
      // Outputs are bounded by their channels and /tmp by its size; this bounds a private copy of
      // an object, whose writes the kernel carries out without asking hostd.
      {RLIMIT_FSIZE, l.file_bytes, l.file_bytes},
  };

  for (const auto& limit : limits) {
    const auto resource = static_cast<__rlimit_resource_t>(limit.resource);
    rlimit value{limit.soft, limit.hard};
    if (::setrlimit(resource, &value) == 0) continue;
    if (errno != EPERM) return -errno;
    // The broker itself was given less: then so is the jail.
    rlimit own;
    if (::getrlimit(resource, &own) < 0) return -errno;
    value.rlim_max = std::min(value.rlim_max, own.rlim_max);
    value.rlim_cur = std::min(value.rlim_cur, value.rlim_max);
    if (::setrlimit(resource, &value) < 0) return -errno;
  }
  return 0;
}

int install_seccomp(JailPlan& plan) noexcept {
  const bool compute = plan.policy == wire::Policy::kCompute;
  sock_fprog program{};
  // The kernel only reads the instructions.
  program.filter = const_cast<sock_filter*>(compute ? kComputeFilter : kImageFilter);
  program.len = static_cast<unsigned short>(compute ? sizeof kComputeFilter / sizeof *kComputeFilter
                                                    : sizeof kImageFilter / sizeof *kImageFilter);
  return result(::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program));
}

// Returns only when the program could not be started. The filter is in force already: it allows
// execveat of a descriptor under every policy, execve under `image`, open and exit_group.
int execute(JailPlan& plan) noexcept {
  if (plan.flags & wire::kProgramInFd) {
    ::syscall(SYS_execveat, plan.fds[kFdProgram], "", args.argv, args.envp, AT_EMPTY_PATH);
    return -errno;
  }
  if (plan.policy == wire::Policy::kImage) {
    ::execve(args.path, args.argv, args.envp);
    return -errno;
  }
  const int program = ::open(args.path, O_RDONLY | O_CLOEXEC);
  if (program < 0) return -errno;
  ::syscall(SYS_execveat, program, "", args.argv, args.envp, AT_EMPTY_PATH);
  return -errno;
}

}  // namespace steps

}  // namespace zvm::loader
