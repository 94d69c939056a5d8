#include "swift_bridge/jobs/answer.h"

#include <fmt/format.h>

#include <algorithm>

#include "swift_bridge/jobs/message.h"
#include "swift_bridge/jobs/text.h"

namespace zvm::bridge {

namespace {

using protocol::ChannelReport;
using protocol::End;

constexpr size_t kMaxListed = 64;  // values of one X-Nexe-* header
constexpr char kRetryAfter[] = "2";

// A value in a list that is split at commas.
std::string list_value(std::string_view text) {
  std::string out = printable(text, 512);
  std::replace(out.begin(), out.end(), ',', ';');
  return out;
}

template <class Value>
std::string listed(const std::vector<NodeResult>& nodes, Value value) {
  std::string out;
  for (size_t i = 0; i < nodes.size() && i < kMaxListed; ++i) {
    if (i > 0) out += ',';
    out += list_value(value(nodes[i]));
  }
  return out;
}

// The accounting line of one node: system and user seconds, then operations and bytes on local
// files and through the network: reads, bytes read, writes, bytes written each.
std::string accounting_line(const NodeResult& node) {
  uint64_t disk[4] = {}, net[4] = {};
  for (const ChannelReport& c : node.report.channels) {
    uint64_t* into = c.locality == "remote" ? net : disk;
    into[0] += c.reads;
    into[1] += c.bytes_read;
    into[2] += c.writes;
    into[3] += c.bytes_written;
  }
  return fmt::format("{:.2f} {:.2f} {} {} {} {} {} {} {} {}", node.report.cpu_system,
      node.report.cpu_user, disk[0], disk[1], disk[2], disk[3], net[0], net[1], net[2], net[3]);
}

double seconds_between(Time from, Time to) {
  return std::max(0.0, std::chrono::duration<double>(to - from).count());
}

std::string cdr_line(const JobResult& result) {
  std::string out =
      fmt::format("{:.3f}", seconds_between(result.times.created, result.times.ended));
  for (size_t i = 0; i < result.nodes.size() && i < kMaxListed; ++i)
    out += fmt::format("{}{:.3f}, {}", i == 0 ? ", " : ",", result.nodes[i].node_time,
        accounting_line(result.nodes[i]));
  return out;
}

// "<status>: <detail>"; a detail that only repeats the status says nothing.
std::string end_text(const protocol::NodeReport& report) {
  const std::string status = report.status_text();
  return report.detail.empty() || report.detail == status ? status : status + ": " + report.detail;
}

// end_text() of every node that did not end well. Not positional.
std::string error_list(const JobResult& result) {
  std::string out;
  const auto add = [&out](std::string_view text) {
    if (!out.empty()) out += ',';
    out += list_value(text);
  };
  if (result.refusal) add(result.refusal->detail);
  for (const NodeResult& node : result.nodes) {
    if (ended_well(node.report) || out.size() > 2048) continue;
    add(end_text(node.report));
  }
  return out;
}

void add_node_headers(const JobResult& result, http::Headers* headers) {
  const auto& nodes = result.nodes;
  if (nodes.empty()) return;
  headers->add("X-Nexe-System", listed(nodes, [](const NodeResult& n) { return n.name; }));
  headers->add(
      "X-Nexe-Status", listed(nodes, [](const NodeResult& n) { return n.report.status_text(); }));
  headers->add("X-Nexe-Retcode",
      listed(nodes, [](const NodeResult& n) { return std::to_string(n.report.exit_code); }));
  // Digests are promises of deterministic jobs only; the report has them for every output.
  headers->add("X-Nexe-Etag", listed(nodes, [](const NodeResult&) { return "disabled"; }));
  headers->add("X-Nexe-Validation",
      listed(nodes, [](const NodeResult& n) { return std::to_string(n.report.validation); }));
  headers->add("X-Nexe-Cdr-Line", cdr_line(result));
  headers->add("X-Nexe-Policy", listed(nodes, [](const NodeResult& n) { return n.policy_name; }));
  headers->add("X-Nexe-Colocated", listed(nodes, [](const NodeResult&) { return "0"; }));
  if (std::string errors = error_list(result); !errors.empty())
    headers->add("X-Nexe-Error", errors);
  if (nodes.size() > kMaxListed) headers->add("X-Nexe-Truncated", std::to_string(nodes.size()));
}

// After these ends the program has run and what it wrote is worth seeing.
bool shows_partial_output(End end) {
  switch (end) {
    case End::kSignalled:
    case End::kTimeout:
    case End::kCpuLimit:
    case End::kOutOfMemory:
    case End::kOutputLimit:
      return true;
    case End::kExited:
    case End::kRefused:
    case End::kCancelled:
    case End::kHostFault:
    case End::kInputLost:
      return false;
  }
  return false;
}

// Why the job has no good answer: its own refusal, or the first node that ended badly.
std::optional<Refusal> failure_of(const JobResult& result) {
  if (result.refusal) return result.refusal;
  const NodeResult* worst = nullptr;
  for (const NodeResult& node : result.nodes)
    if (!ended_well(node.report) && (worst == nullptr || end_status(node) > end_status(*worst)))
      worst = &node;
  if (worst == nullptr) return std::nullopt;
  return Refusal{
      end_status(*worst), "node " + worst->name + ": " + end_text(worst->report), worst->name, {}};
}

bool has_partial_output(const JobResult& result, const PlainOutput& plain) {
  if (result.refusal || plain.size == 0) return false;
  return std::all_of(result.nodes.begin(), result.nodes.end(), [](const NodeResult& n) {
    return ended_well(n.report) || shows_partial_output(n.report.end);
  });
}

void set_fixed_body(Answer* answer, std::string_view content_type, std::string bytes) {
  answer->head.headers.set("Content-Type", content_type);
  answer->skip = 0;
  answer->length = bytes.size();
  answer->body = std::move(bytes);
}

void set_refusal_body(Answer* answer, const Refusal& refusal, std::string_view id, bool as_json) {
  RefusalBody body = refusal_body(refusal, id, as_json);
  set_fixed_body(answer, body.content_type, std::move(body.bytes));
  if (refusal.status == 503) answer->head.headers.set("Retry-After", kRetryAfter);
}

// The plain output as the body, as far as it goes; message/* types are not looked into.
void set_raw_output(Answer* answer, const PlainOutput& plain) {
  answer->head.headers.set("Content-Type", plain.content_type);
  answer->head.headers.set("X-Zerovm-Device", plain.device);
  answer->length = plain.size;
}

void set_output(Answer* answer, const std::optional<PlainOutput>& plain, AnswerTo to) {
  if (!plain || plain->size < plain->min_size) {
    set_fixed_body(answer, plain ? std::string_view(plain->content_type) : "text/plain", "");
    return;
  }
  set_raw_output(answer, *plain);
  const auto head = parse_program_head(message_kind(plain->content_type), plain->first);
  if (!head) return;
  answer->head.status = head->status;
  answer->head.headers.set("Content-Type", "application/octet-stream");
  for (const http::Header& h : head->headers) {
    if (http::equal_ignoring_case(h.name, "Content-Type"))
      answer->head.headers.set(h.name, h.value);
    else
      answer->head.headers.add(h.name, h.value);
  }
  answer->skip = head->size;
  answer->length = plain->size - std::min(plain->size, head->size);
  if (to == AnswerTo::kHeadRequest) answer->declared_length = head->content_length;
  // These statuses have no body, whatever the program wrote after its head.
  if (head->status == 204 || head->status == 304) {
    answer->body = "";
    answer->length = 0;
  }
}

}  // namespace

bool ended_well(const protocol::NodeReport& report) {
  return report.end == End::kExited;
}

unsigned end_status(const NodeResult& node) {
  switch (node.report.end) {
    case End::kExited:
      return 200;
    case End::kRefused:
      return 400;
    case End::kCancelled:
      return 409;
    case End::kInputLost:
      return 502;
    case End::kHostFault:
      return node.started ? 500 : 503;
    case End::kSignalled:
    case End::kTimeout:
    case End::kCpuLimit:
    case End::kOutOfMemory:
    case End::kOutputLimit:
      break;
  }
  return 500;
}

Answer make_answer(const JobResult& result, const std::optional<PlainOutput>& plain,
    std::string_view accept, AnswerTo to) {
  Answer answer;
  const std::optional<Refusal> failure = failure_of(result);
  if (!failure) {
    answer.head.status = 200;
    set_output(&answer, plain, to);
  } else {
    answer.head.status = failure->status;
    if (plain && has_partial_output(result, *plain) && !wants_json(accept))
      set_raw_output(&answer, *plain);
    else
      set_refusal_body(&answer, *failure, result.id, wants_json(accept));
  }
  answer.head.reason = http::reason_phrase(answer.head.status);
  add_node_headers(result, &answer.head.headers);
  answer.head.headers.set("X-Zvm-Job", result.id);
  answer.head.headers.set(
      "X-Zvm-Report", report_json(result, answer.head.status, kMaxReportHeader));
  return answer;
}

Answer make_refusal(const Refusal& refusal, std::string_view job_id, std::string_view accept) {
  Answer answer;
  answer.head.status = refusal.status;
  answer.head.reason = http::reason_phrase(refusal.status);
  set_refusal_body(&answer, refusal, job_id, wants_json(accept));
  http::Headers& headers = answer.head.headers;
  if (!refusal.node.empty()) {
    headers.add("X-Nexe-System", list_value(refusal.node));
    headers.add("X-Nexe-Status", "ZeroVM did not run");
    headers.add("X-Nexe-Retcode", "0");
    headers.add("X-Nexe-Error", list_value(refusal.detail));
  }
  if (!job_id.empty()) headers.set("X-Zvm-Job", job_id);
  return answer;
}

StoredHead stored_head(const Device& device, std::string_view first) {
  StoredHead out;
  out.headers.set("Content-Type", device.content_type);
  for (const auto& [name, value] : device.meta) out.headers.set("X-Object-Meta-" + name, value);
  const auto head = parse_program_head(message_kind(device.content_type), first);
  if (!head) return out;
  out.skip = head->size;
  out.headers.set("Content-Type", "application/octet-stream");
  for (const http::Header& h : head->headers) {
    const std::string name = to_lower(h.name);
    if (name == "content-type" || (name.substr(0, 14) == "x-object-meta-" && name.size() > 14))
      out.headers.set(h.name, h.value);
  }
  return out;
}

}  // namespace zvm::bridge
