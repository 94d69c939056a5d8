// A host daemon for tests: speaks the real protocol, runs nothing. Each session follows a script on
// a thread of its own.
#pragma once
#include <atomic>
#include <condition_variable>
#include <ctime>
#include <deque>
#include <functional>
#include <list>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/digest.h"
#include "base/http/codec.h"
#include "host/protocol/auth.h"
#include "host/protocol/description.h"
#include "host/protocol/frames.h"
#include "tests/unit/swift_bridge/sockets.h"

namespace zvm::test {

inline const std::string kClusterKey(32, 'k');

// One session, as the script sees it.
class HostSide {
 public:
  HostSide(Socket& socket, protocol::Description told, std::string in, std::string out)
      : description(std::move(told)),
        socket_(socket),
        reader_(std::move(in)),
        writer_(std::move(out)) {}

  const protocol::Description description;
  std::string program;  // bytes that came as PROGRAM frames

  void send(protocol::FrameType type, uint16_t channel, uint64_t arg, std::string payload,
      uint8_t flags = 0) {
    protocol::Frame frame;
    frame.type = type;
    frame.channel = channel;
    frame.arg = arg;
    frame.payload = std::move(payload);
    frame.flags = flags;
    socket_.send(writer_.encode(frame));
  }

  // The next frame that is no ping; nullopt when the bridge has gone.
  std::optional<protocol::Frame> receive() {
    for (;;) {
      auto frame = reader_.next();
      EXPECT_TRUE(frame);
      if (!frame) return std::nullopt;
      if (*frame && (*frame)->type != protocol::FrameType::kPing) return std::move(**frame);
      if (*frame) continue;
      const std::string bytes = socket_.read_some();
      if (bytes.empty()) return std::nullopt;
      reader_.feed(bytes);
    }
  }

  // Takes the program and waits for START. False: the bridge has gone.
  bool wait_for_start() {
    while (auto frame = receive()) {
      if (frame->type == protocol::FrameType::kProgram) {
        EXPECT_EQ(frame->arg, program.size());
        program += frame->payload;
      } else if (frame->type == protocol::FrameType::kStart) {
        send(protocol::FrameType::kStarted, 0, 0, {});
        return true;
      } else {
        early_.push_back(std::move(*frame));
      }
    }
    return false;
  }

  // Reports `end` with these outputs (by channel), then serves reads until the bridge has gone.
  void finish(std::vector<std::string> outputs, protocol::End end = protocol::End::kExited,
      int exit_code = 0) {
    outputs.resize(description.channels.size());
    protocol::NodeReport report;
    report.end = end;
    report.exit_code = exit_code;
    for (size_t i = 0; i < outputs.size(); ++i) {
      protocol::ChannelReport c;
      c.name = description.channels[i].name;
      c.counted = "daemon";
      if (description.channels[i].kind == protocol::Channel::Kind::kObject) c.locality = "local";
      c.size = outputs[i].size();
      c.md5 = md5_hex(outputs[i]);
      report.channels.push_back(std::move(c));
    }
    send(protocol::FrameType::kReport, 0, 0, protocol::to_json(report));
    for (const auto& frame : early_) serve_read(frame, outputs);
    while (const auto frame = receive()) serve_read(*frame, outputs);
  }

 private:
  void serve_read(const protocol::Frame& frame, const std::vector<std::string>& outputs) {
    ASSERT_EQ(frame.type, protocol::FrameType::kRead);
    const std::string& bytes = outputs[frame.channel];
    const size_t end =
        std::min<size_t>(bytes.size(), frame.arg + *protocol::decode_length(frame.payload));
    size_t at = frame.arg;
    do {
      const size_t size = std::min<size_t>(end - at, 50'000);
      const bool last = at + size == bytes.size();
      send(protocol::FrameType::kData, frame.channel, at, bytes.substr(at, size),
          last ? protocol::kEnd : 0);
      at += size;
    } while (at < end);
  }

  Socket& socket_;
  protocol::FrameReader reader_;
  protocol::FrameWriter writer_;
  std::vector<protocol::Frame> early_;
};

class FakeHost {
 public:
  using Script = std::function<void(HostSide&)>;

  explicit FakeHost(std::string id) : id_(std::move(id)), acceptor_([this] { accept(); }) {}

  ~FakeHost() {
    listener_.shut_down();
    acceptor_.join();
    {
      std::lock_guard lock(mutex_);
      for (const int fd : open_) ::shutdown(fd, SHUT_RDWR);
    }
    for (auto& t : threads_) t.join();
  }

  std::string address() const { return listener_.address(); }

  // What the next sessions do. Without a script they are refused as busy.
  void play(Script script) {
    std::lock_guard lock(mutex_);
    script_ = std::move(script);
  }

  // Answers to the next reservations, before the script has its turn.
  void refuse(std::deque<std::pair<unsigned, std::string>> refusals) {
    std::lock_guard lock(mutex_);
    refusals_ = std::move(refusals);
  }

  // Starts anew: signatures made for the old boot are refused.
  void restart() {
    std::lock_guard lock(mutex_);
    boot_ = random_hex(16);
  }

  void lose_the_key() {
    std::lock_guard lock(mutex_);
    key_ = std::string(32, 'x');
  }

  // Every description that was accepted by its signature.
  std::vector<std::string> descriptions() {
    std::lock_guard lock(mutex_);
    return descriptions_;
  }

 private:
  std::string proven(unsigned status, const std::string& nonce, const std::string& answer_nonce,
      const std::string& more, const std::string& body) {
    std::string out = "HTTP/1.1 " + std::to_string(status) + " X\r\nZvm-Nonce: " + answer_nonce +
                      "\r\nZvm-Proof: " +
                      protocol::answer_proof(key_, nonce, answer_nonce, status, sha256_hex(body)) +
                      "\r\n" + more;
    if (status != 101) out += "Content-Length: " + std::to_string(body.size()) + "\r\n";
    return out + "\r\n" + body;
  }

  void accept() {
    Socket socket;
    while (listener_.accept_into(&socket)) {
      std::lock_guard lock(mutex_);
      open_.insert(socket.fd());
      threads_.emplace_back([this, s = std::make_shared<Socket>(std::move(socket))] {
        serve(*s);
        std::lock_guard again(mutex_);
        open_.erase(s->fd());
        s->close();
      });
    }
  }

  void serve(Socket& socket) {
    for (;;) {
      const std::string bytes = socket.read_head();
      const auto parsed = http::parse_request_head(bytes, {});
      if (!parsed || !*parsed) return;
      const http::RequestHead& head = (*parsed)->head;
      if (head.method == "GET") {
        std::lock_guard lock(mutex_);
        const std::string nonce = head.target.substr(head.target.find('=') + 1);
        socket.send(proven(200, nonce, random_hex(16), "",
            R"({"id":")" + id_ + R"(","boot":")" + boot_ + R"(","version":"1","time":)" +
                std::to_string(std::time(nullptr)) + "}"));
        continue;
      }
      if (!serve_session(socket, head)) return;
    }
  }

  // False: the connection is used up.
  bool serve_session(Socket& socket, const http::RequestHead& head) {
    const std::string body = socket.read_exactly(head.framing.length);
    const std::string authorization(head.headers.get("Authorization"));
    const std::string claimed = authorization.substr(authorization.find("nonce=") + 6, 32);
    const std::string answer_nonce = random_hex(16);
    std::unique_lock lock(mutex_);
    protocol::RequestVerifier verifier(key_, {id_, boot_, "1", 0});
    const auto nonce = verifier.verify(head, sha256_hex(body), std::time(nullptr));
    if (!nonce) return socket.send(proven(401, claimed, answer_nonce, "", "{}"));
    descriptions_.push_back(body);
    if (!refusals_.empty()) {
      const auto [status, detail] = refusals_.front();
      refusals_.pop_front();
      return socket.send(
          proven(status, *nonce, answer_nonce, "", R"({"detail":")" + detail + "\"}"));
    }
    if (!script_) return socket.send(proven(503, *nonce, answer_nonce, "", R"({"detail":"busy"})"));
    const Script script = script_;
    socket.send(
        proven(101, *nonce, answer_nonce, "Connection: Upgrade\r\nZvm-Program: need\r\n", ""));
    auto description = protocol::description_from_json(body);
    EXPECT_TRUE(description) << body;
    if (!description) return false;
    HostSide side(socket, std::move(*description),
        protocol::frame_key(key_, protocol::Direction::kToHost, *nonce, answer_nonce),
        protocol::frame_key(key_, protocol::Direction::kToBridge, *nonce, answer_nonce));
    lock.unlock();
    script(side);
    return false;
  }

  const std::string id_;
  Listener listener_;
  std::mutex mutex_;  // guards everything below
  std::string key_ = kClusterKey;
  std::string boot_ = random_hex(16);
  Script script_;
  std::deque<std::pair<unsigned, std::string>> refusals_;
  std::vector<std::string> descriptions_;
  std::set<int> open_;
  std::list<std::thread> threads_;
  std::thread acceptor_;
};

}  // namespace zvm::test
