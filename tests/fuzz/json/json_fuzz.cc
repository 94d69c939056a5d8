// JSON: accepts nothing that nlohmann's own parser refuses, refuses beyond that only by its stated
// limits, and what is accepted survives being written and read.
#include <cstdint>

#include "base/json.h"

namespace {

void require(bool holds) {
  if (!holds) __builtin_trap();
}

bool has(const std::string& text, std::string_view part) {
  return text.find(part) != text.npos;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace zvm;
  const std::string_view in(reinterpret_cast<const char*>(data), size);
  JsonLimits limits;
  limits.depth = 8;
  limits.bytes = 4096;
  const auto parsed = parse_json(in, limits);
  const Json plain = Json::parse(in.begin(), in.end(), nullptr, false);
  if (parsed) {
    require(!plain.is_discarded() && plain == *parsed);
    const auto again = parse_json(dump_json(*parsed), {.bytes = size * 64 + 64, .depth = 8});
    require(again && *again == *parsed);
  } else if (!plain.is_discarded()) {
    const std::string& what = parsed.error().what();
    require(has(what, "longer than") || has(what, "nested too deeply") ||
            has(what, "comes twice") || has(what, "NUL"));
  }
  return 0;
}
