#include "swift_bridge/server.h"

#include <cerrno>

#include "base/log.h"

namespace zvm::bridge {

namespace {

// Before accept() is tried again after the process or the machine ran out of descriptors or memory.
constexpr std::chrono::milliseconds kBreath{100};

}  // namespace

Server::Server(Service& service)
    : service_(service),
      draining_(service.loop),
      room_(service.loop),
      acceptors_(service.loop),
      connections_(service.loop),
      reapers_(service.loop) {}

Status Server::listen() {
  for (const auto& text : service_.config.listen) {
    ZVM_TRY(const Address address, parse_address(text));
    ZVM_TRY(auto socket, listen_on(address));
    listeners_.push_back(std::move(socket));
  }
  return {};
}

std::vector<std::string> Server::addresses() const {
  std::vector<std::string> out;
  for (const auto& socket : listeners_) out.push_back(local_text(socket));
  return out;
}

Task<void> Server::serve(UniqueFd socket) {
  co_await serve_connection(service_, std::move(socket), &idle_, &all_);
  room_.pulse();
}

Task<void> Server::accept_from(size_t listener) {
  while (!idle_.stopped()) {
    // Beyond the limit, clients wait in the kernel's queue.
    if (connections_.size() >= service_.config.max_connections) {
      const int waited = co_await room_.wait(kNever, &idle_);
      (void)waited;
      continue;
    }
    const int fd = co_await service_.loop.accept(listeners_[listener], kNever, &idle_);
    if (fd >= 0) {
      connections_.spawn(serve(UniqueFd(fd)));
    } else if (fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM || fd == -ENOBUFS) {
      log_error("no connection can be accepted", errno_error("accept", -fd));
      const int slept = co_await service_.loop.sleep_until(deadline_in(kBreath), &idle_);
      (void)slept;
    }
  }
}

Task<void> Server::end_after(Deadline deadline) {
  const int slept = co_await service_.loop.sleep_until(deadline, &no_wait_);
  if (slept == 0) all_.stop();
}

Task<void> Server::run() {
  for (size_t i = 0; i < listeners_.size(); ++i) acceptors_.spawn(accept_from(i));
  const int drained = co_await draining_.wait(kNever);
  (void)drained;
  co_await acceptors_.join();
  listeners_.clear();
  co_await connections_.join();
  no_wait_.stop();
  co_await reapers_.join();
}

void Server::drain(Clock::duration patience) {
  idle_.stop();
  reapers_.spawn(end_after(deadline_in(patience)));
  draining_.set();
}

}  // namespace zvm::bridge
