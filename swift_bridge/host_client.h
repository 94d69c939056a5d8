// Finds out who a host is, and reserves a place for a job's node there.
//
// A host's identity (id, boot, clock) is asked once and kept: every request is signed for it. A
// host that has started anew refuses the old one, and is asked again.
#pragma once
#include <chrono>
#include <memory>
#include <string>
#include <unordered_map>

#include "base/async/loop.h"
#include "base/error.h"
#include "host/protocol/auth.h"
#include "swift_bridge/host_link.h"

namespace zvm::bridge {

// Why a host did not take a node.
struct HostRefusal {
  // 0: nobody answered, or not with a proof of the cluster key. Else the host's: 400 description
  // beyond its caps, 404 no replica, 409 another version, 501 not readable in place, 503 busy.
  unsigned status = 0;
  std::string reason;
};

class HostClient {
 public:
  struct Timeouts {
    std::chrono::milliseconds connect{2'000};
    std::chrono::milliseconds admit{30'000};
  };

  // key: the cluster key, as load_key() gives it.
  HostClient(Loop& loop, std::string key, Timeouts timeouts)
      : loop_(loop), key_(std::move(key)), timeouts_(timeouts) {}

  using Reserved = tl::expected<std::unique_ptr<HostLink>, HostRefusal>;
  // address: ip:port of zvm-hostd. description: the JSON of one node.
  Task<Reserved> reserve(std::string address, const std::string& description, Stop* stop);

  // True for a short while after nobody answered there within the time: others are asked first.
  bool is_shunned(const std::string& address) const;

 private:
  struct Known {
    protocol::HostIdentity identity;
    int64_t clock_offset = 0;  // host's clock minus ours, seconds
  };

  Task<Result<std::unique_ptr<http::Connection>>> connect(const std::string& address, Stop* stop);
  Task<Result<Known>> identify(http::Connection& connection, Stop* stop);
  Task<Reserved> reserve_on(std::unique_ptr<http::Connection> connection, const Known& known,
      const std::string& description, Stop* stop);
  void shun(const std::string& address);
  bool proves(std::string_view nonce, const http::ResponseHead& head, std::string_view body) const;

  Loop& loop_;
  std::string key_;
  Timeouts timeouts_;
  std::unordered_map<std::string, Known> known_;  // by address; bounded by the ring's devices
  std::unordered_map<std::string, Clock::time_point> shunned_;  // likewise; until when
};

}  // namespace zvm::bridge
