#include "host/protocol/frames.h"

#include <span>

#include "base/check.h"
#include "base/digest.h"

namespace zvm::protocol {

namespace {

// Consumed bytes at the front of the buffer are kept up to this many before the rest is moved.
constexpr size_t kCompactAt = 64 * 1024;
constexpr size_t kSequence = 8;

template <class T>
void put(std::string& out, T value) {
  for (int shift = 8 * (static_cast<int>(sizeof value) - 1); shift >= 0; shift -= 8)
    out += static_cast<char>(static_cast<uint64_t>(value) >> shift & 0xff);
}

template <class T>
T get(std::string_view in, size_t at) {
  uint64_t value = 0;
  for (size_t i = 0; i < sizeof(T); ++i) value = value << 8 | static_cast<uint8_t>(in[at + i]);
  return static_cast<T>(value);
}

bool is_known(uint8_t type) {
  switch (static_cast<FrameType>(type)) {
    case FrameType::kProgram:
    case FrameType::kStart:
    case FrameType::kRead:
    case FrameType::kRangeData:
    case FrameType::kRangeFail:
    case FrameType::kCancel:
    case FrameType::kStarted:
    case FrameType::kData:
    case FrameType::kRange:
    case FrameType::kReport:
    case FrameType::kPing:
      return true;
  }
  return false;
}

std::string mac_of(std::string_view key, std::string_view signed_bytes) {
  const Sha256 mac = hmac_sha256(key, signed_bytes);
  return std::string(reinterpret_cast<const char*>(mac.data()), kFrameMac);
}

}  // namespace

std::string FrameWriter::encode(const Frame& frame) {
  ZVM_CHECK(frame.payload.size() <= kMaxPayload);
  std::string out;
  out.reserve(kSequence + kFrameHeader + frame.payload.size() + kFrameMac);
  put<uint64_t>(out, sequence_++);
  put<uint32_t>(out, static_cast<uint32_t>(frame.payload.size()));
  put<uint8_t>(out, static_cast<uint8_t>(frame.type));
  put<uint8_t>(out, frame.flags);
  put<uint16_t>(out, frame.channel);
  put<uint64_t>(out, frame.arg);
  out += frame.payload;
  out += mac_of(key_, out);
  // The sequence is signed but not sent: both ends count.
  out.erase(0, kSequence);
  return out;
}

Result<std::optional<Frame>> FrameReader::next() {
  if (broken_) return fail(Origin::kHost, Kind::kInvalid, "frames: this stream has failed before");
  const std::string_view in = std::string_view(buffer_).substr(begin_);
  if (in.size() < kFrameHeader) return std::nullopt;
  // Bounds first: what is kept waiting for a MAC is never more than one frame.
  const auto length = get<uint32_t>(in, 0);
  const auto type = get<uint8_t>(in, 4);
  const auto flags = get<uint8_t>(in, 5);
  if (length > kMaxPayload || !is_known(type) || (flags & ~kEnd) != 0) {
    broken_ = true;
    return fail(Origin::kHost, Kind::kInvalid,
        "frames: no frame starts like this: type " + std::to_string(type) + ", flags " +
            std::to_string(flags) + ", length " + std::to_string(length));
  }
  const size_t body = kFrameHeader + length;
  if (in.size() < body + kFrameMac) return std::nullopt;

  std::string signed_bytes;
  signed_bytes.reserve(kSequence + body);
  put<uint64_t>(signed_bytes, sequence_);
  signed_bytes += in.substr(0, body);
  if (!equal_constant_time(mac_of(key_, signed_bytes), in.substr(body, kFrameMac))) {
    broken_ = true;
    return fail(
        Origin::kHost, Kind::kDenied, "frames: wrong MAC on frame " + std::to_string(sequence_));
  }
  ++sequence_;
  Frame frame;
  frame.type = static_cast<FrameType>(type);
  frame.flags = flags;
  frame.channel = get<uint16_t>(in, 6);
  frame.arg = get<uint64_t>(in, 8);
  signed_bytes.erase(0, kSequence + kFrameHeader);
  frame.payload = std::move(signed_bytes);

  begin_ += body + kFrameMac;
  if (begin_ == buffer_.size() || begin_ >= kCompactAt) {
    buffer_.erase(0, begin_);
    begin_ = 0;
  }
  return std::optional<Frame>(std::move(frame));
}

std::string encode_length(uint32_t length) {
  std::string out;
  put<uint32_t>(out, length);
  return out;
}

std::optional<uint32_t> decode_length(std::string_view payload) {
  if (payload.size() != sizeof(uint32_t)) return std::nullopt;
  return get<uint32_t>(payload, 0);
}

}  // namespace zvm::protocol
