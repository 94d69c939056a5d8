// A small FUSE server for tests of jails: a flat folder of files in memory, served by a thread.
// It stands where the host daemon's channels stand, so that jails are tested without it.
#pragma once
#include <map>
#include <memory>
#include <string>

#include "base/sys/fd.h"

namespace zvm::loader::testing {

struct FuseFilesState;

class FuseFiles {
 public:
  // Serves `device` until destroyed. Every file may be written (appended) by `uid`. The names of
  // the host's devices are added, empty.
  FuseFiles(UniqueFd device, uint32_t uid, std::map<std::string, std::string> files,
      const std::string& absent = "");
  ~FuseFiles();
  FuseFiles(const FuseFiles&) = delete;
  FuseFiles& operator=(const FuseFiles&) = delete;

  std::string content(const std::string& name) const;
  // For BACKING_OPEN and the like.
  FdRef device() const;

 private:
  std::unique_ptr<FuseFilesState> state_;
};

}  // namespace zvm::loader::testing
