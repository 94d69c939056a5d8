// Outputs: to the end, at random, counted and thrown away.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cstring>
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

// The same operations on an output and on a native file must read, end and look the same.
class Twins {
 public:
  Twins(int fuse, int native) : fds_{fuse, native} {}

  template <class F>
  void both(const char* what, F f) {
    errno = 0;
    const auto a = f(fds_[0]);
    const int a_errno = a < 0 ? errno : 0;
    errno = 0;
    const auto b = f(fds_[1]);
    const int b_errno = b < 0 ? errno : 0;
    ASSERT_EQ(a, b) << what;
    ASSERT_EQ(a_errno, b_errno) << what;
  }

  void compare() {
    struct stat st[2];
    std::string content[2];
    for (int i : {0, 1}) {
      ASSERT_EQ(::fstat(fds_[i], &st[i]), 0);
      content[i].resize(static_cast<size_t>(st[i].st_size));
      ASSERT_EQ(::pread(fds_[i], content[i].data(), content[i].size(), 0), st[i].st_size);
    }
    ASSERT_EQ(st[0].st_size, st[1].st_size);
    ASSERT_TRUE(content[0] == content[1]);
  }

  void map_write(off_t at, const std::string& bytes) {
    const off_t page = at & ~off_t{4095};
    const size_t length = static_cast<size_t>(at - page) + bytes.size();
    ASSERT_TRUE(in_child([&] {
      for (const int fd : fds_) {
        auto* map = static_cast<char*>(
            ::mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, page));
        if (map == MAP_FAILED) return false;
        std::memcpy(map + (at - page), bytes.data(), bytes.size());
        if (::munmap(map, length) != 0) return false;
      }
      return true;
    }));
  }

 private:
  int fds_[2];
};

TEST_F(OutputTest, RandomAccessBehavesAsANativeFile) {
  NEEDS_FUSE();
  mount();
  const UniqueFd fuse(mounted->open("output", O_RDWR));
  const UniqueFd native(::openat(folder.fd().fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  ASSERT_TRUE(fuse && native);
  Twins twins(fuse.get(), native.get());
  std::mt19937 random(20240607);
  const auto below = [&](size_t n) { return static_cast<off_t>(random() % n); };
  for (int step = 0; step < 4000 && !HasFatalFailure(); ++step) {
    SCOPED_TRACE(step);
    const off_t at = below(kLimit * 3 / 4);
    const auto size = static_cast<size_t>(step % 10 == 0 ? below(200'000) : below(5000)) + 1;
    const std::string bytes = pattern(size, random());
    switch (random() % 12) {
      case 0:
      case 1:
      case 2:
      case 3:
        twins.both("pwrite", [&](int fd) { return ::pwrite(fd, bytes.data(), size, at); });
        break;
      case 4:
      case 5: {
        std::string got[2] = {std::string(size, 'x'), std::string(size, 'x')};
        twins.both("pread",
            [&](int fd) { return ::pread(fd, got[fd == fuse.get() ? 0 : 1].data(), size, at); });
        ASSERT_EQ(got[0], got[1]);
        break;
      }
      case 6:
        twins.both("ftruncate", [&](int fd) { return ::ftruncate(fd, at); });
        break;
      case 7:
        twins.both(
            "fallocate", [&](int fd) { return ::fallocate(fd, 0, at, static_cast<off_t>(size)); });
        break;
      case 8: {
        struct stat st {};

        ASSERT_EQ(::fstat(native.get(), &st), 0);
        if (st.st_size < 10 || step % 6 != 0) break;  // a process each
        const off_t place = below(static_cast<size_t>(st.st_size) - 1);
        const std::string part = bytes.substr(0, static_cast<size_t>(st.st_size - place));
        twins.map_write(place, part);
        break;
      }
      case 9:
        twins.both("lseek end", [&](int fd) { return ::lseek(fd, -3, SEEK_END); });
        twins.both("write",
            [&](int fd) { return ::write(fd, bytes.data(), std::min<size_t>(size, 300)); });
        break;
      case 10: {
        // Where holes are is the file system's choice, but before data there is nothing but zeros.
        const off_t data = ::lseek(fuse.get(), at, SEEK_DATA);
        const off_t end = data >= 0 ? data : ::lseek(fuse.get(), 0, SEEK_END);
        std::string skipped(static_cast<size_t>(std::max(end - at, off_t{0})), 'x');
        ASSERT_EQ(::pread(native.get(), skipped.data(), skipped.size(), at),
            static_cast<ssize_t>(skipped.size()));
        ASSERT_EQ(skipped.find_first_not_of('\0'), std::string::npos);
        break;
      }
      default:
        twins.compare();
        break;
    }
  }
  twins.compare();

  struct stat st {};

  ASSERT_EQ(::fstat(native.get(), &st), 0);
  std::string want(static_cast<size_t>(st.st_size), '\0');
  ASSERT_EQ(::pread(native.get(), want.data(), want.size(), 0), st.st_size);
  EXPECT_TRUE(mounted->spooled(kOutput) == want);
}

TEST_F(OutputTest, RandomOutputIsTruncatedAppendedAndRead) {
  NEEDS_FUSE();
  mount();
  expect_ok(mounted->shell("seq 1 1000 > output && seq 1001 2000 >> output && tail -1 output"));
  EXPECT_EQ(mounted->shell("wc -l < output").out, "2000\n");
  expect_ok(mounted->shell("cp -p /etc/passwd output && echo short > output && touch output"));
  EXPECT_EQ(mounted->shell("cat output").out, "short\n");
  expect_ok(mounted->shell("dd if=/dev/zero of=output bs=1000 seek=100 count=1 2>/dev/null"));
  EXPECT_EQ(mounted->spooled(kOutput).size(), 101'000u);
}

TEST_F(OutputTest, SharedMappingsOfAProgramThatIsKilledAreKept) {
  NEEDS_FUSE();
  mount();
  const auto end = mounted->shell(
      "exec /usr/bin/python3 -c 'import mmap, os, signal; f = open(\"output\", \"r+b\"); "
      "f.truncate(8192); m = mmap.mmap(f.fileno(), 8192); m[5000:5004] = b\"mine\"; "
      "os.kill(os.getpid(), signal.SIGKILL)'");
  EXPECT_TRUE(WIFSIGNALED(end.status));
  EXPECT_EQ(mounted->spooled(kOutput).substr(5000, 4), "mine");
}

TEST_F(OutputTest, SizesAreStableWhenTheyMaySafelyBeSent) {
  NEEDS_FUSE();
  mount();
  expect_ok(mounted->shell("echo 12345 > stdout; echo 1234567 > output"));
  mounted->on_loop([&](Session& s) {
    EXPECT_EQ(s.stable_size(kStdout), 6u);
    EXPECT_EQ(s.stable_size(kOutput), 0u) << "may still change anywhere";
    EXPECT_EQ(s.usage(kOutput).size, 8u);
  });
}

TEST_F(OutputTest, AWriteCostsOneRequest) {
  NEEDS_FUSE();
  mount();
  const UniqueFd out(mounted->open("output", O_RDWR));
  const auto before = mounted->requests();
  for (int i = 0; i < 100; ++i) ASSERT_EQ(::pwrite(out.get(), "0123456789", 10, i * 10), 10);
  EXPECT_LE(mounted->requests() - before, 105u) << "GETXATTR or GETATTR beside each WRITE?";
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
