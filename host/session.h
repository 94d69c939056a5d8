// One job node's life on this host, as one coroutine. In order:
//
//   stage()       replicas opened and checked against the pinned versions; an error is the HTTP
//                 answer, nothing has happened yet
//   run()         after the 101:
//     receive       PROGRAM frames, then START, within the lease
//     execute       FUSE, jail, the program; READ and RANGE frames are served meanwhile
//     account       digests and the report
//     drain         outputs can still be read until the bridge closes
//
// A bridge that goes away ends it wherever it is. When run() returns nothing of the session is
// left: no process, no mount, no spool.
#pragma once
#include <memory>
#include <optional>
#include <string>

#include "base/async/loop.h"
#include "base/error.h"
#include "fuse_channels/session.h"
#include "host/jail.h"
#include "host/node.h"
#include "host/outputs.h"
#include "host/peer.h"
#include "host/program.h"
#include "host/protocol/description.h"
#include "host/remote_ranges.h"
#include "host/stage.h"

namespace zvm::host {

class Session {
 public:
  // node outlives the Session. The description has been validated and is within the caps.
  Session(Node& node, protocol::Description description, Admission::Slot slot);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  Task<Status> stage();

  // Whether the bridge must send the program's bytes.
  bool wants_program() const { return receiver_.has_value(); }

  // Returns when the session is over. The connection was upgraded and outlives this call.
  Task<void> run(http::Connection& connection, Peer::Keys keys);
  // The host stops: kills the program and reports it as cancelled.
  void cancel();

 private:
  // Why the program is being ended from outside; the first reason stays.
  void end_program(protocol::End why, std::string detail);

  void changed() { changed_.pulse(); }

  Status on_frame(const protocol::Frame& frame);
  Status on_program(const protocol::Frame& frame);
  Status on_start();

  Task<bool> receive();
  Task<protocol::NodeReport> execute();
  Task<protocol::NodeReport> run_jail(uint64_t session, const JailPlan& plan);
  Task<void> watch_limit();
  Task<void> drain();
  Status serve_channels(BrokerClient::Mount mount);
  protocol::NodeReport refused(std::string why) const;
  protocol::NodeReport host_fault(const Error& error) const;
  void log_phase(const char* phase, std::string_view message) const;

  Node& node_;
  const protocol::Description description_;
  const Admission::Slot slot_;
  RemoteRanges ranges_;
  std::optional<Staged> staged_;
  std::optional<ProgramReceiver> receiver_;  // while bytes of the program are missing
  std::shared_ptr<const ProgramBytes> program_;
  std::unique_ptr<Peer> peer_;
  std::unique_ptr<Outputs> outputs_;
  std::unique_ptr<fuse_channels::Session> files_;

  Event changed_;  // pulsed when something below changed
  bool start_asked_ = false;
  Stop end_;  // stopped with end_why_
  std::optional<protocol::End> end_why_;
  std::string end_detail_;
  bool limit_hit_ = false;
  bool stopping_ = false;  // the host stops
  TaskGroup tasks_;
  Stop tasks_stop_;
};

}  // namespace zvm::host
