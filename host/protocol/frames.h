// Frames of a session, after POST /v1/sessions was answered 101 Switching Protocols.
//
//   header, 16 bytes, big endian: u32 payload length | u8 type | u8 flags | u16 channel | u64 arg
//   payload
//   MAC, 16 bytes: the first half of HMAC-SHA256(key of this direction, u64 sequence | header |
//   payload)
//
// The sequence counts frames of one direction from 0, so a frame that is lost, repeated, moved or
// changed ends the session. Keys are derived from the cluster key and both sides' nonces (auth.h).
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace zvm::protocol {

enum class FrameType : uint8_t {
  // bridge to host
  kProgram = 1,    // arg = offset, payload = bytes of the program
  kStart = 2,      // run it; without this frame within the lease the session is released
  kRead = 3,       // channel, arg = offset, payload = u32 length: wants output bytes from there on
  kRangeData = 4,  // channel, arg = offset, payload = bytes of a remote object, complete or a part
  kRangeFail = 5,  // channel, arg = offset, payload = why
  kCancel = 6,     // kill the program, then report
  // host to bridge
  kStarted = 16,  // the program runs; payload empty
  kData = 17,     // channel, arg = offset, payload = output bytes; flag kEnd: nothing follows
  kRange = 18,    // channel, arg = offset, payload = u32 length: wants bytes of a remote object
  kReport = 19,   // payload = NodeReport as JSON; outputs can still be read after it
  // both ways
  kPing = 32,  // every kPingInterval, so that a dead peer is noticed
};

inline constexpr uint8_t kEnd = 1;  // flag
inline constexpr size_t kFrameHeader = 16;
inline constexpr size_t kFrameMac = 16;
inline constexpr size_t kMaxPayload = 256 * 1024;
inline constexpr uint32_t kMaxRead = 4u << 20;  // length of one kRead or kRange
inline constexpr int kPingSeconds = 5;
inline constexpr int kSilenceSeconds = 20;  // after this the peer counts as lost

struct Frame {
  FrameType type = FrameType::kPing;
  uint8_t flags = 0;
  uint16_t channel = 0;
  uint64_t arg = 0;
  std::string payload;
};

// Bytes of frames in sending order. One per direction.
class FrameWriter {
 public:
  explicit FrameWriter(std::string key) : key_(std::move(key)) {}

  std::string encode(const Frame& frame);

 private:
  std::string key_;
  uint64_t sequence_ = 0;
};

// Takes bytes as they come, gives whole, verified frames. After an error it stays in error.
class FrameReader {
 public:
  explicit FrameReader(std::string key) : key_(std::move(key)) {}

  void feed(std::string_view bytes) { buffer_ += bytes; }

  // nullopt: more bytes are needed. kDenied: a MAC is wrong; kInvalid: no frame can start like
  // this.
  Result<std::optional<Frame>> next();

 private:
  std::string key_;
  std::string buffer_;
  size_t begin_ = 0;
  uint64_t sequence_ = 0;
  bool broken_ = false;
};

std::string encode_length(uint32_t length);
std::optional<uint32_t> decode_length(std::string_view payload);

}  // namespace zvm::protocol
