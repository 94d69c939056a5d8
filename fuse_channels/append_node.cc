#include "fuse_channels/append_node.h"

#include <sys/uio.h>

namespace zvm::fuse_channels {

namespace {

void open_for_append(RequestPtr request, int flags) {
  // O_TRUNC (`> /dev/stdout` in a shell) is taken and does nothing: what was written is sent
  // already.
  if ((flags & O_ACCMODE) != O_WRONLY) {
    request->error(EACCES);
    return;
  }
  fuse_file_info info{};
  // PERF: no page cache in between: one write of the program is one WRITE, up to kMaxIo.
  info.direct_io = 1;
  request->opened(info);
}

// Mode and times may be set to please `cp -p` and the like; the size only to what it is.
void setattr_for_append(Node& node, RequestPtr request, const struct stat& wanted, int valid) {
  const struct stat now = node.attr();
  if ((valid & FUSE_SET_ATTR_SIZE) != 0 && wanted.st_size != now.st_size) {
    request->error(EPERM);  // as of a file with the append-only attribute
    return;
  }
  request->attr(now, node.attr_valid());
}

}  // namespace

void AppendNode::open(RequestPtr request, int flags) {
  open_for_append(std::move(request), flags);
}

void AppendNode::write(RequestPtr request, std::span<const std::byte> data, uint64_t off) {
  (void)off;
  std::vector<std::byte> copy(data.begin(), data.end());
  context_.hold_write(data.size());
  context_.tasks.spawn(append(std::move(request), std::move(copy)));
}

Task<void> AppendNode::append(RequestPtr request, std::vector<std::byte> data) {
  // Never interrupted: a write ends by itself, and one whose caller was told EINTR must not appear.
  const int turn = co_await turn_.acquire(nullptr);
  (void)turn;
  const uint64_t end = state_.usage.size;
  const size_t room = std::min<uint64_t>(data.size(), max_bytes_ - std::min(end, max_bytes_));
  int put = 0;
  if (room > 0) {
    const FdRef file(file_);
    const auto from = std::span<const std::byte>(data).first(room);
    put = co_await write_fully(context_.loop, file, from, end);
  }
  if (put > 0) state_.usage.size += static_cast<uint64_t>(put);
  turn_.release();
  context_.drop_write(data.size());
  if (put < 0) {
    request->error(-put);
  } else {
    appended(std::move(request), data.size(), static_cast<size_t>(put));
  }
}

void AppendNode::appended(RequestPtr request, size_t wanted, size_t put) {
  state_.count_write(put);
  if (put > 0 || wanted == 0) {
    request->written(put);
  } else {
    request->error(EDQUOT);
  }
  if (put > 0) state_.changed.pulse();
  if (put < wanted && state_.usage.size >= max_bytes_) state_.hit_limit();
}

void AppendNode::setattr(RequestPtr request, const struct stat& attr, int valid) {
  if ((valid & FUSE_SET_ATTR_MODE) != 0) mode_ = attr.st_mode & 0777;
  setattr_for_append(*this, std::move(request), attr, valid);
}

void AppendNode::describe(struct stat& attr) const {
  struct stat file {};

  if (::fstat(file_.get(), &file) == 0) {
    attr.st_atim = file.st_atim;
    attr.st_mtim = file.st_mtim;
    attr.st_ctim = file.st_ctim;
  }
  attr.st_mode = S_IFREG | mode_;
  attr.st_size = static_cast<off_t>(state_.usage.size);
  attr.st_blocks = static_cast<blkcnt_t>((state_.usage.size + 511) / 512);
}

void TailNode::open(RequestPtr request, int flags) {
  open_for_append(std::move(request), flags);
}

void TailNode::write(RequestPtr request, std::span<const std::byte> data, uint64_t off) {
  (void)off;
  const auto last = data.last(std::min(data.size(), kKept));
  if (kept_.size() + last.size() > 2 * kKept) kept_.erase(0, kept_.size() - (kKept - last.size()));
  kept_.append(reinterpret_cast<const char*>(last.data()), last.size());
  state_.usage.size += data.size();
  state_.count_write(data.size());
  request->written(data.size());
  state_.changed.pulse();
}

std::string TailNode::tail() const {
  return kept_.substr(kept_.size() - std::min(kept_.size(), kKept));
}

void TailNode::setattr(RequestPtr request, const struct stat& attr, int valid) {
  setattr_for_append(*this, std::move(request), attr, valid);
}

void TailNode::describe(struct stat& attr) const {
  attr.st_mode = S_IFREG | 0600;
  attr.st_size = static_cast<off_t>(state_.usage.size);
}

}  // namespace zvm::fuse_channels
