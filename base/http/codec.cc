#include "base/http/codec.h"

#include <algorithm>
#include <boost/beast/http/basic_parser.hpp>
#include <charconv>
#include <limits>

namespace zvm::http {

namespace {

namespace beast = boost::beast;

constexpr size_t kMaxExtension = 1024;      // of one chunk
constexpr size_t kMaxTrailers = 16 * 1024;  // of one body

bool is_token_char(char c) {
  if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) return true;
  return c != '\0' && std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

bool is_token(std::string_view s) {
  return !s.empty() && std::all_of(s.begin(), s.end(), is_token_char);
}

bool is_control(char c) {
  return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
}

// Field values and reason phrases: visible bytes, blanks and obs-text.
bool is_text(std::string_view s) {
  return std::none_of(s.begin(), s.end(), [](char c) { return is_control(c) && c != '\t'; });
}

// origin-form or "*", byte for byte: Swift gives every byte of it a meaning (object names may be
// raw UTF-8).
bool is_target(std::string_view s) {
  if (s == "*") return true;
  return !s.empty() && s[0] == '/' &&
         std::none_of(s.begin(), s.end(), [](char c) { return is_control(c) || c == ' '; });
}

bool is_version(std::string_view s) {
  return s == "HTTP/1.1" || s == "HTTP/1.0";
}

// What is wrong with a line, or null. Lines come without their CRLF.
const char* request_line_fault(std::string_view line) {
  const size_t a = line.find(' ');
  const size_t b = a == line.npos ? a : line.find(' ', a + 1);
  if (b == line.npos) return "the request line is not method, target and version";
  if (!is_token(line.substr(0, a))) return "the method is not a token";
  if (!is_target(line.substr(a + 1, b - a - 1))) return "the target is not a path";
  if (!is_version(line.substr(b + 1))) return "the version is not HTTP/1.1 or HTTP/1.0";
  return nullptr;
}

const char* status_line_fault(std::string_view line) {
  if (line.size() < 13 || line[8] != ' ' || line[12] != ' ')
    return "the status line is not version, status and reason";
  if (!is_version(line.substr(0, 8))) return "the version is not HTTP/1.1 or HTTP/1.0";
  if (line[9] < '1' || line[9] > '9' || line[10] < '0' || line[10] > '9' || line[11] < '0' ||
      line[11] > '9')
    return "the status is not a number of three digits";
  if (!is_text(line.substr(13))) return "the reason phrase has a control character";
  return nullptr;
}

const char* header_line_fault(std::string_view line) {
  const size_t colon = line.find(':');
  if (colon == line.npos) return "a header line has no colon";
  if (line[0] == ' ' || line[0] == '\t') return "a header line is folded";
  const std::string_view name = line.substr(0, colon);
  if (!name.empty() && (name.back() == ' ' || name.back() == '\t'))
    return "a header name is followed by a space";
  if (!is_token(name)) return "a header name is not a token";
  if (!is_text(line.substr(colon + 1))) return "a header value has a control character";
  return nullptr;
}

// The size of the head, or nullopt when it has not ended.
// SECURITY: looks at one whole line after the other and at nothing behind it, so that what a prefix
// is refused for, the whole is refused for too; and stricter than the decoder that comes after it.
Result<std::optional<size_t>> check_head(std::string_view in, const Limits& limits, Origin origin,
    const char* (*first_line_fault)(std::string_view)) {
  size_t at = 0;
  for (size_t lines = 0;; ++lines) {
    const std::string_view window = in.substr(0, limits.head_bytes);
    const size_t lf = window.find('\n', at);
    if (lf == window.npos) {
      if (in.size() > limits.head_bytes)
        return fail(origin, Kind::kOverloaded,
            "the message head is longer than " + std::to_string(limits.head_bytes) + " bytes");
      return std::nullopt;
    }
    if (lf == at || in[lf - 1] != '\r')
      return fail(origin, Kind::kInvalid, "a line of the message head ends without CR");
    const std::string_view line = in.substr(at, lf - 1 - at);
    at = lf + 1;
    if (lines > 0 && line.empty()) return at;
    if (lines > limits.headers)
      return fail(origin, Kind::kOverloaded,
          "the message has more than " + std::to_string(limits.headers) + " header lines");
    // A lone CR is a control character: the checks of the lines find it.
    if (const char* fault = lines == 0 ? first_line_fault(line) : header_line_fault(line))
      return fail(origin, Kind::kInvalid, fault);
  }
}

// Decodes a head that check_head() has passed.
template <bool kRequest, class Head>
class Decoder final : public beast::http::basic_parser<kRequest> {
 public:
  explicit Decoder(Head& head) : head_(head) {
    this->eager(false);
    this->body_limit(boost::none);
    this->header_limit(std::numeric_limits<uint32_t>::max());
    // The body is not the decoder's concern.
    this->skip(true);
  }

 private:
  using Code = beast::error_code;
  using View = beast::string_view;

  static std::string text(View v) { return std::string(v.data(), v.size()); }

  void on_request_impl(beast::http::verb, View method, View target, int version, Code&) override {
    if constexpr (kRequest) {
      head_.method = text(method);
      head_.target = text(target);
      head_.minor = version - 10;
    }
  }

  void on_response_impl(int status, View reason, int version, Code&) override {
    if constexpr (!kRequest) {
      head_.status = static_cast<unsigned>(status);
      head_.reason = text(reason);
      head_.minor = version - 10;
    }
  }

  void on_field_impl(beast::http::field, View name, View value, Code&) override {
    head_.headers.add({name.data(), name.size()}, {value.data(), value.size()});
  }

  void on_header_impl(Code&) override {}

  void on_body_init_impl(const boost::optional<uint64_t>&, Code&) override {}

  size_t on_body_impl(View, Code&) override { return 0; }

  void on_chunk_header_impl(uint64_t, View, Code&) override {}

  size_t on_chunk_body_impl(uint64_t, View, Code&) override { return 0; }

  void on_finish_impl(Code&) override {}

  Head& head_;
};

template <bool kRequest, class Head>
Status decode(std::string_view bytes, Head& head, Origin origin) {
  Decoder<kRequest, Head> decoder(head);
  beast::error_code ec;
  const size_t used = decoder.put(boost::asio::const_buffer(bytes.data(), bytes.size()), ec);
  if (ec) return fail(origin, Kind::kInvalid, "the message head: " + ec.message());
  if (used != bytes.size() || !decoder.is_header_done())
    return fail(origin, Kind::kInvalid, "the message head is not understood");
  return {};
}

Result<uint64_t> content_length(std::string_view text, Origin origin) {
  uint64_t length = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), length);
  if (ec != std::errc() || end != text.data() + text.size() ||
      length > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
    return fail(origin, Kind::kInvalid, "Content-Length is not a number of bytes");
  return length;
}

// SECURITY: WSGI servers, Swift's eventlet among them, make one variable of Transfer-Encoding and
// Transfer_Encoding: a line that is no framing here would be one there. Other names may have
// underscores, user metadata does.
bool looks_like_framing(std::string_view name) {
  if (name.find('_') == name.npos) return false;
  std::string dashed(name);
  std::replace(dashed.begin(), dashed.end(), '_', '-');
  return equal_ignoring_case(dashed, "Transfer-Encoding") ||
         equal_ignoring_case(dashed, "Content-Length");
}

// The part of the framing that requests and responses share.
// SECURITY: two readings of one length are how requests get smuggled past a proxy: all of them end
// here.
Result<Framing> frame(const Headers& headers, int minor, Origin origin) {
  Framing f;
  const size_t lengths = headers.count("Content-Length");
  const size_t codings = headers.count("Transfer-Encoding");
  if (lengths + codings > 1)
    return fail(origin, Kind::kInvalid, "the length of the body is given more than once");
  if (codings == 1) {
    if (minor == 0) return fail(origin, Kind::kInvalid, "Transfer-Encoding in HTTP/1.0");
    if (!equal_ignoring_case(headers.get("Transfer-Encoding"), "chunked"))
      return fail(origin, Kind::kInvalid, "a transfer coding other than chunked");
    f.body = Framing::Body::kChunked;
  } else if (lengths == 1) {
    f.body = Framing::Body::kLength;
    ZVM_TRY(f.length, content_length(headers.get("Content-Length"), origin));
  }
  f.keep_alive = !headers.has_token("Connection", "close") &&
                 (minor >= 1 || headers.has_token("Connection", "keep-alive"));
  f.upgrade = headers.has_token("Connection", "upgrade");
  return f;
}

bool has_no_body(unsigned status, std::string_view request_method) {
  return status / 100 == 1 || status == 204 || status == 304 || request_method == "HEAD";
}

Status add_headers(const Headers& headers, std::string& out) {
  for (const Header& h : headers) {
    if (!is_token(h.name) || !is_text(h.value))
      return fail(Origin::kHost, Kind::kInvalid,
          "header " + std::string(is_token(h.name) ? h.name : "name") + " can not be sent");
    out.append(h.name).append(": ").append(h.value).append("\r\n");
  }
  out.append("\r\n");
  return {};
}

}  // namespace

Result<std::optional<Parsed<RequestHead>>> parse_request_head(
    std::string_view in, const Limits& limits) {
  constexpr Origin kOrigin = Origin::kClient;
  ZVM_TRY(const auto size, check_head(in, limits, kOrigin, request_line_fault));
  if (!size) return std::nullopt;
  Parsed<RequestHead> parsed;
  RequestHead& head = parsed.head;
  ZVM_CHECK_OK((decode<true>(in.substr(0, *size), head, kOrigin)));
  if (head.headers.count("Host") > 1)
    return fail(kOrigin, Kind::kInvalid, "Host is given more than once");
  for (const Header& h : head.headers)
    if (looks_like_framing(h.name))
      return fail(kOrigin, Kind::kInvalid, "a header name that may be taken for the body's length");
  ZVM_TRY(head.framing, frame(head.headers, head.minor, kOrigin));
  head.framing.expect_continue =
      head.minor >= 1 && head.headers.has_token("Expect", "100-continue");
  parsed.consumed = *size;
  return parsed;
}

Result<std::optional<Parsed<ResponseHead>>> parse_response_head(
    std::string_view in, std::string_view request_method, const Limits& limits) {
  constexpr Origin kOrigin = Origin::kSwift;
  ZVM_TRY(const auto size, check_head(in, limits, kOrigin, status_line_fault));
  if (!size) return std::nullopt;
  Parsed<ResponseHead> parsed;
  ResponseHead& head = parsed.head;
  ZVM_CHECK_OK((decode<false>(in.substr(0, *size), head, kOrigin)));
  ZVM_TRY(head.framing, frame(head.headers, head.minor, kOrigin));
  Framing& f = head.framing;
  if (has_no_body(head.status, request_method)) {
    f.body = Framing::Body::kNone;
    f.length = 0;
  } else if (f.body == Framing::Body::kNone) {
    f.body = Framing::Body::kUntilClose;
    f.keep_alive = false;
  }
  if (head.status == 101) {
    f.upgrade = true;
    f.keep_alive = false;
  }
  parsed.consumed = *size;
  return parsed;
}

Result<std::string> serialize(const RequestHead& head) {
  if (!is_token(head.method) || !is_target(head.target))
    return fail(Origin::kHost, Kind::kInvalid, "the request line can not be sent");
  std::string out;
  out.reserve(512);
  out.append(head.method).append(" ").append(head.target);
  out.append(head.minor == 0 ? " HTTP/1.0\r\n" : " HTTP/1.1\r\n");
  ZVM_CHECK_OK(add_headers(head.headers, out));
  return out;
}

Result<std::string> serialize(const ResponseHead& head) {
  if (head.status < 100 || head.status > 999 || !is_text(head.reason))
    return fail(Origin::kHost, Kind::kInvalid, "the status line can not be sent");
  std::string out;
  out.reserve(512);
  out.append(head.minor == 0 ? "HTTP/1.0 " : "HTTP/1.1 ").append(std::to_string(head.status));
  out.append(" ").append(head.reason.empty() ? reason_phrase(head.status) : head.reason);
  out.append("\r\n");
  ZVM_CHECK_OK(add_headers(head.headers, out));
  return out;
}

namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

auto bad_chunk(const char* what) {
  return fail(Origin::kClient, Kind::kInvalid, std::string("chunked body: ") + what);
}

}  // namespace

Result<ChunkedDecoder::Step> ChunkedDecoder::feed(std::string_view in) {
  size_t at = 0;
  while (at < in.size() && state_ != State::kDone) {
    const char c = in[at];
    switch (state_) {
      case State::kSize:
        if (const int digit = hex_digit(c); digit >= 0) {
          if (++digits_ > 15) return bad_chunk("a size of more than 15 digits");
          left_ = left_ * 16 + static_cast<unsigned>(digit);
        } else if (digits_ == 0) {
          return bad_chunk("a size without digits");
        } else if (c == '\r') {
          state_ = State::kSizeLf;
        } else if (c == ';') {
          line_ = 0;
          state_ = State::kExtension;
        } else {
          return bad_chunk("a size that is not hexadecimal");
        }
        break;
      case State::kExtension:
        if (c == '\r') {
          state_ = State::kSizeLf;
        } else if (is_control(c) && c != '\t') {
          return bad_chunk("a control character in an extension");
        } else if (++line_ > kMaxExtension) {
          return bad_chunk("an extension that is too long");
        }
        break;
      case State::kSizeLf:
        if (c != '\n') return bad_chunk("CR without LF after a size");
        digits_ = 0;
        line_ = 0;
        state_ = left_ > 0 ? State::kData : State::kTrailer;
        break;
      case State::kData: {
        const std::string_view data =
            in.substr(at, static_cast<size_t>(std::min<uint64_t>(left_, in.size() - at)));
        left_ -= data.size();
        if (left_ == 0) state_ = State::kDataCr;
        return Step{at + data.size(), data, false};
      }
      case State::kDataCr:
        if (c != '\r') return bad_chunk("a chunk longer than its size");
        state_ = State::kDataLf;
        break;
      case State::kDataLf:
        if (c != '\n') return bad_chunk("CR without LF after a chunk");
        state_ = State::kSize;
        break;
      case State::kTrailer:
        if (++trailer_ > kMaxTrailers) return bad_chunk("trailers that are too long");
        if (c == '\r') {
          state_ = State::kTrailerLf;
        } else if (is_control(c) && c != '\t') {
          return bad_chunk("a control character in a trailer");
        } else {
          ++line_;
        }
        break;
      case State::kTrailerLf:
        if (c != '\n') return bad_chunk("CR without LF in a trailer");
        state_ = line_ == 0 ? State::kDone : State::kTrailer;
        line_ = 0;
        break;
      case State::kDone:
        break;
    }
    ++at;
  }
  return Step{at, {}, state_ == State::kDone};
}

std::string chunk_head(size_t size) {
  char digits[16];
  const auto end = std::to_chars(digits, digits + sizeof digits, size, 16).ptr;
  return std::string(digits, end).append("\r\n");
}

}  // namespace zvm::http
