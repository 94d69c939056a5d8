// HTTP/1.1 messages as values (RFC 9112). Heads keep the order and the case of their header lines,
// since S3 clients look at case and a transparent proxy must not rewrite what it does not
// understand.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace zvm::http {

struct Header {
  std::string name;
  std::string value;
};

class Headers {
 public:
  // First value of that name (names compare without case), or null.
  const std::string* find(std::string_view name) const;
  // The value, or "" when absent.
  std::string_view get(std::string_view name) const;
  size_t count(std::string_view name) const;
  void add(std::string_view name, std::string_view value);
  // Replaces every line of that name by one, in the place of the first.
  void set(std::string_view name, std::string_view value);
  void remove(std::string_view name);
  // True when a comma-separated list header has that token (without case): Connection: close.
  bool has_token(std::string_view name, std::string_view token) const;

  size_t size() const { return list_.size(); }

  auto begin() const { return list_.begin(); }

  auto end() const { return list_.end(); }

 private:
  std::vector<Header> list_;
};

// How long the body of a message is, decided from its head alone; ambiguity is an error, never a
// guess.
struct Framing {
  enum class Body : uint8_t { kNone, kLength, kChunked, kUntilClose };
  Body body = Body::kNone;
  uint64_t length = 0;     // kLength only
  bool keep_alive = true;  // the connection may carry another message after this one
  bool expect_continue = false;
  bool upgrade = false;  // Connection: upgrade, or status 101
};

struct RequestHead {
  std::string method;
  std::string target;  // byte for byte as sent
  int minor = 1;       // HTTP/1.<minor>
  Headers headers;
  Framing framing;  // filled by the parser; ignored by the serializer
};

struct ResponseHead {
  unsigned status = 200;
  std::string reason;
  int minor = 1;
  Headers headers;
  Framing framing;  // filled by the parser; ignored by the serializer
};

// The usual phrase for a status code ("" when there is none).
std::string_view reason_phrase(unsigned status);
bool equal_ignoring_case(std::string_view a, std::string_view b);

}  // namespace zvm::http
