#include "swift_bridge/jobs/answer.h"

#include <gtest/gtest.h>

#include "base/json.h"

namespace zvm::bridge {

namespace {

using protocol::End;

NodeResult node_result(End end = End::kExited) {
  NodeResult n;
  n.name = "n";
  n.host = "host1";
  n.policy_name = "gold";
  n.started = true;
  n.node_time = 0.25;
  n.report.end = end;
  n.report.cpu_user = 1.5;
  n.report.cpu_system = 0.25;
  n.report.device = "sdb1";
  protocol::ChannelReport in;
  in.name = "stdin";
  in.locality = "local";
  in.bytes_read = 100;
  in.reads = 2;
  in.counted = "estimate";
  protocol::ChannelReport out;
  out.name = "stdout";
  out.bytes_written = 7;
  out.writes = 1;
  out.sha256 = std::string(64, 'b');
  n.report.channels = {in, out};
  n.inputs = {{"stdin", "/a/c/o", "1795352857.15555", "etag", 100}};
  return n;
}

JobResult job_result(End end = End::kExited) {
  JobResult r;
  r.id = "j1";
  r.account = "AUTH_test";
  r.times.created = Time(std::chrono::microseconds(1795352857000001));
  r.times.started = r.times.created + std::chrono::milliseconds(100);
  r.times.ended = r.times.created + std::chrono::milliseconds(1234);
  r.nodes = {node_result(end)};
  return r;
}

PlainOutput plain_output(const std::string& type, const std::string& bytes) {
  PlainOutput p;
  p.content_type = type;
  p.device = "stdout";
  p.size = bytes.size();
  p.first = bytes;
  return p;
}

TEST(Answer, IsTheOutputAndTellsHowItWent) {
  JobResult r = job_result();
  r.nodes[0].report.exit_code = 3;
  const Answer a = make_answer(r, plain_output("text/plain", "1234567"), "");
  EXPECT_EQ(a.head.status, 200u) << "the program's exit code is no error of HTTP";
  EXPECT_FALSE(a.body);
  EXPECT_EQ(a.length, 7u);
  const auto& h = a.head.headers;
  const std::pair<const char*, const char*> kWanted[] = {{"Content-Type", "text/plain"},
      {"X-Zerovm-Device", "stdout"}, {"X-Nexe-System", "n"}, {"X-Nexe-Status", "ok"},
      {"X-Nexe-Retcode", "3"}, {"X-Nexe-Etag", "disabled"}, {"X-Nexe-Validation", "0"},
      {"X-Nexe-Cdr-Line", "1.234, 0.250, 0.25 1.50 2 100 1 7 0 0 0 0"}, {"X-Nexe-Policy", "gold"},
      {"X-Nexe-Colocated", "0"}, {"X-Zvm-Job", "j1"}};
  for (const auto& [name, value] : kWanted) EXPECT_EQ(h.get(name), value) << name;
  EXPECT_EQ(h.find("X-Nexe-Error"), nullptr);
  EXPECT_EQ(h.find("Etag"), nullptr);
}

TEST(Answer, ListsNodesInOrder) {
  JobResult r = job_result();
  r.nodes.push_back(node_result());
  r.nodes[1].name = "m";
  r.nodes[1].report.channels[0].locality = "remote";
  const Answer a = make_answer(r, std::nullopt, "");
  EXPECT_EQ(a.head.headers.get("X-Nexe-System"), "n,m");
  EXPECT_EQ(a.head.headers.get("X-Nexe-Cdr-Line"),
      "1.234, 0.250, 0.25 1.50 2 100 1 7 0 0 0 0,0.250, 0.25 1.50 0 0 1 7 2 100 0 0");
  EXPECT_EQ(a.body, "");
}

TEST(Answer, ListsAreCutAfter64Nodes) {
  JobResult r = job_result();
  r.nodes.assign(70, node_result());
  const Answer a = make_answer(r, std::nullopt, "");
  const std::string codes(a.head.headers.get("X-Nexe-Retcode"));
  EXPECT_EQ(std::count(codes.begin(), codes.end(), ','), 63);
  EXPECT_EQ(a.head.headers.get("X-Nexe-Truncated"), "70");
}

TEST(Answer, StatusFollowsTheTableOfEnds) {
  struct Case {
    End end;
    bool started;
    unsigned status;
    const char* text;
  };

  const Case kCases[] = {{End::kSignalled, true, 500, "signal 11"},
      {End::kTimeout, true, 500, "session timeout"}, {End::kCpuLimit, true, 500, "cpu limit"},
      {End::kOutOfMemory, true, 500, "out of memory"},
      {End::kOutputLimit, true, 500, "output limit"},
      {End::kRefused, true, 400, "ZeroVM did not run"}, {End::kCancelled, true, 409, "cancelled"},
      {End::kHostFault, true, 500, "host lost"}, {End::kHostFault, false, 503, "host lost"},
      {End::kInputLost, true, 502, "input lost"}};
  for (const Case& c : kCases) {
    JobResult r = job_result(c.end);
    r.nodes[0].started = c.started;
    r.nodes[0].report.signal = c.end == End::kSignalled ? 11 : 0;
    r.nodes[0].report.detail = "because, it\nhappened";
    const Answer a = make_answer(r, std::nullopt, "");
    EXPECT_EQ(a.head.status, c.status) << c.text;
    EXPECT_EQ(a.head.headers.get("X-Nexe-Status"), c.text);
    EXPECT_EQ(a.head.headers.get("X-Nexe-Error"), std::string(c.text) + ": because; it?happened");
    EXPECT_EQ(a.body, "node n: " + std::string(c.text) + ": because, it?happened\n");
    EXPECT_EQ(a.head.headers.find("Retry-After") != nullptr, c.status == 503);
    EXPECT_FALSE(ended_well(r.nodes[0].report));
  }
}

TEST(Answer, ACrashShowsTheOutputSoFar) {
  const JobResult r = job_result(End::kSignalled);
  const auto plain = plain_output("message/http", "HTTP/1.1 200 OK\n\nbody");
  const Answer a = make_answer(r, plain, "");
  EXPECT_EQ(a.head.status, 500u);
  EXPECT_FALSE(a.body);
  EXPECT_EQ(a.skip, 0u) << "a broken answer is not taken apart";
  EXPECT_EQ(a.length, plain.size);
  const Answer json = make_answer(r, plain, "application/json");
  ASSERT_TRUE(json.body);
  EXPECT_TRUE(parse_json(*json.body));
}

TEST(Answer, AFailedPutIsTheJobsStatus) {
  JobResult r = job_result();
  r.refusal = Refusal{403, "Storing /a/c/o: 403 Forbidden", "", "/a/c/o"};
  const Answer a = make_answer(r, plain_output("text/plain", "done"), "");
  EXPECT_EQ(a.head.status, 403u);
  EXPECT_EQ(a.body, "Storing /a/c/o: 403 Forbidden\n");
  EXPECT_EQ(a.head.headers.get("X-Nexe-Status"), "ok");
  EXPECT_NE(a.head.headers.find("X-Nexe-Error"), nullptr);
}

TEST(Answer, AProgramMayWriteItsOwnHead) {
  const std::string text =
      "HTTP/1.1 418 Teapot\r\nContent-Type: a/b\r\nContent-Length: 99\r\nX-Own: 1\r\n\r\nbody";
  const Answer a = make_answer(job_result(), plain_output("message/http", text), "");
  EXPECT_EQ(a.head.status, 418u);
  EXPECT_EQ(a.head.headers.get("Content-Type"), "a/b");
  EXPECT_EQ(a.head.headers.count("Content-Type"), 1u);
  EXPECT_EQ(a.head.headers.get("X-Own"), "1");
  EXPECT_EQ(a.head.headers.find("Content-Length"), nullptr);
  EXPECT_EQ(a.length, 4u);
  EXPECT_EQ(text.substr(a.skip), "body");
  EXPECT_FALSE(a.declared_length);
  EXPECT_EQ(
      make_answer(job_result(), plain_output("message/http", text), "", AnswerTo::kHeadRequest)
          .declared_length,
      99u);
}

TEST(Answer, ABadHeadIsJustBytes) {
  const Answer a = make_answer(job_result(), plain_output("message/cgi", "no head"), "");
  EXPECT_EQ(a.head.status, 200u);
  EXPECT_EQ(a.head.headers.get("Content-Type"), "message/cgi");
  EXPECT_EQ(a.skip, 0u);
  EXPECT_EQ(a.length, 7u);
}

TEST(Answer, StatusesWithoutBodyHaveNone) {
  const Answer a =
      make_answer(job_result(), plain_output("message/cgi", "Status: 204\n\nstray"), "");
  EXPECT_EQ(a.head.status, 204u);
  EXPECT_EQ(a.body, "");
  EXPECT_EQ(a.length, 0u);
}

TEST(Answer, AnOutputBelowMinSizeIsNotReturned) {
  PlainOutput plain = plain_output("text/plain", "1234");
  plain.min_size = 5;
  const Answer a = make_answer(job_result(), plain, "");
  EXPECT_EQ(a.head.status, 200u);
  EXPECT_EQ(a.body, "");
}

TEST(Answer, ARefusalTiedToANodeCarriesItsHeaders) {
  const Answer a = make_refusal({400, "bad device", "n", ""}, "j1", "");
  EXPECT_EQ(a.head.status, 400u);
  EXPECT_EQ(a.body, "bad device\n");
  EXPECT_EQ(a.head.headers.get("X-Nexe-System"), "n");
  EXPECT_EQ(a.head.headers.get("X-Nexe-Status"), "ZeroVM did not run");
  EXPECT_EQ(a.head.headers.get("X-Zvm-Job"), "j1");
  EXPECT_EQ(make_refusal({503, "busy", "", ""}, "", "").head.headers.get("Retry-After"), "2");
  EXPECT_EQ(make_refusal({404, "x", "", ""}, "", "").head.headers.find("X-Nexe-System"), nullptr);
}

TEST(StoredHead, TakesTypeAndMetadataFromTheProgram) {
  Device d;
  d.access = Device::Access::kWrite;
  d.content_type = "message/cgi";
  d.meta = {{"Kind", "old"}, {"Own", "1"}};
  const std::string text = "Content-Type: a/b\nX-Object-Meta-Kind: new\nX-Other: no\n\ndata";
  const StoredHead head = stored_head(d, text);
  EXPECT_EQ(text.substr(head.skip), "data");
  EXPECT_EQ(head.headers.get("Content-Type"), "a/b");
  EXPECT_EQ(head.headers.get("X-Object-Meta-Kind"), "new");
  EXPECT_EQ(head.headers.get("X-Object-Meta-Own"), "1");
  EXPECT_EQ(head.headers.size(), 3u);
}

TEST(StoredHead, OfAnOrdinaryOutputIsTheDevices) {
  Device d;
  d.content_type = "text/csv";
  const StoredHead head = stored_head(d, "Content-Type: a/b\n\n");
  EXPECT_EQ(head.skip, 0u);
  EXPECT_EQ(head.headers.get("Content-Type"), "text/csv");
}

TEST(Report, HasTheFieldsOfTheApi) {
  JobResult r = job_result();
  r.nodes[0].outputs = {{"stdout", "/a/c/out"}};
  const auto json = parse_json(report_json(r, 200));
  ASSERT_TRUE(json);
  EXPECT_EQ((*json)["id"], "j1");
  EXPECT_EQ((*json)["state"], "done");
  EXPECT_EQ((*json)["created"], "2026-11-22T13:07:37.000001Z");
  EXPECT_EQ((*json)["status"], 200);
  EXPECT_TRUE((*json)["error"].is_null());
  EXPECT_EQ((*json)["progress"]["bytes_total"], 100);
  const Json& node = (*json)["nodes"][0];
  EXPECT_EQ(node["locality"], "local");
  EXPECT_EQ(node["host"], "host1");
  EXPECT_EQ(node["device"], "sdb1");
  EXPECT_EQ(node["exit_code"], 0);
  EXPECT_TRUE(node["signal"].is_null());
  EXPECT_EQ(node["inputs"][0]["path"], "/a/c/o");
  EXPECT_EQ(node["channels"][0]["path"], "/a/c/o");
  EXPECT_EQ(node["channels"][1]["path"], "/a/c/out");
  EXPECT_EQ(node["channels"][1]["sha256"], std::string(64, 'b'));
}

TEST(Report, TellsTheCauseOfAFailure) {
  JobResult r = job_result(End::kTimeout);
  r.nodes[0].report.detail = "after 60 s";
  const auto json = parse_json(report_json(r, 500));
  ASSERT_TRUE(json);
  EXPECT_EQ((*json)["state"], "failed");
  EXPECT_EQ((*json)["error"]["node"], "n");
  EXPECT_EQ((*json)["error"]["cause"], "session timeout");
  r.nodes[0].report.end = End::kCancelled;
  EXPECT_EQ((*parse_json(report_json(r, 409)))["state"], "cancelled");
}

TEST(Report, LocalityTellsWhy) {
  JobResult r = job_result();
  protocol::ChannelReport more = r.nodes[0].report.channels[0];
  more.locality = "remote";
  more.reason = "stale-replica";
  r.nodes[0].report.channels.push_back(more);
  EXPECT_EQ((*parse_json(report_json(r, 200)))["nodes"][0]["locality"], "mixed");
  r.nodes[0].report.channels[0] = more;
  const auto json = parse_json(report_json(r, 200));
  EXPECT_EQ((*json)["nodes"][0]["locality"], "remote");
  EXPECT_EQ((*json)["nodes"][0]["reason"], "stale-replica");
  r.nodes[0].report.channels.clear();
  EXPECT_EQ((*parse_json(report_json(r, 200)))["nodes"][0]["locality"], "none");
}

TEST(Report, FitsAHeaderWhateverHappens) {
  for (const size_t channels : {1u, 40u, 250u})
    for (const size_t nodes : {1u, 8u, 70u}) {
      JobResult r = job_result(End::kRefused);
      r.nodes[0].report.detail = std::string(3000, '\x01') + "\xc3\xa4\xff";
      r.nodes[0].report.channels.resize(channels, r.nodes[0].report.channels[0]);
      r.nodes.resize(nodes, r.nodes[0]);
      const Answer a = make_answer(r, std::nullopt, "");
      const std::string report(a.head.headers.get("X-Zvm-Report"));
      EXPECT_LE(report.size(), kMaxReportHeader);
      const auto json = parse_json(report);
      ASSERT_TRUE(json) << report;
      EXPECT_EQ((*json)["id"], "j1");
      for (const http::Header& h : a.head.headers)
        for (const char c : h.value) ASSERT_FALSE(c == '\n' || c == '\r' || c == '\0') << h.name;
    }
}

}  // namespace

}  // namespace zvm::bridge
