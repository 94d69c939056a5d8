// What a description means for the jail: policy, limits, arguments, environment.
#pragma once
#include "base/error.h"
#include "host/config.h"
#include "host/jail.h"
#include "host/program.h"
#include "host/protocol/description.h"

namespace zvm::host {

// X-Nexe-Validation.
inline constexpr unsigned kCheckedElf = 0;
inline constexpr unsigned kRefusedProgram = 1;
inline constexpr unsigned kImageProgram = 2;

struct PlannedJail {
  JailPlan jail;
  unsigned validation = kImageProgram;
};

// kInvalid naming the key and the cap that it is over.
Status check_caps(const protocol::Description& description, const Caps& caps);

// kInvalid: the program is refused, with the reason in words for its owner. program: the bytes
// where the description names no path; borrowed by the plan.
Result<PlannedJail> plan_jail(
    const protocol::Description& description, const ProgramBytes* program);

}  // namespace zvm::host
