// The passthrough ioctls of /dev/fuse, from the kernel's include/uapi/linux/fuse.h (Linux 6.9 and
// later), which Debian 12's header does not have.
#pragma once
#include <linux/fuse.h>
#include <sys/ioctl.h>

#include <cstdint>

#ifndef FUSE_DEV_IOC_BACKING_OPEN
struct fuse_backing_map {
  int32_t fd;
  uint32_t flags;
  uint64_t padding;
};

#define FUSE_DEV_IOC_BACKING_OPEN _IOW(FUSE_DEV_IOC_MAGIC, 1, struct fuse_backing_map)
#define FUSE_DEV_IOC_BACKING_CLOSE _IOW(FUSE_DEV_IOC_MAGIC, 2, uint32_t)
#endif
#ifndef FUSE_DEV_IOC_MAGIC
#define FUSE_DEV_IOC_MAGIC 229
#endif
