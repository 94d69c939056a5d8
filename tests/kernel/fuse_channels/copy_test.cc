// Copy-on-write: a program that opens an object for writing gets a private copy.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cstring>

#include "tests/kernel/fuse_channels/mounted.h"
#include "tests/kernel/fuse_channels/scratch.h"

namespace zvm::fuse_channels::test {
namespace {

struct Ground {
  const char* name;
  bool passthrough;
  bool reflink;
};

class CopyTest : public testing::TestWithParam<Ground> {
 protected:
  void SetUp() override {
    NEEDS_FUSE();
    const std::string kind = GetParam().name;
    std::string place;
    if (kind.starts_with("tmpfs") || kind.starts_with("xfs")) {
      // One of each for all cases: making an XFS takes half a second.
      static const Scratch tmpfs = scratch_tmpfs();
      static const Scratch xfs = scratch_xfs(Folder().path());
      const Scratch& scratch = kind.starts_with("xfs") ? xfs : tmpfs;
      if (!scratch.missing.empty()) GTEST_SKIP() << scratch.missing;
      place = scratch.path;
    }
    folder = std::make_unique<Folder>(place);
  }

  void TearDown() override {
    mounted.reset();
    EXPECT_EQ(backing.opened, backing.closed) << "every backing id is given back";
    if (folder) {
      EXPECT_EQ(original(), content) << "the original never changes";
    }
    folder.reset();
  }

  void mount(uint64_t max_copy = 1 << 30) {
    Options options;
    options.passthrough = GetParam().passthrough;
    options.reflink = GetParam().reflink;
    options.max_copy = max_copy;
    options.clone_dir = folder->fd();
    options.spool_dir = folder->fd();
    std::vector<ChannelSpec> channels;
    channels.push_back(object("input", folder->file("object", content), content.size()));
    mounted = std::make_unique<Mounted>(options, std::move(channels), &backing);
  }

  std::string original() const {
    const UniqueFd fd(::openat(folder->fd().fd, "object", O_RDONLY | O_CLOEXEC));
    return read_all(fd.get());
  }

  std::string read_name() const {
    const UniqueFd fd(mounted->open("input", O_RDONLY));
    return read_all(fd.get());
  }

  std::unique_ptr<Folder> folder;
  DirectBacking backing;
  std::unique_ptr<Mounted> mounted;
  const std::string content = pattern(2'500'003);
};

TEST_P(CopyTest, TheFirstWritingOpenMakesACopyAndLaterOpensSeeIt) {
  mount();
  const UniqueFd before(mounted->open("input", O_RDONLY));

  struct stat was {};

  ASSERT_EQ(::fstat(before.get(), &was), 0);

  const UniqueFd rw(mounted->open("input", O_RDWR));
  ASSERT_TRUE(rw) << rw.get();
  EXPECT_EQ(read_all(rw.get()), content);
  ASSERT_EQ(::pwrite(rw.get(), "CHANGED", 7, 1'000'000), 7);
  std::string changed = content;
  changed.replace(1'000'000, 7, "CHANGED");
  EXPECT_EQ(read_name(), changed);
  EXPECT_EQ(read_all(before.get()), content) << "who opened before keeps the snapshot";

  struct stat now {};

  ASSERT_EQ(::fstatat(mounted->root(), "input", &now, 0), 0);
  EXPECT_EQ(now.st_ino, was.st_ino);
  EXPECT_EQ(now.st_size, was.st_size);
  const auto usage = mounted->usage(0);
  EXPECT_EQ(usage.estimated, backing.opened > 0);
  if (backing.opened == 2) {
    EXPECT_EQ(usage.reads + usage.writes, 0u) << "the kernel served original and copy";
  }
}

TEST_P(CopyTest, SharedMappingsAppendsAndTruncationReachTheCopy) {
  mount();
  const UniqueFd rw(mounted->open("input", O_RDWR));
  ASSERT_TRUE(rw);
  EXPECT_TRUE(in_child([&] {
    void* map = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, rw.get(), 8192);
    if (map == MAP_FAILED) return false;
    std::memcpy(map, "mapped", 6);
    return ::munmap(map, 4096) == 0;
  }));
  const UniqueFd append(mounted->open("input", O_WRONLY | O_APPEND));
  ASSERT_EQ(::write(append.get(), "tail", 4), 4);
  std::string want = content;
  want.replace(8192, 6, "mapped");
  want += "tail";
  EXPECT_EQ(read_name(), want);
  ASSERT_EQ(::ftruncate(rw.get(), 10'000), 0);
  EXPECT_EQ(read_name(), want.substr(0, 10'000));

  struct stat now {};

  ASSERT_EQ(::fstat(rw.get(), &now), 0);
  EXPECT_EQ(now.st_size, 10'000);
}

TEST_P(CopyTest, TruncatingOpensCopyNothing) {
  mount(0);
  const UniqueFd fd(mounted->open("input", O_WRONLY | O_TRUNC));
  ASSERT_TRUE(fd) << fd.get();
  ASSERT_EQ(::write(fd.get(), "new", 3), 3);
  EXPECT_EQ(read_name(), "new");
}

TEST_P(CopyTest, TruncateByNameMakesTheCopyToo) {
  mount();
  const std::string path = "/proc/self/fd/" + std::to_string(mounted->root()) + "/input";
  ASSERT_EQ(::truncate(path.c_str(), 12'345), 0) << errno;
  EXPECT_EQ(read_name(), content.substr(0, 12'345));
}

TEST_P(CopyTest, BytesBeyondTheBoundAreNotCopied) {
  mount(content.size() - 1);
  const int fd = mounted->open("input", O_RDWR);
  const UniqueFd owned(fd >= 0 ? fd : -1);
  const bool cloned = GetParam().reflink && std::string(GetParam().name).starts_with("xfs");
  if (cloned) {
    EXPECT_GE(fd, 0) << "a clone copies nothing";
  } else {
    EXPECT_EQ(fd, -EFBIG);
  }
  EXPECT_EQ(read_name(), content);
}

TEST_P(CopyTest, ProgramsEditInPlace) {
  mount();
  const auto end = mounted->shell(
      "printf XY | dd of=input bs=1 seek=5 conv=notrunc 2>/dev/null && "
      "/usr/bin/python3 -c 'f = open(\"input\", \"r+b\"); f.seek(100); f.write(b\"python\"); "
      "f.close()' && "
      "touch input && chmod 640 input && echo appended >> input");
  EXPECT_EQ(end.status, 0) << end.out;
  std::string want = content;
  want.replace(5, 2, "XY");
  want.replace(100, 6, "python");
  EXPECT_EQ(read_name(), want + "appended\n");
}

TEST_P(CopyTest, ManyWritersAtOnceShareOneCopy) {
  mount();
  std::vector<std::thread> threads;
  std::atomic<int> good = 0;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      const UniqueFd fd(mounted->open("input", O_RDWR));
      const std::string mine(1000, static_cast<char>('a' + i));
      if (fd && ::pwrite(fd.get(), mine.data(), mine.size(), i * 1000) == 1000) ++good;
    });
  }
  for (auto& t : threads) t.join();
  EXPECT_EQ(good, 8);
  std::string want = content;
  for (int i = 0; i < 8; ++i) want.replace(i * 1000, 1000, 1000, static_cast<char>('a' + i));
  EXPECT_EQ(read_name(), want);
}

INSTANTIATE_TEST_SUITE_P(Grounds, CopyTest,
    testing::Values(Ground{"disk_passthrough", true, true}, Ground{"disk_served", false, true},
        Ground{"tmpfs_passthrough", true, true}, Ground{"xfs_cloned_passthrough", true, true},
        Ground{"xfs_cloned_served", false, true}, Ground{"xfs_copied", true, false}),
    [](const auto& ground) { return std::string(ground.param.name); });

}  // namespace
}  // namespace zvm::fuse_channels::test
