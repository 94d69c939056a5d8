#include "fuse_channels/context.h"

#include <fcntl.h>

namespace zvm::fuse_channels {

namespace {

// PERF: a fresh mebibyte costs 256 page faults; a few are kept per thread, for all its sessions.
constexpr size_t kKeptBuffers = 4;
thread_local std::vector<std::unique_ptr<std::byte[]>> kept_buffers;

}  // namespace

IoBuffer::IoBuffer() {
  if (kept_buffers.empty()) {
    bytes_ = std::make_unique_for_overwrite<std::byte[]>(kMaxIo);
  } else {
    bytes_ = std::move(kept_buffers.back());
    kept_buffers.pop_back();
  }
}

IoBuffer::~IoBuffer() {
  if (bytes_ && kept_buffers.size() < kKeptBuffers) kept_buffers.push_back(std::move(bytes_));
}

Task<int> read_fully(Loop& loop, FdRef file, std::span<std::byte> into, uint64_t off) {
  size_t got = 0;
  while (got < into.size()) {
    const auto rest = into.subspan(got);
    const int n = co_await loop.read(file, rest, off + got, kNever);
    if (n == -EINTR || n == -EAGAIN) continue;
    if (n < 0) co_return n;
    if (n == 0) break;
    got += static_cast<size_t>(n);
  }
  co_return static_cast<int>(got);
}

Task<int> write_fully(Loop& loop, FdRef file, std::span<const std::byte> from, uint64_t off) {
  size_t put = 0;
  while (put < from.size()) {
    const auto rest = from.subspan(put);
    const int n = co_await loop.write(file, rest, off + put, kNever);
    if (n == -EINTR || n == -EAGAIN) continue;
    if (n < 0 && put == 0) co_return n;
    if (n <= 0) break;
    put += static_cast<size_t>(n);
  }
  co_return static_cast<int>(put);
}

Result<UniqueFd> open_unnamed(FdRef dir) {
  UniqueFd file(::openat(dir.fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!file) return fail_errno("openat(O_TMPFILE)", errno);
  return file;
}

}  // namespace zvm::fuse_channels
