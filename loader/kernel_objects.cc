#include "loader/kernel_objects.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>

#include "loader/fuse_passthrough.h"

namespace zvm::loader {

namespace {

constexpr unsigned kNothingSpecial = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;

// A file system that is being configured. The first failure sticks.
class NewFs {
 public:
  explicit NewFs(const char* type) : fs_(::fsopen(type, FSOPEN_CLOEXEC)) {
    if (!fs_) failed(std::string("fsopen ") + type);
  }

  void set(const char* key, const std::string& value) {
    if (ok() && ::fsconfig(fs_.get(), FSCONFIG_SET_STRING, key, value.c_str(), 0) < 0) failed(key);
  }

  void flag(const char* key) {
    if (ok() && ::fsconfig(fs_.get(), FSCONFIG_SET_FLAG, key, nullptr, 0) < 0) failed(key);
  }

  Result<UniqueFd> mount(unsigned attributes) {
    if (ok() && ::fsconfig(fs_.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) < 0)
      failed("create");
    UniqueFd mount;
    if (ok()) {
      mount.reset(::fsmount(fs_.get(), FSMOUNT_CLOEXEC, attributes));
      if (!mount) failed("fsmount");
    }
    if (!ok()) return fail_errno(where_, error_);
    return mount;
  }

 private:
  bool ok() const { return error_ == 0; }

  void failed(std::string where) {
    error_ = errno;
    where_ = std::move(where);
  }

  UniqueFd fs_;
  int error_ = 0;
  std::string where_;
};

Status invalid(std::string what) {
  return fail(Origin::kHost, Kind::kInvalid, std::move(what));
}

Status check_memfd(FdRef fd, const char* name, uint64_t max_bytes, int wanted_seals) {
  // Only memfds and tmpfs files have seals to ask for.
  const int seals = ::fcntl(fd.fd, F_GET_SEALS);
  const bool unwritable = (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) != 0;
  if (seals < 0 || (seals & wanted_seals) != wanted_seals || (wanted_seals != 0 && !unwritable)) {
    return invalid(std::string(name) + " is no memfd with the seals that it needs");
  }
  struct stat st;
  if (::fstat(fd.fd, &st) < 0) return fail_errno("fstat", errno);
  if (st.st_size <= 0 || static_cast<uint64_t>(st.st_size) > max_bytes) {
    return invalid(std::string(name) + " has a size out of range");
  }
  return {};
}

Status check_pipe(FdRef fd, const char* name, int access) {
  struct stat st;
  if (::fstat(fd.fd, &st) < 0) return fail_errno("fstat", errno);
  const int flags = ::fcntl(fd.fd, F_GETFL);
  if (!S_ISFIFO(st.st_mode) || flags < 0 || (flags & (O_ACCMODE | O_PATH)) != access) {
    return invalid(std::string(name) + " is not the right end of a pipe");
  }
  return {};
}

Status check_fuse_device(FdRef fd) {
  struct stat st;
  if (::fstat(fd.fd, &st) < 0) return fail_errno("fstat", errno);
  constexpr unsigned kMisc = 10, kFuse = 229;
  if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(kMisc, kFuse)) return invalid("not /dev/fuse");
  return {};
}

}  // namespace

Result<FuseMount> make_fuse_mount(uint32_t uid) {
  FuseMount out;
  out.device.reset(::open("/dev/fuse", O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (!out.device) return fail_errno("/dev/fuse", errno);
  NewFs fs("fuse");
  fs.set("source", "zvm");
  fs.set("fd", std::to_string(out.device.get()));
  fs.set("rootmode", "40555");
  fs.set("user_id", std::to_string(uid));
  fs.set("group_id", std::to_string(uid));
  fs.set("max_read", std::to_string(wire::kFuseMaxRead));
  // KERNEL: without allow_other only processes of the mounter's user namespace may look, and the
  // jail's is a younger one. Modes are checked by the kernel.
  fs.flag("allow_other");
  fs.flag("default_permissions");
  ZVM_TRY(out.mount, fs.mount(kNothingSpecial | MOUNT_ATTR_NOEXEC));
  return out;
}

Result<UniqueFd> make_tmp(uint64_t bytes, uint32_t inodes, bool executable) {
  NewFs fs("tmpfs");
  fs.set("size", std::to_string(bytes));
  fs.set("nr_inodes", std::to_string(inodes));
  fs.set("mode", "1777");
  return fs.mount(kNothingSpecial | (executable ? 0u : MOUNT_ATTR_NOEXEC));
}

Result<UniqueFd> clone_read_only(const std::string& folder) {
  UniqueFd tree(
      ::open_tree(AT_FDCWD, folder.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE));
  if (!tree) return fail_errno("open_tree " + folder, errno);
  mount_attr attributes{};
  attributes.attr_set =
      MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
  attributes.propagation = MS_PRIVATE;
  if (::mount_setattr(
          tree.get(), "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes, sizeof attributes) < 0) {
    return fail_errno("mount_setattr " + folder, errno);
  }
  return tree;
}

Result<int32_t> open_backing(FdRef fuse_device, FdRef file) {
  ZVM_CHECK_OK(check_fuse_device(fuse_device));
  struct stat st;
  if (::fstat(file.fd, &st) < 0) return fail_errno("fstat", errno);
  const int flags = ::fcntl(file.fd, F_GETFL);
  if (!S_ISREG(st.st_mode) || flags < 0 || (flags & O_PATH) != 0) {
    return fail(Origin::kHost, Kind::kInvalid, "not an open regular file");
  }
  // SECURITY: the kernel will open the file again with our credentials and the job's flags.
  if ((flags & O_ACCMODE) != O_RDWR) {
    struct statvfs fs;
    if (::fstatvfs(file.fd, &fs) < 0) return fail_errno("fstatvfs", errno);
    if ((fs.f_flag & ST_RDONLY) == 0) {
      return fail(Origin::kHost, Kind::kDenied,
          "file neither below a read-only mount nor opened for writing");
    }
  }
  fuse_backing_map map{};
  map.fd = file.fd;
  const int id = ::ioctl(fuse_device.fd, FUSE_DEV_IOC_BACKING_OPEN, &map);
  if (id < 0) return fail_errno("FUSE_DEV_IOC_BACKING_OPEN", errno);
  return id;
}

Status close_backing(FdRef fuse_device, int32_t id) {
  ZVM_CHECK_OK(check_fuse_device(fuse_device));
  auto number = static_cast<uint32_t>(id);
  if (::ioctl(fuse_device.fd, FUSE_DEV_IOC_BACKING_CLOSE, &number) < 0) {
    return fail_errno("FUSE_DEV_IOC_BACKING_CLOSE", errno);
  }
  return {};
}

Status check_start_fds(const UniqueFd* fds, bool program) {
  ZVM_CHECK_OK(check_memfd(fds[0], "args", wire::kMaxArgsBytes, 0));
  ZVM_CHECK_OK(check_pipe(fds[1], "status", O_WRONLY));
  ZVM_CHECK_OK(check_pipe(fds[2], "leash", O_RDONLY));
  if (program)
    ZVM_CHECK_OK(check_memfd(
        fds[3], "program", wire::kMaxProgramBytes, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW));
  return {};
}

}  // namespace zvm::loader
