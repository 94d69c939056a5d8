#include "swift_bridge/jobs/message.h"

#include <charconv>

#include "swift_bridge/jobs/text.h"

namespace zvm::bridge {

namespace {

constexpr size_t kMaxHeaders = 100;
constexpr size_t kMaxValue = 4096;

// SECURITY: headers that frame the answer, that tell who we are, or that tell how the job went are
// ours.
bool is_ours(std::string_view lower_name) {
  for (const std::string_view prefix : {"x-nexe-", "x-zvm-", "proxy-"})
    if (lower_name.substr(0, prefix.size()) == prefix) return true;
  for (const std::string_view name : {"mtime", "connection", "keep-alive", "transfer-encoding",
           "te", "trailer", "upgrade", "date", "x-trans-id", "x-openstack-request-id"})
    if (lower_name == name) return true;
  return false;
}

// A status that can end a request: no 1xx.
std::optional<unsigned> parse_status(std::string_view text) {
  unsigned status = 0;
  if (text.size() < 3 || (text.size() > 3 && text[3] != ' ')) return std::nullopt;
  const std::string_view digits = text.substr(0, 3);
  const auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), status);
  if (ec != std::errc() || end != digits.data() + digits.size() || status < 200 || status > 599)
    return std::nullopt;
  return status;
}

class Lines {
 public:
  explicit Lines(std::string_view text) : text_(text) {}

  // The next line without its end; none when it does not end in here.
  std::optional<std::string_view> next() {
    const size_t lf = text_.find('\n', at_);
    if (lf == text_.npos) return std::nullopt;
    std::string_view line = text_.substr(at_, lf - at_);
    at_ = lf + 1;
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    return line;
  }

  size_t consumed() const { return at_; }

 private:
  std::string_view text_;
  size_t at_ = 0;
};

bool add_line(MessageKind kind, std::string_view line, ProgramHead* head) {
  const size_t colon = line.find(':');
  if (colon == line.npos || !is_token(line.substr(0, colon))) return false;
  const std::string_view name = line.substr(0, colon);
  const std::string_view value = trim(line.substr(colon + 1));
  for (const char c : value)
    if (is_control(c) && c != '\t') return false;
  if (value.size() > kMaxValue || head->headers.size() >= kMaxHeaders) return false;
  const std::string lower = to_lower(name);
  if (kind == MessageKind::kCgi && lower == "status") {
    const auto status = parse_status(value);
    if (!status) return false;
    head->status = *status;
  } else if (lower == "content-length") {
    uint64_t length = 0;
    const auto [end, ec] = std::from_chars(value.data(), value.data() + value.size(), length);
    if (ec != std::errc() || end != value.data() + value.size()) return false;
    head->content_length = length;
  } else if (!is_ours(lower)) {
    head->headers.add(name, value);
  }
  return true;
}

}  // namespace

MessageKind message_kind(std::string_view content_type) {
  const std::string type = to_lower(trim(content_type.substr(0, content_type.find(';'))));
  if (type == "message/http") return MessageKind::kHttp;
  if (type == "message/cgi") return MessageKind::kCgi;
  return MessageKind::kNone;
}

std::optional<ProgramHead> parse_program_head(MessageKind kind, std::string_view first) {
  if (kind == MessageKind::kNone) return std::nullopt;
  ProgramHead head;
  Lines lines(first);
  if (kind == MessageKind::kHttp) {
    const auto line = lines.next();
    if (!line || (line->substr(0, 9) != "HTTP/1.0 " && line->substr(0, 9) != "HTTP/1.1 "))
      return std::nullopt;
    const auto status = parse_status(line->substr(9));
    if (!status) return std::nullopt;
    head.status = *status;
  }
  size_t count = 0;
  for (;; ++count) {
    const auto line = lines.next();
    if (!line) return std::nullopt;
    if (line->empty()) break;
    if (!add_line(kind, *line, &head)) return std::nullopt;
  }
  // A CGI answer has a header at least; an output that begins with an empty line has none.
  if (kind == MessageKind::kCgi && count == 0) return std::nullopt;
  head.size = lines.consumed();
  return head;
}

}  // namespace zvm::bridge
