// Asks Swift, with the client's own credentials and without side effects, what a job may do; and
// pins the versions of what it reads (docs/adr/0009).
//
//   execute   PUT without a length into a container that does not exist: 404 = may, 401/403 = not
//   read      HEAD with X-Newest: the version and the right in one answer
//   write     POST to an object name that does not exist (404 = may) + HEAD of the container
//   program   GET with X-Newest and the ETag of the copy at hand: right, version and bytes in one
//
// Every refusal names the path and carries the status for the client: 401, 403, 404 are Swift's
// own; what Swift could not answer is a 502.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "base/codec/ring.h"
#include "host/protocol/description.h"
#include "swift_bridge/config.h"
#include "swift_bridge/jobs/job.h"
#include "swift_bridge/jobs/status.h"
#include "swift_bridge/swift/client.h"
#include "swift_bridge/swift/credentials.h"
#include "swift_bridge/swift/program_cache.h"

namespace zvm::bridge {

// One version of an object that the client may read.
struct PinnedObject {
  protocol::ObjectVersion version;
  std::string remote_reason;  // why no replica can be read in place: slo, dlo, ec, symlink; or ""
  http::Headers head;         // of the HEAD answer: LOCAL_* in the program's environment
};

class Authoriser {
 public:
  Authoriser(Loop& loop, SwiftClient& swift, const SwiftConf& conf, const Config& config);

  // Any 2xx of a positive answer is remembered for kRightLife per account and credentials.
  Task<Outcome<void>> may_execute(std::string account, const Credentials& credentials, Stop* stop);
  Task<Outcome<PinnedObject>> may_read(SwiftPath path, const Credentials& credentials, Stop* stop);
  Task<Outcome<void>> may_write(SwiftPath path, const Credentials& credentials, Stop* stop);
  Task<Outcome<std::shared_ptr<const Program>>> may_run(
      SwiftPath path, const Credentials& credentials, Stop* stop);

  // Index of a container's storage policy; the default one where Swift would not say.
  Task<unsigned> policy_of(SwiftPath container, const Credentials& credentials, Stop* stop);
  // What was remembered of a container turned out to be wrong.
  void forget_policy(const SwiftPath& container);

 private:
  struct Known {
    unsigned policy = 0;
    Clock::time_point until;
  };

  Task<void> learn_policy(
      SwiftPath container, const Credentials& credentials, Stop* stop, unsigned* policy);
  void remember(const SwiftPath& container, const http::Headers& head);
  Question question(std::string method, std::string target, const Credentials& credentials) const;

  Loop& loop_;
  SwiftClient& swift_;
  const SwiftConf& conf_;
  const Config& config_;
  ProgramCache programs_;
  std::unordered_map<std::string, Clock::time_point> may_execute_;  // -> until when it is believed
  std::unordered_map<std::string, Known> policies_;                 // by container
};

}  // namespace zvm::bridge
