// What libfuse calls with the requests it decoded, and the parts of a session that they need.
#pragma once
#include <memory>

#include "fuse_channels/context.h"
#include "fuse_channels/device.h"
#include "fuse_channels/passthrough.h"
#include "fuse_channels/tree.h"

namespace zvm::fuse_channels {

// A pointer to it is libfuse's userdata.
struct Served {
  Served(Loop& loop, Options options, Backing* backing) : context(loop, options, backing) {}

  RequestPtr take(fuse_req_t raw) {
    return std::make_unique<Request>(context.requests, raw, current_unique);
  }

  Context context;
  std::unique_ptr<Tree> tree;
  std::unique_ptr<Device> device;
  InitTerms terms;
  uint64_t current_unique = 0;  // of the message that is being decoded
  uint32_t current_opcode = 0;
};

fuse_lowlevel_ops operations();

}  // namespace zvm::fuse_channels
