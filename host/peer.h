// The bridge's end of a session: frames both ways over the upgraded connection.
//
// Three tasks: one reads and verifies, one writes what is queued in order, one pings. Data waits
// for room in the queue; control frames do not, their number being bounded by the protocol. The
// peer is lost when the connection ends, a frame is not what it should be, or nothing came for
// kSilenceSeconds. A connection that the bridge closes is lost at once: that is how a client who
// leaves ends its job.
#pragma once
#include <deque>
#include <functional>
#include <optional>
#include <string>

#include "base/async/loop.h"
#include "base/error.h"
#include "base/http/connection.h"
#include "host/protocol/frames.h"

namespace zvm::host {

class Peer {
 public:
  struct Keys {
    std::string incoming, outgoing;
  };

  // `connection` outlives the Peer. Nothing runs before start().
  Peer(Loop& loop, http::Connection& connection, Keys keys);
  ~Peer();  // close() has been awaited
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  // on_frame: every frame but pings, verified; an error it returns loses the peer (and is what
  // lost() says). on_lost: once. Both are called on the loop.
  void start(std::function<Status(protocol::Frame)> on_frame, std::function<void()> on_lost);

  // Queues a control frame. Without effect once the peer is lost.
  void send(const protocol::Frame& frame);
  // Queues data when there is room. An error: the peer is lost, or `stop` was stopped.
  Task<Status> send_data(protocol::Frame frame, Stop* stop);
  // Waits until everything queued so far has been handed to the kernel, or the deadline.
  Task<void> flush(Deadline deadline);
  // Ends the tasks and waits for them. The connection stays open.
  Task<void> close();

  // Why the peer is gone; nullopt while it is there.
  const std::optional<Error>& lost() const { return lost_; }

 private:
  Task<void> read_frames();
  Task<void> write_frames();
  Task<void> ping();
  Status take(std::string_view bytes);
  void lose(Error why);

  Loop& loop_;
  http::Connection& connection_;
  protocol::FrameReader reader_;
  protocol::FrameWriter writer_;
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

}  // namespace zvm::host
