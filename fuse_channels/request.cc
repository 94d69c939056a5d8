#include "fuse_channels/request.h"

#include "fuse_channels/passthrough.h"

namespace zvm::fuse_channels {

void RequestList::interrupt(uint64_t unique) {
  for (Request* r = head_; r != nullptr; r = r->next_) {
    if (r->unique_ == unique) r->stop.stop();
  }
}

void RequestList::interrupt_all() {
  // Stop never resumes a coroutine, so that the list does not change meanwhile.
  for (Request* r = head_; r != nullptr; r = r->next_) r->stop.stop();
}

Request::Request(RequestList& list, fuse_req_t raw, uint64_t unique)
    : list_(list), next_(list.head_), raw_(raw), unique_(unique) {
  if (next_ != nullptr) next_->prev_ = this;
  list.head_ = this;
}

Request::~Request() {
  if (raw_ != nullptr) error(EIO);
  (prev_ != nullptr ? prev_->next_ : list_.head_) = next_;
  if (next_ != nullptr) next_->prev_ = prev_;
}

bool Request::sent(int result) {
  raw_ = nullptr;
  return result == 0;
}

bool Request::error(int sys_errno) {
  return sent(fuse_reply_err(raw_, sys_errno));
}

bool Request::done() {
  return sent(fuse_reply_err(raw_, 0));
}

bool Request::entry(const fuse_entry_param& entry) {
  return sent(fuse_reply_entry(raw_, &entry));
}

bool Request::attr(const struct stat& attr, double valid_seconds) {
  return sent(fuse_reply_attr(raw_, &attr, valid_seconds));
}

bool Request::opened(const fuse_file_info& info) {
  return sent(fuse_reply_open(raw_, &info));
}

bool Request::opened_passthrough(int32_t backing_id) {
  return sent(reply_open_passthrough(raw_, backing_id));
}

bool Request::data(std::span<const std::byte> bytes) {
  return sent(fuse_reply_buf(raw_, reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

bool Request::written(size_t bytes) {
  return sent(fuse_reply_write(raw_, bytes));
}

bool Request::offset(off_t at) {
  return sent(fuse_reply_lseek(raw_, at));
}

bool Request::xattr_size(size_t bytes) {
  return sent(fuse_reply_xattr(raw_, bytes));
}

bool Request::statfs(const struct statvfs& values) {
  return sent(fuse_reply_statfs(raw_, &values));
}

}  // namespace zvm::fuse_channels
