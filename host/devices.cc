#include "host/devices.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <charconv>

#include "base/log.h"

namespace zvm::host {

namespace {

// "127.0.0.1:6200", "[::1]:6200"; config.cc has checked that it is one.
ObjectServer object_server(std::string_view text) {
  const size_t colon = text.rfind(':');
  std::string_view ip = text.substr(0, colon);
  if (ip.front() == '[') ip = ip.substr(1, ip.size() - 2);
  ObjectServer self;
  self.ip = ip;
  const std::string_view port = text.substr(colon + 1);
  std::from_chars(port.data(), port.data() + port.size(), self.port);
  return self;
}

// True when the tree shows another file system there than the path does now: the device was mounted
// (or changed) after the tree was cloned. Blocks; for the pool.
bool is_outdated(FdRef tree, const std::string& devices, const std::string& device) {
  struct stat seen {};

  struct stat real {};

  if (device.empty() || device.find('/') != device.npos || device == "..") return false;
  if (::stat((devices + "/" + device).c_str(), &real) != 0) return false;
  if (::fstatat(tree.fd, device.c_str(), &seen, AT_SYMLINK_NOFOLLOW) != 0) return true;
  return seen.st_dev != real.st_dev;
}

}  // namespace

Task<Result<std::unique_ptr<Devices>>> Devices::open(
    Loop& loop, BrokerClient& broker, const Config& config) {
  std::unique_ptr<Devices> devices(new Devices(loop, broker, config));
  ZVM_CO_TRY(auto conf, SwiftConf::load(config.swift_conf));
  devices->store_ = std::make_unique<ReplicaStore>(
      UniqueFd(), std::move(conf), config.swift_dir, object_server(config.object_address));
  ZVM_CO_CHECK_OK(co_await devices->renew_tree());
  co_return std::move(devices);
}

Task<Status> Devices::renew_tree() {
  ZVM_CO_TRY(auto tree, co_await broker_.open_devices());
  UniqueFd copy(::fcntl(tree.get(), F_DUPFD_CLOEXEC, 0));
  if (!copy) co_return fail_errno("duplicating the tree of devices", errno);
  store_->replace_root(std::move(copy));
  tree_ = std::make_shared<const UniqueFd>(std::move(tree));
  co_return Status{};
}

Task<Result<Replica>> Devices::open_replica(protocol::ObjectVersion wanted, std::string device) {
  const auto tree = tree_;
  const bool outdated =
      co_await loop_.offload([&] { return is_outdated(*tree, config_.devices, device); });
  if (outdated) {
    log(Level::kNotice, "a device was mounted later: asking for a new tree", {{"DEVICE", device}});
    ZVM_CO_CHECK_OK(co_await renew_tree());
  }
  co_return co_await loop_.offload([&] { return store_->open(wanted, device); });
}

Result<UniqueFd> Devices::spool_dir(const std::string& device) const {
  constexpr int kFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  if (!device.empty()) {
    const std::string path = config_.devices + "/" + device + "/" + config_.spool_name;
    UniqueFd dir(::open(path.c_str(), kFlags));
    if (dir) return dir;
    // A device that the installer did not prepare: its inputs are read in place all the same.
    log_error("no spool folder on a device, using scratch", errno_error(path, errno));
  }
  UniqueFd dir(::open(config_.scratch.c_str(), kFlags));
  if (!dir) return fail_errno("scratch folder " + config_.scratch, errno);
  return dir;
}

}  // namespace zvm::host
