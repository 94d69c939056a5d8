// What passthrough needs of the library, behind one interface: libfuse knows passthrough since 3.17
// (passthrough_native.cc); before, the INIT reply is amended and OPEN answered raw
// (passthrough_patched.cc). CMake builds the one that fits.
#pragma once
#include <sys/uio.h>

#include <cstdint>

#include "fuse_channels/libfuse.h"

namespace zvm::fuse_channels {

struct InitTerms {
  uint64_t offered = 0;      // by the kernel
  bool passthrough = false;  // wanted
  uint32_t stack_depth = 1;  // 1: files of a plain file system; 2: of an overlay too
};

// True if passthrough is wanted and the kernel offers it.
bool passthrough_agreed(const InitTerms& terms);

// Called from libfuse's init().
void ask_for(const InitTerms& terms, fuse_conn_info* conn);

// Called with the pieces of the INIT reply that libfuse made, before they are written.
void amend_init_reply(const InitTerms& terms, iovec* pieces, int count);

// Answers an OPEN with FOPEN_PASSTHROUGH. Consumes the request.
int reply_open_passthrough(fuse_req_t request, int32_t backing_id);

}  // namespace zvm::fuse_channels
