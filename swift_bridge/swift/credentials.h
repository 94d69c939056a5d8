// What of a client's request goes along when the bridge asks Swift in the client's name.
// SECURITY: never logged, never sent to a host, gone when the job ends.
#pragma once
#include <string>

#include "base/http/message.h"

namespace zvm::bridge {

struct Credentials {
  // Token, service token, referer (ACLs may grant by it), Authorization of other schemes, cookie:
  // as they came. With X-Trans-Id-Extra = the job's id, which ties Swift's log lines to the job.
  http::Headers headers;
  // SHA-256 of what grants rights: stands for the credentials in caches.
  std::string digest;

  static Credentials of(const http::RequestHead& head, std::string_view job_id);
};

}  // namespace zvm::bridge
