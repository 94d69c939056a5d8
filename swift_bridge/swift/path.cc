#include "swift_bridge/swift/path.h"

#include "base/uri.h"

namespace zvm::bridge {

namespace {

// What follows "/v1/" or "/v1.0/", without the query; empty when the target is something else.
std::string_view below_version(std::string_view target) {
  target = target.substr(0, target.find('?'));
  for (const std::string_view version : {"/v1/", "/v1.0/"})
    if (target.substr(0, version.size()) == version) return target.substr(version.size());
  return {};
}

}  // namespace

bool names_account(std::string_view target) {
  const std::string_view rest = below_version(target);
  return !rest.empty() && rest[0] != '/';
}

Outcome<SwiftPath> parse_target(std::string_view target) {
  if (!names_account(target)) return refuse(404, "The path names no account");
  // SECURITY: decoded before it is split, as Swift does: else "AUTH_a%2Fc" would be an account here
  // and a container of AUTH_a in every question that Swift is asked.
  const std::string decoded = percent_decode(below_version(target));
  std::string_view rest = decoded;
  const auto next = [&rest] {
    const std::string_view part = rest.substr(0, rest.find('/'));
    rest.remove_prefix(std::min(rest.size(), part.size() + 1));
    return std::string(part);
  };
  SwiftPath path;
  path.account = next();
  path.container = next();
  path.object = rest;
  if (path.account.empty()) return refuse(404, "The path names no account");
  if (path.container.empty() && !path.object.empty())
    return refuse(404, "The path names an object without a container");
  for (const std::string* part : {&path.account, &path.container, &path.object})
    if (!is_utf8(*part)) return refuse(412, "Invalid UTF8");
  return path;
}

}  // namespace zvm::bridge
