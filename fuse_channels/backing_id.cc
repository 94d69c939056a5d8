#include "fuse_channels/backing_id.h"

namespace zvm::fuse_channels {

void BackingId::answer_open(RequestPtr request, const fuse_file_info& served) {
  ++holds_;
  if (id_ == 0 && context_.passthrough && !refused_) {
    context_.tasks.spawn(register_and_answer(std::move(request), served));
  } else {
    answer(std::move(request), served);
  }
}

void BackingId::answer(RequestPtr request, const fuse_file_info& served) {
  if (id_ != 0) ever_used_ = true;
  const bool sent = id_ != 0 ? request->opened_passthrough(id_) : request->opened(served);
  if (!sent) drop();
}

Task<void> BackingId::register_and_answer(RequestPtr request, fuse_file_info served) {
  while (id_ == 0 && !refused_) {
    if (registering_) {
      const int waited = co_await changed_.wait(kNever, &request->stop);
      if (waited != 0) break;
      continue;
    }
    registering_ = true;
    const FdRef device(context_.device);
    const FdRef file(file_);
    auto id = co_await context_.backing->open(device, file);
    registering_ = false;
    if (id) {
      id_ = *id;
    } else {
      refused_ = true;
    }
    changed_.pulse();
  }
  if (request->stop.stopped()) {
    request->error(EINTR);
    drop();
  } else {
    answer(std::move(request), served);
  }
}

void BackingId::release() {
  // A RELEASE without an OPEN is not sent by the kernel; a forged one must not underflow.
  if (holds_ > 0) drop();
}

void BackingId::drop() {
  if (--holds_ > 0 || id_ == 0 || context_.closing) return;
  context_.tasks.spawn(give_back(std::exchange(id_, 0)));
}

Task<void> BackingId::give_back(int32_t id) {
  const FdRef device(context_.device);
  // Nothing is to be done about an error: the kernel drops all ids with the connection.
  auto closed = co_await context_.backing->close(device, id);
  (void)closed;
}

Task<void> BackingId::finish() {
  if (id_ != 0) co_await give_back(std::exchange(id_, 0));
}

}  // namespace zvm::fuse_channels
