#include "fuse_channels/tree.h"

#include <algorithm>

#include "fuse_channels/append_node.h"
#include "fuse_channels/fixed_nodes.h"
#include "fuse_channels/remote_node.h"
#include "fuse_channels/source_node.h"

namespace zvm::fuse_channels {

namespace {

tl::unexpected<Error> bad_spec(const std::string& name, const char* why) {
  return fail(Origin::kHost, Kind::kInvalid, "channel '" + name + "': " + why);
}

bool good_name(std::string_view name) {
  constexpr size_t kLongest = 255;
  return !name.empty() && name.size() <= kLongest && name != "." && name != ".." &&
         name.find('/') == std::string_view::npos && name.find('\0') == std::string_view::npos;
}

std::map<std::string, std::string, std::less<>> xattrs_of(const ChannelSpec& spec) {
  std::map<std::string, std::string, std::less<>> out;
  const auto put = [&](const char* name, const std::string& value) {
    if (!value.empty()) out.emplace(std::string("user.zvm.") + name, value);
  };
  put("path", spec.path);
  put("etag", spec.etag);
  put("timestamp", spec.timestamp);
  put("locality", spec.locality);
  put("mode", spec.mode);
  return out;
}

}  // namespace

Result<std::unique_ptr<Tree>> Tree::create(
    Context& context, std::vector<ChannelSpec> specs, std::function<void(size_t)> limit) {
  std::unique_ptr<Tree> tree(new Tree(context));
  for (const auto basic : kBasics) tree->names_.push_back({std::string(basic), true, SIZE_MAX, {}});
  for (size_t i = 0; i < specs.size(); ++i) {
    if (!good_name(specs[i].name)) return bad_spec(specs[i].name, "not a file name");
    const bool listed = specs[i].kind != ChannelSpec::Kind::kTail;
    tree->names_.push_back({specs[i].name, listed, i, {}});
    auto channel = std::make_unique<Channel>(context.loop, [limit, i] { limit(i); });
    channel->kind = specs[i].kind;
    channel->max_bytes = specs[i].max_bytes;
    channel->xattrs = xattrs_of(specs[i]);
    tree->channels_.push_back(std::move(channel));
  }
  auto& names = tree->names_;
  std::ranges::sort(names, {}, &Name::name);
  for (size_t n = 0; n < names.size(); ++n) {
    if (n > 0 && names[n - 1].name == names[n].name) return bad_spec(names[n].name, "given twice");
    const uint64_t ino = kRoot + 1 + n;
    const size_t i = names[n].channel;
    if (i == SIZE_MAX) {
      names[n].mount_point = std::make_unique<MountPointNode>(context, ino);
    } else {
      ZVM_CHECK_OK(tree->add(std::move(specs[i]), *tree->channels_[i], ino));
    }
  }
  return tree;
}

Status Tree::add(ChannelSpec spec, Channel& channel, uint64_t ino) {
  ChannelState& state = channel.state;
  UniqueFd spool;
  if (spec.kind == ChannelSpec::Kind::kAppend || spec.kind == ChannelSpec::Kind::kRandom ||
      spec.kind == ChannelSpec::Kind::kRemote) {
    auto file = open_unnamed(context_.options.spool_dir);
    if (!file) return tl::unexpected(std::move(file).error().while_doing("making a spool"));
    spool = *std::move(file);
  }
  switch (spec.kind) {
    case ChannelSpec::Kind::kObject:
      if (!spec.file) return bad_spec(spec.name, "an object without a file");
      channel.node = std::make_unique<ObjectNode>(
          context_, ino, state, std::move(spec.file), spec.size, spec.mtime_ns);
      break;
    case ChannelSpec::Kind::kRemote:
      if (spec.remote == nullptr) return bad_spec(spec.name, "a remote object without a source");
      channel.node = std::make_unique<RemoteNode>(
          context_, ino, state, std::move(spool), spec.size, spec.mtime_ns, *spec.remote);
      break;
    case ChannelSpec::Kind::kAppend:
      channel.node =
          std::make_unique<AppendNode>(context_, ino, state, std::move(spool), spec.max_bytes);
      break;
    case ChannelSpec::Kind::kRandom: {
      const WritableNode::Terms terms{spec.max_bytes, false};
      channel.node = std::make_unique<WritableNode>(context_, ino, state, std::move(spool), terms);
      break;
    }
    case ChannelSpec::Kind::kTail:
      channel.node = std::make_unique<TailNode>(context_, ino, state);
      break;
    case ChannelSpec::Kind::kBytes:
      channel.node = std::make_unique<BytesNode>(context_, ino, state, std::move(spec.bytes));
      break;
  }
  return {};
}

Node& Tree::original(Name& name) {
  return name.mount_point ? *name.mount_point : *channels_[name.channel]->node;
}

Node* Tree::copy(Name& name) {
  if (name.mount_point) return nullptr;
  const Channel& channel = *channels_[name.channel];
  if (channel.kind != ChannelSpec::Kind::kObject && channel.kind != ChannelSpec::Kind::kRemote)
    return nullptr;
  return static_cast<SourceNode&>(*channel.node).copy();
}

Tree::Name* Tree::name_of(uint64_t nodeid, bool& copy) {
  const uint64_t index = nodeid - (kRoot + 1);  // wraps for 0 and the root: too large
  copy = index >= names_.size();
  const uint64_t place = copy ? index - names_.size() : index;
  return place < names_.size() ? &names_[place] : nullptr;
}

Node* Tree::node(uint64_t nodeid) {
  bool is_copy = false;
  Name* name = name_of(nodeid, is_copy);
  if (name == nullptr) return nullptr;
  return is_copy ? copy(*name) : &original(*name);
}

Channel* Tree::channel_of(uint64_t nodeid) {
  bool is_copy = false;
  const Name* name = name_of(nodeid, is_copy);
  return name == nullptr || name->channel == SIZE_MAX ? nullptr : channels_[name->channel].get();
}

void Tree::lookup(RequestPtr request, uint64_t parent, std::string_view name) {
  if (parent != kRoot) {
    request->error(ENOTDIR);
    return;
  }
  fuse_entry_param entry{};
  entry.entry_timeout = kForEver;  // a name that is absent stays absent, too: ino 0 says so
  const auto found = std::ranges::lower_bound(names_, name, {}, &Name::name);
  if (found != names_.end() && found->name == name) {
    Node* copied = copy(*found);
    const Node& node = copied != nullptr ? *copied : original(*found);
    const auto index = static_cast<uint64_t>(found - names_.begin());
    entry.ino = kRoot + 1 + index + (copied != nullptr ? names_.size() : 0);
    entry.attr = node.attr();
    entry.attr_timeout = node.attr_valid();
  }
  request->entry(entry);
}

void Tree::list(RequestPtr request, uint64_t nodeid, uint64_t off, size_t size) {
  if (nodeid != kRoot) {
    request->error(ENOTDIR);
    return;
  }
  std::vector<char> out(std::min(size, size_t{64} << 10));
  size_t used = 0;
  // Offset n: the first n of ".", ".." and the names have been listed.
  for (uint64_t at = off; at < names_.size() + 2; ++at) {
    struct stat attr {};

    attr.st_ino = kRoot;
    attr.st_mode = S_IFDIR;
    const char* name = at == 0 ? "." : "..";
    if (at >= 2) {
      const Name& entry = names_[at - 2];
      if (!entry.listed) continue;
      name = entry.name.c_str();
      attr.st_ino = kRoot + 1 + (at - 2);
      attr.st_mode = S_IFREG;
    }
    const size_t need = fuse_add_direntry(request->raw(), out.data() + used, out.size() - used,
        name, &attr, static_cast<off_t>(at + 1));
    if (need > out.size() - used) break;
    used += need;
  }
  request->data(std::as_bytes(std::span(out)).first(used));
}

void Tree::statfs(RequestPtr request) {
  // What a program may ask before it writes: the bytes that its outputs may still take. Nothing of
  // the host's own disks.
  constexpr uint64_t kBlock = 4096;
  uint64_t used = 0, left = 0;
  for (const auto& channel : channels_) {
    used += channel->state.usage.size;
    left += channel->max_bytes - std::min(channel->max_bytes, channel->state.usage.size);
  }

  struct statvfs values {};

  values.f_bsize = values.f_frsize = kBlock;
  values.f_blocks = (used + left) / kBlock;
  values.f_bfree = values.f_bavail = left / kBlock;
  values.f_files = names_.size() + 1;
  values.f_namemax = 255;
  request->statfs(values);
}

struct stat Tree::root_attr() const {
  struct stat attr {};

  attr.st_ino = kRoot;
  attr.st_mode = S_IFDIR | 0555;
  attr.st_nlink = 2;
  attr.st_uid = context_.options.uid;
  attr.st_gid = context_.options.gid;
  return attr;
}

Task<void> Tree::finish() {
  for (auto& channel : channels_) co_await channel->node->finish();
}

}  // namespace zvm::fuse_channels
