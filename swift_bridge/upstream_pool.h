// Connections to the stock proxy, kept alive between requests. Bounded; loop thread only.
// A connection is given back only by whoever knows that nothing of its last exchange is left on it.
#pragma once
#include <chrono>
#include <memory>
#include <vector>

#include "base/async/loop.h"
#include "base/error.h"
#include "base/http/connection.h"
#include "base/net.h"

namespace zvm::bridge {

class UpstreamPool {
 public:
  struct Lease {
    std::unique_ptr<http::Connection> connection;
    bool reused = false;  // it may turn out to be closed already: see can_repeat()
  };

  UpstreamPool(Loop& loop, Address address, size_t max_idle)
      : loop_(loop), address_(std::move(address)), max_idle_(max_idle) {}

  // Any connection, or (fresh) a new one. kDisconnected of origin Swift when nobody answers.
  Task<Result<Lease>> take(bool fresh, Deadline deadline, Stop* stop);
  // For the next exchange. Whoever must not reuse a connection destroys it instead.
  void give_back(std::unique_ptr<http::Connection> connection);

  size_t idle() const { return idle_.size(); }

 private:
  struct Idle {
    std::unique_ptr<http::Connection> connection;
    Clock::time_point since;
  };

  Loop& loop_;
  Address address_;
  size_t max_idle_;
  std::vector<Idle> idle_;  // the one used last is at the back
};

// True for a request that may be sent once more, on a new connection, when a reused one ended
// without a byte of an answer: it has no body, and doing it twice is doing it once.
bool can_repeat(const http::RequestHead& head);

}  // namespace zvm::bridge
