// Outputs: to the end, at random, counted and thrown away.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <random>

#include "tests/kernel/fuse_channels/mounted.h"

namespace zvm::fuse_channels::test {
namespace {

constexpr uint64_t kLimit = 1 << 20;

class OutputTest : public testing::Test {
 protected:
  enum : size_t { kStdout, kOutput, kStderr };

  void mount(uint64_t limit = kLimit) {
    Options options;
    options.spool_dir = folder.fd();
    std::vector<ChannelSpec> channels;
    channels.push_back(output("stdout", ChannelSpec::Kind::kAppend, limit));
    channels.push_back(output("output", ChannelSpec::Kind::kRandom, limit));
    channels.push_back(output("stderr", ChannelSpec::Kind::kTail, 0));
    mounted = std::make_unique<Mounted>(options, std::move(channels), nullptr);
  }

  void expect_ok(const ProgramEnd& end) {
    EXPECT_TRUE(WIFEXITED(end.status) && WEXITSTATUS(end.status) == 0)
        << "status " << end.status << ": " << end.out;
  }

  Folder folder;
  std::unique_ptr<Mounted> mounted;
};

TEST_F(OutputTest, EveryWriteGoesToTheEndWhateverOffsetItNames) {
  NEEDS_FUSE();
  mount();
  const UniqueFd a(mounted->open("stdout", O_WRONLY));
  const UniqueFd b(mounted->open("stdout", O_WRONLY | O_APPEND));
  const UniqueFd c(mounted->open("stdout", O_WRONLY | O_TRUNC | O_CREAT));
  ASSERT_TRUE(a && b && c);
  EXPECT_EQ(::write(a.get(), "one ", 4), 4);
  EXPECT_EQ(::write(b.get(), "two ", 4), 4);
  EXPECT_EQ(::write(c.get(), "three ", 6), 6);
  EXPECT_EQ(::pwrite(a.get(), "four", 4, 0), 4);
  EXPECT_EQ(mounted->spooled(kStdout), "one two three four");
  EXPECT_EQ(mounted->open("stdout", O_RDONLY), -EACCES);
  EXPECT_EQ(mounted->open("stdout", O_RDWR), -EACCES);
  const auto usage = mounted->usage(kStdout);
  EXPECT_EQ(usage.writes, 4u);
  EXPECT_EQ(usage.bytes_written, 18u);
  EXPECT_EQ(usage.size, 18u);
  EXPECT_FALSE(usage.estimated);
}

TEST_F(OutputTest, ProgramsFindWhatTheyExpectOfTheirOutput) {
  NEEDS_FUSE();
  mount();
  expect_ok(mounted->shell("printf 'printf ' > stdout"));
  expect_ok(mounted->shell("echo 'echo' >> stdout"));
  expect_ok(mounted->shell("(echo first; echo second) > stdout"));
  expect_ok(mounted->shell("echo cat | cat > stdout"));
  expect_ok(mounted->shell("echo tee | tee -a stdout > /dev/null"));
  expect_ok(mounted->shell("echo dd | dd of=stdout bs=4 2>/dev/null"));
  expect_ok(mounted->shell("echo dd | dd of=stdout conv=notrunc oflag=append 2>/dev/null"));
  expect_ok(
      mounted->shell("/usr/bin/python3 -c 'import sys, os; print(\"python\"); sys.stdout.flush(); "
                     "os.lseek(1, 0, os.SEEK_CUR); open(\"stdout\", \"w\").write(\"w\\n\"); "
                     "open(\"stdout\", \"ab\").write(b\"ab\\n\"); open(\"stdout\", \"wb\", "
                     "buffering=0).write(b\"wb\\n\")' "
                     "> stdout"));
  EXPECT_EQ(mounted->spooled(kStdout),
      "printf echo\nfirst\nsecond\ncat\ntee\ndd\ndd\npython\nw\nab\nwb\n");
}

TEST_F(OutputTest, WhatExceedsTheLimitIsCutOnceAndThenRefused) {
  NEEDS_FUSE();
  mount(1000);
  for (const size_t channel : {kStdout, kOutput}) {
    const UniqueFd fd(mounted->open(channel == kStdout ? "stdout" : "output", O_WRONLY));
    const std::string text = pattern(600);
    EXPECT_EQ(::write(fd.get(), text.data(), 600), 600);
    EXPECT_FALSE(mounted->usage(channel).limit_hit);
    EXPECT_EQ(::write(fd.get(), text.data(), 600), 400);
    EXPECT_EQ(::write(fd.get(), text.data(), 600), -1);
    EXPECT_EQ(errno, EDQUOT);
    EXPECT_EQ(::write(fd.get(), text.data(), 600), -1);
    EXPECT_TRUE(mounted->usage(channel).limit_hit);
    EXPECT_EQ(mounted->spooled(channel), text + text.substr(0, 400));
  }
  const UniqueFd fd(mounted->open("output", O_RDWR));
  EXPECT_EQ(::ftruncate(fd.get(), 1001), -1);
  EXPECT_EQ(errno, EDQUOT);
  EXPECT_EQ(::fallocate(fd.get(), 0, 500, 501), -1);
  EXPECT_EQ(errno, EDQUOT);
  std::vector<size_t> told;
  mounted->on_loop([&](Session&) { told = mounted->limits; });
  EXPECT_EQ(told, (std::vector<size_t>{kStdout, kOutput}));
}

TEST_F(OutputTest, OutputNobodyAskedForIsCountedAndItsEndKept) {
  NEEDS_FUSE();
  mount();
  const std::string text = pattern(300'000);
  const UniqueFd fd(mounted->open("stderr", O_WRONLY));
  ASSERT_TRUE(fd);
  for (size_t at = 0; at < text.size(); at += 7000) {
    const size_t n = std::min<size_t>(7000, text.size() - at);
    ASSERT_EQ(::write(fd.get(), text.data() + at, n), static_cast<ssize_t>(n));
  }
  mounted->on_loop([&](Session& s) {
    EXPECT_EQ(s.tail(kStderr), text.substr(text.size() - (64 << 10)));
    EXPECT_EQ(s.usage(kStderr).size, text.size());
  });
  EXPECT_EQ(mounted->shell("ls").out.find("stderr"), std::string::npos);
}

}  // namespace
}  // namespace zvm::fuse_channels::test
