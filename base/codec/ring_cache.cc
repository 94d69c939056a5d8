#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <map>
#include <mutex>
#include <tuple>
#include <utility>

#include "base/codec/ring.h"
#include "base/sys/fd.h"

namespace zvm {

namespace {

using Clock = std::chrono::steady_clock;

// Rings are replaced by rename, so the inode tells as well as the time does.
using Stamp = std::tuple<dev_t, ino_t, off_t, time_t, long>;

constexpr off_t kMaxRingFile = 512 << 20;

Stamp stamp_of(const struct stat& st) {
  return {st.st_dev, st.st_ino, st.st_size, st.st_mtim.tv_sec, st.st_mtim.tv_nsec};
}

Result<std::pair<Ring, Stamp>> load_file(const std::string& path) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  if (!file) return fail_errno("ring " + path + ": open", errno);

  struct stat st {};

  if (::fstat(file.get(), &st) != 0) return fail_errno("ring " + path + ": fstat", errno);
  if (!S_ISREG(st.st_mode) || st.st_size > kMaxRingFile)
    return fail(Origin::kSwift, Kind::kInvalid, "ring " + path + ": no file of a ring's size");
  std::string bytes(static_cast<size_t>(st.st_size), '\0');
  size_t filled = 0;
  while (filled < bytes.size()) {
    const ssize_t n = ::pread(
        file.get(), bytes.data() + filled, bytes.size() - filled, static_cast<off_t>(filled));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno("ring " + path + ": read", errno);
    if (n == 0) break;
    filled += static_cast<size_t>(n);
  }
  bytes.resize(filled);
  auto ring = Ring::parse(bytes);
  if (!ring) return tl::unexpected<Error>(std::move(ring).error().while_doing(path));
  return std::pair(*std::move(ring), stamp_of(st));
}

}  // namespace

Result<Ring> Ring::load(const std::string& path) {
  ZVM_TRY(auto loaded, load_file(path));
  return std::move(loaded.first);
}

struct RingCache::State {
  struct Entry {
    std::shared_ptr<const Ring> ring;
    Stamp stamp;
    Clock::time_point looked_at;
  };

  std::string dir;
  std::mutex mutex;
  std::map<unsigned, Entry> entries;  // by policy
};

RingCache::RingCache(std::string swift_dir) : state_(std::make_shared<State>()) {
  state_->dir = std::move(swift_dir);
}

Result<std::shared_ptr<const Ring>> RingCache::object_ring(unsigned policy_index) {
  const std::string path = state_->dir + "/object" +
                           (policy_index == 0 ? "" : "-" + std::to_string(policy_index)) +
                           ".ring.gz";
  // Held while a file is read: whoever else asks needs that ring too.
  const std::lock_guard lock(state_->mutex);
  const auto now = Clock::now();
  const auto at = state_->entries.find(policy_index);
  if (at != state_->entries.end()) {
    State::Entry& entry = at->second;
    if (now < entry.looked_at + std::chrono::seconds(1)) return entry.ring;
    entry.looked_at = now;

    struct stat st {};

    if (::stat(path.c_str(), &st) != 0 || stamp_of(st) == entry.stamp) return entry.ring;
    if (auto loaded = load_file(path)) {
      entry.ring = std::make_shared<const Ring>(std::move(loaded->first));
      entry.stamp = loaded->second;
    }
    return entry.ring;
  }
  // Only what loads is kept, so names of policies that do not exist take no memory.
  ZVM_TRY(auto loaded, load_file(path));
  auto ring = std::make_shared<const Ring>(std::move(loaded.first));
  state_->entries.emplace(policy_index, State::Entry{ring, loaded.second, now});
  return ring;
}

}  // namespace zvm
