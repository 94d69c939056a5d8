// JSON, bounded. Heavy: include it in .cc files only.
#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/error.h"

namespace zvm {

using Json = nlohmann::json;

struct JsonLimits {
  size_t bytes = 64 * 1024;
  size_t depth = 32;
};

// Refuses what is not one JSON text in UTF-8, deeper or longer than the limits, or has a key twice
// in one object. Errors are kClient/kInvalid (kOverloaded for too long) and say the byte offset.
Result<Json> parse_json(std::string_view text, const JsonLimits& limits = {});
// Compact; bytes that are not UTF-8 are replaced, never thrown at.
std::string dump_json(const Json& value);

}  // namespace zvm
