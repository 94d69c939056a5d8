#include "host/replica/replica.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/codec/pickle.h"
#include "base/digest.h"
#include "host/replica/rules.h"

namespace zvm::host {

namespace {

// Listings that lost a race against a writer are made again; seen 3 times in 116 000.
constexpr int kAttempts = 4;
constexpr size_t kMaxFiles = 4096;     // of one hash directory; there are two or three
constexpr size_t kXattrChunk = 65536;  // swift/obj/diskfile.py, XATTR_SIZE
constexpr const char* kMetadata = "user.swift.metadata";
constexpr const char* kChecksum = "user.swift.metadata_checksum";

tl::unexpected<Error> swift_fault(Kind kind, std::string what) {
  return fail(Origin::kSwift, kind, std::move(what));
}

// SECURITY: beneath `dir`, through no link of any kind. Mounts are crossed: each device is one.
Result<UniqueFd> open_beneath(FdRef dir, const std::string& path, uint64_t flags) {
  open_how how{};
  how.flags = flags | O_CLOEXEC | O_NOCTTY;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  for (int attempt = 0; attempt < 16; ++attempt) {
    const long fd = ::syscall(SYS_openat2, dir.fd, path.c_str(), &how, sizeof how);
    if (fd >= 0) return UniqueFd(static_cast<int>(fd));
    // KERNEL: EAGAIN when something was renamed during the walk, which Swift does all the time.
    if (errno != EAGAIN && errno != EINTR) break;
  }
  return fail_errno("openat2 " + path, errno);
}

Result<std::vector<std::string>> list(UniqueFd dir) {
  DIR* stream = ::fdopendir(dir.get());
  if (stream == nullptr) return fail_errno("fdopendir", errno);
  (void)dir.release();
  const std::unique_ptr<DIR, int (*)(DIR*)> owner(stream, ::closedir);
  std::vector<std::string> names;
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(stream);
    if (entry == nullptr && errno != 0) return fail_errno("readdir", errno);
    if (entry == nullptr) return names;
    if (names.size() == kMaxFiles)
      return swift_fault(Kind::kInvalid, "corrupt: too many files in the hash directory");
    names.emplace_back(entry->d_name);
  }
}

// nullopt: there is no such attribute.
Result<std::optional<std::string>> xattr(FdRef file, const std::string& name) {
  std::string value(kXattrChunk, '\0');
  const ssize_t n = ::fgetxattr(file.fd, name.c_str(), value.data(), value.size());
  if (n < 0 && errno == ENODATA) return std::nullopt;
  if (n < 0 && errno == ERANGE)
    return swift_fault(Kind::kInvalid, "corrupt: " + name + " is longer than Swift writes");
  if (n < 0) return fail_errno("fgetxattr " + name, errno);
  value.resize(static_cast<size_t>(n));
  return value;
}

Result<SwiftMetadata> read_metadata(FdRef file, const std::string& name) {
  const auto corrupt = [&name](const std::string& what) {
    return swift_fault(Kind::kInvalid, "corrupt: " + name + ": " + what);
  };
  std::string pickle;
  for (int i = 0;; ++i) {
    ZVM_TRY(const auto chunk, xattr(file, i == 0 ? kMetadata : kMetadata + std::to_string(i)));
    if (!chunk) break;
    if (chunk->empty() || pickle.size() + chunk->size() > kMaxSwiftMetadata)
      return corrupt("metadata of a size that Swift never writes");
    pickle += *chunk;
  }
  if (pickle.empty()) return corrupt("no metadata");
  ZVM_TRY(const auto checksum, xattr(file, kChecksum));
  // Objects written before Swift 2.16 have none.
  if (checksum && *checksum != md5_hex(pickle)) return corrupt("wrong checksum of the metadata");
  auto metadata = parse_swift_metadata(pickle);
  if (!metadata) return corrupt(metadata.error().what());
  return metadata;
}

struct OpenFile {
  UniqueFd fd;
  uint64_t size = 0;
  SwiftMetadata metadata;
};

Result<OpenFile> open_file(FdRef dir, const std::string& name) {
  OpenFile out;
  // O_NONBLOCK: a pipe of that name must not hold a thread.
  ZVM_TRY(out.fd, open_beneath(dir, name, O_RDONLY | O_NONBLOCK));

  struct stat st {};

  if (::fstat(out.fd.get(), &st) != 0) return fail_errno("fstat " + name, errno);
  if (!S_ISREG(st.st_mode))
    return swift_fault(Kind::kInvalid, "corrupt: " + name + " is no regular file");
  out.size = static_cast<uint64_t>(st.st_size);
  ZVM_TRY(out.metadata, read_metadata(out.fd, name));
  return out;
}

// One listing, one try. sys_errno() ENOENT: a file went away in between.
Result<Replica> try_open(FdRef root, const std::string& folder,
    const protocol::ObjectVersion& wanted, bool* may_be_race) {
  *may_be_race = false;
  ZVM_TRY(const UniqueFd dir, open_beneath(root, folder, O_RDONLY | O_DIRECTORY));
  // A listing is not atomic: one that shows no object may have missed both the old and the new one.
  *may_be_race = true;
  ZVM_TRY(UniqueFd cursor, open_beneath(dir, ".", O_RDONLY | O_DIRECTORY));
  ZVM_TRY(const auto names, list(std::move(cursor)));
  ReplicaFacts facts;
  facts.files = select_files(names);
  switch (facts.files.state) {
    case Selection::State::kAbsent:
      return swift_fault(Kind::kNotFound, "no replica on this device");
    case Selection::State::kDeleted:
      return swift_fault(Kind::kNotFound, "deleted");
    case Selection::State::kFragments:
      return swift_fault(Kind::kUnsupported, "ec");
    case Selection::State::kWhole:
      break;
  }
  ZVM_TRY(OpenFile data, open_file(dir, facts.files.data.name));
  facts.file_size = data.size;
  facts.data = std::move(data.metadata);
  if (facts.files.meta) {
    ZVM_TRY(OpenFile meta, open_file(dir, facts.files.meta->name));
    facts.meta = std::move(meta.metadata);
  }
  ZVM_CHECK_OK(check_replica(wanted, facts, ::time(nullptr)));
  return Replica{std::move(data.fd), data.size, timestamp_ns(wanted.timestamp), {}};
}

// What the kernel said, in the words of this module.
Error explain(Error error) {
  switch (error.sys_errno()) {
    case ENOENT:
    case ENOTDIR:
      return Error(Origin::kSwift, Kind::kNotFound, "no replica on this device");
    case ELOOP:
    case EXDEV:
      return Error(Origin::kHost, Kind::kDenied,
          "a symbolic link in the way of the replica; devices must be folders or mounts: " +
              error.what());
    case EACCES:
      return Error(Origin::kHost, Kind::kDenied,
          "this daemon's user may not read Swift's files (group swift is missing?): " +
              error.what());
    default:
      return error;
  }
}

}  // namespace

ReplicaStore::ReplicaStore(
    UniqueFd devices_root, SwiftConf conf, std::string swift_dir, ObjectServer self)
    : root_(std::make_shared<const UniqueFd>(std::move(devices_root))),
      conf_(std::move(conf)),
      rings_(std::move(swift_dir)),
      self_(std::move(self)) {}

void ReplicaStore::replace_root(UniqueFd devices_root) {
  auto root = std::make_shared<const UniqueFd>(std::move(devices_root));
  const std::lock_guard lock(mutex_);
  root_.swap(root);
}

// Any device that the ring has at this node will do, primary or not: a hand-off anywhere in the
// ring can hold the newest replica, and what is found is checked against the wanted version anyway.
// What counts is that the name is a device of Swift's and not a path.
Status ReplicaStore::check_device(const Ring& ring, const std::string& device) const {
  if (device.empty() || device == "." || device == ".." || device.find('/') != std::string::npos ||
      device.find('\0') != std::string::npos)
    return fail(Origin::kClient, Kind::kInvalid, "no name of a device");
  for (const auto& d : ring.devices())
    if (d && d->device == device && d->ip == self_.ip && (self_.port == 0 || d->port == self_.port))
      return {};
  return fail(Origin::kClient, Kind::kInvalid,
      "the ring has no device " + device + " at this node's object server");
}

Result<Replica> ReplicaStore::open(
    const protocol::ObjectVersion& wanted, const std::string& device) {
  const SwiftConf::Policy* policy = conf_.policy_at(wanted.policy);
  if (policy == nullptr)
    return fail(Origin::kClient, Kind::kInvalid,
        "no storage policy " + std::to_string(wanted.policy) + " in this node's swift.conf");
  if (policy->erasure_coded) return swift_fault(Kind::kUnsupported, "ec");
  ZVM_TRY(const auto ring, rings_.object_ring(wanted.policy));
  ZVM_CHECK_OK(check_device(*ring, device));

  const std::string hash = hash_path(conf_, wanted.account, wanted.container, wanted.object);
  const std::string policy_suffix = wanted.policy == 0 ? "" : "-" + std::to_string(wanted.policy);
  const std::string folder = device + "/objects" + policy_suffix + "/" +
                             std::to_string(ring->partition_of(hash)) + "/" +
                             hash.substr(hash.size() - 3) + "/" + hash;
  std::shared_ptr<const UniqueFd> root;
  {
    const std::lock_guard lock(mutex_);
    root = root_;
  }
  for (int attempt = 1;; ++attempt) {
    bool may_be_race = false;
    auto replica = try_open(*root, folder, wanted, &may_be_race);
    if (replica) {
      replica->device = device;
      return replica;
    }
    const bool absent = replica.error().kind() == Kind::kNotFound;
    if (!absent || !may_be_race || attempt == kAttempts)
      return tl::unexpected<Error>(explain(std::move(replica).error()));
  }
}

}  // namespace zvm::host
