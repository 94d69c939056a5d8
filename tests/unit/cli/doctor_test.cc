#include "cli/doctor.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "base/json.h"

namespace zvm::cli {

namespace {

TEST(Doctor, ForbiddenIoUringNamesTheSwitch) {
  EXPECT_EQ(judge_io_uring(0).state, State::kGood);
  const Finding f = judge_io_uring(EPERM);
  EXPECT_EQ(f.state, State::kMissing);
  EXPECT_NE(f.advice.find("kernel.io_uring_disabled"), std::string::npos);
  EXPECT_EQ(judge_io_uring(ENOSYS).state, State::kMissing);
}

TEST(Doctor, WhatAUserMayNotTryIsUnknown) {
  EXPECT_EQ(judge_user_namespaces(EPERM, false).state, State::kUnknown);
  EXPECT_EQ(judge_user_namespaces(EPERM, true).state, State::kMissing);
  EXPECT_EQ(judge_user_namespaces(ENOSPC, false).state, State::kMissing);
  EXPECT_EQ(judge_fuse({.error = EPERM, .step = "mounting"}).state, State::kUnknown);
  EXPECT_EQ(judge_reflink("/x", EACCES).state, State::kUnknown);
}

TEST(Doctor, AMissingRightProvesTheCallIsThere) {
  EXPECT_EQ(judge_mount_api(EPERM).state, State::kGood);
  EXPECT_EQ(judge_mount_api(ENOSYS).state, State::kMissing);
  EXPECT_EQ(judge_pidfd(ENOSYS).state, State::kMissing);
}

TEST(Doctor, LessIsWeakerNotMissing) {
  EXPECT_EQ(judge_fuse({.major = 7, .minor = 38}).state, State::kWeaker);
  EXPECT_EQ(judge_fuse({.major = 7, .minor = 41, .passthrough = true}).state, State::kGood);
  EXPECT_EQ(judge_fuse({.error = ENOENT}).state, State::kMissing);
  EXPECT_EQ(judge_reflink("/x", EOPNOTSUPP).state, State::kWeaker);
  EXPECT_EQ(judge_seccomp(0, EOPNOTSUPP).state, State::kWeaker);
  EXPECT_EQ(judge_seccomp(EINVAL, 0).state, State::kMissing);
  EXPECT_EQ(judge_cgroup({}).state, State::kWeaker);
  const Finding some = judge_cgroup({true, "cpuset cpu memory"});
  EXPECT_EQ(some.state, State::kWeaker);
  EXPECT_EQ(some.found, "cgroup v2 without: pids io");
  EXPECT_EQ(judge_cgroup({true, "cpuset cpu io memory pids"}).state, State::kGood);
}

TEST(Doctor, OnlyWhatIsMissingFails) {
  const Finding good{"a", State::kGood, "", ""}, weaker{"b", State::kWeaker, "", ""},
      unknown{"c", State::kUnknown, "", ""}, missing{"d", State::kMissing, "", ""};
  EXPECT_EQ(findings_exit({good, weaker, unknown}), 0);
  EXPECT_EQ(findings_exit({good, missing}), 1);
}

TEST(Doctor, WritesTextAndJson) {
  const std::vector<Finding> list{
      {"a", State::kGood, "fine", ""}, {"bb", State::kWeaker, "less", "do it"}};
  EXPECT_EQ(findings_text(list), "a   good     fine\nbb  weaker   less\n             -> do it\n");
  const auto json = parse_json(findings_json(list));
  ASSERT_TRUE(json);
  EXPECT_EQ((*json)[1]["state"], "weaker");
  EXPECT_EQ((*json)[1]["advice"], "do it");
}

TEST(Doctor, ExaminesThisMachineWithoutHanging) {
  const auto findings = examine({"/tmp", "/nonexistent"});
  ASSERT_EQ(findings.size(), 10u);
  EXPECT_EQ(findings[9].state, State::kUnknown) << "a folder that is not there";
  for (const Finding& f : findings) EXPECT_FALSE(f.found.empty()) << f.name;
}

}  // namespace

}  // namespace zvm::cli
