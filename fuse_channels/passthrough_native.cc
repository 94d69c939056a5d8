// For libfuse >= 3.17, which knows passthrough: it negotiates, and takes backing ids made
// elsewhere.
#include "fuse_channels/kernel.h"
#include "fuse_channels/passthrough.h"

#if FUSE_VERSION < FUSE_MAKE_VERSION(3, 17)
#error \
    "passthrough_native.cc needs libfuse 3.17; CMake chooses passthrough_patched.cc for older ones"
#endif

namespace zvm::fuse_channels {

bool passthrough_agreed(const InitTerms& terms) {
  return terms.passthrough && (terms.offered & FUSE_INIT_EXT) != 0 &&
         (terms.offered & kernel::kPassthrough) != 0;
}

void ask_for(const InitTerms& terms, fuse_conn_info* conn) {
  // Reason: passthrough_patched.cc.
  fuse_set_feature_flag(conn, FUSE_CAP_HANDLE_KILLPRIV_V2);
  if (!passthrough_agreed(terms)) return;
  fuse_set_feature_flag(conn, FUSE_CAP_PASSTHROUGH);
  // libfuse counts the layers below, the kernel one more.
  conn->max_backing_stack_depth = terms.stack_depth - 1;
}

void amend_init_reply(const InitTerms& terms, iovec* pieces, int count) {
  (void)terms;
  (void)pieces;
  (void)count;
}

int reply_open_passthrough(fuse_req_t request, int32_t backing_id) {
  fuse_file_info info{};
  info.backing_id = backing_id;
  return fuse_reply_open(request, &info);
}

}  // namespace zvm::fuse_channels
