// Percent-encoding (RFC 3986).
#pragma once
#include <string>
#include <string_view>

namespace zvm {

// Encodes all but unreserved characters and those in `keep`.
std::string percent_encode(std::string_view bytes, std::string_view keep = "/");
// A bad escape stands for itself.
std::string percent_decode(std::string_view text);
// True for well-formed UTF-8 without NUL.
bool is_utf8(std::string_view bytes);

}  // namespace zvm
