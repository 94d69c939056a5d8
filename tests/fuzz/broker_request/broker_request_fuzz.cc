// The broker's reading of requests: first byte = number of descriptors, the rest is the packet.
#include <cstdint>
#include <cstdlib>
#include <span>

#include "loader/check_request.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace zvm::loader;
  if (size == 0) return 0;
  const auto checked = check_request(std::as_bytes(std::span(data + 1, size - 1)), data[0]);
  if (checked.refusal.error != 0) return 0;
  // What was accepted keeps the promises that the broker builds on.
  if (const auto* start = std::get_if<wire::StartRequest>(&checked.request)) {
    const bool program = (start->flags & wire::kProgramInFd) != 0;
    if (data[0] != (program ? 4 : 3) || start->session == 0 ||
        start->image[wire::kMaxImageName - 1] != 0)
      std::abort();
    if (start->limits.processes == 0 || start->limits.cpu_seconds == 0) std::abort();
  }
  return 0;
}
