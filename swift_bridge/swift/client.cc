#include "swift_bridge/swift/client.h"

namespace zvm::bridge {

namespace {

constexpr size_t kMaxErrorBody = 64 * 1024;
constexpr uint64_t kAskFirst = 64 * 1024;  // uploads longer than this wait for Swift's 100

bool is_success(unsigned status) {
  return status / 100 == 2;
}

// Reads answers until one that is final.
Task<Result<http::ResponseHead>> final_head(
    http::Connection& connection, std::string method, Deadline deadline, Stop* stop) {
  for (;;) {
    ZVM_CO_TRY(auto head, co_await connection.read_response(method, deadline, stop));
    if (head.status / 100 != 1) co_return head;
    if (head.status == 101)
      co_return fail(Origin::kSwift, Kind::kInvalid, "Swift switched protocols unasked");
  }
}

// The body of an answer whose head was read. An error's body that is too long is cut.
Task<Result<SwiftAnswer>> take_answer(http::Connection& connection, http::ResponseHead head,
    size_t max_body, Deadline deadline, Stop* stop) {
  SwiftAnswer answer;
  answer.status = head.status;
  answer.headers = std::move(head.headers);
  const size_t limit = is_success(answer.status) ? max_body : kMaxErrorBody;
  auto body = co_await connection.read_body_all(limit, deadline, stop);
  if (body) {
    answer.body = std::move(*body);
  } else if (is_success(answer.status)) {
    co_return tl::unexpected(std::move(body).error());
  }
  co_return answer;
}

}  // namespace

Task<Result<SwiftAnswer>> SwiftClient::ask_on(
    http::Connection& connection, const Question& question, Deadline deadline, Stop* stop) {
  http::RequestHead head;
  head.method = question.method;
  head.target = question.target;
  head.headers.add("Host", host_);
  for (const auto& h : question.headers) head.headers.add(h.name, h.value);
  ZVM_CO_CHECK_OK(co_await connection.write_request(head, deadline, stop));
  ZVM_CO_TRY(auto answer, co_await final_head(connection, question.method, deadline, stop));
  co_return co_await take_answer(connection, std::move(answer), question.max_body, deadline, stop);
}

Task<Result<SwiftAnswer>> SwiftClient::ask(Question question, Stop* stop) {
  const Deadline deadline = deadline_in(question.timeout);
  for (bool fresh = false;; fresh = true) {
    ZVM_CO_TRY(auto lease, co_await pool_.take(fresh, deadline, stop));
    auto answer = co_await ask_on(*lease.connection, question, deadline, stop);
    if (!answer) {
      if (lease.reused && answer.error().kind() == Kind::kDisconnected) continue;
      co_return tl::unexpected(std::move(answer).error().while_doing("asking Swift"));
    }
    const bool lasts =
        !answer->headers.has_token("Connection", "close") && lease.connection->body_done();
    if (lasts) pool_.give_back(std::move(lease.connection));
    co_return answer;
  }
}

Task<Result<SwiftAnswer>> SwiftClient::put(std::string target, http::Headers headers,
    uint64_t length, ByteSource& source, std::chrono::milliseconds timeout, Stop* stop) {
  // A connection that turned out to be closed would cost the whole upload: always a new one.
  ZVM_CO_TRY(auto lease, co_await pool_.take(true, deadline_in(timeout), stop));
  http::Connection& connection = *lease.connection;
  http::RequestHead head;
  head.method = "PUT";
  head.target = std::move(target);
  head.headers.add("Host", host_);
  for (const auto& h : headers) head.headers.add(h.name, h.value);
  head.headers.set("Content-Length", std::to_string(length));
  const bool ask_first = length > kAskFirst;
  if (ask_first) head.headers.set("Expect", "100-continue");
  ZVM_CO_CHECK_OK(co_await connection.write_request(head, deadline_in(timeout), stop));
  if (ask_first) {
    const std::string method = "PUT";
    ZVM_CO_TRY(auto first, co_await connection.read_response(method, deadline_in(timeout), stop));
    if (first.status != 100)
      co_return co_await take_answer(connection, std::move(first), 0, deadline_in(timeout), stop);
  }
  for (uint64_t left = length; left > 0;) {
    ZVM_CO_TRY(const std::string bytes, co_await source.next(stop));
    if (bytes.empty() || bytes.size() > left)
      co_return fail(Origin::kHost, Kind::kInternal, "an upload has another length than announced");
    left -= bytes.size();
    auto sent = co_await connection.write_body(bytes, deadline_in(timeout), stop);
    if (!sent) break;  // Swift may have refused it: its answer tells
  }
  const std::string method = "PUT";
  ZVM_CO_TRY(auto last, co_await final_head(connection, method, deadline_in(timeout), stop));
  co_return co_await take_answer(
      connection, std::move(last), kMaxErrorBody, deadline_in(timeout), stop);
}

}  // namespace zvm::bridge
