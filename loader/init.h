// pid 1 of a jail: starts the program, reaps everything, reports once, and ends with its leash.
#pragma once
#include "loader/steps.h"

namespace zvm::loader {

// Expects SIGCHLD blocked, with a handler. Every process of the jail dies when this one exits.
[[noreturn]] void run_init(JailPlan& plan) noexcept;

}  // namespace zvm::loader
