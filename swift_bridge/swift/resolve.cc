#include "swift_bridge/swift/resolve.h"

#include <algorithm>

namespace zvm::bridge {

namespace {

// SECURITY: of one job's questions under way. A small body can name hundreds of objects; whoever
// sends it must not get as many connections to Swift by it.
constexpr size_t kAtOnce = 16;

// One slot a question; filled when its task ends.
struct Answers {
  Outcome<void> execute;
  Outcome<std::shared_ptr<const Program>> program{nullptr};
  std::vector<std::optional<Outcome<PinnedObject>>> reads;
  std::vector<std::optional<Outcome<void>>> writes;
};

struct Asking {
  Authoriser& authoriser;
  const Credentials& credentials;
  Stop* stop;
  Answers& answers;
  Event ended;  // pulsed when a question was answered
};

Task<void> ask_execute(Asking& a, std::string account) {
  auto answer = co_await a.authoriser.may_execute(std::move(account), a.credentials, a.stop);
  a.answers.execute = std::move(answer);
  a.ended.pulse();
}

Task<void> ask_program(Asking& a, SwiftPath path) {
  auto answer = co_await a.authoriser.may_run(std::move(path), a.credentials, a.stop);
  a.answers.program = std::move(answer);
  a.ended.pulse();
}

Task<void> ask_read(Asking& a, SwiftPath path, size_t device) {
  auto answer = co_await a.authoriser.may_read(std::move(path), a.credentials, a.stop);
  a.answers.reads[device] = std::move(answer);
  a.ended.pulse();
}

Task<void> ask_write(Asking& a, SwiftPath path, size_t device) {
  auto answer = co_await a.authoriser.may_write(std::move(path), a.credentials, a.stop);
  a.answers.writes[device] = std::move(answer);
  a.ended.pulse();
}

// True when an earlier device is stored in the same container: one question answers for both.
bool asked_already(const Node& node, size_t device) {
  const SwiftPath& path = *node.devices[device].path;
  return std::any_of(node.devices.begin(), node.devices.begin() + static_cast<ptrdiff_t>(device),
      [&](const Device& d) {
        return d.is_stored() && d.path->account == path.account &&
               d.path->container == path.container;
      });
}

}  // namespace

Task<Outcome<Resolved>> resolve(Loop& loop, Authoriser& authoriser, const Job& job,
    const Credentials& credentials, Stop* stop) {
  const Node& node = job.nodes.front();
  const size_t devices = node.devices.size();
  Answers answers;
  answers.reads.resize(devices);
  answers.writes.resize(devices);
  Asking asking{authoriser, credentials, stop, answers, Event(loop)};
  TaskGroup group(loop);
  group.spawn(ask_execute(asking, job.account));
  if (node.exec.kind == Exec::Kind::kObject) group.spawn(ask_program(asking, node.exec.object));
  for (size_t i = 0; i < devices; ++i) {
    const Device& d = node.devices[i];
    while (group.size() >= kAtOnce) {
      const int waited = co_await asking.ended.wait(kNever);  // each has a deadline
      (void)waited;
    }
    // Whoever may not execute has nothing more asked for him.
    if (!answers.execute) break;
    if (d.reads_object() && d.path) group.spawn(ask_read(asking, *d.path, i));
    if (d.is_stored() && !asked_already(node, i)) group.spawn(ask_write(asking, *d.path, i));
  }
  co_await group.join();

  if (!answers.execute) co_return tl::unexpected(std::move(answers.execute).error());
  if (!answers.program) co_return tl::unexpected(std::move(answers.program).error());
  Resolved resolved;
  resolved.program = *answers.program;
  resolved.inputs.resize(devices);
  for (size_t i = 0; i < devices; ++i) {
    auto& read = answers.reads[i];
    if (read && !*read) co_return tl::unexpected(std::move(*read).error());
    if (read) resolved.inputs[i] = std::move(**read);
    auto& write = answers.writes[i];
    if (write && !*write) co_return tl::unexpected(std::move(*write).error());
  }
  if (node.attach) {
    const size_t at = *node.attach;
    const Device& d = node.devices[at];
    if (resolved.inputs[at]) {
      resolved.attached_policy = resolved.inputs[at]->version.policy;
    } else if (d.path) {
      resolved.attached_policy = co_await authoriser.policy_of(*d.path, credentials, stop);
    }
  }
  co_return resolved;
}

}  // namespace zvm::bridge
