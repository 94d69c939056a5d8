#include "swift_bridge/route.h"

#include "swift_bridge/swift/path.h"

namespace zvm::bridge {

namespace {

bool starts_with(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

// True when the query of the target has a parameter of that name.
bool has_parameter(std::string_view target, std::string_view name) {
  size_t at = target.find('?');
  while (at != target.npos) {
    const std::string_view rest = target.substr(at + 1);
    const std::string_view parameter = rest.substr(0, rest.find('&'));
    if (http::equal_ignoring_case(parameter.substr(0, parameter.find('=')), name)) return true;
    at = target.find('&', at + 1);
  }
  return false;
}

}  // namespace

bool is_signed_for_s3(const http::RequestHead& head) {
  const std::string_view authorization = head.headers.get("Authorization");
  if (starts_with(authorization, "AWS ") || starts_with(authorization, "AWS4-")) return true;
  return has_parameter(head.target, "X-Amz-Algorithm") ||
         has_parameter(head.target, "X-Amz-Signature") ||
         has_parameter(head.target, "AWSAccessKeyId");
}

bool is_service_path(std::string_view target) {
  for (const std::string_view entry : {"/open/", "/api/"})
    if (starts_with(target, entry) && target.size() > entry.size()) return true;
  return false;
}

Route route(const http::RequestHead& head) {
  const bool asks = head.headers.find("X-Zerovm-Execute") != nullptr;
  if (!asks && !is_service_path(head.target)) return Route::kPassThrough;
  if (is_signed_for_s3(head)) return Route::kPassThrough;
  if (asks && !is_service_path(head.target) && !names_account(head.target))
    return Route::kPassThrough;
  return Route::kJob;
}

}  // namespace zvm::bridge
