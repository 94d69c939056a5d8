#include "fuse_channels/fixed_nodes.h"

namespace zvm::fuse_channels {

void BytesNode::open(RequestPtr request, int flags) {
  if (wants_write(flags)) {
    request->error(EACCES);
    return;
  }
  fuse_file_info info{};
  info.keep_cache = 1;
  request->opened(info);
}

void BytesNode::read(RequestPtr request, uint64_t off, size_t size) {
  const size_t begin = std::min<uint64_t>(off, bytes_.size());
  const size_t n = std::min({size, bytes_.size() - begin, kMaxIo});
  state_.count_read(n);
  request->data(std::as_bytes(std::span(bytes_)).subspan(begin, n));
}

void BytesNode::describe(struct stat& attr) const {
  attr.st_mode = S_IFREG | 0400;
  attr.st_size = static_cast<off_t>(bytes_.size());
  attr.st_blocks = static_cast<blkcnt_t>((bytes_.size() + 511) / 512);
}

void MountPointNode::open(RequestPtr request, int flags) {
  (void)flags;
  // Reached only where nothing was mounted here: a device without a driver, as Linux would say.
  request->error(ENXIO);
}

void MountPointNode::describe(struct stat& attr) const {
  attr.st_mode = S_IFREG | 0666;
}

}  // namespace zvm::fuse_channels
