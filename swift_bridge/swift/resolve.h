// Everything a job needs to know from Swift, asked in parallel, before anything starts: the right
// to execute, every read (and with it the version), every write, the program.
#pragma once
#include <memory>
#include <optional>
#include <vector>

#include "swift_bridge/swift/authorise.h"

namespace zvm::bridge {

struct Resolved {
  std::vector<std::optional<PinnedObject>> inputs;  // by device; none where no object is read
  std::shared_ptr<const Program> program;           // null: a program of an image
  unsigned attached_policy = 0;                     // of the attached device's container
};

// The first refusal in the order execute, program, devices.
Task<Outcome<Resolved>> resolve(
    Loop& loop, Authoriser& authoriser, const Job& job, const Credentials& credentials, Stop* stop);

}  // namespace zvm::bridge
