#include "fuse_channels/writable_node.h"

#include <sys/uio.h>

namespace zvm::fuse_channels {

void WritableNode::open(RequestPtr request, int flags) {
  if ((flags & O_TRUNC) != 0) {
    context_.tasks.spawn(truncate_and_open(std::move(request)));
  } else {
    answer_open(std::move(request));
  }
}

Task<void> WritableNode::truncate_and_open(RequestPtr request) {
  const int file = file_.get();
  auto cut = [file] { return ::ftruncate(file, 0) == 0 ? 0 : errno; };
  const int failed = co_await context_.loop.offload(cut);
  grown();
  if (failed != 0) {
    request->error(failed);
  } else {
    answer_open(std::move(request));
  }
}

void WritableNode::answer_open(RequestPtr request) {
  fuse_file_info info{};
  info.keep_cache = 1;  // whatever changes the file comes through this kernel's page cache
  if (terms_.is_copy) {
    backing_.answer_open(std::move(request), info);
  } else {
    request->opened(info);
  }
}

void WritableNode::release() {
  if (terms_.is_copy) backing_.release();
}

void WritableNode::read(RequestPtr request, uint64_t off, size_t size) {
  const uint64_t end = this->size();
  const size_t want = off < end ? std::min<uint64_t>({size, end - off, kMaxIo}) : 0;
  const ServedRead read{file_.get(), off, want, false};
  serve_read(context_, state_, std::move(request), read);
}

bool WritableNode::within_limit(uint64_t end) {
  if (end <= terms_.max_bytes) return true;
  state_.hit_limit();
  return false;
}

void WritableNode::write(RequestPtr request, std::span<const std::byte> data, uint64_t off) {
  if (off >= terms_.max_bytes && !data.empty()) {
    state_.hit_limit();
    request->error(EDQUOT);
    return;
  }
  const size_t room = std::min<uint64_t>(data.size(), terms_.max_bytes - off);
  if (room < data.size()) state_.hit_limit();
  std::vector<std::byte> copy(data.begin(), data.begin() + static_cast<ptrdiff_t>(room));
  context_.hold_write(copy.size());
  context_.tasks.spawn(write_later(std::move(request), std::move(copy), off));
}

Task<void> WritableNode::write_later(
    RequestPtr request, std::vector<std::byte> data, uint64_t off) {
  // Never interrupted: the kernel keeps writes of a file in order by waiting for each.
  const FdRef file(file_);
  const auto from = std::span<const std::byte>(data);
  const int put = co_await write_fully(context_.loop, file, from, off);
  context_.drop_write(data.size());
  if (put < 0) {
    request->error(-put);
    co_return;
  }
  state_.count_write(static_cast<size_t>(put));
  grown();
  request->written(static_cast<size_t>(put));
}

void WritableNode::grown() {
  if (terms_.is_copy) return;
  state_.usage.size = size();
  state_.changed.pulse();
}

void WritableNode::setattr(RequestPtr request, const struct stat& attr, int valid) {
  const bool resize = (valid & FUSE_SET_ATTR_SIZE) != 0;
  if (resize && !within_limit(static_cast<uint64_t>(attr.st_size))) {
    request->error(EDQUOT);
    return;
  }
  if ((valid & FUSE_SET_ATTR_MODE) != 0) mode_ = attr.st_mode & 0777;
  constexpr int kByFile = FUSE_SET_ATTR_SIZE | FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME;
  if ((valid & kByFile) != 0) {
    context_.tasks.spawn(change(std::move(request), attr, valid));
  } else {
    request->attr(this->attr(), attr_valid());
  }
}

Task<void> WritableNode::change(RequestPtr request, struct stat wanted, int valid) {
  const int file = file_.get();
  auto apply = [file, &wanted, valid] {
    if ((valid & FUSE_SET_ATTR_SIZE) != 0 && ::ftruncate(file, wanted.st_size) != 0) return errno;
    const auto pick = [&](int set, int now, timespec value) {
      if ((valid & set) == 0) value.tv_nsec = UTIME_OMIT;
      if ((valid & now) != 0) value.tv_nsec = UTIME_NOW;
      return value;
    };
    const timespec times[2] = {
        pick(FUSE_SET_ATTR_ATIME, FUSE_SET_ATTR_ATIME_NOW, wanted.st_atim),
        pick(FUSE_SET_ATTR_MTIME, FUSE_SET_ATTR_MTIME_NOW, wanted.st_mtim),
    };
    return ::futimens(file, times) == 0 ? 0 : errno;
  };
  const int failed = co_await context_.loop.offload(apply);
  grown();
  if (failed != 0) {
    request->error(failed);
  } else {
    request->attr(this->attr(), attr_valid());
  }
}

void WritableNode::fallocate(RequestPtr request, int mode, uint64_t off, uint64_t length) {
  if (mode != 0) {
    request->error(EOPNOTSUPP);
  } else if (off + length < off || !within_limit(off + length)) {
    request->error(EDQUOT);
  } else {
    context_.tasks.spawn(allocate(std::move(request), off, length));
  }
}

Task<void> WritableNode::allocate(RequestPtr request, uint64_t off, uint64_t length) {
  const int file = file_.get();
  auto reserve = [file, off, length] {
    const int rc = ::fallocate(file, 0, static_cast<off_t>(off), static_cast<off_t>(length));
    return rc == 0 ? 0 : errno;
  };
  const int failed = co_await context_.loop.offload(reserve);
  grown();
  if (failed != 0) {
    request->error(failed);
  } else {
    request->done();
  }
}

void WritableNode::seek(RequestPtr request, uint64_t off, int whence) {
  if (whence != SEEK_DATA && whence != SEEK_HOLE) {
    request->error(EINVAL);
    return;
  }
  context_.tasks.spawn(find(std::move(request), off, whence));
}

Task<void> WritableNode::find(RequestPtr request, uint64_t off, int whence) {
  const int file = file_.get();
  // The position of the shared description is nobody's: every read and write names its place.
  auto look = [file, off, whence] {
    const off_t at = ::lseek(file, static_cast<off_t>(off), whence);
    return at >= 0 ? at : static_cast<off_t>(-errno);
  };
  const off_t at = co_await context_.loop.offload(look);
  if (at < 0) {
    request->error(static_cast<int>(-at));
  } else {
    request->offset(at);
  }
}

Task<void> WritableNode::finish() {
  co_await backing_.finish();
}

uint64_t WritableNode::size() const {
  struct stat file {};

  return ::fstat(file_.get(), &file) == 0 ? static_cast<uint64_t>(file.st_size) : 0;
}

void WritableNode::describe(struct stat& attr) const {
  struct stat file {};

  if (::fstat(file_.get(), &file) == 0) {
    attr.st_size = file.st_size;
    attr.st_blocks = file.st_blocks;
    attr.st_atim = file.st_atim;
    attr.st_mtim = file.st_mtim;
    attr.st_ctim = file.st_ctim;
  }
  attr.st_mode = S_IFREG | mode_;
}

}  // namespace zvm::fuse_channels
