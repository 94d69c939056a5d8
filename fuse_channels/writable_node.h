// A file that is read and written at any place: a random-access output, or the private copy of an
// object that a program opened for writing. An output is served by the daemon, which counts and
// bounds it; a copy is handed to the kernel where passthrough works.
#pragma once
#include "fuse_channels/backing_id.h"
#include "fuse_channels/node.h"

namespace zvm::fuse_channels {

class WritableNode final : public Node {
 public:
  struct Terms {
    uint64_t max_bytes;  // a write or size beyond it: EDQUOT
    bool is_copy;        // may be passed through; its limit is not the session's business
  };

  WritableNode(Context& context, uint64_t ino, ChannelState& state, UniqueFd file, Terms terms)
      : Node(context, ino),
        state_(state),
        file_(std::move(file)),
        terms_(terms),
        backing_(context, file_) {
    // An offset is a signed number to the kernel, and -1 is not a place at all.
    terms_.max_bytes = std::min<uint64_t>(terms_.max_bytes, INT64_MAX);
  }

  FdRef file() const { return file_; }

  bool passed_through() const { return backing_.ever_used(); }

  double attr_valid() const override { return kNotAtAll; }

  void open(RequestPtr request, int flags) override;
  void release() override;
  void read(RequestPtr request, uint64_t off, size_t size) override;
  void write(RequestPtr request, std::span<const std::byte> data, uint64_t off) override;
  void setattr(RequestPtr request, const struct stat& attr, int valid) override;
  void fallocate(RequestPtr request, int mode, uint64_t off, uint64_t length) override;
  void seek(RequestPtr request, uint64_t off, int whence) override;
  Task<void> finish() override;

 private:
  Task<void> truncate_and_open(RequestPtr request);
  Task<void> write_later(RequestPtr request, std::vector<std::byte> data, uint64_t off);
  Task<void> change(RequestPtr request, struct stat wanted, int valid);
  Task<void> allocate(RequestPtr request, uint64_t off, uint64_t length);
  Task<void> find(RequestPtr request, uint64_t off, int whence);
  void answer_open(RequestPtr request);
  bool within_limit(uint64_t end);
  void grown();
  uint64_t size() const;
  void describe(struct stat& attr) const override;

  ChannelState& state_;
  UniqueFd file_;
  Terms terms_;
  mode_t mode_ = 0600;
  BackingId backing_;
};

}  // namespace zvm::fuse_channels
