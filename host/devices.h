// The Swift devices of this node as this daemon sees them: replicas through the broker's read-only
// tree, and on each device one folder of its own for spools and clones.
#pragma once
#include <memory>
#include <string>

#include "base/async/loop.h"
#include "base/error.h"
#include "base/sys/fd.h"
#include "host/broker_client.h"
#include "host/config.h"
#include "host/replica/replica.h"

namespace zvm::host {

class Devices {
 public:
  // Asks the broker for the tree; reads swift.conf. All outlive the Devices.
  static Task<Result<std::unique_ptr<Devices>>> open(
      Loop& loop, BrokerClient& broker, const Config& config);

  // As ReplicaStore::open(), on the pool; with a new tree when the device was mounted after this
  // one was made.
  Task<Result<Replica>> open_replica(protocol::ObjectVersion wanted, std::string device);
  // The spool folder of a device, or the scratch folder for "" and for devices without one.
  Result<UniqueFd> spool_dir(const std::string& device) const;

 private:
  Devices(Loop& loop, BrokerClient& broker, const Config& config)
      : loop_(loop), broker_(broker), config_(config) {}

  Task<Status> renew_tree();

  Loop& loop_;
  BrokerClient& broker_;
  const Config& config_;
  std::shared_ptr<const UniqueFd> tree_;
  std::unique_ptr<ReplicaStore> store_;
};

}  // namespace zvm::host
