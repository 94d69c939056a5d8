// What zvm-hostd and zvm-broker say to each other, and what pid 1 of a jail reports.
//
// Transport: a Unix socket of type SOCK_SEQPACKET. One packet is one struct of this file, and its
// descriptors travel in the same packet (SCM_RIGHTS, loader/scm.h). hostd sends requests, the
// broker answers each exactly once, in the order in which it finishes them: match by `id`. No
// allocation and no I/O here; both sides are x86-64 of one machine, so structs travel as they lie
// in memory.
//
// Life of a session, as hostd sees it:
//
//   HELLO                        once, first; the broker tells its limits
//   OPEN_DEVICES                 -> a read-only tree of the storage devices (ADR 0002)
//   MOUNT_FUSE{session}          -> /dev/fuse of the session's own connection, and the jail's uid
//   BACKING_OPEN / BACKING_CLOSE any number; files that the kernel may read without asking hostd
//   START{session, ...}          -> pidfd of the jail's pid 1 (for poll; signals go by KILL)
//   KILL{session}                always, also after a clean end: answered when the last process is
//                                gone; then uid and session number are free again
//
// What ends a jail: its program, KILL, the end of this connection, the hang-up of its leash, the
// death of broker or launcher. None of them needs another one to work.
//
// SECURITY: the broker trusts nothing in here but the peer's uid (SO_PEERCRED): every field has a
// bound below and is checked by check_request(); kernel objects are looked at by the broker itself.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace zvm::loader::wire {

inline constexpr uint16_t kVersion = 1;
inline constexpr size_t kMaxFds = 4;  // descriptors in one packet
inline constexpr size_t kMaxPacket =
    512;  // bytes of any packet; a receive buffer of this size does

enum class Type : uint16_t {
  kHello = 1,
  kOpenDevices = 2,
  kMountFuse = 3,
  kBackingOpen = 4,
  kBackingClose = 5,
  kStart = 6,
  kKill = 7,
};

// First in every request and reply.
struct Header {
  uint16_t version;  // kVersion
  Type type;
  uint32_t id;  // chosen by hostd, repeated in the reply; unique among the unanswered requests
};

// No descriptors. Reply: `hello` is filled in. EPROTO: other version; the broker then closes.
struct HelloRequest {
  Header header;
};

// No descriptors. Reply: fds[0] = detached mount of the configured devices folder and everything
// mounted below it: read-only, nosuid, nodev, noexec. Open below it with openat2(RESOLVE_BENEATH).
struct OpenDevicesRequest {
  Header header;
};

// No descriptors. Makes a FUSE connection and a session.
// Reply: fds[0] = /dev/fuse (O_NONBLOCK, O_CLOEXEC), the only copy; `value` = the uid (and gid) of
// the jail as the host counts: give it to every file that the file system shows.
// The mount stays with the broker until START; dropping fds[0] ends the connection at any time.
// Mounted with allow_other, default_permissions, max_read = kFuseMaxRead; nosuid, nodev, noexec.
// EEXIST: session number in use. EAGAIN: no uid free, or max_jails sessions are open.
struct MountFuseRequest {
  Header header;
  uint64_t session;  // any number but 0, unique on this connection until KILL is answered
};

// fds[0] = the session's /dev/fuse, fds[1] = a regular file. Reply: `value` = backing id (> 0).
// The connection must have negotiated FUSE_PASSTHROUGH, else EPERM.
// SECURITY: the kernel reopens the file with the job's flags and the *broker's* credentials. So the
// file must lie on a read-only mount (the tree of OPEN_DEVICES), or have been opened O_RDWR by
// hostd, which proves that hostd itself may write it. EACCES otherwise.
struct BackingOpenRequest {
  Header header;
};

// fds[0] = the session's /dev/fuse. No open FUSE file may use the id any more.
struct BackingCloseRequest {
  Header header;
  int32_t backing_id;
  uint32_t reserved;  // 0
};

enum class Policy : uint16_t {
  kCompute = 1,  // one static program, no child processes: loader/policies/compute.toml
  kImage = 2,    // interpreters and tools of an image: loader/policies/image.toml
};

enum StartFlags : uint16_t {
  kStdinIsChannel = 1,  // descriptor 0 = /dev/stdin of the session; without it /dev/null
  kProgramInFd = 2,     // fds[3] is the program; without it the args' path, in the image
};

// 0 in a limit is not "unlimited" but invalid, except where said.
struct Limits {
  uint64_t memory;       // bytes: RLIMIT_AS (compute), RLIMIT_DATA (image)
  uint64_t stack;        // bytes: RLIMIT_STACK
  uint64_t tmp_bytes;    // size of /tmp
  uint64_t file_bytes;   // RLIMIT_FSIZE: the largest file; bounds private copies of objects
  uint32_t tmp_inodes;   // files on /tmp
  uint32_t cpu_seconds;  // RLIMIT_CPU: per process; SIGXCPU, a second later SIGKILL
  uint32_t open_files;   // RLIMIT_NOFILE
  uint32_t processes;    // RLIMIT_NPROC: processes and threads of the jail, pid 1 not counted
};

inline constexpr uint64_t kMinMemory = 1u << 20;
inline constexpr uint64_t kMaxMemory = uint64_t{1} << 46;
inline constexpr uint64_t kMinStack = 64u << 10;
inline constexpr uint64_t kMaxStack = 1u << 30;
inline constexpr uint64_t kMinTmp = 4096;
inline constexpr uint64_t kMaxTmp = uint64_t{1} << 40;
inline constexpr uint64_t kMinFile = 4096;
inline constexpr uint64_t kMaxFile = uint64_t{1} << 50;
inline constexpr uint32_t kMaxTmpInodes = 16u << 20;
inline constexpr uint32_t kMaxCpuSeconds = 366u * 24 * 3600;
inline constexpr uint32_t kMinOpenFiles = 8;
inline constexpr uint32_t kMaxOpenFiles = 1u << 16;
inline constexpr uint32_t kMaxProcesses = 1u << 16;

inline constexpr uint32_t kFuseMaxRead = 1u << 20;  // for libfuse: -o max_read=1048576
inline constexpr size_t kMaxImageName = 32;         // with the final NUL
inline constexpr uint64_t kMaxProgramBytes = uint64_t{1} << 32;
inline constexpr size_t kMaxArgsBytes = 1u << 20;  // of the args memfd
inline constexpr uint32_t kMaxStrings = 4096;      // argv and envp together
inline constexpr size_t kMaxReportBytes = 64;

// fds[0] = args: a memfd with what loader/args.h encodes; read once, from offset 0; needs no seal
// fds[1] = write end of a pipe: pid 1 writes one Report to it
// fds[2] = leash: read end of a pipe of which hostd alone holds the write end and never writes;
//          when it hangs up pid 1 exits, and everything with it
// fds[3] = with kProgramInFd: the program, a memfd sealed F_SEAL_SHRINK|GROW|SEAL and FUTURE_WRITE
// or
//          WRITE
// Drop your copies of fds[1] and fds[2] when the reply has come. Every channel must be served from
// now on: the jail opens /dev/stdin (if flagged), /dev/stdout and /dev/stderr, and looks up
// /dev/{null,zero,full,random,urandom}, which must be seen as empty regular files there (the host's
// nodes are mounted over them).
// Reply: fds[0] = pidfd of pid 1. It is the jail *being started*: what fails later is in the
// Report. ENOENT: no such session or image. EALREADY: started before. EAGAIN: no process could be
// made.
struct StartRequest {
  Header header;
  uint64_t session;
  Limits limits;
  Policy policy;
  uint16_t flags;             // StartFlags
  uint32_t reserved;          // 0
  char image[kMaxImageName];  // NUL-terminated, the rest NUL: "host"
};

// No descriptors. Kills the session's jail, if it runs, and forgets the session. ENOENT: no such
// session. Answered when pid 1 is gone and with it every process of the jail. A process that waits
// for an answer of hostd's FUSE can only die when it gets one (an INTERRUPT answered, or the device
// closed): keep serving, or close /dev/fuse first.
struct KillRequest {
  Header header;
  uint64_t session;
};

struct HelloValues {
  uint32_t uid_first, uid_count;  // of jails
  uint32_t max_jails;
  uint32_t reserved;
};

// The answer to every request.
struct Reply {
  Header header;
  int32_t error;  // 0, or a positive errno
  int32_t value;  // MOUNT_FUSE: uid. BACKING_OPEN: backing id
  HelloValues hello;
  uint32_t fd_count;  // descriptors in this packet; 0 with an error
  uint32_t reserved;
  char text[128];  // with an error: one sentence for the log, NUL-terminated
};

// --- what pid 1 reports
// ---------------------------------------------------------------------------

enum class End : uint16_t {
  kExited = 1,      // detail = exit code
  kSignalled = 2,   // detail = signal
  kNotStarted = 3,  // a step of loader/steps.h failed: `step`, detail = errno. exec is one of them
};

// Written to the status pipe in one write, once, after every process of the jail but pid 1 is gone.
// End of file without it: pid 1 was killed (KILL, leash, launcher or broker died).
struct Report {
  uint16_t version;  // kVersion
  End end;
  uint16_t step;  // kNotStarted: index into steps.h; name by step_name() of loader/step_names.h
  uint16_t core;  // kSignalled: 1 if the kernel says "core dumped" (limit 0: never written)
  int32_t detail;
  uint32_t reserved;
  uint64_t user_us, system_us;  // CPU time of every process of the jail that was waited for
  uint64_t max_rss_kib;         // of the largest process
};

static_assert(sizeof(Header) == 8);
static_assert(sizeof(HelloRequest) == 8);
static_assert(sizeof(OpenDevicesRequest) == 8);
static_assert(sizeof(MountFuseRequest) == 16);
static_assert(sizeof(BackingOpenRequest) == 8);
static_assert(sizeof(BackingCloseRequest) == 16);
static_assert(sizeof(Limits) == 48);
static_assert(sizeof(StartRequest) == 104);
static_assert(sizeof(KillRequest) == 16);
static_assert(sizeof(Reply) == 168);
static_assert(sizeof(Report) == 40 && sizeof(Report) <= kMaxReportBytes);

// --- sans-IO helpers
// ------------------------------------------------------------------------------

// A request with every byte zero but its header.
template <class Request>
constexpr Request make_request(uint32_t id) {
  Request r{};
  r.header.version = kVersion;
  r.header.id = id;
  if constexpr (std::is_same_v<Request, HelloRequest>) {
    r.header.type = Type::kHello;
  } else if constexpr (std::is_same_v<Request, OpenDevicesRequest>) {
    r.header.type = Type::kOpenDevices;
  } else if constexpr (std::is_same_v<Request, MountFuseRequest>) {
    r.header.type = Type::kMountFuse;
  } else if constexpr (std::is_same_v<Request, BackingOpenRequest>) {
    r.header.type = Type::kBackingOpen;
  } else if constexpr (std::is_same_v<Request, BackingCloseRequest>) {
    r.header.type = Type::kBackingClose;
  } else if constexpr (std::is_same_v<Request, StartRequest>) {
    r.header.type = Type::kStart;
  } else {
    static_assert(std::is_same_v<Request, KillRequest>);
    r.header.type = Type::kKill;
  }
  return r;
}

// false: the name does not fit.
inline bool set_image(StartRequest* r, const char* name, size_t length) {
  if (length == 0 || length >= kMaxImageName) return false;
  std::memset(r->image, 0, sizeof r->image);
  std::memcpy(r->image, name, length);
  return true;
}

// Copies a reply out of a received packet; false: no reply of this version (drop the connection).
inline bool parse_reply(const void* packet, size_t length, size_t fds, Reply* into) {
  if (length != sizeof *into) return false;
  std::memcpy(into, packet, sizeof *into);
  into->text[sizeof into->text - 1] = 0;
  return into->header.version == kVersion && into->fd_count == fds && into->error >= 0;
}

// Copies a report out of what the status pipe gave; false: not a whole one.
inline bool parse_report(const void* bytes, size_t length, Report* into) {
  if (length != sizeof *into) return false;
  std::memcpy(into, bytes, sizeof *into);
  return into->version == kVersion;
}

}  // namespace zvm::loader::wire
