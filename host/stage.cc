#include "host/stage.h"

#include <algorithm>

#include "base/log.h"
#include "host/replica/rules.h"

namespace zvm::host {

using fuse_channels::ChannelSpec;
using protocol::Channel;
using protocol::Description;

namespace {

constexpr const char* kLocal = "local";
constexpr const char* kRemote = "remote";

// Why an object is read through Swift, in the words of the report.
std::string remote_reason(const Channel& c, const Error* local_failure) {
  // "slo", "ec", "encrypted" ... : what a reader of replicas can not serve in place.
  if (local_failure != nullptr && local_failure->kind() == Kind::kUnsupported)
    return local_failure->what();
  if (local_failure == nullptr && !c.remote_reason.empty()) return c.remote_reason;
  return "stale-replica";
}

void describe_object(const Channel& c, ChannelSpec& spec) {
  spec.size = c.object.length;
  spec.mtime_ns = timestamp_ns(c.object.timestamp);
  spec.path = c.path;
  spec.etag = c.object.etag;
  spec.timestamp = c.object.timestamp;
}

Task<Status> stage_object(Node& node, const Description& d, const Channel& c, ChannelSpec& spec,
    Staged& staged, RemoteRanges& ranges) {
  describe_object(c, spec);
  Staged::Locality& where = staged.locality.emplace_back();
  std::optional<Error> failure;
  if (c.local != Channel::Local::kNever && !c.device.empty()) {
    auto replica = co_await node.devices.open_replica(c.object, c.device);
    if (replica) {
      spec.kind = ChannelSpec::Kind::kObject;
      spec.file = std::move(replica->file);
      spec.locality = kLocal;
      where.locality = kLocal;
      if (staged.device.empty()) staged.device = replica->device;
      co_return Status{};
    }
    failure = std::move(replica).error();
  }
  if (c.local == Channel::Local::kRequire) {
    if (failure) co_return tl::unexpected(std::move(*failure));
    co_return fail(Origin::kClient, Kind::kInvalid, "a required replica without a device");
  }
  if (failure) {
    log_error("reading through Swift", *failure,
        {{"JOB_ID", d.job}, {"NODE", d.node}, {"PHASE", "stage"}, {"CHANNEL", c.name}});
  }
  spec.kind = ChannelSpec::Kind::kRemote;
  spec.remote = ranges.source(static_cast<uint16_t>(staged.locality.size() - 1));
  spec.locality = kRemote;
  where.locality = kRemote;
  where.reason = remote_reason(c, failure ? &*failure : nullptr);
  co_return Status{};
}

ChannelSpec::Kind output_kind(const Channel& c) {
  if (!c.declared) return ChannelSpec::Kind::kTail;
  return c.kind == Channel::Kind::kAppend ? ChannelSpec::Kind::kAppend : ChannelSpec::Kind::kRandom;
}

// The jail opens /dev/stdout and /dev/stderr whatever the job says.
void add_missing_outputs(const Description& d, Staged& staged) {
  for (const char* name : {"stdout", "stderr"}) {
    const bool has = std::any_of(
        d.channels.begin(), d.channels.end(), [&](const Channel& c) { return c.name == name; });
    if (has) continue;
    ChannelSpec& spec = staged.files.emplace_back();
    spec.name = name;
    spec.kind = ChannelSpec::Kind::kTail;
  }
}

}  // namespace

Task<Result<Staged>> stage(Node& node, const Description& d, RemoteRanges& ranges) {
  Staged staged;
  for (const Channel& c : d.channels) {
    ChannelSpec spec;
    spec.name = c.name;
    spec.mode = c.mode;
    if (c.kind == Channel::Kind::kObject) {
      ZVM_CO_CHECK_OK(co_await stage_object(node, d, c, spec, staged, ranges));
    } else {
      staged.locality.emplace_back();
      spec.path = c.path;
      spec.max_bytes = c.max_bytes;
      spec.bytes = c.bytes;
      if (c.kind != Channel::Kind::kBytes) spec.kind = output_kind(c);
    }
    staged.files.push_back(std::move(spec));
  }
  add_missing_outputs(d, staged);
  ZVM_CO_TRY(staged.spool_dir, node.devices.spool_dir(staged.device));
  co_return std::move(staged);
}

}  // namespace zvm::host
