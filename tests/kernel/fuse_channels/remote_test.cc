// Objects elsewhere, from a source that the test slows down, breaks and counts.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <csignal>
#include <cstring>
#include <random>

#include "tests/kernel/fuse_channels/mounted.h"

namespace zvm::fuse_channels::test {
namespace {

// Used on the thread of the loop, but for the atomics.
class FakeRemote final : public RemoteSource {
 public:
  explicit FakeRemote(std::string content) : content_(std::move(content)) {}

  Task<Status> fetch(uint64_t offset, std::span<std::byte> into) override {
    ++fetches;
    bytes += into.size();
    most_at_once = std::max(most_at_once.load(), ++running);
    if (loop != nullptr) {
      while (held) {
        const int slept = co_await loop->sleep_until(deadline_in(std::chrono::milliseconds(2)));
        (void)slept;
      }
    }
    --running;
    if (broken) co_return fail(Origin::kSwift, Kind::kDisconnected, "broken by the test");
    EXPECT_LE(offset + into.size(), content_.size());
    std::memcpy(into.data(), content_.data() + offset, into.size());
    co_return Status{};
  }

  Loop* loop = nullptr;
  std::atomic<bool> held = false, broken = false;
  std::atomic<int> fetches = 0, running = 0, most_at_once = 0;
  std::atomic<uint64_t> bytes = 0;

 private:
  std::string content_;
};

class RemoteTest : public testing::Test {
 protected:
  void mount(uint64_t max_copy = 1 << 30) {
    Options options;
    options.spool_dir = folder.fd();
    options.max_copy = max_copy;
    ChannelSpec spec;
    spec.name = "input";
    spec.kind = ChannelSpec::Kind::kRemote;
    spec.size = content.size();
    spec.remote = &remote;
    std::vector<ChannelSpec> channels;
    channels.push_back(std::move(spec));
    mounted = std::make_unique<Mounted>(options, std::move(channels), &backing);
    remote.loop = mounted->loop();
  }

  void TearDown() override { remote.held = false; }

  // Waits until fetch is called: true within the patience of a slow machine.
  bool until(const std::function<bool()>& holds) {
    for (int i = 0; i < 30'000; ++i) {
      if (holds()) return true;
      ::usleep(1000);
    }
    return false;
  }

  Folder folder;
  DirectBacking backing;
  const std::string content = pattern(5'000'000);
  FakeRemote remote{content};
  std::unique_ptr<Mounted> mounted;
};

TEST_F(RemoteTest, ReadingInSequenceFetchesEachByteOnceInGrowingPieces) {
  NEEDS_FUSE();
  mount();
  const UniqueFd fd(mounted->open("input", O_RDONLY));
  EXPECT_EQ(read_all(fd.get()), content);
  EXPECT_EQ(remote.bytes, content.size());
  EXPECT_LT(remote.fetches, 20) << "blocks alone would be 77";
  EXPECT_LE(remote.most_at_once, 4);
}

TEST_F(RemoteTest, ReadingAtRandomFetchesAboutWhatIsRead) {
  NEEDS_FUSE();
  mount();
  const UniqueFd fd(mounted->open("input", O_RDONLY));
  ASSERT_EQ(::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_RANDOM), 0);
  for (const off_t at : {4'900'000, 10, 2'500'000}) {
    char got[100];
    ASSERT_EQ(::pread(fd.get(), got, sizeof got, at), static_cast<ssize_t>(sizeof got));
    EXPECT_EQ(std::string_view(got, sizeof got), std::string_view(content).substr(at, sizeof got));
  }
  EXPECT_LE(remote.bytes, 6u * (64 << 10));
}

TEST_F(RemoteTest, ReadersOfOneBlockShareItsFetch) {
  NEEDS_FUSE();
  mount();
  std::vector<std::thread> readers;
  std::atomic<int> good = 0;
  for (int i = 0; i < 8; ++i) {
    readers.emplace_back([&] {
      const UniqueFd fd(mounted->open("input", O_RDONLY));
      if (read_all(fd.get()) == content) ++good;
    });
  }
  for (auto& r : readers) r.join();
  EXPECT_EQ(good, 8);
  EXPECT_EQ(remote.bytes, content.size());
  EXPECT_LE(remote.most_at_once, 4);
}

TEST_F(RemoteTest, AFailureIsAnErrorNotAnEndAndTheNextReadTriesAgain) {
  NEEDS_FUSE();
  mount();
  const UniqueFd fd(mounted->open("input", O_RDONLY));
  remote.broken = true;
  char byte = 0;
  EXPECT_EQ(::pread(fd.get(), &byte, 1, 3'000'000), -1);
  EXPECT_EQ(errno, EIO);
  remote.broken = false;
  EXPECT_EQ(::pread(fd.get(), &byte, 1, 3'000'000), 1);
  EXPECT_EQ(byte, content[3'000'000]);
}

TEST_F(RemoteTest, AKilledReaderDiesAtOnceWhileItsFetchHangs) {
  NEEDS_FUSE();
  mount();
  remote.held = true;
  const pid_t pid = mounted->start_shell("exec cat input > /dev/null");
  ASSERT_TRUE(until([&] { return remote.running > 0; }));
  ::kill(pid, SIGKILL);
  int status = 0;
  // Waits for ever unless INTERRUPT is answered: the fetch is not released before.
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_GT(remote.running, 0);
  remote.held = false;
  const UniqueFd fd(mounted->open("input", O_RDONLY));
  EXPECT_EQ(read_all(fd.get()), content);
}

TEST_F(RemoteTest, ClosingTheSessionEndsWhoWaits) {
  NEEDS_FUSE();
  mount();
  remote.held = true;
  std::thread reader([&] {
    const UniqueFd fd(mounted->open("input", O_RDONLY));
    char byte = 0;
    EXPECT_EQ(::read(fd.get(), &byte, 1), -1);
    EXPECT_TRUE(errno == ENOTCONN || errno == ECONNABORTED) << errno;
  });
  ASSERT_TRUE(until([&] { return remote.running > 0; }));
  // As its owner must: the source ends first.
  std::thread release([&] {
    ::usleep(20'000);
    remote.broken = true;
    remote.held = false;
  });
  mounted->close_session();
  reader.join();
  release.join();
}

TEST_F(RemoteTest, WritingGathersAllAndWorksOnACopy) {
  NEEDS_FUSE();
  mount();
  const UniqueFd before(mounted->open("input", O_RDONLY));
  const UniqueFd fd(mounted->open("input", O_RDWR));
  ASSERT_TRUE(fd) << fd.get();
  ASSERT_EQ(::pwrite(fd.get(), "mine", 4, 70'000), 4);
  std::string want = content;
  want.replace(70'000, 4, "mine");
  EXPECT_EQ(read_all(fd.get()), want);
  EXPECT_EQ(read_all(before.get()), content);
  EXPECT_EQ(remote.bytes, content.size());
  mounted.reset();
  EXPECT_EQ(backing.opened, backing.closed);
}

TEST_F(RemoteTest, TheCopyIsBounded) {
  NEEDS_FUSE();
  mount(content.size() - 1);
  EXPECT_EQ(mounted->open("input", O_RDWR), -EFBIG);
  EXPECT_EQ(remote.fetches, 0);
}

}  // namespace
}  // namespace zvm::fuse_channels::test
