// Passthrough of one file: its id with the kernel, made when the first open needs it, given back
// after the last release. All opens of a node at one time share one id, as the kernel demands.
#pragma once
#include "fuse_channels/context.h"

namespace zvm::fuse_channels {

class BackingId {
 public:
  // file must live as long as this.
  BackingId(Context& context, FdRef file)
      : context_(context), file_(file.fd), changed_(context.loop) {}

  // Answers an OPEN: by passthrough where that works, else with `served`. Once the file could not
  // be registered it is served for good: cached and passthrough opens of a node exclude each other.
  void answer_open(RequestPtr request, const fuse_file_info& served);
  void release();
  Task<void> finish();

  bool ever_used() const { return ever_used_; }

 private:
  Task<void> register_and_answer(RequestPtr request, fuse_file_info served);
  Task<void> give_back(int32_t id);
  void answer(RequestPtr request, const fuse_file_info& served);
  void drop();

  Context& context_;
  int file_;
  int32_t id_ = 0;      // 0: not registered
  unsigned holds_ = 0;  // opens, and opens being answered
  bool refused_ = false;
  bool registering_ = false;
  bool ever_used_ = false;
  Event changed_;
};

}  // namespace zvm::fuse_channels
