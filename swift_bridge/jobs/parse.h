// Request → job. Pure and bounded: no I/O, no clock. Every refusal carries the status and the text
// of docs/api.md.
//
//   auto accepted = accept_request(head);       // before the body is read
//   ... read at most accepted->max_body bytes, else 413 too_long_text(*accepted) ...
//   auto job = parse_job(head, target, accepted->kind, body, limits);
//
// A job that is wrong is told so (4xx) before it is told that a part of the API is missing (501).
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/http/message.h"
#include "swift_bridge/jobs/job.h"
#include "swift_bridge/jobs/status.h"

namespace zvm::bridge {

inline constexpr size_t kMaxJobJson = size_t{64} << 10;
inline constexpr size_t kMaxShebangSearch = size_t{128} << 10;
inline constexpr size_t kMaxScript = size_t{512} << 10;  // it travels inside the node's description
inline constexpr size_t kMaxNodeName = 64;
inline constexpr size_t kMaxArgumentCount = 8192;

enum class BodyKind : uint8_t { kJson, kScript };

struct Accepted {
  BodyKind kind = BodyKind::kJson;
  size_t max_body = kMaxJobJson;
};

// The words of a 413.
std::string too_long_text(const Accepted& accepted);

// Looks at the head of a request that carries X-Zerovm-Execute: method, mode, source, deferral,
// kind of body, announced length.
Outcome<Accepted> accept_request(const http::RequestHead& head);

// target: of the request; container and object may be empty. body: complete.
Outcome<Job> parse_job(const http::RequestHead& head, const SwiftPath& target, BodyKind kind,
    std::string_view body, const Limits& limits);

// The two kinds by themselves. `account`: "." and "~" mean it.
Outcome<Job> parse_job_json(
    std::string_view json, const std::string& account, const Limits& limits);
Outcome<Job> parse_script(std::string_view script, const SwiftPath& target, const Limits& limits);

// Limits of a node that asks for none.
void apply_defaults(const Limits& limits, Node* node);

// exec.args → arguments, by the rules of a POSIX shell without expansions: blanks separate; '…' is
// literal; a backslash takes the next character literally, in "…" only before '"' and '\'. Besides,
// \xHH outside '…' is the byte HH. Refused: an open quote, a backslash at the end, NUL.
Outcome<std::vector<std::string>> split_arguments(std::string_view text);

// "swift://account/container/object" → decoded path. None for another scheme, an empty account, a
// name that Swift would refuse. Container and object may be absent.
std::optional<SwiftPath> parse_swift_url(std::string_view url, const std::string& own_account);

}  // namespace zvm::bridge
