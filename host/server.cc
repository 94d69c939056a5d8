#include "host/server.h"

#include <ctime>

#include "base/digest.h"
#include "base/json.h"
#include "base/log.h"
#include "base/net.h"
#include "host/plan.h"
#include "host/session.h"

namespace zvm::host {

using protocol::Direction;
using std::chrono::seconds;

namespace {

constexpr auto kIdle = seconds(60);        // between requests of one connection
constexpr auto kBodyWait = seconds(20);    // a description
constexpr auto kWriteWait = seconds(20);   // an answer
constexpr size_t kConnectionsBeside = 64;  // of those that carry no session
constexpr http::Limits kHeadLimits{16 * 1024, 64};
constexpr std::string_view kIdentityPath = "/v1/identity";
constexpr std::string_view kSessionsPath = "/v1/sessions";

int64_t wall_clock() {
  return static_cast<int64_t>(::time(nullptr));
}

bool is_nonce(std::string_view text) {
  return text.size() == 32 && text.find_first_not_of("0123456789abcdef") == text.npos;
}

// The nonce that an Authorization header claims, good or not: the refusal is proven with it.
std::string claimed_nonce(const http::RequestHead& head) {
  const std::string_view value = head.headers.get("Authorization");
  const size_t at = value.find("nonce=");
  if (at == value.npos) return {};
  const std::string_view nonce = value.substr(at + 6, 32);
  return is_nonce(nonce) ? std::string(nonce) : std::string();
}

// What the bridge does with an error is decided by its status: 404, 409, 501: another replica or a
// remote read; 503: another host, or later; 400 and 500: give up.
unsigned status_of(const Error& error) {
  switch (error.kind()) {
    case Kind::kInvalid:
      // A replica that is damaged is no fault of the request: another one will do.
      return error.origin() == Origin::kSwift ? 409 : 400;
    case Kind::kNotFound:
      return 404;
    case Kind::kConflict:
      return 409;
    case Kind::kUnsupported:
      return 501;
    case Kind::kOverloaded:
    case Kind::kDisconnected:
      return 503;
    default:
      return 500;
  }
}

const char* error_word(unsigned status) {
  switch (status) {
    case 400:
      return "invalid";
    case 401:
      return "unauthorized";
    case 404:
      return "not-found";
    case 405:
      return "method-not-allowed";
    case 409:
      return "conflict";
    case 413:
      return "too-large";
    case 501:
      return "unsupported";
    case 503:
      return "busy";
    default:
      return "host-fault";
  }
}

}  // namespace

// One answer with a body. nonce: of the request that it answers, "" when there was none.
struct Server::Reply {
  unsigned status = 200;
  std::string nonce;
  std::string body;
  bool close = false;

  static Reply error(unsigned status, std::string nonce, std::string_view detail) {
    Reply r;
    r.status = status;
    r.nonce = std::move(nonce);
    r.body = dump_json(Json{{"error", error_word(status)}, {"detail", std::string(detail)}});
    r.close = status == 401 || status == 413;
    return r;
  }
};

Server::Server(Node& node, std::string key, protocol::HostIdentity identity)
    : node_(node),
      key_(key),
      identity_(identity),
      verifier_(std::move(key), std::move(identity)),
      connections_(node.loop) {}

Server::~Server() = default;

// --- connections --------------------------------------------------------------------------------

Task<void> Server::run(UniqueFd listener, Stop& stop) {
  const size_t most = node_.config.max_sessions + kConnectionsBeside;
  while (!stop.stopped()) {
    const int fd = co_await node_.loop.accept(FdRef(listener), kNever, &stop);
    if (fd >= 0) {
      UniqueFd socket(fd);
      // SECURITY: strangers can open connections; they can not open more than this.
      if (connections_.size() < most) connections_.spawn(serve(std::move(socket)));
      continue;
    }
    if (fd == -ECANCELED) break;
    // Out of descriptors or memory: what runs will give some back.
    if (fd != -ECONNABORTED && fd != -EINTR) {
      log_error("accepting a connection", errno_error("accept", -fd));
      co_await node_.loop.sleep_until(deadline_in(seconds(1)), &stop);
    }
  }
  listener.reset();
  stop_.stop();
  for (Session* s : sessions_) s->cancel();
  co_await connections_.join();
}

Task<void> Server::serve(UniqueFd socket) {
  const std::string peer = peer_text(socket);
  http::Connection connection(node_.loop, std::move(socket), kHeadLimits);
  for (;;) {
    const bool more = co_await serve_one(connection, peer);
    if (!more || stop_.stopped()) co_return;
  }
}

Task<bool> Server::serve_one(http::Connection& connection, const std::string& peer) {
  auto head = co_await connection.read_request(deadline_in(kIdle), &stop_);
  if (!head) {
    const Kind kind = head.error().kind();
    if (kind != Kind::kInvalid && kind != Kind::kOverloaded) co_return false;
    log_error("refused a request", head.error(), {{"PEER", peer}});
    Reply reply = Reply::error(400, "", "malformed request");
    reply.close = true;
    co_return co_await answer(connection, std::move(reply));
  }
  if (!*head) co_return false;
  http::RequestHead request = std::move(**head);
  const std::string_view path =
      std::string_view(request.target).substr(0, request.target.find('?'));
  if (path == kSessionsPath && request.target == path && request.method == "POST")
    co_return co_await serve_session(connection, std::move(request), peer);

  Reply reply;
  if (path == kIdentityPath && request.method == "GET") {
    reply = identity(request);
  } else if (path == kIdentityPath || path == kSessionsPath) {
    reply = Reply::error(405, "", "this resource has another method");
  } else {
    reply = Reply::error(404, "", "no such resource");
  }
  // None of these has a body worth reading; with one the connection ends here.
  reply.close = reply.close || !request.framing.keep_alive || !connection.body_done();
  co_return co_await answer(connection, std::move(reply));
}

http::ResponseHead Server::prove(const Reply& reply, const std::string& answer_nonce) const {
  http::ResponseHead head;
  head.status = reply.status;
  head.reason = http::reason_phrase(reply.status);
  if (!reply.nonce.empty()) {
    head.headers.add("Zvm-Nonce", answer_nonce);
    head.headers.add("Zvm-Proof", protocol::answer_proof(key_, reply.nonce, answer_nonce,
                                      reply.status, sha256_hex(reply.body)));
  }
  return head;
}

Task<bool> Server::answer(http::Connection& connection, Reply reply) {
  const std::string answer_nonce = random_hex(16);
  http::ResponseHead head = prove(reply, answer_nonce);
  head.headers.add("Content-Type", "application/json");
  head.headers.add("Content-Length", std::to_string(reply.body.size()));
  if (reply.status == 503) head.headers.add("Retry-After", "1");
  if (reply.status == 405) head.headers.add("Allow", "GET, POST");
  if (reply.close) head.headers.add("Connection", "close");
  const Deadline until = deadline_in(kWriteWait);
  auto ok = co_await connection.write_response(head, until);
  if (ok) ok = co_await connection.write_body(reply.body, until);
  co_return ok.has_value() && !reply.close;
}

Server::Reply Server::identity(const http::RequestHead& head) const {
  constexpr std::string_view kQuery = "?nonce=";
  Reply reply;
  const std::string_view query = std::string_view(head.target).substr(kIdentityPath.size());
  if (!query.empty()) {
    if (query.substr(0, kQuery.size()) != kQuery || !is_nonce(query.substr(kQuery.size())))
      return Reply::error(400, "", "nonce: 32 lower-case hex digits");
    reply.nonce = query.substr(kQuery.size());
  }
  reply.body = dump_json(Json{{"id", identity_.id}, {"boot", identity_.boot},
      {"version", identity_.version}, {"time", wall_clock()}});
  return reply;
}

// --- sessions -----------------------------------------------------------------------------------

Task<bool> Server::serve_session(
    http::Connection& connection, http::RequestHead head, const std::string& peer) {
  Reply refusal = Reply::error(401, claimed_nonce(head), "the request is not signed for this host");
  // SECURITY: who does not even claim to have signed has no body of his read.
  if (head.headers.count("Authorization") == 0) {
    log(Level::kWarning, "refused a request", {{"PEER", peer}, {"REASON", "no signature"}});
    co_return co_await answer(connection, std::move(refusal));
  }
  auto body =
      co_await connection.read_body_all(protocol::kMaxDescription, deadline_in(kBodyWait), &stop_);
  if (!body) {
    if (body.error().kind() != Kind::kOverloaded) co_return false;
    Reply reply = Reply::error(413, claimed_nonce(head), body.error().what());
    co_return co_await answer(connection, std::move(reply));
  }
  auto nonce = verifier_.verify(head, sha256_hex(*body), wall_clock());
  if (!nonce) {
    log(Level::kWarning, "refused a request", {{"PEER", peer}, {"REASON", nonce.error().what()}});
    co_return co_await answer(connection, std::move(refusal));
  }
  if (!head.headers.has_token("Upgrade", "zvm-session/1")) {
    Reply reply = Reply::error(400, *nonce, "Upgrade: zvm-session/1 is missing");
    co_return co_await answer(connection, std::move(reply));
  }
  co_await run_session(connection, *nonce, *body);
  co_return false;
}

Result<Admission::Slot> Server::admit() {
  if (!node_.broker.connected())
    return fail(Origin::kHost, Kind::kOverloaded, "the broker of this host is away");
  auto slot = node_.admission.take();
  if (!slot) return fail(Origin::kHost, Kind::kOverloaded, "all sessions of this host are in use");
  return std::move(*slot);
}

Task<void> Server::run_session(
    http::Connection& connection, const std::string& nonce, const std::string& body) {
  auto refuse = [&](const Error& error) {
    Reply reply = Reply::error(status_of(error), nonce, error.what());
    reply.close = true;
    return reply;
  };
  auto description = protocol::description_from_json(body);
  if (description) {
    if (auto ok = check_caps(*description, node_.config.caps); !ok)
      description = tl::unexpected(std::move(ok).error());
  }
  if (!description) {
    log_error("refused a description", description.error(), {{"PHASE", "describe"}});
    co_await answer(connection, refuse(description.error()));
    co_return;
  }
  const std::string job = description->job;
  const std::string name = description->node;
  auto slot = admit();
  if (!slot) {
    log_error("not admitted", slot.error(), {{"JOB_ID", job}, {"NODE", name}, {"PHASE", "admit"}});
    co_await answer(connection, refuse(slot.error()));
    co_return;
  }
  Session session(node_, std::move(*description), std::move(*slot));
  auto staged = co_await session.stage();
  if (!staged) {
    log_error("not staged", staged.error(), {{"JOB_ID", job}, {"NODE", name}, {"PHASE", "stage"}});
    co_await answer(connection, refuse(staged.error()));
    co_return;
  }
  Reply upgrade;
  upgrade.status = 101;
  upgrade.nonce = nonce;
  const std::string answer_nonce = random_hex(16);
  http::ResponseHead head = prove(upgrade, answer_nonce);
  head.headers.add("Connection", "Upgrade");
  head.headers.add("Upgrade", "zvm-session/1");
  head.headers.add("Zvm-Program", session.wants_program() ? "need" : "have");
  auto sent = co_await connection.write_response(head, deadline_in(kWriteWait), &stop_);
  if (!sent || stop_.stopped()) co_return;
  Peer::Keys keys;
  keys.incoming = protocol::frame_key(key_, Direction::kToHost, nonce, answer_nonce);
  keys.outgoing = protocol::frame_key(key_, Direction::kToBridge, nonce, answer_nonce);
  sessions_.insert(&session);
  co_await session.run(connection, std::move(keys));
  sessions_.erase(&session);
}

}  // namespace zvm::host
