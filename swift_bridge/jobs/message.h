// The head that a program writes before its output on a device of type message/http (status line
// and headers, CGI's non-parsed headers) or message/cgi (headers, one of them maybe Status). LF or
// CRLF. Bounded and strict: what is no such head is no error but plain bytes, as ever.
#pragma once
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/http/message.h"

namespace zvm::bridge {

enum class MessageKind : uint8_t { kNone, kHttp, kCgi };

MessageKind message_kind(std::string_view content_type);

struct ProgramHead {
  unsigned status = 200;
  http::Headers headers;  // all that the program may set; neither Status nor Content-Length
  uint64_t size = 0;      // bytes of the head, its blank line included
  std::optional<uint64_t> content_length;
};

// first: the output's first bytes. None: not a head, or one that does not end in there.
std::optional<ProgramHead> parse_program_head(MessageKind kind, std::string_view first);

}  // namespace zvm::bridge
