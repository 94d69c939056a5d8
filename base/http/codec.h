// Bytes <-> HTTP/1.1 heads and chunked bodies. No I/O, no clock, bounded memory.
// Beast's basic_parser decodes; on top of it everything ambiguous is refused: a second or malformed
// Content-Length, Content-Length beside Transfer-Encoding, a transfer coding other than chunked, a
// folded line, a bare LF or CR, a NUL, a space before the colon, a second Host, a target that is
// neither a path nor "*", and a request's Transfer_Encoding or Content_Length, which some servers
// take for the real ones.
#pragma once
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/http/message.h"

namespace zvm::http {

struct Limits {
  size_t head_bytes = 64 * 1024;  // request or status line and all header lines
  size_t headers = 256;
};

template <class Head>
struct Parsed {
  Head head;
  size_t consumed = 0;  // bytes of the input that were the head
};

// nullopt: the head has not ended yet. A prefix may ask for more but never gives another answer.
// Errors are Origin::kClient / kInvalid, or kOverloaded when a limit was passed (431).
Result<std::optional<Parsed<RequestHead>>> parse_request_head(
    std::string_view in, const Limits& limits);
// request_method: decides whether there is a body (HEAD has none). Errors are Origin::kSwift.
Result<std::optional<Parsed<ResponseHead>>> parse_response_head(
    std::string_view in, std::string_view request_method, const Limits& limits);

// Heads to bytes, ending in the empty line. Refuses what the parser would refuse: control
// characters, names that are no tokens. An empty reason becomes the usual phrase.
Result<std::string> serialize(const RequestHead& head);
Result<std::string> serialize(const ResponseHead& head);

// Takes the chunked coding off a body. Trailers are read and dropped; extensions are ignored.
class ChunkedDecoder {
 public:
  struct Step {
    size_t consumed = 0;    // bytes of the input used up
    std::string_view data;  // body bytes, a part of the input; may be empty
    bool done = false;      // the last chunk and the trailers have been read
  };

  // Call again with the rest of the input until it consumes nothing and gives no data.
  Result<Step> feed(std::string_view in);

 private:
  enum class State : uint8_t {
    kSize,
    kExtension,
    kSizeLf,
    kData,
    kDataCr,
    kDataLf,
    kTrailer,
    kTrailerLf,
    kDone
  };
  State state_ = State::kSize;
  uint64_t left_ = 0;
  unsigned digits_ = 0;
  size_t line_ = 0;     // bytes of the current extension or trailer line
  size_t trailer_ = 0;  // bytes of all trailers
};

// "1a\r\n" for a chunk of 26 bytes; "0\r\n\r\n" is kLastChunk.
std::string chunk_head(size_t size);
inline constexpr std::string_view kLastChunk = "0\r\n\r\n";

}  // namespace zvm::http
