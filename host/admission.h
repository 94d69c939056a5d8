// How many sessions run at once. A slot is held until the session's last process is gone, so no
// more jails than slots exist. Loop thread only.
#pragma once
#include <cstddef>
#include <optional>
#include <utility>

namespace zvm::host {

class Admission {
 public:
  explicit Admission(size_t slots) : slots_(slots) {}

  Admission(const Admission&) = delete;
  Admission& operator=(const Admission&) = delete;

  // Held until it is destroyed. The Admission outlives it.
  class [[nodiscard]] Slot {
   public:
    Slot(Slot&& o) noexcept : owner_(std::exchange(o.owner_, nullptr)) {}

    Slot& operator=(Slot&&) = delete;

    ~Slot() {
      if (owner_ != nullptr) --owner_->in_use_;
    }

   private:
    friend class Admission;

    explicit Slot(Admission* owner) : owner_(owner) { ++owner_->in_use_; }

    Admission* owner_;
  };

  // nullopt: all are taken.
  std::optional<Slot> take() {
    if (in_use_ == slots_) return std::nullopt;
    return Slot(this);
  }

  size_t in_use() const { return in_use_; }

 private:
  const size_t slots_;
  size_t in_use_ = 0;
};

}  // namespace zvm::host
