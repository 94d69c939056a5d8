#include <string>
#include <vector>

#include "base/async/loop.h"
#include "tests/unit/base/on_loop.h"

namespace zvm {

namespace {

using test::bytes_of;
using test::on_loop;
using test::patient;
using test::SocketPair;

// Sends all of it or fails the test.
Task<void> send_all(Loop& loop, FdRef fd, std::string_view text) {
  while (!text.empty()) {
    const auto from = bytes_of(text);
    const int n = co_await loop.send(fd, from, patient());
    EXPECT_GT(n, 0);
    if (n <= 0) co_return;
    text.remove_prefix(static_cast<size_t>(n));
  }
}

Task<void> echo(Loop& loop, UniqueFd fd) {
  std::array<std::byte, 700> buffer;
  const std::span<std::byte> into = buffer;
  for (;;) {
    const int n = co_await loop.recv(fd, into, patient());
    EXPECT_GE(n, 0);
    if (n <= 0) co_return;
    const std::string_view text(
        reinterpret_cast<const char*>(buffer.data()), static_cast<size_t>(n));
    co_await send_all(loop, fd, text);
  }
}

Task<void> converse(Loop& loop, UniqueFd fd, uint32_t random, int* done) {
  for (int round = 0; round < 100; ++round) {
    random = random * 1664525 + 1013904223;
    const std::string sent(1 + (random >> 16) % 2000, static_cast<char>('a' + round % 26));
    co_await send_all(loop, fd, sent);
    std::string got;
    while (got.size() < sent.size()) {
      std::array<std::byte, 1024> buffer;
      const std::span<std::byte> into = buffer;
      const int n = co_await loop.recv(fd, into, patient());
      EXPECT_GT(n, 0);
      if (n <= 0) co_return;
      got.append(reinterpret_cast<const char*>(buffer.data()), static_cast<size_t>(n));
    }
    EXPECT_EQ(got, sent);
  }
  ++*done;
}

Task<void> echo_storm(Loop& loop) {
  TaskGroup group(loop);
  int done = 0;
  for (uint32_t i = 0; i < 40; ++i) {
    SocketPair pair;
    group.spawn(echo(loop, std::move(pair.a)));
    group.spawn(converse(loop, std::move(pair.b), i, &done));
  }
  co_await group.join();
  EXPECT_EQ(done, 40);
}

TEST(LoopStress, FortyConversationsAtOnceLoseNoByte) {
  on_loop(echo_storm);
}

Task<void> receive_until_stopped(Loop& loop, FdRef fd, Stop* stop, int* ended) {
  std::array<std::byte, 1> buffer;
  const std::span<std::byte> into = buffer;
  const int n = co_await loop.recv(fd, into, patient(), stop);
  EXPECT_EQ(n, -ECANCELED);
  ++*ended;
}

Task<void> more_than_the_ring_holds(Loop& loop) {
  SocketPair pair;
  Stop stop;
  TaskGroup group(loop);
  int ended = 0;
  for (int i = 0; i < 2000; ++i) group.spawn(receive_until_stopped(loop, pair.a, &stop, &ended));
  (void)co_await loop.sleep_until(deadline_in(std::chrono::milliseconds(1)));
  stop.stop();
  co_await group.join();
  EXPECT_EQ(ended, 2000);
}

TEST(LoopStress, MoreOperationsAtOnceThanTheRingHasEntries) {
  auto loop = Loop::create(8, 1);
  ASSERT_TRUE(loop);
  (*loop)->run(more_than_the_ring_holds(**loop));
}

Task<void> one_byte_with_deadline(Loop& loop, FdRef fd, int* received, int* timed_out) {
  std::array<std::byte, 1> buffer;
  const std::span<std::byte> into = buffer;
  const int n = co_await loop.recv(fd, into, deadline_in(std::chrono::microseconds(200)));
  if (n == 1) ++*received;
  if (n == -ETIME) ++*timed_out;
}

Task<void> deadlines_race_with_bytes(Loop& loop) {
  SocketPair pair;
  int received = 0, timed_out = 0;
  for (int i = 0; i < 500; ++i) {
    TaskGroup group(loop);
    group.spawn(one_byte_with_deadline(loop, pair.a, &received, &timed_out));
    (void)co_await loop.sleep_until(deadline_in(std::chrono::microseconds(190 + i % 20)));
    co_await send_all(loop, pair.b, "x");
    co_await group.join();
  }
  EXPECT_EQ(received + timed_out, 500);
  // What was not received is still there: nothing was eaten by an operation that timed out.
  std::array<std::byte, 1000> rest;
  int left = 0;
  while (left < timed_out) {
    const std::span<std::byte> into = rest;
    const int n = co_await loop.recv(pair.a, into, patient());
    EXPECT_GT(n, 0);
    if (n <= 0) co_return;
    left += n;
  }
  EXPECT_EQ(left, timed_out);
}

TEST(LoopStress, ADeadlineThatRacesWithAByteLosesNone) {
  on_loop(deadlines_race_with_bytes);
}

}  // namespace

}  // namespace zvm
