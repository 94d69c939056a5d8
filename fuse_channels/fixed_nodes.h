// Files whose content never changes: bytes given with the session, and the empty files that the
// launcher mounts /dev/null and the like upon.
#pragma once
#include <string>

#include "fuse_channels/node.h"

namespace zvm::fuse_channels {

class BytesNode final : public Node {
 public:
  BytesNode(Context& context, uint64_t ino, ChannelState& state, std::string bytes)
      : Node(context, ino), state_(state), bytes_(std::move(bytes)) {}

  void open(RequestPtr request, int flags) override;
  void read(RequestPtr request, uint64_t off, size_t size) override;

 private:
  void describe(struct stat& attr) const override;
  ChannelState& state_;
  std::string bytes_;
};

class MountPointNode final : public Node {
 public:
  using Node::Node;
  void open(RequestPtr request, int flags) override;

 private:
  void describe(struct stat& attr) const override;
};

}  // namespace zvm::fuse_channels
