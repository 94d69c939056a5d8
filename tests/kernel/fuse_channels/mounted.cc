#include "tests/kernel/fuse_channels/mounted.h"

#include <fcntl.h>
#include <grp.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <mutex>

#include "fuse_channels/kernel.h"

namespace zvm::fuse_channels::test {

namespace {

constexpr uid_t kOwner = 20123;

Options owned(Options options) {
  options.uid = options.gid = kOwner;
  return options;
}

// KERNEL: a process that dies closes its files one by one. One on the mount waits for an answer to
// its FLUSH, which nobody gives any more, while the device that would end the connection is still
// to be closed: the process can never end. So the device goes first when a test crashes.
std::atomic<int> device_to_close = -1;

void close_device(int) {
  if (const int fd = device_to_close.exchange(-1); fd >= 0) ::close(fd);
}

void close_device_on_crash() {
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction action {};
    action.sa_handler = close_device;
    action.sa_flags = SA_RESETHAND;  // what comes after it is the default: the crash goes on
    for (const int signal : {SIGABRT, SIGSEGV, SIGBUS}) ::sigaction(signal, &action, nullptr);
  });
}

}  // namespace

std::string why_not() {
  if (::geteuid() != 0) return "needs root: mounts FUSE";
  if (::access("/dev/fuse", R_OK | W_OK) != 0) return "needs /dev/fuse";
  UniqueFd fs(::fsopen("fuse", FSOPEN_CLOEXEC));
  if (!fs) return std::string("needs fsopen(fuse): ") + std::strerror(errno);
  return "";
}

Task<Result<int32_t>> DirectBacking::open(FdRef fuse_device, FdRef file) {
  if (refuse) {
    ++refused;
    co_return fail_errno("refused by the test", EPERM);
  }
  kernel::BackingMap map{};
  map.fd = file.fd;
  const int id = ::ioctl(fuse_device.fd, kernel::kBackingOpen, &map);
  if (id <= 0) {
    ++refused;
    co_return fail_errno("FUSE_DEV_IOC_BACKING_OPEN", errno);
  }
  ++opened;
  co_return id;
}

Task<Status> DirectBacking::close(FdRef fuse_device, int32_t backing_id) {
  if (::ioctl(fuse_device.fd, kernel::kBackingClose, &backing_id) != 0)
    co_return fail_errno("FUSE_DEV_IOC_BACKING_CLOSE", errno);
  ++closed;
  co_return Status{};
}

Mount make_mount() {
  close_device_on_crash();
  Mount mount;
  mount.device = must(::open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK), "/dev/fuse");
  device_to_close = mount.device.get();
  const UniqueFd fs = must(::fsopen("fuse", FSOPEN_CLOEXEC), "fsopen");
  const auto set = [&](const char* key, const char* value) {
    const auto command = value != nullptr ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG;
    if (::fsconfig(fs.get(), command, key, value, 0) != 0) std::perror(key), std::abort();
  };
  set("source", "zvm-test");
  set("fd", std::to_string(mount.device.get()).c_str());
  set("rootmode", "40555");
  set("user_id", "0");
  set("group_id", "0");
  set("allow_other", nullptr);
  set("default_permissions", nullptr);
  if (::fsconfig(fs.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    std::perror("FSCONFIG_CMD_CREATE");
    std::abort();
  }
  mount.root =
      must(::fsmount(fs.get(), FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV), "fsmount");
  return mount;
}

Mounted::Mounted(Mount mount, Options options, std::vector<ChannelSpec> channels, Backing* backing)
    : SessionThread(std::move(mount.device), owned(options), std::move(channels), backing),
      root_(std::move(mount.root)) {}

Mounted::Mounted(Options options, std::vector<ChannelSpec> channels, Backing* backing)
    : Mounted(make_mount(), options, std::move(channels), backing) {}

Mounted::~Mounted() = default;

int Mounted::open(const char* name, int flags) const {
  const int fd = ::openat(root_.get(), name, flags | O_CLOEXEC, 0600);
  return fd >= 0 ? fd : -errno;
}

bool Mounted::unmount() {
  root_.reset();
  return wait_for_end();
}

pid_t Mounted::start_shell(const std::string& command, int out) {
  const char* text = command.c_str();
  const pid_t pid = ::fork();
  if (pid != 0) return pid;
  // Between fork and exec of a program with threads: system calls only.
  if (::fchdir(root_.get()) != 0) ::_exit(121);
  if (out >= 0 && (::dup2(out, 1) < 0 || ::dup2(out, 2) < 0)) ::_exit(122);
  if (::setgroups(0, nullptr) != 0 || ::setresgid(kOwner, kOwner, kOwner) != 0 ||
      ::setresuid(kOwner, kOwner, kOwner) != 0) {
    ::_exit(123);
  }
  // The folder has no path; the shell wants one.
  const char* argv[] = {"sh", "-c", text, nullptr};
  const char* env[] = {"PWD=/proc/self/cwd", "PATH=/usr/bin:/bin", "LC_ALL=C", nullptr};
  ::execve("/bin/sh", const_cast<char**>(argv), const_cast<char**>(env));
  ::_exit(124);
}

ProgramEnd Mounted::shell(const std::string& command) {
  int ends_of_pipe[2];
  if (::pipe2(ends_of_pipe, O_CLOEXEC) != 0) std::abort();
  const UniqueFd in(ends_of_pipe[0]);
  UniqueFd out(ends_of_pipe[1]);
  const pid_t pid = start_shell(command, out.get());
  out.reset();
  ProgramEnd end;
  end.out = read_all(in.get());
  ::waitpid(pid, &end.status, 0);
  return end;
}

bool in_child(const std::function<bool()>& fn) {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(fn() ? 0 : 1);
  int status = -1;
  return ::waitpid(pid, &status, 0) == pid && status == 0;
}

}  // namespace zvm::fuse_channels::test
