#include "base/digest.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sys/random.h>

#include <cerrno>

#include "base/check.h"

namespace zvm {

namespace {

// Fetched once. A host whose OpenSSL has no MD5 (FIPS) can not check Swift's ETags at all: it ends
// here, by name, and not with digests that silently differ.
const EVP_MD* algorithm(Hasher::Kind kind) {
  if (kind == Hasher::Kind::kMd5) {
    static EVP_MD* const md5_of_libcrypto = EVP_MD_fetch(nullptr, "MD5", nullptr);
    ZVM_CHECK(md5_of_libcrypto != nullptr);
    return md5_of_libcrypto;
  }
  static EVP_MD* const sha256_of_libcrypto = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  ZVM_CHECK(sha256_of_libcrypto != nullptr);
  return sha256_of_libcrypto;
}

template <class Digest>
Digest digest_of(Hasher::Kind kind, std::string_view bytes) {
  Digest out{};
  unsigned size = 0;
  const int ok =
      EVP_Digest(bytes.data(), bytes.size(), out.data(), &size, algorithm(kind), nullptr);
  ZVM_CHECK(ok == 1 && size == out.size());
  return out;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

struct Hasher::Impl {
  EVP_MD_CTX* context = EVP_MD_CTX_new();

  ~Impl() { EVP_MD_CTX_free(context); }
};

Hasher::Hasher(Kind kind) : impl_(std::make_unique<Impl>()) {
  ZVM_CHECK(EVP_DigestInit_ex(impl_->context, algorithm(kind), nullptr) == 1);
}

Hasher::Hasher(Hasher&&) noexcept = default;
Hasher& Hasher::operator=(Hasher&&) noexcept = default;
Hasher::~Hasher() = default;

void Hasher::update(std::string_view bytes) {
  ZVM_CHECK(EVP_DigestUpdate(impl_->context, bytes.data(), bytes.size()) == 1);
}

std::string Hasher::finish_hex() {
  uint8_t out[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  ZVM_CHECK(EVP_DigestFinal_ex(impl_->context, out, &size) == 1);
  return to_hex({out, size});
}

Sha256 sha256(std::string_view bytes) {
  return digest_of<Sha256>(Hasher::Kind::kSha256, bytes);
}

Md5 md5(std::string_view bytes) {
  return digest_of<Md5>(Hasher::Kind::kMd5, bytes);
}

std::string sha256_hex(std::string_view bytes) {
  return to_hex(sha256(bytes));
}

std::string md5_hex(std::string_view bytes) {
  return to_hex(md5(bytes));
}

Sha256 hmac_sha256(std::string_view key, std::string_view bytes) {
  Sha256 out{};
  unsigned size = 0;
  // A null key would mean "the key of the call before".
  const char* key_data = key.data() != nullptr ? key.data() : "";
  const auto* done = HMAC(algorithm(Hasher::Kind::kSha256), key_data, static_cast<int>(key.size()),
      reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(), out.data(), &size);
  ZVM_CHECK(done != nullptr && size == out.size());
  return out;
}

std::string to_hex(std::span<const uint8_t> bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const uint8_t b : bytes) {
    text += kDigits[b >> 4];
    text += kDigits[b & 15];
  }
  return text;
}

bool from_hex(std::string_view text, std::span<uint8_t> into) {
  if (text.size() != into.size() * 2) return false;
  for (size_t i = 0; i < into.size(); ++i) {
    const int high = hex_digit(text[2 * i]);
    const int low = hex_digit(text[2 * i + 1]);
    if (high < 0 || low < 0) return false;
    into[i] = static_cast<uint8_t>(high * 16 + low);
  }
  return true;
}

bool equal_constant_time(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

void random_bytes(std::span<uint8_t> into) {
  while (!into.empty()) {
    const ssize_t n = ::getrandom(into.data(), into.size(), 0);
    ZVM_CHECK(n > 0 || errno == EINTR);
    if (n > 0) into = into.subspan(static_cast<size_t>(n));
  }
}

std::string random_hex(size_t n) {
  std::string bytes(n, '\0');
  const std::span<uint8_t> raw(reinterpret_cast<uint8_t*>(bytes.data()), n);
  random_bytes(raw);
  return to_hex(raw);
}

}  // namespace zvm
