// What a daemon owes its surroundings: hardening of its own process, signals, systemd's notices.
#pragma once
#include <string_view>

#include "base/async/loop.h"
#include "base/error.h"
#include "base/sys/fd.h"

namespace zvm::host {

// No core dumps, no ptrace by the own user: the cluster key is in memory. No new privileges, as
// many descriptors as allowed; files that are made are for the own user only.
Status harden_process();
// SIGTERM and SIGINT as a descriptor. Call before any thread is made: all inherit the mask.
Result<UniqueFd> stop_signals();
// Returns when a stop signal came, having stopped `stop`; or when `cancel` was stopped.
Task<void> wait_for_stop(Loop& loop, FdRef signals, Stop& stop, Stop& cancel);
// "READY=1", "STOPPING=1" to systemd, where it listens (sd_notify(3)).
void notify(std::string_view state);

}  // namespace zvm::host
