// Who may ask a host daemon, how much, and what is left when one of the programs dies.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include "base/digest.h"
#include "tests/kernel/host/host_client.h"

namespace zvm::host::testing {

namespace {

using protocol::Channel;
using protocol::Description;
using protocol::End;
using protocol::FrameType;
using protocol::NodeReport;
using std::chrono::milliseconds;

#define ZVM_NEEDS_KERNEL()                                         \
  if (const auto missing = missing_capability(); !missing.empty()) \
  GTEST_SKIP() << "needs " << missing

std::string good_body() {
  return protocol::to_json(shell("true"));
}

unsigned status_of(const NodeRig& rig, const HostClient::Signing& how) {
  HostClient client(rig);
  return client.post(good_body(), how).head.status;
}

// --- who ----------------------------------------------------------------------------------------

TEST(HostDoor, OpensToASignedFreshRequestOnly) {
  ZVM_NEEDS_KERNEL();
  NodeRig rig;
  HostClient::Signing how;
  EXPECT_EQ(status_of(rig, how), 101u);
  how.sign = false;
  EXPECT_EQ(status_of(rig, how), 401u);
  how = {};
  how.key = std::string(32, 'x');
  EXPECT_EQ(status_of(rig, how), 401u);
  how = {};
  how.boot = std::string(32, '0');
  EXPECT_EQ(status_of(rig, how), 401u) << "signed for an earlier start";
  how = {};
  how.life = -5;
  EXPECT_EQ(status_of(rig, how), 401u) << "expired";
  how.life = 3600;
  EXPECT_EQ(status_of(rig, how), 401u) << "good for longer than allowed";
  EXPECT_TRUE(rig.wait_log("refused a request"));
  EXPECT_EQ(rig.jailed_processes(), 0u);
}

TEST(HostDoor, RefusesAReplay) {
  ZVM_NEEDS_KERNEL();
  NodeRig rig;
  HostClient::Signing how;
  how.nonce = random_hex(16);
  EXPECT_EQ(status_of(rig, how), 101u);
  EXPECT_EQ(status_of(rig, how), 401u);
}

TEST(HostDoor, SaysWhatItDoesNotHave) {
  ZVM_NEEDS_KERNEL();
  NodeRig rig;
  HostClient client(rig);
  EXPECT_EQ(client.request("GET", "/v1/identity").head.status, 200u);
  EXPECT_EQ(client.request("GET", "/").head.status, 404u);
  EXPECT_EQ(client.request("GET", "/v1/sessions").head.status, 405u);
  EXPECT_EQ(client.request("DELETE", "/v1/identity").head.status, 405u);
  EXPECT_EQ(client.request("GET", "/v1/identity?nonce=1").head.status, 400u);
}

TEST(HostDoor, RefusesWhatIsNoDescription) {
  ZVM_NEEDS_KERNEL();
  NodeRig rig;
  HostClient client(rig);
  const Answer answer = client.post("{}", HostClient::Signing());
  EXPECT_EQ(answer.head.status, 400u);
  EXPECT_TRUE(answer.proven);
}

// --- how much -----------------------------------------------------------------------------------

TEST(HostRoom, IsBoundedAndSaysBusy) {
  ZVM_NEEDS_KERNEL();
  NodeRig::Settings settings;
  settings.max_sessions = 1;
  NodeRig rig(settings);
  HostClient first(rig);
  ASSERT_EQ(first.post(shell("true")).head.status, 101u);
  HostClient second(rig);
  const Answer busy = second.post(shell("true"));
  EXPECT_EQ(busy.head.status, 503u);
  EXPECT_TRUE(busy.proven);
  EXPECT_FALSE(busy.head.headers.get("Retry-After").empty());
  first.run();
  first.close();
  // The slot is free when the host has seen that the bridge is gone.
  unsigned status = 503;
  for (int i = 0; i < 1000 && status == 503; ++i) {
    HostClient third(rig);
    status = third.post(shell("true")).head.status;
    if (status == 503) ::usleep(10'000);
  }
  EXPECT_EQ(status, 101u);
}

TEST(HostRoom, IsTakenBackFromWhoDoesNotStart) {
  ZVM_NEEDS_KERNEL();
  NodeRig::Settings settings;
  settings.max_sessions = 1;
  settings.lease = "200ms";
  NodeRig rig(settings);
  HostClient sleeper(rig);
  ASSERT_EQ(sleeper.post(shell("true")).head.status, 101u);
  EXPECT_TRUE(sleeper.closed());
  HostClient next(rig);
  ASSERT_EQ(next.post(shell("true")).head.status, 101u);
  EXPECT_EQ(next.run().end, End::kExited);
}

TEST(HostRoom, IsCapped) {
  ZVM_NEEDS_KERNEL();
  NodeRig::Settings settings;
  settings.limits["timeout"] = "\"5s\"";
  NodeRig rig(settings);
  HostClient client(rig);
  Description d = shell("true");
  d.timeout = milliseconds(5001);
  const Answer answer = client.post(d);
  EXPECT_EQ(answer.head.status, 400u);
  EXPECT_NE(answer.body.find("timeout: at most 5s here"), std::string::npos) << answer.body;
}

// --- deaths -------------------------------------------------------------------------------------

// Starts a program that does not end by itself, and waits until it runs.
void start_sleeper(HostClient& client) {
  ASSERT_EQ(client.post(shell("echo there; sleep 1000 & sleep 1000")).head.status, 101u);
  client.send(FrameType::kStart);
  client.expect(FrameType::kStarted);
  client.read(0, 0, 6);
  EXPECT_EQ(client.expect(FrameType::kData).payload, "there\n");
}

void expect_to_work(const NodeRig& rig) {
  HostClient client(rig);
  const Answer answer = client.post(shell("echo hello"));
  ASSERT_EQ(answer.head.status, 101u) << answer.body;
  const NodeReport report = client.run();
  EXPECT_EQ(report.end, End::kExited) << report.detail;
  EXPECT_EQ(client.read_all(0), "hello\n");
}

TEST(HostDeath, LeavesNothingAndCanBeRepaired) {
  ZVM_NEEDS_KERNEL();
  NodeRig rig;
  HostClient client(rig);
  start_sleeper(client);
  EXPECT_GT(rig.jailed_processes(), 0u);
  rig.kill_host();
  EXPECT_TRUE(client.closed());
  EXPECT_TRUE(rig.wait_no_jailed_processes());
  rig.start_host();
  expect_to_work(rig);
}

TEST(HostDeath, ByTermReportsAndExitsWell) {
  ZVM_NEEDS_KERNEL();
  NodeRig rig;
  HostClient client(rig);
  start_sleeper(client);
  const int status = rig.stop_host();
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status << "\n" << rig.host_log();
  EXPECT_EQ(client.report().end, End::kCancelled);
  EXPECT_EQ(rig.jailed_processes(), 0u);
}

TEST(BrokerDeath, IsReportedAsTheHostsFaultAndRepaired) {
  ZVM_NEEDS_KERNEL();
  NodeRig rig;
  HostClient client(rig);
  start_sleeper(client);
  rig.kill_broker();
  EXPECT_EQ(client.report().end, End::kHostFault);
  EXPECT_TRUE(rig.wait_no_jailed_processes());
  HostClient meanwhile(rig);
  EXPECT_EQ(meanwhile.post(shell("true")).head.status, 503u) << "another host may have a broker";
  rig.start_broker();
  ASSERT_TRUE(rig.wait_log("the broker is back"));
  expect_to_work(rig);
}

}  // namespace

}  // namespace zvm::host::testing
