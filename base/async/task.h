// Task<T>: a lazy coroutine. It starts when awaited, is awaited at most once, and is owned by
// whoever holds it: destroying a Task that has not started destroys its frame; a started one has an
// awaiter that outlives it. Single-threaded: a task runs on the thread of the loop that resumed it.
//
// House rules for code that awaits (g++ 12 destroys class temporaries of a co_await expression
// twice when they were built with braces or ?:, and miscompiles co_await of class results in
// conditions):
//   auto r = co_await f(named, std::move(named));      the only form; never `if (co_await f())`
// No lambda coroutines with captures; parameters by value unless awaited in the same expression.
#pragma once
#include <coroutine>
#include <exception>
#include <optional>
#include <utility>

#include "base/check.h"

namespace zvm {

template <class T = void>
class Task;

namespace detail {

struct TaskPromiseBase {
  std::coroutine_handle<> continuation = std::noop_coroutine();  // until the first wait

  struct FinalAwaiter {
    bool await_ready() const noexcept { return false; }

    template <class P>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<P> h) const noexcept {
      return h.promise().continuation;
    }

    void await_resume() const noexcept {}
  };

  std::suspend_always initial_suspend() const noexcept { return {}; }

  FinalAwaiter final_suspend() const noexcept { return {}; }

  // Project code does not throw; what arrives here is a bug or out of memory.
  void unhandled_exception() const noexcept { std::terminate(); }
};

template <class T>
struct TaskPromise : TaskPromiseBase {
  std::optional<T> value;

  Task<T> get_return_object();

  template <class U>
  void return_value(U&& v) {
    value.emplace(std::forward<U>(v));
  }

  T take() { return std::move(*value); }
};

template <>
struct TaskPromise<void> : TaskPromiseBase {
  Task<void> get_return_object();

  void return_void() const noexcept {}

  void take() const noexcept {}
};

}  // namespace detail

template <class T>
class [[nodiscard]] Task {
 public:
  using promise_type = detail::TaskPromise<T>;

  Task() = default;

  explicit Task(std::coroutine_handle<promise_type> h) : h_(h) {}

  Task(Task&& o) noexcept : h_(std::exchange(o.h_, {})) {}

  Task& operator=(Task&& o) noexcept {
    if (this != &o) {
      reset();
      h_ = std::exchange(o.h_, {});
    }
    return *this;
  }

  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;

  ~Task() { reset(); }

  bool await_ready() const noexcept { return false; }

  // Runs the task up to its first wait. One that ends before it has ever waited lets its awaiter go
  // on in place: with a transfer from frame to frame in its stead, a loop over tasks that end at
  // once would grow the stack wherever the compiler makes no tail calls (g++ below -O2,
  // sanitizers).
  bool await_suspend(std::coroutine_handle<> awaiter) noexcept {
    ZVM_CHECK(h_ && !h_.done());
    h_.resume();
    if (h_.done()) return false;
    h_.promise().continuation = awaiter;
    return true;
  }

  T await_resume() { return h_.promise().take(); }

 private:
  void reset() {
    if (h_) std::exchange(h_, {}).destroy();
  }

  std::coroutine_handle<promise_type> h_;
};

namespace detail {

template <class T>
Task<T> TaskPromise<T>::get_return_object() {
  return Task<T>(std::coroutine_handle<TaskPromise<T>>::from_promise(*this));
}

inline Task<void> TaskPromise<void>::get_return_object() {
  return Task<void>(std::coroutine_handle<TaskPromise<void>>::from_promise(*this));
}

}  // namespace detail

}  // namespace zvm
