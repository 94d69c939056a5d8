// Limits, and that nothing of a jail outlives it.
#include <gtest/gtest.h>
#include <signal.h>

#include "tests/kernel/loader/jail_test.h"

namespace zvm::loader::testing {
namespace {

class Limits : public JailTest {
 protected:
  static JailSpec shell(const std::string& script) {
    JailSpec spec;
    spec.path = "/bin/sh";
    spec.argv = {"sh", "-c", script};
    return spec;
  }
};

TEST_F(Limits, AForkBombIsBounded) {
  auto spec = shell("n=0; while [ $n -lt 50 ]; do sleep 1000 & n=$((n+1)); done; echo all");
  spec.limits.processes = 10;
  const auto outcome = run(*client, spec);
  EXPECT_EQ(outcome.out, "");  // the shell gives up
  EXPECT_EQ(outcome.text(), "exit 2");
}

TEST_F(Limits, ProcessorTimeIsBounded) {
  auto spec = shell("while :; do :; done");
  spec.limits.cpu_seconds = 1;
  EXPECT_EQ(run(*client, spec).text(), "signal " + std::to_string(SIGXCPU));
}

TEST_F(Limits, MemoryIsBounded) {
  auto spec = shell("x=x; while :; do x=$x$x; done");
  spec.limits.memory = 64u << 20;
  const auto outcome = run(*client, spec);
  EXPECT_NE(outcome.text(), "exit 0");
  ASSERT_TRUE(outcome.report);
  EXPECT_LT(outcome.report->max_rss_kib, 80u * 1024);
}

TEST_F(Limits, DescriptorsAreBounded) {
  auto spec = shell("ulimit -n; ulimit -c");
  spec.limits.open_files = 17;
  EXPECT_EQ(run(*client, spec).out, "17\n0\n");
}

TEST_F(Limits, FilesAreBounded) {
  auto spec = shell("head -c 100000 /dev/zero > /tmp/file; exit 7");
  spec.limits.file_bytes = 65536;
  spec.limits.tmp_bytes = 1u << 20;
  EXPECT_EQ(run(*client, spec).text(), "exit 7");  // head was ended by SIGXFSZ, the shell goes on
  spec = shell("head -c 100000 /dev/zero > /tmp/file || wc -c < /tmp/file");
  spec.limits.file_bytes = 65536;
  spec.limits.tmp_bytes = 1u << 20;
  EXPECT_EQ(run(*client, spec).out, "65536\n");
}

TEST_F(Limits, WhatTheProgramLeavesBehindIsKilledBeforeTheReport) {
  // A daemon: forked twice, in a session of its own, ignoring what can be ignored.
  const auto outcome = run(*client,
      shell("(trap '' TERM HUP INT; setsid sleep 1000 & ) & (setsid sleep 1000 &) ; echo started"));
  EXPECT_EQ(outcome.text(), "exit 0");
  EXPECT_EQ(outcome.out, "started\n");
}

}  // namespace
}  // namespace zvm::loader::testing
