// A session served by a thread of this process, mounted for this process alone.
//
// The mount is never attached anywhere: files are reached through its descriptor (openat), programs
// by making it their working directory. It ends with that descriptor.
#pragma once
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/async/loop.h"
#include "fuse_channels/session.h"

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

// A folder that is emptied at the end, on the file system of TMPDIR (or /tmp).
class Folder {
 public:
  explicit Folder(const std::string& parent = "");
  ~Folder();
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  const std::string& path() const { return path_; }

  FdRef fd() const { return fd_; }

  // Writes a file and opens it read-only.
  UniqueFd file(const std::string& name, const std::string& content);

 private:
  std::string path_;
  UniqueFd fd_;
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

class Mounted {
 public:
  Mounted(Options options, std::vector<ChannelSpec> channels, Backing* backing);
  ~Mounted();  // unmounts and closes the session
  Mounted(const Mounted&) = delete;
  Mounted& operator=(const Mounted&) = delete;

  int root() const { return root_.get(); }

  Loop* loop() const { return loop_; }

  // -errno on failure.
  int open(const char* name, int flags) const;

  // Runs fn on the thread of the loop and waits for it.
  void on_loop(std::function<void(Session&)> fn);
  ChannelUsage usage(size_t channel);
  uint64_t requests();
  std::string spooled(size_t channel);
  // Ends the mount; true when the session has told so.
  bool unmount();
  // Closes the session under whoever uses it, and then returns.
  void close_session();

  // A shell command whose working directory is the mount, as the channels' owner.
  ProgramEnd shell(const std::string& command);
  pid_t start_shell(const std::string& command, int out = -1);

  std::vector<size_t> limits;  // channels whose limit was told; by on_loop
  std::atomic<int> ends = 0;

 private:
  void serve(Options options, std::vector<ChannelSpec> channels, Backing* backing, UniqueFd device);
  Task<void> main(
      Options options, std::vector<ChannelSpec> channels, Backing* backing, UniqueFd device);
  Task<void> work();

  UniqueFd root_;
  UniqueFd wake_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::function<void(Session&)>> calls_;      // guarded by mutex_
  bool started_ = false, stop_ = false, closed_ = false;  // guarded by mutex_
  std::string failure_;
  Loop* loop_ = nullptr;
  std::unique_ptr<Session> session_;
  std::thread thread_;
};

// Runs fn in a child process: true if it returned true. For everything that maps files: a thread
// that holds this process's memory lock while it waits for the thread that serves it waits for
// ever.
bool in_child(const std::function<bool()>& fn);

std::string read_all(int fd);
// Bytes that tell where they are from.
std::string pattern(size_t size, unsigned seed = 1);
ChannelSpec object(const std::string& name, UniqueFd file, uint64_t size);
ChannelSpec output(const std::string& name, ChannelSpec::Kind kind, uint64_t max_bytes);

}  // namespace zvm::fuse_channels::test
