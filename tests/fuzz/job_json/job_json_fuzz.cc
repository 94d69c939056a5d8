// Job descriptions and scripts. Whatever comes in, a refusal is a 4xx or 501 with one line of text;
// and what is accepted becomes a description that a host accepts and reads as it was meant.
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "host/protocol/description.h"
#include "swift_bridge/jobs/answer.h"
#include "swift_bridge/jobs/describe.h"
#include "swift_bridge/jobs/message.h"
#include "swift_bridge/jobs/parse.h"

namespace zvm::bridge {

namespace {

const SwiftPath kTarget{"AUTH_test", "c", "o"};

void check_refusal(const Refusal& r) {
  ZVM_CHECK((r.status >= 400 && r.status < 500) || r.status == 501);
  const RefusalBody body = refusal_body(r, "job", false);
  ZVM_CHECK(body.bytes.find('\n') == body.bytes.size() - 1);
  ZVM_CHECK(body.bytes.size() <= 8192);
}

void check_node(const Job& job, const Node& node, std::string_view input) {
  http::RequestHead head;
  head.method = "POST";
  head.target = "/v1/AUTH_test/c/o?q";
  head.headers.add("X-Own", input.substr(0, 4096));
  RequestContext context;
  context.head = &head;
  context.path_info = kTarget.path();
  std::vector<PlacedInput> inputs(node.devices.size());
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Device& d = node.devices[i];
    if (!d.path) continue;
    inputs[i].version = {d.path->account, d.path->container, d.path->object, 0, "1795352857.15555",
        "0123456789abcdef0123456789abcdef", 1, "a/b"};
  }
  std::optional<ProgramBytes> program;
  if (node.exec.kind == Exec::Kind::kObject) program = ProgramBytes{std::string(64, '0'), 1};

  const protocol::Description d = describe(job, node, "job", context, inputs, program, nullptr);
  const std::string json = protocol::to_json(d);
  const auto back = protocol::description_from_json(json);
  ZVM_CHECK(back.has_value());
  ZVM_CHECK(protocol::to_json(*back) == json);
  ZVM_CHECK(back->argv == node.exec.argv);
  if (node.answer) ZVM_CHECK(*node.answer < node.devices.size());
  if (node.attach) ZVM_CHECK(node.devices.at(*node.attach).path.has_value());
}

void check_job(const Outcome<Job>& job, std::string_view input) {
  if (!job) return check_refusal(job.error());
  ZVM_CHECK(job->nodes.size() == 1);
  check_node(*job, job->nodes[0], input);
}

void check_message(std::string_view input) {
  for (const MessageKind kind : {MessageKind::kHttp, MessageKind::kCgi}) {
    const auto head = parse_program_head(kind, input);
    if (!head) continue;
    ZVM_CHECK(head->size <= input.size());
    ZVM_CHECK(head->status >= 200 && head->status < 600);
    for (const http::Header& h : head->headers)
      ZVM_CHECK(h.value.find_first_of(std::string_view("\r\n\0", 3)) == std::string::npos);
  }
}

}  // namespace

}  // namespace zvm::bridge

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace zvm::bridge;  // NOLINT: one function
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  check_job(parse_job_json(input, kTarget.account, {}), input);
  check_job(parse_script(input, kTarget, {}), input);
  check_message(input);
  return 0;
}
