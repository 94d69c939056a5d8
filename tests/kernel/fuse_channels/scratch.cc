#include "tests/kernel/fuse_channels/scratch.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace zvm::fuse_channels::test {

namespace {

Scratch missing(const std::string& what) {
  Scratch out;
  out.missing = "needs " + what + ": " + std::strerror(errno);
  return out;
}

Scratch mount(const char* type, const char* source) {
  const UniqueFd fs(::fsopen(type, FSOPEN_CLOEXEC));
  if (!fs) return missing(std::string("the file system ") + type);
  if (::fsconfig(fs.get(), FSCONFIG_SET_STRING, "source", source, 0) != 0 ||
      ::fsconfig(fs.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    return missing(std::string("to mount ") + type);
  }
  Scratch out;
  out.root = UniqueFd(::fsmount(fs.get(), FSMOUNT_CLOEXEC, 0));
  if (!out.root) return missing(std::string("to mount ") + type);
  out.path = "/proc/self/fd/" + std::to_string(out.root.get());
  return out;
}

}  // namespace

Scratch scratch_tmpfs() {
  return mount("tmpfs", "zvm-test");
}

Scratch scratch_xfs(const std::string& folder) {
  const std::string image = folder + "/xfs-image";
  const UniqueFd file(::open(image.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600));
  // mkfs.xfs refuses less than 300 MiB; the file is sparse.
  if (!file || ::ftruncate(file.get(), off_t{400} << 20) != 0) return missing("an image file");
  const std::string make = "PATH=$PATH:/usr/sbin:/sbin mkfs.xfs -q -m reflink=1 '" + image + "'";
  const int made = std::system(make.c_str());
  if (made != 0) {
    Scratch out;
    out.missing = "needs mkfs.xfs";
    return out;
  }
  const UniqueFd control(::open("/dev/loop-control", O_RDWR | O_CLOEXEC));
  if (!control) return missing("/dev/loop-control");
  for (int tries = 0; tries < 16; ++tries) {
    const int number = ::ioctl(control.get(), LOOP_CTL_GET_FREE);
    if (number < 0) return missing("a free loop device");
    const std::string name = "/dev/loop" + std::to_string(number);
    const UniqueFd loop(::open(name.c_str(), O_RDWR | O_CLOEXEC));
    if (!loop) return missing(name);
    loop_config config{};
    config.fd = static_cast<__u32>(file.get());
    config.info.lo_flags = LO_FLAGS_AUTOCLEAR;
    if (::ioctl(loop.get(), LOOP_CONFIGURE, &config) != 0) {
      if (errno == EBUSY) continue;  // somebody else was faster
      return missing("LOOP_CONFIGURE");
    }
    return mount("xfs", name.c_str());
  }
  errno = EBUSY;
  return missing("a free loop device");
}

}  // namespace zvm::fuse_channels::test
