// Copies chosen names of one folder into another, bounded; for the few files of /etc that an image
// needs. No allocation: getdents64 into a fixed buffer.
#pragma once
#include <cstddef>
#include <cstdint>

#include "base/sys/fd.h"

namespace zvm::loader {

struct CopyBudget {
  uint32_t files;
  uint64_t bytes;
};

// Files, folders (at most 8 deep) and symbolic links; everything else is left out, and so is what
// not everybody may read. A pattern may end in `*`. 0 or -errno; -E2BIG when the budget is spent.
int copy_matching(
    FdRef from, FdRef to, const char* const* patterns, size_t count, CopyBudget* budget) noexcept;

}  // namespace zvm::loader
