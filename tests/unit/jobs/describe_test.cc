#include "swift_bridge/jobs/describe.h"

#include <gtest/gtest.h>

#include <map>

#include "swift_bridge/jobs/parse.h"

namespace zvm::bridge {

namespace {

using protocol::Channel;

PlacedInput placed(const SwiftPath& path) {
  PlacedInput in;
  in.version = {path.account, path.container, path.object, 0, "1795352857.15555",
      "0123456789abcdef0123456789abcdef", 42, "text/x-own"};
  in.device = "sdb1";
  return in;
}

std::vector<PlacedInput> placed_all(const Node& node) {
  std::vector<PlacedInput> out;
  for (const Device& d : node.devices) out.push_back(d.path ? placed(*d.path) : PlacedInput{});
  return out;
}

http::RequestHead request_head() {
  http::RequestHead head;
  head.method = "POST";
  head.target = "/v1/AUTH_test/c/o%20?a=b&c";
  head.headers.add("Host", "swift.example:8080");
  return head;
}

std::map<std::string, std::string> env_of(const protocol::Description& d) {
  std::map<std::string, std::string> out;
  for (const auto& [name, value] : d.env) EXPECT_TRUE(out.emplace(name, value).second) << name;
  return out;
}

Job job_of(const std::string& json) {
  auto job = parse_job_json(json, "AUTH_test", {});
  EXPECT_TRUE(job) << (job ? "" : job.error().detail);
  return job ? *std::move(job) : Job{};
}

protocol::Description describe_job(
    const Job& job, const http::RequestHead& head, const http::Headers* attached = nullptr) {
  RequestContext context;
  context.head = &head;
  context.path_info = "/AUTH_test/c/o ";
  context.remote_user = "test:tester";
  std::optional<ProgramBytes> program;
  if (job.nodes[0].exec.kind == Exec::Kind::kObject)
    program = ProgramBytes{std::string(64, 'a'), 1000};
  return describe(job, job.nodes[0], "job-1", context, placed_all(job.nodes[0]), program, attached);
}

void expect_accepted_by_a_host(const protocol::Description& d) {
  const std::string json = protocol::to_json(d);
  const auto back = protocol::description_from_json(json);
  ASSERT_TRUE(back) << back.error().what();
  EXPECT_EQ(protocol::to_json(*back), json);
}

TEST(Describe, ChannelsAreTheDevicesAndTheStandardOutputs) {
  const Job job = job_of(R"([{"name":"n","exec":{"path":"file://host:/bin/cat","args":"-n"},
      "max_output":1000,"timeout":3,"devices":[
        {"name":"stdin","path":"swift://./c/o"},
        {"name":"stdout","mode":"pipe"},
        {"name":"output","path":"swift://./c/out"}]}])");
  const auto d = describe_job(job, request_head());
  EXPECT_EQ(d.job, "job-1");
  EXPECT_EQ(d.node, "n");
  EXPECT_EQ(d.program.image, "host");
  EXPECT_EQ(d.program.path, "/bin/cat");
  EXPECT_EQ(d.argv, (std::vector<std::string>{"n", "-n"}));
  EXPECT_EQ(d.timeout, std::chrono::seconds(3));
  ASSERT_EQ(d.channels.size(), 4u);
  EXPECT_EQ(d.channels[0].kind, Channel::Kind::kObject);
  EXPECT_EQ(d.channels[0].object.object, "o");
  EXPECT_EQ(d.channels[0].device, "sdb1");
  EXPECT_EQ(d.channels[0].path, "swift://./c/o");
  EXPECT_EQ(d.channels[1].kind, Channel::Kind::kAppend);
  EXPECT_EQ(d.channels[1].mode, "pipe");
  EXPECT_EQ(d.channels[2].kind, Channel::Kind::kRandom);
  EXPECT_EQ(d.channels[2].max_bytes, 1000u);
  EXPECT_EQ(d.channels[3].name, "stderr");
  EXPECT_FALSE(d.channels[3].declared);
  expect_accepted_by_a_host(d);
}

TEST(Describe, AProgramThatIsAnObjectTravelsByDigest) {
  const Job job = job_of(R"([{"name":"n","exec":{"path":"swift://./bin/p"}}])");
  const auto d = describe_job(job, request_head());
  EXPECT_EQ(d.program.path, "");
  EXPECT_EQ(d.program.size, 1000u);
  EXPECT_EQ(d.program.sha256, std::string(64, 'a'));
  expect_accepted_by_a_host(d);
}

TEST(Describe, AScriptTravelsInside) {
  const std::string text = "#!file://host:/bin/sh\n\xff\x01\n";
  const auto job = parse_script(text, {"AUTH_test", "c", "o"}, {});
  ASSERT_TRUE(job);
  const auto d = describe_job(*job, request_head());
  EXPECT_EQ(d.argv, (std::vector<std::string>{"/bin/sh", "script"}));
  ASSERT_EQ(d.channels.size(), 4u);
  EXPECT_EQ(d.channels[0].kind, Channel::Kind::kBytes);
  EXPECT_EQ(d.channels[0].bytes, text);
  expect_accepted_by_a_host(d);
}

TEST(Describe, TheLongestScriptFits) {
  std::string text = "#!file://host:/bin/sh\n";
  text.resize(kMaxScript, '\xff');
  const auto job = parse_script(text, {"AUTH_test", "", ""}, {});
  ASSERT_TRUE(job);
  http::RequestHead head = request_head();
  for (int i = 0; i < 60; ++i)
    head.headers.add("X-Long-" + std::to_string(i), std::string(1000, '\xfe'));
  expect_accepted_by_a_host(describe_job(*job, head));
}

TEST(Environment, IsThatOfCgi) {
  const Job job = job_of(R"([{"name":"n","exec":{"path":"file://host:/bin/env","name":"prog"}}])");
  http::RequestHead head = request_head();
  head.headers.add("X-Own-Thing", "one");
  head.headers.add("x-own-thing", "two");
  const auto env = env_of(describe_job(job, head));
  const std::pair<const char*, const char*> kWanted[] = {{"GATEWAY_INTERFACE", "CGI/1.1"},
      {"SERVER_SOFTWARE", "zerocloud"}, {"SERVER_NAME", "swift.example"}, {"SERVER_PORT", "8080"},
      {"SERVER_PROTOCOL", "HTTP/1.1"}, {"REQUEST_METHOD", "POST"},
      {"REQUEST_URI", "/v1/AUTH_test/c/o%20?a=b&c"}, {"PATH_INFO", "/AUTH_test/c/o "},
      {"QUERY_STRING", "a=b&c"}, {"REMOTE_USER", "test:tester"}, {"SCRIPT_NAME", "prog"},
      {"SCRIPT_FILENAME", "file://host:/bin/env"}, {"HTTP_HOST", "swift.example:8080"},
      {"HTTP_X_OWN_THING", "one, two"}, {"CONTENT_LENGTH", "0"}};
  for (const auto& [name, value] : kWanted)
    EXPECT_EQ(env.count(name) ? env.at(name) : "(unset)", value) << name;
  EXPECT_EQ(env.count("CONTENT_TYPE"), 0u);
  EXPECT_EQ(env.count("LOCAL_OBJECT"), 0u);
}

TEST(Environment, HidesWhoTheClientIsByProof) {
  const Job job = job_of(R"([{"name":"n","exec":{"path":"file://host:/bin/env"}}])");
  http::RequestHead head = request_head();
  for (const char* name : {"X-Auth-Token", "X-Auth-Key", "X-Storage-Token", "X-Service-Token",
           "x-subject-token", "Cookie", "Authorization", "Proxy-Authorization", "Proxy",
           "X-Backend-Storage-Policy-Index", "X-Object-Sysmeta-A", "X-Container-Meta-Temp-Url-Key",
           "X_Auth_Token", "X_Own", "Content-Type", "Content-Length", "Connection"})
    head.headers.add(name, "s3cret");
  for (const auto& [name, value] : describe_job(job, head).env)
    EXPECT_EQ(value.find("s3cret"), std::string::npos) << name;
}

TEST(Environment, TheJobsOwnVariablesWin) {
  const Job job = job_of(
      R"([{"name":"n","exec":{"path":"file://host:/bin/env","env":{"REQUEST_METHOD":"X","HTTP_HOST":"h"}}}])");
  const auto env = env_of(describe_job(job, request_head()));
  EXPECT_EQ(env.at("REQUEST_METHOD"), "X");
  EXPECT_EQ(env.at("HTTP_HOST"), "h");
}

TEST(Environment, TellsOfTheObjectNextToIt) {
  const Job job = job_of(R"([{"name":"n","exec":{"path":"file://host:/bin/env"},
      "devices":[{"name":"stdin","path":"swift://./c/o"}]}])");
  http::Headers object;
  object.add("X-Object-Meta-Some-Thing", "v");
  object.add("Content-Encoding", "gzip");
  const auto env = env_of(describe_job(job, request_head(), &object));
  const std::pair<const char*, const char*> kWanted[] = {{"LOCAL_OBJECT", "on"},
      {"LOCAL_PATH_INFO", "/AUTH_test/c/o"}, {"LOCAL_DOCUMENT_ROOT", "/dev/stdin"},
      {"LOCAL_CONTENT_TYPE", "text/x-own"}, {"LOCAL_CONTENT_LENGTH", "42"},
      {"LOCAL_HTTP_ETAG", "0123456789abcdef0123456789abcdef"},
      {"LOCAL_HTTP_X_TIMESTAMP", "1795352857.15555"}, {"LOCAL_HTTP_CONTENT_ENCODING", "gzip"},
      {"LOCAL_HTTP_X_OBJECT_META_SOME_THING", "v"}, {"CONTENT_TYPE", "text/x-own"},
      {"CONTENT_LENGTH", "42"}};
  for (const auto& [name, value] : kWanted)
    EXPECT_EQ(env.count(name) ? env.at(name) : "(unset)", value) << name;
}

TEST(Environment, TellsOfTheOutputNextToIt) {
  const Job job = job_of(R"([{"name":"n","exec":{"path":"file://host:/bin/env"},
      "devices":[{"name":"output","path":"swift://./c/o","content_type":"a/b","meta":{"K":"v"}}]}])");
  const auto env = env_of(describe_job(job, request_head()));
  EXPECT_EQ(env.at("LOCAL_CONTENT_TYPE"), "a/b");
  EXPECT_EQ(env.at("LOCAL_HTTP_X_OBJECT_META_K"), "v");
  EXPECT_EQ(env.count("LOCAL_CONTENT_LENGTH"), 0u);
}

TEST(Environment, IsBoundedTogetherWithTheArguments) {
  const Job job = job_of(R"([{"name":"n","exec":{"path":"file://host:/bin/env"}}])");
  http::RequestHead head = request_head();
  for (int i = 0; i < 300; ++i)
    head.headers.add("X-H-" + std::to_string(i), std::string(1000, 'x'));
  expect_accepted_by_a_host(describe_job(job, head));
}

TEST(Environment, ReadsAnIpv6Host) {
  const Job job = job_of(R"([{"name":"n","exec":{"path":"file://host:/bin/env"}}])");
  http::RequestHead head = request_head();
  head.headers.set("Host", "[::1]:81");
  auto env = env_of(describe_job(job, head));
  EXPECT_EQ(env.at("SERVER_NAME"), "[::1]");
  EXPECT_EQ(env.at("SERVER_PORT"), "81");
  head.headers.set("Host", "[::1]");
  env = env_of(describe_job(job, head));
  EXPECT_EQ(env.at("SERVER_NAME"), "[::1]");
  EXPECT_EQ(env.at("SERVER_PORT"), "80");
}

}  // namespace

}  // namespace zvm::bridge
