#include "swift_bridge/node_run.h"

#include <algorithm>

namespace zvm::bridge {

namespace {

using protocol::Channel;

// Hosts asked for a node that runs anywhere.
constexpr size_t kHostsAsked = 8;

const PinnedObject* attached_input(const NodePlan& plan) {
  if (!plan.node.attach) return nullptr;
  const auto& input = plan.resolved.inputs[*plan.node.attach];
  return input ? &*input : nullptr;
}

const SwiftPath* attached_path(const NodePlan& plan) {
  if (!plan.node.attach) return nullptr;
  const auto& path = plan.node.devices[*plan.node.attach].path;
  return path ? &*path : nullptr;
}

unsigned count_status(const std::vector<Attempt>& attempts, unsigned status) {
  return static_cast<unsigned>(std::count_if(
      attempts.begin(), attempts.end(), [status](const Attempt& a) { return a.status == status; }));
}

bool worth_asking(const std::vector<Attempt>& attempts, const std::string& host) {
  return std::none_of(attempts.begin(), attempts.end(),
      [&](const Attempt& a) { return a.host == host && (a.status == 0 || a.status == 503); });
}

// "staging input: encrypted" -> "encrypted".
std::string last_words(const std::string& text) {
  const size_t at = text.rfind(": ");
  return at == text.npos ? text : text.substr(at + 2);
}

}  // namespace

Result<protocol::Description> Reserver::describe_for(
    const NodePlan& plan, const Candidate& candidate, const std::string& reason) {
  const Node& node = plan.node;
  std::vector<PlacedInput> inputs(node.devices.size());
  for (size_t i = 0; i < node.devices.size(); ++i) {
    const auto& pinned = plan.resolved.inputs[i];
    if (!pinned) continue;
    PlacedInput& in = inputs[i];
    in.version = pinned->version;
    in.local = Channel::Local::kNever;
    in.remote_reason = pinned->remote_reason;
    if (!in.remote_reason.empty()) continue;
    if (node.attach == i) {
      in.device = candidate.device;
      in.remote_reason = reason;
      if (!in.device.empty()) in.local = Channel::Local::kRequire;
      continue;
    }
    const SwiftPath path{in.version.account, in.version.container, in.version.object};
    ZVM_TRY(const auto device, placement_.device_on(candidate.host, path, in.version.policy));
    if (device) {
      in.device = *device;
      in.local = Channel::Local::kPrefer;
    } else {
      in.remote_reason = "no-replica";
    }
  }
  std::optional<ProgramBytes> program;
  if (const auto& p = plan.resolved.program) program = ProgramBytes{p->sha256, p->bytes.size()};
  const PinnedObject* attached = attached_input(plan);
  return describe(plan.job, node, plan.job_id, plan.request, inputs, program,
      attached != nullptr ? &attached->head : nullptr);
}

Task<Result<Reservation>> Reserver::ask(const NodePlan& plan, Candidate candidate,
    std::string reason, std::vector<Attempt>* attempts, Stop* stop) {
  ZVM_CO_TRY(const auto description, describe_for(plan, candidate, reason));
  const std::string json = protocol::to_json(description);
  auto reserved = co_await hosts_.reserve(candidate.host, json, stop);
  if (stop->stopped()) co_return fail(Origin::kClient, Kind::kCancelled, "the job was cancelled");
  Reservation out;
  out.channels = description.channels.size();
  if (reserved) {
    out.link = std::move(*reserved);
  } else {
    HostRefusal& why = reserved.error();
    attempts->push_back({candidate.host, candidate.device, why.status, std::move(why.reason)});
  }
  co_return out;
}

Task<Result<Reservation>> Reserver::beside(
    const NodePlan& plan, std::vector<Attempt>* attempts, Stop* stop) {
  const PinnedObject* attached = attached_input(plan);
  if (attached == nullptr || !attached->remote_reason.empty()) co_return Reservation();
  ZVM_CO_TRY(auto candidates, placement_.beside(*attached_path(plan), attached->version.policy));
  std::stable_partition(candidates.begin(), candidates.end(),
      [this](const Candidate& c) { return !hosts_.is_shunned(c.host); });
  for (Candidate& candidate : candidates) {
    if (!worth_asking(*attempts, candidate.host)) continue;
    std::string reason;
    ZVM_CO_TRY(
        auto reserved, co_await ask(plan, std::move(candidate), std::move(reason), attempts, stop));
    if (reserved.link) co_return reserved;
    // Not readable in place here is not readable in place anywhere.
    if (attempts->back().status == 501) break;
  }
  co_return Reservation();
}

Task<Result<Reservation>> Reserver::anywhere(
    const NodePlan& plan, std::string reason, std::vector<Attempt>* attempts, Stop* stop) {
  const unsigned policy = plan.resolved.attached_policy;
  std::vector<std::string> hosts;
  if (const SwiftPath* path = attached_path(plan)) {
    ZVM_CO_TRY(const auto candidates, placement_.beside(*path, policy));
    for (const auto& c : candidates) hosts.push_back(c.host);
  }
  ZVM_CO_TRY(const auto others, placement_.some_hosts(policy, kHostsAsked));
  hosts.insert(hosts.end(), others.begin(), others.end());
  std::vector<std::string> asked;
  for (const std::string& host : hosts) {
    if (asked.size() == kHostsAsked) break;
    if (std::find(asked.begin(), asked.end(), host) != asked.end()) continue;
    if (!worth_asking(*attempts, host)) continue;
    asked.push_back(host);
    Candidate candidate;
    candidate.host = host;
    ZVM_CO_TRY(auto reserved, co_await ask(plan, std::move(candidate), reason, attempts, stop));
    if (reserved.link) co_return reserved;
  }
  co_return Reservation();
}

std::string remote_reason(const std::vector<Attempt>& attempts) {
  for (const Attempt& a : attempts)
    if (a.status == 501) return last_words(a.reason);
  if (count_status(attempts, 409) > 0) return "stale-replica";
  if (count_status(attempts, 503) > 0) return "busy";
  // Hand-offs say 404 as a rule: that tells something only when every host was there to be asked.
  if (count_status(attempts, 0) > 0) return "no-executor";
  return count_status(attempts, 404) > 0 ? "stale-replica" : "no-executor";
}

bool version_missing(const std::vector<Attempt>& attempts) {
  return count_status(attempts, 404) + count_status(attempts, 409) > 0;
}

Refusal nobody_took(const std::vector<Attempt>& attempts, const std::string& node) {
  for (const Attempt& a : attempts)
    if (a.status == 400) return Refusal{400, "node " + node + ": " + a.reason, node, {}};
  const unsigned silent = count_status(attempts, 0);
  const unsigned busy = count_status(attempts, 503);
  const auto failed = static_cast<unsigned>(attempts.size()) - silent - busy;
  std::string text = "No host can run node " + node + ": " + std::to_string(busy) + " busy, " +
                     std::to_string(silent) + " without an answer, " + std::to_string(failed) +
                     " refused it";
  return Refusal{503, std::move(text), node, {}};
}

}  // namespace zvm::bridge
