// The Authorization header of requests to a host: a stranger's is never taken, and of a good one no
// byte can be changed.
#include <cstdint>
#include <string_view>

#include "host/protocol/auth.h"

namespace {

using namespace zvm;
using namespace zvm::protocol;

constexpr int64_t kNow = 1'795'352'857;

void require(bool holds) {
  if (!holds) __builtin_trap();
}

bool accepts(const std::string& method, const std::string& target, const std::string& header,
    const HostIdentity& self) {
  static const std::string key(32, '\x5a');
  http::RequestHead head;
  head.method = method;
  head.target = target;
  head.headers.add("Authorization", header);
  RequestVerifier verifier(key, self);
  const std::string body(64, 'b');
  const bool first = verifier.verify(head, body, kNow).has_value();
  require(!verifier.verify(head, body, kNow));
  return first;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string in(reinterpret_cast<const char*>(data), size);
  const HostIdentity self{"host1", "00112233445566778899aabbccddeeff", "0.1.0", kNow};
  require(!accepts("POST", "/v1/sessions", in, self));

  // The first line is a target, the rest a change of the header: position and byte.
  const std::string target = in.substr(0, in.find('\n'));
  const std::string good = sign_request(std::string(32, '\x5a'), "POST", target, self, kNow + 30,
      std::string(32, 'a'), std::string(64, 'b'));
  require(accepts("POST", target, good, self));
  if (size < 2) return 0;
  std::string changed = good;
  char& c = changed[data[size - 2] % changed.size()];
  c = static_cast<char>(c ^ data[size - 1]);
  require(accepts("POST", target, changed, self) == (changed == good));
  require(!accepts("PUT", target, good, self));
  return 0;
}
