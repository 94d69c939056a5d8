#include "swift_bridge/swift/credentials.h"

#include "base/digest.h"

namespace zvm::bridge {

namespace {

constexpr std::string_view kForwarded[] = {
    "X-Auth-Token", "X-Storage-Token", "X-Service-Token", "Authorization", "Referer", "Cookie"};

}  // namespace

Credentials Credentials::of(const http::RequestHead& head, std::string_view job_id) {
  Credentials out;
  Hasher hasher(Hasher::Kind::kSha256);
  for (const auto& h : head.headers) {
    for (const std::string_view name : kForwarded) {
      if (!http::equal_ignoring_case(h.name, name)) continue;
      out.headers.add(name, h.value);
      // Lengths keep two lists apart whose bytes are the same.
      hasher.update(std::string(name) + ":" + std::to_string(h.value.size()) + ":" + h.value);
    }
  }
  out.digest = hasher.finish_hex();
  out.headers.add("X-Trans-Id-Extra", job_id.substr(0, 32));
  return out;
}

}  // namespace zvm::bridge
