// Names of the jail's steps for whoever reads a Report; loader/steps.cc checks that they fit.
#pragma once
#include <cstddef>
#include <cstdint>

namespace zvm::loader {

inline constexpr const char* kStepNames[] = {
    "map-identity",
    "take-identity",
    "mount-channels",
    "mount-devices",
    "mount-tmp",
    "forbid-gains",
    "drop-capabilities",
    "hide-from-debuggers",
    "die-with-launcher",
    "close-inherited-fds",
    "read-args",
    "start-session",
    "open-stdio",
    "keep-stdio-only",
    "set-limits",
    "install-seccomp",
    "execute",
};

inline const char* step_name(uint16_t step) noexcept {
  return step < sizeof kStepNames / sizeof *kStepNames ? kStepNames[step] : "unknown";
}

}  // namespace zvm::loader
