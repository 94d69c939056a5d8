// Digests and keyed digests by libcrypto, hex, and random bytes.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace zvm {

using Sha256 = std::array<uint8_t, 32>;
using Md5 = std::array<uint8_t, 16>;

// Running digest. MD5 is Swift's ETag, never a proof of anything.
class Hasher {
 public:
  enum class Kind : uint8_t { kSha256, kMd5 };
  explicit Hasher(Kind kind);
  Hasher(Hasher&&) noexcept;
  Hasher& operator=(Hasher&&) noexcept;
  ~Hasher();
  void update(std::string_view bytes);
  std::string finish_hex();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

Sha256 sha256(std::string_view bytes);
std::string sha256_hex(std::string_view bytes);
std::string md5_hex(std::string_view bytes);
Md5 md5(std::string_view bytes);
Sha256 hmac_sha256(std::string_view key, std::string_view bytes);

std::string to_hex(std::span<const uint8_t> bytes);
// False unless text is exactly into.size() * 2 hex digits.
bool from_hex(std::string_view text, std::span<uint8_t> into);
// SECURITY: compares in time that depends on the lengths only.
bool equal_constant_time(std::string_view a, std::string_view b);
void random_bytes(std::span<uint8_t> into);
// n random bytes as 2n hex digits.
std::string random_hex(size_t n);

}  // namespace zvm
