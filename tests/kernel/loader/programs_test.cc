// Programs of the image, and a static one, in real jails: how they end, what they find.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>

#include "tests/kernel/loader/jail_test.h"

namespace zvm::loader::testing {
namespace {

class Programs : public JailTest {};

TEST_F(Programs, ExitCodesAreReported) {
  EXPECT_EQ(run_path({"/bin/true"}).text(), "exit 0");
  EXPECT_EQ(run_path({"/bin/false"}).text(), "exit 1");
  EXPECT_EQ(run_shell("exit 137").text(), "exit 137");  // not mistaken for a signal
}

TEST_F(Programs, SignalsAreReported) {
  EXPECT_EQ(run_shell("kill -9 $$").text(), "signal 9");
  EXPECT_EQ(run_shell("kill -SEGV $$").text(), "signal 11");
}

TEST_F(Programs, AStaticProgramRunsUnderCompute) {
  JailSpec spec;
  spec.policy = wire::Policy::kCompute;
  spec.program_file = ZVM_HELLO;
  const auto outcome = run(*client, spec);
  EXPECT_EQ(outcome.text(), "exit 0");
  EXPECT_EQ(outcome.out, "hello\n");
}

TEST_F(Programs, ADynamicProgramDoesNotRunUnderCompute) {
  JailSpec spec;
  spec.policy = wire::Policy::kCompute;
  spec.path = "/bin/true";
  const auto outcome = run(*client, spec);
  EXPECT_NE(outcome.text(), "exit 0");
}

TEST_F(Programs, WhatCannotBeExecutedIsReportedAsThatStep) {
  EXPECT_EQ(run_path({"/usr/bin/no-such-program"}).text(), "not started: execute 2");
  EXPECT_EQ(run_path({"/etc/passwd"}).text(), "not started: execute 13");
}

TEST_F(Programs, AStepThatFailsIsNamed) {
  const auto without = [&](const char* name) {
    JailSpec spec;
    spec.path = "/bin/true";
    spec.absent = name;
    return run(*client, spec).text();
  };
  EXPECT_EQ(without("full"), "not started: mount-devices 2");
  EXPECT_EQ(without("stdout"), "not started: open-stdio 2");
  JailSpec spec;
  spec.raw_args = "no args";
  EXPECT_EQ(run(*client, spec).text(), "not started: read-args 22");
}

TEST_F(Programs, InputAndBothOutputsAreChannels) {
  const auto outcome = run_shell("cat; echo error >&2", "some\ninput");
  EXPECT_EQ(outcome.text(), "exit 0");
  EXPECT_EQ(outcome.out, "some\ninput");
  EXPECT_EQ(outcome.err, "error\n");
}

TEST_F(Programs, UndeclaredInputIsEmpty) {
  EXPECT_EQ(run_shell("cat; echo end").out, "end\n");
}

TEST_F(Programs, ArgumentsAndEnvironmentAreExactlyTheGivenOnes) {
  JailSpec spec;
  spec.path = "/usr/bin/env";
  spec.argv = {"env"};
  spec.env = {"A=1 2", "B="};
  EXPECT_EQ(run(*client, spec).out, "A=1 2\nB=\n");
}

TEST_F(Programs, ShellPipelinesRun) {
  EXPECT_EQ(run_shell("seq 1 1000 | sort -rn | head -3 | tr '\\n' ' '").out, "1000 999 998 ");
  EXPECT_EQ(
      run_shell("cd /tmp && mkdir a && echo x > a/f && cp a/f a/g && mv a/g a/h && ls a && rm -r a")
          .out,
      "f\nh\n");
}

TEST_F(Programs, BusyboxPipelinesRun) {
  if (::access("/bin/busybox", X_OK) != 0) GTEST_SKIP() << "needs busybox";
  const auto outcome = run_path(
      {"/bin/busybox", "sh", "-c", "busybox seq 1 9 | busybox awk '{s+=$1} END {print s}'"});
  EXPECT_EQ(outcome.out, "45\n") << outcome.err;
}

TEST_F(Programs, PythonRunsWithThreadsAndChildren) {
  if (::access("/usr/bin/python3", X_OK) != 0) GTEST_SKIP() << "needs python3";
  const char* script =
      "import subprocess, threading, tempfile, os, sys, hashlib, json, time, getpass\n"
      "out = []\n"
      "t = [threading.Thread(target=lambda i=i: out.append(i)) for i in range(4)]\n"
      "[x.start() for x in t]; [x.join() for x in t]\n"
      "child = subprocess.run(['/bin/echo', 'child'], capture_output=True, text=True)\n"
      "with tempfile.NamedTemporaryFile() as f: f.write(b'x'); f.flush(); size = "
      "os.stat(f.name).st_size\n"
      "print(sorted(out), child.stdout.strip(), size, getpass.getuser(), os.getcwd())\n";
  const auto outcome = run_path({"/usr/bin/python3", "-c", script});
  EXPECT_EQ(outcome.text(), "exit 0") << outcome.err;
  EXPECT_EQ(outcome.out, "[0, 1, 2, 3] child 1 job /\n") << outcome.err;
}

TEST_F(Programs, AScriptIsFoundAtItsName) {
  if (::access("/usr/bin/python3", X_OK) != 0) GTEST_SKIP() << "needs python3";
  JailSpec spec;
  spec.path = "/usr/bin/python3";
  spec.argv = {"python3", "script", "a"};
  spec.files["script"] = "import sys\nprint(sys.argv)\n";
  const auto outcome = run(*client, spec);
  EXPECT_EQ(outcome.out, "['script', 'a']\n") << outcome.err;
}

TEST_F(Programs, PerlRuns) {
  if (::access("/usr/bin/perl", X_OK) != 0) GTEST_SKIP() << "needs perl";
  const auto outcome =
      run_path({"/usr/bin/perl", "-e", "print join(',', map { $_ * 2 } 1..3), ' ', `echo child`"});
  EXPECT_EQ(outcome.out, "2,4,6 child\n") << outcome.err;
}

TEST_F(Programs, TheJailShowsWhatTheInterfacePromisesAndNothingElse) {
  EXPECT_EQ(run_shell("ls /dev | sort | tr '\\n' ' '").out,
      "full null random stderr stdin stdout urandom zero ");
  // /bin and the like are as on the host.
  EXPECT_EQ(run_shell("ls / | grep -v -E '^(s?bin|lib.*)$' | tr '\\n' ' '").out,
      "dev etc script tmp usr ");
  EXPECT_EQ(run_shell("ls -A /tmp | wc -l").out, "0\n");
  EXPECT_EQ(run_shell("pwd").out, "/\n");
  EXPECT_EQ(run_shell("id").out, "uid=1000(job) gid=1000(job) groups=1000(job)\n");
  EXPECT_EQ(run_shell("uname -n").out, "zvm\n");
  EXPECT_EQ(run_shell("cut -d: -f1 /etc/passwd | tr '\\n' ' '").out, "root job nobody ");
  EXPECT_EQ(
      run_shell("test -c /dev/null && test -c /dev/urandom && test -f /dev/stdout && echo yes").out,
      "yes\n");
  EXPECT_EQ(
      run_shell("kill -0 2>/dev/null 3; echo $$").out, "2\n");  // pid 1 is ours, the program is 2
}

TEST_F(Programs, TemporarySpaceIsBounded) {
  JailSpec spec;
  spec.path = "/bin/sh";
  spec.argv = {"sh", "-c",
      "head -c 3000000 /dev/zero > /tmp/x; wc -c < /tmp/x; for i in 1 2 3 4 5 6 7 8 9; do : > "
      "/tmp/$i || exit 9; done"};
  spec.limits.tmp_bytes = 1u << 20;
  spec.limits.tmp_inodes = 6;
  const auto outcome = run(*client, spec);
  EXPECT_EQ(outcome.out, "1048576\n");
  EXPECT_NE(outcome.text(), "exit 0");
}

TEST_F(Programs, TheReportCountsProcessorTimeOfAllProcesses) {
  const auto outcome = run_shell("i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done & wait");
  ASSERT_TRUE(outcome.report);
  EXPECT_GT(outcome.report->user_us, 10'000u);
  EXPECT_GT(outcome.report->max_rss_kib, 100u);
}

}  // namespace
}  // namespace zvm::loader::testing
