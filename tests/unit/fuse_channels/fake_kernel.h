// Plays the kernel over a socket pair: raw protocol, no mount, no root. Shows what real kernels
// rarely do: short and garbled messages, interrupts that cross replies, an end in the middle.
#pragma once
#include <linux/fuse.h>

#include <cstring>
#include <string>
#include <string_view>

#include "tests/unit/fuse_channels/session_thread.h"

namespace zvm::fuse_channels::test {

struct Reply {
  uint64_t unique = 0;
  int error = 0;  // > 0
  std::string body;

  template <class T>
  T as(size_t at = 0) const {
    T value{};
    if (body.size() >= at + sizeof value) std::memcpy(&value, body.data() + at, sizeof value);
    return value;
  }
};

template <class T>
std::string raw(const T& value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof value);
}

inline std::string name_of(std::string_view name) {
  return std::string(name) + '\0';
}

// One message: a header with this opcode and the right length, then body.
std::string message(uint32_t opcode, uint64_t unique, uint64_t nodeid, std::string_view body);

class FakeKernel : public SessionThread {
 public:
  FakeKernel(Options options, std::vector<ChannelSpec> channels, Backing* backing = nullptr);
  ~FakeKernel();

  void send_raw(std::string_view bytes);
  uint64_t send(uint32_t opcode, uint64_t nodeid, std::string_view body);
  // The next reply; fails the test when none comes.
  Reply receive();
  Reply call(uint32_t opcode, uint64_t nodeid, std::string_view body);
  // Waits until everything sent before has been looked at; replies meanwhile are returned.
  std::vector<Reply> settle();

  Reply init(uint64_t offered = 0, uint32_t minor = 45);
  uint64_t lookup(std::string_view name);  // nodeid, 0 if absent
  Reply open(uint64_t nodeid, uint32_t flags);
  Reply read(uint64_t nodeid, uint64_t off, uint32_t size);
  Reply write(uint64_t nodeid, uint64_t off, std::string_view data);
  Reply release(uint64_t nodeid);
  void interrupt(uint64_t unique);
  // The kernel's end of the connection is gone.
  void hang_up();

 private:
  struct Ends {
    UniqueFd kernel, session;
  };

  static Ends make_ends();
  FakeKernel(Ends pair, Options options, std::vector<ChannelSpec> channels, Backing* backing);

  UniqueFd socket_;
  uint64_t last_unique_ = 0;
};

}  // namespace zvm::fuse_channels::test
