// Listening sockets and the connections they gave: bounded, and drained before the program ends.
#pragma once
#include <string>
#include <vector>

#include "base/async/loop.h"
#include "base/net.h"
#include "swift_bridge/connection.h"

namespace zvm::bridge {

class Server {
 public:
  explicit Server(Service& service);

  Status listen();
  // Where it listens, as text; ":0" has become a port.
  std::vector<std::string> addresses() const;

  // Serves until drain() was called and every connection has ended.
  Task<void> run();
  // No new connection or request; what runs may end within `patience`, then it is ended. Called
  // again with less patience, that counts.
  void drain(Clock::duration patience);

  size_t connections() const { return connections_.size(); }

 private:
  Task<void> accept_from(size_t listener);
  Task<void> serve(UniqueFd socket);
  Task<void> end_after(Deadline deadline);

  Service& service_;
  std::vector<UniqueFd> listeners_;
  Stop idle_;     // no new connection, no new request
  Stop all_;      // everything ends
  Stop no_wait_;  // ends end_after()
  Event draining_;
  Event room_;  // pulsed when a connection ends
  TaskGroup acceptors_;
  TaskGroup connections_;
  TaskGroup reapers_;
};

}  // namespace zvm::bridge
