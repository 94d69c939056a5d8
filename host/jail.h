// One jail: started through the broker, waited for by its status pipe, ended by kill().
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "base/async/loop.h"
#include "base/error.h"
#include "base/sys/fd.h"
#include "host/broker_client.h"
#include "loader/wire.h"

namespace zvm::host {

struct JailPlan {
  std::string image = "host";
  std::string path;   // in the image; "" with program
  FdRef program{-1};  // sealed memfd, or -1
  loader::wire::Policy policy = loader::wire::Policy::kImage;
  bool stdin_is_channel = false;
  std::vector<std::string> argv;
  std::vector<std::string> env;  // NAME=value
  loader::wire::Limits limits{};
};

struct JailEnd {
  int waited = 0;  // 0: it ended by itself. -ETIME, -ECANCELED: why it was killed
  std::optional<loader::wire::Report> report;  // nullopt: killed, or lost
};

// Runs the jail of a mounted session from START until its last process is gone.
class Jail {
 public:
  // broker outlives the Jail.
  Jail(Loop& loop, BrokerClient& broker, uint64_t session)
      : loop_(loop), broker_(broker), session_(session) {}

  // Starts it; every channel must be served already.
  Task<Status> start(const JailPlan& plan);
  // Waits for its end, the deadline or the stop, then has the broker kill what is left. Also the
  // way to give the session back when start() failed.
  Task<JailEnd> wait(Deadline deadline, Stop* stop);

 private:
  Task<int> read_report(Deadline deadline, Stop* stop);

  Loop& loop_;
  BrokerClient& broker_;
  uint64_t session_;
  UniqueFd pid1_;    // pidfd
  UniqueFd status_;  // read end
  UniqueFd leash_;   // write end: when hostd dies, so does the jail
  std::string received_;
};

}  // namespace zvm::host
