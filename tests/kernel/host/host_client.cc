#include "tests/kernel/host/host_client.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/digest.h"
#include "base/http/codec.h"
#include "base/json.h"

namespace zvm::host::testing {

using protocol::Channel;
using protocol::Description;
using protocol::Direction;
using protocol::Frame;
using protocol::FrameType;
using protocol::NodeReport;

HostClient::HostClient(const NodeRig& rig)
    : key_(rig.key()), socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(rig.port());
  EXPECT_EQ(::connect(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0)
      << "connecting to the host daemon";
}

void HostClient::write(const std::string& bytes) {
  size_t at = 0;
  while (at < bytes.size()) {
    const ssize_t n = ::send(socket_.get(), bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
    if (n <= 0) return;  // what follows shows that the host has closed
    at += static_cast<size_t>(n);
  }
}

bool HostClient::fill() {
  pollfd p{socket_.get(), POLLIN, 0};
  if (::poll(&p, 1, kPatienceMs) != 1) {
    ADD_FAILURE() << "the host says nothing";
    return false;
  }
  char bytes[64 * 1024];
  const ssize_t n = ::recv(socket_.get(), bytes, sizeof bytes, 0);
  if (n <= 0) return false;
  if (reader_) {
    reader_->feed({bytes, static_cast<size_t>(n)});
  } else {
    buffer_.append(bytes, static_cast<size_t>(n));
  }
  return true;
}

Answer HostClient::read_answer(const std::string& nonce) {
  Answer answer;
  for (;;) {
    auto parsed = http::parse_response_head(buffer_, "POST", {});
    if (!parsed) {
      ADD_FAILURE() << parsed.error().what();
      return answer;
    }
    if (*parsed) {
      answer.head = (*parsed)->head;
      buffer_.erase(0, (*parsed)->consumed);
      break;
    }
    if (!fill()) return answer;
  }
  const size_t length = answer.head.framing.length;
  while (buffer_.size() < length && fill()) {
  }
  answer.body = buffer_.substr(0, length);
  buffer_.erase(0, answer.body.size());
  const std::string theirs(answer.head.headers.get("Zvm-Nonce"));
  answer.proven =
      answer.head.headers.get("Zvm-Proof") ==
      protocol::answer_proof(key_, nonce, theirs, answer.head.status, sha256_hex(answer.body));
  if (answer.head.status == 101) {
    writer_.emplace(protocol::frame_key(key_, Direction::kToHost, nonce, theirs));
    reader_.emplace(protocol::frame_key(key_, Direction::kToBridge, nonce, theirs));
    reader_->feed(buffer_);
    buffer_.clear();
  }
  return answer;
}

Answer HostClient::request(const std::string& method, const std::string& target) {
  write(method + " " + target + " HTTP/1.1\r\nHost: node1\r\n\r\n");
  return read_answer("");
}

protocol::HostIdentity HostClient::identity() {
  const std::string nonce = random_hex(16);
  write("GET /v1/identity?nonce=" + nonce + " HTTP/1.1\r\nHost: node1\r\n\r\n");
  const Answer answer = read_answer(nonce);
  EXPECT_EQ(answer.head.status, 200u);
  EXPECT_TRUE(answer.proven);
  protocol::HostIdentity id;
  const auto json = parse_json(answer.body);
  if (!json) return id;
  id.id = json->value("id", "");
  id.boot = json->value("boot", "");
  id.time = json->value("time", int64_t{0});
  return id;
}

Answer HostClient::post(const std::string& body, const Signing& how) {
  protocol::HostIdentity host = identity();
  if (how.boot) host.boot = *how.boot;
  const std::string nonce = how.nonce.value_or(random_hex(16));
  std::string request =
      "POST /v1/sessions HTTP/1.1\r\nHost: node1\r\nConnection: Upgrade\r\n"
      "Upgrade: zvm-session/1\r\nContent-Length: " +
      std::to_string(body.size()) + "\r\n";
  if (how.sign) {
    request += "Authorization: " +
               protocol::sign_request(how.key.value_or(key_), "POST", "/v1/sessions", host,
                   host.time + how.life, nonce, sha256_hex(body)) +
               "\r\n";
  }
  write(request + "\r\n" + body);
  return read_answer(nonce);
}

// --- frames -------------------------------------------------------------------------------------

void HostClient::send(FrameType type, uint16_t channel, uint64_t arg, const std::string& payload) {
  Frame f;
  f.type = type;
  f.channel = channel;
  f.arg = arg;
  f.payload = payload;
  write(writer_->encode(f));
}

void HostClient::send_program(const std::string& bytes) {
  for (size_t at = 0; at < bytes.size(); at += protocol::kMaxPayload)
    send(FrameType::kProgram, 0, at, bytes.substr(at, protocol::kMaxPayload));
}

void HostClient::read(uint16_t channel, uint64_t offset, uint32_t length) {
  send(FrameType::kRead, channel, offset, protocol::encode_length(length));
}

std::optional<Frame> HostClient::receive() {
  for (;;) {
    auto next = reader_->next();
    if (!next) {
      ADD_FAILURE() << next.error().what();
      return std::nullopt;
    }
    if (*next && (*next)->type != FrameType::kPing) return std::move(*next);
    if (!*next && !fill()) return std::nullopt;
  }
}

Frame HostClient::expect(FrameType type) {
  auto f = receive();
  EXPECT_TRUE(f) << "the host closed";
  if (!f) return {};
  EXPECT_EQ(static_cast<int>(f->type), static_cast<int>(type)) << f->payload;
  return std::move(*f);
}

std::string HostClient::read_all(uint16_t channel) {
  std::string all;
  for (;;) {
    read(channel, all.size(), protocol::kMaxRead);
    const size_t window = all.size() + protocol::kMaxRead;
    while (all.size() < window) {
      const Frame f = expect(FrameType::kData);
      if (f.type != FrameType::kData) return all;
      EXPECT_EQ(f.channel, channel);
      EXPECT_EQ(f.arg, all.size());
      all += f.payload;
      if (f.flags == protocol::kEnd) return all;
    }
  }
}

NodeReport HostClient::report() {
  const Frame f = expect(FrameType::kReport);
  auto report = protocol::report_from_json(f.payload);
  EXPECT_TRUE(report) << f.payload;
  return report ? *report : NodeReport();
}

NodeReport HostClient::run() {
  send(FrameType::kStart);
  expect(FrameType::kStarted);
  return report();
}

bool HostClient::closed() {
  return !receive();
}

// --- descriptions -------------------------------------------------------------------------------

Description shell(const std::string& command, std::vector<Channel> more) {
  Description d;
  d.job = "job-1";
  d.node = "n";
  d.account = "AUTH_test";
  d.program.path = "/usr/bin/sh";
  d.argv = {"sh", "-c", command};
  d.channels.push_back(output("stdout", Channel::Kind::kAppend));
  for (auto& c : more) d.channels.push_back(std::move(c));
  return d;
}

Channel output(const std::string& name, Channel::Kind kind, uint64_t max_bytes) {
  Channel c;
  c.name = name;
  c.kind = kind;
  c.max_bytes = max_bytes;
  return c;
}

Channel object(
    const std::string& name, const protocol::ObjectVersion& version, Channel::Local local) {
  Channel c;
  c.name = name;
  c.kind = Channel::Kind::kObject;
  c.object = version;
  c.path = version.swift_url();
  c.local = local;
  c.device = local == Channel::Local::kNever ? "" : NodeRig::kDevice;
  return c;
}

}  // namespace zvm::host::testing
