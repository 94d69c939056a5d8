#include "swift_bridge/host_link.h"

#include <memory>
#include <span>

namespace zvm::bridge {

namespace {

using protocol::Frame;
using protocol::FrameType;
using std::chrono::seconds;

// PERF: a few frames in flight keep the writer busy while the next one is fetched and signed.
constexpr size_t kMaxQueuedData = 4 * protocol::kMaxPayload;
constexpr size_t kReadSize = 128 * 1024;
constexpr auto kPing = seconds(protocol::kPingSeconds);
constexpr auto kSilence = seconds(protocol::kSilenceSeconds);

}  // namespace

HostLink::HostLink(Loop& loop, std::unique_ptr<http::Connection> connection, Keys keys,
    protocol::HostIdentity host, bool wants_program)
    : loop_(loop),
      connection_(std::move(connection)),
      reader_(std::move(keys.incoming)),
      writer_(std::move(keys.outgoing)),
      host_(std::move(host)),
      wants_program_(wants_program),
      queued_(loop),
      drained_(loop),
      tasks_(loop) {}

HostLink::~HostLink() = default;

void HostLink::start(std::function<Status(Frame)> on_frame, std::function<void()> on_lost) {
  on_frame_ = std::move(on_frame);
  on_lost_ = std::move(on_lost);
  tasks_.spawn(read_frames());
  tasks_.spawn(write_frames());
  tasks_.spawn(ping());
}

void HostLink::lose(Error why) {
  if (lost_) return;
  lost_ = std::move(why);
  stop_.stop();
  drained_.pulse();
  on_lost_();
}

Status HostLink::take(std::string_view bytes) {
  reader_.feed(bytes);
  for (;;) {
    ZVM_TRY(auto frame, reader_.next());
    if (!frame) return {};
    if (frame->type != FrameType::kPing) ZVM_CHECK_OK(on_frame_(std::move(*frame)));
  }
}

Task<void> HostLink::read_frames() {
  auto buffer = std::make_unique_for_overwrite<std::byte[]>(kReadSize);
  const std::span<std::byte> into(buffer.get(), kReadSize);
  while (!stop_.stopped()) {
    auto got = co_await connection_->read_raw(into, deadline_in(kSilence), &stop_);
    if (stop_.stopped()) co_return;
    if (!got) {
      lose(std::move(got).error().while_doing("waiting for the host"));
    } else if (*got == 0) {
      lose(Error(Origin::kHost, Kind::kDisconnected, "the host closed the session"));
    } else if (auto ok = take({reinterpret_cast<const char*>(buffer.get()), *got}); !ok) {
      lose(std::move(ok).error());
    }
  }
}

Task<void> HostLink::write_frames() {
  for (;;) {
    const int rc = co_await queued_.wait(kNever, &stop_);
    if (rc < 0) co_return;
    while (!queue_.empty()) {
      const std::string bytes = std::move(queue_.front());
      queue_.pop_front();
      auto ok = co_await connection_->write(bytes, deadline_in(kSilence), &stop_);
      queued_bytes_ -= bytes.size();
      if (stop_.stopped()) co_return;
      if (!ok) {
        lose(std::move(ok).error().while_doing("writing to the host"));
        co_return;
      }
      drained_.pulse();
    }
    queued_.reset();
  }
}

Task<void> HostLink::ping() {
  const Frame frame;
  for (;;) {
    const int rc = co_await loop_.sleep_until(deadline_in(kPing), &stop_);
    if (rc < 0) co_return;
    if (queue_.empty()) send(frame);
  }
}

void HostLink::send(const Frame& frame) {
  if (stop_.stopped()) return;
  queue_.push_back(writer_.encode(frame));
  queued_bytes_ += queue_.back().size();
  queued_.set();
}

Task<Status> HostLink::send_data(Frame frame, Stop* stop) {
  while (queued_bytes_ >= kMaxQueuedData && !stop_.stopped()) {
    const int rc = co_await drained_.wait(kNever, stop);
    if (rc < 0) co_return fail(Origin::kHost, Kind::kCancelled, "the session ends");
  }
  if (stop_.stopped()) co_return fail(Origin::kHost, Kind::kDisconnected, "the host is gone");
  send(frame);
  co_return Status();
}

Task<void> HostLink::close() {
  stop_.stop();
  drained_.pulse();
  co_await tasks_.join();
  connection_.reset();
}

}  // namespace zvm::bridge
