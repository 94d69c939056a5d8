#include "base/async/task.h"

#include <memory>
#include <string>

#include "tests/unit/base/on_loop.h"

namespace zvm {

namespace {

using test::on_loop;

Task<int> seven() {
  co_return 7;
}

Task<std::unique_ptr<int>> boxed(int n) {
  co_return std::make_unique<int>(n);
}

Task<int> add_up(int depth) {
  if (depth == 0) co_return 0;
  const int below = co_await add_up(depth - 1);
  co_return below + 1;
}

Task<void> count(int* started, std::shared_ptr<int> held) {
  ++*started;
  (void)held;
  co_return;
}

Task<void> returns_values(Loop&) {
  const int n = co_await seven();
  EXPECT_EQ(n, 7);
  const auto box = co_await boxed(3);
  EXPECT_EQ(*box, 3);
}

TEST(Task, ReturnsValuesThatOnlyMove) {
  on_loop(returns_values);
}

TEST(Task, NeverStartedFreesItsArguments) {
  int started = 0;
  auto held = std::make_shared<int>(1);
  {
    auto task = count(&started, held);
    EXPECT_EQ(held.use_count(), 2);
  }
  EXPECT_EQ(held.use_count(), 1);
  EXPECT_EQ(started, 0);
}

Task<void> starts_when_awaited(Loop&) {
  int started = 0;
  auto task = count(&started, nullptr);
  EXPECT_EQ(started, 0);
  co_await task;
  EXPECT_EQ(started, 1);
}

TEST(Task, StartsWhenAwaited) {
  on_loop(starts_when_awaited);
}

Task<void> nests_deeply(Loop&) {
  const int depth = co_await add_up(500);
  EXPECT_EQ(depth, 500);
}

TEST(Task, AwaitsInDepth) {
  on_loop(nests_deeply);
}

Task<const char*> stack_here() {
  char here = 0;
  co_return __builtin_frame_address(0) != nullptr
      ? static_cast<const char*>(__builtin_frame_address(0))
      : &here;
}

Task<void> awaits_in_a_row(Loop&) {
  const char* first = co_await stack_here();
  const char* last = first;
  for (int i = 0; i < 100'000; ++i) last = co_await stack_here();
  EXPECT_LT(std::abs(last - first), 64 * 1024);
}

// A loop over what completes at once is what a busy connection is.
TEST(Task, HundredThousandAwaitsInARowDoNotGrowTheStack) {
  on_loop(awaits_in_a_row);
}

}  // namespace

}  // namespace zvm
