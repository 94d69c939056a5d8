// A Stop of one's own that is stopped with another one too.
#pragma once
#include "base/async/loop.h"

namespace zvm::bridge {

// Lives beside what it stops. The owner awaits release() before it goes.
class LinkedStop {
 public:
  // outer may be null; it must outlive release().
  LinkedStop(Loop& loop, Stop* outer) : released_(loop), tasks_(loop) {
    if (outer != nullptr) tasks_.spawn(follow(this, outer));
  }

  Stop* get() { return &own_; }

  void stop() { own_.stop(); }

  bool stopped() const { return own_.stopped(); }

  Task<void> release() {
    released_.set();
    co_await tasks_.join();
  }

 private:
  static Task<void> follow(LinkedStop* self, Stop* outer) {
    const int rc = co_await self->released_.wait(kNever, outer);
    if (rc == -ECANCELED) self->own_.stop();
  }

  Stop own_;
  Event released_;
  TaskGroup tasks_;
};

}  // namespace zvm::bridge
