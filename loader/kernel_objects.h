// The broker's privileged acts on kernel objects, and its looks at the ones that hostd sends.
// Every function makes or inspects one thing; nothing is attached anywhere: dropping the descriptor
// undoes the act.
#pragma once
#include <cstdint>
#include <string>

#include "base/error.h"
#include "base/sys/fd.h"
#include "loader/wire.h"

namespace zvm::loader {

struct FuseMount {
  UniqueFd device;  // O_NONBLOCK
  UniqueFd mount;   // detached
};

// One FUSE connection whose files belong to `uid`.
Result<FuseMount> make_fuse_mount(uint32_t uid);

// A detached tmpfs for a jail's /tmp.
Result<UniqueFd> make_tmp(uint64_t bytes, uint32_t inodes, bool executable);

// A detached read-only copy of `folder` and every mount below it.
Result<UniqueFd> clone_read_only(const std::string& folder);

// Registers `file` for passthrough on a FUSE connection. kDenied: neither on a read-only mount nor
// opened for writing by whoever sent it (see wire.h, BackingOpenRequest).
Result<int32_t> open_backing(FdRef fuse_device, FdRef file);
Status close_backing(FdRef fuse_device, int32_t id);

// The descriptors of a START request, in its order; kInvalid with a sentence when one is not what
// wire.h says.
Status check_start_fds(const UniqueFd* fds, bool program);

}  // namespace zvm::loader
