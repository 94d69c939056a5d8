#include "host/outputs.h"

#include <sys/mman.h>

#include <map>

#include "tests/unit/base/on_loop.h"

namespace zvm::host {

namespace {

using protocol::Channel;
using protocol::Frame;
using protocol::FrameReader;
using protocol::FrameType;
using test::on_loop;
using test::patient;
using test::SocketPair;

// Outputs as fuse_channels shows them, grown by the test.
class GrowingFiles : public fuse_channels::Session {
 public:
  GrowingFiles(Loop& loop, size_t channels) {
    for (size_t i = 0; i < channels; ++i) {
      auto& c = channels_.emplace_back(std::make_unique<One>(loop));
      c->file = UniqueFd(::memfd_create("spool", MFD_CLOEXEC));
    }
  }

  void append(size_t channel, const std::string& bytes) {
    One& c = *channels_[channel];
    test::put(c.file, bytes);
    c.size += bytes.size();
    c.changed.pulse();
  }

  Task<void> close() override { co_return; }

  fuse_channels::ChannelUsage usage(size_t channel) const override {
    fuse_channels::ChannelUsage u;
    u.size = channels_[channel]->size;
    return u;
  }

  FdRef spool(size_t channel) const override { return channels_[channel]->file; }

  Event& changed(size_t channel) override { return channels_[channel]->changed; }

  std::string tail(size_t) const override { return "the tail"; }

  uint64_t stable_size(size_t channel) const override { return channels_[channel]->size; }

  bool passthrough_active() const override { return false; }

  uint64_t requests() const override { return 0; }

 private:
  struct One {
    explicit One(Loop& loop) : changed(loop) {}

    UniqueFd file;
    uint64_t size = 0;
    Event changed;
  };

  std::vector<std::unique_ptr<One>> channels_;
};

std::vector<Channel> three_channels() {
  std::vector<Channel> channels(3);
  channels[0].kind = Channel::Kind::kObject;
  channels[1].kind = Channel::Kind::kAppend;
  channels[2].kind = Channel::Kind::kAppend;
  channels[2].declared = false;
  return channels;
}

struct Bench {
  explicit Bench(Loop& the_loop)
      : loop(the_loop),
        channels(three_channels()),
        connection(the_loop, std::move(sockets.a)),
        peer(the_loop, connection, Peer::Keys{"in", "out"}),
        files(the_loop, 3),
        outputs(the_loop, peer, channels),
        reader("out") {
    peer.start([](const Frame&) { return Status{}; }, [] {});
    outputs.open(files);
  }

  Loop& loop;
  std::vector<Channel> channels;
  SocketPair sockets;
  http::Connection connection;
  Peer peer;
  GrowingFiles files;
  Outputs outputs;
  FrameReader reader;
};

Task<Frame> receive(Bench& b) {
  for (;;) {
    auto next = b.reader.next();
    EXPECT_TRUE(next);
    if (next && *next) {
      if ((*next)->type == FrameType::kPing) continue;
      co_return std::move(**next);
    }
    std::vector<std::byte> buffer(64 * 1024);
    const std::span<std::byte> into = buffer;
    const int n = co_await b.loop.recv(FdRef(b.sockets.b), into, patient());
    EXPECT_GT(n, 0);
    if (n <= 0) co_return Frame();
    b.reader.feed({reinterpret_cast<const char*>(buffer.data()), static_cast<size_t>(n)});
  }
}

Task<void> finish(Bench& b) {
  co_await b.outputs.close();
  co_await b.peer.close();
}

Task<void> flows_while_it_grows(Loop& loop) {
  Bench b(loop);
  EXPECT_TRUE(b.outputs.on_read(1, 0, 100));
  b.files.append(1, "abc");
  const Frame first = co_await receive(b);
  EXPECT_EQ(first.payload, "abc");
  EXPECT_EQ(first.arg, 0u);
  EXPECT_EQ(first.flags, 0);
  b.files.append(1, "def");
  const Frame second = co_await receive(b);
  EXPECT_EQ(second.payload, "def");
  EXPECT_EQ(second.arg, 3u);
  b.outputs.end();
  const Frame last = co_await receive(b);
  EXPECT_EQ(last.payload, "");
  EXPECT_EQ(last.flags, protocol::kEnd);
  co_await finish(b);
}

TEST(Outputs, FlowWhileTheProgramRuns) {
  on_loop(flows_while_it_grows);
}

Task<void> window_bounds(Loop& loop) {
  Bench b(loop);
  b.files.append(1, "abcdef");
  EXPECT_TRUE(b.outputs.on_read(1, 0, 2));
  const Frame first = co_await receive(b);
  EXPECT_EQ(first.payload, "ab");
  EXPECT_TRUE(b.outputs.on_read(1, 2, 4));
  const Frame second = co_await receive(b);
  EXPECT_EQ(second.payload, "cdef");
  EXPECT_EQ(second.arg, 2u);
  b.outputs.end();
  EXPECT_TRUE(b.outputs.on_read(1, 1, 2));
  const Frame again = co_await receive(b);
  EXPECT_EQ(again.payload, "bc");
  EXPECT_EQ(again.flags, 0) << "there is more behind it";
  EXPECT_TRUE(b.outputs.on_read(1, 6, 1));
  const Frame end = co_await receive(b);
  EXPECT_EQ(end.flags, protocol::kEnd);
  co_await finish(b);
}

TEST(Outputs, SendNoMoreThanWasAskedFor) {
  on_loop(window_bounds);
}

Task<void> large_outputs(Loop& loop) {
  Bench b(loop);
  const std::string bytes(protocol::kMaxPayload * 2 + 5, 'x');
  b.files.append(1, bytes);
  b.outputs.end();
  EXPECT_TRUE(b.outputs.on_read(1, 0, protocol::kMaxRead));
  uint64_t at = 0;
  for (;;) {
    const Frame f = co_await receive(b);
    EXPECT_EQ(f.arg, at);
    at += f.payload.size();
    if (f.flags == protocol::kEnd || f.payload.empty()) break;
  }
  EXPECT_EQ(at, bytes.size());
  co_await finish(b);
}

TEST(Outputs, AreCutIntoFrames) {
  on_loop(large_outputs);
}

Task<void> tails(Loop& loop) {
  Bench b(loop);
  EXPECT_TRUE(b.outputs.on_read(2, 0, 100));
  b.outputs.end();
  const Frame f = co_await receive(b);
  EXPECT_EQ(f.payload, "the tail");
  EXPECT_EQ(f.flags, protocol::kEnd);
  EXPECT_TRUE(b.outputs.on_read(2, 50, 100));
  const Frame beyond = co_await receive(b);
  EXPECT_EQ(beyond.payload, "");
  EXPECT_EQ(beyond.flags, protocol::kEnd);
  co_await finish(b);
}

TEST(Outputs, NobodyAskedForGiveTheirTail) {
  on_loop(tails);
}

Task<void> bad_reads(Loop& loop) {
  Bench b(loop);
  EXPECT_FALSE(b.outputs.on_read(0, 0, 1)) << "an input";
  EXPECT_FALSE(b.outputs.on_read(9, 0, 1)) << "no channel";
  EXPECT_FALSE(b.outputs.on_read(1, 0, 0));
  EXPECT_FALSE(b.outputs.on_read(1, 0, protocol::kMaxRead + 1));
  co_await finish(b);
}

TEST(Outputs, RefuseReadsOfWhatIsNone) {
  on_loop(bad_reads);
}

}  // namespace

}  // namespace zvm::host
