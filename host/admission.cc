#include "host/admission.h"

namespace zvm::host {

Admission::Admission(size_t slots) : total_(slots) {
  for (size_t i = 0; i < slots; ++i) free_.push_back(static_cast<uint32_t>(i));
}

Admission::Slot::~Slot() {
  if (owner_ != nullptr) owner_->free_.push_back(index_);
}

std::optional<Admission::Slot> Admission::take() {
  if (free_.empty()) return std::nullopt;
  const uint32_t index = free_.front();
  free_.erase(free_.begin());
  return Slot(this, index);
}

}  // namespace zvm::host
