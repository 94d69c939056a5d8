// A session served by a thread of this process, mounted for this process alone.
//
// The mount is never attached anywhere: files are reached through its descriptor (openat), programs
// by making it their working directory. It ends with that descriptor.
#pragma once
#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "tests/unit/fuse_channels/session_thread.h"

namespace zvm::fuse_channels::test {

// Why a mount is not possible here, or empty.
std::string why_not();
#define NEEDS_FUSE() \
  if (const std::string reason = why_not(); !reason.empty()) GTEST_SKIP() << reason

// Registers files itself: the test is root.
class DirectBacking final : public Backing {
 public:
  Task<Result<int32_t>> open(FdRef fuse_device, FdRef file) override;
  Task<Status> close(FdRef fuse_device, int32_t backing_id) override;

  std::atomic<int> opened = 0, closed = 0, refused = 0;
  bool refuse = false;
};

struct Mount {
  UniqueFd device;
  UniqueFd root;
};

Mount make_mount();

struct ProgramEnd {
  int status = -1;  // as of waitpid
  std::string out;  // what it printed to its own stdout and stderr
};

class Mounted : public SessionThread {
 public:
  Mounted(Options options, std::vector<ChannelSpec> channels, Backing* backing);
  ~Mounted();  // unmounts and closes the session

  int root() const { return root_.get(); }

  // -errno on failure.
  int open(const char* name, int flags) const;

  // Ends the mount; true when the session has told so.
  bool unmount();

  // A shell command whose working directory is the mount, as the channels' owner.
  ProgramEnd shell(const std::string& command);
  pid_t start_shell(const std::string& command, int out = -1);

 private:
  Mounted(Mount mount, Options options, std::vector<ChannelSpec> channels, Backing* backing);

  UniqueFd root_;
};

// Runs fn in a child process: true if it returned true. For everything that maps files: a thread
// that holds this process's memory lock while it waits for the thread that serves it waits for
// ever.
bool in_child(const std::function<bool()>& fn);

}  // namespace zvm::fuse_channels::test
