// What this machine can do, found out by doing it once at start.
#pragma once
#include "base/error.h"
#include "host/node.h"

namespace zvm::host {

// Makes one FUSE connection and registers a file with it; clones a file in each device's spool
// folder. Logs what it found. An error: FUSE itself does not work, so no session could run.
Task<Result<Rungs>> probe_rungs(Loop& loop, BrokerClient& broker, const Config& config);

}  // namespace zvm::host
