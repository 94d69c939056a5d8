// Heads of requests and answers: a prefix never gets another answer than the whole, what is
// accepted can be written and read again, and an independent reader of lines sees the same headers.
#include <cstdint>
#include <string>

#include "base/http/codec.h"

namespace {

using namespace zvm;
using namespace zvm::http;

void require(bool holds) {
  if (!holds) __builtin_trap();
}

constexpr Limits kLimits{.head_bytes = 2048, .headers = 24};

bool same(const Headers& a, const Headers& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
      [](const Header& x, const Header& y) { return x.name == y.name && x.value == y.value; });
}

bool same(const Framing& a, const Framing& b) {
  return a.body == b.body && a.length == b.length && a.keep_alive == b.keep_alive &&
         a.expect_continue == b.expect_continue && a.upgrade == b.upgrade;
}

bool same(const RequestHead& a, const RequestHead& b) {
  return a.method == b.method && a.target == b.target && a.minor == b.minor &&
         same(a.headers, b.headers) && same(a.framing, b.framing);
}

bool same(const ResponseHead& a, const ResponseHead& b) {
  return a.status == b.status && (a.reason == b.reason || a.reason.empty()) && a.minor == b.minor &&
         same(a.headers, b.headers) && same(a.framing, b.framing);
}

// Splits the head into lines with nothing of the codec's.
void require_lines(std::string_view head, const Headers& headers) {
  size_t at = head.find("\r\n") + 2;
  for (const Header& h : headers) {
    const size_t end = head.find("\r\n", at);
    const std::string_view line = head.substr(at, end - at);
    require(line.substr(0, h.name.size()) == h.name && line[h.name.size()] == ':');
    std::string_view value = line.substr(h.name.size() + 1);
    while (!value.empty() && (value.front() == ' ' || value.front() == '\t'))
      value.remove_prefix(1);
    while (!value.empty() && (value.back() == ' ' || value.back() == '\t')) value.remove_suffix(1);
    require(value == h.value);
    at = end + 2;
  }
  require(head.substr(at) == "\r\n");
  require(head.find('\0') == head.npos);
}

void require_framing(const Headers& headers, const Framing& f) {
  const size_t lengths = headers.count("Content-Length");
  const size_t codings = headers.count("Transfer-Encoding");
  require(lengths + codings <= 1);
  if (f.body == Framing::Body::kLength) require(lengths == 1);
  if (f.body == Framing::Body::kChunked)
    require(codings == 1 && equal_ignoring_case(headers.get("Transfer-Encoding"), "chunked"));
  if (f.body == Framing::Body::kUntilClose) require(lengths + codings == 0 && !f.keep_alive);
}

template <class Parse>
void check(std::string_view in, Parse parse) {
  const auto whole = parse(in);
  const size_t step = in.size() < 256 ? 1 : in.size() / 64;
  for (size_t n = 0; n < in.size(); n += step) {
    const auto part = parse(in.substr(0, n));
    if (!part) {
      require(!whole && whole.error().what() == part.error().what());
    } else if (*part) {
      require(whole && *whole && (*whole)->consumed == (*part)->consumed &&
              same((*whole)->head, (*part)->head));
    }
  }
  if (!whole || !*whole) return;
  const auto& [head, consumed] = **whole;
  require(consumed <= in.size() && consumed <= kLimits.head_bytes);
  require(head.headers.size() <= kLimits.headers);
  require_lines(in.substr(0, consumed), head.headers);
  require_framing(head.headers, head.framing);
  const auto bytes = serialize(head);
  require(bytes.has_value());
  // Blanks and the usual reason may make it longer than it was.
  const auto again = parse(*bytes);
  if (bytes->size() > kLimits.head_bytes) return;
  require(again && *again && (*again)->consumed == bytes->size() && same(head, (*again)->head));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view in(reinterpret_cast<const char*>(data), size);
  check(in, [](std::string_view s) { return parse_request_head(s, kLimits); });
  check(in, [](std::string_view s) { return parse_response_head(s, "GET", kLimits); });
  check(in, [](std::string_view s) { return parse_response_head(s, "HEAD", kLimits); });
  return 0;
}
