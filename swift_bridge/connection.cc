#include "swift_bridge/connection.h"

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <memory>

#include "swift_bridge/route.h"

namespace zvm::bridge {

namespace {

constexpr std::chrono::seconds kLinger{5};

// The answer to a request whose head could not be read; 0: none, the client has gone.
unsigned status_of_bad_head(const Error& error, const http::Connection& client) {
  switch (error.kind()) {
    case Kind::kInvalid:
      return 400;
    case Kind::kOverloaded:
      return 431;
    case Kind::kTimeout:
      return client.buffered() > 0 ? 408 : 0;
    default:
      return 0;
  }
}

}  // namespace

Task<bool> answer_text(http::Connection& client, unsigned status, std::string text, bool keep_alive,
    Deadline deadline) {
  http::ResponseHead head;
  head.status = status;
  text += '\n';
  head.headers.add("Content-Type", "text/plain; charset=UTF-8");
  head.headers.add("Content-Length", std::to_string(text.size()));
  if (!keep_alive) head.headers.add("Connection", "close");
  auto sent = co_await client.write_response(head, deadline);
  if (!sent) co_return false;
  sent = co_await client.write_body(text, deadline);
  co_return sent.has_value();
}

Task<void> close_gently(Loop& loop, http::Connection& client) {
  ::shutdown(client.fd().fd, SHUT_WR);
  const Deadline deadline = deadline_in(kLinger);
  auto sink = std::make_unique_for_overwrite<std::byte[]>(kRelayBuffer);
  const std::span<std::byte> into(sink.get(), kRelayBuffer);
  for (;;) {
    const int n = co_await loop.recv(client.fd(), into, deadline);
    if (n <= 0) break;
  }
}

Task<void> serve_connection(Service& service, UniqueFd socket, Stop* idle, Stop* stop) {
  const Config& config = service.config;
  http::Connection client(service.loop, std::move(socket));
  auto patience = config.header_timeout;
  for (bool keep = true; keep; patience = config.idle_timeout) {
    if (client.buffered() == 0) {
      const int ready =
          co_await service.loop.poll(client.fd(), POLLIN, deadline_in(patience), idle);
      if (ready < 0) co_return;
    }
    auto request = co_await client.read_request(deadline_in(config.header_timeout), stop);
    if (!request) {
      const unsigned status = status_of_bad_head(request.error(), client);
      if (status == 0) co_return;
      std::string why = request.error().what();
      const bool sent = co_await answer_text(
          client, status, std::move(why), false, deadline_in(config.header_timeout));
      if (sent) co_await close_gently(service.loop, client);
      co_return;
    }
    if (!request->has_value()) co_return;
    http::RequestHead head = std::move(**request);
    if (route(head) == Route::kJob) {
      keep = co_await service.jobs.serve(client, std::move(head), stop);
    } else {
      keep = co_await service.relay.pass(client, std::move(head), stop);
    }
    if (idle->stopped()) co_return;
  }
}

}  // namespace zvm::bridge
