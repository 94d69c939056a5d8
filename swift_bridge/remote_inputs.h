// Ranges of the objects that a node reads from afar, fetched from Swift with the client's
// credentials and only of the pinned version.
#pragma once
#include <chrono>

#include "swift_bridge/node_session.h"
#include "swift_bridge/swift/resolve.h"

namespace zvm::bridge {

class RemoteInputs : public RangeSource {
 public:
  // All outlive it.
  RemoteInputs(SwiftClient& swift, const Resolved& resolved, const Credentials& credentials,
      std::chrono::milliseconds timeout)
      : swift_(swift), resolved_(resolved), credentials_(credentials), timeout_(timeout) {}

  Task<Result<std::string>> read(
      size_t channel, uint64_t offset, uint32_t length, Stop* stop) override;

 private:
  SwiftClient& swift_;
  const Resolved& resolved_;
  const Credentials& credentials_;
  std::chrono::milliseconds timeout_;
};

}  // namespace zvm::bridge
