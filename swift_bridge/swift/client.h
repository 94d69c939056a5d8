// The bridge's own requests to the stock proxy, through the same pool as everybody's.
#pragma once
#include <chrono>
#include <string>

#include "base/http/connection.h"
#include "swift_bridge/upstream_pool.h"

namespace zvm::bridge {

struct SwiftAnswer {
  unsigned status = 0;
  http::Headers headers;
  std::string body;  // of an answer beyond 2xx: at most its first 64 KiB
};

struct Question {
  std::string method;
  std::string target;     // percent-encoded
  http::Headers headers;  // the credentials, and what else it needs
  size_t max_body = 0;    // a longer 2xx answer is kOverloaded
  std::chrono::milliseconds timeout{30'000};
};

// Bytes of an upload, in order.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  // The next ones; "" at the end.
  virtual Task<Result<std::string>> next(Stop* stop) = 0;
};

class SwiftClient {
 public:
  // host: the Host header of these requests.
  SwiftClient(Loop& loop, UpstreamPool& pool, std::string host)
      : loop_(loop), pool_(pool), host_(std::move(host)) {}

  // For requests that may be sent twice; that happens when a kept-alive connection turns out to be
  // closed. Errors are of origin Swift: nobody answered, or not in time, or not in HTTP.
  Task<Result<SwiftAnswer>> ask(Question question, Stop* stop);

  // PUT of `length` bytes. Asks with Expect: 100-continue before it sends many of them. An error
  // of the source is returned as it is. timeout: without progress.
  Task<Result<SwiftAnswer>> put(std::string target, http::Headers headers, uint64_t length,
      ByteSource& source, std::chrono::milliseconds timeout, Stop* stop);

 private:
  Task<Result<SwiftAnswer>> ask_on(
      http::Connection& connection, const Question& question, Deadline deadline, Stop* stop);

  Loop& loop_;
  UpstreamPool& pool_;
  std::string host_;
};

}  // namespace zvm::bridge
