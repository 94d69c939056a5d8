#include "host/peer.h"

#include <array>

namespace zvm::host {

namespace {

using protocol::Frame;
using protocol::FrameType;
using std::chrono::seconds;

// PERF: four frames in flight keep the writer busy while the next one is read and signed.
constexpr size_t kMaxQueuedData = 4 * protocol::kMaxPayload;
constexpr auto kPing = seconds(protocol::kPingSeconds);
constexpr auto kSilence = seconds(protocol::kSilenceSeconds);

}  // namespace

Peer::Peer(Loop& loop, http::Connection& connection, Keys keys)
    : loop_(loop),
      connection_(connection),
      reader_(std::move(keys.incoming)),
      writer_(std::move(keys.outgoing)),
      queued_(loop),
      drained_(loop),
      tasks_(loop) {}

Peer::~Peer() = default;

void Peer::start(std::function<Status(Frame)> on_frame, std::function<void()> on_lost) {
  on_frame_ = std::move(on_frame);
  on_lost_ = std::move(on_lost);
  tasks_.spawn(read_frames());
  tasks_.spawn(write_frames());
  tasks_.spawn(ping());
}

void Peer::lose(Error why) {
  if (lost_) return;
  lost_ = std::move(why);
  stop_.stop();
  drained_.pulse();
  on_lost_();
}

Status Peer::take(std::string_view bytes) {
  reader_.feed(bytes);
  for (;;) {
    ZVM_TRY(auto frame, reader_.next());
    if (!frame) return {};
    if (frame->type != FrameType::kPing) ZVM_CHECK_OK(on_frame_(std::move(*frame)));
  }
}

Task<void> Peer::read_frames() {
  // PERF: a frame of data is larger than what one receive gives; 64 KiB is what Connection fills.
  std::array<std::byte, 64 * 1024> buffer;
  for (;;) {
    auto got = co_await connection_.read_raw(buffer, deadline_in(kSilence), &stop_);
    if (stop_.stopped()) co_return;
    if (!got) {
      lose(std::move(got).error().while_doing("waiting for the bridge"));
      co_return;
    }
    if (*got == 0) {
      lose(Error(Origin::kClient, Kind::kDisconnected, "the bridge closed the session"));
      co_return;
    }
    if (auto ok = take({reinterpret_cast<const char*>(buffer.data()), *got}); !ok) {
      lose(std::move(ok).error());
      co_return;
    }
    if (stop_.stopped()) co_return;
  }
}

Task<void> Peer::write_frames() {
  for (;;) {
    const int rc = co_await queued_.wait(kNever, &stop_);
    if (rc < 0) co_return;
    while (!queue_.empty()) {
      const std::string bytes = std::move(queue_.front());
      queue_.pop_front();
      auto ok = co_await connection_.write(bytes, deadline_in(kSilence), &stop_);
      queued_bytes_ -= bytes.size();
      if (stop_.stopped()) co_return;
      if (!ok) {
        lose(std::move(ok).error().while_doing("writing to the bridge"));
        co_return;
      }
      drained_.pulse();
    }
    queued_.reset();
  }
}

Task<void> Peer::ping() {
  const Frame frame;
  for (;;) {
    const int rc = co_await loop_.sleep_until(deadline_in(kPing), &stop_);
    if (rc < 0) co_return;
    // What is queued already shows the bridge that this host lives.
    if (queue_.empty()) send(frame);
  }
}

void Peer::send(const Frame& frame) {
  if (stop_.stopped()) return;
  queue_.push_back(writer_.encode(frame));
  queued_bytes_ += queue_.back().size();
  queued_.set();
}

Task<Status> Peer::send_data(Frame frame, Stop* stop) {
  while (queued_bytes_ >= kMaxQueuedData && !stop_.stopped()) {
    const int rc = co_await drained_.wait(kNever, stop);
    if (rc < 0) co_return fail(Origin::kHost, Kind::kCancelled, "the session ends");
  }
  if (stop_.stopped()) co_return fail(Origin::kClient, Kind::kDisconnected, "the bridge is gone");
  send(frame);
  co_return Status{};
}

Task<void> Peer::flush(Deadline deadline) {
  while (queued_bytes_ > 0 && !stop_.stopped()) {
    const int rc = co_await drained_.wait(deadline);
    if (rc < 0) co_return;
  }
}

Task<void> Peer::close() {
  stop_.stop();
  drained_.pulse();
  co_await tasks_.join();
}

}  // namespace zvm::host
