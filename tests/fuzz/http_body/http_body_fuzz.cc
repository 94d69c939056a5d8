// Chunked bodies: the same bytes and the same end however the input is cut, the same as Beast's
// parser sees where both accept, and what is written is read.
#include <algorithm>
#include <boost/beast/http/basic_parser.hpp>
#include <cstdint>
#include <optional>
#include <string>

#include "base/http/codec.h"

namespace {

using namespace zvm;
using namespace zvm::http;
namespace beast = boost::beast;

void require(bool holds) {
  if (!holds) __builtin_trap();
}

struct Outcome {
  std::string body;
  size_t used = 0;
  bool done = false;
  std::string fault;

  bool operator==(const Outcome&) const = default;
};

// next_piece() gives the sizes of the pieces that the input arrives in.
template <class NextPiece>
Outcome decode(std::string_view in, NextPiece next_piece) {
  ChunkedDecoder decoder;
  Outcome out;
  size_t arrived = 0;
  for (;;) {
    const auto step = decoder.feed(in.substr(out.used, arrived - out.used));
    if (!step) {
      out.fault = step.error().what();
      // How far a refused input was read depends on the cut; what it gave does not.
      out.used = 0;
      return out;
    }
    out.used += step->consumed;
    out.body += step->data;
    require(step->data.size() <= step->consumed);
    if (step->done) {
      out.done = true;
      return out;
    }
    if (step->consumed > 0) continue;
    if (arrived == in.size()) return out;
    arrived = std::min(in.size(), arrived + std::max<size_t>(1, next_piece()));
  }
}

class Oracle final : public beast::http::basic_parser<true> {
 public:
  std::string body;

 private:
  using Code = beast::error_code;
  using View = beast::string_view;

  void on_request_impl(beast::http::verb, View, View, int, Code&) override {}

  void on_response_impl(int, View, int, Code&) override {}

  void on_field_impl(beast::http::field, View, View, Code&) override {}

  void on_header_impl(Code&) override {}

  void on_body_init_impl(const boost::optional<uint64_t>&, Code&) override {}

  size_t on_body_impl(View, Code&) override { return 0; }

  void on_chunk_header_impl(uint64_t, View, Code&) override {}

  size_t on_chunk_body_impl(uint64_t, View data, Code&) override {
    body.append(data.data(), data.size());
    return data.size();
  }

  void on_finish_impl(Code&) override {}
};

// Body and length of what Beast takes for a whole chunked body.
std::optional<Outcome> beast_decode(std::string_view in) {
  const std::string head = "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
  const std::string bytes = head + std::string(in);
  Oracle oracle;
  oracle.eager(true);
  oracle.body_limit(boost::none);
  beast::error_code ec;
  const size_t used = oracle.put(boost::asio::const_buffer(bytes.data(), bytes.size()), ec);
  if (ec || !oracle.is_done()) return std::nullopt;
  Outcome out;
  out.body = oracle.body;
  out.used = used - head.size();
  out.done = true;
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  uint32_t random = data[0];
  const std::string_view in(reinterpret_cast<const char*>(data + 1), size - 1);
  const Outcome whole = decode(in, [&] { return in.size(); });
  const Outcome bytewise = decode(in, [] { return size_t{1}; });
  const auto next = [&] {
    random = random * 1664525 + 1013904223;
    return static_cast<size_t>(random >> 27);
  };
  const Outcome cut = decode(in, next);
  require(whole == bytewise && whole == cut);
  if (whole.done) {
    if (const auto oracle = beast_decode(in)) require(*oracle == whole);
  }

  std::string wire;
  for (size_t at = 0; at < in.size();) {
    const std::string_view piece = in.substr(at, std::max<size_t>(1, next()));
    wire.append(chunk_head(piece.size())).append(piece).append("\r\n");
    at += piece.size();
  }
  wire += kLastChunk;
  const Outcome written = decode(wire, next);
  require(written.done && written.body == in && written.used == wire.size());
  return 0;
}
