// Node of a validated job + what Swift said about its objects → the description that a host gets.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/http/message.h"
#include "host/protocol/description.h"
#include "swift_bridge/jobs/job.h"

namespace zvm::bridge {

// One device that reads an object, for one host.
struct PlacedInput {
  protocol::ObjectVersion version;
  protocol::Channel::Local local = protocol::Channel::Local::kPrefer;
  std::string remote_reason;  // why not local: slo, dlo, ec, encrypted, no-executor ...
  std::string device;         // the ring's device on that host, or ""
};

// A program that is an object: the bytes follow as frames.
struct ProgramBytes {
  std::string sha256;  // hex
  uint64_t size = 0;
};

// What the CGI environment tells of the client's request. Borrowed for the call.
struct RequestContext {
  const http::RequestHead* head = nullptr;
  std::string path_info;    // /account[/container[/object]], decoded
  std::string remote_user;  // as Swift told, or ""
  std::string default_server_name = "localhost";
};

// inputs: as many as node.devices; read at those that read an object.
// attached: head of the HEAD answer of the object the node is attached to, or null: LOCAL_*.
// The channels are the devices in order (index = index of the device), then stdout and stderr where
// the job did not declare them.
protocol::Description describe(const Job& job, const Node& node, std::string_view job_id,
    const RequestContext& request, const std::vector<PlacedInput>& inputs,
    const std::optional<ProgramBytes>& program, const http::Headers* attached);

// The environment alone: CGI and LOCAL_*, exec.env wins. Bounded by protocol::kMaxArguments
// together with the arguments. Values are bytes without NUL.
std::vector<std::pair<std::string, std::string>> environment(const Node& node,
    const RequestContext& request, const std::vector<PlacedInput>& inputs,
    const http::Headers* attached);

}  // namespace zvm::bridge
