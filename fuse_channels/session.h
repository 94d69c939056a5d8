// One session's file system: the files of /dev in one jail, served from the loop.
//
// A Session owns its /dev/fuse descriptor (one connection per session, made by the broker, mounted
// only inside the jail) and every channel's files. Nothing here blocks the loop: what can block
// (FICLONE, copying, writing to a spool) runs on the pool. Everything is used from the loop's
// thread only.
//
// libfuse3's low-level API decodes; the device is read and written by this module
// (fuse_session_custom_io). Which way a channel is served is decided by what the kernel can do,
// found out by trying, never by version.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/async/loop.h"
#include "base/error.h"
#include "base/sys/fd.h"

namespace zvm::fuse_channels {

// Bytes of an object that is not on this host. Implemented by the owner of the session.
class RemoteSource {
 public:
  virtual ~RemoteSource() = default;
  // Reads exactly into.size() bytes from offset: at most 1 MiB, never beyond the object's size, at
  // most four at a time. An error is EIO to the program; its words go into the report by the
  // implementer. It must end: Session::close() waits for it, so that the owner makes it fail first.
  virtual Task<Status> fetch(uint64_t offset, std::span<std::byte> into) = 0;
};

// Registers files for passthrough: the broker does, since the kernel asks CAP_SYS_ADMIN for it.
class Backing {
 public:
  virtual ~Backing() = default;
  // The id, > 0. An error means that the daemon serves the file instead. Both must end.
  virtual Task<Result<int32_t>> open(FdRef fuse_device, FdRef file) = 0;
  virtual Task<Status> close(FdRef fuse_device, int32_t backing_id) = 0;
};

struct ChannelSpec {
  enum class Kind : uint8_t {
    kObject,  // an object's file on this host: passthrough; copy-on-write when opened for writing
    kRemote,  // an object elsewhere, fetched by ranges as it is read
    kAppend,  // sequential output: every write goes to the end
    kRandom,  // random-access output
    kTail,    // output nobody asked for: counted, its last 64 KiB kept; not listed in /dev
    kBytes,   // fixed content
  };
  std::string name;
  Kind kind = Kind::kBytes;
  uint64_t size = 0;               // kObject, kRemote
  int64_t mtime_ns = 0;            // kObject, kRemote: of the version
  uint64_t max_bytes = 0;          // kAppend, kRandom: beyond it the program gets EDQUOT
  UniqueFd file;                   // kObject: opened read-only below a read-only mount (fuse-lab 6)
  RemoteSource* remote = nullptr;  // kRemote: outlives the session
  std::string bytes;               // kBytes
  // Shown as xattrs user.zvm.path, .etag, .timestamp, .locality, .mode when not empty.
  std::string path, etag, timestamp, locality, mode;
};

struct ChannelUsage {
  uint64_t bytes_read = 0, bytes_written = 0, reads = 0, writes = 0;
  bool estimated = false;  // served by the kernel: bytes_read is the size when it was opened at all
  bool limit_hit = false;  // the program got EDQUOT
  uint64_t size = 0;       // outputs: bytes kept
};

struct Options {
  uint32_t uid = 0;  // owner of every file, as the host counts uids
  uint32_t gid = 0;
  bool passthrough = true;       // false: never tried (tests, the ladder)
  bool reflink = true;           // false: copy-on-write copies bytes
  uint64_t max_copy = 1u << 30;  // bytes that copy-on-write without reflink may copy
  // A folder on the file system of the objects (clones) and one for outputs; O_TMPFILE files only.
  FdRef clone_dir{-1};
  FdRef spool_dir{-1};
  // 1: objects on a plain file system; 2: on an overlay, which 1 refuses with ELOOP.
  uint32_t passthrough_depth = 1;
};

class Session {
 public:
  // fuse_device: O_NONBLOCK. Starts to serve at once. backing may be null (no passthrough). Makes
  // the spools (O_TMPFILE) on the caller's thread. Fails on a bad spec: a name that is no file
  // name, is given twice or is one of null zero full random urandom, an object without a file.
  static Result<std::unique_ptr<Session>> create(Loop& loop, UniqueFd fuse_device, Options options,
      std::vector<ChannelSpec> channels, Backing* backing);
  // close() must have been awaited.
  virtual ~Session() = default;

  // Ends the connection (requests that wait get ENOTCONN) and waits for what runs: on the pool, in
  // RemoteSource and in Backing. The spools stay readable until the Session is destroyed.
  virtual Task<void> close() = 0;

  // Index as in the vector given to create().
  virtual ChannelUsage usage(size_t channel) const = 0;
  // kAppend, kRandom: the file with what was written so far; -1 for the others. Read it with the
  // loop.
  virtual FdRef spool(size_t channel) const = 0;
  // Pulsed (never set) whenever an output grows, and by close(). Look before you wait.
  virtual Event& changed(size_t channel) = 0;
  // kTail: the last bytes. For the others the last bytes of the spool's end are read by the owner.
  virtual std::string tail(size_t channel) const = 0;
  // Bytes appended so far and safe to send on while the program runs; kRandom: 0 until close().
  virtual uint64_t stable_size(size_t channel) const = 0;

  // The callbacks run on the loop, from inside the session: they may start close(), and must not
  // destroy the Session. Called once per channel whose limit was hit.
  std::function<void(size_t channel)> on_limit;
  // Called once when the kernel ended the connection (the jail is gone, or an abort).
  std::function<void()> on_end;
  // True once INIT was answered; says whether the kernel offered passthrough.
  virtual bool passthrough_active() const = 0;
  // Messages of the kernel so far, for metrics. What is passed through makes none.
  virtual uint64_t requests() const = 0;
};

}  // namespace zvm::fuse_channels
