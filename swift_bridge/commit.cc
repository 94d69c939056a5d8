#include "swift_bridge/commit.h"

#include "swift_bridge/jobs/answer.h"
#include "swift_bridge/jobs/message.h"

namespace zvm::bridge {

namespace {

constexpr unsigned kTries = 3;
constexpr std::chrono::milliseconds kBreath{200};

// An output's bytes from the host that keeps them.
class SpooledOutput : public ByteSource {
 public:
  SpooledOutput(NodeSession& session, uint16_t channel, uint64_t begin, uint64_t end,
      std::chrono::milliseconds timeout)
      : session_(session), channel_(channel), at_(begin), end_(end), timeout_(timeout) {}

  Task<Result<std::string>> next(Stop* stop) override {
    if (at_ == end_) co_return std::string();
    ZVM_CO_TRY(auto bytes, co_await session_.read(channel_, at_, deadline_in(timeout_), stop));
    if (bytes.empty() || bytes.size() > end_ - at_)
      co_return fail(Origin::kHost, Kind::kDisconnected, "the host kept another number of bytes");
    at_ += bytes.size();
    co_return bytes;
  }

 private:
  NodeSession& session_;
  uint16_t channel_;
  uint64_t at_, end_;
  std::chrono::milliseconds timeout_;
};

bool is_message(const Device& device) {
  return message_kind(device.content_type) != MessageKind::kNone;
}

// The first bytes of an output, as far as a message's head can reach.
Task<Result<std::string>> first_bytes(
    Committing with, uint16_t channel, uint64_t size, Stop* stop) {
  const uint64_t wanted = std::min<uint64_t>(size, kMaxMessageHead);
  SpooledOutput output(with.session, channel, 0, size, with.config.store_timeout);
  std::string first;
  while (first.size() < wanted) {
    ZVM_CO_TRY(const auto bytes, co_await output.next(stop));
    first += bytes;
  }
  co_return first;
}

// A PUT that may succeed if it is tried again: it is the same bytes either way.
bool passes(const Result<SwiftAnswer>& answer) {
  if (!answer) return answer.error().origin() == Origin::kSwift;
  return answer->status / 100 == 5 && answer->status != 507;
}

Task<Outcome<void>> store(Committing with, const Device& device, uint16_t channel,
    const protocol::ChannelReport& kept, Stop* stop) {
  const std::string path = device.path->path();
  const auto failed = [&path](const Error& error) {
    Refusal refusal = refusal_of(error);
    if (error.origin() == Origin::kHost && error.kind() == Kind::kDisconnected)
      refusal = Refusal{500, "host lost while " + path + " was stored", {}, {}};
    refusal.path = path;
    return tl::unexpected(std::move(refusal));
  };
  std::string first;
  if (is_message(device)) {
    auto read = co_await first_bytes(with, channel, kept.size, stop);
    if (!read) co_return failed(read.error());
    first = std::move(*read);
  }
  const StoredHead head = stored_head(device, first);
  http::Headers headers = with.credentials.headers;
  for (const auto& h : head.headers) headers.add(h.name, h.value);
  // Swift checks what arrived; with a part left out, the host's digest is not that of the object.
  if (head.skip == 0 && !kept.md5.empty()) headers.add("ETag", kept.md5);
  const std::string target = device.path->target();
  for (unsigned tries = 1;; ++tries) {
    SpooledOutput bytes(with.session, channel, head.skip, kept.size, with.config.store_timeout);
    auto answer = co_await with.swift.put(
        target, headers, kept.size - head.skip, bytes, with.config.store_timeout, stop);
    if (answer && answer->status / 100 == 2) co_return Outcome<void>();
    if (!passes(answer) || tries == kTries) {
      if (!answer) co_return failed(answer.error());
      std::string text = "Error " + std::to_string(answer->status) + " " +
                         std::string(http::reason_phrase(answer->status)) + " while writing " +
                         path;
      co_return tl::unexpected(Refusal{answer->status, std::move(text), {}, path});
    }
    const int slept = co_await with.loop.sleep_until(deadline_in(kBreath * tries), stop);
    if (slept < 0) co_return failed(errno_error("waiting to store again", -slept));
  }
}

}  // namespace

Task<Outcome<void>> commit(Committing with, const Node& node, const protocol::NodeReport& report,
    std::vector<std::string>* stored, Stop* stop) {
  for (size_t i = 0; i < node.devices.size(); ++i) {
    const Device& device = node.devices[i];
    if (!device.is_stored() || i >= report.channels.size()) continue;
    const protocol::ChannelReport& kept = report.channels[i];
    if (kept.size < device.min_size) continue;
    auto done = co_await store(with, device, static_cast<uint16_t>(i), kept, stop);
    if (!done) co_return done;
    stored->push_back(device.path->path());
  }
  co_return Outcome<void>();
}

}  // namespace zvm::bridge
