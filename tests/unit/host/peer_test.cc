#include "host/peer.h"

#include <optional>
#include <vector>

#include "tests/unit/base/on_loop.h"

namespace zvm::host {

namespace {

using protocol::Frame;
using protocol::FrameReader;
using protocol::FrameType;
using protocol::FrameWriter;
using test::on_loop;
using test::patient;
using test::put;
using test::SocketPair;

constexpr const char* kToHost = "key of one way";
constexpr const char* kToBridge = "key of the other";

// A Peer at one end of a socket, the test at the other.
struct Bench {
  explicit Bench(Loop& the_loop)
      : loop(the_loop),
        connection(the_loop, std::move(sockets.a)),
        peer(the_loop, connection, Peer::Keys{kToHost, kToBridge}),
        writer(kToHost),
        reader(kToBridge),
        news(the_loop) {
    peer.start(
        [this](Frame f) -> Status {
          frames.push_back(std::move(f));
          news.set();
          return verdict;
        },
        [this] {
          lost_calls++;
          news.set();
        });
  }

  void send(const Frame& f) { put(sockets.b, writer.encode(f)); }

  Loop& loop;
  SocketPair sockets;
  http::Connection connection;
  Peer peer;
  FrameWriter writer;
  FrameReader reader;
  Event news;
  std::vector<Frame> frames;
  Status verdict;
  int lost_calls = 0;
};

Frame frame(FrameType type, uint16_t channel = 0, uint64_t arg = 0, std::string payload = {}) {
  Frame f;
  f.type = type;
  f.channel = channel;
  f.arg = arg;
  f.payload = std::move(payload);
  return f;
}

Task<void> wait_lost(Bench& b) {
  while (!b.peer.lost()) {
    b.news.reset();
    const int rc = co_await b.news.wait(patient());
    EXPECT_EQ(rc, 0);
    if (rc < 0) co_return;
  }
}

Task<Frame> receive(Bench& b) {
  for (;;) {
    auto next = b.reader.next();
    EXPECT_TRUE(next);
    if (next && *next) co_return std::move(**next);
    std::vector<std::byte> buffer(64 * 1024);
    const std::span<std::byte> into = buffer;
    const int n = co_await b.loop.recv(FdRef(b.sockets.b), into, patient());
    EXPECT_GT(n, 0);
    if (n <= 0) co_return Frame();
    b.reader.feed({reinterpret_cast<const char*>(buffer.data()), static_cast<size_t>(n)});
  }
}

Task<void> carries_frames(Loop& loop) {
  Bench b(loop);
  b.send(frame(FrameType::kPing));
  b.send(frame(FrameType::kRead, 3, 70, "abcd"));
  while (b.frames.empty()) {
    b.news.reset();
    const int rc = co_await b.news.wait(patient());
    EXPECT_EQ(rc, 0);
    if (rc < 0) break;
  }
  EXPECT_EQ(b.frames.size(), 1u) << "pings are not passed on";
  EXPECT_EQ(b.frames.at(0).channel, 3);
  b.peer.send(frame(FrameType::kReport, 0, 0, "{}"));
  const Frame got = co_await receive(b);
  EXPECT_EQ(got.type, FrameType::kReport);
  co_await b.peer.close();
  EXPECT_FALSE(b.peer.lost());
}

TEST(Peer, CarriesFramesBothWays) {
  on_loop(carries_frames);
}

Task<void> lost_when_closed(Loop& loop) {
  Bench b(loop);
  b.sockets.b.reset();
  co_await wait_lost(b);
  EXPECT_EQ(b.lost_calls, 1);
  EXPECT_EQ(b.peer.lost()->kind(), Kind::kDisconnected);
  Stop stop;
  Frame late = frame(FrameType::kData);
  auto sent = co_await b.peer.send_data(std::move(late), &stop);
  EXPECT_FALSE(sent);
  co_await b.peer.close();
}

TEST(Peer, IsLostWhenTheConnectionCloses) {
  on_loop(lost_when_closed);
}

Task<void> lost_when_forged(Loop& loop) {
  Bench b(loop);
  FrameWriter other("some other key");
  put(b.sockets.b, other.encode(frame(FrameType::kStart)));
  co_await wait_lost(b);
  EXPECT_TRUE(b.frames.empty());
  EXPECT_EQ(b.peer.lost()->kind(), Kind::kDenied);
  co_await b.peer.close();
}

TEST(Peer, IsLostWhenAFrameIsForged) {
  on_loop(lost_when_forged);
}

Task<void> lost_when_refused(Loop& loop) {
  Bench b(loop);
  b.verdict = fail(Origin::kHost, Kind::kInvalid, "not now");
  b.send(frame(FrameType::kStart));
  co_await wait_lost(b);
  EXPECT_EQ(b.peer.lost()->what(), "not now");
  co_await b.peer.close();
}

TEST(Peer, IsLostWhenTheSessionRefusesAFrame) {
  on_loop(lost_when_refused);
}

Task<void> send_some(Bench& b, size_t count, size_t* sent, Stop* stop) {
  for (size_t i = 0; i < count; ++i) {
    Frame f = frame(FrameType::kData, 0, i, std::string(protocol::kMaxPayload, 'x'));
    auto ok = co_await b.peer.send_data(std::move(f), stop);
    if (!ok) co_return;
    ++*sent;
  }
}

Task<void> data_waits_for_room(Loop& loop) {
  constexpr size_t kFrames = 40;
  Bench b(loop);
  Stop stop;
  TaskGroup senders(loop);
  size_t sent = 0;
  senders.spawn(send_some(b, kFrames, &sent, &stop));
  for (size_t i = 0; i < kFrames; ++i) {
    const Frame got = co_await receive(b);
    EXPECT_EQ(got.arg, i);
    // The socket's buffer and the queue together hold a few frames, not all of them.
    if (i == 0) {
      EXPECT_LT(sent, kFrames);
    }
  }
  co_await senders.join();
  EXPECT_EQ(sent, kFrames);
  co_await b.peer.flush(patient());
  co_await b.peer.close();
}

TEST(Peer, HoldsDataBackWhileTheBridgeReadsSlowly) {
  on_loop(data_waits_for_room);
}

Task<void> stop_ends_waiting_senders(Loop& loop) {
  Bench b(loop);
  Stop stop;
  TaskGroup senders(loop);
  size_t sent = 0;
  senders.spawn(send_some(b, 1000, &sent, &stop));
  const Frame first = co_await receive(b);
  EXPECT_EQ(first.arg, 0u);
  stop.stop();
  co_await senders.join();
  EXPECT_LT(sent, 1000u);
  co_await b.peer.close();
}

TEST(Peer, LetsGoOfSendersThatAreStopped) {
  on_loop(stop_ends_waiting_senders);
}

}  // namespace

}  // namespace zvm::host
