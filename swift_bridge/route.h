// Which requests are ours. Everything else belongs to Swift and is passed through untouched.
#pragma once
#include "base/http/message.h"

namespace zvm::bridge {

enum class Route : uint8_t { kPassThrough, kJob };

// A job: X-Zerovm-Execute on a path with an account, or a path below /open or /api. Requests signed
// for S3 never are, so that buckets of these names keep working.
Route route(const http::RequestHead& head);

// True for the entry points /open/… and /api/… of a target.
bool is_service_path(std::string_view target);
bool is_signed_for_s3(const http::RequestHead& head);

}  // namespace zvm::bridge
