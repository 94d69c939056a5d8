// How the nodes ended → status, headers and shape of the answer; and the heads of stored outputs.
// Pure.
#pragma once
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/http/message.h"
#include "host/protocol/description.h"
#include "swift_bridge/jobs/job.h"
#include "swift_bridge/jobs/status.h"

namespace zvm::bridge {

// At most this much of an output is looked at for its message/http or message/cgi head.
inline constexpr size_t kMaxMessageHead = size_t{64} << 10;
inline constexpr size_t kMaxReportHeader = size_t{6} << 10;

// An input as it was pinned.
struct InputUse {
  std::string device;  // the job's device name
  std::string path;    // /account/container/object
  std::string timestamp, etag;
  uint64_t bytes = 0;
};

// Where a stored output goes.
struct OutputPath {
  std::string device;
  std::string path;     // /account/container/object
  bool stored = false;  // its PUT has succeeded
};

// A host that was asked before and did not take the node.
struct HostTried {
  std::string device;  // the ring's device there, or "" when it was asked as any host
  std::string reason;
};

struct NodeResult {
  std::string name;
  std::string host;         // id of the host it ran on, "" if none took it
  std::string policy_name;  // storage policy of the object it ran next to, or of none
  unsigned attempt = 1;
  std::vector<HostTried> tried;  // attempt - 1 hosts, in order
  bool started = false;          // START was sent: nobody can tell any more that nothing happened
  double node_time = 0;          // seconds from reservation to report
  protocol::NodeReport report;
  std::vector<InputUse> inputs;
  std::vector<OutputPath> outputs;
};

using Time = std::chrono::system_clock::time_point;

struct JobTimes {
  Time created{}, started{}, ended{};
};

// Everything the answer is made of. `refusal`: the job failed for a reason that is no node's (a PUT
// of an output, say); it overrides the nodes' statuses.
struct JobResult {
  std::string id;
  std::string account;
  JobTimes times;
  std::vector<NodeResult> nodes;
  std::optional<Refusal> refusal;
};

// The path-less output that is the answer's body.
struct PlainOutput {
  std::string content_type;  // the device's
  std::string device;
  uint64_t size = 0;
  uint64_t min_size = 0;
  std::string first;  // its first bytes, min(size, kMaxMessageHead); needed for message/* only
};

struct Answer {
  http::ResponseHead head;  // without Content-Length, Date, Connection
  uint64_t skip = 0;        // bytes of the plain output that are its own head
  uint64_t length = 0;      // of the body, measured
  // Set: the body is this. Else: the plain output from `skip` on (empty without one).
  std::optional<std::string> body;
  // HEAD only: the program's own Content-Length.
  std::optional<uint64_t> declared_length;
};

enum class AnswerTo : uint8_t { kBody, kHeadRequest };

Answer make_answer(const JobResult& result, const std::optional<PlainOutput>& plain,
    std::string_view accept, AnswerTo to = AnswerTo::kBody);
// A refusal before any node ran. Tied to a node (refusal.node) it carries that node's X-Nexe-*.
Answer make_refusal(const Refusal& refusal, std::string_view job_id, std::string_view accept);

// True for the ends after which outputs are stored (docs/api.md, "How a node ends").
bool ended_well(const protocol::NodeReport& report);
// HTTP status of one node's end, before message/* has its say.
unsigned end_status(const NodeResult& node);

// A stored output: headers of its PUT (Content-Type, X-Object-Meta-*) and the bytes to leave out.
struct StoredHead {
  http::Headers headers;
  uint64_t skip = 0;
};

// first: the first bytes of the output, needed for message/* only.
StoredHead stored_head(const Device& device, std::string_view first);

// The report of docs/api.md as compact ASCII JSON. max_bytes 0: whole; else cut to the essentials,
// with "truncated": true, until it fits.
std::string report_json(const JobResult& result, unsigned status, size_t max_bytes = 0);

}  // namespace zvm::bridge
