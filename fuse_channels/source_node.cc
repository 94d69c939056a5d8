#include "fuse_channels/source_node.h"

namespace zvm::fuse_channels {

void SourceNode::open(RequestPtr request, int flags) {
  if (copy_) {
    request->error(ESTALE);
  } else if (wants_write(flags)) {
    context_.tasks.spawn(copy_and_send_there(std::move(request), (flags & O_TRUNC) != 0));
  } else {
    open_for_reading(std::move(request));
  }
}

void SourceNode::setattr(RequestPtr request, const struct stat& attr, int valid) {
  if (copy_) {
    request->error(ESTALE);
  } else if ((valid & FUSE_SET_ATTR_SIZE) != 0) {
    context_.tasks.spawn(copy_and_send_there(std::move(request), attr.st_size == 0));
  } else {
    request->error(EPERM);
  }
}

// The copy is made by a task of its own, which goes on when the one who asked is interrupted:
// another may be waiting for it too.
Task<void> SourceNode::copy_and_send_there(RequestPtr request, bool empty) {
  if (!copy_ && !copying_) {
    copying_ = true;
    context_.tasks.spawn(make_copy(empty));
  }
  if (!copy_) {
    const int waited = co_await copied_.wait(kNever, &request->stop);
    if (waited != 0) {
      request->error(EINTR);
      co_return;
    }
  }
  request->error(copy_ ? ESTALE : copy_error_);
}

Task<void> SourceNode::make_copy(bool empty) {
  copy_error_ = co_await copy_content(empty);
  copying_ = false;
  copied_.pulse();
}

Task<int> SourceNode::copy_content(bool empty) {
  const Options& options = context_.options;
  const bool may_clone = options.reflink && options.clone_dir.fd >= 0;
  if (!empty) {
    const int gathered = co_await gather();
    if (gathered != 0) co_return -gathered;
  }
  CopyOrder order;
  order.source = content();
  order.size = size_;
  order.empty = empty;
  if (may_clone) order.clone_dir = options.clone_dir;
  order.spool_dir = options.spool_dir.fd >= 0 ? options.spool_dir : options.clone_dir;
  order.max_copy = options.max_copy;
  order.abort = &context_.abort;
  auto work = [&order] { return copy_blocking(order); };
  auto file = co_await context_.loop.offload(work);
  if (!file) co_return file.error().sys_errno() != 0 ? file.error().sys_errno() : EIO;
  const WritableNode::Terms terms{std::max(size_, options.max_copy), true};
  copy_ = std::make_unique<WritableNode>(context_, ino(), state_, *std::move(file), terms);
  co_return 0;
}

void SourceNode::describe(struct stat& attr) const {
  // Writable as it looks: whoever opens it for writing gets the copy.
  attr.st_mode = S_IFREG | 0600;
  attr.st_size = static_cast<off_t>(size_);
  attr.st_blocks = static_cast<blkcnt_t>((size_ + 511) / 512);
  constexpr int64_t kSecond = 1'000'000'000;
  attr.st_mtim.tv_sec = mtime_ns_ / kSecond - (mtime_ns_ % kSecond < 0 ? 1 : 0);
  attr.st_mtim.tv_nsec = mtime_ns_ - attr.st_mtim.tv_sec * kSecond;
  attr.st_atim = attr.st_ctim = attr.st_mtim;
}

Task<void> SourceNode::finish() {
  if (copy_) co_await copy_->finish();
}

void ObjectNode::open_for_reading(RequestPtr request) {
  fuse_file_info info{};
  info.keep_cache = 1;
  backing_.answer_open(std::move(request), info);
}

void ObjectNode::read(RequestPtr request, uint64_t off, size_t size) {
  const size_t want =
      off < this->size() ? std::min<uint64_t>({size, this->size() - off, kMaxIo}) : 0;
  const ServedRead read{file_.get(), off, want, true};
  serve_read(context_, state_, std::move(request), read);
}

Task<int> ObjectNode::gather() {
  co_return 0;
}

Task<void> ObjectNode::finish() {
  co_await backing_.finish();
  co_await SourceNode::finish();
}

}  // namespace zvm::fuse_channels
