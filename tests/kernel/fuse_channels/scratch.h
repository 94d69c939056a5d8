// File systems for tests: never attached to any namespace, gone with their descriptor.
#pragma once
#include <string>

#include "base/sys/fd.h"

namespace zvm::fuse_channels::test {

struct Scratch {
  UniqueFd root;        // a detached mount
  std::string path;     // reaches it through /proc/self/fd
  std::string missing;  // why there is none; empty if there is one
};

Scratch scratch_tmpfs();
// A new XFS (with reflinks) on a loop device over a file in `folder`.
Scratch scratch_xfs(const std::string& folder);

}  // namespace zvm::fuse_channels::test
