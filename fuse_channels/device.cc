#include "fuse_channels/device.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>

namespace zvm::fuse_channels {

namespace {

// KERNEL: smaller than max_write and a header makes read() fail with EINVAL.
constexpr size_t kBufferSize = (size_t{1} << 20) + (size_t{64} << 10);

// Requests of one session before the others, and the rest of the program, have their turn.
constexpr int kFairness = 64;

std::span<std::byte> read_buffer() {
  thread_local const auto bytes = std::make_unique_for_overwrite<std::byte[]>(kBufferSize);
  return {bytes.get(), kBufferSize};
}

}  // namespace

Device::Device(Loop& loop, FdRef fd, Hooks hooks)
    : loop_(loop), fd_(fd.fd), hooks_(std::move(hooks)), self_(std::make_shared<Device*>(this)) {
  watch_ = loop_.watch(fd, POLLIN, [this](unsigned) { drain(); });
}

Device::~Device() {
  close();
  *self_ = nullptr;
}

void Device::close() {
  open_ = false;
  watch_.reset();
}

void Device::resume() {
  if (!open_ || posted_) return;
  posted_ = true;
  loop_.post([self = self_] {
    if (*self == nullptr) return;
    (*self)->posted_ = false;
    (*self)->drain();
  });
}

void Device::drain() {
  const auto buffer = read_buffer();
  for (int turn = 0; open_ && hooks_.ready(); ++turn) {
    if (turn == kFairness) {
      resume();
      return;
    }
    const ssize_t n = ::read(fd_, buffer.data(), buffer.size());
    if (n > 0) {
      hooks_.on_message(buffer.first(static_cast<size_t>(n)));
    } else if (n < 0 && errno == EAGAIN) {
      return;
    } else if (n < 0 && (errno == EINTR || errno == ENOENT)) {
      // KERNEL: ENOENT says that a request was interrupted before it could be read.
      continue;
    } else {
      end();  // ENODEV: unmounted or aborted; 0: the other end of a socket pair is gone
    }
  }
}

void Device::end() {
  if (!open_) return;
  close();
  hooks_.on_end();
}

int Device::send(const iovec* pieces, int count) {
  if (!open_) return ENODEV;
  for (;;) {
    if (::writev(fd_, pieces, count) >= 0) return 0;
    if (errno != EINTR) return errno;
  }
}

}  // namespace zvm::fuse_channels
