// Frames of a session. The input is read twice: as bytes from a stranger, who must never get a
// frame accepted; and as a script of frames that are sent, cut and tampered with.
#include <cstdint>
#include <string_view>
#include <vector>

#include "host/protocol/frames.h"

namespace {

using namespace zvm;
using namespace zvm::protocol;

void require(bool holds) {
  if (!holds) __builtin_trap();
}

constexpr FrameType kTypes[] = {FrameType::kProgram, FrameType::kStart, FrameType::kRead,
    FrameType::kRangeData, FrameType::kRangeFail, FrameType::kCancel, FrameType::kStarted,
    FrameType::kData, FrameType::kRange, FrameType::kReport, FrameType::kPing};

class Script {
 public:
  explicit Script(std::string_view in) : in_(in) {}

  uint8_t byte() {
    if (in_.empty()) return 0;
    const auto b = static_cast<uint8_t>(in_[0]);
    in_.remove_prefix(1);
    return b;
  }

  std::string_view bytes(size_t n) {
    const std::string_view out = in_.substr(0, n);
    in_.remove_prefix(out.size());
    return out;
  }

  bool done() const { return in_.empty(); }

 private:
  std::string_view in_;
};

std::string key() {
  return std::string(32, 'k');
}

// Whatever a stranger sends: no frame, and an error that lasts.
void read_strangers(std::string_view in) {
  FrameReader reader(key());
  reader.feed(in);
  const auto first = reader.next();
  require(!first || !*first);
  if (first) return;
  reader.feed(FrameWriter(key()).encode({}));
  require(!reader.next());
}

std::vector<Frame> frames_of(Script& script) {
  std::vector<Frame> frames;
  while (!script.done() && frames.size() < 32) {
    Frame f;
    f.type = kTypes[script.byte() % std::size(kTypes)];
    f.flags = script.byte() & kEnd;
    f.channel = script.byte();
    f.arg = static_cast<uint64_t>(script.byte()) << 56 | script.byte();
    f.payload = script.bytes(script.byte());
    frames.push_back(std::move(f));
  }
  return frames;
}

// How many frames come out, equal to those that went in, whatever the cuts.
size_t read_cut(std::string_view stream, uint8_t cut, const std::vector<Frame>& sent) {
  FrameReader reader(key());
  size_t got = 0;
  for (size_t at = 0; at < stream.size(); at += cut + 1u) {
    reader.feed(stream.substr(at, cut + 1u));
    for (;;) {
      const auto next = reader.next();
      if (!next) return got;
      if (!*next) break;
      const Frame& f = **next;
      const Frame& want = sent.at(got++);
      require(f.type == want.type && f.flags == want.flags && f.channel == want.channel &&
              f.arg == want.arg && f.payload == want.payload);
    }
  }
  return got;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view in(reinterpret_cast<const char*>(data), size);
  read_strangers(in);

  Script script(in);
  const uint8_t cut = script.byte();
  const size_t where = script.byte() << 8 | script.byte();
  const uint8_t flip = script.byte();
  const auto frames = frames_of(script);
  FrameWriter writer(key());
  std::string stream;
  std::vector<size_t> ends;
  for (const Frame& f : frames) ends.push_back((stream += writer.encode(f)).size());
  require(read_cut(stream, cut, frames) == frames.size());
  if (stream.empty() || flip == 0) return 0;
  const size_t at = where % stream.size();
  stream[at] = static_cast<char>(stream[at] ^ flip);
  size_t before = 0;
  while (ends[before] <= at) ++before;
  require(read_cut(stream, cut, frames) == before);
  return 0;
}
