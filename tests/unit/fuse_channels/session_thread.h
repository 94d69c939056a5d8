// A session served by a thread of its own, as a daemon would, and tests around it.
#pragma once
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/async/loop.h"
#include "fuse_channels/session.h"

namespace zvm::fuse_channels::test {

// A folder that is emptied at the end, in `parent`, or that of TMPDIR (or /tmp).
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

class SessionThread {
 public:
  SessionThread(
      UniqueFd device, Options options, std::vector<ChannelSpec> channels, Backing* backing);
  ~SessionThread();  // closes the session
  SessionThread(const SessionThread&) = delete;
  SessionThread& operator=(const SessionThread&) = delete;

  Loop* loop() const { return loop_; }

  // Runs fn on the thread of the loop and waits for it.
  void on_loop(std::function<void(Session&)> fn);
  ChannelUsage usage(size_t channel);
  uint64_t requests();
  std::string spooled(size_t channel);
  // Closes the session under whoever uses it, and then returns.
  void close_session();
  // True when the session has told the end of its connection.
  bool wait_for_end();

  std::vector<size_t> limits;  // channels whose limit was told; read by on_loop
  std::atomic<int> ends = 0;

 private:
  void serve(Options options, std::vector<ChannelSpec> channels, Backing* backing, UniqueFd device);
  Task<void> main(
      Options options, std::vector<ChannelSpec> channels, Backing* backing, UniqueFd device);
  Task<void> work();

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

// Aborts when a descriptor could not be had.
UniqueFd must(int fd, const char* what);
std::string read_all(int fd);
// Bytes that tell where they are from.
std::string pattern(size_t size, unsigned seed = 1);
ChannelSpec object(const std::string& name, UniqueFd file, uint64_t size);
ChannelSpec output(const std::string& name, ChannelSpec::Kind kind, uint64_t max_bytes);

}  // namespace zvm::fuse_channels::test
