// Runs the requests that are jobs: accept → describe → authorise and resolve → admit → run → commit
// → answer, as docs/architecture.md tells it; each phase is one function of execute.cc.
//
// A client that goes away cancels its job: the session's connection is closed, and the host kills
// what runs. Every answer carries X-Zvm-Job.
#pragma once
#include "swift_bridge/connection.h"
#include "swift_bridge/host_client.h"
#include "swift_bridge/place.h"
#include "swift_bridge/swift/authorise.h"

namespace zvm::bridge {

class Executor : public Jobs {
 public:
  // What jobs share. Borrowed; outlives the Executor.
  struct Shared {
    Loop& loop;
    const Config& config;
    SwiftClient& swift;
    Authoriser& authoriser;
    const SwiftConf& conf;
    Placement& placement;
    HostClient& hosts;
  };

  explicit Executor(Shared shared) : shared_(shared) {}

  Task<bool> serve(http::Connection& client, http::RequestHead head, Stop* stop) override;

  size_t running() const { return running_; }

 private:
  Shared shared_;
  size_t running_ = 0;
};

}  // namespace zvm::bridge
