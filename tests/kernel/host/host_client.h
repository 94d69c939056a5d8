// A bridge for tests: signs requests, speaks frames, on blocking sockets with a patience.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "base/http/message.h"
#include "base/sys/fd.h"
#include "host/protocol/auth.h"
#include "host/protocol/description.h"
#include "host/protocol/frames.h"
#include "tests/kernel/host/node_rig.h"

namespace zvm::host::testing {

struct Answer {
  http::ResponseHead head;
  std::string body;
  bool proven = false;  // Zvm-Proof is right
};

// One connection.
class HostClient {
 public:
  explicit HostClient(const NodeRig& rig);

  protocol::HostIdentity identity();

  // What a test may want to get wrong.
  struct Signing {
    std::optional<std::string> key, nonce, boot;
    int64_t life = 30;
    bool sign = true;
  };

  // POST /v1/sessions. With 101 the frames below work.
  Answer post(const std::string& body, const Signing& how);

  Answer post(const protocol::Description& description) {
    return post(protocol::to_json(description), Signing());
  }

  Answer request(const std::string& method, const std::string& target);

  void send(protocol::FrameType type, uint16_t channel = 0, uint64_t arg = 0,
      const std::string& payload = {});
  void send_program(const std::string& bytes);
  void read(uint16_t channel, uint64_t offset, uint32_t length);
  // nullopt: the host closed, or said nothing for kPatienceMs. Pings are passed over.
  std::optional<protocol::Frame> receive();
  // The next frame of that type; others are failures.
  protocol::Frame expect(protocol::FrameType type);
  // All bytes of an output from the start to its end.
  std::string read_all(uint16_t channel);
  protocol::NodeReport report();
  // START and what follows, to the report.
  protocol::NodeReport run();
  // True when the host has closed the connection.
  bool closed();

  void close() { socket_.reset(); }

 private:
  bool fill();
  void write(const std::string& bytes);
  Answer read_answer(const std::string& nonce);

  std::string key_;
  UniqueFd socket_;
  std::string buffer_;
  std::optional<protocol::FrameWriter> writer_;
  std::optional<protocol::FrameReader> reader_;
};

// A description of a node that runs a shell command, with stdout as channel 0 and what is given
// behind it.
protocol::Description shell(const std::string& command, std::vector<protocol::Channel> more = {});
protocol::Channel output(
    const std::string& name, protocol::Channel::Kind kind, uint64_t max_bytes = 1 << 20);
protocol::Channel object(const std::string& name, const protocol::ObjectVersion& version,
    protocol::Channel::Local local);

}  // namespace zvm::host::testing
