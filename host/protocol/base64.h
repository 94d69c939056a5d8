// Base64 (RFC 4648, section 4) for bytes that travel inside JSON.
#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace zvm::protocol {

std::string base64_encode(std::string_view bytes);
// Canonical text only: whole groups, padding where it is due, unused bits zero, no white space. So
// two texts never stand for the same bytes.
std::optional<std::string> base64_decode(std::string_view text);

}  // namespace zvm::protocol
