// For libfuse < 3.17, which does not know passthrough. Measured on 3.14 with Linux 6.18.
#include <cstring>

#include "fuse_channels/kernel.h"
#include "fuse_channels/passthrough.h"

namespace zvm::fuse_channels {

bool passthrough_agreed(const InitTerms& terms) {
  return terms.passthrough && (terms.offered & FUSE_INIT_EXT) != 0 &&
         (terms.offered & kernel::kPassthrough) != 0;
}

void ask_for(const InitTerms& terms, fuse_conn_info* conn) {
  (void)terms;
  (void)conn;
}

void amend_init_reply(const InitTerms& terms, iovec* pieces, int count) {
  if (count != 2 || pieces[1].iov_len < sizeof(fuse_init_out)) return;
  auto* bytes = static_cast<std::byte*>(pieces[1].iov_base);
  fuse_init_out out;
  std::memcpy(&out, bytes, sizeof out);
  uint64_t flags = out.flags | uint64_t{out.flags2} << 32;
  // KERNEL: without KILLPRIV_V2 every write asks for security.capability first. Nothing here is
  // ever set-uid, so that the promise it makes (drop such bits on write) is kept by doing nothing.
  flags |= terms.offered & kernel::kKillprivV2;
  if (passthrough_agreed(terms)) {
    // KERNEL: a connection with the writeback cache silently has no passthrough.
    flags = (flags | FUSE_INIT_EXT | kernel::kPassthrough) & ~uint64_t{FUSE_WRITEBACK_CACHE};
    std::memcpy(bytes + kernel::kMaxStackDepthAt, &terms.stack_depth, sizeof terms.stack_depth);
  }
  out.flags = static_cast<uint32_t>(flags);
  out.flags2 = static_cast<uint32_t>(flags >> 32);
  std::memcpy(bytes + offsetof(fuse_init_out, flags), &out.flags, sizeof out.flags);
  std::memcpy(bytes + offsetof(fuse_init_out, flags2), &out.flags2, sizeof out.flags2);
}

int reply_open_passthrough(fuse_req_t request, int32_t backing_id) {
  // KERNEL: KEEP_CACHE, NONSEEKABLE or STREAM beside PASSTHROUGH make the open fail with EIO.
  kernel::OpenOut out{};
  out.open_flags = kernel::kOpenPassthrough;
  out.backing_id = backing_id;
  return fuse_reply_buf(request, reinterpret_cast<const char*>(&out), sizeof out);
}

}  // namespace zvm::fuse_channels
