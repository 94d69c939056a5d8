// From a clone of the launcher to the user's program: every step, in its order. Read this first.
//
// The launcher (launcher.cc) lives in the jail's world already: an empty network, IPC and UTS
// namespace, and a mount namespace whose root is the image. clone3 gives each job a user, a pid and
// a mount namespace; what is left is this table. Two processes run it: pid 1 of the jail, which is
// a fork of the launcher and stays (init.cc: reaps, reports, dies with its leash), and pid 2, which
// becomes the program. pid 2 is a vfork: it shares pid 1's memory until it execs.
//
// Nothing here allocates, throws or logs. A step returns 0 or -errno; the first failure ends the
// jail and is reported with the step's number. Adding a step: here, in step_names.h, and in the
// test of the order (tests/unit/loader/steps_test.cc).
#pragma once
#include <cstddef>

#include "loader/launch.h"
#include "loader/step_names.h"

namespace zvm::loader {

// Every decision, made before the jail exists, and what pid 1 carries from step to step.
struct JailPlan {
  uint32_t uid;  // outside; inside it is kJailUid
  wire::Policy policy;
  uint16_t flags;
  wire::Limits limits;
  int proc;  // a private procfs that only pid 1 sees, until close-inherited-fds
  int fds[kLaunchFds + 1];
  int devices[5];  // detached clones of /dev/null ..., between mount-channels and mount-devices
};

// Inside the jail there is one user: job, 1000.
inline constexpr uint32_t kJailUid = 1000;

enum class Where { kInit, kProgram };

struct Step {
  const char* name;
  Where where;
  int (*run)(JailPlan&) noexcept;
};

namespace steps {
int map_identity(JailPlan&) noexcept;
int take_identity(JailPlan&) noexcept;
int mount_channels(JailPlan&) noexcept;
int mount_devices(JailPlan&) noexcept;
int mount_tmp(JailPlan&) noexcept;
int forbid_gains(JailPlan&) noexcept;
int drop_capabilities(JailPlan&) noexcept;
int hide_from_debuggers(JailPlan&) noexcept;
int die_with_launcher(JailPlan&) noexcept;
int close_inherited_fds(JailPlan&) noexcept;
int read_args(JailPlan&) noexcept;
int start_session(JailPlan&) noexcept;
int open_stdio(JailPlan&) noexcept;
int keep_stdio_only(JailPlan&) noexcept;
int set_limits(JailPlan&) noexcept;
int install_seccomp(JailPlan&) noexcept;
int execute(JailPlan&) noexcept;
}  // namespace steps

// clang-format off
inline constexpr Step kSteps[] = {
    // pid 1, with every capability inside its new user namespace and none outside.
    {"map-identity", Where::kInit, steps::map_identity},          // first: nothing has an owner before
    {"take-identity", Where::kInit, steps::take_identity},        // real, effective and saved ids
    {"mount-channels", Where::kInit, steps::mount_channels},      // FUSE over /dev; keeps the devices' nodes
    {"mount-devices", Where::kInit, steps::mount_devices},        // needs the FUSE files below it
    {"mount-tmp", Where::kInit, steps::mount_tmp},                // last mount: from here on none is possible
    {"forbid-gains", Where::kInit, steps::forbid_gains},          // needs CAP_SETPCAP, so before dropping
    {"drop-capabilities", Where::kInit, steps::drop_capabilities},// after the last mount
    {"hide-from-debuggers", Where::kInit, steps::hide_from_debuggers},  // after ids: a change would undo it
    {"die-with-launcher", Where::kInit, steps::die_with_launcher},      // likewise
    {"close-inherited-fds", Where::kInit, steps::close_inherited_fds},  // the procfs too
    {"read-args", Where::kInit, steps::read_args},
    // pid 2, without any privilege.
    {"start-session", Where::kProgram, steps::start_session},
    {"open-stdio", Where::kProgram, steps::open_stdio},           // 0 to 2 are free: lowest first
    {"keep-stdio-only", Where::kProgram, steps::keep_stdio_only},
    {"set-limits", Where::kProgram, steps::set_limits},           // after the opens: they need descriptors
    {"install-seccomp", Where::kProgram, steps::install_seccomp}, // last: the steps above need what it forbids
    {"execute", Where::kProgram, steps::execute},
};
// clang-format on
inline constexpr size_t kStepCount = sizeof kSteps / sizeof *kSteps;
static_assert(kStepCount == sizeof kStepNames / sizeof *kStepNames);

struct Failure {
  uint16_t step = 0;
  int error = 0;  // positive errno; 0: none
};

// Runs the steps of one process, stops at the first failure.
Failure run_steps(JailPlan& plan, Where where) noexcept;

}  // namespace zvm::loader
