// Where a node may run: from an object's place in the ring to the hosts that hold its replicas.
#pragma once
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/codec/ring.h"
#include "swift_bridge/config.h"
#include "swift_bridge/jobs/job.h"

namespace zvm::bridge {

// A host (ip:port of its zvm-hostd) and the ring's device there that should hold a replica.
struct Candidate {
  std::string host;
  std::string device;

  bool operator==(const Candidate&) const = default;
};

class Placement {
 public:
  // conf and rings outlive it. config.hosts has been checked.
  Placement(const Config& config, const SwiftConf& conf, RingCache& rings);

  // The object's primaries in ring order, then as many hand-offs.
  Result<std::vector<Candidate>> beside(const SwiftPath& object, unsigned policy);
  // The device of that host which is one of the object's primaries.
  Result<std::optional<std::string>> device_on(
      const std::string& host, const SwiftPath& object, unsigned policy);
  // At most `limit` different hosts of the policy's ring, in random order.
  Result<std::vector<std::string>> some_hosts(unsigned policy, size_t limit);

 private:
  std::string host_of(const RingDevice& device) const;

  const SwiftConf& conf_;
  RingCache& rings_;
  uint64_t host_port_;
  std::unordered_map<std::string, std::string> exceptions_;  // object server -> host
};

}  // namespace zvm::bridge
