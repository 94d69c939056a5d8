#include "host/protocol/base64.h"

#include <array>
#include <cstdint>

namespace zvm::protocol {

namespace {

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr uint8_t kNoDigit = 0xff;

constexpr std::array<uint8_t, 256> digits() {
  std::array<uint8_t, 256> table{};
  table.fill(kNoDigit);
  for (size_t i = 0; i < kAlphabet.size(); ++i)
    table[static_cast<uint8_t>(kAlphabet[i])] = static_cast<uint8_t>(i);
  return table;
}

constexpr std::array<uint8_t, 256> kDigits = digits();

}  // namespace

std::string base64_encode(std::string_view bytes) {
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t at = 0; at < bytes.size(); at += 3) {
    const std::string_view group = bytes.substr(at, 3);
    uint32_t bits = 0;
    for (size_t i = 0; i < 3; ++i)
      bits = bits << 8 | (i < group.size() ? static_cast<uint8_t>(group[i]) : 0u);
    for (size_t i = 0; i < 4; ++i)
      text += i <= group.size() ? kAlphabet[bits >> (18 - 6 * i) & 63] : '=';
  }
  return text;
}

std::optional<std::string> base64_decode(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  std::string bytes;
  bytes.reserve(text.size() / 4 * 3);
  for (size_t at = 0; at < text.size(); at += 4) {
    std::string_view group = text.substr(at, 4);
    // Padding: one or two signs at the very end.
    if (at + 4 == text.size())
      for (int i = 0; i < 2 && group.back() == '='; ++i) group.remove_suffix(1);
    uint32_t bits = 0;
    for (const char c : group) {
      const uint8_t digit = kDigits[static_cast<uint8_t>(c)];
      if (digit == kNoDigit) return std::nullopt;
      bits = bits << 6 | digit;
    }
    bits <<= 6 * (4 - group.size());
    const size_t count = group.size() - 1;
    for (size_t i = 0; i < count; ++i) bytes += static_cast<char>(bits >> (16 - 8 * i) & 0xff);
    if (count < 3 && (bits & (0xffffffu >> (8 * count))) != 0) return std::nullopt;
  }
  return bytes;
}

}  // namespace zvm::protocol
