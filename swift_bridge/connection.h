// One client's connection as one coroutine: requests one after the other, each a job or passed
// through.
#pragma once
#include <string_view>

#include "base/http/connection.h"
#include "swift_bridge/config.h"
#include "swift_bridge/relay.h"

namespace zvm::bridge {

// Takes the requests that are jobs. The program's implementation is Executor (execute.h).
class Jobs {
 public:
  virtual ~Jobs() = default;
  // Answers the request. True when the connection can carry another one.
  virtual Task<bool> serve(http::Connection& client, http::RequestHead head, Stop* stop) = 0;
};

// What every connection uses. Borrowed; outlives the connections.
struct Service {
  Loop& loop;
  const Config& config;
  Relay& relay;
  Jobs& jobs;
};

// idle: stopped when no new request may begin. stop: stopped when everything must end.
Task<void> serve_connection(Service& service, UniqueFd socket, Stop* idle, Stop* stop);

// A short answer of the bridge itself, text/plain. False when it could not be sent.
Task<bool> answer_text(http::Connection& client, unsigned status, std::string text, bool keep_alive,
    Deadline deadline);

// Closes a connection whose peer may still be sending: the answer is given time to be read, since
// closing with unread bytes would reset it away.
Task<void> close_gently(Loop& loop, http::Connection& client);

}  // namespace zvm::bridge
