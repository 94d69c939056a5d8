#include "fuse_channels/node.h"

#include <sys/uio.h>

namespace zvm::fuse_channels {

struct stat Node::attr() const {
  struct stat attr {};

  attr.st_ino = ino_;
  attr.st_nlink = 1;
  attr.st_uid = context_.options.uid;
  attr.st_gid = context_.options.gid;
  // PERF: programs size their buffers by it, and every buffer is a request where the daemon serves.
  attr.st_blksize = 64 << 10;
  describe(attr);
  return attr;
}

void Node::read(RequestPtr request, uint64_t off, size_t size) {
  (void)off;
  (void)size;
  request->error(EBADF);
}

void Node::write(RequestPtr request, std::span<const std::byte> data, uint64_t off) {
  (void)data;
  (void)off;
  request->error(EBADF);
}

void Node::setattr(RequestPtr request, const struct stat& attr, int valid) {
  (void)attr;
  (void)valid;
  request->error(EPERM);
}

void Node::fallocate(RequestPtr request, int mode, uint64_t off, uint64_t length) {
  (void)mode;
  (void)off;
  (void)length;
  request->error(EOPNOTSUPP);
}

void Node::seek(RequestPtr request, uint64_t off, int whence) {
  // No holes are known: all is data, with the one hole that every file has at its end.
  const auto size = static_cast<uint64_t>(attr().st_size);
  if (off >= size) {
    request->error(ENXIO);
    return;
  }
  request->offset(static_cast<off_t>(whence == SEEK_HOLE ? size : off));
}

Task<void> Node::finish() {
  co_return;
}

namespace {

// Not interrupted: a read of a file on this host ends by itself, and no program expects EINTR of
// it.
Task<void> read_later(Context& context, ChannelState& state, RequestPtr request, ServedRead read) {
  const int slot = co_await context.reads.acquire(nullptr);
  (void)slot;
  {
    IoBuffer buffer;
    const FdRef file{read.file};
    const auto into = buffer.first(read.want);
    const int n = co_await read_fully(context.loop, file, into, read.off);
    if (n < 0 || (read.whole && static_cast<size_t>(n) < read.want)) {
      request->error(n == -ENOMEM ? ENOMEM : EIO);
    } else {
      state.count_read(static_cast<size_t>(n));
      request->data(into.first(static_cast<size_t>(n)));
    }
  }
  context.reads.release();
}

}  // namespace

void serve_read(Context& context, ChannelState& state, RequestPtr request, ServedRead read) {
  if (read.want == 0) {
    state.count_read(0);
    request->data({});
    return;
  }
  // PERF: what is in the page cache needs no second thread and no second turn of the loop.
  IoBuffer buffer;
  const auto into = buffer.first(read.want);
  iovec piece{into.data(), into.size()};
  const ssize_t n = ::preadv2(read.file, &piece, 1, static_cast<off_t>(read.off), RWF_NOWAIT);
  if (n == static_cast<ssize_t>(read.want)) {
    state.count_read(read.want);
    request->data(into);
    return;
  }
  context.tasks.spawn(read_later(context, state, std::move(request), read));
}

}  // namespace zvm::fuse_channels
