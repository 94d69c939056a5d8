// Reads of objects that this host does not have: each becomes RANGE frames to the bridge, which
// asks Swift with the client's rights and answers RANGE_DATA or RANGE_FAIL.
//
// The reader's buffer is filled straight from the frames. At most kMaxOutstanding ranges of a
// session are under way; others wait. A range that makes no progress for kRangeWait fails, and the
// program gets EIO; the first failure's words are kept for the report.
#pragma once
#include <chrono>
#include <functional>
#include <list>
#include <optional>
#include <span>
#include <string>

#include "base/async/loop.h"
#include "base/error.h"
#include "fuse_channels/session.h"
#include "host/protocol/frames.h"

namespace zvm::host {

class RemoteRanges {
 public:
  static constexpr size_t kMaxOutstanding = 16;
  static constexpr std::chrono::seconds kRangeWait{60};

  // ask: sends one RANGE frame.
  RemoteRanges(Loop& loop, std::function<void(const protocol::Frame&)> ask);
  ~RemoteRanges();  // no fetch is under way

  // The source for one channel; lives as long as this object.
  fuse_channels::RemoteSource* source(uint16_t channel);

  // RANGE_DATA or RANGE_FAIL. kInvalid: it answers nothing that was asked.
  Status on_frame(const protocol::Frame& frame);
  // Fails what is under way and everything asked later: the program or the bridge is gone.
  void abandon();

  // The first failure: "input: the object changed".
  const std::optional<std::string>& failure() const { return failure_; }

 private:
  struct Pending;
  class Source;

  Task<Status> fetch(uint16_t channel, uint64_t offset, std::span<std::byte> into);
  Task<Status> fetch_piece(uint16_t channel, uint64_t offset, std::span<std::byte> into);

  Loop& loop_;
  std::function<void(const protocol::Frame&)> ask_;
  std::list<Pending*> pending_;  // each lives in its fetch_piece()
  std::list<Source> sources_;
  Event room_;
  bool abandoned_ = false;
  bool timed_out_ = false;  // so an answer may come that nobody waits for any more
  std::optional<std::string> failure_;
};

}  // namespace zvm::host
