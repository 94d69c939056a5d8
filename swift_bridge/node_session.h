// One node of a job on the host that took it: program, start, outputs, remote inputs, report.
//
// Outputs are pulled: READ grants the host a window, DATA fills it. At most two windows of one
// output are held here, so a client that reads slowly slows the transfer, not the bridge.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/async/loop.h"
#include "host/protocol/description.h"
#include "swift_bridge/host_link.h"

namespace zvm::bridge {

// Bytes of the objects that a node reads from afar.
class RangeSource {
 public:
  virtual ~RangeSource() = default;
  // Exactly `length` bytes of the pinned version behind that channel, or an error whose words the
  // report will show.
  virtual Task<Result<std::string>> read(
      size_t channel, uint64_t offset, uint32_t length, Stop* stop) = 0;
};

class NodeSession {
 public:
  static constexpr size_t kMaxRangesAsked = 16;  // by one host at a time; more breaks the protocol
  static constexpr size_t kMaxRangesServed = 4;  // of these, asked of Swift at a time

  // ranges outlives the session. channels: of the description. window: bytes.
  NodeSession(Loop& loop, std::unique_ptr<HostLink> link, RangeSource& ranges, size_t channels,
      uint32_t window);
  ~NodeSession();  // close() has been awaited

  const protocol::HostIdentity& host() const { return link_->host(); }

  // Sends the program where the host has it not (null: none is needed), then START.
  Task<Status> start(const std::string* program, Stop* stop);
  // Asks for an output's first window, to have it here when the program ends.
  void read_ahead(uint16_t channel);
  // How the node ended. kDisconnected: the host is lost.
  Task<Result<protocol::NodeReport>> report(Deadline deadline, Stop* stop);
  // Bytes of an output from `offset` on, as many as there are; "" at its end. Reading on where the
  // last call ended is cheap, anything else starts anew.
  Task<Result<std::string>> read(uint16_t channel, uint64_t offset, Deadline deadline, Stop* stop);
  // Ends it, whatever it does: the host kills what runs.
  Task<void> close();

 private:
  struct Output {
    std::string bytes;      // [taken, received)
    uint64_t taken = 0;     // offset of the first byte not given away
    uint64_t received = 0;  // offset of the next byte to come
    uint64_t granted = 0;   // the host may send up to here
    bool ended = false;
  };

  Status on_frame(protocol::Frame frame);
  Status on_data(protocol::Frame frame);
  Status on_range(const protocol::Frame& frame);
  Task<void> serve_range(uint16_t channel, uint64_t offset, uint32_t length);
  void grant(uint16_t channel);
  Error lost() const;

  std::unique_ptr<HostLink> link_;
  RangeSource& ranges_;
  uint32_t window_;
  std::vector<Output> outputs_;
  std::optional<protocol::NodeReport> report_;
  size_t ranges_asked_ = 0;
  size_t ranges_served_ = 0;
  Event changed_;     // pulsed when anything above changed, or the host was lost
  Event range_done_;  // pulsed when a range was served
  Stop stop_;
  TaskGroup tasks_;  // serve_range()
};

}  // namespace zvm::bridge
