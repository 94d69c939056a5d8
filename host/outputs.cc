#include "host/outputs.h"

#include <algorithm>

namespace zvm::host {

using protocol::Channel;
using protocol::Frame;
using protocol::FrameType;

struct Outputs::Window {
  Window(Loop& loop, uint16_t which, bool is_declared)
      : channel(which), declared(is_declared), granted(loop) {}

  uint16_t channel;
  bool declared;
  uint64_t offset = 0;
  uint64_t left = 0;
  uint64_t turn = 0;  // counts the READs: tells that the window was replaced
  Event granted;
};

Outputs::Outputs(Loop& loop, Peer& peer, const std::vector<Channel>& channels)
    : loop_(loop), peer_(peer), tasks_(loop) {
  for (const Channel& c : channels) {
    const bool output = c.kind == Channel::Kind::kAppend || c.kind == Channel::Kind::kRandom;
    const auto index = static_cast<uint16_t>(windows_.size());
    windows_.push_back(output ? std::make_unique<Window>(loop, index, c.declared) : nullptr);
  }
}

Outputs::~Outputs() = default;

void Outputs::open(fuse_channels::Session& files) {
  files_ = &files;
  for (const auto& w : windows_) {
    if (w) tasks_.spawn(serve(*w));
  }
}

void Outputs::end() {
  ended_ = true;
  for (const auto& w : windows_) {
    if (w) files_->changed(w->channel).pulse();
  }
}

Status Outputs::on_read(uint16_t channel, uint64_t offset, uint32_t length) {
  if (channel >= windows_.size() || !windows_[channel])
    return fail(Origin::kHost, Kind::kInvalid, "a read of a channel that is no output");
  if (length == 0 || length > protocol::kMaxRead)
    return fail(Origin::kHost, Kind::kInvalid, "a read of no or too many bytes");
  Window& w = *windows_[channel];
  w.offset = offset;
  w.left = length;
  ++w.turn;
  ++activity_;
  w.granted.set();
  if (files_ != nullptr) files_->changed(channel).pulse();
  return {};
}

Task<Status> Outputs::send_some(Window& w, uint64_t available) {
  Frame frame;
  frame.type = FrameType::kData;
  frame.channel = w.channel;
  frame.arg = w.offset;
  const uint64_t rest = available > w.offset ? available - w.offset : 0;
  const size_t size = std::min({rest, w.left, uint64_t{protocol::kMaxPayload}});
  const uint64_t turn = w.turn;
  if (size > 0 && !w.declared) {
    frame.payload = files_->tail(w.channel).substr(w.offset, size);
  } else if (size > 0) {
    frame.payload.resize(size);
    const auto into = std::as_writable_bytes(std::span<char>(frame.payload));
    const FdRef spool = files_->spool(w.channel);
    const int n = co_await loop_.read(spool, into, frame.arg, kNever, &stop_);
    if (n < 0) co_return fail_errno("reading a spool", -n);
    if (n == 0) co_return fail(Origin::kHost, Kind::kInternal, "a spool lost bytes");
    frame.payload.resize(static_cast<size_t>(n));
  }
  if (turn != w.turn) co_return Status{};
  w.offset += frame.payload.size();
  w.left -= frame.payload.size();
  if (ended_ && w.offset >= available) {
    frame.flags = protocol::kEnd;
    w.left = 0;
  }
  ++activity_;
  co_return co_await peer_.send_data(std::move(frame), &stop_);
}

Task<void> Outputs::serve(Window& w) {
  for (;;) {
    const int granted = co_await w.granted.wait(kNever, &stop_);
    if (granted < 0) co_return;
    if (w.left == 0) {
      w.granted.reset();
      continue;
    }
    Event& changed = files_->changed(w.channel);
    changed.reset();
    uint64_t available = 0;
    if (w.declared) {
      available = ended_ ? files_->usage(w.channel).size : files_->stable_size(w.channel);
    } else if (ended_) {
      available = files_->tail(w.channel).size();
    }
    if (available <= w.offset && !ended_) {
      const int rc = co_await changed.wait(kNever, &stop_);
      if (rc < 0) co_return;
      continue;
    }
    auto ok = co_await send_some(w, available);
    if (!ok) co_return;
  }
}

Task<void> Outputs::close() {
  stop_.stop();
  co_await tasks_.join();
}

}  // namespace zvm::host
