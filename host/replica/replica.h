// Opens the replica of an object that lies on this node, as Swift wrote it, without asking Swift:
// path from the ring, files by Swift's rules, metadata and version checked on the very descriptor
// that is handed out. A visible .data never changes and an open one outlives its name, so what was
// checked is what the job reads, whatever Swift does meanwhile.
//
// SECURITY: nothing of a description is ever used as a path but the device's name, and that only if
// the ring has a device of that name at this node's address. Files are opened below a read-only
// tree (docs/adr/0002), beneath it and without following any link.
#pragma once
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/codec/ring.h"
#include "base/error.h"
#include "base/sys/fd.h"
#include "host/protocol/description.h"

namespace zvm::host {

struct Replica {
  UniqueFd file;         // O_RDONLY on the .data
  uint64_t size = 0;     // bytes
  int64_t mtime_ns = 0;  // X-Timestamp of the wanted version, since 1970
  std::string device;
};

// This node in the rings.
struct ObjectServer {
  std::string ip;
  uint16_t port = 0;  // 0: any, for Swift's servers_per_port
};

class ReplicaStore {
 public:
  // devices_root: folder of the devices, read-only.
  ReplicaStore(UniqueFd devices_root, SwiftConf conf, std::string swift_dir, ObjectServer self);

  // Blocks on disks: for the pool of threads. Any number of calls at a time. Errors are those of
  // check_replica() (rules.h), and
  //   kSwift/kNotFound     no replica there
  //   kClient/kInvalid     the ring has no such device here, or no such policy
  //   kHost/...            the disk or the permissions of this daemon
  Result<Replica> open(const protocol::ObjectVersion& wanted, const std::string& device);

  // A newer tree, after a device was mounted. Opens that run keep the one they began with.
  void replace_root(UniqueFd devices_root);

 private:
  Status check_device(const Ring& ring, const std::string& device) const;

  std::mutex mutex_;
  std::shared_ptr<const UniqueFd> root_;  // guarded by mutex_
  const SwiftConf conf_;
  RingCache rings_;
  const ObjectServer self_;
};

}  // namespace zvm::host
