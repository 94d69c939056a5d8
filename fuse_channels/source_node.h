// Objects: what a program reads, and turns into a private copy by opening it for writing.
#pragma once
#include "fuse_channels/backing_id.h"
#include "fuse_channels/copying.h"
#include "fuse_channels/node.h"
#include "fuse_channels/writable_node.h"

namespace zvm::fuse_channels {

// The original. SECURITY: no open of it that may write is ever answered with success. Such an open
// waits until the copy is there, then gets ESTALE: the kernel looks the name up again, finds the
// copy's node and opens that. Opens for reading follow once there is a copy.
class SourceNode : public Node {
 public:
  SourceNode(Context& context, uint64_t ino, ChannelState& state, uint64_t size, int64_t mtime_ns)
      : Node(context, ino),
        state_(state),
        size_(size),
        mtime_ns_(mtime_ns),
        copied_(context.loop) {}

  WritableNode* copy() const { return copy_.get(); }

  uint64_t size() const { return size_; }

  void open(RequestPtr request, int flags) final;
  void setattr(RequestPtr request, const struct stat& attr, int valid) final;
  Task<void> finish() override;

 protected:
  virtual void open_for_reading(RequestPtr request) = 0;
  // The whole content as a file on this host: 0 when it is there, or -errno.
  virtual Task<int> gather() = 0;
  virtual FdRef content() const = 0;

  ChannelState& state_;

 private:
  Task<void> copy_and_send_there(RequestPtr request, bool empty);
  Task<void> make_copy(bool empty);
  Task<int> copy_content(bool empty);
  void describe(struct stat& attr) const final;

  uint64_t size_;
  int64_t mtime_ns_;
  std::unique_ptr<WritableNode> copy_;
  bool copying_ = false;
  int copy_error_ = 0;
  Event copied_;  // pulsed when a try has ended
};

// An object's file on this host.
class ObjectNode final : public SourceNode {
 public:
  ObjectNode(Context& context, uint64_t ino, ChannelState& state, UniqueFd file, uint64_t size,
      int64_t mtime_ns)
      : SourceNode(context, ino, state, size, mtime_ns),
        file_(std::move(file)),
        backing_(context, file_) {}

  bool passed_through() const { return backing_.ever_used(); }

  void release() override { backing_.release(); }

  void read(RequestPtr request, uint64_t off, size_t size) override;
  Task<void> finish() override;

 private:
  void open_for_reading(RequestPtr request) override;
  Task<int> gather() override;

  FdRef content() const override { return file_; }

  UniqueFd file_;
  BackingId backing_;
};

}  // namespace zvm::fuse_channels
