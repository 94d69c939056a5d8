// The broker's end of one launcher: a zvm-loader process per image, started when the first job
// asks.
#pragma once
#include <sys/types.h>

#include <string>

#include "base/error.h"
#include "base/sys/fd.h"
#include "loader/launch.h"

namespace zvm::loader {

class LauncherProcess {
 public:
  // Starts it and waits until its world is built (at most 30 s).
  static Result<LauncherProcess> start(const std::string& loader, const std::string& image);
  LauncherProcess(LauncherProcess&&) noexcept;
  LauncherProcess& operator=(LauncherProcess&&) noexcept;
  // Kills it, and with it every jail that it started.
  ~LauncherProcess();

  // The pidfd of the new jail's pid 1. kDisconnected: the launcher is lost, start another one.
  Result<UniqueFd> launch(const LaunchRequest& request, const int* fds, size_t fd_count);

  // Readable when the launcher is gone.
  FdRef socket() const { return socket_; }

 private:
  LauncherProcess(pid_t pid, UniqueFd socket) : pid_(pid), socket_(std::move(socket)) {}

  pid_t pid_ = -1;
  UniqueFd socket_;
};

}  // namespace zvm::loader
