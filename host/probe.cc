#include "host/probe.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "base/log.h"

namespace zvm::host {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

UniqueFd temporary_in(const std::string& dir) {
  return UniqueFd(::open(dir.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
}

bool clones_in(const std::string& dir) {
  const UniqueFd from = temporary_in(dir);
  const UniqueFd to = temporary_in(dir);
  if (!from || !to) return false;
  const std::string block(4096, 'x');
  if (::write(from.get(), block.data(), block.size()) != static_cast<ssize_t>(block.size()))
    return false;
  return ::ioctl(to.get(), FICLONE, from.get()) == 0;
}

std::vector<std::string> spool_folders(const Config& config) {
  std::vector<std::string> found;
  DIR* dir = ::opendir(config.devices.c_str());
  if (dir == nullptr) return found;
  while (const dirent* entry = ::readdir(dir)) {
    if (entry->d_name[0] == '.') continue;
    std::string path = config.devices + "/" + entry->d_name + "/" + config.spool_name;
    if (temporary_in(path)) {
      found.push_back(std::move(path));
    } else if (errno != ENOENT && errno != ENOTDIR) {
      log_error("a spool folder can not be used", errno_error(path, errno));
    }
  }
  ::closedir(dir);
  return found;
}

// True when every device clones: a session is told at once then, instead of at its first write.
bool probe_reflink(const Config& config) {
  bool any = false;
  for (const std::string& path : spool_folders(config)) {
    const bool clones = clones_in(path);
    any = any || clones;
    log(Level::kInfo, "device", {{"SPOOL", path}, {"REFLINK", clones ? "yes" : "no"}});
  }
  return any;
}

Task<bool> probe_passthrough(
    Loop& loop, BrokerClient& broker, fuse_channels::Session& files, FdRef device, FdRef file) {
  // The kernel says what it offers in its first message, which comes unasked.
  const Deadline until = deadline_in(seconds(5));
  while (files.requests() == 0 && Clock::now() < until)
    co_await loop.sleep_until(deadline_in(milliseconds(1)));
  if (!files.passthrough_active()) {
    log(Level::kWarning, "no passthrough in this kernel: objects are read through this daemon");
    co_return false;
  }
  auto id = co_await broker.open(device, file);
  if (!id) {
    log_error("no passthrough: objects are read through this daemon", id.error());
    co_return false;
  }
  auto closed = co_await broker.close(device, *id);
  co_return closed.has_value();
}

}  // namespace

Task<Result<Rungs>> probe_rungs(Loop& loop, BrokerClient& broker, const Config& config) {
  Rungs rungs;
  rungs.reflink = probe_reflink(config);
  const UniqueFd file = temporary_in(config.scratch);
  if (!file) co_return fail_errno("scratch folder " + config.scratch, errno);
  const UniqueFd scratch(::open(config.scratch.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  ZVM_CO_TRY(auto mount, co_await broker.mount_fuse());
  const UniqueFd device(::fcntl(mount.fuse_device.get(), F_DUPFD_CLOEXEC, 0));
  fuse_channels::Options options;
  options.uid = mount.uid;
  options.gid = mount.uid;
  options.clone_dir = scratch;
  options.spool_dir = scratch;
  std::vector<fuse_channels::ChannelSpec> none;
  auto files = fuse_channels::Session::create(
      loop, std::move(mount.fuse_device), options, std::move(none), &broker);
  if (files) {
    rungs.passthrough = co_await probe_passthrough(loop, broker, **files, device, file);
    co_await (*files)->close();
  }
  co_await broker.kill(mount.session);
  if (!files) co_return tl::unexpected(std::move(files).error());
  log(Level::kNotice, "rungs",
      {{"PASSTHROUGH", rungs.passthrough ? "yes" : "no"},
          {"REFLINK", rungs.reflink ? "yes" : "no"}});
  co_return rungs;
}

}  // namespace zvm::host
