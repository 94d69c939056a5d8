#include "swift_bridge/jobs/status.h"

#include "base/http/message.h"
#include "base/json.h"
#include "swift_bridge/jobs/text.h"

namespace zvm::bridge {

namespace {

unsigned client_status(Kind kind) {
  switch (kind) {
    case Kind::kInvalid:
      return 400;
    case Kind::kNotFound:
      return 404;
    case Kind::kDenied:
      return 403;
    case Kind::kConflict:
    case Kind::kCancelled:
      return 409;
    case Kind::kOverloaded:
      return 413;  // more than the limits of a request allow
    case Kind::kDisconnected:
      return 499;  // nobody reads it; for the log
    case Kind::kTimeout:
      return 408;
    case Kind::kUnsupported:
      return 501;
    case Kind::kInternal:
      break;
  }
  return 500;
}

unsigned swift_status(Kind kind) {
  switch (kind) {
    case Kind::kNotFound:
      return 404;
    case Kind::kDenied:
      return 403;
    case Kind::kConflict:
    case Kind::kCancelled:
      return 409;
    case Kind::kOverloaded:
      return 503;
    case Kind::kTimeout:
      return 504;
    case Kind::kInvalid:  // an answer that makes no sense
    case Kind::kDisconnected:
    case Kind::kUnsupported:
    case Kind::kInternal:
      break;
  }
  return 502;
}

unsigned job_status(Kind kind) {
  switch (kind) {
    case Kind::kInvalid:
      return 400;
    case Kind::kNotFound:
      return 404;
    case Kind::kDenied:
      return 403;
    case Kind::kConflict:
    case Kind::kCancelled:
      return 409;
    case Kind::kUnsupported:
      return 501;
    case Kind::kOverloaded:  // a limit reached while it ran: docs/api.md, "How a node ends"
    case Kind::kDisconnected:
    case Kind::kTimeout:
    case Kind::kInternal:
      break;
  }
  return 500;
}

unsigned host_status(Kind kind) {
  switch (kind) {
    case Kind::kConflict:
    case Kind::kCancelled:
      return 409;
    case Kind::kUnsupported:
      return 501;
    case Kind::kNotFound:  // no host that could run it
    case Kind::kOverloaded:
    case Kind::kDisconnected:
    case Kind::kTimeout:
      return 503;
    case Kind::kInvalid:
    case Kind::kDenied:
    case Kind::kInternal:
      break;
  }
  return 500;
}

}  // namespace

unsigned http_status(Origin origin, Kind kind) {
  switch (origin) {
    case Origin::kClient:
      return client_status(kind);
    case Origin::kSwift:
      return swift_status(kind);
    case Origin::kJob:
      return job_status(kind);
    case Origin::kHost:
      break;
  }
  return host_status(kind);
}

Refusal refusal_of(const Error& error) {
  Refusal r;
  r.status = http_status(error.origin(), error.kind());
  if (r.status == 500 && error.origin() == Origin::kHost)
    r.detail = "An error inside the service; the log has it under the job's id";
  else
    r.detail = printable(error.what(), 1024);
  return r;
}

RefusalBody refusal_body(const Refusal& refusal, std::string_view job_id, bool as_json) {
  std::string detail = printable(refusal.detail, 4096);
  if (detail.empty()) detail = http::reason_phrase(refusal.status);
  if (!as_json) return {"text/plain; charset=utf-8", detail + "\n"};
  std::string phrase(http::reason_phrase(refusal.status));
  if (phrase.empty()) phrase = "Error";
  const Json twin = {{"error", std::move(phrase)}, {"detail", std::move(detail)},
      {"job", std::string(job_id)}, {"node", refusal.node}, {"path", refusal.path}};
  return {"application/json", dump_json(twin) + "\n"};
}

bool wants_json(std::string_view accept) {
  while (!accept.empty()) {
    const size_t comma = accept.find(',');
    const std::string_view item = accept.substr(0, comma);
    if (to_lower(trim(item.substr(0, item.find(';')))) == "application/json") return true;
    accept = comma == accept.npos ? std::string_view() : accept.substr(comma + 1);
  }
  return false;
}

}  // namespace zvm::bridge
