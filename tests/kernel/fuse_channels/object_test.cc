// Objects on this host: passthrough, and the daemon where there is none.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cstring>

#include "tests/kernel/fuse_channels/mounted.h"

namespace zvm::fuse_channels::test {
namespace {

class ObjectTest : public testing::Test {
 protected:
  std::unique_ptr<Mounted> mount(bool passthrough) {
    Options options;
    options.passthrough = passthrough;
    options.clone_dir = folder.fd();
    options.spool_dir = folder.fd();
    std::vector<ChannelSpec> channels;
    channels.push_back(object("input", folder.file("object", content), content.size()));
    channels.push_back(output("stdout", ChannelSpec::Kind::kAppend, 1 << 20));
    return std::make_unique<Mounted>(options, std::move(channels), &backing);
  }

  std::string from_original() const {
    const UniqueFd fd(::open((folder.path() + "/object").c_str(), O_RDONLY | O_CLOEXEC));
    return read_all(fd.get());
  }

  Folder folder;
  DirectBacking backing;
  const std::string content = pattern(3'000'001);
};

TEST_F(ObjectTest, PassthroughReadsTheObjectWithoutTheDaemon) {
  NEEDS_FUSE();
  auto mounted = mount(true);
  const UniqueFd fd(mounted->open("input", O_RDONLY));
  ASSERT_TRUE(fd);
  EXPECT_EQ(read_all(fd.get()), content);
  EXPECT_TRUE(in_child([&] {
    void* map = ::mmap(nullptr, content.size(), PROT_READ, MAP_PRIVATE, fd.get(), 0);
    return map != MAP_FAILED && std::memcmp(map, content.data(), content.size()) == 0;
  }));
  bool active = false;
  mounted->on_loop([&](Session& s) { active = s.passthrough_active(); });
  if (!active) GTEST_SKIP() << "needs a kernel with FUSE passthrough (6.9)";
  const auto usage = mounted->usage(0);
  EXPECT_EQ(usage.reads, 0u) << "no READ may reach the daemon";
  EXPECT_TRUE(usage.estimated);
  EXPECT_EQ(usage.bytes_read, content.size());
}

TEST_F(ObjectTest, OneBackingIdServesAllOpensAndIsGivenBackAfterTheLast) {
  NEEDS_FUSE();
  auto mounted = mount(true);
  for (int round = 1; round <= 2; ++round) {
    const UniqueFd a(mounted->open("input", O_RDONLY));
    const UniqueFd b(mounted->open("input", O_RDONLY));
    ASSERT_TRUE(a && b);
    if (backing.opened == 0) GTEST_SKIP() << "needs a kernel with FUSE passthrough (6.9)";
    EXPECT_GE(round, backing.opened.load());
  }
  mounted.reset();
  EXPECT_EQ(backing.opened, backing.closed);
}

TEST_F(ObjectTest, TheDaemonServesWhatCannotBePassedThrough) {
  NEEDS_FUSE();
  backing.refuse = true;
  auto mounted = mount(true);
  const UniqueFd fd(mounted->open("input", O_RDONLY));
  ASSERT_TRUE(fd);
  EXPECT_EQ(read_all(fd.get()), content);
  const auto usage = mounted->usage(0);
  EXPECT_FALSE(usage.estimated);
  EXPECT_GT(usage.reads, 0u);
  EXPECT_EQ(usage.bytes_read, content.size());
  EXPECT_EQ(backing.refused, 1);
}

TEST_F(ObjectTest, ReplacingAndDeletingTheOriginalChangesNothing) {
  NEEDS_FUSE();
  auto mounted = mount(true);
  const UniqueFd before(mounted->open("input", O_RDONLY));
  const UniqueFd newer = folder.file("newer", "something else");
  ASSERT_EQ(::rename((folder.path() + "/newer").c_str(), (folder.path() + "/object").c_str()), 0);
  ASSERT_EQ(::unlink((folder.path() + "/object").c_str()), 0);
  EXPECT_EQ(read_all(before.get()), content);
  const UniqueFd after(mounted->open("input", O_RDONLY));
  EXPECT_EQ(read_all(after.get()), content);
}

}  // namespace
}  // namespace zvm::fuse_channels::test
