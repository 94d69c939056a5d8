#include "swift_bridge/jobs/job.h"

#include "base/uri.h"

namespace zvm::bridge {

namespace {

std::string joined(
    const SwiftPath& p, std::string (*encode)(std::string_view, bool whole_segment)) {
  std::string out = encode(p.account, true);
  if (p.container.empty()) return out;
  out += '/';
  out += encode(p.container, true);
  if (p.object.empty()) return out;
  out += '/';
  out += encode(p.object, false);
  return out;
}

std::string plain(std::string_view s, bool) {
  return std::string(s);
}

std::string encoded(std::string_view s, bool whole_segment) {
  return percent_encode(s, whole_segment ? "" : "/");
}

}  // namespace

std::string SwiftPath::path() const {
  return "/" + joined(*this, plain);
}

std::string SwiftPath::url() const {
  return "swift://" + joined(*this, encoded);
}

std::string SwiftPath::target() const {
  return "/v1/" + joined(*this, encoded);
}

}  // namespace zvm::bridge
