// Reader for Swift's ring files (<name>.ring.gz), formats v1 and v2, and for where the ring places
// an object. Source: swift/common/ring/{ring,io}.py, hash_path() of swift/common/utils. Files are
// bounded (kMaxRingBytes inflated); a file of another format is refused with its name.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace zvm {

inline constexpr size_t kMaxRingBytes = 1u << 30;

struct RingDevice {
  uint32_t id = 0;  // its place in Ring::devices()
  uint32_t region = 0, zone = 0;
  std::string ip;
  uint16_t port = 0;
  std::string replication_ip;
  uint16_t replication_port = 0;
  std::string device;  // folder below the node's devices root
  double weight = 0;
};

class Ring {
 public:
  static Result<Ring> parse(std::string_view gzip_bytes);
  static Result<Ring> load(const std::string& path);

  unsigned part_power() const { return part_power_; }

  double replicas() const { return replicas_; }

  const std::vector<std::optional<RingDevice>>& devices() const { return devices_; }

  // hash: 32 hex digits of hash_path().
  uint32_t partition_of(std::string_view hash) const;
  // Primaries in replica order without duplicates. Pointers live as long as the ring.
  std::vector<const RingDevice*> primaries(uint32_t partition) const;
  // Hand-offs in Swift's order, at most `limit`.
  std::vector<const RingDevice*> handoffs(uint32_t partition, size_t limit) const;

 private:
  Ring() = default;
  unsigned part_power_ = 0;
  double replicas_ = 0;
  std::vector<std::optional<RingDevice>> devices_;
  std::vector<std::vector<uint32_t>>
      rows_;  // [replica][partition] -> device id; the last may be short
  // How many of each have a partition assigned: the walk for hand-offs ends when all were met.
  size_t regions_ = 0, zones_ = 0, ips_ = 0, assigned_ = 0;

  friend class RingReader;
};

// What swift.conf says that placement needs.
struct SwiftConf {
  std::string hash_prefix, hash_suffix;  // raw bytes

  struct Policy {
    unsigned index = 0;
    std::string name;
    std::vector<std::string> aliases;
    bool is_default = false;
    bool erasure_coded = false;
  };

  std::vector<Policy> policies;  // at least policy 0

  static Result<SwiftConf> parse(std::string_view text);
  static Result<SwiftConf> load(const std::string& path);
  const Policy* policy_named(std::string_view name) const;
  const Policy* policy_at(unsigned index) const;
};

// md5(prefix/account/container/object suffix), 32 hex digits; names are decoded bytes.
std::string hash_path(const SwiftConf& conf, std::string_view account, std::string_view container,
    std::string_view object);

// Ring files of one swift_dir, reloaded when the file was replaced (looked at no more than once a
// second). Any thread; blocks while it reads a file, so not for the loop's thread.
class RingCache {
 public:
  explicit RingCache(std::string swift_dir);

  // The object ring of that policy. The pointer keeps the ring alive over a reload. A file that can
  // not be read any more leaves the ring of before in place, as it does in Swift.
  Result<std::shared_ptr<const Ring>> object_ring(unsigned policy_index);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace zvm
