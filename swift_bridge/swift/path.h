// Request targets of Swift's API ↔ account, container, object.
#pragma once
#include <string_view>

#include "swift_bridge/jobs/job.h"
#include "swift_bridge/jobs/status.h"

namespace zvm::bridge {

// True for /v1/<account>… (and /v1.0/…, which Swift takes too).
bool names_account(std::string_view target);
// Decoded; the query is left out. 404 for what Swift would not take for a path, 412 "Invalid UTF8".
Outcome<SwiftPath> parse_target(std::string_view target);

}  // namespace zvm::bridge
