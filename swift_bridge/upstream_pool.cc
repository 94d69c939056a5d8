#include "swift_bridge/upstream_pool.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

namespace zvm::bridge {

namespace {

// Well below the 60 s after which Swift closes an idle connection, so that a request seldom meets
// one that is just being closed.
constexpr std::chrono::seconds kMaxIdle{20};

// True while the peer has neither closed nor sent anything unasked.
bool is_quiet(FdRef socket) {
  char byte;
  const ssize_t n = ::recv(socket.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

}  // namespace

Task<Result<UpstreamPool::Lease>> UpstreamPool::take(bool fresh, Deadline deadline, Stop* stop) {
  const auto oldest = Clock::now() - kMaxIdle;
  std::erase_if(idle_, [&](const Idle& i) { return i.since < oldest; });
  Lease lease;
  while (!fresh && !idle_.empty()) {
    auto connection = std::move(idle_.back().connection);
    idle_.pop_back();
    if (!is_quiet(connection->fd())) continue;
    lease.connection = std::move(connection);
    lease.reused = true;
    co_return lease;
  }
  Address address = address_;
  auto socket = co_await connect_to(loop_, std::move(address), deadline, stop);
  if (!socket) {
    const Error& e = socket.error();
    co_return tl::unexpected(Error(Origin::kSwift, e.kind(), e.what(), e.sys_errno()));
  }
  lease.connection = std::make_unique<http::Connection>(loop_, std::move(*socket));
  co_return lease;
}

void UpstreamPool::give_back(std::unique_ptr<http::Connection> connection) {
  if (connection->buffered() != 0 || !connection->body_done()) return;
  if (idle_.size() >= max_idle_) return;
  idle_.push_back({std::move(connection), Clock::now()});
}

bool can_repeat(const http::RequestHead& head) {
  const bool no_body =
      head.framing.body == http::Framing::Body::kNone ||
      (head.framing.body == http::Framing::Body::kLength && head.framing.length == 0);
  return no_body && (head.method == "GET" || head.method == "HEAD" || head.method == "OPTIONS" ||
                        head.method == "DELETE");
}

}  // namespace zvm::bridge
