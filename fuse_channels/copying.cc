#include "fuse_channels/copying.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include <algorithm>

#include "fuse_channels/context.h"

namespace zvm::fuse_channels {

namespace {

constexpr size_t kPiece = size_t{1} << 20;

// One piece by the kernel, or by hand where it can not (another file system, an old kernel).
ssize_t copy_piece(int from, int to, uint64_t at, size_t size, bool& by_hand) {
  if (!by_hand) {
    auto in = static_cast<loff_t>(at);
    auto out = static_cast<loff_t>(at);
    const ssize_t n = ::copy_file_range(from, &in, to, &out, size, 0);
    if (n > 0) return n;
    by_hand = true;
  }
  IoBuffer buffer;
  const auto bytes = buffer.first(std::min(size, kMaxIo));
  const ssize_t got = ::pread(from, bytes.data(), bytes.size(), static_cast<off_t>(at));
  if (got <= 0) return got;
  return ::pwrite(to, bytes.data(), static_cast<size_t>(got), static_cast<off_t>(at));
}

Status copy_bytes(const CopyOrder& order, FdRef to) {
  bool by_hand = false;
  for (uint64_t at = 0; at < order.size;) {
    if (order.abort != nullptr && order.abort->load(std::memory_order_relaxed))
      return fail_errno("copy of an object", EINTR);
    const size_t piece = std::min<uint64_t>(kPiece, order.size - at);
    const ssize_t n = copy_piece(order.source.fd, to.fd, at, piece, by_hand);
    if (n < 0) return fail_errno("copy of an object", errno);
    // An object has the size it was announced with; one cut short in place is not that object.
    if (n == 0) return fail_errno("copy of an object: it ended early", EIO);
    at += static_cast<uint64_t>(n);
  }
  return {};
}

}  // namespace

Result<UniqueFd> copy_blocking(const CopyOrder& order) {
  if (!order.empty && order.clone_dir.fd >= 0) {
    auto clone = open_unnamed(order.clone_dir);
    // KERNEL: EOPNOTSUPP (no reflinks here) and EXDEV (another file system) are the usual answers;
    // whatever the reason, copying is the next rung.
    if (clone && ::ioctl(clone->get(), FICLONE, order.source.fd) == 0) return clone;
  }
  if (!order.empty && order.size > order.max_copy) return fail_errno("copy of an object", EFBIG);
  const FdRef dir = order.spool_dir.fd >= 0 ? order.spool_dir : order.clone_dir;
  ZVM_TRY(auto file, open_unnamed(dir));
  if (!order.empty) ZVM_CHECK_OK(copy_bytes(order, file));
  return file;
}

}  // namespace zvm::fuse_channels
