#include "swift_bridge/place.h"

#include <algorithm>
#include <random>
#include <unordered_set>

namespace zvm::bridge {

namespace {

std::string join_address(const std::string& ip, uint64_t port) {
  const bool v6 = ip.find(':') != ip.npos;
  return (v6 ? "[" + ip + "]" : ip) + ":" + std::to_string(port);
}

}  // namespace

Placement::Placement(const Config& config, const SwiftConf& conf, RingCache& rings)
    : conf_(conf), rings_(rings), host_port_(config.host_port) {
  for (const auto& entry : config.hosts) {
    const size_t eq = entry.find('=');
    exceptions_[entry.substr(0, eq)] = entry.substr(eq + 1);
  }
}

std::string Placement::host_of(const RingDevice& device) const {
  const auto it = exceptions_.find(join_address(device.ip, device.port));
  return it != exceptions_.end() ? it->second : join_address(device.ip, host_port_);
}

Result<std::vector<Candidate>> Placement::beside(const SwiftPath& object, unsigned policy) {
  ZVM_TRY(const auto ring, rings_.object_ring(policy));
  const uint32_t partition =
      ring->partition_of(hash_path(conf_, object.account, object.container, object.object));
  auto devices = ring->primaries(partition);
  const auto handoffs = ring->handoffs(partition, devices.size());
  devices.insert(devices.end(), handoffs.begin(), handoffs.end());
  std::vector<Candidate> out;
  for (const RingDevice* d : devices) out.push_back({host_of(*d), d->device});
  return out;
}

Result<std::optional<std::string>> Placement::device_on(
    const std::string& host, const SwiftPath& object, unsigned policy) {
  ZVM_TRY(const auto ring, rings_.object_ring(policy));
  const uint32_t partition =
      ring->partition_of(hash_path(conf_, object.account, object.container, object.object));
  for (const RingDevice* d : ring->primaries(partition))
    if (host_of(*d) == host) return d->device;
  return std::nullopt;
}

Result<std::vector<std::string>> Placement::some_hosts(unsigned policy, size_t limit) {
  ZVM_TRY(const auto ring, rings_.object_ring(policy));
  std::vector<std::string> hosts;
  std::unordered_set<std::string> seen;
  for (const auto& d : ring->devices()) {
    if (!d || d->weight <= 0) continue;
    std::string host = host_of(*d);
    if (seen.insert(host).second) hosts.push_back(std::move(host));
  }
  thread_local std::mt19937 random{std::random_device{}()};
  std::shuffle(hosts.begin(), hosts.end(), random);
  if (hosts.size() > limit) hosts.resize(limit);
  return hosts;
}

}  // namespace zvm::bridge
