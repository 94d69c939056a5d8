#include "swift_bridge/node_session.h"

#include <algorithm>

namespace zvm::bridge {

using protocol::Frame;
using protocol::FrameType;

namespace {

tl::unexpected<Error> broken(std::string what) {
  return fail(Origin::kHost, Kind::kInvalid, "the host broke the protocol: " + std::move(what));
}

}  // namespace

NodeSession::NodeSession(Loop& loop, std::unique_ptr<HostLink> link, RangeSource& ranges,
    size_t channels, uint32_t window)
    : link_(std::move(link)),
      ranges_(ranges),
      window_(std::min(window, protocol::kMaxRead)),
      outputs_(channels),
      changed_(loop),
      range_done_(loop),
      tasks_(loop) {
  link_->start([this](Frame frame) { return on_frame(std::move(frame)); },
      [this] {
        stop_.stop();
        changed_.pulse();
      });
}

NodeSession::~NodeSession() = default;

Status NodeSession::on_frame(Frame frame) {
  switch (frame.type) {
    case FrameType::kStarted:
      return {};
    case FrameType::kData:
      ZVM_CHECK_OK(on_data(std::move(frame)));
      break;
    case FrameType::kRange:
      return on_range(frame);
    case FrameType::kReport: {
      if (report_) return broken("two reports");
      ZVM_TRY(report_, protocol::report_from_json(frame.payload));
      break;
    }
    default:
      return broken("a frame that only bridges send");
  }
  changed_.pulse();
  return {};
}

Status NodeSession::on_data(Frame frame) {
  if (frame.channel >= outputs_.size()) return broken("data of no channel");
  Output& out = outputs_[frame.channel];
  // What an earlier window left under way when reading began anew elsewhere.
  if (frame.arg != out.received) return {};
  if (frame.payload.size() > out.granted - out.received) return broken("more data than granted");
  out.received += frame.payload.size();
  if (out.bytes.empty()) {
    out.bytes = std::move(frame.payload);
  } else {
    out.bytes += frame.payload;
  }
  if ((frame.flags & protocol::kEnd) != 0) out.ended = true;
  return {};
}

Status NodeSession::on_range(const Frame& frame) {
  const auto length = protocol::decode_length(frame.payload);
  if (frame.channel >= outputs_.size() || !length || *length == 0 || *length > protocol::kMaxRead)
    return broken("a range that can not be");
  if (ranges_asked_ >= kMaxRangesAsked) return broken("too many ranges at once");
  ++ranges_asked_;
  tasks_.spawn(serve_range(frame.channel, frame.arg, *length));
  return {};
}

Task<void> NodeSession::serve_range(uint16_t channel, uint64_t offset, uint32_t length) {
  while (ranges_served_ >= kMaxRangesServed && !stop_.stopped()) {
    const int rc = co_await range_done_.wait(kNever, &stop_);
    if (rc < 0) break;
  }
  if (stop_.stopped()) co_return;
  ++ranges_served_;
  auto bytes = co_await ranges_.read(channel, offset, length, &stop_);
  Frame frame;
  frame.channel = channel;
  frame.arg = offset;
  if (bytes) {
    frame.type = FrameType::kRangeData;
    for (size_t at = 0; at < bytes->size(); at += protocol::kMaxPayload) {
      frame.arg = offset + at;
      frame.payload = bytes->substr(at, protocol::kMaxPayload);
      // The host counts it as answered with the last part.
      if (at + protocol::kMaxPayload >= bytes->size()) --ranges_asked_;
      auto sent = co_await link_->send_data(frame, &stop_);
      if (!sent) break;
    }
  } else {
    frame.type = FrameType::kRangeFail;
    frame.payload = bytes.error().what();
    --ranges_asked_;
    link_->send(frame);
  }
  --ranges_served_;
  range_done_.pulse();
}

Task<Status> NodeSession::start(const std::string* program, Stop* stop) {
  if (program != nullptr && link_->wants_program()) {
    for (size_t at = 0; at < program->size(); at += protocol::kMaxPayload) {
      Frame frame;
      frame.type = FrameType::kProgram;
      frame.arg = at;
      frame.payload = program->substr(at, protocol::kMaxPayload);
      ZVM_CO_CHECK_OK(co_await link_->send_data(std::move(frame), stop));
    }
  }
  Frame frame;
  frame.type = FrameType::kStart;
  link_->send(frame);
  co_return Status();
}

void NodeSession::grant(uint16_t channel) {
  Output& out = outputs_[channel];
  out.granted = out.received + window_;
  Frame frame;
  frame.type = FrameType::kRead;
  frame.channel = channel;
  frame.arg = out.received;
  frame.payload = protocol::encode_length(window_);
  link_->send(frame);
}

void NodeSession::read_ahead(uint16_t channel) {
  if (outputs_[channel].granted == 0) grant(channel);
}

Error NodeSession::lost() const {
  const auto& why = link_->lost();
  return Error(Origin::kHost, Kind::kDisconnected, why ? why->what() : "the session was closed");
}

Task<Result<protocol::NodeReport>> NodeSession::report(Deadline deadline, Stop* stop) {
  while (!report_) {
    if (link_->lost()) co_return tl::unexpected(lost());
    const int rc = co_await changed_.wait(deadline, stop);
    if (rc < 0) co_return fail_errno("waiting for the node's end", -rc);
  }
  co_return *report_;
}

Task<Result<std::string>> NodeSession::read(
    uint16_t channel, uint64_t offset, Deadline deadline, Stop* stop) {
  Output& out = outputs_[channel];
  if (offset != out.taken) {
    out = Output();
    out.taken = out.received = out.granted = offset;
  }
  for (;;) {
    // The next window fills while the caller deals with this one.
    const bool used_up = out.received == out.granted && !out.ended;
    if (used_up && !link_->lost()) grant(channel);
    if (!out.bytes.empty()) {
      out.taken = out.received;
      co_return std::exchange(out.bytes, std::string());
    }
    if (out.ended) co_return std::string();
    if (link_->lost()) co_return tl::unexpected(lost());
    const int rc = co_await changed_.wait(deadline, stop);
    if (rc < 0) co_return fail_errno("reading an output from its host", -rc);
  }
}

Task<void> NodeSession::close() {
  stop_.stop();
  range_done_.pulse();
  co_await link_->close();
  co_await tasks_.join();
}

}  // namespace zvm::bridge
