#include "host/plan.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace zvm::host {

namespace {

namespace wire = loader::wire;
using protocol::Channel;
using protocol::Description;
using std::chrono::milliseconds;
using std::chrono::seconds;

Description python() {
  Description d;
  d.program.path = "/usr/bin/python3";
  d.argv = {"python3", "script"};
  d.memory = 64u << 20;
  return d;
}

bool has(const std::vector<std::string>& list, const std::string& entry) {
  return std::find(list.begin(), list.end(), entry) != list.end();
}

TEST(CheckCaps, NameTheKeyAndTheCap) {
  const Caps caps;
  Description d = python();
  EXPECT_TRUE(check_caps(d, caps));
  d.timeout = caps.timeout + milliseconds(1);
  const auto refused = check_caps(d, caps);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind(), Kind::kInvalid);
  EXPECT_EQ(refused.error().what(), "timeout: at most 1h here");
}

TEST(CheckCaps, HoldForEachLimit) {
  const Caps caps;
  Description d = python();
  d.cpu = caps.cpu + milliseconds(1);
  EXPECT_FALSE(check_caps(d, caps));
  d = python();
  d.memory = caps.memory + 1;
  EXPECT_FALSE(check_caps(d, caps));
  d = python();
  d.channels.emplace_back().max_bytes = caps.max_output + 1;
  EXPECT_FALSE(check_caps(d, caps));
}

TEST(PlanJail, RunsAnImagesProgramByThatPolicy) {
  Description d = python();
  const auto plan = plan_jail(d, nullptr);
  ASSERT_TRUE(plan) << plan.error().what();
  EXPECT_EQ(plan->validation, kImageProgram);
  EXPECT_EQ(plan->jail.policy, wire::Policy::kImage);
  EXPECT_EQ(plan->jail.path, "/usr/bin/python3");
  EXPECT_EQ(plan->jail.program.fd, -1);
  EXPECT_FALSE(plan->jail.stdin_is_channel);
}

TEST(PlanJail, KnowsWhetherStdinIsAChannel) {
  Description d = python();
  d.channels.emplace_back().name = "stdin";
  const auto plan = plan_jail(d, nullptr);
  ASSERT_TRUE(plan);
  EXPECT_TRUE(plan->jail.stdin_is_channel);
}

TEST(PlanJail, SetsWhatInterpretersNeedUnlessTheJobDoes) {
  Description d = python();
  d.env = {{"HOME", "/elsewhere"}, {"A", "b=c"}};
  const auto plan = plan_jail(d, nullptr);
  ASSERT_TRUE(plan);
  const auto& env = plan->jail.env;
  EXPECT_TRUE(has(env, "HOME=/elsewhere"));
  EXPECT_FALSE(has(env, "HOME=/tmp"));
  EXPECT_TRUE(has(env, "LANG=C.UTF-8"));
  EXPECT_TRUE(has(env, "A=b=c"));
}

TEST(PlanJail, RoundsLimitsIntoWhatTheBrokerTakes) {
  Description d = python();
  d.cpu = milliseconds(1001);
  auto plan = plan_jail(d, nullptr);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->jail.limits.cpu_seconds, 2u);
  EXPECT_EQ(plan->jail.limits.memory, 64u << 20);
  EXPECT_EQ(plan->jail.limits.tmp_bytes, 16u << 20);
  EXPECT_GE(plan->jail.limits.file_bytes, uint64_t{1} << 30);
  d.memory = 1;
  plan = plan_jail(d, nullptr);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->jail.limits.memory, wire::kMinMemory);
  EXPECT_GE(plan->jail.limits.tmp_bytes, wire::kMinTmp);
}

TEST(PlanJail, RefusesAnInterpretedProgramUnderCompute) {
  Description d = python();
  d.policy = "compute";
  const auto plan = plan_jail(d, nullptr);
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().kind(), Kind::kInvalid);
}

TEST(PlanJail, RefusesBytesThatAreNoProgram) {
  Description d = python();
  d.program.path.clear();
  ProgramBytes bytes;
  auto memfd = sealed_memfd("test", "#!/bin/sh\n");
  ASSERT_TRUE(memfd);
  bytes.memfd = std::move(*memfd);
  bytes.size = 10;
  const auto plan = plan_jail(d, &bytes);
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().kind(), Kind::kInvalid);
}

}  // namespace

}  // namespace zvm::host
