// The attempts of zvm doctor. Each that changes this process runs in a child of its own, which an
// alarm ends: a doctor that hangs helps nobody.
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/io_uring.h>
#include <linux/magic.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>

#include "base/sys/fd.h"
#include "cli/doctor.h"

namespace zvm::cli {

namespace {

constexpr unsigned kChildSeconds = 10;
constexpr int kInitMillis = 5000;

// Linux's include/uapi/linux/fuse.h, as far as an INIT request is read here. KERNEL: flags2 is
// there since 7.36; FUSE_PASSTHROUGH is bit 37 of both together, since 7.40 (Linux 6.9).
struct FuseInit {
  uint32_t length, opcode;
  uint64_t unique, nodeid;
  uint32_t uid, gid, pid, padding;
  uint32_t major, minor, max_readahead, flags, flags2;
};

constexpr uint32_t kFuseInitOpcode = 26;
constexpr uint32_t kInitExt = 1u << 30;
constexpr uint32_t kPassthroughInFlags2 = 1u << (37 - 32);

// What a child sends back.
struct ChildAnswer {
  int error = 0;
  int step = 0;
  unsigned major = 0, minor = 0;
  bool passthrough = false;
};

// Runs work in a child. A child that dies or hangs counts as EIO.
template <class Work>
ChildAnswer in_child(Work work) {
  ChildAnswer answer;
  answer.error = EIO;
  int pipe_fds[2];
  if (::pipe2(pipe_fds, O_CLOEXEC) != 0) return answer;
  const UniqueFd from(pipe_fds[0]);
  UniqueFd to(pipe_fds[1]);
  const pid_t pid = ::fork();
  if (pid < 0) return answer;
  if (pid == 0) {
    ::alarm(kChildSeconds);
    const ChildAnswer mine = work();
    const ssize_t n = ::write(to.get(), &mine, sizeof mine);
    ::_exit(n == static_cast<ssize_t>(sizeof mine) ? 0 : 1);
  }
  to.reset();
  ChildAnswer got;
  ssize_t n = 0;
  do n = ::read(from.get(), &got, sizeof got);
  while (n < 0 && errno == EINTR);
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  return n == static_cast<ssize_t>(sizeof got) ? got : answer;
}

int write_file(const char* path, const char* text) {
  const UniqueFd fd(::open(path, O_WRONLY | O_CLOEXEC));
  if (!fd) return errno;
  const auto size = static_cast<ssize_t>(std::strlen(text));
  return ::write(fd.get(), text, static_cast<size_t>(size)) == size ? 0 : errno;
}

// Root of a new user namespace, for a user without rights.
int become_root_inside() {
  char map[32];
  std::snprintf(map, sizeof map, "0 %u 1", static_cast<unsigned>(::getuid()));
  char gid_map[32];
  std::snprintf(gid_map, sizeof gid_map, "0 %u 1", static_cast<unsigned>(::getgid()));
  if (::unshare(CLONE_NEWUSER) != 0) return errno;
  if (const int e = write_file("/proc/self/setgroups", "deny"); e != 0 && e != ENOENT) return e;
  if (const int e = write_file("/proc/self/uid_map", map); e != 0) return e;
  return write_file("/proc/self/gid_map", gid_map);
}

int probe_io_uring() {
  io_uring_params params{};
  const UniqueFd ring(static_cast<int>(::syscall(SYS_io_uring_setup, 4, &params)));
  return ring ? 0 : errno;
}

int probe_user_namespaces() {
  return in_child([] {
    ChildAnswer a;
    if (::unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID) != 0) a.error = errno;
    return a;
  }).error;
}

int probe_mount_api() {
  const UniqueFd fd(::fsopen("tmpfs", FSOPEN_CLOEXEC));
  return fd ? 0 : errno;
}

int probe_pidfd() {
  const UniqueFd fd(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0)));
  return fd ? 0 : errno;
}

int probe_seccomp_filter() {
  // KERNEL: with a null filter a kernel that has filters says EFAULT (seccomp(2)).
  if (::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, nullptr, 0, 0) == 0) return 0;
  return errno == EFAULT ? 0 : errno;
}

int probe_seccomp_notify() {
  const uint32_t action = SECCOMP_RET_USER_NOTIF;
  return ::syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0 ? 0 : errno;
}

constexpr const char* kFuseSteps[] = {"", "opening /dev/fuse", "a user namespace",
    "a mount namespace", "mounting", "waiting for INIT", "reading INIT"};

// Mounts a file system that nobody sees and reads the kernel's first request, which says what it
// offers. The mount goes with the child.
ChildAnswer read_fuse_init() {
  ChildAnswer a;
  const auto failed = [&a](int step, int error) {
    a.step = step;
    a.error = error;
    return a;
  };
  if (::geteuid() != 0) {
    if (const int e = become_root_inside(); e != 0) return failed(2, e == ENOSPC ? EPERM : e);
  }
  // KERNEL: opened after the user namespace is made, since the mount checks that both agree.
  const UniqueFd fuse(::open("/dev/fuse", O_RDWR | O_CLOEXEC));
  if (!fuse) return failed(1, errno);
  if (::unshare(CLONE_NEWNS) != 0 ||
      ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
    return failed(3, errno);
  char options[96];
  std::snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0", fuse.get());
  if (::mount("zvm-doctor", "/tmp", "fuse", MS_NOSUID | MS_NODEV, options) != 0)
    return failed(4, errno);
  pollfd ready{fuse.get(), POLLIN, 0};
  const int n = ::poll(&ready, 1, kInitMillis);
  if (n != 1) return failed(5, n == 0 ? ETIMEDOUT : errno);
  alignas(8) static char buffer[256 * 1024];
  const ssize_t got = ::read(fuse.get(), buffer, sizeof buffer);
  if (got < 0) return failed(6, errno);
  FuseInit init{};
  std::memcpy(&init, buffer, std::min(static_cast<size_t>(got), sizeof init));
  if (init.opcode != kFuseInitOpcode) return failed(6, EPROTO);
  a.major = init.major;
  a.minor = init.minor;
  a.passthrough = (init.flags & kInitExt) != 0 && (init.flags2 & kPassthroughInFlags2) != 0;
  return a;
}

FuseProbe probe_fuse() {
  if (::access("/dev/fuse", F_OK) != 0) return {.error = ENOENT, .step = kFuseSteps[1]};
  const ChildAnswer a = in_child(read_fuse_init);
  return {a.error, kFuseSteps[a.step], a.major, a.minor, a.passthrough};
}

CgroupProbe probe_cgroup() {
  CgroupProbe p;

  struct statfs fs {};

  p.unified = ::statfs("/sys/fs/cgroup", &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC;
  std::ifstream list("/sys/fs/cgroup/cgroup.controllers");
  std::getline(list, p.controllers);
  return p;
}

UniqueFd unnamed_file(const std::string& dir) {
  return UniqueFd(::open(dir.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
}

int probe_reflink(const std::string& dir) {
  const UniqueFd from = unnamed_file(dir);
  if (!from) return errno;
  const UniqueFd to = unnamed_file(dir);
  if (!to) return errno;
  static const char block[4096] = {1};
  if (::pwrite(from.get(), block, sizeof block, 0) != static_cast<ssize_t>(sizeof block))
    return errno;
  return ::ioctl(to.get(), FICLONE, from.get()) == 0 ? 0 : errno;
}

}  // namespace

std::vector<Finding> examine(const std::vector<std::string>& dirs) {
  utsname name{};
  ::uname(&name);
  std::vector<Finding> out{judge_kernel(name.release), judge_io_uring(probe_io_uring()),
      judge_user_namespaces(probe_user_namespaces(), ::geteuid() == 0),
      judge_mount_api(probe_mount_api()), judge_pidfd(probe_pidfd()),
      judge_seccomp(probe_seccomp_filter(), probe_seccomp_notify()), judge_fuse(probe_fuse()),
      judge_cgroup(probe_cgroup())};
  for (const std::string& dir : dirs) out.push_back(judge_reflink(dir, probe_reflink(dir)));
  return out;
}

}  // namespace zvm::cli
