// The io_uring loop: one per program, one thread, every wait goes through it.
//
// Awaitable operations return >= 0 or -errno. Each takes a deadline (-ETIME when it passed) and,
// optionally, a Stop (-ECANCELED once stopped). The memory and the descriptor an operation names
// must live until it returns; that is so by itself when they are locals of the awaiting coroutine.
// An operation whose deadline passed is cancelled in the kernel first, so that its buffer is never
// written later.
//
// Blocking work (FICLONE, hashing, opening files) goes to a bounded pool of threads by offload().
#pragma once
#include <sys/socket.h>
#include <sys/uio.h>

#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <type_traits>
#include <vector>

#include "base/async/task.h"
#include "base/error.h"
#include "base/sys/fd.h"

namespace zvm {

using Clock = std::chrono::steady_clock;
using Deadline = Clock::time_point;
inline constexpr Deadline kNever = Deadline::max();

inline Deadline deadline_in(Clock::duration d) {
  return Clock::now() + d;
}

class Loop;
class Stop;

namespace detail {

// Something that waits: a coroutine, a deadline, a place in a Stop's list.
struct Waiter {
  Waiter() = default;
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;
  virtual ~Waiter();
  // The deadline passed (-ETIME) or the Stop was stopped (-ECANCELED).
  virtual void abandon(int why) = 0;

  void arm(Loop& loop, Deadline deadline, Stop* stop);
  void disarm();

  std::coroutine_handle<> waiter;
  int result = 0;
  Deadline deadline = kNever;

 private:
  friend class zvm::Loop;
  friend class zvm::Stop;
  Loop* loop_ = nullptr;
  Stop* stop_ = nullptr;
  Waiter* stop_prev_ = nullptr;
  Waiter* stop_next_ = nullptr;
  size_t heap_index_ = SIZE_MAX;
};

}  // namespace detail

// Asks every operation that was given it to end with -ECANCELED. Once stopped it stays so.
class Stop {
 public:
  Stop() = default;
  Stop(const Stop&) = delete;
  Stop& operator=(const Stop&) = delete;

  ~Stop() { ZVM_CHECK(head_ == nullptr); }

  void stop();

  bool stopped() const { return stopped_; }

 private:
  friend struct detail::Waiter;
  detail::Waiter* head_ = nullptr;
  bool stopped_ = false;
};

// One submission. Made by the functions of Loop, awaited at once.
class [[nodiscard]] Op final : detail::Waiter {
 public:
  struct Sqe {
    uint8_t opcode = 0;
    int fd = -1;
    uint64_t off = 0;
    uint64_t addr = 0;
    uint32_t len = 0;
    uint32_t flags = 0;
    int splice_fd = -1;
  };

  Op(Loop& loop, const Sqe& sqe, Deadline until, Stop* stop)
      : loop_(loop), sqe_(sqe), wanted_(until), stop_(stop) {}

  bool await_ready() const noexcept { return false; }

  bool await_suspend(std::coroutine_handle<> h);

  int await_resume() const noexcept { return result; }

 private:
  friend class Loop;
  void abandon(int why) override;

  // Idle -> InFlight -> Done, or InFlight -> Cancelling -> Done.
  enum class Phase : uint8_t { kIdle, kInFlight, kCancelling, kDone };
  Loop& loop_;
  Sqe sqe_;
  Deadline wanted_;
  Stop* stop_;
  Phase phase_ = Phase::kIdle;
  int why_ = 0;
};

class [[nodiscard]] Sleep final : detail::Waiter {
 public:
  Sleep(Loop& loop, Deadline until, Stop* stop) : loop_(loop), wanted_(until), stop_(stop) {}

  bool await_ready() const noexcept { return false; }

  bool await_suspend(std::coroutine_handle<> h);

  // 0 when the time has come, -ECANCELED when stopped.
  int await_resume() const noexcept { return result == -ETIME ? 0 : result; }

 private:
  void abandon(int why) override;
  Loop& loop_;
  Deadline wanted_;
  Stop* stop_;
};

// A condition that holds or not; waiters go on as soon as it holds. Loop thread only.
class Event {
 public:
  explicit Event(Loop& loop) : loop_(loop) {}

  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  ~Event() { ZVM_CHECK(waiters_.empty()); }

  void set();

  void reset() { set_ = false; }

  bool is_set() const { return set_; }

  // Wakes who waits now, without becoming set.
  void pulse();

  class [[nodiscard]] Wait final : detail::Waiter {
   public:
    Wait(Event& event, Deadline until, Stop* stop) : event_(event), wanted_(until), stop_(stop) {}

    bool await_ready() const noexcept { return false; }

    bool await_suspend(std::coroutine_handle<> h);

    int await_resume() const noexcept { return result; }

   private:
    friend class Event;
    void abandon(int why) override;
    Event& event_;
    Deadline wanted_;
    Stop* stop_;
  };

  // 0, -ETIME or -ECANCELED.
  Wait wait(Deadline deadline, Stop* stop = nullptr) { return Wait(*this, deadline, stop); }

 private:
  Loop& loop_;
  bool set_ = false;
  std::vector<Wait*> waiters_;
};

// A standing multishot poll; the callback runs on the loop for every readiness until destroyed.
class Watch {
 public:
  Watch() = default;

  Watch(Watch&& o) noexcept : state_(std::exchange(o.state_, nullptr)) {}

  Watch& operator=(Watch&& o) noexcept {
    if (this != &o) {
      reset();
      state_ = std::exchange(o.state_, nullptr);
    }
    return *this;
  }

  ~Watch() { reset(); }

  void reset();

 private:
  friend class Loop;
  struct State;

  explicit Watch(State* state) : state_(state) {}

  State* state_ = nullptr;
};

class Loop {
 public:
  // Fails with a sentence for the operator where io_uring is missing or forbidden.
  static Result<std::unique_ptr<Loop>> create(unsigned entries = 1024, unsigned threads = 4);
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // Runs until `root` has ended, on the thread that made the loop. Tasks of TaskGroups run too, and
  // must have ended before their group.
  void run(Task<void> root);

  // off: file offset, or kCurrent for pipes, sockets and the file's own position.
  static constexpr uint64_t kCurrent = ~uint64_t{0};
  Op read(FdRef fd, std::span<std::byte> into, uint64_t off, Deadline d, Stop* s = nullptr);
  Op write(FdRef fd, std::span<const std::byte> from, uint64_t off, Deadline d, Stop* s = nullptr);
  Op recv(FdRef fd, std::span<std::byte> into, Deadline d, Stop* s = nullptr);
  // Never raises SIGPIPE.
  Op send(FdRef fd, std::span<const std::byte> from, Deadline d, Stop* s = nullptr);
  Op recvmsg(FdRef fd, msghdr* msg, Deadline d, Stop* s = nullptr);
  Op sendmsg(FdRef fd, const msghdr* msg, Deadline d, Stop* s = nullptr);
  Op accept(FdRef fd, Deadline d, Stop* s = nullptr);  // the new descriptor is CLOEXEC
  Op connect(FdRef fd, const sockaddr* addr, socklen_t len, Deadline d, Stop* s = nullptr);
  // events: POLLIN and so on; returns the events that hold.
  Op poll(FdRef fd, unsigned events, Deadline d, Stop* s = nullptr);
  Op splice(FdRef from, uint64_t off_in, FdRef to, uint64_t off_out, uint32_t len, Deadline d,
      Stop* s = nullptr);

  Sleep sleep_until(Deadline d, Stop* s = nullptr) { return Sleep(*this, d, s); }

  // The descriptor must stay open until the Watch is destroyed.
  Watch watch(FdRef fd, unsigned events, std::function<void(unsigned revents)> callback);
  // Runs fn on the loop, after what is ready now. Loop thread only.
  void post(std::function<void()> fn);

  // Runs fn on the pool of threads and returns its result. Waits in a queue when all are busy. It
  // can not be cancelled: give it only work that ends.
  template <class F>
  Task<std::invoke_result_t<F>> offload(F fn);

  // For awaitables of other files: resumes h after what is ready now.
  void ready(std::coroutine_handle<> h);

 private:
  friend class Op;
  friend class Sleep;
  friend class Event;
  friend class Watch;
  friend struct detail::Waiter;
  friend class TaskGroup;
  struct Impl;
  explicit Loop(std::unique_ptr<Impl> impl);

  // Queues job for the pool; resumes h on the loop when it has run.
  void offload_raw(std::function<void()> job, std::coroutine_handle<> h);

  struct OffloadAwaiter {
    Loop& loop;
    std::function<void()> job;

    bool await_ready() const noexcept { return false; }

    void await_suspend(std::coroutine_handle<> h) { loop.offload_raw(std::move(job), h); }

    void await_resume() const noexcept {}
  };

  std::unique_ptr<Impl> impl_;
};

template <class F>
Task<std::invoke_result_t<F>> Loop::offload(F fn) {
  using R = std::invoke_result_t<F>;
  if constexpr (std::is_void_v<R>) {
    OffloadAwaiter run{*this, std::ref(fn)};
    co_await run;
  } else {
    std::optional<R> result;
    auto job = [&] { result.emplace(fn()); };
    OffloadAwaiter run{*this, std::ref(job)};
    co_await run;
    co_return std::move(*result);
  }
}

// Owns tasks that run beside their owner. The owner calls join() (after stopping them by a Stop of
// its own) before it goes: the destructor checks that nothing is left.
class TaskGroup {
 public:
  explicit TaskGroup(Loop& loop) : loop_(loop), empty_(loop) { empty_.set(); }

  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;

  ~TaskGroup() { ZVM_CHECK(running_ == 0); }

  // Starts when the loop comes to it, never inside this call.
  void spawn(Task<void> task);

  size_t size() const { return running_; }

  // Waits until every task has ended.
  Task<void> join();

 private:
  struct Driver;
  static Driver drive(TaskGroup& group, Task<void> task);
  Loop& loop_;
  size_t running_ = 0;
  Event empty_;
};

}  // namespace zvm
