// Finds a host for one node: first beside the object it is attached to, replica after replica, then
// anywhere with the object read through Swift.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "swift_bridge/host_client.h"
#include "swift_bridge/jobs/describe.h"
#include "swift_bridge/node_session.h"
#include "swift_bridge/place.h"
#include "swift_bridge/swift/resolve.h"

namespace zvm::bridge {

// What a node needs to be described to a host. Borrowed from the job.
struct NodePlan {
  const Job& job;
  const Node& node;
  const std::string& job_id;
  const RequestContext& request;
  const Resolved& resolved;
};

// A host that was asked and did not take the node.
struct Attempt {
  std::string host;
  std::string device;
  unsigned status = 0;  // HostRefusal::status
  std::string reason;
};

struct Reservation {
  std::unique_ptr<HostLink> link;  // null: nobody took it
  size_t channels = 0;             // of the description
};

class Reserver {
 public:
  Reserver(HostClient& hosts, Placement& placement) : hosts_(hosts), placement_(placement) {}

  // Asks the hosts of the attached object's replicas, in order. Without one to read in place, or
  // when a host says that the object can not be, nobody is reserved.
  Task<Result<Reservation>> beside(
      const NodePlan& plan, std::vector<Attempt>* attempts, Stop* stop);
  // Any host: of the attached object's devices first. Those that did not answer or were busy are
  // not asked again. reason: why the attached object is not read in place.
  Task<Result<Reservation>> anywhere(
      const NodePlan& plan, std::string reason, std::vector<Attempt>* attempts, Stop* stop);

 private:
  // device "": the attached object is read from afar for that reason.
  Result<protocol::Description> describe_for(
      const NodePlan& plan, const Candidate& candidate, const std::string& reason);
  Task<Result<Reservation>> ask(const NodePlan& plan, Candidate candidate, std::string reason,
      std::vector<Attempt>* attempts, Stop* stop);

  HostClient& hosts_;
  Placement& placement_;
};

// What the attempts say about why the object is not read in place: "ec", "encrypted", ...,
// "stale-replica", "busy", "no-executor".
std::string remote_reason(const std::vector<Attempt>& attempts);
// True when some host said that it has not the pinned version: it may be gone by now.
bool version_missing(const std::vector<Attempt>& attempts);
// Nobody took the node: 400 when its description was refused, else 503.
Refusal nobody_took(const std::vector<Attempt>& attempts, const std::string& node);

}  // namespace zvm::bridge
