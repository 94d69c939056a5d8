#include <string>

#include "base/http/connection.h"
#include "tests/unit/base/on_loop.h"

namespace zvm::http {

namespace {

using namespace std::chrono_literals;
using test::on_loop;
using test::patient;
using test::put;
using test::SocketPair;

// Head and body of the next request: "GET /x|body", or what went wrong in brackets.
Task<std::string> next_request(Connection& c, size_t limit = 1 << 20) {
  auto head = co_await c.read_request(patient());
  if (!head) co_return "<" + head.error().what() + ">";
  if (!*head) co_return "<closed>";
  auto body = co_await c.read_body_all(limit, patient());
  if (!body) co_return "<" + body.error().what() + ">";
  co_return (*head)->method + " " + (*head)->target + "|" + *body;
}

Task<std::string> next_response(Connection& c, std::string method) {
  auto head = co_await c.read_response(method, patient());
  if (!head) co_return "<" + head.error().what() + ">";
  auto body = co_await c.read_body_all(1 << 20, patient());
  if (!body) co_return "<" + body.error().what() + ">";
  co_return std::to_string(head->status) + "|" + *body;
}

Task<void> pipelined(Loop& loop) {
  SocketPair pair;
  Connection c(loop, std::move(pair.a));
  put(pair.b,
      "PUT /1 HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"
      "GET /2 HTTP/1.1\r\n\r\n"
      "PUT /3 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n1\r\nf\r\n0\r\n\r\n"
      "PUT /4 HTTP/1.1\r\nContent-Length: 0\r\n\r\n");
  pair.b.reset();
  for (const char* expected : {"PUT /1|abc", "GET /2|", "PUT /3|def", "PUT /4|", "<closed>"}) {
    const std::string got = co_await next_request(c);
    EXPECT_EQ(got, expected);
    EXPECT_TRUE(c.body_done());
  }
}

TEST(HttpConnection, ReadsPipelinedRequestsOfEveryFraming) {
  on_loop(pipelined);
}

Task<void> dribble(Loop& loop, FdRef to, std::string_view text) {
  for (const char c : text) {
    put(to, std::string_view(&c, 1));
    (void)co_await loop.sleep_until(Clock::now());
  }
}

Task<void> byte_by_byte(Loop& loop) {
  SocketPair pair;
  Connection c(loop, std::move(pair.a));
  TaskGroup group(loop);
  group.spawn(dribble(loop, pair.b,
      "PUT /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;e=1\r\nabc\r\n0\r\nT: x\r\n\r\n"
      "GET /y HTTP/1.1\r\n\r\n"));
  const std::string first = co_await next_request(c);
  EXPECT_EQ(first, "PUT /x|abc");
  const std::string second = co_await next_request(c);
  EXPECT_EQ(second, "GET /y|");
  co_await group.join();
}

TEST(HttpConnection, ReadsWhatComesByteByByte) {
  on_loop(byte_by_byte);
}

Task<void> responses(Loop& loop) {
  SocketPair pair;
  Connection c(loop, std::move(pair.a));
  put(pair.b,
      "HTTP/1.1 100 Continue\r\n\r\n"
      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
      "HTTP/1.0 200 OK\r\n\r\nto the end");
  pair.b.reset();
  const std::string interim = co_await next_response(c, "PUT");
  EXPECT_EQ(interim, "100|");
  const std::string with_length = co_await next_response(c, "PUT");
  EXPECT_EQ(with_length, "200|hello");
  const std::string of_head = co_await next_response(c, "HEAD");
  EXPECT_EQ(of_head, "200|");
  const std::string until_close = co_await next_response(c, "GET");
  EXPECT_EQ(until_close, "200|to the end");
  auto none = co_await c.read_response("GET", patient());
  EXPECT_FALSE(none);
  EXPECT_EQ(none.error().kind(), Kind::kDisconnected);
  EXPECT_EQ(none.error().origin(), Origin::kSwift);
}

TEST(HttpConnection, ReadsAnswersOfEveryFraming) {
  on_loop(responses);
}

Task<void> cut_short(Loop& loop, std::string_view bytes, Kind* kind) {
  SocketPair pair;
  Connection c(loop, std::move(pair.a));
  put(pair.b, bytes);
  pair.b.reset();
  auto head = co_await c.read_request(patient());
  if (!head) {
    *kind = head.error().kind();
    co_return;
  }
  auto body = co_await c.read_body_all(100, patient());
  EXPECT_FALSE(body);
  EXPECT_FALSE(c.body_done());
  if (!body) *kind = body.error().kind();
}

TEST(HttpConnection, APeerThatClosesEarlyIsDisconnected) {
  for (const char* bytes :
      {"G", "GET / HTTP/1.1\r\nA: b\r\n", "PUT / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhell",
          "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
          "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"}) {
    Kind kind = Kind::kInternal;
    on_loop(cut_short, std::string_view(bytes), &kind);
    EXPECT_EQ(kind, Kind::kDisconnected) << bytes;
  }
}

TEST(HttpConnection, ABodyLongerThanTheLimitIsOverloaded) {
  for (const std::string head : {"PUT / HTTP/1.1\r\nContent-Length: 101\r\n\r\n",
           "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n"}) {
    Kind kind = Kind::kInternal;
    on_loop(cut_short, std::string_view(head + std::string(101, 'x')), &kind);
    EXPECT_EQ(kind, Kind::kOverloaded) << head;
  }
}

Task<void> head_too_long(Loop& loop) {
  SocketPair pair;
  Limits limits;
  limits.head_bytes = 100;
  Connection c(loop, std::move(pair.a), limits);
  put(pair.b, std::string(101, 'x'));
  auto head = co_await c.read_request(patient());
  EXPECT_FALSE(head);
  EXPECT_EQ(head.error().kind(), Kind::kOverloaded);
}

TEST(HttpConnection, AHeadWithoutEndStopsAtTheLimit) {
  on_loop(head_too_long);
}

Task<void> deadline_and_stop(Loop& loop) {
  SocketPair pair;
  Connection c(loop, std::move(pair.a));
  put(pair.b, "GET / HT");
  auto late = co_await c.read_request(deadline_in(1ms));
  EXPECT_FALSE(late);
  EXPECT_EQ(late.error().kind(), Kind::kTimeout);
  Stop stop;
  stop.stop();
  auto stopped = co_await c.read_request(patient(), &stop);
  EXPECT_FALSE(stopped);
  EXPECT_EQ(stopped.error().kind(), Kind::kCancelled);
  put(pair.b, "TP/1.1\r\n\r\n");
  const std::string whole = co_await next_request(c);
  EXPECT_EQ(whole, "GET /|");
}

TEST(HttpConnection, ADeadlineInAHeadLosesNoByte) {
  on_loop(deadline_and_stop);
}

Task<void> serve_large(Loop& loop, UniqueFd fd, std::string_view body) {
  Connection c(loop, std::move(fd));
  auto head = co_await c.read_request(patient());
  EXPECT_TRUE(head && *head);
  ResponseHead answer;
  answer.headers.add("Transfer-Encoding", "chunked");
  auto status = co_await c.write_response(answer, patient());
  EXPECT_TRUE(status);
  status = co_await c.write_body("", patient());
  EXPECT_TRUE(status);
  // The first one does not fit a socket's buffer.
  status = co_await c.write_body(body.substr(0, 3'000'000), patient());
  EXPECT_TRUE(status);
  status = co_await c.write_body(body.substr(3'000'000), patient());
  EXPECT_TRUE(status);
  status = co_await c.end_body(patient());
  EXPECT_TRUE(status);
}

Task<void> large_bodies(Loop& loop) {
  std::string body(5'000'000, '\0');
  for (size_t i = 0; i < body.size(); ++i) body[i] = static_cast<char>(i * 31 >> 8);
  SocketPair pair;
  TaskGroup group(loop);
  group.spawn(serve_large(loop, std::move(pair.a), body));
  Connection c(loop, std::move(pair.b));
  RequestHead head;
  head.method = "GET";
  head.target = "/";
  auto status = co_await c.write_request(head, patient());
  EXPECT_TRUE(status);
  auto answer = co_await c.read_response("GET", patient());
  EXPECT_TRUE(answer);
  auto got = co_await c.read_body_all(body.size(), patient());
  EXPECT_TRUE(got && *got == body);
  co_await group.join();
}

TEST(HttpConnection, LargeChunkedBodiesArriveWhole) {
  on_loop(large_bodies);
}

Task<void> upgrade(Loop& loop) {
  SocketPair pair;
  Connection c(loop, std::move(pair.a));
  put(pair.b, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nraw");
  auto head = co_await c.read_response("POST", patient());
  EXPECT_TRUE(head && head->framing.upgrade);
  EXPECT_EQ(c.buffered(), 3u);
  std::array<std::byte, 2> buffer{};
  const std::span<std::byte> into = buffer;
  std::string got;
  put(pair.b, " bytes");
  pair.b.reset();
  for (;;) {
    auto n = co_await c.read_raw(into, patient());
    EXPECT_TRUE(n);
    if (!n || *n == 0) break;
    got.append(reinterpret_cast<const char*>(buffer.data()), *n);
  }
  EXPECT_EQ(got, "raw bytes");
}

TEST(HttpConnection, AfterAnUpgradeBytesComeAsTheyAre) {
  on_loop(upgrade);
}

Task<void> note_closed(Connection& c, Deadline deadline, int* result) {
  *result = co_await c.wait_closed(deadline);
}

Task<void> waits_for_close(Loop& loop) {
  SocketPair pair;
  Connection c(loop, std::move(pair.a));
  put(pair.b, "unread");
  const int open = co_await c.wait_closed(deadline_in(1ms));
  EXPECT_EQ(open, -ETIME);
  int result = 1;
  TaskGroup group(loop);
  group.spawn(note_closed(c, patient(), &result));
  (void)co_await loop.sleep_until(deadline_in(1ms));
  EXPECT_EQ(result, 1);
  ::shutdown(pair.b.get(), SHUT_WR);
  co_await group.join();
  EXPECT_EQ(result, 0);
}

TEST(HttpConnection, WaitClosedSeesAHalfCloseBehindUnreadBytes) {
  on_loop(waits_for_close);
}

Task<void> write_to_closed(Loop& loop) {
  SocketPair pair;
  Connection c(loop, std::move(pair.a));
  pair.b.reset();
  auto status = co_await c.write("x", patient());
  EXPECT_FALSE(status);
  EXPECT_EQ(status.error().kind(), Kind::kDisconnected);
}

TEST(HttpConnection, WritingToAClosedPeerIsDisconnected) {
  on_loop(write_to_closed);
}

Task<void> write_to_full(Loop& loop) {
  SocketPair pair;
  Connection c(loop, std::move(pair.a));
  const std::string much(4'000'000, 'x');
  auto status = co_await c.write(much, deadline_in(5ms));
  EXPECT_FALSE(status);
  EXPECT_EQ(status.error().kind(), Kind::kTimeout);
}

TEST(HttpConnection, WritingToAPeerThatDoesNotReadTimesOut) {
  on_loop(write_to_full);
}

Task<void> body_left(Loop& loop) {
  SocketPair pair;
  Connection c(loop, std::move(pair.a));
  put(pair.b, "PUT / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello");
  auto head = co_await c.read_request(patient());
  EXPECT_TRUE(head);
  auto next = co_await c.read_request(patient());
  EXPECT_FALSE(next);
  EXPECT_EQ(next.error().kind(), Kind::kInternal);
}

TEST(HttpConnection, ABodyThatIsLeftIsNeverReadAsAHead) {
  on_loop(body_left);
}

Task<void> non_blocking(Loop& loop) {
  SocketPair pair(SOCK_STREAM | SOCK_NONBLOCK);
  Connection c(loop, std::move(pair.a));
  TaskGroup group(loop);
  group.spawn(dribble(loop, pair.b, "GET / HTTP/1.1\r\n\r\n"));
  const std::string got = co_await next_request(c);
  EXPECT_EQ(got, "GET /|");
  co_await group.join();
}

TEST(HttpConnection, NonBlockingSocketsWorkToo) {
  on_loop(non_blocking);
}

}  // namespace

}  // namespace zvm::http
