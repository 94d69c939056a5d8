// Passes a request that is no job on to the stock proxy, and its answer back, as if nobody stood in
// between: target byte for byte, header lines in their order and case, any method. What belongs to
// one connection only (Connection and what it names, Keep-Alive, TE, Trailer, Upgrade, trailers) is
// not passed on. Bodies go through in pieces of at most kRelayBuffer bytes, never as a whole.
//
//   Expect: 100-continue  is Swift's to answer: it is forwarded, and its 100 relayed when it comes
//   an early final answer is relayed at once, while the rest of the request's body goes on to Swift
//   a truncated answer    is passed on as one: the client's connection is closed without a last
//   chunk a client that aborts  closes the connection to Swift at once; a short body is never
//   completed.
//                         (A client that only shuts down its sending side still gets its answer.)
#pragma once
#include "base/http/connection.h"
#include "swift_bridge/config.h"
#include "swift_bridge/upstream_pool.h"

namespace zvm::bridge {

inline constexpr size_t kRelayBuffer = 128 * 1024;

class Relay {
 public:
  Relay(Loop& loop, UpstreamPool& pool, const Config& config)
      : loop_(loop), pool_(pool), config_(config) {}

  // True when the client's connection can carry another request.
  Task<bool> pass(http::Connection& client, http::RequestHead head, Stop* stop);

 private:
  Loop& loop_;
  UpstreamPool& pool_;
  const Config& config_;
};

// The head for the next hop.
http::RequestHead forwarded(const http::RequestHead& head);
http::ResponseHead forwarded(
    const http::ResponseHead& head, const http::RequestHead& request, bool keep_client);

}  // namespace zvm::bridge
