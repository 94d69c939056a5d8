// What a session does, through a real broker and a real host daemon.
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <sstream>

#include "base/digest.h"
#include "tests/kernel/host/host_client.h"

namespace zvm::host::testing {

namespace {

using protocol::Channel;
using protocol::Description;
using protocol::End;
using protocol::Frame;
using protocol::FrameType;
using protocol::NodeReport;
using std::chrono::milliseconds;
using std::chrono::seconds;

class SessionTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    missing_ = missing_capability();
    if (missing_.empty()) rig_ = new NodeRig;
  }

  static void TearDownTestSuite() {
    delete rig_;
    rig_ = nullptr;
  }

  void SetUp() override {
    if (!missing_.empty()) GTEST_SKIP() << "needs " << missing_;
  }

  static std::string missing_;
  static NodeRig* rig_;
};

std::string SessionTest::missing_;
NodeRig* SessionTest::rig_ = nullptr;

std::string slurp(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

Description static_program(const std::string& bytes) {
  Description d = shell("");
  d.program.path.clear();
  d.program.sha256 = sha256_hex(bytes);
  d.program.size = bytes.size();
  d.argv = {"hello"};
  return d;
}

// --- programs -----------------------------------------------------------------------------------

TEST_F(SessionTest, RunsAProgramOfTheImage) {
  HostClient client(*rig_);
  const Answer answer = client.post(shell("echo hello; exit 3"));
  ASSERT_EQ(answer.head.status, 101u) << answer.body;
  EXPECT_TRUE(answer.proven);
  const NodeReport report = client.run();
  EXPECT_EQ(report.end, End::kExited) << report.detail;
  EXPECT_EQ(report.exit_code, 3);
  EXPECT_EQ(report.validation, 2u);
  EXPECT_GT(report.wall, 0);
  EXPECT_GT(report.memory_peak, 0u);
  ASSERT_EQ(report.channels.size(), 1u);
  EXPECT_EQ(report.channels[0].size, 6u);
  EXPECT_EQ(report.channels[0].counted, "daemon");
  EXPECT_EQ(report.channels[0].md5, md5_hex("hello\n"));
  EXPECT_EQ(report.channels[0].sha256, sha256_hex("hello\n"));
  EXPECT_EQ(client.read_all(0), "hello\n");
}

TEST_F(SessionTest, RunsAStaticProgramThatTravelsAsFrames) {
  const std::string program = slurp(ZVM_HELLO);
  ASSERT_FALSE(program.empty());
  for (const char* expected : {"need", "have"}) {
    HostClient client(*rig_);
    const Answer answer = client.post(static_program(program));
    ASSERT_EQ(answer.head.status, 101u) << answer.body;
    EXPECT_EQ(answer.head.headers.get("Zvm-Program"), expected);
    if (std::string_view(expected) == "need") client.send_program(program);
    const NodeReport report = client.run();
    EXPECT_EQ(report.end, End::kExited) << report.detail;
    EXPECT_EQ(report.exit_code, 0);
    EXPECT_EQ(report.validation, 0u);
    EXPECT_FALSE(client.read_all(0).empty());
  }
}

TEST_F(SessionTest, RefusesBytesThatAreNoProgram) {
  const std::string text = "#!/bin/sh\necho hello\n";
  HostClient client(*rig_);
  ASSERT_EQ(client.post(static_program(text)).head.status, 101u);
  client.send_program(text);
  client.send(FrameType::kStart);
  const NodeReport report = client.report();
  EXPECT_EQ(report.end, End::kRefused);
  EXPECT_EQ(report.validation, 1u);
  EXPECT_FALSE(report.detail.empty());
  EXPECT_EQ(report.status_text(), "ZeroVM did not run");
}

TEST_F(SessionTest, RefusesAProgramThatTheImageDoesNotHave) {
  Description d = shell("");
  d.program.path = "/usr/bin/no-such-program";
  HostClient client(*rig_);
  ASSERT_EQ(client.post(d).head.status, 101u);
  const NodeReport report = client.run();
  EXPECT_EQ(report.end, End::kRefused) << report.detail;
  EXPECT_EQ(report.validation, 1u);
}

TEST_F(SessionTest, EndsWhenAProgramHasAnotherDigestThanWasSigned) {
  const std::string program = slurp(ZVM_HELLO) + "x";
  std::string other = program;
  other.back() = 'y';
  HostClient client(*rig_);
  ASSERT_EQ(client.post(static_program(program)).head.status, 101u);
  client.send_program(other);
  client.send(FrameType::kStart);
  EXPECT_TRUE(client.closed());
}

// --- ends ---------------------------------------------------------------------------------------

TEST_F(SessionTest, TellsTheSignalThatKilledTheProgram) {
  HostClient client(*rig_);
  ASSERT_EQ(client.post(shell("kill -SEGV $$")).head.status, 101u);
  const NodeReport report = client.run();
  EXPECT_EQ(report.end, End::kSignalled) << report.detail;
  EXPECT_EQ(report.signal, SIGSEGV);
}

TEST_F(SessionTest, EndsAProgramThatSleepsPastItsTimeout) {
  Description d = shell("echo early; sleep 1000 & sleep 1000");
  d.timeout = milliseconds(500);
  HostClient client(*rig_);
  ASSERT_EQ(client.post(d).head.status, 101u);
  const NodeReport report = client.run();
  EXPECT_EQ(report.end, End::kTimeout) << report.detail;
  EXPECT_EQ(client.read_all(0), "early\n");
  EXPECT_TRUE(rig_->wait_no_jailed_processes());
}

TEST_F(SessionTest, EndsAProgramThatUsesUpItsCpuTime) {
  Description d = shell("while :; do :; done");
  d.cpu = seconds(1);
  HostClient client(*rig_);
  ASSERT_EQ(client.post(d).head.status, 101u);
  const NodeReport report = client.run();
  EXPECT_EQ(report.end, End::kCpuLimit) << report.detail;
  EXPECT_GT(report.cpu_user + report.cpu_system, 0);
}

TEST_F(SessionTest, EndsAProgramThatWritesForEver) {
  Description d = shell("while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done 2>/dev/null");
  d.channels[0].max_bytes = 4096;
  HostClient client(*rig_);
  ASSERT_EQ(client.post(d).head.status, 101u);
  const NodeReport report = client.run();
  EXPECT_EQ(report.end, End::kOutputLimit) << report.detail;
  EXPECT_LE(report.channels[0].size, 4096u);
  EXPECT_EQ(client.read_all(0).size(), report.channels[0].size);
}

TEST_F(SessionTest, CancelsOnRequest) {
  HostClient client(*rig_);
  ASSERT_EQ(client.post(shell("echo there; sleep 1000")).head.status, 101u);
  client.send(FrameType::kStart);
  client.expect(FrameType::kStarted);
  client.read(0, 0, 6);
  EXPECT_EQ(client.expect(FrameType::kData).payload, "there\n");
  client.send(FrameType::kCancel);
  EXPECT_EQ(client.report().end, End::kCancelled);
  EXPECT_TRUE(rig_->wait_no_jailed_processes());
}

TEST_F(SessionTest, KillsTheProgramWhenTheBridgeGoes) {
  HostClient client(*rig_);
  ASSERT_EQ(client.post(shell("trap '' TERM HUP; echo there; sleep 1000")).head.status, 101u);
  client.send(FrameType::kStart);
  client.expect(FrameType::kStarted);
  client.read(0, 0, 6);
  client.expect(FrameType::kData);
  EXPECT_GT(rig_->jailed_processes(), 0u);
  client.close();
  EXPECT_TRUE(rig_->wait_no_jailed_processes());
}

// --- outputs ------------------------------------------------------------------------------------

TEST_F(SessionTest, GivesOutputWhileTheProgramRuns) {
  const auto version = NodeRig::version("never", "x");
  HostClient client(*rig_);
  // The program goes on only when a range was answered, so what came before it came while it ran.
  Description d = shell(
      "echo one; cat /dev/input; echo two", {object("input", version, Channel::Local::kNever)});
  ASSERT_EQ(client.post(d).head.status, 101u);
  client.read(0, 0, 100);
  client.send(FrameType::kStart);
  client.expect(FrameType::kStarted);
  bool one_seen = false;
  bool asked = false;
  while (!one_seen || !asked) {
    const auto f = client.receive();
    ASSERT_TRUE(f);
    if (f->type == FrameType::kData) {
      EXPECT_EQ(f->payload, "one\n");
      one_seen = true;
    } else {
      ASSERT_EQ(f->type, FrameType::kRange);
      asked = true;
    }
  }
  client.send(FrameType::kRangeData, 1, 0, "x");
  std::string rest;
  for (;;) {
    const auto f = client.receive();
    ASSERT_TRUE(f);
    if (f->type != FrameType::kData) continue;
    rest += f->payload;
    if (f->flags == protocol::kEnd) break;
  }
  EXPECT_EQ(rest, "xtwo\n");
}

TEST_F(SessionTest, KeepsSeveralOutputsApart) {
  HostClient client(*rig_);
  ASSERT_EQ(
      client
          .post(shell("echo err >&2; printf abc >/dev/output; echo out",
              {output("stderr", Channel::Kind::kAppend), output("output", Channel::Kind::kRandom)}))
          .head.status,
      101u);
  const NodeReport report = client.run();
  EXPECT_EQ(report.end, End::kExited) << report.detail;
  EXPECT_EQ(client.read_all(0), "out\n");
  EXPECT_EQ(client.read_all(1), "err\n");
  EXPECT_EQ(client.read_all(2), "abc");
  EXPECT_EQ(report.channels[2].sha256, sha256_hex("abc"));
}

TEST_F(SessionTest, CarriesALargeOutputWhole) {
  Description d = shell("head -c 20000000 /dev/zero");
  d.channels[0].max_bytes = 64 << 20;
  HostClient client(*rig_);
  ASSERT_EQ(client.post(d).head.status, 101u);
  const NodeReport report = client.run();
  ASSERT_EQ(report.end, End::kExited) << report.detail;
  const std::string all = client.read_all(0);
  EXPECT_EQ(all.size(), 20'000'000u);
  EXPECT_EQ(sha256_hex(all), report.channels[0].sha256);
}

TEST_F(SessionTest, KeepsTheTailOfWhatNobodyAskedFor) {
  Description d = shell("echo lost words >&2");
  d.channels.push_back(output("stderr", Channel::Kind::kAppend));
  d.channels[1].declared = false;
  HostClient client(*rig_);
  ASSERT_EQ(client.post(d).head.status, 101u);
  const NodeReport report = client.run();
  EXPECT_EQ(report.end, End::kExited) << report.detail;
  EXPECT_EQ(client.read_all(1), "lost words\n");
}

// --- inputs -------------------------------------------------------------------------------------

TEST_F(SessionTest, ReadsTheReplicaInPlace) {
  const std::string content(300'000, 'r');
  const auto version = NodeRig::version("local", content);
  rig_->put(version, content);
  HostClient client(*rig_);
  Description d =
      shell("cat; cat /dev/input | wc -c", {object("stdin", version, Channel::Local::kRequire),
                                               object("input", version, Channel::Local::kPrefer)});
  const Answer answer = client.post(d);
  ASSERT_EQ(answer.head.status, 101u) << answer.body;
  const NodeReport report = client.run();
  EXPECT_EQ(report.end, End::kExited) << report.detail;
  EXPECT_EQ(report.device, NodeRig::kDevice);
  EXPECT_EQ(report.channels[1].locality, "local");
  EXPECT_EQ(report.channels[2].locality, "local");
  const bool passthrough = rig_->host_log().find("PASSTHROUGH=\"yes\"") != std::string::npos;
  EXPECT_EQ(report.channels[1].counted, passthrough ? "estimate" : "daemon");
  EXPECT_EQ(report.channels[1].bytes_read, content.size());
  EXPECT_EQ(client.read_all(0), content + "300000\n");
}

TEST_F(SessionTest, LeavesTheOriginalAloneWhenTheJobWrites) {
  const std::string content = "the original";
  const auto version = NodeRig::version("written", content);
  const auto file = rig_->put(version, content);
  HostClient client(*rig_);
  Description d = shell("printf changed 1<>/dev/input; cat /dev/input",
      {object("input", version, Channel::Local::kRequire)});
  ASSERT_EQ(client.post(d).head.status, 101u);
  const NodeReport report = client.run();
  EXPECT_EQ(report.end, End::kExited) << report.detail;
  EXPECT_EQ(report.exit_code, 0);
  EXPECT_EQ(client.read_all(0), "changedginal");
  EXPECT_EQ(slurp(file), content);
}

TEST_F(SessionTest, KeepsTheSnapshotWhenTheObjectIsDeleted) {
  const std::string content = "the old bytes";
  const auto version = NodeRig::version("deleted", content);
  const auto file = rig_->put(version, content);
  HostClient client(*rig_);
  ASSERT_EQ(
      client.post(shell("cat /dev/input", {object("input", version, Channel::Local::kRequire)}))
          .head.status,
      101u);
  std::filesystem::remove(file);
  const NodeReport report = client.run();
  EXPECT_EQ(report.end, End::kExited) << report.detail;
  EXPECT_EQ(client.read_all(0), content);
}

// The host's answer to a required replica.
std::string refusal(const NodeRig& rig, const protocol::ObjectVersion& v, unsigned status) {
  HostClient client(rig);
  const Answer answer = client.post(shell("cat", {object("stdin", v, Channel::Local::kRequire)}));
  EXPECT_EQ(answer.head.status, status) << answer.body;
  EXPECT_TRUE(answer.proven);
  return answer.body;
}

TEST_F(SessionTest, RefusesAReplicaThatIsNotThere) {
  refusal(*rig_, NodeRig::version("absent", "x"), 404);
}

TEST_F(SessionTest, RefusesAReplicaOfAnotherVersion) {
  auto version = NodeRig::version("stale", "x");
  rig_->put(version, "x");
  version.timestamp = "1795352999.00000";
  EXPECT_NE(refusal(*rig_, version, 409).find("stale-replica"), std::string::npos);
}

TEST_F(SessionTest, RefusesACorruptReplica) {
  const auto version = NodeRig::version("corrupt", "whole");
  const auto file = rig_->put(version, "whole");
  std::filesystem::resize_file(file, 2);
  EXPECT_NE(refusal(*rig_, version, 409).find("corrupt: "), std::string::npos);
}

TEST_F(SessionTest, RefusesAReplicaThatIsNotReadableInPlace) {
  const auto version = NodeRig::version("manifest", "[]");
  rig_->put(version, "[]", {{"X-Static-Large-Object", "True"}});
  EXPECT_NE(refusal(*rig_, version, 501).find("\"slo\""), std::string::npos);
}

TEST_F(SessionTest, RefusesADeviceThatTheRingDoesNotHaveHere) {
  const auto version = NodeRig::version("device", "x");
  rig_->put(version, "x");
  HostClient client(*rig_);
  Description d = shell("cat", {object("stdin", version, Channel::Local::kRequire)});
  d.channels[1].device = "d9";
  EXPECT_EQ(client.post(d).head.status, 400u);
}

TEST_F(SessionTest, ReadsRemotelyWhatIsPreferredHereAndMissing) {
  const auto version = NodeRig::version("elsewhere", "remote bytes");
  HostClient client(*rig_);
  Description d = shell("cat", {object("stdin", version, Channel::Local::kPrefer)});
  ASSERT_EQ(client.post(d).head.status, 101u);
  client.send(FrameType::kStart);
  client.expect(FrameType::kStarted);
  const Frame range = client.expect(FrameType::kRange);
  EXPECT_EQ(range.channel, 1);
  EXPECT_EQ(range.arg, 0u);
  EXPECT_EQ(protocol::decode_length(range.payload), 12u);
  client.send(FrameType::kRangeData, 1, 0, "remote ");
  client.send(FrameType::kRangeData, 1, 7, "bytes");
  const NodeReport report = client.report();
  EXPECT_EQ(report.end, End::kExited) << report.detail;
  EXPECT_EQ(report.channels[1].locality, "remote");
  EXPECT_EQ(report.channels[1].reason, "stale-replica");
  EXPECT_EQ(client.read_all(0), "remote bytes");
}

TEST_F(SessionTest, SaysWhyARemoteInputWasLost) {
  const auto version = NodeRig::version("changed", "remote bytes");
  HostClient client(*rig_);
  Description d = shell("cat", {object("stdin", version, Channel::Local::kNever)});
  d.channels[1].remote_reason = "slo";
  ASSERT_EQ(client.post(d).head.status, 101u);
  client.send(FrameType::kStart);
  client.expect(FrameType::kStarted);
  client.expect(FrameType::kRange);
  client.send(FrameType::kRangeFail, 1, 0, "412: the object changed");
  // The kernel may ask once more, for less.
  auto next = client.receive();
  while (next && next->type == FrameType::kRange) {
    client.send(FrameType::kRangeFail, next->channel, next->arg, "412: the object changed");
    next = client.receive();
  }
  ASSERT_TRUE(next && next->type == FrameType::kReport);
  const auto report = protocol::report_from_json(next->payload);
  ASSERT_TRUE(report);
  EXPECT_EQ(report->end, End::kInputLost);
  EXPECT_NE(report->detail.find("412: the object changed"), std::string::npos);
  EXPECT_EQ(report->channels[1].reason, "slo");
}

TEST_F(SessionTest, CancelsAProgramThatWaitsForARemoteInput) {
  const auto version = NodeRig::version("slow", "remote bytes");
  HostClient client(*rig_);
  Description d = shell("cat", {object("stdin", version, Channel::Local::kNever)});
  ASSERT_EQ(client.post(d).head.status, 101u);
  client.send(FrameType::kStart);
  client.expect(FrameType::kStarted);
  client.expect(FrameType::kRange);
  client.send(FrameType::kCancel);
  EXPECT_EQ(client.report().end, End::kCancelled);
}

TEST_F(SessionTest, ShowsAScriptsText) {
  Channel script;
  script.name = "script";
  script.bytes = "echo from the script\n";
  Description d = shell("", {script});
  d.argv = {"sh", "/script"};
  HostClient client(*rig_);
  ASSERT_EQ(client.post(d).head.status, 101u);
  const NodeReport report = client.run();
  EXPECT_EQ(report.end, End::kExited) << report.detail;
  EXPECT_EQ(client.read_all(0), "from the script\n");
}

}  // namespace

}  // namespace zvm::host::testing
