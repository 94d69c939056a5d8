// What <linux/fuse.h> of Debian 12 (protocol 7.38) does not have yet. Source of each value:
// include/uapi/linux/fuse.h of Linux 6.9 and later (protocol 7.40).
#pragma once
#include <linux/fuse.h>
#include <sys/ioctl.h>

#include <cstddef>
#include <cstdint>

namespace zvm::fuse_channels::kernel {

inline constexpr uint64_t kPassthrough = uint64_t{1} << 37;       // FUSE_PASSTHROUGH, INIT flags
inline constexpr uint64_t kKillprivV2 = FUSE_HANDLE_KILLPRIV_V2;  // INIT flags
inline constexpr uint32_t kOpenPassthrough = 1u << 7;             // FOPEN_PASSTHROUGH

// struct fuse_init_out: the first of the reserved words became max_stack_depth in 7.40.
inline constexpr size_t kMaxStackDepthAt = offsetof(fuse_init_out, flags2) + sizeof(uint32_t);

// struct fuse_open_out of 7.40: the padding became backing_id.
struct OpenOut {
  uint64_t fh;
  uint32_t open_flags;
  int32_t backing_id;
};

static_assert(sizeof(OpenOut) == sizeof(fuse_open_out));

// struct fuse_backing_map and its ioctls. This module never calls them (Backing does); tests do.
struct BackingMap {
  int32_t fd;
  uint32_t flags;
  uint64_t padding;
};

inline constexpr unsigned long kBackingOpen = _IOW(229, 1, BackingMap);
inline constexpr unsigned long kBackingClose = _IOW(229, 2, uint32_t);

}  // namespace zvm::fuse_channels::kernel
