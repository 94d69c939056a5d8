#include "swift_bridge/relay.h"

#include <poll.h>

#include <memory>
#include <optional>
#include <span>
#include <string>

#include "swift_bridge/connection.h"
#include "swift_bridge/linked_stop.h"

namespace zvm::bridge {

namespace {

using Body = http::Framing::Body;

// Header lines that speak of one connection (RFC 9110, 7.6.1).
constexpr std::string_view kHopByHop[] = {
    "Connection", "Keep-Alive", "Proxy-Connection", "TE", "Trailer", "Upgrade"};
// SECURITY: never dropped because a Connection line names them: the message would change its length
// or its meaning on the way.
constexpr std::string_view kEndToEnd[] = {"Content-Length", "Transfer-Encoding", "Host", "Expect"};

// How often a client that has stopped sending is looked at.
constexpr std::chrono::milliseconds kLookAgain{500};

bool is_one_of(std::string_view name, std::span<const std::string_view> names) {
  for (const auto& n : names)
    if (http::equal_ignoring_case(n, name)) return true;
  return false;
}

http::Headers without_hop_by_hop(const http::Headers& headers) {
  http::Headers out;
  for (const auto& h : headers) {
    if (is_one_of(h.name, kHopByHop)) continue;
    if (!is_one_of(h.name, kEndToEnd) && headers.has_token("Connection", h.name)) continue;
    out.add(h.name, h.value);
  }
  return out;
}

bool has_body(const http::Framing& framing) {
  return framing.body != Body::kNone && !(framing.body == Body::kLength && framing.length == 0);
}

std::string_view text_of(const std::byte* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// One request on one connection to Swift.
class Exchange {
 public:
  Exchange(Loop& loop, const Config& config, http::Connection& client,
      const http::RequestHead& request, UpstreamPool::Lease lease, Stop* stop)
      : loop_(loop),
        config_(config),
        client_(client),
        request_(request),
        upstream_(std::move(lease.connection)),
        reused_(lease.reused),
        stop_(loop, stop),
        headed_(loop),
        tasks_(loop) {}

  struct End {
    bool again = false;           // nothing has happened: send it once more, on a new connection
    bool linger = false;          // it can not, but may still be reading the answer
    bool keep_client = false;     // the client's connection can carry another request
    std::optional<Error> failed;  // no answer has been sent to the client
  };

  Task<End> run();
  // The connection, when nothing of this exchange is left on it.
  std::unique_ptr<http::Connection> take_reusable();

 private:
  enum class Upload : uint8_t { kRunning, kComplete, kRefused, kBroken };

  Task<void> send_body();
  Task<Status> read_head();
  Task<Status> pass_answer();
  Task<bool> settle_upload();
  Task<void> watch_client();
  End no_answer(Error error, bool stopped);
  bool final_without_continue() const;

  Loop& loop_;
  const Config& config_;
  http::Connection& client_;
  const http::RequestHead& request_;
  std::unique_ptr<http::Connection> upstream_;
  bool reused_;
  LinkedStop stop_;  // ends what waits on either side
  Stop over_;        // the exchange has ended: ends watch_client()
  Event headed_;     // the final answer's head is here
  TaskGroup tasks_;  // send_body(), watch_client()
  http::ResponseHead answer_;
  Upload upload_ = Upload::kRunning;
  std::optional<Error> upload_error_;
  bool timed_out_ = false;
  bool saw_interim_ = false;
  bool saw_continue_ = false;
  bool clean_ = false;
};

// The client's body to Swift. It goes on when Swift has answered already: Swift reads and drops the
// rest, and both connections stay usable.
Task<void> Exchange::send_body() {
  auto buffer = std::make_unique_for_overwrite<std::byte[]>(kRelayBuffer);
  const std::span<std::byte> into(buffer.get(), kRelayBuffer);
  while (true) {
    auto got = co_await client_.read_body(into, deadline_in(config_.body_timeout), stop_.get());
    if (!got) {
      // SECURITY: a body that broke off must not look complete to Swift: the connection is closed.
      upload_ = Upload::kBroken;
      if (!stop_.stopped()) upload_error_ = std::move(got).error();
      stop_.stop();
      co_return;
    }
    if (*got == 0) break;
    auto sent = co_await upstream_->write_body(
        text_of(buffer.get(), *got), deadline_in(config_.answer_timeout), stop_.get());
    if (!sent) {
      upload_ = Upload::kRefused;  // what Swift has to say about it is its answer
      break;
    }
  }
  if (upload_ == Upload::kRunning) {
    auto ended = co_await upstream_->end_body(deadline_in(config_.answer_timeout), stop_.get());
    upload_ = ended ? Upload::kComplete : Upload::kRefused;
  }
  // read_head() has no deadline of its own: whatever became of the body, this one ends it.
  const int rc = co_await headed_.wait(deadline_in(config_.answer_timeout), stop_.get());
  if (rc == -ETIME) {
    timed_out_ = true;
    stop_.stop();
  }
}

// A TCP peer that has closed looks like one that has shut down its sending side until something is
// sent to it, so FIN alone is no abort; a reset or a closed Unix socket is.
// KERNEL: io_uring's poll reports POLLRDHUP even unasked (IO_POLL_UNMASK), so after a FIN it can
// not wait for more; from then on the socket is looked at now and then.
Task<void> Exchange::watch_client() {
  constexpr int kGone = POLLHUP | POLLERR | POLLNVAL;
  int events = co_await loop_.poll(client_.fd(), 0, kNever, &over_);
  while (events >= 0 && (events & kGone) == 0) {
    const int slept = co_await loop_.sleep_until(deadline_in(kLookAgain), &over_);
    if (slept < 0) co_return;
    pollfd look{client_.fd().fd, 0, 0};
    events = ::poll(&look, 1, 0) < 0 ? 0 : look.revents;
  }
  if (events > 0) stop_.stop();
}

// Reads to the final head; relays what comes before it.
Task<Status> Exchange::read_head() {
  const bool uploading = has_body(request_.framing);
  while (true) {
    // With a body on its way, send_body() keeps the time.
    Deadline deadline = kNever;
    if (!uploading) deadline = deadline_in(config_.answer_timeout);
    ZVM_CO_TRY(answer_, co_await upstream_->read_response(request_.method, deadline, stop_.get()));
    if (answer_.status / 100 != 1) co_return Status();
    if (answer_.status == 101)
      co_return fail(Origin::kSwift, Kind::kInvalid, "Swift switched protocols unasked");
    saw_interim_ = true;
    saw_continue_ |= answer_.status == 100;
    if (request_.minor == 0) continue;
    const http::ResponseHead interim = forwarded(answer_, request_, true);
    ZVM_CO_CHECK_OK(
        co_await client_.write_response(interim, deadline_in(config_.send_timeout), stop_.get()));
  }
}

// Swift closes after such an answer, without saying so; and whether the client still sends its body
// can not be known.
bool Exchange::final_without_continue() const {
  return request_.framing.expect_continue && !saw_continue_;
}

Task<Status> Exchange::pass_answer() {
  auto buffer = std::make_unique_for_overwrite<std::byte[]>(kRelayBuffer);
  const std::span<std::byte> into(buffer.get(), kRelayBuffer);
  while (true) {
    ZVM_CO_TRY(const size_t got,
        co_await upstream_->read_body(into, deadline_in(config_.answer_timeout), stop_.get()));
    if (got == 0) break;
    ZVM_CO_CHECK_OK(co_await client_.write_body(
        text_of(buffer.get(), got), deadline_in(config_.send_timeout), stop_.get()));
  }
  if (answer_.framing.body != Body::kChunked) co_return Status();
  co_return co_await client_.end_body(deadline_in(config_.send_timeout), stop_.get());
}

// After the answer: true when the request's body was taken to its end.
Task<bool> Exchange::settle_upload() {
  if (!has_body(request_.framing)) co_return true;
  if (final_without_continue() && upload_ == Upload::kRunning) stop_.stop();
  // send_body() ends by itself: each of its steps has a deadline.
  co_await tasks_.join();
  co_return upload_ == Upload::kComplete;
}

Exchange::End Exchange::no_answer(Error error, bool stopped) {
  End end;
  const bool untouched = error.kind() == Kind::kDisconnected && !saw_interim_ &&
                         upstream_->buffered() == 0 && !stopped;
  if (reused_ && untouched && can_repeat(request_)) {
    end.again = true;
  } else if (upload_error_) {
    end.failed = std::move(*upload_error_);
  } else if (timed_out_) {
    end.failed = Error(Origin::kSwift, Kind::kTimeout, "Swift did not answer in time");
  } else {
    end.failed = std::move(error);
  }
  return end;
}

Task<Exchange::End> Exchange::run() {
  End end;
  TaskGroup watching(loop_);
  watching.spawn(watch_client());
  const http::RequestHead head = forwarded(request_);
  auto done =
      co_await upstream_->write_request(head, deadline_in(config_.ask_timeout), stop_.get());
  if (done) {
    if (has_body(request_.framing)) tasks_.spawn(send_body());
    done = co_await read_head();
  }
  headed_.set();
  if (!done) {
    const bool stopped = stop_.stopped();
    stop_.stop();
    co_await tasks_.join();
    end = no_answer(std::move(done).error(), stopped);
  } else {
    const bool lasting = answer_.framing.body != Body::kUntilClose &&
                         !(answer_.framing.body == Body::kChunked && request_.minor == 0);
    end.keep_client = request_.framing.keep_alive && lasting &&
                      (!final_without_continue() || !has_body(request_.framing));
    const http::ResponseHead out = forwarded(answer_, request_, end.keep_client);
    done = co_await client_.write_response(out, deadline_in(config_.send_timeout), stop_.get());
    if (done) done = co_await pass_answer();
    if (!done) {
      end.keep_client = false;
      stop_.stop();
    }
    const bool sent = co_await settle_upload();
    clean_ = done.has_value() && sent && answer_.framing.keep_alive && !final_without_continue();
    end.keep_client = end.keep_client && sent;
    end.linger = done.has_value() && !end.keep_client;
  }
  over_.stop();
  co_await watching.join();
  co_await tasks_.join();
  co_await stop_.release();
  co_return end;
}

std::unique_ptr<http::Connection> Exchange::take_reusable() {
  if (!clean_) return nullptr;
  return std::move(upstream_);
}

unsigned status_without_answer(const Error& error) {
  if (error.origin() == Origin::kClient) {
    if (error.kind() == Kind::kTimeout) return 408;
    if (error.kind() == Kind::kInvalid) return 400;
    return 0;  // the client has gone
  }
  if (error.kind() == Kind::kCancelled) return 0;
  return error.kind() == Kind::kTimeout ? 504 : 502;
}

Task<Exchange::End> exchange_once(Loop& loop, UpstreamPool& pool, const Config& config,
    http::Connection& client, const http::RequestHead& head, bool fresh, Stop* stop) {
  Exchange::End end;
  auto lease = co_await pool.take(fresh, deadline_in(config.ask_timeout), stop);
  if (!lease) {
    end.failed = std::move(lease).error();
    co_return end;
  }
  Exchange exchange(loop, config, client, head, std::move(*lease), stop);
  end = co_await exchange.run();
  if (auto connection = exchange.take_reusable()) pool.give_back(std::move(connection));
  co_return end;
}

}  // namespace

http::RequestHead forwarded(const http::RequestHead& head) {
  http::RequestHead out;
  out.method = head.method;
  out.target = head.target;
  out.headers = without_hop_by_hop(head.headers);
  // HTTP/1.0 knows no 100, so that a client of it can not wait for one.
  if (head.minor == 0) out.headers.remove("Expect");
  return out;
}

http::ResponseHead forwarded(
    const http::ResponseHead& head, const http::RequestHead& request, bool keep_client) {
  http::ResponseHead out;
  out.status = head.status;
  out.reason = head.reason;
  out.headers = without_hop_by_hop(head.headers);
  if (request.minor == 0) {
    out.headers.remove("Transfer-Encoding");
    if (keep_client) out.headers.add("Connection", "keep-alive");
  }
  if (!keep_client) out.headers.add("Connection", "close");
  return out;
}

Task<bool> Relay::pass(http::Connection& client, http::RequestHead head, Stop* stop) {
  bool fresh = !can_repeat(head);
  auto end = co_await exchange_once(loop_, pool_, config_, client, head, fresh, stop);
  if (end.again) {
    fresh = true;
    end = co_await exchange_once(loop_, pool_, config_, client, head, fresh, stop);
  }
  if (end.failed) {
    const unsigned status = status_without_answer(*end.failed);
    if (status == 0) co_return false;
    std::string text =
        status < 500 ? end.failed->what() : "The object store: " + end.failed->what();
    end.linger = co_await answer_text(
        client, status, std::move(text), false, deadline_in(config_.send_timeout));
  }
  if (end.linger) co_await close_gently(loop_, client);
  co_return end.keep_client;
}

}  // namespace zvm::bridge
