// The session against a kernel that the test plays.
#include <fcntl.h>

#include "fuse_channels/kernel.h"
#include "tests/unit/fuse_channels/fake_kernel.h"

namespace zvm::fuse_channels::test {
namespace {

// A Backing or a RemoteSource that takes as long as the test wants. The atomics are set by the
// test.
class Gate {
 public:
  std::atomic<bool> held = false;
  std::atomic<int> waiting = 0;

 protected:
  Task<void> pass(Loop& loop) {
    ++waiting;
    while (held) {
      const int slept = co_await loop.sleep_until(deadline_in(std::chrono::milliseconds(1)));
      (void)slept;
    }
    --waiting;
  }
};

class FakeBacking final : public Backing, public Gate {
 public:
  Task<Result<int32_t>> open(FdRef, FdRef) override {
    co_await pass(*loop);
    if (refuse) co_return fail_errno("refused by the test", EPERM);
    co_return ++opened;
  }

  Task<Status> close(FdRef, int32_t) override {
    ++closed;
    co_return Status{};
  }

  Loop* loop = nullptr;
  std::atomic<bool> refuse = false;
  std::atomic<int> opened = 0, closed = 0;
};

class FakeRemote final : public RemoteSource, public Gate {
 public:
  Task<Status> fetch(uint64_t offset, std::span<std::byte> into) override {
    co_await pass(*loop);
    for (size_t i = 0; i < into.size(); ++i) into[i] = static_cast<std::byte>(offset + i);
    co_return Status{};
  }

  Loop* loop = nullptr;
};

class SessionTest : public testing::Test {
 protected:
  enum : size_t { kInput, kStdout, kOutput, kScript, kRemote, kStderr };

  void start(bool with_backing = true) {
    Options options;
    options.uid = ::getuid();
    options.gid = ::getgid();
    options.spool_dir = options.clone_dir = folder.fd();
    std::vector<ChannelSpec> channels;
    channels.push_back(object("input", folder.file("object", content), content.size()));
    channels.push_back(output("stdout", ChannelSpec::Kind::kAppend, 100));
    channels.push_back(output("output", ChannelSpec::Kind::kRandom, 100));
    ChannelSpec script;
    script.name = "script";
    script.bytes = "text of the script";
    channels.push_back(std::move(script));
    ChannelSpec far;
    far.name = "far";
    far.kind = ChannelSpec::Kind::kRemote;
    far.size = 1 << 20;
    far.remote = &remote;
    channels.push_back(std::move(far));
    channels.push_back(output("stderr", ChannelSpec::Kind::kTail, 0));
    kernel = std::make_unique<FakeKernel>(
        options, std::move(channels), with_backing ? &backing : nullptr);
    backing.loop = remote.loop = kernel->loop();
  }

  void TearDown() override { backing.held = remote.held = false; }

  template <class F>
  static void until(F holds) {
    for (int i = 0; i < 30'000 && !holds(); ++i) ::usleep(1000);
    ASSERT_TRUE(holds());
  }

  Folder folder;
  FakeBacking backing;
  FakeRemote remote;
  const std::string content = pattern(10'000);
  std::unique_ptr<FakeKernel> kernel;
};

constexpr uint64_t kOffer = kernel::kPassthrough | kernel::kKillprivV2 | FUSE_WRITEBACK_CACHE;

TEST_F(SessionTest, InitAgreesOnPassthroughAndNeverOnTheWritebackCache) {
  start();
  const Reply reply = kernel->init(kOffer);
  ASSERT_EQ(reply.error, 0);
  const auto out = reply.as<fuse_init_out>();
  const uint64_t flags = out.flags | uint64_t{out.flags2} << 32;
  EXPECT_EQ(out.major, 7u);
  EXPECT_EQ(out.max_write, 1u << 20);
  EXPECT_TRUE(flags & kernel::kPassthrough);
  EXPECT_TRUE(flags & kernel::kKillprivV2);
  EXPECT_TRUE(flags & FUSE_ATOMIC_O_TRUNC);
  EXPECT_FALSE(flags & FUSE_WRITEBACK_CACHE);
  EXPECT_FALSE(flags & FUSE_AUTO_INVAL_DATA);
  EXPECT_EQ(reply.as<uint32_t>(kernel::kMaxStackDepthAt), 1u);
  kernel->on_loop([](Session& s) { EXPECT_TRUE(s.passthrough_active()); });
}

TEST_F(SessionTest, NothingIsAgreedThatTheKernelDoesNotOffer) {
  start();
  const auto out = kernel->init().as<fuse_init_out>();
  EXPECT_EQ(out.flags2, 0u);
  EXPECT_FALSE(out.flags & FUSE_HANDLE_KILLPRIV_V2);
  kernel->on_loop([](Session& s) { EXPECT_FALSE(s.passthrough_active()); });
  const Reply opened = kernel->open(kernel->lookup("input"), O_RDONLY);
  EXPECT_EQ(opened.as<kernel::OpenOut>().open_flags, uint32_t{FOPEN_KEEP_CACHE});
  EXPECT_EQ(backing.opened, 0);
}

TEST_F(SessionTest, WithoutABackingThereIsNoPassthrough) {
  start(false);
  kernel->init(kOffer);
  kernel->on_loop([](Session& s) { EXPECT_FALSE(s.passthrough_active()); });
}

TEST_F(SessionTest, NothingIsServedBeforeInitNorASecondInit) {
  start();
  EXPECT_EQ(kernel->call(FUSE_STATFS, 1, "").error, EIO);
  EXPECT_EQ(kernel->init(0, 30).error, EPROTO);
  EXPECT_EQ(kernel->init().error, 0);
  EXPECT_EQ(kernel->init().error, EIO);
  EXPECT_EQ(kernel->call(FUSE_STATFS, 1, "").error, 0);
}

TEST_F(SessionTest, PassthroughOpensShareOneIdUntilTheLastRelease) {
  start();
  kernel->init(kOffer);
  const uint64_t input = kernel->lookup("input");
  for (int round = 1; round <= 2; ++round) {
    for (int i = 0; i < 3; ++i) {
      const auto out = kernel->open(input, O_RDONLY).as<kernel::OpenOut>();
      EXPECT_EQ(out.open_flags, kernel::kOpenPassthrough);
      EXPECT_EQ(out.backing_id, round);
    }
    EXPECT_EQ(backing.closed, round - 1);
    for (int i = 0; i < 3; ++i) EXPECT_EQ(kernel->release(input).error, 0);
    until([&] { return backing.closed == round; });
  }
  EXPECT_EQ(kernel->release(input).error, 0) << "one too many changes nothing";
}

TEST_F(SessionTest, OpensThatWaitForAnIdCanBeInterrupted) {
  start();
  kernel->init(kOffer);
  const uint64_t input = kernel->lookup("input");
  backing.held = true;
  const std::string flags = raw(fuse_open_in{});
  const uint64_t first = kernel->send(FUSE_OPEN, input, flags);
  until([&] { return backing.waiting > 0; });
  const uint64_t second = kernel->send(FUSE_OPEN, input, flags);
  kernel->interrupt(second);
  const Reply reply = kernel->receive();
  EXPECT_EQ(reply.unique, second);
  EXPECT_EQ(reply.error, EINTR);
  backing.held = false;
  EXPECT_EQ(kernel->receive().unique, first);
  kernel->release(input);
  until([&] { return backing.closed == 1; });
  EXPECT_EQ(backing.opened, 1);
}

TEST_F(SessionTest, AnObjectThatCannotBeRegisteredIsServedForGood) {
  start();
  kernel->init(kOffer);
  backing.refuse = true;
  const uint64_t input = kernel->lookup("input");
  EXPECT_EQ(kernel->open(input, O_RDONLY).as<kernel::OpenOut>().open_flags, FOPEN_KEEP_CACHE);
  backing.refuse = false;
  EXPECT_EQ(kernel->open(input, O_RDONLY).as<kernel::OpenOut>().open_flags, FOPEN_KEEP_CACHE);
  EXPECT_EQ(kernel->read(input, 100, 50).body, content.substr(100, 50));
  EXPECT_EQ(kernel->read(input, 9'990, 4096).body, content.substr(9'990));
  EXPECT_EQ(kernel->read(input, 10'000, 4096).body, "");
  EXPECT_EQ(kernel->read(input, UINT64_MAX, UINT32_MAX).body, "");
}

TEST_F(SessionTest, NoOpenThatMayWriteIsEverGrantedOnTheOriginal) {
  start();
  kernel->init(kOffer);
  const uint64_t original = kernel->lookup("input");
  const uint32_t writing[] = {
      O_WRONLY, O_RDWR, O_ACCMODE, O_RDONLY | O_TRUNC, O_WRONLY | O_APPEND, O_RDWR | O_TRUNC};
  for (const uint32_t flags : writing) EXPECT_EQ(kernel->open(original, flags).error, ESTALE);
  EXPECT_EQ(backing.opened, 0);
  EXPECT_NE(kernel->write(original, 0, "x").error, 0);
  const uint64_t copy = kernel->lookup("input");
  EXPECT_NE(copy, original);
  EXPECT_EQ(kernel->open(copy, O_RDWR).error, 0);
  EXPECT_EQ(kernel->open(original, O_RDONLY).error, ESTALE) << "readers follow to the copy";
}

TEST_F(SessionTest, AReadThatWaitsForAFetchIsInterrupted) {
  start();
  kernel->init();
  const uint64_t far = kernel->lookup("far");
  EXPECT_EQ(kernel->open(far, O_RDONLY).error, 0);
  remote.held = true;
  fuse_read_in in{};
  in.size = 4096;
  const uint64_t read = kernel->send(FUSE_READ, far, raw(in));
  until([&] { return remote.waiting > 0; });
  kernel->interrupt(read + 1000);  // somebody else's: nothing happens
  EXPECT_TRUE(kernel->settle().empty());
  kernel->interrupt(read);
  const Reply reply = kernel->receive();
  EXPECT_EQ(reply.unique, read);
  EXPECT_EQ(reply.error, EINTR);
  kernel->interrupt(read);  // crossed the reply
  EXPECT_TRUE(kernel->settle().empty());
  remote.held = false;
  const Reply again = kernel->read(far, 3, 3);
  EXPECT_EQ(again.body, "\3\4\5");
}

TEST_F(SessionTest, ReadsAtAndBeyondTheEndOfAnyFileAreEmpty) {
  start();
  kernel->init();
  for (const char* name : {"input", "far", "script", "output"}) {
    const uint64_t node = kernel->lookup(name);
    for (const uint64_t off :
        {uint64_t{1} << 20, (uint64_t{1} << 20) + 1, uint64_t{1} << 62, UINT64_MAX}) {
      const Reply reply = kernel->read(node, off, 4096);
      EXPECT_EQ(reply.error, 0) << name;
      EXPECT_EQ(reply.body, "") << name;
    }
  }
}

TEST_F(SessionTest, CloseAnswersNobodyAndWaitsForWhatRuns) {
  start();
  kernel->init(kOffer);
  const uint64_t far = kernel->lookup("far");
  remote.held = backing.held = true;
  fuse_read_in in{};
  in.size = 4096;
  kernel->send(FUSE_READ, far, raw(in));
  kernel->send(FUSE_OPEN, kernel->lookup("input"), raw(fuse_open_in{}));
  until([&] { return remote.waiting > 0 && backing.waiting > 0; });
  std::thread release([&] {
    ::usleep(10'000);
    remote.held = backing.held = false;
  });
  kernel->close_session();
  release.join();
  EXPECT_EQ(backing.opened, backing.closed) << "an id that came too late is given back";
}

TEST_F(SessionTest, OutputsTakeWhatFitsAndTellTheirLimitOnce) {
  start();
  kernel->init();
  const uint64_t out = kernel->lookup("stdout");
  EXPECT_EQ(kernel->open(out, O_WRONLY).as<kernel::OpenOut>().open_flags, FOPEN_DIRECT_IO);
  EXPECT_EQ(kernel->write(out, 5000, pattern(60)).as<fuse_write_out>().size, 60u);
  EXPECT_EQ(kernel->write(out, 0, pattern(60)).as<fuse_write_out>().size, 40u);
  EXPECT_EQ(kernel->write(out, 0, "x").error, EDQUOT);
  EXPECT_EQ(kernel->spooled(kStdout), pattern(60) + pattern(60).substr(0, 40));
  const uint64_t random = kernel->lookup("output");
  EXPECT_EQ(kernel->write(random, UINT64_MAX, "x").error, EDQUOT);
  EXPECT_EQ(kernel->write(random, 100, "x").error, EDQUOT);
  EXPECT_EQ(kernel->write(random, 99, "xy").as<fuse_write_out>().size, 1u);
  kernel->on_loop([&](Session&) {
    EXPECT_EQ(kernel->limits, (std::vector<size_t>{kStdout, kOutput}));
  });
}

TEST_F(SessionTest, GrowthIsTold) {
  start();
  kernel->init();
  std::atomic<int> told = 0;
  TaskGroup* group = nullptr;
  kernel->on_loop([&](Session& s) {
    group = new TaskGroup(*kernel->loop());
    auto wait = [](Session& session, std::atomic<int>& count) -> Task<void> {
      while (session.stable_size(kStdout) < 8) {
        const int rc = co_await session.changed(kStdout).wait(kNever);
        (void)rc;
        ++count;
      }
    };
    group->spawn(wait(s, told));
  });
  const uint64_t out = kernel->lookup("stdout");
  kernel->write(out, 0, "1234");
  kernel->write(out, 0, "5678");
  until([&] { return told == 2; });
  kernel->settle();
  kernel->on_loop([&](Session&) { delete group; });
}

TEST_F(SessionTest, TheListingIsReadInPiecesOfAnySize) {
  start();
  kernel->init();
  std::string names;
  uint64_t off = 0;
  for (int guard = 0; guard < 100; ++guard) {
    fuse_read_in in{};
    in.offset = off;
    in.size = 64;
    const Reply reply = kernel->call(FUSE_READDIR, FUSE_ROOT_ID, raw(in));
    ASSERT_EQ(reply.error, 0);
    if (reply.body.empty()) break;
    for (size_t at = 0; at < reply.body.size();) {
      const auto entry = reply.as<fuse_dirent>(at);
      names += reply.body.substr(at + FUSE_NAME_OFFSET, entry.namelen) + " ";
      off = entry.off;
      at += FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + entry.namelen);
    }
  }
  EXPECT_EQ(names, ". .. far full input null output random script stdout urandom zero ");
  EXPECT_NE(kernel->lookup("stderr"), 0u);
  EXPECT_EQ(kernel->lookup("absent"), 0u);
}

TEST_F(SessionTest, CutAndGarbledMessagesAreAnsweredOrDroppedAndNothingElse) {
  start();
  kernel->init(kOffer);
  const uint64_t input = kernel->lookup("input");
  uint64_t unique = 1'000'000;
  for (uint32_t opcode = 0; opcode <= 55; ++opcode) {
    const std::string whole = message(opcode, unique, input, std::string(120, '\1'));
    for (size_t n = 0; n < whole.size(); n += n < 48 ? 1 : 8) {
      std::string cut = whole.substr(0, n);
      if (!cut.empty()) kernel->send_raw(cut);
      // The same bytes with a header that claims to be right.
      const auto length = static_cast<uint32_t>(n);
      if (n >= sizeof(fuse_in_header)) {
        std::memcpy(cut.data(), &length, sizeof length);
        kernel->send_raw(cut);
      }
      if (n % 8 == 0) kernel->settle();
    }
    kernel->settle();
    ASSERT_FALSE(HasFailure()) << opcode;
  }
  EXPECT_EQ(kernel->read(kernel->lookup("script"), 0, 100).body, "text of the script");
}

TEST_F(SessionTest, UnknownNodesAreStale) {
  start();
  kernel->init();
  for (const uint64_t node : {uint64_t{0}, uint64_t{13}, uint64_t{14}, uint64_t{500}, UINT64_MAX}) {
    EXPECT_EQ(kernel->open(node, O_RDONLY).error, ESTALE) << node;
    EXPECT_EQ(kernel->call(FUSE_GETATTR, node, raw(fuse_getattr_in{})).error, ESTALE) << node;
    EXPECT_EQ(kernel->read(node, 0, 10).error, ESTALE) << node;
  }
  EXPECT_EQ(kernel->open(FUSE_ROOT_ID, O_RDONLY).error, EISDIR);
}

TEST_F(SessionTest, TheEndOfTheConnectionIsToldOnce) {
  start();
  kernel->init();
  kernel->hang_up();
  EXPECT_TRUE(kernel->wait_for_end());
  kernel->on_loop([](Session&) {});
  EXPECT_EQ(kernel->ends, 1);
}

TEST(SessionSpecs, AreRefusedWhenTheyMakeNoFolder) {
  auto loop = Loop::create();
  ASSERT_TRUE(loop);
  Folder folder;
  const auto refused = [&](std::vector<ChannelSpec> channels) {
    Options options;
    options.spool_dir = folder.fd();
    auto session = Session::create(**loop, must(::open("/dev/null", O_RDWR | O_CLOEXEC), "null"),
        options, std::move(channels), nullptr);
    return !session && session.error().kind() == Kind::kInvalid;
  };
  for (const char* name : {"", ".", "..", "a/b", "null", "urandom"}) {
    std::vector<ChannelSpec> channels;
    channels.push_back(output(name, ChannelSpec::Kind::kTail, 0));
    EXPECT_TRUE(refused(std::move(channels))) << name;
  }
  std::vector<ChannelSpec> twice;
  twice.push_back(output("a", ChannelSpec::Kind::kTail, 0));
  twice.push_back(output("a", ChannelSpec::Kind::kAppend, 0));
  EXPECT_TRUE(refused(std::move(twice)));
  std::vector<ChannelSpec> empty;
  empty.push_back(object("input", UniqueFd(), 0));
  EXPECT_TRUE(refused(std::move(empty)));
}

}  // namespace
}  // namespace zvm::fuse_channels::test
