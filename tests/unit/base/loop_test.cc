#include "base/async/loop.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/mman.h>

#include <atomic>
#include <string>
#include <thread>

#include "tests/unit/base/on_loop.h"

namespace zvm {

namespace {

using namespace std::chrono_literals;
using test::bytes_of;
using test::on_loop;
using test::patient;
using test::Pipe;
using test::put;
using test::SocketPair;

UniqueFd loopback_listener() {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  EXPECT_EQ(::listen(fd.get(), 8), 0);
  return fd;
}

Task<void> deadline_of_recv(Loop& loop) {
  SocketPair pair;
  std::array<std::byte, 8> buffer{};
  const std::span<std::byte> into = buffer;
  const int n = co_await loop.recv(pair.a, into, deadline_in(1ms));
  EXPECT_EQ(n, -ETIME);
  put(pair.b, "late");
  const int ready = co_await loop.poll(pair.a, POLLIN, patient());
  EXPECT_EQ(ready, POLLIN);
  EXPECT_EQ(buffer[0], std::byte{0}) << "the kernel wrote after the operation had returned";
  const int again = co_await loop.recv(pair.a, into, patient());
  EXPECT_EQ(again, 4);
}

TEST(Loop, RecvPastItsDeadlineIsCancelledInTheKernel) {
  on_loop(deadline_of_recv);
}

Task<void> past_deadline_loses_nothing(Loop& loop) {
  SocketPair pair;
  put(pair.b, "kept");
  std::array<std::byte, 8> buffer{};
  const std::span<std::byte> into = buffer;
  int n = co_await loop.recv(pair.a, into, Clock::now() - 1s);
  if (n == -ETIME) n = co_await loop.recv(pair.a, into, patient());
  EXPECT_EQ(n, 4);
  EXPECT_EQ(std::memcmp(buffer.data(), "kept", 4), 0);
}

TEST(Loop, BytesThatCameAreKeptThoughTheDeadlineHasPassed) {
  on_loop(past_deadline_loses_nothing);
}

Task<void> into_result(Loop& loop, int what, FdRef fd, Stop* stop, int* result) {
  std::array<std::byte, 8> buffer{};
  const std::span<std::byte> into = buffer;
  if (what == 0) *result = co_await loop.recv(fd, into, kNever, stop);
  if (what == 1) *result = co_await loop.accept(fd, kNever, stop);
  if (what == 2) *result = co_await loop.sleep_until(deadline_in(1h), stop);
  if (what == 3) *result = co_await loop.poll(fd, POLLIN, kNever, stop);
  if (what == 4) *result = co_await loop.read(fd, into, Loop::kCurrent, kNever, stop);
}

Task<void> stop_ends_every_wait(Loop& loop) {
  SocketPair pair;
  Pipe pipe;
  const UniqueFd listener = loopback_listener();
  Event event(loop);
  Stop stop;
  TaskGroup group(loop);
  std::array<int, 5> results{};
  group.spawn(into_result(loop, 0, pair.a, &stop, &results[0]));
  group.spawn(into_result(loop, 1, listener, &stop, &results[1]));
  group.spawn(into_result(loop, 2, pair.a, &stop, &results[2]));
  group.spawn(into_result(loop, 3, pair.a, &stop, &results[3]));
  group.spawn(into_result(loop, 4, pipe.read, &stop, &results[4]));
  // Some rounds, so that all of them are in the kernel.
  for (int i = 0; i < 3; ++i) (void)co_await loop.sleep_until(deadline_in(1ms));
  EXPECT_EQ(group.size(), 5u);
  stop.stop();
  co_await group.join();
  for (const int r : results) EXPECT_EQ(r, -ECANCELED);
}

TEST(Loop, StopEndsRecvAcceptSleepPollAndRead) {
  on_loop(stop_ends_every_wait);
}

Task<void> stopped_before(Loop& loop) {
  SocketPair pair;
  put(pair.b, "x");
  Stop stop;
  stop.stop();
  std::array<std::byte, 8> buffer{};
  const std::span<std::byte> into = buffer;
  Event event(loop);
  const int received = co_await loop.recv(pair.a, into, patient(), &stop);
  EXPECT_EQ(received, -ECANCELED);
  const int slept = co_await loop.sleep_until(patient(), &stop);
  EXPECT_EQ(slept, -ECANCELED);
  const int waited = co_await event.wait(patient(), &stop);
  EXPECT_EQ(waited, -ECANCELED);
  EXPECT_TRUE(stop.stopped());
}

TEST(Loop, StopThatWasStoppedBeforeRefusesToWait) {
  on_loop(stopped_before);
}

Task<void> wait_for(Event& event, Deadline deadline, Stop* stop, int* result) {
  *result = co_await event.wait(deadline, stop);
}

Task<void> events(Loop& loop) {
  Event event(loop);
  Stop stop;
  TaskGroup group(loop);
  int woken = 1, late = 1, stopped = 1;
  group.spawn(wait_for(event, deadline_in(1ms), nullptr, &late));
  (void)co_await loop.sleep_until(deadline_in(5ms));
  co_await group.join();
  EXPECT_EQ(late, -ETIME);
  group.spawn(wait_for(event, patient(), &stop, &stopped));
  (void)co_await loop.sleep_until(deadline_in(1ms));
  stop.stop();
  co_await group.join();
  EXPECT_EQ(stopped, -ECANCELED);
  group.spawn(wait_for(event, patient(), nullptr, &woken));
  (void)co_await loop.sleep_until(deadline_in(1ms));
  event.pulse();
  co_await group.join();
  EXPECT_EQ(woken, 0);
  EXPECT_FALSE(event.is_set());
  event.set();
  const int at_once = co_await event.wait(Clock::now() - 1s);
  EXPECT_EQ(at_once, 0);
  event.reset();
  const int after_reset = co_await event.wait(Clock::now() - 1s);
  EXPECT_EQ(after_reset, -ETIME);
}

TEST(Event, WakesTimesOutStopsAndPulses) {
  on_loop(events);
}

Task<void> sleeps_and_notes(Loop& loop, Deadline until, std::vector<Deadline>* order) {
  const int rc = co_await loop.sleep_until(until);
  EXPECT_EQ(rc, 0);
  order->push_back(until);
}

Task<void> ten_thousand_timers(Loop& loop) {
  TaskGroup group(loop);
  std::vector<Deadline> order;
  const Deadline base = deadline_in(1ms);
  uint32_t random = 1;
  for (int i = 0; i < 10'000; ++i) {
    random = random * 1664525 + 1013904223;
    const Deadline until = base + std::chrono::microseconds(random >> 18);
    group.spawn(sleeps_and_notes(loop, until, &order));
  }
  co_await group.join();
  EXPECT_EQ(order.size(), 10'000u);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
}

TEST(Loop, TenThousandTimersEndInTheOrderOfTheirDeadlines) {
  on_loop(ten_thousand_timers);
}

Task<void> offloads(Loop& loop) {
  const auto here = std::this_thread::get_id();
  const auto ask = [] { return std::this_thread::get_id(); };
  const auto there = co_await loop.offload(ask);
  EXPECT_NE(here, there);
  EXPECT_EQ(here, std::this_thread::get_id());
  const auto make = [] { return std::string(100'000, 'x'); };
  const std::string text = co_await loop.offload(make);
  EXPECT_EQ(text.size(), 100'000u);
  int ran = 0;
  const auto note = [&ran] { ++ran; };
  co_await loop.offload(note);
  EXPECT_EQ(ran, 1);
}

TEST(Offload, RunsElsewhereAndComesBackWithTheResult) {
  on_loop(offloads);
}

Task<void> offload_once(Loop& loop, std::atomic<int>* at_once, std::atomic<int>* most, int* done) {
  const auto job = [at_once, most] {
    const int now = ++*at_once;
    int seen = *most;
    while (now > seen && !most->compare_exchange_weak(seen, now)) {
    }
    --*at_once;
  };
  co_await loop.offload(job);
  ++*done;
}

Task<void> offload_many(Loop& loop) {
  std::atomic<int> at_once{0}, most{0};
  int done = 0;
  TaskGroup group(loop);
  for (int i = 0; i < 2000; ++i) group.spawn(offload_once(loop, &at_once, &most, &done));
  co_await group.join();
  EXPECT_EQ(done, 2000);
  EXPECT_LE(most, 2);
}

TEST(Offload, NeverUsesMoreThreadsThanTheLoopHas) {
  on_loop(offload_many);
}

Task<void> spawn_more(Loop& loop, TaskGroup& group, int depth, int* ran) {
  ++*ran;
  if (depth > 0) {
    group.spawn(spawn_more(loop, group, depth - 1, ran));
    group.spawn(spawn_more(loop, group, depth - 1, ran));
  }
  co_return;
}

Task<void> groups(Loop& loop) {
  TaskGroup group(loop);
  co_await group.join();  // of nothing
  int ran = 0;
  group.spawn(spawn_more(loop, group, 10, &ran));
  EXPECT_EQ(ran, 0) << "a task ran inside spawn()";
  co_await group.join();
  EXPECT_EQ(ran, 2047);
  EXPECT_EQ(group.size(), 0u);
  group.spawn(spawn_more(loop, group, 0, &ran));
  co_await group.join();
  EXPECT_EQ(ran, 2048);
}

TEST(TaskGroup, JoinWaitsForTasksThatTasksSpawned) {
  on_loop(groups);
}

Task<void> posts(Loop& loop) {
  std::string order;
  Event done(loop);
  loop.post([&order] { order += 'a'; });
  loop.post([&order, &done, &loop] {
    order += 'b';
    loop.post([&order, &done] {
      order += 'c';
      done.set();
    });
  });
  EXPECT_EQ(order, "");
  const int rc = co_await done.wait(patient());
  EXPECT_EQ(rc, 0);
  EXPECT_EQ(order, "abc");
}

TEST(Loop, PostedFunctionsRunInOrderAndMayPost) {
  on_loop(posts);
}

Task<void> files(Loop& loop) {
  const UniqueFd file(::memfd_create("file", MFD_CLOEXEC));
  const auto text = bytes_of("0123456789");
  const int written = co_await loop.write(file, text, 5, patient());
  EXPECT_EQ(written, 10);
  std::array<std::byte, 4> buffer{};
  const std::span<std::byte> into = buffer;
  const int got = co_await loop.read(file, into, 8, patient());
  EXPECT_EQ(got, 4);
  EXPECT_EQ(std::memcmp(buffer.data(), "3456", 4), 0);
  const int end = co_await loop.read(file, into, 15, patient());
  EXPECT_EQ(end, 0);
}

TEST(Loop, ReadsAndWritesFilesAtOffsets) {
  on_loop(files);
}

Task<void> splices(Loop& loop) {
  Pipe from, to;
  put(from.write, "through");
  const int n =
      co_await loop.splice(from.read, Loop::kCurrent, to.write, Loop::kCurrent, 100, patient());
  EXPECT_EQ(n, 7);
  std::array<std::byte, 16> buffer{};
  const std::span<std::byte> into = buffer;
  const int got = co_await loop.read(to.read, into, Loop::kCurrent, patient());
  EXPECT_EQ(got, 7);
  EXPECT_EQ(std::memcmp(buffer.data(), "through", 7), 0);
}

TEST(Loop, SplicesBetweenPipes) {
  on_loop(splices);
}

Task<void> passes_descriptor(Loop& loop) {
  SocketPair pair(SOCK_SEQPACKET);
  Pipe pipe;
  char byte = 'x';
  iovec iov{&byte, 1};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr msg{};
  msg.msg_iov = &iov;
  msg.msg_iovlen = 1;
  msg.msg_control = control.data();
  msg.msg_controllen = control.size();
  cmsghdr* header = CMSG_FIRSTHDR(&msg);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  const int given = pipe.write.get();
  std::memcpy(CMSG_DATA(header), &given, sizeof given);
  const int sent = co_await loop.sendmsg(pair.a, &msg, patient());
  EXPECT_EQ(sent, 1);
  msg.msg_controllen = control.size();
  const int got = co_await loop.recvmsg(pair.b, &msg, patient());
  EXPECT_EQ(got, 1);
  int fd = -1;
  std::memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof fd);
  const UniqueFd received(fd);
  EXPECT_EQ(::fcntl(received.get(), F_GETFD), FD_CLOEXEC);
}

TEST(Loop, DescriptorsArriveCloseOnExec) {
  on_loop(passes_descriptor);
}

Task<void> connects_and_accepts(Loop& loop) {
  const UniqueFd listener = loopback_listener();
  sockaddr_in address{};
  socklen_t length = sizeof address;
  ::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &length);
  const UniqueFd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const auto* raw = reinterpret_cast<const sockaddr*>(&address);
  const int rc = co_await loop.connect(client, raw, length, patient());
  EXPECT_EQ(rc, 0);
  const UniqueFd server(co_await loop.accept(listener, patient()));
  EXPECT_GE(server.get(), 0);
  EXPECT_EQ(::fcntl(server.get(), F_GETFD), FD_CLOEXEC);
}

TEST(Loop, ConnectsAndAccepts) {
  on_loop(connects_and_accepts);
}

Task<void> send_to_nobody(Loop& loop) {
  SocketPair pair;
  pair.b.reset();
  const auto text = bytes_of("x");
  const int n = co_await loop.send(pair.a, text, patient());
  EXPECT_EQ(n, -EPIPE);
}

TEST(Loop, SendToAClosedPeerIsAnErrorAndNoSignal) {
  on_loop(send_to_nobody);
}

Task<void> ends_at_once(Loop&) {
  co_return;
}

TEST(Loop, RunsMoreThanOnce) {
  auto loop = Loop::create(8, 1);
  ASSERT_TRUE(loop);
  for (int i = 0; i < 3; ++i) (*loop)->run(ends_at_once(**loop));
}

}  // namespace

}  // namespace zvm
