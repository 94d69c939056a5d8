// Stores a node's outputs: PUT through the proxy with the client's own credentials, from the host's
// spool to Swift in one stream, after the node has ended.
#pragma once
#include "swift_bridge/config.h"
#include "swift_bridge/jobs/job.h"
#include "swift_bridge/jobs/status.h"
#include "swift_bridge/node_session.h"
#include "swift_bridge/swift/client.h"
#include "swift_bridge/swift/credentials.h"

namespace zvm::bridge {

struct Committing {
  Loop& loop;
  const Config& config;
  SwiftClient& swift;
  const Credentials& credentials;
  NodeSession& session;
};

// Every stored output of the node that has its min_size, one after the other. The first that can
// not be stored is the refusal: its PUT's status, 502 when Swift gave none. `stored`: paths done.
Task<Outcome<void>> commit(Committing with, const Node& node, const protocol::NodeReport& report,
    std::vector<std::string>* stored, Stop* stop);

}  // namespace zvm::bridge
