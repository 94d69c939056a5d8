#include "base/async/loop.h"

#include <liburing.h>
#include <poll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>

namespace zvm {

namespace {

// What user_data points at says how its completion is handled: the low bits of the pointer are
// free.
constexpr uint64_t kTagOp = 0;
constexpr uint64_t kTagWatch = 1;
constexpr uint64_t kTagIgnore = 2;  // cancel requests
constexpr uint64_t kTagMask = 3;

}  // namespace

struct Watch::State {
  Loop* loop;
  int fd;
  unsigned events;
  std::function<void(unsigned)> callback;
  bool armed = true;         // a poll is in the kernel; its last completion ends this state
  bool closed = false;       // its Watch is gone
  bool in_callback = false;  // run() looks at the state again when the callback returns

  void notify(unsigned revents) {
    in_callback = true;
    callback(revents);
    in_callback = false;
  }
};

struct Loop::Impl {
  io_uring ring{};
  UniqueFd wake;
  Watch wake_watch;
  std::deque<std::coroutine_handle<>> ready;
  std::deque<std::function<void()>> posted;
  std::vector<detail::Waiter*> heap;  // by deadline, each waiter knows its index
  size_t in_flight = 0;

  std::mutex mutex;
  std::condition_variable work;
  std::deque<std::pair<std::function<void()>, std::coroutine_handle<>>> jobs;  // guarded by mutex
  std::vector<std::coroutine_handle<>> finished;                               // guarded by mutex
  bool closing = false;                                                        // guarded by mutex
  unsigned max_threads = 4;
  unsigned idle_threads = 0;  // guarded by mutex
  std::vector<std::thread> threads;

  io_uring_sqe* sqe() {
    io_uring_sqe* s = io_uring_get_sqe(&ring);
    while (s == nullptr) {
      io_uring_submit(&ring);
      s = io_uring_get_sqe(&ring);
    }
    return s;
  }

  void heap_place(size_t i, detail::Waiter* w) {
    heap[i] = w;
    w->heap_index_ = i;
  }

  void heap_up(size_t i) {
    detail::Waiter* w = heap[i];
    while (i > 0 && w->deadline < heap[(i - 1) / 2]->deadline) {
      heap_place(i, heap[(i - 1) / 2]);
      i = (i - 1) / 2;
    }
    heap_place(i, w);
  }

  void heap_down(size_t i) {
    detail::Waiter* w = heap[i];
    for (;;) {
      size_t child = 2 * i + 1;
      if (child >= heap.size()) break;
      if (child + 1 < heap.size() && heap[child + 1]->deadline < heap[child]->deadline) ++child;
      if (w->deadline <= heap[child]->deadline) break;
      heap_place(i, heap[child]);
      i = child;
    }
    heap_place(i, w);
  }

  void heap_remove(size_t i) {
    heap[i]->heap_index_ = SIZE_MAX;
    detail::Waiter* last = heap.back();
    heap.pop_back();
    if (i == heap.size()) return;
    heap_place(i, last);
    heap_up(i);
    heap_down(last->heap_index_);
  }

  void expire() {
    const auto now = Clock::now();
    while (!heap.empty() && heap[0]->deadline <= now) {
      detail::Waiter* w = heap[0];
      heap_remove(0);
      w->abandon(-ETIME);
    }
  }

  void pool_thread() {
    std::unique_lock lock(mutex);
    for (;;) {
      ++idle_threads;
      work.wait(lock, [this] { return closing || !jobs.empty(); });
      --idle_threads;
      if (jobs.empty()) return;
      auto [job, h] = std::move(jobs.front());
      jobs.pop_front();
      lock.unlock();
      job();
      lock.lock();
      finished.push_back(h);
      const uint64_t one = 1;
      // An eventfd write of 1 blocks only at 2^64-2: the loop reads it long before.
      [[maybe_unused]] ssize_t n = ::write(wake.get(), &one, sizeof one);
    }
  }

  void take_finished() {
    uint64_t count = 0;
    [[maybe_unused]] ssize_t n = ::read(wake.get(), &count, sizeof count);
    std::vector<std::coroutine_handle<>> batch;
    {
      std::lock_guard lock(mutex);
      batch.swap(finished);
    }
    for (auto h : batch) ready.push_back(h);
  }
};

namespace detail {

Waiter::~Waiter() {
  disarm();
}

void Waiter::arm(Loop& loop, Deadline d, Stop* stop) {
  loop_ = &loop;
  deadline = d;
  if (d != kNever) {
    auto& heap = loop.impl_->heap;
    heap.push_back(this);
    loop.impl_->heap_up(heap.size() - 1);
  }
  if (stop != nullptr) {
    stop_ = stop;
    stop_prev_ = nullptr;
    stop_next_ = stop->head_;
    if (stop->head_ != nullptr) stop->head_->stop_prev_ = this;
    stop->head_ = this;
  }
}

void Waiter::disarm() {
  if (heap_index_ != SIZE_MAX) loop_->impl_->heap_remove(heap_index_);
  if (stop_ != nullptr) {
    (stop_prev_ != nullptr ? stop_prev_->stop_next_ : stop_->head_) = stop_next_;
    if (stop_next_ != nullptr) stop_next_->stop_prev_ = stop_prev_;
    stop_ = nullptr;
  }
}

}  // namespace detail

void Stop::stop() {
  stopped_ = true;
  // abandon() never runs user code: it queues a cancel or makes the coroutine ready.
  while (head_ != nullptr) {
    detail::Waiter* w = head_;
    head_ = w->stop_next_;
    if (head_ != nullptr) head_->stop_prev_ = nullptr;
    w->stop_ = nullptr;
    w->abandon(-ECANCELED);
  }
}

bool Op::await_suspend(std::coroutine_handle<> h) {
  if (stop_ != nullptr && stop_->stopped()) {
    result = -ECANCELED;
    return false;
  }
  waiter = h;
  auto& impl = *loop_.impl_;
  io_uring_sqe* s = impl.sqe();
  io_uring_prep_rw(sqe_.opcode, s, sqe_.fd, nullptr, sqe_.len, sqe_.off);
  s->addr = sqe_.addr;
  s->rw_flags = static_cast<int>(sqe_.flags);
  if (sqe_.opcode == IORING_OP_SPLICE) s->splice_fd_in = sqe_.splice_fd;
  s->user_data = reinterpret_cast<uint64_t>(this) | kTagOp;
  ++impl.in_flight;
  phase_ = Phase::kInFlight;
  arm(loop_, wanted_, stop_);
  return true;
}

void Op::abandon(int why) {
  if (phase_ != Phase::kInFlight) return;
  phase_ = Phase::kCancelling;
  why_ = why;
  io_uring_sqe* s = loop_.impl_->sqe();
  io_uring_prep_cancel64(s, reinterpret_cast<uint64_t>(this) | kTagOp, 0);
  s->user_data = kTagIgnore;
  ++loop_.impl_->in_flight;
}

bool Sleep::await_suspend(std::coroutine_handle<> h) {
  if (stop_ != nullptr && stop_->stopped()) {
    result = -ECANCELED;
    return false;
  }
  waiter = h;
  arm(loop_, wanted_, stop_);
  return true;
}

void Sleep::abandon(int why) {
  disarm();
  result = why;
  loop_.ready(waiter);
}

void Event::set() {
  set_ = true;
  pulse();
}

void Event::pulse() {
  std::vector<Wait*> batch;
  batch.swap(waiters_);
  for (Wait* w : batch) {
    w->disarm();
    w->result = 0;
    loop_.ready(w->waiter);
  }
}

bool Event::Wait::await_suspend(std::coroutine_handle<> h) {
  if (event_.set_) return false;
  if (stop_ != nullptr && stop_->stopped()) {
    result = -ECANCELED;
    return false;
  }
  waiter = h;
  event_.waiters_.push_back(this);
  arm(event_.loop_, wanted_, stop_);
  return true;
}

void Event::Wait::abandon(int why) {
  disarm();
  std::erase(event_.waiters_, this);
  result = why;
  event_.loop_.ready(waiter);
}

Result<std::unique_ptr<Loop>> Loop::create(unsigned entries, unsigned threads) {
  auto impl = std::make_unique<Impl>();
  impl->max_threads = threads;
  // KERNEL: SINGLE_ISSUER and DEFER_TASKRUN (6.1) keep completions on this thread, at one place.
  int rc = io_uring_queue_init(
      entries, &impl->ring, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);
  if (rc == -EINVAL) rc = io_uring_queue_init(entries, &impl->ring, 0);
  if (rc < 0) {
    impl->ring.ring_fd = -1;
    auto error = errno_error("io_uring_setup", -rc);
    return tl::unexpected(Error(Origin::kHost, Kind::kUnsupported,
        error.what() +
            (rc == -EPERM ? " (is kernel.io_uring_disabled set, or a seccomp filter in the way?)"
                          : ""),
        -rc));
  }
  impl->wake = UniqueFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!impl->wake) return fail_errno("eventfd", errno);
  std::unique_ptr<Loop> loop(new Loop(std::move(impl)));
  Impl* raw = loop->impl_.get();
  raw->wake_watch = loop->watch(raw->wake, POLLIN, [raw](unsigned) { raw->take_finished(); });
  return loop;
}

Loop::Loop(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Loop::~Loop() {
  {
    std::lock_guard lock(impl_->mutex);
    impl_->closing = true;
  }
  impl_->work.notify_all();
  for (auto& t : impl_->threads) t.join();
  impl_->wake_watch.reset();
  // Watches that are being cancelled still own their state: let their last completions arrive.
  for (int i = 0; i < 1000 && impl_->in_flight > 0; ++i) {
    __kernel_timespec ts{0, 10'000'000};
    io_uring_cqe* cqe = nullptr;
    io_uring_submit_and_wait_timeout(&impl_->ring, &cqe, 1, &ts, nullptr);
    unsigned head = 0, seen = 0;
    io_uring_for_each_cqe(&impl_->ring, head, cqe) {
      ++seen;
      if ((cqe->flags & IORING_CQE_F_MORE) != 0) continue;
      --impl_->in_flight;
      if ((cqe->user_data & kTagMask) == kTagWatch)
        delete reinterpret_cast<Watch::State*>(cqe->user_data & ~kTagMask);
    }
    io_uring_cq_advance(&impl_->ring, seen);
  }
  io_uring_queue_exit(&impl_->ring);
}

void Loop::ready(std::coroutine_handle<> h) {
  impl_->ready.push_back(h);
}

void Loop::post(std::function<void()> fn) {
  impl_->posted.push_back(std::move(fn));
}

namespace {

void arm_watch(io_uring_sqe* s, int fd, unsigned events, uint64_t user_data) {
  io_uring_prep_poll_multishot(s, fd, events);
  s->user_data = user_data;
}

// Starts a task and flags its end; its frame is freed by run().
struct Root {
  struct promise_type {
    Root get_return_object() {
      return Root{std::coroutine_handle<promise_type>::from_promise(*this)};
    }

    std::suspend_always initial_suspend() const noexcept { return {}; }

    std::suspend_always final_suspend() const noexcept { return {}; }

    void return_void() const noexcept {}

    void unhandled_exception() const noexcept { std::terminate(); }
  };

  std::coroutine_handle<promise_type> h;
};

Root start_root(Task<void> task) {
  co_await task;
}

}  // namespace

void Loop::run(Task<void> root_task) {
  Impl& impl = *impl_;
  Root root = start_root(std::move(root_task));
  impl.ready.push_back(root.h);

  struct Completion {
    uint64_t user_data;
    int res;
    unsigned flags;
  };

  std::vector<Completion> batch;
  while (!root.h.done()) {
    // Only what is ready now: a coroutine that makes itself ready again must not starve the ring.
    for (size_t n = impl.ready.size(); n > 0 && !root.h.done(); --n) {
      auto h = impl.ready.front();
      impl.ready.pop_front();
      h.resume();
    }
    for (size_t n = impl.posted.size(); n > 0; --n) {
      auto fn = std::move(impl.posted.front());
      impl.posted.pop_front();
      fn();
    }
    if (root.h.done()) break;
    impl.expire();

    const bool busy = !impl.ready.empty() || !impl.posted.empty();
    io_uring_cqe* cqe = nullptr;
    if (busy) {
      io_uring_submit_and_get_events(&impl.ring);
    } else if (!impl.heap.empty()) {
      const auto left = std::max(impl.heap[0]->deadline - Clock::now(), Clock::duration::zero());
      const auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(left).count();
      __kernel_timespec ts{ns / 1'000'000'000, ns % 1'000'000'000};
      io_uring_submit_and_wait_timeout(&impl.ring, &cqe, 1, &ts, nullptr);
    } else {
      io_uring_submit_and_wait(&impl.ring, 1);
    }

    // Completions are copied out first: what resumes may submit, and so touch the ring.
    batch.clear();
    unsigned head = 0, seen = 0;
    io_uring_for_each_cqe(&impl.ring, head, cqe) {
      ++seen;
      batch.push_back({cqe->user_data, cqe->res, cqe->flags});
    }
    io_uring_cq_advance(&impl.ring, seen);

    for (const Completion& c : batch) {
      const bool last = (c.flags & IORING_CQE_F_MORE) == 0;
      if (last) --impl.in_flight;
      void* target = reinterpret_cast<void*>(c.user_data & ~kTagMask);
      switch (c.user_data & kTagMask) {
        case kTagOp: {
          Op* op = static_cast<Op*>(target);
          const bool abandoned = op->phase_ == Op::Phase::kCancelling;
          op->phase_ = Op::Phase::kDone;
          op->disarm();
          // A completion that came first is kept: no byte that was read may be lost.
          op->result = abandoned && (c.res == -ECANCELED || c.res == -EINTR) ? op->why_ : c.res;
          impl.ready.push_back(op->waiter);
          break;
        }
        case kTagWatch: {
          auto* state = static_cast<Watch::State*>(target);
          state->armed = !last;
          if (!state->closed && c.res > 0) state->notify(static_cast<unsigned>(c.res));
          if (!state->armed) {
            if (state->closed) {
              delete state;
            } else if (c.res > 0 || c.res == -ECANCELED || c.res == -EAGAIN) {
              // KERNEL: a multishot poll may end by itself (overflow of the completion queue).
              state->armed = true;
              arm_watch(impl.sqe(), state->fd, state->events, c.user_data);
              ++impl.in_flight;
            } else {
              state->notify(POLLERR);
              if (state->closed) delete state;
            }
          }
          break;
        }
        default:
          break;
      }
    }
  }
  root.h.destroy();
}

Watch Loop::watch(FdRef fd, unsigned events, std::function<void(unsigned)> callback) {
  auto* state = new Watch::State{this, fd.fd, events, std::move(callback)};
  arm_watch(impl_->sqe(), fd.fd, events, reinterpret_cast<uint64_t>(state) | kTagWatch);
  ++impl_->in_flight;
  return Watch(state);
}

void Watch::reset() {
  State* state = std::exchange(state_, nullptr);
  if (state == nullptr) return;
  state->closed = true;
  if (!state->armed) {
    if (!state->in_callback) delete state;
    return;
  }
  auto& impl = *state->loop->impl_;
  io_uring_sqe* s = impl.sqe();
  io_uring_prep_cancel64(s, reinterpret_cast<uint64_t>(state) | kTagWatch, 0);
  s->user_data = kTagIgnore;
  ++impl.in_flight;
}

void Loop::offload_raw(std::function<void()> job, std::coroutine_handle<> h) {
  Impl& impl = *impl_;
  {
    std::lock_guard lock(impl.mutex);
    impl.jobs.emplace_back(std::move(job), h);
    if (impl.idle_threads < impl.jobs.size() && impl.threads.size() < impl.max_threads)
      impl.threads.emplace_back([&impl] { impl.pool_thread(); });
  }
  impl.work.notify_one();
}

namespace {

Op::Sqe rw(uint8_t opcode, int fd, const void* addr, size_t len, uint64_t off) {
  Op::Sqe s;
  s.opcode = opcode;
  s.fd = fd;
  s.addr = reinterpret_cast<uint64_t>(addr);
  s.len = static_cast<uint32_t>(std::min<size_t>(len, 1u << 30));
  s.off = off;
  return s;
}

}  // namespace

Op Loop::read(FdRef fd, std::span<std::byte> into, uint64_t off, Deadline d, Stop* s) {
  return Op(*this, rw(IORING_OP_READ, fd.fd, into.data(), into.size(), off), d, s);
}

Op Loop::write(FdRef fd, std::span<const std::byte> from, uint64_t off, Deadline d, Stop* s) {
  return Op(*this, rw(IORING_OP_WRITE, fd.fd, from.data(), from.size(), off), d, s);
}

Op Loop::recv(FdRef fd, std::span<std::byte> into, Deadline d, Stop* s) {
  return Op(*this, rw(IORING_OP_RECV, fd.fd, into.data(), into.size(), 0), d, s);
}

Op Loop::send(FdRef fd, std::span<const std::byte> from, Deadline d, Stop* s) {
  auto sqe = rw(IORING_OP_SEND, fd.fd, from.data(), from.size(), 0);
  sqe.flags = MSG_NOSIGNAL;
  return Op(*this, sqe, d, s);
}

Op Loop::recvmsg(FdRef fd, msghdr* msg, Deadline d, Stop* s) {
  auto sqe = rw(IORING_OP_RECVMSG, fd.fd, msg, 1, 0);
  sqe.flags = MSG_CMSG_CLOEXEC;
  return Op(*this, sqe, d, s);
}

Op Loop::sendmsg(FdRef fd, const msghdr* msg, Deadline d, Stop* s) {
  auto sqe = rw(IORING_OP_SENDMSG, fd.fd, msg, 1, 0);
  sqe.flags = MSG_NOSIGNAL;
  return Op(*this, sqe, d, s);
}

Op Loop::accept(FdRef fd, Deadline d, Stop* s) {
  auto sqe = rw(IORING_OP_ACCEPT, fd.fd, nullptr, 0, 0);
  sqe.flags = SOCK_CLOEXEC;
  return Op(*this, sqe, d, s);
}

Op Loop::connect(FdRef fd, const sockaddr* addr, socklen_t len, Deadline d, Stop* s) {
  return Op(*this, rw(IORING_OP_CONNECT, fd.fd, addr, 0, len), d, s);
}

Op Loop::poll(FdRef fd, unsigned events, Deadline d, Stop* s) {
  auto sqe = rw(IORING_OP_POLL_ADD, fd.fd, nullptr, 0, 0);
  sqe.flags = events;
  return Op(*this, sqe, d, s);
}

Op Loop::splice(
    FdRef from, uint64_t off_in, FdRef to, uint64_t off_out, uint32_t len, Deadline d, Stop* s) {
  auto sqe = rw(IORING_OP_SPLICE, to.fd, nullptr, len, off_out);
  sqe.addr = off_in;
  sqe.splice_fd = from.fd;
  return Op(*this, sqe, d, s);
}

// Runs one task of a group and frees its own frame at the end.
struct TaskGroup::Driver {
  struct promise_type {
    Driver get_return_object() {
      return Driver{std::coroutine_handle<promise_type>::from_promise(*this)};
    }

    std::suspend_always initial_suspend() const noexcept { return {}; }

    std::suspend_never final_suspend() const noexcept { return {}; }

    void return_void() const noexcept {}

    void unhandled_exception() const noexcept { std::terminate(); }
  };

  std::coroutine_handle<promise_type> h;
};

TaskGroup::Driver TaskGroup::drive(TaskGroup& group, Task<void> task) {
  {
    // The task's frame must be gone before join() lets the group's owner go on.
    Task<void> own = std::move(task);
    co_await own;
  }
  if (--group.running_ == 0) group.empty_.set();
}

void TaskGroup::spawn(Task<void> task) {
  ++running_;
  empty_.reset();
  loop_.ready(drive(*this, std::move(task)).h);
}

Task<void> TaskGroup::join() {
  while (running_ > 0) {
    auto waited = co_await empty_.wait(kNever);
    (void)waited;
  }
}

}  // namespace zvm
