// How many sessions run at once. A slot is a number below the maximum; it also names the jail's
// uid, so a slot is free only when its last jail is gone. Loop thread only.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace zvm::host {

class Admission {
 public:
  explicit Admission(size_t slots);
  Admission(const Admission&) = delete;
  Admission& operator=(const Admission&) = delete;

  // Holds one slot until it is destroyed. The Admission outlives it.
  class Slot {
   public:
    Slot(Slot&& o) noexcept : owner_(std::exchange(o.owner_, nullptr)), index_(o.index_) {}

    Slot& operator=(Slot&&) = delete;
    ~Slot();

    uint32_t index() const { return index_; }

   private:
    friend class Admission;

    Slot(Admission* owner, uint32_t index) : owner_(owner), index_(index) {}

    Admission* owner_;
    uint32_t index_;
  };

  // nullopt: all are taken.
  std::optional<Slot> take();

  size_t in_use() const { return total_ - free_.size(); }

 private:
  size_t total_;
  std::vector<uint32_t> free_;  // the slot freed longest ago is taken first
};

}  // namespace zvm::host
