#include "host/protocol/frames.h"

#include <gtest/gtest.h>

#include "base/digest.h"

namespace zvm::protocol {
namespace {

const std::string kKey(32, 'k');

Frame frame(FrameType type, std::string payload = "", uint16_t channel = 0, uint64_t arg = 0,
    uint8_t flags = 0) {
  return {type, flags, channel, arg, std::move(payload)};
}

std::vector<Frame> sample() {
  return {frame(FrameType::kStart), frame(FrameType::kProgram, "ELF", 0, 0x0102030405060708),
      frame(FrameType::kData, std::string(kMaxPayload, 'x'), 0xfffe, UINT64_MAX, kEnd),
      frame(FrameType::kPing), frame(FrameType::kReport, std::string("{\0}", 3))};
}

std::string encode_all(const std::vector<Frame>& frames) {
  FrameWriter writer(kKey);
  std::string bytes;
  for (const Frame& f : frames) bytes += writer.encode(f);
  return bytes;
}

void expect_equal(const Frame& got, const Frame& want) {
  EXPECT_EQ(got.type, want.type);
  EXPECT_EQ(got.flags, want.flags);
  EXPECT_EQ(got.channel, want.channel);
  EXPECT_EQ(got.arg, want.arg);
  EXPECT_EQ(got.payload, want.payload);
}

// All frames that the reader has, and the error that ends them if there is one.
std::vector<Frame> drain(FrameReader& reader, std::optional<Error>* error = nullptr) {
  std::vector<Frame> out;
  for (;;) {
    auto next = reader.next();
    if (!next && error != nullptr) *error = next.error();
    if (!next || !*next) return out;
    out.push_back(**std::move(next));
  }
}

TEST(Frames, HaveTheBytesTheHeaderSays) {
  FrameWriter writer(kKey);
  const std::string bytes = writer.encode(frame(FrameType::kRead, encode_length(4096), 3, 7));
  ASSERT_EQ(bytes.size(), kFrameHeader + 4 + kFrameMac);
  const std::string header(
      "\0\0\0\4\3\0\0\3\0\0\0\0\0\0\0\7"
      "\0\0\x10\0",
      kFrameHeader + 4);
  EXPECT_EQ(bytes.substr(0, header.size()), header);
  const Sha256 mac = hmac_sha256(kKey, std::string(8, '\0') + header);
  EXPECT_EQ(bytes.substr(header.size()),
      std::string(reinterpret_cast<const char*>(mac.data()), kFrameMac));
}

TEST(Frames, ArriveAsTheyWereSentHoweverTheyAreCut) {
  const auto frames = sample();
  const std::string bytes = encode_all(frames);
  for (const size_t piece : {size_t{1}, size_t{7}, size_t{16}, size_t{4096}, bytes.size()}) {
    FrameReader reader(kKey);
    std::vector<Frame> got;
    for (size_t at = 0; at < bytes.size(); at += piece) {
      reader.feed(std::string_view(bytes).substr(at, piece));
      // Byte by byte through the large frame would ask 256 Ki times for the same header.
      if (piece > 1 || at % 97 == 0 || at + 1 == bytes.size())
        for (Frame& f : drain(reader)) got.push_back(std::move(f));
    }
    ASSERT_EQ(got.size(), frames.size()) << piece;
    for (size_t i = 0; i < got.size(); ++i) expect_equal(got[i], frames[i]);
  }
}

TEST(Frames, WaitForWhatIsMissing) {
  const std::string bytes = encode_all({frame(FrameType::kCancel)});
  for (size_t n = 0; n < bytes.size(); ++n) {
    FrameReader reader(kKey);
    reader.feed(std::string_view(bytes).substr(0, n));
    const auto next = reader.next();
    ASSERT_TRUE(next);
    EXPECT_FALSE(*next);
  }
}

TEST(Frames, AnyChangedBitEndsTheStream) {
  const std::string bytes =
      encode_all({frame(FrameType::kData, "some output", 2, 5), frame(FrameType::kPing)});
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string changed = bytes;
    changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ 1 << bit % 8);
    FrameReader reader(kKey);
    reader.feed(changed);
    std::optional<Error> error;
    const auto got = drain(reader, &error);
    EXPECT_LT(got.size(), 2u) << bit;
    // A longer length waits for bytes that never come; everything else is an error at once.
    EXPECT_TRUE(error || bit % (8 * (kFrameHeader + kFrameMac + 11)) < 32) << bit;
  }
}

TEST(Frames, LostRepeatedOrSwappedFramesEndTheStream) {
  FrameWriter writer(kKey);
  const std::string a = writer.encode(frame(FrameType::kData, "a"));
  const std::string b = writer.encode(frame(FrameType::kData, "b"));
  for (const std::string& stream : {b, a + a, b + a}) {
    FrameReader reader(kKey);
    reader.feed(stream);
    std::optional<Error> error;
    EXPECT_LT(drain(reader, &error).size(), 2u);
    ASSERT_TRUE(error);
    EXPECT_EQ(error->kind(), Kind::kDenied);
    // It stays broken, even if what comes next would fit.
    reader.feed(a);
    EXPECT_FALSE(reader.next());
  }
}

TEST(Frames, AnotherKeyIsNoKey) {
  FrameReader reader(std::string(32, 'K'));
  reader.feed(encode_all({frame(FrameType::kPing)}));
  const auto next = reader.next();
  ASSERT_FALSE(next);
  EXPECT_EQ(next.error().kind(), Kind::kDenied);
}

TEST(Frames, AHeaderThatNoFrameHasIsRefusedBeforeItsPayloadComes) {
  const auto start = [](uint32_t length, uint8_t type, uint8_t flags) {
    std::string out = encode_length(length);
    out += static_cast<char>(type);
    out += static_cast<char>(flags);
    return out + std::string(10, '\0');
  };
  for (const std::string& header :
      {start(kMaxPayload + 1, 17, 0), start(UINT32_MAX, 17, 0), start(0, 0, 0), start(0, 7, 0),
          start(0, 20, 0), start(0, 255, 0), start(0, 17, 2), start(0, 17, 0x80)}) {
    FrameReader reader(kKey);
    reader.feed(header);
    const auto next = reader.next();
    ASSERT_FALSE(next);
    EXPECT_EQ(next.error().kind(), Kind::kInvalid);
  }
}

TEST(Frames, LengthsAreFourBytes) {
  EXPECT_EQ(decode_length(encode_length(0x01020304)), 0x01020304u);
  EXPECT_EQ(decode_length(""), std::nullopt);
  EXPECT_EQ(decode_length("123"), std::nullopt);
  EXPECT_EQ(decode_length("12345"), std::nullopt);
}

}  // namespace
}  // namespace zvm::protocol
