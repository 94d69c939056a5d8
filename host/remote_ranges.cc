#include "host/remote_ranges.h"

#include <algorithm>
#include <cstring>

namespace zvm::host {

using protocol::Frame;
using protocol::FrameType;

struct RemoteRanges::Pending {
  Pending(Loop& loop, uint16_t which, uint64_t from, std::span<std::byte> to)
      : channel(which), offset(from), into(to), progress(loop) {}

  bool whole() const { return filled == into.size(); }

  bool answered_by(const Frame& f) const {
    return f.channel == channel && f.arg == offset + filled && !whole() && !failure;
  }

  uint16_t channel;
  uint64_t offset;
  std::span<std::byte> into;
  size_t filled = 0;
  std::optional<std::string> failure;
  Event progress;
};

class RemoteRanges::Source : public fuse_channels::RemoteSource {
 public:
  Source(RemoteRanges& owner, uint16_t channel) : owner_(owner), channel_(channel) {}

  Task<Status> fetch(uint64_t offset, std::span<std::byte> into) override {
    return owner_.fetch(channel_, offset, into);
  }

 private:
  RemoteRanges& owner_;
  uint16_t channel_;
};

RemoteRanges::RemoteRanges(Loop& loop, std::function<void(const Frame&)> ask)
    : loop_(loop), ask_(std::move(ask)), room_(loop) {}

RemoteRanges::~RemoteRanges() {
  ZVM_CHECK(pending_.empty());
}

fuse_channels::RemoteSource* RemoteRanges::source(uint16_t channel) {
  return &sources_.emplace_back(*this, channel);
}

Status RemoteRanges::on_frame(const Frame& frame) {
  const auto it = std::find_if(
      pending_.begin(), pending_.end(), [&](const Pending* p) { return p->answered_by(frame); });
  if (it == pending_.end()) {
    // An answer that crossed with the end of the program is no fault of the bridge.
    if (abandoned_ || timed_out_) return {};
    return fail(Origin::kHost, Kind::kInvalid, "a range that nobody asked for");
  }
  Pending& p = **it;
  if (frame.type == FrameType::kRangeFail) {
    p.failure = frame.payload.empty() ? "no reason given" : frame.payload;
  } else {
    if (frame.payload.empty() || frame.payload.size() > p.into.size() - p.filled)
      return fail(Origin::kHost, Kind::kInvalid, "a range of another length than was asked for");
    std::memcpy(p.into.data() + p.filled, frame.payload.data(), frame.payload.size());
    p.filled += frame.payload.size();
  }
  p.progress.set();
  return {};
}

void RemoteRanges::abandon() {
  abandoned_ = true;
  for (Pending* p : pending_) {
    if (!p->whole() && !p->failure) p->failure = "the session ends";
    p->progress.set();
  }
  room_.pulse();
}

Task<Status> RemoteRanges::fetch_piece(
    uint16_t channel, uint64_t offset, std::span<std::byte> into) {
  Pending p(loop_, channel, offset, into);
  const auto taken = [&](const Pending* o) {
    return o->channel == channel && o->offset + o->into.size() > offset &&
           o->offset < offset + into.size();
  };
  // Answers name a channel and an offset only, so ranges under way must not overlap.
  while (!abandoned_ && (pending_.size() >= kMaxOutstanding ||
                            std::any_of(pending_.begin(), pending_.end(), taken))) {
    const int rc = co_await room_.wait(deadline_in(kRangeWait));
    if (rc < 0) co_return fail(Origin::kSwift, Kind::kTimeout, "earlier ranges are not answered");
  }
  if (abandoned_) co_return fail(Origin::kHost, Kind::kCancelled, "the session ends");

  Frame ask;
  ask.type = FrameType::kRange;
  ask.channel = channel;
  ask.arg = offset;
  ask.payload = protocol::encode_length(static_cast<uint32_t>(into.size()));
  const auto place = pending_.insert(pending_.end(), &p);
  ask_(ask);
  while (!p.whole() && !p.failure) {
    const int rc = co_await p.progress.wait(deadline_in(kRangeWait));
    if (rc < 0) {
      p.failure = "the bridge did not answer in time";
      timed_out_ = true;
    }
    p.progress.reset();
  }
  pending_.erase(place);
  room_.pulse();
  if (p.failure) co_return fail(Origin::kSwift, Kind::kDisconnected, *p.failure);
  co_return Status{};
}

Task<Status> RemoteRanges::fetch(uint16_t channel, uint64_t offset, std::span<std::byte> into) {
  while (!into.empty()) {
    const auto piece = into.first(std::min<size_t>(into.size(), protocol::kMaxRead));
    auto ok = co_await fetch_piece(channel, offset, piece);
    if (!ok) {
      if (!failure_ && !abandoned_) failure_ = ok.error().what();
      co_return ok;
    }
    into = into.subspan(piece.size());
    offset += piece.size();
  }
  co_return Status{};
}

}  // namespace zvm::host
