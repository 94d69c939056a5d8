// Swift's metadata: bounded whatever comes, no prefix and no longer text is accepted beside an
// accepted one, and what was read can be written as Python 2 would and read again.
#include <cstdint>

#include "base/codec/pickle.h"

namespace {

void require(bool holds) {
  if (!holds) __builtin_trap();
}

void append_string(std::string& out, const std::string& bytes) {
  const auto size = static_cast<uint32_t>(bytes.size());
  out += 'T';
  for (int shift = 0; shift < 32; shift += 8) out += static_cast<char>(size >> shift);
  out += bytes;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace zvm;
  const std::string_view in(reinterpret_cast<const char*>(data), size);
  const auto parsed = parse_swift_metadata(in);
  if (!parsed) return 0;
  size_t bytes = 0;
  std::string written = "\x80\x02}(";
  for (const auto& [key, value] : parsed->values) {
    bytes += key.size() + value.size();
    require(parsed->header(key).size() <= value.size());
    append_string(written, key);
    append_string(written, value);
  }
  require(bytes <= 2 * kMaxSwiftMetadata);
  const size_t step = size < 256 ? 1 : size / 64;
  for (size_t n = 0; n < size; n += step) require(!parse_swift_metadata(in.substr(0, n)));
  require(!parse_swift_metadata(std::string(in) + "."));
  written += "u.";
  if (written.size() > kMaxSwiftMetadata) return 0;
  const auto again = parse_swift_metadata(written);
  require(again && again->values == parsed->values && !again->doubly_encoded);
  return 0;
}
