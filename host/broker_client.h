// The host daemon's end of the broker's socket (loader/wire.h): everything that asks a privilege.
//
// Requests are sent at once and matched to their answers by id; any number may be under way. When
// the broker goes, every request under way fails as kDisconnected, its jails have died with it, and
// the client connects again in the background. Numbers of sessions are never used twice. Loop
// thread only.
#pragma once
#include <cstdint>
#include <list>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/async/loop.h"
#include "base/error.h"
#include "base/sys/fd.h"
#include "fuse_channels/session.h"
#include "loader/wire.h"

namespace zvm::host {

class BrokerClient : public fuse_channels::Backing {
 public:
  BrokerClient(Loop& loop, std::string socket_path);
  ~BrokerClient() override;  // close() has been awaited
  BrokerClient(const BrokerClient&) = delete;
  BrokerClient& operator=(const BrokerClient&) = delete;

  // Connects, trying again until the deadline or the stop; after success the connection is kept up.
  // The error names the socket and what to do.
  Task<Status> start(Deadline deadline, Stop& stop);
  // Fails what is under way, ends the tasks. Jails that still ran die with the connection.
  Task<void> close();

  bool connected() const { return connected_; }

  // What the broker said in its HELLO.
  const loader::wire::HelloValues& limits() const { return limits_; }

  // A new clone of the read-only tree of the devices folder (ADR 0002).
  Task<Result<UniqueFd>> open_devices();

  struct Mount {
    uint64_t session = 0;
    UniqueFd fuse_device;
    uint32_t uid = 0;  // of the jail, and gid
  };

  Task<Result<Mount>> mount_fuse();

  // The pidfd of the jail's pid 1. fds as the request wants them; they are borrowed.
  Task<Result<UniqueFd>> start_jail(loader::wire::StartRequest request, std::vector<FdRef> fds);
  // Returns when every process of the jail is gone, or the broker is and took them along.
  Task<void> kill(uint64_t session);

  Task<Result<int32_t>> open(FdRef fuse_device, FdRef file) override;
  Task<Status> close(FdRef fuse_device, int32_t backing_id) override;

 private:
  struct Pending;

  struct Answer {
    loader::wire::Reply reply{};
    std::vector<UniqueFd> fds;
  };

  template <class Request>
  Task<Result<Answer>> call(Request request, std::vector<FdRef> fds, size_t fds_wanted);
  Task<Result<Answer>> exchange(
      uint32_t id, std::span<const std::byte> packet, std::vector<FdRef> fds, size_t fds_wanted);
  Task<Status> connect_once(Deadline deadline);
  Task<Status> greet();
  Task<void> keep_connected();
  Task<void> receive();
  void disconnect(const char* why);

  Loop& loop_;
  std::string path_;
  std::shared_ptr<const UniqueFd> socket_;  // requests under way keep a share of theirs
  bool connected_ = false;
  uint32_t next_id_ = 1;
  uint64_t next_session_ = 1;
  loader::wire::HelloValues limits_{};
  std::list<Pending*> pending_;  // each lives in its exchange()
  Stop stop_;
  TaskGroup tasks_;      // keep_connected()
  TaskGroup receivers_;  // receive() of the present connection
};

}  // namespace zvm::host
