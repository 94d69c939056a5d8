// The names in /dev and the nodes behind them. Fixed when the session starts, but for the private
// copies of objects. Inode numbers follow the sorted names, so that they do not depend on the order
// in which channels were declared.
#pragma once
#include <array>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "fuse_channels/node.h"

namespace zvm::fuse_channels {

class AppendNode;
class SourceNode;
class TailNode;

// One declared channel: its node, what it counts, what its xattrs say.
struct Channel {
  Channel(Loop& loop, std::function<void()> limit) : state(loop, std::move(limit)) {}

  ChannelState state;
  ChannelSpec::Kind kind = ChannelSpec::Kind::kBytes;
  uint64_t max_bytes = 0;
  std::unique_ptr<Node> node;
  std::map<std::string, std::string, std::less<>> xattrs;  // full name -> value
};

class Tree {
 public:
  static constexpr uint64_t kRoot = FUSE_ROOT_ID;
  static constexpr std::array<std::string_view, 5> kBasics{
      "full", "null", "random", "urandom", "zero"};

  // Makes a node per channel and per basic name. Opens the spools.
  static Result<std::unique_ptr<Tree>> create(
      Context& context, std::vector<ChannelSpec> specs, std::function<void(size_t)> limit);

  Channel& channel(size_t index) { return *channels_[index]; }

  const Channel& channel(size_t index) const { return *channels_[index]; }

  size_t channel_count() const { return channels_.size(); }

  // The file of this nodeid, or null. The root is no file.
  Node* node(uint64_t nodeid);
  Channel* channel_of(uint64_t nodeid);

  void lookup(RequestPtr request, uint64_t parent, std::string_view name);
  void list(RequestPtr request, uint64_t nodeid, uint64_t off, size_t size);
  void statfs(RequestPtr request);
  struct stat root_attr() const;

  // After every task has ended.
  Task<void> finish();

 private:
  struct Name {
    std::string name;
    bool listed = true;
    size_t channel = SIZE_MAX;          // SIZE_MAX: a basic
    std::unique_ptr<Node> mount_point;  // of a basic
  };

  explicit Tree(Context& context) : context_(context) {}

  Status add(ChannelSpec spec, Channel& channel, uint64_t ino);
  Node& original(Name& name);
  // The private copy that took the original's place, or null.
  Node* copy(Name& name);
  // Nodeids: 2 + i is names_[i]'s own node; 2 + n + i the copy that took its place.
  Name* name_of(uint64_t nodeid, bool& copy);

  Context& context_;
  std::vector<std::unique_ptr<Channel>> channels_;
  std::vector<Name> names_;  // sorted
};

}  // namespace zvm::fuse_channels
