#include <fmt/format.h>

#include <cmath>
#include <ctime>

#include "base/json.h"
#include "swift_bridge/jobs/answer.h"
#include "swift_bridge/jobs/text.h"

namespace zvm::bridge {

namespace {

using protocol::ChannelReport;
using protocol::End;

// How much of a report is told, from all to nearly nothing.
enum class Detail : uint8_t { kAll, kNoChannels, kNoInputs, kNoNodes };

// RFC 3339 with microseconds, UTC; null for a time that never came.
Json time_json(Time t) {
  if (t == Time{}) return nullptr;
  const auto us =
      std::chrono::duration_cast<std::chrono::microseconds>(t.time_since_epoch()).count();
  const std::time_t seconds = us / 1'000'000;
  std::tm tm{};
  ::gmtime_r(&seconds, &tm);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z", tm.tm_year + 1900, tm.tm_mon + 1,
      tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, us % 1'000'000);
}

// To the microsecond: the rest is noise of the arithmetic.
double seconds(double s) {
  return std::round(s * 1e6) / 1e6;
}

const ChannelReport* channel_of(const NodeResult& node, std::string_view device) {
  for (const ChannelReport& c : node.report.channels)
    if (c.name == device) return &c;
  return nullptr;
}

struct Locality {
  std::string_view word = "none";
  std::string reason;
};

Locality locality_of(const NodeResult& node) {
  size_t local = 0, remote = 0;
  Locality out;
  for (const ChannelReport& c : node.report.channels) {
    if (c.locality.empty()) continue;
    ++(c.locality == "local" ? local : remote);
    if (out.reason.empty() && c.locality != "local") out.reason = c.reason;
  }
  if (local + remote == 0) return out;
  out.word = remote == 0 ? "local" : local == 0 ? "remote" : "mixed";
  return out;
}

Json inputs_json(const NodeResult& node) {
  Json list = Json::array();
  for (const InputUse& in : node.inputs) {
    Json j = {{"device", in.device}, {"path", in.path}, {"timestamp", in.timestamp},
        {"etag", in.etag}, {"bytes", in.bytes}};
    if (const ChannelReport* c = channel_of(node, in.device);
        c != nullptr && !c->locality.empty()) {
      j["locality"] = c->locality;
      if (!c->reason.empty()) j["reason"] = c->reason;
    }
    list.push_back(std::move(j));
  }
  return list;
}

Json channels_json(const NodeResult& node) {
  Json list = Json::array();
  for (const ChannelReport& c : node.report.channels) {
    std::string path;
    const OutputPath* output = nullptr;
    for (const InputUse& in : node.inputs)
      if (in.device == c.name) path = in.path;
    for (const OutputPath& out : node.outputs)
      if (out.device == c.name) output = &out;
    if (output != nullptr) path = output->path;
    Json j = {{"device", c.name}, {"path", path}, {"bytes_read", c.bytes_read},
        {"bytes_written", c.bytes_written}, {"reads", c.reads}, {"writes", c.writes},
        {"counted", c.counted}, {"sha256", c.sha256}};
    if (output != nullptr) j["stored"] = output->stored;
    list.push_back(std::move(j));
  }
  return list;
}

Json tried_json(const NodeResult& node) {
  Json list = Json::array();
  for (const HostTried& t : node.tried)
    list.push_back({{"device", t.device}, {"reason", printable(t.reason, 256)}});
  return list;
}

const char* node_state(const NodeResult& node) {
  if (node.report.end == End::kCancelled) return "cancelled";
  return ended_well(node.report) ? "done" : "failed";
}

Json node_json(const NodeResult& node, Detail detail) {
  const protocol::NodeReport& r = node.report;
  const Locality locality = locality_of(node);
  Json j = {{"name", node.name}, {"state", node_state(node)}, {"host", node.host},
      {"device", r.device}, {"attempt", node.attempt}, {"locality", locality.word},
      {"reason", locality.reason}, {"exit_code", nullptr}, {"signal", nullptr},
      {"status", r.status_text()}, {"validation", r.validation}, {"cpu_user", seconds(r.cpu_user)},
      {"cpu_system", seconds(r.cpu_system)}, {"wall", seconds(r.wall)},
      {"memory_peak", r.memory_peak}};
  if (r.end == End::kExited) j["exit_code"] = r.exit_code;
  if (r.end == End::kSignalled) j["signal"] = r.signal;
  if (detail < Detail::kNoInputs && !node.tried.empty()) j["tried"] = tried_json(node);
  if (detail < Detail::kNoInputs) j["inputs"] = inputs_json(node);
  if (detail < Detail::kNoChannels) j["channels"] = channels_json(node);
  return j;
}

const char* job_state(const JobResult& result) {
  bool failed = result.refusal.has_value();
  for (const NodeResult& node : result.nodes) {
    if (node.report.end == End::kCancelled) return "cancelled";
    failed = failed || !ended_well(node.report);
  }
  return failed ? "failed" : "done";
}

Json error_json(const JobResult& result) {
  if (result.refusal)
    return {{"node", result.refusal->node}, {"cause", "refused"},
        {"detail", printable(result.refusal->detail, 512)}};
  for (const NodeResult& node : result.nodes)
    if (!ended_well(node.report))
      return {{"node", node.name}, {"cause", node.report.status_text()},
          {"detail", printable(node.report.detail, 512)}};
  return nullptr;
}

Json progress_json(const JobResult& result) {
  uint64_t read = 0, total = 0;
  for (const NodeResult& node : result.nodes)
    for (const InputUse& in : node.inputs) {
      total += in.bytes;
      if (const ChannelReport* c = channel_of(node, in.device)) read += c->bytes_read;
    }
  return {{"nodes", result.nodes.size()}, {"ended", result.nodes.size()}, {"bytes_read", read},
      {"bytes_total", total}};
}

std::string report_text(const JobResult& result, unsigned status, Detail detail) {
  Json j = {{"id", result.id}, {"account", result.account}, {"state", job_state(result)},
      {"created", time_json(result.times.created)}, {"started", time_json(result.times.started)},
      {"ended", time_json(result.times.ended)}, {"status", status}, {"error", error_json(result)},
      {"progress", progress_json(result)}};
  if (detail != Detail::kNoNodes) {
    Json nodes = Json::array();
    for (const NodeResult& node : result.nodes) nodes.push_back(node_json(node, detail));
    j["nodes"] = std::move(nodes);
  }
  if (detail != Detail::kAll) j["truncated"] = true;
  // ASCII, so that it can be the value of a header.
  return j.dump(-1, ' ', true, Json::error_handler_t::replace);
}

}  // namespace

std::string report_json(const JobResult& result, unsigned status, size_t max_bytes) {
  std::string text;
  for (const Detail d : {Detail::kAll, Detail::kNoChannels, Detail::kNoInputs, Detail::kNoNodes}) {
    text = report_text(result, status, d);
    if (max_bytes == 0 || text.size() <= max_bytes) break;
  }
  return text;
}

}  // namespace zvm::bridge
