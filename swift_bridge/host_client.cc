#include "swift_bridge/host_client.h"

#include <algorithm>
#include <ctime>

#include "base/digest.h"
#include "base/json.h"
#include "base/net.h"

namespace zvm::bridge {

namespace {

constexpr size_t kMaxAnswer = 64 * 1024;
constexpr std::chrono::seconds kShunned{5};
constexpr std::chrono::milliseconds kIdentify{10'000};
// Less than the protocol allows: the two clocks' seconds are compared, and the message travels.
constexpr int64_t kSignedFor = protocol::kSignatureLife.count() - 10;
constexpr std::string_view kSessions = "/v1/sessions";

int64_t wall_clock() {
  return static_cast<int64_t>(::time(nullptr));
}

tl::unexpected<Error> not_proven() {
  return fail(Origin::kHost, Kind::kDenied, "it does not prove the cluster key");
}

std::string field(const Json& json, const char* name) {
  const auto it = json.is_object() ? json.find(name) : json.end();
  return it != json.end() && it->is_string() ? it->get<std::string>() : std::string();
}

HostRefusal no_answer(const Error& error) {
  return HostRefusal{0, error.what()};
}

}  // namespace

bool HostClient::proves(
    std::string_view nonce, const http::ResponseHead& head, std::string_view body) const {
  const std::string wanted = protocol::answer_proof(
      key_, nonce, head.headers.get("Zvm-Nonce"), head.status, sha256_hex(body));
  return equal_constant_time(wanted, head.headers.get("Zvm-Proof"));
}

bool HostClient::is_shunned(const std::string& address) const {
  const auto it = shunned_.find(address);
  return it != shunned_.end() && it->second > Clock::now();
}

void HostClient::shun(const std::string& address) {
  shunned_[address] = Clock::now() + kShunned;
}

Task<Result<std::unique_ptr<http::Connection>>> HostClient::connect(
    const std::string& address, Stop* stop) {
  ZVM_CO_TRY(Address to, parse_address(address));
  auto socket = co_await connect_to(loop_, std::move(to), deadline_in(timeouts_.connect), stop);
  if (!socket) {
    if (socket.error().kind() == Kind::kTimeout) shun(address);
    co_return tl::unexpected(std::move(socket).error());
  }
  shunned_.erase(address);
  co_return std::make_unique<http::Connection>(loop_, std::move(*socket));
}

Task<Result<HostClient::Known>> HostClient::identify(http::Connection& connection, Stop* stop) {
  const Deadline deadline = deadline_in(std::min(timeouts_.admit, kIdentify));
  const std::string nonce = random_hex(16);
  http::RequestHead head;
  head.method = "GET";
  head.target = "/v1/identity?nonce=" + nonce;
  head.headers.add("Host", "zvm-hostd");
  ZVM_CO_CHECK_OK(co_await connection.write_request(head, deadline, stop));
  ZVM_CO_TRY(auto answer, co_await connection.read_response(head.method, deadline, stop));
  ZVM_CO_TRY(const std::string body, co_await connection.read_body_all(kMaxAnswer, deadline, stop));
  if (!proves(nonce, answer, body)) co_return not_proven();
  if (answer.status != 200)
    co_return fail(Origin::kHost, Kind::kInvalid, "it does not say who it is");
  ZVM_CO_TRY(const Json json, parse_json(body));
  Known known;
  known.identity.id = field(json, "id");
  known.identity.boot = field(json, "boot");
  known.identity.version = field(json, "version");
  const auto time = json.is_object() ? json.find("time") : json.end();
  if (known.identity.id.empty() || known.identity.boot.empty() || time == json.end() ||
      !time->is_number_integer())
    co_return fail(Origin::kHost, Kind::kInvalid, "it does not say who it is");
  known.identity.time = time->get<int64_t>();
  known.clock_offset = known.identity.time - wall_clock();
  co_return known;
}

Task<HostClient::Reserved> HostClient::reserve_on(std::unique_ptr<http::Connection> connection,
    const Known& known, const std::string& description, Stop* stop) {
  const auto gone = [](Error error) { return tl::unexpected(no_answer(error)); };
  const Deadline deadline = deadline_in(timeouts_.admit);
  const std::string nonce = random_hex(16);
  http::RequestHead head;
  head.method = "POST";
  head.target = kSessions;
  head.headers.add("Host", "zvm-hostd");
  head.headers.add("Authorization",
      protocol::sign_request(key_, head.method, head.target, known.identity,
          wall_clock() + known.clock_offset + kSignedFor, nonce, sha256_hex(description)));
  head.headers.add("Connection", "Upgrade");
  head.headers.add("Upgrade", "zvm-session/1");
  head.headers.add("Content-Type", "application/json");
  head.headers.add("Content-Length", std::to_string(description.size()));
  auto done = co_await connection->write_request(head, deadline, stop);
  if (done) done = co_await connection->write_body(description, deadline, stop);
  if (!done) co_return gone(std::move(done).error());
  auto answer = co_await connection->read_response(head.method, deadline, stop);
  if (!answer) co_return gone(std::move(answer).error());
  std::string body;
  if (answer->status != 101) {
    auto read = co_await connection->read_body_all(kMaxAnswer, deadline, stop);
    if (!read) co_return gone(std::move(read).error());
    body = std::move(*read);
  }
  // SECURITY: whoever answers in a host's place learns nothing more and starts nothing.
  if (!proves(nonce, *answer, body)) co_return tl::unexpected(no_answer(not_proven().value()));
  if (answer->status != 101) {
    HostRefusal refusal{answer->status, "no reason given"};
    if (auto json = parse_json(body)) refusal.reason = field(*json, "detail");
    co_return tl::unexpected(std::move(refusal));
  }
  const std::string answer_nonce(answer->headers.get("Zvm-Nonce"));
  HostLink::Keys keys;
  keys.outgoing = protocol::frame_key(key_, protocol::Direction::kToHost, nonce, answer_nonce);
  keys.incoming = protocol::frame_key(key_, protocol::Direction::kToBridge, nonce, answer_nonce);
  const bool wants_program = answer->headers.get("Zvm-Program") != "have";
  co_return std::make_unique<HostLink>(
      loop_, std::move(connection), std::move(keys), known.identity, wants_program);
}

Task<HostClient::Reserved> HostClient::reserve(
    std::string address, const std::string& description, Stop* stop) {
  for (bool again = false;; again = true) {
    auto connection = co_await connect(address, stop);
    if (!connection) co_return tl::unexpected(no_answer(connection.error()));
    if (known_.find(address) == known_.end()) {
      auto known = co_await identify(**connection, stop);
      if (!known && known.error().kind() == Kind::kTimeout) shun(address);
      if (!known) co_return tl::unexpected(no_answer(known.error()));
      known_[address] = std::move(*known);
    }
    const Known known = known_[address];
    auto reserved = co_await reserve_on(std::move(*connection), known, description, stop);
    if (reserved || reserved.error().status != 401 || again) co_return reserved;
    // It was started anew, or its clock was set: what is known of it no longer holds.
    known_.erase(address);
  }
}

}  // namespace zvm::bridge
