// A Swift of one account for tests: objects in memory, token "good" may do everything, "denied" is
// known and may nothing, anything else is nobody. Each connection has a thread.
#pragma once
#include <deque>
#include <list>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/digest.h"
#include "base/http/codec.h"
#include "tests/unit/swift_bridge/sockets.h"

namespace zvm::test {

class FakeSwift {
 public:
  struct Object {
    std::string bytes;
    std::string timestamp = "1700000000.00001";
    std::vector<std::pair<std::string, std::string>> headers;

    std::string etag() const { return md5_hex(bytes); }
  };

  struct Request {
    http::RequestHead head;
    std::string body;

    std::string line() const { return head.method + " " + head.target; }
  };

  FakeSwift() : acceptor_([this] { accept(); }) {}

  ~FakeSwift() {
    listener_.shut_down();
    acceptor_.join();
    {
      std::lock_guard lock(mutex_);
      for (const int fd : open_) ::shutdown(fd, SHUT_RDWR);
    }
    for (auto& t : threads_) t.join();
  }

  std::string address() const { return listener_.address(); }

  // target: /v1/a/c/o.
  void put(const std::string& target, Object object) {
    std::lock_guard lock(mutex_);
    objects_[target] = std::move(object);
  }

  // The object there is replaced by this one right after the next HEAD of it has been answered.
  void replace_after_head(const std::string& target, Object object) {
    std::lock_guard lock(mutex_);
    replacements_[target] = std::move(object);
  }

  // The object there has a new timestamp after every HEAD of it.
  void never_stays(const std::string& target) {
    std::lock_guard lock(mutex_);
    restless_ = target;
  }

  std::string stored(const std::string& target) {
    std::lock_guard lock(mutex_);
    const auto it = objects_.find(target);
    return it == objects_.end() ? "(absent)" : it->second.bytes;
  }

  // These statuses, one after the other, instead of taking a PUT of an object.
  void refuse_puts(std::deque<unsigned> statuses) {
    std::lock_guard lock(mutex_);
    refusals_ = std::move(statuses);
  }

  std::vector<Request> requests() {
    std::lock_guard lock(mutex_);
    return requests_;
  }

  // The last request of that method and target.
  Request last(const std::string& line) {
    Request found;
    for (const Request& r : requests())
      if (r.line() == line) found = r;
    EXPECT_EQ(found.line(), line);
    return found;
  }

  size_t count(const std::string& method, const std::string& target_part) {
    size_t n = 0;
    for (const Request& r : requests())
      n += r.head.method == method && r.head.target.find(target_part) != std::string::npos;
    return n;
  }

 private:
  static std::string reply(unsigned status, const std::string& headers = {},
      const std::string& body = {}, bool head_only = false) {
    return "HTTP/1.1 " + std::to_string(status) + " X\r\n" + headers +
           "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
           (head_only ? std::string() : body);
  }

  static std::string object_headers(const Object& o) {
    std::string out = "Etag: " + o.etag() + "\r\nX-Timestamp: " + o.timestamp +
                      "\r\nContent-Type: text/plain\r\n";
    for (const auto& [name, value] : o.headers) out += name + ": " + value + "\r\n";
    return out;
  }

  std::string answer_get(const Request& r, const Object& o) {
    const auto& h = r.head.headers;
    if (h.get("If-None-Match") == o.etag()) return reply(304);
    if (h.find("If-Match") != nullptr && h.get("If-Match") != "\"" + o.etag() + "\"")
      return reply(412);
    const std::string range(h.get("Range"));
    if (range.empty()) return reply(200, object_headers(o), o.bytes, r.head.method == "HEAD");
    const size_t first = std::stoul(range.substr(6));
    const size_t last = std::stoul(range.substr(range.find('-') + 1));
    return reply(206,
        object_headers(o) + "Content-Range: bytes " + range.substr(6) + "/" +
            std::to_string(o.bytes.size()) + "\r\n",
        o.bytes.substr(first, last - first + 1));
  }

  std::string answer(const Request& r) {
    std::lock_guard lock(mutex_);
    requests_.push_back(r);
    const std::string_view token = r.head.headers.get("X-Auth-Token");
    if (token == "denied") return reply(403);
    if (token != "good") return reply(401);
    const std::string& target = r.head.target;
    const std::string& method = r.head.method;
    const auto object = objects_.find(target);
    if (method == "HEAD" && target == "/v1/AUTH_a/c")
      return reply(204, "X-Storage-Policy: gold\r\n");
    if (method == "PUT" && target.compare(0, 13, "/v1/AUTH_a/c/") == 0) {
      if (!refusals_.empty()) {
        const unsigned status = refusals_.front();
        refusals_.pop_front();
        return reply(status);
      }
      objects_[target] = Object{r.body};
      return reply(201);
    }
    if ((method == "GET" || method == "HEAD") && object != objects_.end()) {
      const std::string bytes = answer_get(r, object->second);
      if (method == "HEAD" && target == restless_)
        object->second.timestamp = "1700000002." + std::to_string(10'000 + ++heads_);
      if (const auto it = replacements_.find(target);
          method == "HEAD" && it != replacements_.end()) {
        object->second = it->second;
        replacements_.erase(it);
      }
      return bytes;
    }
    return reply(404);
  }

  void accept() {
    Socket socket;
    while (listener_.accept_into(&socket)) {
      std::lock_guard lock(mutex_);
      open_.insert(socket.fd());
      threads_.emplace_back([this, s = std::make_shared<Socket>(std::move(socket))] { serve(*s); });
    }
  }

  void serve(Socket& socket) {
    for (;;) {
      const std::string bytes = socket.read_head();
      const auto parsed = http::parse_request_head(bytes, {});
      if (!parsed || !*parsed) break;
      Request request{(*parsed)->head, {}};
      if (request.head.framing.expect_continue) socket.send("HTTP/1.1 100 Continue\r\n\r\n");
      request.body = socket.read_exactly(request.head.framing.length);
      if (!socket.send(answer(request))) break;
    }
    std::lock_guard lock(mutex_);
    open_.erase(socket.fd());
    socket.close();
  }

  Listener listener_;
  std::mutex mutex_;  // guards everything below
  std::map<std::string, Object> objects_;
  std::map<std::string, Object> replacements_;
  std::string restless_;
  unsigned heads_ = 0;
  std::deque<unsigned> refusals_;
  std::vector<Request> requests_;
  std::set<int> open_;
  std::list<std::thread> threads_;
  std::thread acceptor_;
};

}  // namespace zvm::test
