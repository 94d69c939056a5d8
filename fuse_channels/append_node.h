// An output written from front to back: every write goes to the end, whatever offset it names, as a
// pipe or a terminal would take it. Kept in a file, or (nobody asked for it) only its last bytes.
#pragma once
#include <string>

#include "fuse_channels/node.h"

namespace zvm::fuse_channels {

class AppendNode final : public Node {
 public:
  AppendNode(Context& context, uint64_t ino, ChannelState& state, UniqueFd file, uint64_t max_bytes)
      : Node(context, ino),
        state_(state),
        file_(std::move(file)),
        max_bytes_(max_bytes),
        turn_(context.loop, 1) {}

  FdRef file() const { return file_; }

  double attr_valid() const override { return kNotAtAll; }

  void open(RequestPtr request, int flags) override;
  void write(RequestPtr request, std::span<const std::byte> data, uint64_t off) override;
  void setattr(RequestPtr request, const struct stat& attr, int valid) override;

 private:
  Task<void> append(RequestPtr request, std::vector<std::byte> data);
  void appended(RequestPtr request, size_t wanted, size_t put);
  void describe(struct stat& attr) const override;

  ChannelState& state_;  // usage.size: bytes in the file, all of them whole
  UniqueFd file_;
  uint64_t max_bytes_;
  mode_t mode_ = 0600;
  Slots turn_;  // one write at a time: its place is known when the one before has ended
};

// The last bytes of an output that is counted and thrown away.
class TailNode final : public Node {
 public:
  static constexpr size_t kKept = size_t{64} << 10;

  TailNode(Context& context, uint64_t ino, ChannelState& state)
      : Node(context, ino), state_(state) {}

  std::string tail() const;

  double attr_valid() const override { return kNotAtAll; }

  void open(RequestPtr request, int flags) override;
  void write(RequestPtr request, std::span<const std::byte> data, uint64_t off) override;
  void setattr(RequestPtr request, const struct stat& attr, int valid) override;

 private:
  void describe(struct stat& attr) const override;
  ChannelState& state_;
  std::string kept_;  // at most 2 * kKept: cut back to kKept when it would grow beyond
};

}  // namespace zvm::fuse_channels
