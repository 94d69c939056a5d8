// The connection to the kernel: reads requests from /dev/fuse when the loop says so, and writes the
// replies. It knows nothing of files.
//
// PERF: one multishot poll on a non-blocking descriptor, then read() until EAGAIN and writev() at
// once was the fastest engine measured, and the only one that can not wedge: posted reads of a
// blocking /dev/fuse block when their request vanishes. One buffer per thread serves all sessions,
// since a request is decoded before the next one is read.
#pragma once
#include <sys/uio.h>

#include <functional>
#include <memory>
#include <span>

#include "base/async/loop.h"

namespace zvm::fuse_channels {

class Device {
 public:
  struct Hooks {
    // One request; the bytes are valid during the call. Must not destroy the Device.
    std::function<void(std::span<std::byte>)> on_message;
    // False: nothing is read until resume().
    std::function<bool()> ready;
    // Once: the kernel ended the connection. May close the Device, not destroy it.
    std::function<void()> on_end;
  };

  // fd: O_NONBLOCK, outlives the Device's last use (close()).
  Device(Loop& loop, FdRef fd, Hooks hooks);
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  void resume();
  // Nothing is read or written any more.
  void close();

  bool open() const { return open_; }

  // Writes one reply: 0, or the errno of the kernel's refusal.
  int send(const iovec* pieces, int count);

 private:
  void drain();
  void end();

  Loop& loop_;
  int fd_;
  Hooks hooks_;
  Watch watch_;
  bool open_ = true;
  bool posted_ = false;
  std::shared_ptr<Device*> self_;  // for posted calls: null once destroyed
};

}  // namespace zvm::fuse_channels
