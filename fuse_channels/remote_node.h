// An object that is not on this host: filled by ranges as it is read, into a sparse unlinked file.
//
// The unit is a block of 64 KiB, present or not. A missing block is fetched with those after it: as
// far as the reader asked, and further when it reads in sequence, where the window grows from one
// block to a mebibyte. Readers of one block share its fetch. A failed fetch is EIO to those who
// wait for it; the next read tries again.
#pragma once
#include <list>
#include <memory>
#include <vector>

#include "fuse_channels/source_node.h"

namespace zvm::fuse_channels {

class RemoteNode final : public SourceNode {
 public:
  static constexpr uint64_t kBlock = uint64_t{64} << 10;
  static constexpr uint64_t kMaxFetch = kMaxIo;
  static constexpr unsigned kMaxFetches = 4;  // at a time

  RemoteNode(Context& context, uint64_t ino, ChannelState& state, UniqueFd cache, uint64_t size,
      int64_t mtime_ns, RemoteSource& remote);

  void read(RequestPtr request, uint64_t off, size_t size) override;

 private:
  struct Fetch {
    Fetch(Loop& loop, uint64_t first_block, uint64_t block_count)
        : first(first_block), count(block_count), ended(loop) {}

    uint64_t first, count;
    bool failed = false;
    Event ended;
  };

  void open_for_reading(RequestPtr request) override;
  Task<int> gather() override;

  FdRef content() const override { return cache_; }

  Task<void> read_later(RequestPtr request, ServedRead read, uint64_t window);
  // Waits until the blocks of [off, off + size) are present: 0, -EIO, or -ECANCELED when stopped.
  Task<int> have(uint64_t off, uint64_t size, uint64_t window, Stop* stop);
  bool present(uint64_t off, uint64_t size) const;
  std::shared_ptr<Fetch> fetch_of(uint64_t block) const;
  // Starts to fetch what is missing from block on, before block `end`. Needs a free slot.
  std::shared_ptr<Fetch> start(uint64_t block, uint64_t end);
  void read_ahead(uint64_t from, uint64_t window);
  Task<void> run(std::shared_ptr<Fetch> fetch);
  Task<bool> fill(uint64_t off, uint64_t size);
  uint64_t window_for(uint64_t off, uint64_t size);

  UniqueFd cache_;
  RemoteSource& remote_;
  std::vector<bool> present_;  // by block
  std::list<std::shared_ptr<Fetch>> fetches_;
  Slots slots_;
  uint64_t expected_ = 0;  // where a reader in sequence goes on
  uint64_t window_ = 0;    // bytes to fetch ahead of it
};

}  // namespace zvm::fuse_channels
