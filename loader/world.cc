#include "loader/world.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "loader/copy_tree.h"

namespace zvm::loader::world {

namespace {

int result(long r) noexcept {
  return r < 0 ? -errno : 0;
}

constexpr const char* kDeviceNames[] = {"null", "zero", "full", "random", "urandom"};

int restrict_mount(int tree, uint64_t attributes) noexcept {
  mount_attr a{};
  a.attr_set = attributes;
  a.propagation = MS_PRIVATE;
  return result(::mount_setattr(tree, "", AT_EMPTY_PATH, &a, sizeof a));
}

// A detached mount of one folder or file of the host, without what is mounted below it.
int clone_path(const char* path, uint64_t attributes, UniqueFd* into) noexcept {
  into->reset(
      ::open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW));
  if (!*into) return -errno;
  return restrict_mount(into->get(), attributes);
}

struct Setting {
  const char* key;
  const char* value;
};

template <size_t N>
int make_mount(
    const char* type, const Setting (&settings)[N], uint64_t attributes, UniqueFd* into) noexcept {
  const UniqueFd fs(::fsopen(type, FSOPEN_CLOEXEC));
  if (!fs) return -errno;
  for (const auto& s : settings) {
    if (::fsconfig(fs.get(), FSCONFIG_SET_STRING, s.key, s.value, 0) < 0) return -errno;
  }
  if (::fsconfig(fs.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) < 0) return -errno;
  into->reset(::fsmount(fs.get(), FSMOUNT_CLOEXEC, static_cast<unsigned>(attributes)));
  return result(into->get());
}

int attach(const UniqueFd& tree, int folder, const char* path) noexcept {
  return result(::move_mount(tree.get(), "", folder, path, MOVE_MOUNT_F_EMPTY_PATH));
}

// Goes to the root of the mount namespace.
// KERNEL: user_namespaces(7): a process whose root is not its mount namespace's makes none, so a
// launcher that stayed in a chroot could start no jail. Joining one's own namespace is the way out.
int leave_chroot() noexcept {
  const UniqueFd self(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0)));
  if (!self) return -errno;
  return result(::setns(self.get(), CLONE_NEWNS));
}

int write_file(int folder, const char* path, const char* text) noexcept {
  const UniqueFd file(::openat(folder, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (!file) return -errno;
  const size_t size = std::strlen(text);
  const ssize_t n = ::write(file.get(), text, size);
  if (n < 0) return -errno;
  return static_cast<size_t>(n) == size ? 0 : -EIO;
}

}  // namespace

int enter_namespaces(World&) noexcept {
  if (::unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) < 0) return -errno;
  const UniqueFd own(::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!own) return -errno;
  // Everything becomes private, also where the broker runs in a chroot that is no mount point.
  if (int r = leave_chroot(); r < 0) return r;
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) < 0) return -errno;
  // The paths of the steps below are the broker's.
  if (::fchdir(own.get()) < 0) return -errno;
  return result(::chroot("."));
}

int name_host(World&) noexcept {
  if (::sethostname("zvm", 3) < 0) return -errno;
  return result(::setdomainname("", 0));
}

int clone_host_trees(World& w) noexcept {
  if (int r = clone_path("/usr", MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, &w.usr);
      r < 0) {
    return r;
  }
  for (size_t i = 0; i < 5; ++i) {
    char path[32] = "/dev/";
    std::strcat(path, kDeviceNames[i]);
    // Writable: /dev/null is written to. Devices are the point, so not nodev.
    if (int r = clone_path(path, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, &w.devices[i]); r < 0)
      return r;
  }
  w.old_etc.reset(::open("/etc", O_PATH | O_DIRECTORY | O_CLOEXEC));
  return result(w.old_etc.get());
}

// Never attached and closed before the program's process exists: a jail has no /proc.
int make_proc(World& w) noexcept {
  const Setting settings[] = {{"subset", "pid"}};
  return make_mount(
      "proc", settings, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, &w.proc);
}

int make_root(World& w) noexcept {
  const Setting settings[] = {{"size", "32m"}, {"nr_inodes", "8192"}, {"mode", "0755"}};
  if (int r = make_mount("tmpfs", settings, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, &w.root); r < 0)
    return r;
  // Any folder that is sure to exist will do: enter_root() makes it the root.
  if (int r = attach(w.root, AT_FDCWD, "/usr"); r < 0) return r;
  for (const char* folder : {"usr", "etc", "dev", "tmp"}) {
    if (::mkdirat(w.root.get(), folder, 0755) < 0) return -errno;
  }
  return result(::symlinkat("dev/script", w.root.get(), "script"));
}

int mount_trees(World& w) noexcept {
  if (int r = attach(w.usr, w.root.get(), "usr"); r < 0) return r;
  for (size_t i = 0; i < 5; ++i) {
    char path[32] = "dev/";
    std::strcat(path, kDeviceNames[i]);
    if (int r = write_file(w.root.get(), path, ""); r < 0) return r;
    if (int r = attach(w.devices[i], w.root.get(), path); r < 0) return r;
  }
  return 0;
}

int link_system_folders(World& w) noexcept {
  for (const char* path : {"/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"}) {
    struct stat st;
    if (::lstat(path, &st) < 0) continue;
    if (S_ISLNK(st.st_mode)) {
      char target[256];
      const ssize_t n = ::readlink(path, target, sizeof target - 1);
      if (n <= 0) return -EIO;
      target[n] = '\0';
      if (::symlinkat(target, w.root.get(), path + 1) < 0) return -errno;
      continue;
    }
    if (!S_ISDIR(st.st_mode)) continue;
    UniqueFd tree;
    if (int r = clone_path(path, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, &tree);
        r < 0) {
      return r;
    }
    if (::mkdirat(w.root.get(), path + 1, 0755) < 0) return -errno;
    if (int r = attach(tree, w.root.get(), path + 1); r < 0) return r;
  }
  return 0;
}

// Copies, not mounts: every mount here is copied into every jail's namespace. What changes on the
// host later is seen by the next launcher.
int fill_etc(World& w) noexcept {
  const UniqueFd etc(::openat(w.root.get(), "etc", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!etc) return -errno;
  // SECURITY: a list of what is let in. Only what everybody may read is copied (copy_tree.h).
  static constexpr const char* kWanted[] = {"ld.so.cache", "ld.so.conf", "ld.so.conf.d",
      "alternatives", "localtime", "timezone", "python3", "python3.*", "perl", "mime.types",
      "os-release", "debian_version"};
  CopyBudget budget{4096, 24u << 20};
  if (int r = copy_matching(w.old_etc, etc, kWanted, sizeof kWanted / sizeof *kWanted, &budget);
      r < 0) {
    return r;
  }
  const Setting files[] = {
      {"passwd",
          "root:x:0:0:root:/:/usr/sbin/nologin\n"
          "job:x:1000:1000:job:/tmp:/bin/sh\n"
          "nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n"},
      {"group", "root:x:0:\njob:x:1000:\nnogroup:x:65534:\n"},
      {"nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n"},
      {"hosts", "127.0.0.1 localhost\n"},
      {"hostname", "zvm\n"},
  };
  for (const auto& f : files) {
    if (int r = write_file(etc.get(), f.key, f.value); r < 0) return r;
  }
  return 0;
}

int seal_root(World& w) noexcept {
  return restrict_mount(w.root.get(), MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
}

int enter_root(World& w) noexcept {
  if (int r = leave_chroot(); r < 0) return r;
  if (::fchdir(w.root.get()) < 0) return -errno;
  // KERNEL: pivot_root(2): "." twice stacks the old root on the new one, from where it is dropped.
  if (::syscall(SYS_pivot_root, ".", ".") < 0) return -errno;
  if (::umount2(".", MNT_DETACH) < 0) return -errno;
  if (::chdir("/") < 0) return -errno;
  w.root.reset();
  w.old_etc.reset();
  w.usr.reset();
  for (auto& d : w.devices) d.reset();
  return 0;
}

// What is left: CAP_SETUID and CAP_SETGID, to take the uid of each jail as effective one before its
// clone. Making a user namespace needs no capability, and inside it pid 1 has its own.
int drop_privileges(World&) noexcept {
  if (::setgroups(0, nullptr) < 0) return -errno;
  // KERNEL: without this bit a change of the effective uid from 0 would drop the capabilities.
  if (::prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED, 0, 0, 0) <
      0)
    return -errno;
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return -errno;
  for (unsigned long cap = 0; cap < 64; ++cap) {
    if (::prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0) continue;
    if (errno != EINVAL) return -errno;
    break;
  }
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct kept[2]{};
  kept[0].permitted = kept[0].effective = (1u << CAP_SETUID) | (1u << CAP_SETGID);
  return result(::syscall(SYS_capset, &header, kept));
}

}  // namespace zvm::loader::world
