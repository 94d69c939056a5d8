// The launcher's world: what every jail of an image finds around it, built once per launcher.
//
//   /            tmpfs, read-only: the folders and symbolic links below, nothing else
//   /usr         the host's, read-only, nosuid, nodev; not what is mounted below it
//   /bin ...     as on the host: symbolic links into /usr, or folders bound like it
//   /etc         copies of the few files that libraries read; synthetic passwd, group,
//   nsswitch.conf /dev         null zero full random urandom; each jail covers it with its channels
//   /tmp         empty; each jail gets a tmpfs there
//   /script      -> dev/script
//
// No /proc, no /sys, no /run, no /home. An empty network namespace (not even a loopback that is
// up), own System V IPC, host name "zvm".
#pragma once
#include <cstddef>
#include <cstdint>

#include "base/sys/fd.h"

namespace zvm::loader {

struct World {
  UniqueFd root;     // the new root, while it is built
  UniqueFd old_etc;  // the host's /etc
  UniqueFd proc;     // a private procfs, never attached: pid 1 maps its identity through it
  UniqueFd usr;
  UniqueFd devices[5];
};

struct WorldStep {
  const char* name;
  int (*run)(World&) noexcept;  // 0 or -errno
};

namespace world {
int enter_namespaces(World&) noexcept;
int name_host(World&) noexcept;
int clone_host_trees(World&) noexcept;
int make_proc(World&) noexcept;
int make_root(World&) noexcept;
int mount_trees(World&) noexcept;
int link_system_folders(World&) noexcept;
int fill_etc(World&) noexcept;
int seal_root(World&) noexcept;
int enter_root(World&) noexcept;
int drop_privileges(World&) noexcept;
}  // namespace world

// clang-format off
inline constexpr WorldStep kWorldSteps[] = {
    {"enter-namespaces", world::enter_namespaces},
    {"name-host", world::name_host},
    {"clone-host-trees", world::clone_host_trees},  // before the new root hides them
    {"make-proc", world::make_proc},
    {"make-root", world::make_root},
    {"mount-trees", world::mount_trees},
    {"link-system-folders", world::link_system_folders},
    {"fill-etc", world::fill_etc},
    {"seal-root", world::seal_root},                // after the last file was made
    {"enter-root", world::enter_root},              // after this no host path resolves
    {"drop-privileges", world::drop_privileges},    // last: the steps above need CAP_SYS_ADMIN
};
// clang-format on
inline constexpr size_t kWorldStepCount = sizeof kWorldSteps / sizeof *kWorldSteps;

}  // namespace zvm::loader
