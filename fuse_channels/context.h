// What the nodes of one session share.
#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "base/async/loop.h"
#include "fuse_channels/request.h"
#include "fuse_channels/session.h"

namespace zvm::fuse_channels {

// The largest READ or WRITE: what libfuse negotiates (256 pages).
inline constexpr size_t kMaxIo = size_t{1} << 20;

// A bound on things in flight: acquire() waits until one is free.
class Slots {
 public:
  Slots(Loop& loop, unsigned count) : free_(count), changed_(loop) {}

  // 0, or -ECANCELED when stopped; pair each 0 with a release().
  Task<int> acquire(Stop* stop) {
    while (free_ == 0) {
      const int waited = co_await changed_.wait(kNever, stop);
      if (waited != 0) co_return waited;
    }
    --free_;
    co_return 0;
  }

  bool try_acquire() {
    if (free_ == 0) return false;
    --free_;
    return true;
  }

  void release() {
    ++free_;
    changed_.pulse();
  }

 private:
  unsigned free_;
  Event changed_;
};

struct Context {
  Context(Loop& l, Options o, Backing* b)
      : loop(l), tasks(l), options(o), backing(b), reads(l, 16) {}

  Loop& loop;
  TaskGroup tasks;
  Options options;
  Backing* backing;
  UniqueFd device;
  RequestList requests;
  bool passthrough = false;  // agreed with the kernel
  bool closing = false;
  std::atomic<bool> abort{false};  // read by the pool: copies in progress give up
  Slots reads;                     // daemon-served reads that hold a buffer

  // PERF: bytes of WRITEs copied out of the device's buffer and not yet in their file. Above
  // kMaxWriteBytes the device is not read: the writers wait in the kernel.
  static constexpr size_t kMaxWriteBytes = size_t{16} << 20;
  size_t write_bytes = 0;
  std::function<void()> writes_drained;  // called when write_bytes sinks below the bound

  void hold_write(size_t bytes) { write_bytes += bytes; }

  void drop_write(size_t bytes) {
    const bool over = write_bytes > kMaxWriteBytes;
    write_bytes -= bytes;
    if (over && write_bytes <= kMaxWriteBytes) writes_drained();
  }
};

// What one channel counts, and whom it tells.
struct ChannelState {
  ChannelState(Loop& loop, std::function<void()> limit)
      : changed(loop), tell_limit(std::move(limit)) {}

  ChannelUsage usage;
  Event changed;
  std::function<void()> tell_limit;

  void hit_limit() {
    if (std::exchange(usage.limit_hit, true)) return;
    tell_limit();
  }

  void count_read(size_t bytes) {
    usage.bytes_read += bytes;
    ++usage.reads;
  }

  void count_write(size_t bytes) {
    usage.bytes_written += bytes;
    ++usage.writes;
  }
};

// A buffer of kMaxIo bytes from a small store of this thread.
class IoBuffer {
 public:
  IoBuffer();
  IoBuffer(IoBuffer&&) = default;
  IoBuffer& operator=(IoBuffer&&) = default;
  ~IoBuffer();

  std::span<std::byte> first(size_t n) { return {bytes_.get(), n}; }

 private:
  std::unique_ptr<std::byte[]> bytes_;
};

// Reads want bytes at off, less only at the file's end: bytes read, or -errno.
Task<int> read_fully(Loop& loop, FdRef file, std::span<std::byte> into, uint64_t off);
// Writes all of from: bytes written (fewer when the file system stopped taking them), or -errno.
Task<int> write_fully(Loop& loop, FdRef file, std::span<const std::byte> from, uint64_t off);

// An unlinked file in dir.
Result<UniqueFd> open_unnamed(FdRef dir);

}  // namespace zvm::fuse_channels
