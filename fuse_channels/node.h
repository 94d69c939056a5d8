// A file as the kernel sees it: one Node per FUSE nodeid.
//
// A node is served one way as long as it is open (by the kernel's passthrough, or by this daemon
// through the page cache): the kernel refuses to mix. Content that must change gets a new node,
// reached by answering an open of the old one with ESTALE: the kernel then looks the name up again.
//
// Nodes live as long as their session: a channel has at most two (the object and its private copy),
// so that forgetting them would gain nothing.
#pragma once
#include <fcntl.h>
#include <sys/stat.h>

#include <span>

#include "fuse_channels/context.h"

namespace zvm::fuse_channels {

// How many seconds the kernel may keep attributes that never change, and those that do.
inline constexpr double kForEver = 86400.0;
inline constexpr double kNotAtAll = 0.0;

inline bool wants_write(int open_flags) {
  return (open_flags & O_ACCMODE) != O_RDONLY || (open_flags & O_TRUNC) != 0;
}

class Node {
 public:
  Node(Context& context, uint64_t ino) : context_(context), ino_(ino) {}

  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;
  virtual ~Node() = default;

  uint64_t ino() const { return ino_; }  // st_ino; a copy has its original's

  struct stat attr() const;

  virtual double attr_valid() const { return kForEver; }

  virtual void open(RequestPtr request, int flags) = 0;

  // Once per open that was answered with success.
  virtual void release() {}

  virtual void read(RequestPtr request, uint64_t off, size_t size);
  // data is valid during the call only.
  virtual void write(RequestPtr request, std::span<const std::byte> data, uint64_t off);
  // valid: FUSE_SET_ATTR_SIZE, _MODE, _ATIME, _MTIME and so on; never owner or group.
  virtual void setattr(RequestPtr request, const struct stat& attr, int valid);
  virtual void fallocate(RequestPtr request, int mode, uint64_t off, uint64_t length);
  virtual void seek(RequestPtr request, uint64_t off, int whence);

  // After every task of the session has ended: gives back what the kernel holds for this node.
  virtual Task<void> finish();

 protected:
  // Mode, size, blocks and times of attr; the rest is filled in.
  virtual void describe(struct stat& attr) const = 0;

  Context& context_;

 private:
  uint64_t ino_;
};

// Replies with `want` bytes of file at off, from the page cache at once or else through the loop.
// whole: a file that ends early is an error (an object has the size it was announced with).
struct ServedRead {
  int file;
  uint64_t off;
  size_t want;
  bool whole;
};

void serve_read(Context& context, ChannelState& state, RequestPtr request, ServedRead read);

}  // namespace zvm::fuse_channels
