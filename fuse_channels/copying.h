// Makes the private copy of an object: a clone that shares blocks where the file system can, else a
// copy of the bytes. Blocks: runs on the pool.
#pragma once
#include <atomic>
#include <cstdint>

#include "base/error.h"
#include "base/sys/fd.h"

namespace zvm::fuse_channels {

struct CopyOrder {
  FdRef source{-1};
  uint64_t size = 0;
  bool empty = false;                        // the program truncates it anyway: no byte is copied
  FdRef clone_dir{-1};                       // -1: no clones
  FdRef spool_dir{-1};                       // for copied bytes
  uint64_t max_copy = 0;                     // more: EFBIG
  const std::atomic<bool>* abort = nullptr;  // looked at between pieces: EINTR
};

// The errno of a failure is in the Error.
Result<UniqueFd> copy_blocking(const CopyOrder& order);

}  // namespace zvm::fuse_channels
