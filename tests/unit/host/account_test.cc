#include "host/account.h"

#include <gtest/gtest.h>

#include <csignal>
#include <cstring>

#include "loader/step_names.h"

namespace zvm::host {

namespace {

namespace wire = loader::wire;
using protocol::End;
using std::chrono::seconds;

JailEnd reported(wire::End end, int32_t detail, uint64_t user_us = 0) {
  JailEnd out;
  wire::Report r{};
  r.version = wire::kVersion;
  r.end = end;
  r.detail = detail;
  r.user_us = user_us;
  r.max_rss_kib = 3;
  out.report = r;
  return out;
}

uint16_t step_named(const char* name) {
  for (uint16_t i = 0; i < std::size(loader::kStepNames); ++i) {
    if (std::strcmp(loader::kStepNames[i], name) == 0) return i;
  }
  ADD_FAILURE() << "no step " << name;
  return 0;
}

TEST(DescribeEnd, TellsTheExitCodeAndWhatWasUsed) {
  const auto r = describe_end(reported(wire::End::kExited, 3, 1'500'000), seconds(60));
  EXPECT_EQ(r.end, End::kExited);
  EXPECT_EQ(r.exit_code, 3);
  EXPECT_DOUBLE_EQ(r.cpu_user, 1.5);
  EXPECT_EQ(r.memory_peak, 3072u);
}

TEST(DescribeEnd, TellsTheSignal) {
  const auto r = describe_end(reported(wire::End::kSignalled, SIGSEGV), seconds(60));
  EXPECT_EQ(r.end, End::kSignalled);
  EXPECT_EQ(r.signal, SIGSEGV);
}

TEST(DescribeEnd, KnowsTheCpuLimitByItsSignals) {
  EXPECT_EQ(describe_end(reported(wire::End::kSignalled, SIGXCPU), seconds(2)).end, End::kCpuLimit);
  const auto killed = reported(wire::End::kSignalled, SIGKILL, 2'100'000);
  EXPECT_EQ(describe_end(killed, seconds(2)).end, End::kCpuLimit);
  const auto early = reported(wire::End::kSignalled, SIGKILL, 100'000);
  EXPECT_EQ(describe_end(early, seconds(2)).end, End::kSignalled);
}

TEST(DescribeEnd, KnowsTheFileLimitByItsSignal) {
  EXPECT_EQ(
      describe_end(reported(wire::End::kSignalled, SIGXFSZ), seconds(2)).end, End::kOutputLimit);
}

TEST(DescribeEnd, BlamesTheProgramForExecuteOnly) {
  auto end = reported(wire::End::kNotStarted, ENOENT);
  end.report->step = step_named("execute");
  EXPECT_EQ(describe_end(end, seconds(1)).end, End::kRefused);
  end.report->step = step_named("mount-tmp");
  const auto fault = describe_end(end, seconds(1));
  EXPECT_EQ(fault.end, End::kHostFault);
  EXPECT_NE(fault.detail.find("mount-tmp"), std::string::npos);
}

TEST(DescribeEnd, CallsAJailWithoutReportLost) {
  EXPECT_EQ(describe_end(JailEnd(), seconds(1)).end, End::kHostFault);
}

TEST(JudgeChannels, ALostInputSpoilsWhateverTheProgramSaid) {
  protocol::NodeReport r;
  r.end = End::kExited;
  judge_channels(r, std::nullopt);
  EXPECT_EQ(r.end, End::kExited);
  judge_channels(r, "the object changed");
  EXPECT_EQ(r.end, End::kInputLost);
  EXPECT_EQ(r.detail, "the object changed");
}

TEST(JudgeChannels, KeepsTheReasonOfAProgramThatWasKilled) {
  protocol::NodeReport r;
  r.end = End::kTimeout;
  judge_channels(r, "the object changed");
  EXPECT_EQ(r.end, End::kTimeout);
}

}  // namespace

}  // namespace zvm::host
