// The bridge's end of a session with a host: signed frames both ways over the upgraded connection.
// Three tasks: one reads and verifies, one writes what is queued in order, one pings. The host is
// lost when the connection ends, a frame is not what it should be, or nothing came for
// kSilenceSeconds. Closing it makes the host kill what runs.
#pragma once
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/async/loop.h"
#include "base/http/connection.h"
#include "host/protocol/auth.h"
#include "host/protocol/frames.h"

namespace zvm::bridge {

class HostLink {
 public:
  struct Keys {
    std::string incoming, outgoing;
  };

  HostLink(Loop& loop, std::unique_ptr<http::Connection> connection, Keys keys,
      protocol::HostIdentity host, bool wants_program);
  ~HostLink();  // close() has been awaited, or start() never called
  HostLink(const HostLink&) = delete;
  HostLink& operator=(const HostLink&) = delete;

  const protocol::HostIdentity& host() const { return host_; }

  // Whether the program's bytes must be sent before START.
  bool wants_program() const { return wants_program_; }

  // on_frame: every frame but pings, verified; an error it returns loses the host. on_lost: once.
  // Both are called on the loop.
  void start(std::function<Status(protocol::Frame)> on_frame, std::function<void()> on_lost);
  // Queues a control frame; the protocol bounds their number. Without effect once lost.
  void send(const protocol::Frame& frame);
  // Queues data when there is room.
  Task<Status> send_data(protocol::Frame frame, Stop* stop);
  // Ends the tasks, waits for them and closes the connection.
  Task<void> close();

  // Why the host is gone; nullopt while it is there.
  const std::optional<Error>& lost() const { return lost_; }

 private:
  Task<void> read_frames();
  Task<void> write_frames();
  Task<void> ping();
  Status take(std::string_view bytes);
  void lose(Error why);

  Loop& loop_;
  std::unique_ptr<http::Connection> connection_;
  protocol::FrameReader reader_;
  protocol::FrameWriter writer_;
  protocol::HostIdentity host_;
  bool wants_program_;
  std::function<Status(protocol::Frame)> on_frame_;
  std::function<void()> on_lost_;
  std::deque<std::string> queue_;
  size_t queued_bytes_ = 0;  // the frame being written included
  Event queued_;             // set while the queue holds something
  Event drained_;            // pulsed when a frame was written
  Stop stop_;
  std::optional<Error> lost_;
  TaskGroup tasks_;
};

}  // namespace zvm::bridge
