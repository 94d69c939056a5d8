// Sessions through a real broker and a real host daemon.
#include <gtest/gtest.h>

#include <csignal>

#include "tests/kernel/host/host_client.h"

namespace zvm::host::testing {

namespace {

using protocol::Channel;
using protocol::Description;
using protocol::End;
using protocol::Frame;
using protocol::FrameType;
using protocol::NodeReport;

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
  EXPECT_EQ(report.channels[0].md5, "b1946ac92492d2347c6235b4d2611184");
  EXPECT_EQ(client.read_all(0), "hello\n");
}

}  // namespace

}  // namespace zvm::host::testing
