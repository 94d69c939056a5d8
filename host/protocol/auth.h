// How bridge and host prove the cluster key to each other.
//
//   GET /v1/identity?nonce=N  ->  {"id","boot","version","time"} + Zvm-Proof
//   any other request carries  Authorization: ZVM1 host=…,boot=…,expires=…,nonce=…,body=…,mac=…
//     mac = HMAC-SHA256(key, "ZVM1\n" method "\n" target "\n" host "\n" boot "\n" expires "\n"
//     nonce "\n" body) body = SHA-256 of the request's body, hex; expires = seconds since 1970 by
//     the host's clock
//   every answer carries  Zvm-Nonce: M  and  Zvm-Proof: HMAC-SHA256(key, "ZVM1 answer\n" N "\n" M
//   "\n" status "\n" SHA-256(body)) frame keys = HMAC-SHA256(key, "ZVM1 frames " direction "\n" N
//   "\n" M)
//
// A request is good for one host, one boot of it, once, for a minute at most.
#pragma once
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/error.h"
#include "base/http/message.h"

namespace zvm::protocol {

inline constexpr std::chrono::seconds kSignatureLife{60};
inline constexpr size_t kMaxNonces = 1 << 20;

// The cluster key: at least 32 bytes as hex in a file that others cannot read. Never logged.
Result<std::string> load_key(const std::string& path);

struct HostIdentity {
  std::string id;
  std::string boot;  // random, new at every start of the daemon
  std::string version;
  int64_t time = 0;  // the host's clock, seconds since 1970
};

// bridge: the Authorization header's value. nonce: 32 hex digits, fresh.
std::string sign_request(std::string_view key, std::string_view method, std::string_view target,
    const HostIdentity& host, int64_t expires, std::string_view nonce,
    std::string_view body_sha256);

// host: refuses what is unsigned, wrong, for another host or boot, too old, or was seen already.
class RequestVerifier {
 public:
  RequestVerifier(std::string key, HostIdentity self)
      : key_(std::move(key)), self_(std::move(self)) {}

  // The request's nonce. kDenied with one reason for the log; the peer only ever sees 401.
  Result<std::string> verify(
      const http::RequestHead& head, std::string_view body_sha256, int64_t now);

 private:
  std::string key_;
  HostIdentity self_;
  std::unordered_map<std::string, int64_t> seen_;  // nonce -> expiry
  int64_t last_sweep_ = 0;
};

std::string answer_proof(std::string_view key, std::string_view request_nonce,
    std::string_view answer_nonce, unsigned status, std::string_view body_sha256);

enum class Direction : uint8_t { kToHost, kToBridge };
std::string frame_key(std::string_view key, Direction direction, std::string_view request_nonce,
    std::string_view answer_nonce);

}  // namespace zvm::protocol
