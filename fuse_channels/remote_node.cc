#include "fuse_channels/remote_node.h"

#include <algorithm>

namespace zvm::fuse_channels {

RemoteNode::RemoteNode(Context& context, uint64_t ino, ChannelState& state, UniqueFd cache,
    uint64_t size, int64_t mtime_ns, RemoteSource& remote)
    : SourceNode(context, ino, state, size, mtime_ns),
      cache_(std::move(cache)),
      remote_(remote),
      present_((size + kBlock - 1) / kBlock),
      slots_(context.loop, kMaxFetches) {}

void RemoteNode::open_for_reading(RequestPtr request) {
  fuse_file_info info{};
  info.keep_cache = 1;
  request->opened(info);
}

void RemoteNode::read(RequestPtr request, uint64_t off, size_t size) {
  const size_t want =
      off < this->size() ? std::min<uint64_t>({size, this->size() - off, kMaxIo}) : 0;
  const ServedRead read{cache_.get(), off, want, true};
  if (want == 0) {
    serve_read(context_, state_, std::move(request), read);
    return;
  }
  const uint64_t window = window_for(off, want);
  if (present(off, want)) {
    read_ahead(off + want, window);
    serve_read(context_, state_, std::move(request), read);
  } else {
    context_.tasks.spawn(read_later(std::move(request), read, window));
  }
}

Task<void> RemoteNode::read_later(RequestPtr request, ServedRead read, uint64_t window) {
  const int got = co_await have(read.off, read.want, window, &request->stop);
  if (got == 0) {
    serve_read(context_, state_, std::move(request), read);
  } else {
    request->error(got == -ECANCELED ? EINTR : EIO);
  }
}

// The kernel's own read-ahead arrives a little out of order: near is in sequence.
uint64_t RemoteNode::window_for(uint64_t off, uint64_t size) {
  const bool in_sequence = off + kMaxFetch >= expected_ && off <= expected_ + kMaxFetch;
  if (in_sequence) {
    window_ = std::min(std::max(window_ * 2, kBlock), kMaxFetch);
    expected_ = std::max(expected_, off + size);
  } else {
    window_ = 0;
    expected_ = off + size;
  }
  return window_;
}

bool RemoteNode::present(uint64_t off, uint64_t size) const {
  for (uint64_t at = off / kBlock; at * kBlock < off + size; ++at) {
    if (!present_[at]) return false;
  }
  return true;
}

Task<int> RemoteNode::have(uint64_t off, uint64_t size, uint64_t window, Stop* stop) {
  const uint64_t end = (off + size + kBlock - 1) / kBlock;
  for (uint64_t block = off / kBlock; block < end;) {
    if (stop != nullptr && stop->stopped()) co_return -ECANCELED;
    if (context_.closing) co_return -ECANCELED;
    if (present_[block]) {
      ++block;
      continue;
    }
    auto fetch = fetch_of(block);
    if (!fetch) {
      const int slot = co_await slots_.acquire(stop);
      if (slot != 0) co_return slot;
      // Another reader may have started it, or ended it, while this one waited for its turn.
      if (present_[block] || fetch_of(block)) {
        slots_.release();
        continue;
      }
      const uint64_t wanted_end = std::max(end, (off + size + window + kBlock - 1) / kBlock);
      fetch = start(block, wanted_end);
      read_ahead((fetch->first + fetch->count) * kBlock, window);
    }
    const int waited = co_await fetch->ended.wait(kNever, stop);
    if (waited != 0) co_return waited;
    if (fetch->failed) co_return -EIO;
  }
  co_return 0;
}

std::shared_ptr<RemoteNode::Fetch> RemoteNode::fetch_of(uint64_t block) const {
  for (const auto& fetch : fetches_) {
    if (block >= fetch->first && block < fetch->first + fetch->count) return fetch;
  }
  return nullptr;
}

std::shared_ptr<RemoteNode::Fetch> RemoteNode::start(uint64_t block, uint64_t end) {
  end = std::min({end, block + kMaxFetch / kBlock, uint64_t{present_.size()}});
  uint64_t stop = block + 1;
  while (stop < end && !present_[stop] && !fetch_of(stop)) ++stop;
  auto fetch = std::make_shared<Fetch>(context_.loop, block, stop - block);
  fetches_.push_back(fetch);
  context_.tasks.spawn(run(fetch));
  return fetch;
}

// Starts to fetch the next window once less than half of one is present or on its way beyond
// `from`: so the pieces stay as large as the window. Never waits: a slot that is not free is needed
// more by a reader.
void RemoteNode::read_ahead(uint64_t from, uint64_t window) {
  if (window < 2 * kBlock || context_.closing) return;
  const uint64_t half = std::min<uint64_t>((from + window / 2) / kBlock, present_.size());
  uint64_t block = from / kBlock;
  while (block < half) {
    const auto fetch = fetch_of(block);
    if (!present_[block] && !fetch) break;
    block = fetch ? fetch->first + fetch->count : block + 1;
  }
  if (block < half && slots_.try_acquire()) start(block, block + window / kBlock);
}

Task<void> RemoteNode::run(std::shared_ptr<Fetch> fetch) {
  const uint64_t off = fetch->first * kBlock;
  const uint64_t bytes = std::min(fetch->count * kBlock, size() - off);
  const bool filled = co_await fill(off, bytes);
  for (uint64_t i = 0; filled && i < fetch->count; ++i) present_[fetch->first + i] = true;
  fetch->failed = !filled;
  fetches_.remove(fetch);
  slots_.release();
  fetch->ended.set();
}

Task<bool> RemoteNode::fill(uint64_t off, uint64_t size) {
  IoBuffer buffer;
  const auto bytes = buffer.first(size);
  auto fetched = co_await remote_.fetch(off, bytes);
  if (!fetched) co_return false;
  const FdRef cache(cache_);
  const int put = co_await write_fully(context_.loop, cache, bytes, off);
  co_return put == static_cast<int>(size);
}

Task<int> RemoteNode::gather() {
  if (size() > context_.options.max_copy) co_return -EFBIG;
  const int got = co_await have(0, size(), kMaxFetch, nullptr);
  co_return got == -ECANCELED ? -EINTR : got;
}

}  // namespace zvm::fuse_channels
