// What the broker tells a launcher. Private to this folder: both ends are built from one source
// tree and the broker execs the launcher itself, so there is no version to negotiate, only one to
// check.
#pragma once
#include "loader/wire.h"

namespace zvm::loader {

// The launcher's descriptors when it is exec'ed: 0 and 1 are /dev/null, 2 is the broker's log.
inline constexpr int kLauncherSocket = 3;  // SOCK_SEQPACKET to the broker

// Positions in the packet's descriptors; kFdProgram only with wire::kProgramInFd.
enum LaunchFd : unsigned {
  kFdMount = 0,  // the session's FUSE mount, detached
  kFdTmp = 1,    // a tmpfs for /tmp, detached
  kFdArgs = 2,   // see wire::StartRequest
  kFdStatus = 3,
  kFdLeash = 4,
  kFdProgram = 5,
};

inline constexpr size_t kLaunchFds = 5;  // without the program

struct LaunchRequest {
  uint16_t version;  // wire::kVersion
  wire::Policy policy;
  uint16_t flags;  // wire::StartFlags
  uint16_t reserved;
  uint32_t uid;  // of the jail, as the host counts; also its gid
  uint32_t reserved2;
  wire::Limits limits;
};

static_assert(sizeof(LaunchRequest) == 64);

// First packet from the launcher, without being asked: its world is built (error 0), or `step` of
// world.h failed. Then one per request, with a pidfd when error is 0.
struct LaunchReply {
  int32_t error;  // 0 or a positive errno
  char step[28];  // NUL-terminated
};

}  // namespace zvm::loader
