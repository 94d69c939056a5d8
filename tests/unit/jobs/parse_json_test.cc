#include <gtest/gtest.h>

#include "swift_bridge/jobs/parse.h"

namespace zvm::bridge {

namespace {

using protocol::Channel;
using std::chrono::milliseconds;

const std::string kAccount = "AUTH_test";

Outcome<Job> parse(std::string_view json, const Limits& limits = {}) {
  return parse_job_json(json, kAccount, limits);
}

// A job of one node with these members after name and exec.
std::string job_with(const std::string& members) {
  return R"([{"name":"n","exec":{"path":"file://host:/bin/cat"})" +
         (members.empty() ? "" : "," + members) + "}]";
}

std::string device(const std::string& members) {
  return job_with("\"devices\":[{" + members + "}]");
}

Node node_of(const std::string& json, const Limits& limits = {}) {
  auto job = parse(json, limits);
  EXPECT_TRUE(job) << json << ": " << (job ? "" : job.error().detail);
  return job ? job->nodes.at(0) : Node{};
}

struct Refused {
  std::string json;
  unsigned status;
  const char* begins;
};

void expect_refused(const Refused& c) {
  const auto job = parse(c.json);
  ASSERT_FALSE(job) << c.json.substr(0, 200);
  EXPECT_EQ(job.error().status, c.status) << c.json.substr(0, 200);
  EXPECT_EQ(job.error().detail.rfind(c.begins, 0), 0u)
      << c.json.substr(0, 200) << "\n  said: " << job.error().detail << "\n  want: " << c.begins;
}

TEST(JobJson, BecomesAValidatedJob) {
  const auto job = parse(R"([{
      "name": "count",
      "exec": {"path": "swift://~/bin/wc", "args": "-l 'a b'", "env": {"LANG": "C", "EMPTY": "", "N": 3}},
      "devices": [
        {"name": "stdin", "path": "swift://./texts/GPL%203"},
        {"name": "input-2", "path": "swift://AUTH_other/c/o"},
        {"name": "stdout", "content_type": "text/plain"},
        {"name": "stderr", "path": "swift://./logs/*.err", "meta": {"Kind": "log"}, "mode": "char", "min_size": 1},
        {"name": "side", "path": "swift://./out/side", "access": "write"}],
      "timeout": 2.5, "memory": "64MiB", "cpu": 1, "max_output": 4096, "policy": "compute",
      "keep_partial": true, "pipefail": false, "deterministic": false, "replicate": 1, "count": 1,
      "location": "anywhere", "connect": [], "args": "ignored here"}])");
  ASSERT_TRUE(job) << job.error().detail;
  EXPECT_EQ(job->account, kAccount);
  ASSERT_EQ(job->nodes.size(), 1u);
  const Node& n = job->nodes[0];
  EXPECT_EQ(n.name, "count");
  EXPECT_EQ(n.exec.kind, Exec::Kind::kObject);
  EXPECT_EQ(n.exec.object, (SwiftPath{kAccount, "bin", "wc"}));
  EXPECT_EQ(n.exec.argv, (std::vector<std::string>{"count", "-l", "a b"}));
  EXPECT_EQ(
      n.exec.env, (std::vector<std::pair<std::string, std::string>>{{"LANG", "C"}, {"N", "3"}}));
  EXPECT_EQ(n.timeout, milliseconds(2500));
  EXPECT_EQ(n.cpu, milliseconds(1000));
  EXPECT_EQ(n.memory, 64u << 20);
  EXPECT_EQ(n.max_output, 4096u);
  EXPECT_EQ(n.policy, "compute");
  EXPECT_TRUE(n.keep_partial);

  ASSERT_EQ(n.devices.size(), 5u);
  EXPECT_EQ(n.devices[0].path, (SwiftPath{kAccount, "texts", "GPL 3"}));
  EXPECT_EQ(n.devices[1].kind, Channel::Kind::kObject);
  EXPECT_EQ(n.devices[2].kind, Channel::Kind::kAppend);
  EXPECT_EQ(n.answer, 2u);
  EXPECT_EQ(n.attach, 0u);
  EXPECT_EQ(n.devices[3].path, (SwiftPath{kAccount, "logs", "count.err"}));
  EXPECT_EQ(n.devices[3].content_type, "application/octet-stream");
  EXPECT_EQ(n.devices[3].meta.at(0).first, "Kind");
  EXPECT_EQ(n.devices[3].mode, "char");
  EXPECT_EQ(n.devices[3].min_size, 1u);
  EXPECT_EQ(n.devices[4].kind, Channel::Kind::kRandom);
  EXPECT_TRUE(n.devices[4].is_stored());
}

TEST(JobJson, IsRefusedWithTheTextThatClientsKnow) {
  const std::string exec = R"("exec":{"path":"file://host:/x"})";
  const Refused kCases[] = {
      {"", 422, "Could not parse system map"},
      {"{", 422, "Could not parse system map: JSON, byte"},
      {R"([{"name":"a","name":"b"}])", 422, "Could not parse system map"},
      {"[" + std::string(kMaxJobJson, ' ') + "]", 413, "A job description is at most 65536 bytes"},
      {R"({"name":"n"})", 400, "Config parser internal error"},
      {"[]", 400, "Config parser cannot resolve any job nodes"},
      {"[1]", 400, "Config parser internal error"},
      {"[{}]", 400, "Must specify node name"},
      {R"([{"name":""}])", 400, "Must specify node name"},
      {R"([{"name":7}])", 400, "Must specify node name"},
      {R"([{"name":"a b"}])", 400, "Invalid node name a b"},
      {R"([{"name":"a\nb"}])", 400, "Invalid node name a?b"},
      {R"([{"name":".."}])", 400, "Invalid node name"},
      {"[{\"name\":\"" + std::string(65, 'x') + "\"}]", 400, "Invalid node name"},
      {R"([{"name":"n"}])", 400, "Must specify exec stanza for n"},
      {R"([{"name":"n","exec":{}}])", 400, "Must specify exec stanza for n"},
      {R"([{"name":"n","exec":"x"}])", 400, "Must specify exec stanza for n"},
      {R"([{"name":"n","exec":{"args":"x"}}])", 400, "Must specify executable path for n"},
      {R"([{"name":"n","exec":{"path":"/bin/sh"}}])", 400, "Must specify executable path for n"},
      {R"([{"name":"n","exec":{"path":"zvm://a:b"}}])", 400,
          "Executable path cannot be a zvm path in n"},
      {R"([{"name":"n","exec":{"path":"swift://a/c"}}])", 400, "Invalid path swift://a/c in n"},
      {R"([{"name":"n","exec":{"path":"file://host:"}}])", 400, "Invalid path file://host: in n"},
      {R"([{"name":"n","exec":{"path":"file://a/b:c"}}])", 400, "Invalid path file://a/b:c in n"},
      {R"([{"name":"n","exec":{"path":"file://host:/x","args":"a\nb"}}])", 400,
          "Invalid nexe property for n"},
      {R"([{"name":"n","exec":{"path":"file://host:/x","args":["a"]}}])", 400,
          "Invalid nexe property for n"},
      {R"([{"name":"n","exec":{"path":"file://host:/x","args":"'a"}}])", 400,
          "Invalid nexe property for n: exec.args: a quote is not closed"},
      {R"([{"name":"n","exec":{"path":"file://host:/x","name":""}}])", 400,
          "Invalid nexe property for n"},
      {R"([{"name":"n","exec":{"path":"file://host:/x","env":["A"]}}])", 400,
          "Invalid nexe property for n"},
      {R"([{"name":"n","exec":{"path":"file://host:/x","env":{"A=B":"c"}}}])", 400,
          "Invalid nexe property for n"},
      {R"([{"name":"n","exec":{"path":"file://host:/x","env":{"A":"\u0001"}}}])", 400,
          "Invalid nexe property for n"},
      {job_with(R"("count":0)"), 400, "Invalid node count: 0"},
      {job_with(R"("count":"2")"), 400, "Invalid node count: \"2\""},
      {job_with(R"("count":1.5)"), 400, "Invalid node count: 1.5"},
      {job_with(R"("count":true)"), 400, "Invalid node count: true"},
      {job_with(R"("replicate":4)"), 400, "replicate of n must be"},
      {job_with(R"("connect":"m")"), 400, "connect of n must be"},
      {job_with(R"("devices":{})"), 400, "Config parser internal error"},
      {job_with(R"("devices":[1])"), 400, "Config parser internal error"},
      {"[{\"name\":\"n\"," + exec + "},{\"name\":\"n\"," + exec + "}]", 400,
          "Two nodes are named n"},
      {device(R"("path":"swift://a/c/o")"), 400, "Must specify device for file in n"},
      {device(R"("name":"a/b","path":"swift://a/c/o")"), 400, "Bad device name: a/b in n"},
      {device(R"("name":"null","path":"swift://a/c/o")"), 400, "Bad device name: null in n"},
      {device(R"("name":"urandom")"), 400, "Bad device name: urandom in n"},
      {device(R"("name":"in")"), 400, "Bad device name: in in n"},
      {device(R"("name":"what")"), 400, "Could not resolve channel path \"\" for device: what"},
      {device(R"("name":"input")"), 400, "Could not resolve channel path \"\" for device: input"},
      {device(R"("name":"what","access":"write")"), 400,
          "Could not resolve channel path \"\" for device: what"},
      {device(R"("name":"output")"), 400, "Immediate response is not available for device output"},
      {device(R"("name":"stdin","path":"/a/c/o")"), 400, "Readable device must be a swift object"},
      {device(R"("name":"stdin","path":"zvm://m:stdout")"), 400,
          "Readable device must be a swift object"},
      {device(R"("name":"stdin","path":"swift://a")"), 400, "Invalid path swift://a in n"},
      {device(R"("name":"stdin","path":"swift://*")"), 400, "Invalid path swift://* in n"},
      {device(R"("name":"stdin","path":"swift://a*/c/o")"), 400,
          "Invalid path swift://a*/c/o in n"},
      {device(R"("name":"stdout","path":"swift://a")"), 400, "Invalid path swift://a in n"},
      {device(R"("name":"stdout","path":"swift://a/c")"), 400, "Container path must be read-only"},
      {device(R"("name":"stdout","path":"/a/c/o")"), 400, "Invalid path /a/c/o in n"},
      {device(R"("name":"stdout","path":7)"), 400, "Invalid path of device stdout in n"},
      {device(R"("name":"stdin","path":"swift://a/c/o","access":"write")"), 400,
          "access of device stdin in n cannot be write"},
      {device(R"("name":"x","path":"swift://a/c/o","access":"rw")"), 400,
          "access of device x in n must be"},
      {device(R"("name":"stdout","mode":"fifo")"), 400, "mode of device stdout in n must be"},
      {device(R"("name":"stdout","min_size":-1)"), 400, "min_size of device stdout in n"},
      {device(R"("name":"stdout","content_type":"a\nb")"), 400,
          "Invalid content_type of device stdout"},
      {device(R"("name":"stdout","meta":{"a b":"c"})"), 400, "meta of device stdout in n: a b"},
      {device(R"("name":"stdout","meta":{"a":"c\r\nX: y"})"), 400, "meta of device stdout in n: a"},
      {job_with(R"("devices":[{"name":"stdin"},{"name":"stdin"}])"), 400,
          "Device stdin stands twice in n"},
      {job_with(R"("devices":[{"name":"stdout"},{"name":"stderr"}])"), 400,
          "Only one output can be the answer: give stderr of n a path"},
      {job_with(R"("attach":"input")"), 400, "attach names no device of n: input"},
      {job_with(R"("timeout":0)"), 400, "timeout of n must be"},
      {job_with(R"("timeout":"60")"), 400, "timeout of n must be"},
      {job_with(R"("timeout":1e999)"), 422, "Could not parse system map"},
      {job_with(R"("timeout":1e300)"), 400, "timeout of n is at most 1h here"},
      {job_with(R"("cpu":4000)"), 400, "cpu of n is at most 1h here"},
      {job_with(R"("memory":"5GiB")"), 400, "memory of n is at most 4GiB here"},
      {job_with(R"("memory":1000)"), 400, "memory of n is at least 1MiB"},
      {job_with(R"("memory":"lots")"), 400, "memory of n: "},
      {job_with(R"("memory":-5)"), 400, "memory of n must be"},
      {job_with(R"("max_output":"6GiB")"), 400, "max_output of n is at most 5GiB here"},
      {job_with(R"("policy":"strict")"), 400, "policy of n must be"},
      {job_with(R"("keep_partial":1)"), 400, "keep_partial of n must be true or false"},
      {job_with(R"("deterministic":"yes")"), 400, "deterministic of n must be true or false"},
  };
  for (const Refused& c : kCases) expect_refused(c);
}

TEST(JobJson, WhatThisVersionLacksIsNamedIn501) {
  const std::string exec = R"("exec":{"path":"file://host:/x"})";
  const Refused kCases[] = {
      {"[{\"name\":\"n\"," + exec + "},{\"name\":\"m\"," + exec + "}]", 501,
          "A job of more than one node group is not supported"},
      {job_with(R"("count":2)"), 501, "The key \"count\" above 1"},
      {job_with(R"("replicate":3)"), 501, "The key \"replicate\" above 1"},
      {job_with(R"("connect":["m"])"), 501, "The key \"connect\""},
      {job_with(R"("deterministic":true)"), 501, "The key \"deterministic\": true"},
      {job_with(R"("time":5)"), 501, "The key \"time\""},
      {job_with(R"("policy":"runtime")"), 501, "The policy \"runtime\""},
      {device(R"("name":"stdin","path":"swift://a/c/*.txt")"), 501, "A wildcard in a path to read"},
      {device(R"("name":"stdin","path":"swift://a/c")"), 501, "A container as an input"},
      {device(R"("name":"stdout","path":"zvm://m:stdin")"), 501, "A pipe to another node"},
      {device(R"("name":"image","path":"swift://a/c/o")"), 501, "The device \"image\""},
      {device(R"("name":"debug","path":"tcp://h:1")"), 501, "The device \"debug\""},
      {R"([{"name":"n","exec":{"path":"file://prog"}}])", 501, "A program of the job's own image"},
  };
  for (const Refused& c : kCases) expect_refused(c);
}

TEST(JobJson, WhatIsWrongIsToldBeforeWhatIsMissing) {
  expect_refused({job_with(R"("count":2,"devices":[{"name":"what"}])"), 400, "Could not resolve"});
}

TEST(JobJson, OldKeysWin) {
  const Node n = node_of(job_with(
      R"("devices":[{"name":"stdout"}],"file_list":[{"device":"stderr","name":"stdout"}])"));
  ASSERT_EQ(n.devices.size(), 1u);
  EXPECT_EQ(n.devices[0].name, "stderr");
}

TEST(JobJson, DevicesThatDoNothingAreAccepted) {
  EXPECT_TRUE(node_of(device(R"("name":"host")")).devices.empty());
  EXPECT_TRUE(node_of(device(R"("name":"stdin")")).devices.empty());
  const std::string by_object =
      R"([{"name":"n","exec":{"path":"swift://a/c/o"},"devices":[{"name":"host"}]}])";
  EXPECT_TRUE(node_of(by_object).devices.empty());
}

TEST(JobJson, ContentTypeDependsOnWhereTheOutputGoes) {
  EXPECT_EQ(node_of(device(R"("name":"stdout")")).devices[0].content_type, "text/html");
  EXPECT_EQ(node_of(device(R"("name":"stdout","path":"swift://a/c/o")")).devices[0].content_type,
      "application/octet-stream");
  EXPECT_EQ(node_of(device(R"("name":"stdin","path":"swift://a/c/o","content_type":"x/y")"))
                .devices[0]
                .content_type,
      "");
}

TEST(JobJson, RunsNextToTheFirstReadableObjectThenTheFirstWritten) {
  const auto at = [](const std::string& devices, const std::string& attach = "") {
    return node_of(job_with("\"devices\":[" + devices + "]" + attach)).attach;
  };
  const std::string out = R"({"name":"output","path":"swift://a/c/out"})";
  const std::string in = R"({"name":"input","path":"swift://a/c/in"})";
  const std::string script = R"({"name":"script","path":"swift://a/c/s"})";
  EXPECT_EQ(at(out + "," + script + "," + in), 2u);
  EXPECT_EQ(at(script + "," + out), 1u);
  EXPECT_EQ(at(script), std::nullopt);
  EXPECT_EQ(at(in + "," + out, R"(,"attach":"output")"), 1u);
  EXPECT_EQ(at(in + "," + out, R"(,"attach":"default")"), 0u);
  EXPECT_EQ(at(in + R"(,{"name":"stdout"})", R"(,"attach":"stdout")"), std::nullopt);
}

TEST(JobJson, DefaultsComeFromTheConfiguration) {
  Limits limits;
  limits.timeout = milliseconds(9000);
  limits.cpu_cap = milliseconds(5000);
  limits.memory = 8ull << 30;
  limits.memory_cap = 1 << 30;
  const Node n = node_of(job_with(""), limits);
  EXPECT_EQ(n.timeout, milliseconds(9000));
  EXPECT_EQ(n.cpu, milliseconds(5000)) << "the timeout, capped";
  EXPECT_EQ(n.memory, 1u << 30) << "the default, capped";
  EXPECT_EQ(n.answer, std::nullopt);
  EXPECT_EQ(node_of(job_with(R"("timeout":2)")).cpu, milliseconds(2000));
}

TEST(JobJson, ImageProgramsGetAnAbsolutePath) {
  const Node n = node_of(R"([{"name":"n","exec":{"path":"file://python2.7:python","name":"py"}}])");
  EXPECT_EQ(n.exec.image, "python2.7");
  EXPECT_EQ(n.exec.path, "/python");
  EXPECT_EQ(n.exec.argv.at(0), "py");
}

TEST(JobJson, StarsOfAnOutputAreTheNodesName) {
  const Node n = node_of(device(R"("name":"output","path":"swift://a/w*/o.%2A.*")"));
  EXPECT_EQ(n.devices[0].path, (SwiftPath{"a", "wn", "o.*.n"}));
}

TEST(JobJson, RefusalNamesItsNode) {
  const auto job = parse(device(R"("name":"what")"));
  ASSERT_FALSE(job);
  EXPECT_EQ(job.error().node, "n");
}

TEST(JobJson, HasABoundedNumberOfDevices) {
  std::string list;
  for (size_t i = 0; i <= protocol::kMaxChannels - 2; ++i)
    list += (i == 0 ? "" : ",") + std::string(R"({"name":"d)") + std::to_string(i) +
            R"(","path":"swift://a/c/o"})";
  expect_refused({job_with("\"devices\":[" + list + "]"), 400, "A node has at most 254 devices"});
}

}  // namespace

}  // namespace zvm::bridge
