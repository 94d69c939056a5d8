// Staging: from the channels of a description to files. Replicas are opened and checked against the
// pinned version on the pool of threads; what is not to be had here becomes a remote channel, or
// refuses the session when the description requires the replica.
#pragma once
#include <string>
#include <vector>

#include "base/error.h"
#include "base/sys/fd.h"
#include "fuse_channels/session.h"
#include "host/node.h"
#include "host/protocol/description.h"
#include "host/remote_ranges.h"

namespace zvm::host {

struct Staged {
  // In the order of the description; behind them stdout and stderr where it has none, since the
  // jail opens both.
  std::vector<fuse_channels::ChannelSpec> files;

  struct Locality {
    std::string locality, reason;
  };

  std::vector<Locality> locality;  // one per channel of the description
  std::string device;              // of the first object read here, or ""
  UniqueFd spool_dir;              // for outputs and clones: on that device, else scratch
};

// Errors: kNotFound, kConflict, kUnsupported as the bridge is told them; anything else is this
// host's fault. `ranges` outlives the files.
Task<Result<Staged>> stage(
    Node& node, const protocol::Description& description, RemoteRanges& ranges);

}  // namespace zvm::host
