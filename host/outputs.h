// Outputs on their way to the bridge. A READ grants the host a window of bytes of one channel; the
// host sends them as DATA frames in order as soon as they are there, while the program runs and
// after it, until the window is used up or the output has ended (flag kEnd, which an empty DATA
// carries too). A new READ of a channel replaces what is left of its window.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "base/async/loop.h"
#include "base/error.h"
#include "fuse_channels/session.h"
#include "host/peer.h"
#include "host/protocol/description.h"

namespace zvm::host {

class Outputs {
 public:
  // All outlive the Outputs.
  Outputs(Loop& loop, Peer& peer, const std::vector<protocol::Channel>& channels);
  ~Outputs();  // close() has been awaited

  // From here on windows are served. Files outlives close().
  void open(fuse_channels::Session& files);
  // The program is gone and files were closed: what is there is all there will be.
  void end();
  // READ. kInvalid: no output, or nothing asked for.
  Status on_read(uint16_t channel, uint64_t offset, uint32_t length);
  // Stops serving and waits until nothing runs.
  Task<void> close();

  // Grows with every frame asked for or sent: tells whether the bridge still reads.
  uint64_t activity() const { return activity_; }

 private:
  struct Window;
  Task<void> serve(Window& w);
  Task<Status> send_some(Window& w, uint64_t available);

  Loop& loop_;
  Peer& peer_;
  fuse_channels::Session* files_ = nullptr;
  std::vector<std::unique_ptr<Window>> windows_;  // index = channel; null where no output
  bool ended_ = false;
  uint64_t activity_ = 0;
  Stop stop_;
  TaskGroup tasks_;
};

}  // namespace zvm::host
