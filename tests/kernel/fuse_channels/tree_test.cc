// What /dev looks like, and what cannot be done to it.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "tests/kernel/fuse_channels/mounted.h"

namespace zvm::fuse_channels::test {
namespace {

class TreeTest : public testing::Test {
 protected:
  void mount() {
    Options options;
    options.spool_dir = folder.fd();
    std::vector<ChannelSpec> channels;
    auto input = object("input", folder.file("object", "content"), 7);
    input.path = "swift://account/container/object";
    input.etag = "9a0364b9e99bb480dd25e1f0284c8555";
    channels.push_back(std::move(input));
    channels.push_back(output("stdout", ChannelSpec::Kind::kAppend, 1 << 20));
    channels.push_back(output("stderr", ChannelSpec::Kind::kTail, 0));
    ChannelSpec script;
    script.name = "script";
    script.bytes = "#!/bin/sh\necho \"$0\"\n";
    channels.push_back(std::move(script));
    mounted = std::make_unique<Mounted>(options, std::move(channels), nullptr);
  }

  struct stat stat_of(const char* name) {
    struct stat st {};

    EXPECT_EQ(::fstatat(mounted->root(), name, &st, 0), 0) << name;
    return st;
  }

  Folder folder;
  std::unique_ptr<Mounted> mounted;
};

TEST_F(TreeTest, NamesAreSortedAndFixed) {
  NEEDS_FUSE();
  mount();
  const std::string want = "full\ninput\nnull\nrandom\nscript\nstdout\nurandom\nzero\n";
  EXPECT_EQ(mounted->shell("ls").out, want);
  EXPECT_EQ(mounted->shell("ls -U").out, want) << "as readdir gives them";
  EXPECT_EQ(mounted->shell("ls -a | head -2").out, ".\n..\n");
  EXPECT_EQ(stat_of("stderr").st_size, 0) << "not listed, but there";
  uint64_t last = stat_of(".").st_ino;
  for (const char* name : {"full", "input", "null", "random", "script"}) {
    const auto ino = stat_of(name).st_ino;
    EXPECT_GT(ino, last);
    last = ino;
  }
}

TEST_F(TreeTest, AttributesTellTheChannels) {
  NEEDS_FUSE();
  mount();
  const auto input = stat_of("input");
  EXPECT_EQ(input.st_mode, S_IFREG | 0600u);
  EXPECT_EQ(input.st_size, 7);
  EXPECT_EQ(input.st_mtim.tv_sec, 1'700'000'000);
  EXPECT_EQ(input.st_mtim.tv_nsec, 123'456'789);
  EXPECT_EQ(stat_of("script").st_mode, S_IFREG | 0400u);
  EXPECT_EQ(stat_of("stdout").st_mode, S_IFREG | 0600u);
  const auto null = stat_of("null");
  EXPECT_EQ(null.st_mode, S_IFREG | 0666u);
  EXPECT_EQ(null.st_mtim.tv_sec, 0);
  EXPECT_EQ(stat_of(".").st_mode, S_IFDIR | 0555u);
  EXPECT_EQ(mounted->open("null", O_RDONLY), -ENXIO);
  EXPECT_EQ(mounted->shell("sh script").out, "script\n");
  const UniqueFd script(mounted->open("script", O_RDONLY));
  EXPECT_EQ(::lseek(script.get(), 0, SEEK_HOLE), 20);
}

TEST_F(TreeTest, NothingElseExistsAndNothingCanBeMade) {
  NEEDS_FUSE();
  mount();
  EXPECT_EQ(mounted->open("absent", O_RDONLY), -ENOENT);
  EXPECT_EQ(mounted->open("absent", O_WRONLY | O_CREAT), -EROFS);
  EXPECT_EQ(mounted->open("input/below", O_RDONLY), -ENOTDIR);
  const int root = mounted->root();
  const auto refused = [](int rc) { return rc == -1 ? errno : 0; };
  EXPECT_EQ(refused(::mkdirat(root, "dir", 0700)), EROFS);
  EXPECT_EQ(refused(::mknodat(root, "node", S_IFIFO | 0600, 0)), EROFS);
  EXPECT_EQ(refused(::symlinkat("x", root, "link")), EROFS);
  EXPECT_EQ(refused(::linkat(root, "input", root, "other", 0)), EROFS);
  EXPECT_EQ(refused(::unlinkat(root, "input", 0)), EROFS);
  EXPECT_EQ(refused(::renameat(root, "input", root, "output")), EROFS);
  EXPECT_EQ(refused(::fchownat(root, "input", 0, 0, 0)), EPERM);
  EXPECT_EQ(mounted->open(".", O_RDWR | O_TMPFILE), -EOPNOTSUPP);
  // To the owner of the files the folder is just not writable.
  const auto end =
      mounted->shell("touch absent; rm -f input; mkdir dir; cat absent; echo x > script");
  EXPECT_NE(end.out.find("Permission denied"), std::string::npos) << end.out;
  EXPECT_NE(end.out.find("No such file"), std::string::npos) << end.out;
  EXPECT_EQ(mounted->shell("cat input").out, "content");
}

TEST_F(TreeTest, ExtendedAttributesNameTheObject) {
  NEEDS_FUSE();
  mount();
  const UniqueFd fd(mounted->open("input", O_RDONLY));
  char value[256];
  const ssize_t n = ::fgetxattr(fd.get(), "user.zvm.path", value, sizeof value);
  ASSERT_GT(n, 0) << errno;
  EXPECT_EQ(std::string(value, static_cast<size_t>(n)), "swift://account/container/object");
  EXPECT_EQ(::fgetxattr(fd.get(), "user.zvm.path", nullptr, 0), n);
  EXPECT_EQ(::fgetxattr(fd.get(), "user.zvm.path", value, 3), -1);
  EXPECT_EQ(errno, ERANGE);
  EXPECT_EQ(::fgetxattr(fd.get(), "user.zvm.mode", value, sizeof value), -1);
  EXPECT_EQ(errno, ENODATA);
  const ssize_t names = ::flistxattr(fd.get(), value, sizeof value);
  EXPECT_EQ(std::string(value, static_cast<size_t>(names)),
      std::string("user.zvm.etag\0user.zvm.path\0", 28));
  EXPECT_EQ(::fsetxattr(fd.get(), "user.mine", "x", 1, 0), -1);
  EXPECT_EQ(errno, EOPNOTSUPP);
}

TEST_F(TreeTest, TheFileSystemTellsWhatOutputsMayStillTake) {
  NEEDS_FUSE();
  mount();

  struct statvfs values {};

  ASSERT_EQ(::fstatvfs(mounted->root(), &values), 0);
  EXPECT_EQ(values.f_bsize * values.f_bavail, 1u << 20);
  EXPECT_EQ(values.f_namemax, 255u);
}

TEST_F(TreeTest, TheSessionLearnsThatItsMountIsGone) {
  NEEDS_FUSE();
  mount();
  EXPECT_EQ(mounted->ends, 0);
  EXPECT_TRUE(mounted->unmount());
  EXPECT_EQ(mounted->ends, 1);
}

TEST_F(TreeTest, ASessionThatEndsUnderLoadLeavesNobodyWaiting) {
  NEEDS_FUSE();
  mount();
  std::atomic<bool> stop = false;
  std::atomic<int> rounds = 0;
  std::vector<std::thread> users;
  for (int i = 0; i < 6; ++i) {
    users.emplace_back([&, i] {
      while (!stop) {
        const UniqueFd fd(
            mounted->open(i % 2 == 0 ? "stdout" : "script", i % 2 == 0 ? O_WRONLY : O_RDONLY));
        if (!fd) break;
        char bytes[64] = "";
        const ssize_t n = i % 2 == 0 ? ::write(fd.get(), bytes, sizeof bytes)
                                     : ::read(fd.get(), bytes, sizeof bytes);
        if (n < 0) break;
        ++rounds;
      }
    });
  }
  while (rounds < 100) ::usleep(1000);
  mounted->close_session();
  for (auto& user : users) user.join();
  stop = true;
  EXPECT_GE(rounds, 100);
}

}  // namespace
}  // namespace zvm::fuse_channels::test
