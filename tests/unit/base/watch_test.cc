#include <poll.h>

#include <optional>

#include "base/async/loop.h"
#include "tests/unit/base/on_loop.h"

namespace zvm {

namespace {

using test::on_loop;
using test::patient;
using test::put;
using test::SocketPair;

void take_byte(FdRef fd) {
  char c = 0;
  EXPECT_EQ(::recv(fd.fd, &c, 1, MSG_DONTWAIT), 1);
}

Task<void> calls_for_every_byte(Loop& loop) {
  SocketPair pair;
  int calls = 0;
  Event called(loop);
  const FdRef a = pair.a;
  Watch watch = loop.watch(pair.a, POLLIN, [&calls, &called, a](unsigned revents) {
    EXPECT_TRUE(revents & POLLIN);
    take_byte(a);
    ++calls;
    called.set();
  });
  for (int i = 1; i <= 100; ++i) {
    put(pair.b, "x");
    const int rc = co_await called.wait(patient());
    EXPECT_EQ(rc, 0);
    called.reset();
    EXPECT_EQ(calls, i);
  }
}

TEST(Watch, CallsForEveryReadiness) {
  on_loop(calls_for_every_byte);
}

Task<void> reset_in_callback(Loop& loop) {
  SocketPair pair;
  Event called(loop);
  std::optional<Watch> watch;
  int calls = 0;
  watch = loop.watch(pair.a, POLLIN, [&](unsigned) {
    ++calls;
    watch.reset();
    called.set();
  });
  put(pair.b, "x");
  const int rc = co_await called.wait(patient());
  EXPECT_EQ(rc, 0);
  put(pair.b, "x");
  (void)co_await loop.sleep_until(deadline_in(std::chrono::milliseconds(2)));
  EXPECT_EQ(calls, 1);
}

TEST(Watch, ResetInsideItsCallbackIsTheLastCall) {
  on_loop(reset_in_callback);
}

Task<void> replaced_in_callback(Loop& loop) {
  SocketPair first, second;
  Event called(loop);
  Watch watch;
  std::string order;
  watch = loop.watch(first.a, POLLIN, [&](unsigned) {
    order += '1';
    watch = loop.watch(second.a, POLLIN, [&](unsigned) {
      order += '2';
      watch.reset();
      called.set();
    });
  });
  put(second.b, "x");
  put(first.b, "x");
  const int rc = co_await called.wait(patient());
  EXPECT_EQ(rc, 0);
  EXPECT_EQ(order, "12");
}

TEST(Watch, MayBeReplacedInsideItsCallback) {
  on_loop(replaced_in_callback);
}

Task<void> close_after_reset(Loop& loop) {
  for (int i = 0; i < 200; ++i) {
    SocketPair pair;
    int calls = 0;
    Watch watch = loop.watch(pair.a, POLLIN, [&calls](unsigned) { ++calls; });
    // At one time before its poll has been submitted, at another after.
    if (i % 2 == 0) (void)co_await loop.sleep_until(Clock::now());
    if (i % 3 == 0) put(pair.b, "x");
    watch.reset();
    pair.a.reset();
    EXPECT_EQ(calls, 0);
  }
}

TEST(Watch, DescriptorMayCloseOnceTheWatchIsReset) {
  on_loop(close_after_reset);
}

Task<void> hang_up(Loop& loop) {
  SocketPair pair;
  Event called(loop);
  unsigned seen = 0;
  Watch watch;
  watch = loop.watch(pair.a, POLLIN, [&](unsigned revents) {
    seen = revents;
    watch.reset();
    called.set();
  });
  pair.b.reset();
  const int rc = co_await called.wait(patient());
  EXPECT_EQ(rc, 0);
  EXPECT_TRUE(seen & POLLHUP);
}

TEST(Watch, SeesThePeerHangUp) {
  on_loop(hang_up);
}

Task<void> two_watches_end_each_other(Loop& loop) {
  SocketPair pair;
  Event called(loop);
  Watch one, two;
  int calls = 0;
  // Both are ready in one batch; whichever comes first ends the other.
  one = loop.watch(pair.a, POLLIN, [&](unsigned) {
    ++calls;
    two.reset();
    one.reset();
    called.set();
  });
  two = loop.watch(pair.a, POLLIN, [&](unsigned) {
    ++calls;
    one.reset();
    two.reset();
    called.set();
  });
  put(pair.b, "x");
  const int rc = co_await called.wait(patient());
  EXPECT_EQ(rc, 0);
  EXPECT_EQ(calls, 1);
}

TEST(Watch, ACallbackMayEndAnotherWatchThatIsReady) {
  on_loop(two_watches_end_each_other);
}

Task<void> moves(Loop& loop) {
  SocketPair pair;
  Event called(loop);
  Watch first = loop.watch(pair.a, POLLIN, [&called](unsigned) { called.set(); });
  Watch second = std::move(first);
  first.reset();
  put(pair.b, "x");
  const int rc = co_await called.wait(patient());
  EXPECT_EQ(rc, 0);
}

TEST(Watch, MovesAndStaysAwake) {
  on_loop(moves);
}

Task<void> outlives(Loop& loop, Watch* watch, FdRef fd) {
  *watch = loop.watch(fd, POLLIN, [](unsigned) {});
  co_return;
}

TEST(Watch, ResetAfterTheLoopHasRunIsFreedWithTheLoop) {
  SocketPair pair;
  auto loop = Loop::create(8, 1);
  ASSERT_TRUE(loop);
  Watch watch;
  (*loop)->run(outlives(**loop, &watch, pair.a));
  watch.reset();
}

}  // namespace

}  // namespace zvm
