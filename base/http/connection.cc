#include "base/http/connection.h"

#include <poll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace zvm::http {

namespace {

constexpr size_t kMinFill = 4 * 1024;
constexpr size_t kMaxFill = 64 * 1024;
constexpr const char* kBodyLeft = "the body of the last message has not been read to its end";

Error io_error(Origin peer, std::string_view doing, int rc) {
  const Error e = errno_error(doing, -rc);
  return Error(peer, e.kind(), e.what(), -rc);
}

std::span<std::byte> bytes_of(char* data, size_t size) {
  return std::as_writable_bytes(std::span<char>(data, size));
}

// One receive; waits where the socket is non-blocking.
Task<int> receive(Loop& loop, FdRef fd, std::span<std::byte> into, Deadline deadline, Stop* stop) {
  for (;;) {
    const int n = co_await loop.recv(fd, into, deadline, stop);
    if (n == -EINTR) continue;
    if (n != -EAGAIN) co_return n;
    const int ready = co_await loop.poll(fd, POLLIN, deadline, stop);
    if (ready < 0 && ready != -EINTR) co_return ready;
  }
}

using Parts = std::array<std::string_view, 3>;

// 0 when every byte of every part has been sent, else -errno.
Task<int> send_all(Loop& loop, FdRef fd, Parts parts, Deadline deadline, Stop* stop) {
  size_t left = 0;
  for (const auto& part : parts) left += part.size();
  while (left > 0) {
    std::array<iovec, 3> iov{};
    msghdr msg{};
    msg.msg_iov = iov.data();
    for (const auto& part : parts) {
      if (part.empty()) continue;
      iov[msg.msg_iovlen++] = {const_cast<char*>(part.data()), part.size()};
    }
    const int n = co_await loop.sendmsg(fd, &msg, deadline, stop);
    if (n == -EAGAIN) {
      const int ready = co_await loop.poll(fd, POLLOUT, deadline, stop);
      if (ready < 0 && ready != -EINTR) co_return ready;
      continue;
    }
    if (n == -EINTR) continue;
    if (n < 0) co_return n;
    size_t sent = static_cast<size_t>(n);
    left -= sent;
    for (auto& part : parts) {
      const size_t of_part = std::min(sent, part.size());
      part.remove_prefix(of_part);
      sent -= of_part;
    }
  }
  co_return 0;
}

}  // namespace

Connection::Connection(Loop& loop, UniqueFd socket, Limits limits)
    : loop_(loop), socket_(std::move(socket)), limits_(limits) {}

Connection::~Connection() = default;

size_t Connection::buffered() const {
  return buffer_.size() - begin_;
}

bool Connection::body_done() const {
  return body_done_;
}

// Receives once behind what is buffered; 0 = end of stream.
Task<Result<size_t>> Connection::fill(Deadline deadline, Stop* stop) {
  if (begin_ > 0) {
    buffer_.erase(0, begin_);
    begin_ = 0;
  }
  // PERF: connections are many and mostly idle, so the buffer grows only with those that are busy.
  const size_t had = buffer_.size();
  const size_t room = next_fill_;
  buffer_.resize(had + room);
  const std::span<std::byte> into = bytes_of(buffer_.data() + had, room);
  const int n = co_await receive(loop_, fd(), into, deadline, stop);
  buffer_.resize(had + static_cast<size_t>(std::max(n, 0)));
  if (n < 0) co_return tl::unexpected(io_error(peer_, "receiving", n));
  if (static_cast<size_t>(n) == room) next_fill_ = std::min(room * 2, kMaxFill);
  if (static_cast<size_t>(n) < room / 4) next_fill_ = std::max(room / 2, kMinFill);
  co_return static_cast<size_t>(n);
}

// Fills until a line has come in, since only then the head can have more to say.
// PERF: a head that arrives in single bytes is looked at once per line and not once per byte.
Task<Result<bool>> Connection::fill_line(Deadline deadline, Stop* stop) {
  for (;;) {
    const size_t had = buffered();
    auto got = co_await fill(deadline, stop);
    if (!got) co_return tl::unexpected(std::move(got).error());
    if (*got == 0) co_return false;
    if (buffered() > limits_.head_bytes || buffer_.find('\n', begin_ + had) != buffer_.npos)
      co_return true;
  }
}

void Connection::begin_body(const Framing& framing, size_t head_size) {
  begin_ += head_size;
  reading_ = framing;
  left_ = framing.body == Framing::Body::kLength ? framing.length : 0;
  chunked_ = ChunkedDecoder();
  body_done_ = framing.body == Framing::Body::kNone ||
               (framing.body == Framing::Body::kLength && framing.length == 0);
}

Task<Result<std::optional<RequestHead>>> Connection::read_request(Deadline deadline, Stop* stop) {
  if (!body_done_) co_return fail(Origin::kHost, Kind::kInternal, kBodyLeft);
  peer_ = Origin::kClient;
  for (bool more = buffered() == 0;; more = true) {
    if (more) {
      ZVM_CO_TRY(const bool open, co_await fill_line(deadline, stop));
      if (!open && buffered() == 0) co_return std::nullopt;
      if (!open) co_return fail(peer_, Kind::kDisconnected, "the client left in a request head");
    }
    const std::string_view in = std::string_view(buffer_).substr(begin_);
    ZVM_CO_TRY(auto parsed, parse_request_head(in, limits_));
    if (!parsed) continue;
    begin_body(parsed->head.framing, parsed->consumed);
    co_return std::optional<RequestHead>(std::move(parsed->head));
  }
}

Task<Result<ResponseHead>> Connection::read_response(
    std::string request_method, Deadline deadline, Stop* stop) {
  if (!body_done_) co_return fail(Origin::kHost, Kind::kInternal, kBodyLeft);
  peer_ = Origin::kSwift;
  for (bool more = buffered() == 0;; more = true) {
    if (more) {
      ZVM_CO_TRY(const bool open, co_await fill_line(deadline, stop));
      if (!open)
        co_return fail(peer_, Kind::kDisconnected,
            buffered() == 0 ? "the server closed without an answer"
                            : "the server closed in an answer's head");
    }
    const std::string_view in = std::string_view(buffer_).substr(begin_);
    ZVM_CO_TRY(auto parsed, parse_response_head(in, request_method, limits_));
    if (!parsed) continue;
    begin_body(parsed->head.framing, parsed->consumed);
    co_return std::move(parsed->head);
  }
}

// Takes from the buffer; with an empty one, receives into the caller's memory.
Task<Result<size_t>> Connection::read_raw(
    std::span<std::byte> into, Deadline deadline, Stop* stop) {
  if (into.empty()) co_return size_t{0};
  if (const size_t n = std::min(buffered(), into.size()); n > 0) {
    std::memcpy(into.data(), buffer_.data() + begin_, n);
    begin_ += n;
    co_return n;
  }
  const int n = co_await receive(loop_, fd(), into, deadline, stop);
  if (n < 0) co_return tl::unexpected(io_error(peer_, "receiving", n));
  co_return static_cast<size_t>(n);
}

Task<Result<size_t>> Connection::read_chunked(
    std::span<std::byte> into, Deadline deadline, Stop* stop) {
  for (;;) {
    // No more than the caller has room for: the decoder keeps what it gave no account of.
    const std::string_view in = std::string_view(buffer_).substr(begin_, into.size());
    auto step = chunked_.feed(in);
    if (!step) co_return tl::unexpected(Error(peer_, step.error().kind(), step.error().what()));
    begin_ += step->consumed;
    if (!step->data.empty()) {
      std::memcpy(into.data(), step->data.data(), step->data.size());
      co_return step->data.size();
    }
    if (step->done) {
      body_done_ = true;
      co_return size_t{0};
    }
    if (buffered() > 0) continue;
    ZVM_CO_TRY(const size_t got, co_await fill(deadline, stop));
    if (got == 0) co_return fail(peer_, Kind::kDisconnected, "the peer closed in a chunked body");
  }
}

Task<Result<size_t>> Connection::read_body(
    std::span<std::byte> into, Deadline deadline, Stop* stop) {
  if (body_done_ || into.empty()) co_return size_t{0};
  if (reading_.body == Framing::Body::kChunked)
    co_return co_await read_chunked(into, deadline, stop);
  if (reading_.body == Framing::Body::kLength)
    into = into.first(static_cast<size_t>(std::min<uint64_t>(into.size(), left_)));
  ZVM_CO_TRY(const size_t got, co_await read_raw(into, deadline, stop));
  if (reading_.body == Framing::Body::kUntilClose) {
    body_done_ = got == 0;
    co_return got;
  }
  if (got == 0)
    co_return fail(peer_, Kind::kDisconnected,
        "the peer closed " + std::to_string(left_) + " bytes before the end of a body");
  left_ -= got;
  body_done_ = left_ == 0;
  co_return got;
}

Task<Result<std::string>> Connection::read_body_all(size_t limit, Deadline deadline, Stop* stop) {
  const auto too_long = [&] {
    return fail(
        peer_, Kind::kOverloaded, "the body is longer than " + std::to_string(limit) + " bytes");
  };
  std::string body;
  if (!body_done_ && reading_.body == Framing::Body::kLength) {
    if (left_ > limit) co_return too_long();
    body.reserve(static_cast<size_t>(left_));
  }
  while (!body_done_) {
    const size_t had = body.size();
    // One byte more than the limit shows that there is more.
    const size_t room = std::min(kMaxFill - 1, limit - had) + 1;
    body.resize(had + room);
    const std::span<std::byte> into = bytes_of(body.data() + had, room);
    ZVM_CO_TRY(const size_t got, co_await read_body(into, deadline, stop));
    body.resize(had + got);
    if (body.size() > limit) co_return too_long();
  }
  co_return body;
}

Task<Status> Connection::write(std::string_view bytes, Deadline deadline, Stop* stop) {
  Parts parts;
  parts[0] = bytes;
  const int rc = co_await send_all(loop_, fd(), parts, deadline, stop);
  if (rc < 0) co_return tl::unexpected(io_error(peer_, "sending", rc));
  co_return Status();
}

Task<Status> Connection::write_request(const RequestHead& head, Deadline deadline, Stop* stop) {
  peer_ = Origin::kSwift;
  ZVM_CO_TRY(const std::string bytes, serialize(head));
  write_chunked_ = head.headers.has_token("Transfer-Encoding", "chunked");
  co_return co_await write(bytes, deadline, stop);
}

Task<Status> Connection::write_response(const ResponseHead& head, Deadline deadline, Stop* stop) {
  ZVM_CO_TRY(const std::string bytes, serialize(head));
  write_chunked_ = head.headers.has_token("Transfer-Encoding", "chunked");
  co_return co_await write(bytes, deadline, stop);
}

Task<Status> Connection::write_body(std::string_view bytes, Deadline deadline, Stop* stop) {
  // An empty chunk would be the last one.
  if (bytes.empty()) co_return Status();
  if (!write_chunked_) co_return co_await write(bytes, deadline, stop);
  const std::string head = chunk_head(bytes.size());
  Parts parts;
  parts[0] = head;
  parts[1] = bytes;
  parts[2] = "\r\n";
  const int rc = co_await send_all(loop_, fd(), parts, deadline, stop);
  if (rc < 0) co_return tl::unexpected(io_error(peer_, "sending", rc));
  co_return Status();
}

Task<Status> Connection::end_body(Deadline deadline, Stop* stop) {
  if (!write_chunked_) co_return Status();
  write_chunked_ = false;
  co_return co_await write(kLastChunk, deadline, stop);
}

Task<int> Connection::wait_closed(Deadline deadline, Stop* stop) {
  for (;;) {
    const int events = co_await loop_.poll(fd(), POLLRDHUP | POLLHUP | POLLERR, deadline, stop);
    if (events == -EINTR) continue;
    co_return std::min(events, 0);
  }
}

}  // namespace zvm::http
