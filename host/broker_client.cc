#include "host/broker_client.h"

#include <sys/un.h>

#include <algorithm>
#include <cstring>

#include "base/log.h"
#include "loader/scm.h"

namespace zvm::host {

namespace wire = loader::wire;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

constexpr auto kAnswerWait = seconds(30);  // KILL waits for processes to die
constexpr auto kReconnectWait = milliseconds(200);

std::vector<FdRef> no_fds() {
  return {};
}

Error gone() {
  return Error(Origin::kHost, Kind::kDisconnected, "the broker is not there");
}

}  // namespace

struct BrokerClient::Pending {
  Pending(Loop& loop, uint32_t number) : id(number), done(loop) {}

  uint32_t id;
  Event done;
  Answer answer;
  bool lost = false;
};

BrokerClient::BrokerClient(Loop& loop, std::string socket_path)
    : loop_(loop), path_(std::move(socket_path)), tasks_(loop), receivers_(loop) {}

BrokerClient::~BrokerClient() {
  ZVM_CHECK(pending_.empty());
}

// --- the connection -----------------------------------------------------------------------------

void BrokerClient::disconnect(const char* why) {
  if (!connected_) return;
  connected_ = false;
  for (Pending* p : pending_) {
    p->lost = true;
    p->done.set();
  }
  if (!stop_.stopped()) log(Level::kError, "lost the broker", {{"SOCKET", path_}, {"REASON", why}});
}

Task<void> BrokerClient::receive() {
  loader::ScmReceive in;
  for (;;) {
    in.prepare();
    const int n = co_await loop_.recvmsg(FdRef(*socket_), &in.message, kNever, &stop_);
    if (n == -EINTR) continue;
    const int rc = in.finish(n);
    wire::Reply reply;
    if (rc < 0 || !wire::parse_reply(in.packet, in.size, in.fd_count, &reply)) {
      disconnect(rc < 0 ? std::strerror(-rc) : "an answer of another form");
      co_return;
    }
    const auto it = std::find_if(pending_.begin(), pending_.end(),
        [&](const Pending* p) { return p->id == reply.header.id; });
    if (it == pending_.end()) continue;  // its caller gave up waiting
    Pending& p = **it;
    p.answer.reply = reply;
    for (size_t i = 0; i < in.fd_count; ++i) p.answer.fds.push_back(std::move(in.fds[i]));
    p.done.set();
  }
}

Task<Status> BrokerClient::connect_once(Deadline deadline) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path_.size() >= sizeof address.sun_path)
    co_return fail(Origin::kHost, Kind::kInvalid, "too long for a Unix socket: " + path_);
  std::memcpy(address.sun_path, path_.c_str(), path_.size() + 1);
  const auto socket =
      std::make_shared<const UniqueFd>(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!*socket) co_return fail_errno("socket", errno);
  const auto* where = reinterpret_cast<const sockaddr*>(&address);
  const int rc = co_await loop_.connect(FdRef(*socket), where, sizeof address, deadline, &stop_);
  if (rc < 0) co_return fail_errno("connecting to the broker at " + path_, -rc);
  // The task that read the last connection has ended with it.
  co_await receivers_.join();
  socket_ = socket;
  connected_ = true;
  receivers_.spawn(receive());
  auto ok = co_await greet();
  if (!ok) ::shutdown(socket->get(), SHUT_RDWR);  // ends receive()
  co_return ok;
}

Task<Status> BrokerClient::greet() {
  auto hello = co_await call(wire::make_request<wire::HelloRequest>(next_id_++), no_fds(), 0);
  if (!hello) co_return tl::unexpected(std::move(hello).error().while_doing("greeting the broker"));
  limits_ = hello->reply.hello;
  co_return Status{};
}

Task<Status> BrokerClient::start(Deadline deadline, Stop& stop) {
  for (;;) {
    auto ok = co_await connect_once(deadline);
    if (ok) break;
    if (Clock::now() + kReconnectWait >= deadline || stop.stopped()) {
      co_return tl::unexpected(std::move(ok).error().while_doing(
          "no answer from zvm-broker (is it running, and is this its socket?)"));
    }
    co_await loop_.sleep_until(deadline_in(kReconnectWait), &stop);
  }
  tasks_.spawn(keep_connected());
  co_return Status{};
}

Task<void> BrokerClient::keep_connected() {
  while (!stop_.stopped()) {
    co_await receivers_.join();  // ends with the connection
    if (stop_.stopped()) co_return;
    auto ok = co_await connect_once(deadline_in(kAnswerWait));
    if (ok) {
      log(Level::kNotice, "the broker is back", {{"SOCKET", path_}});
      continue;
    }
    co_await loop_.sleep_until(deadline_in(kReconnectWait), &stop_);
  }
}

Task<void> BrokerClient::close() {
  stop_.stop();
  disconnect("closing");
  co_await tasks_.join();
  co_await receivers_.join();
  socket_.reset();
}

// --- requests -----------------------------------------------------------------------------------

Task<Result<BrokerClient::Answer>> BrokerClient::exchange(
    uint32_t id, std::span<const std::byte> packet, std::vector<FdRef> fds, size_t fds_wanted) {
  if (!connected_) co_return tl::unexpected(gone());
  std::vector<int> numbers;
  for (const FdRef fd : fds) numbers.push_back(fd.fd);
  loader::ScmSend out(packet.data(), packet.size(), numbers.data(), numbers.size());
  Pending p(loop_, id);
  const auto place = pending_.insert(pending_.end(), &p);
  const Deadline until = deadline_in(kAnswerWait);
  const auto socket = socket_;
  const int sent = co_await loop_.sendmsg(FdRef(*socket), &out.message, until, &stop_);
  int rc = sent < 0 ? sent : 0;
  if (rc == 0) rc = co_await p.done.wait(until);
  pending_.erase(place);
  if (p.lost) co_return tl::unexpected(gone());
  if (rc == -ETIME)
    co_return fail(Origin::kHost, Kind::kTimeout, "the broker did not answer in time");
  if (rc < 0) co_return fail_errno("asking the broker", -rc);
  const wire::Reply& reply = p.answer.reply;
  if (reply.error != 0) co_return fail_errno("broker: " + std::string(reply.text), reply.error);
  if (p.answer.fds.size() != fds_wanted)
    co_return fail(Origin::kHost, Kind::kInternal, "the broker sent other descriptors");
  co_return std::move(p.answer);
}

template <class Request>
Task<Result<BrokerClient::Answer>> BrokerClient::call(
    Request request, std::vector<FdRef> fds, size_t fds_wanted) {
  const auto packet = std::as_bytes(std::span<const Request>(&request, 1));
  co_return co_await exchange(request.header.id, packet, std::move(fds), fds_wanted);
}

Task<Result<UniqueFd>> BrokerClient::open_devices() {
  auto answer =
      co_await call(wire::make_request<wire::OpenDevicesRequest>(next_id_++), no_fds(), 1);
  if (!answer)
    co_return tl::unexpected(std::move(answer).error().while_doing("opening the devices"));
  co_return std::move(answer->fds[0]);
}

Task<Result<BrokerClient::Mount>> BrokerClient::mount_fuse() {
  auto request = wire::make_request<wire::MountFuseRequest>(next_id_++);
  request.session = next_session_++;
  auto answer = co_await call(request, no_fds(), 1);
  if (!answer)
    co_return tl::unexpected(std::move(answer).error().while_doing("making the FUSE mount"));
  Mount mount;
  mount.session = request.session;
  mount.fuse_device = std::move(answer->fds[0]);
  mount.uid = static_cast<uint32_t>(answer->reply.value);
  co_return std::move(mount);
}

Task<Result<UniqueFd>> BrokerClient::start_jail(
    wire::StartRequest request, std::vector<FdRef> fds) {
  request.header.id = next_id_++;
  auto answer = co_await call(request, std::move(fds), 1);
  if (!answer) co_return tl::unexpected(std::move(answer).error().while_doing("starting the jail"));
  co_return std::move(answer->fds[0]);
}

Task<void> BrokerClient::kill(uint64_t session) {
  auto request = wire::make_request<wire::KillRequest>(next_id_++);
  request.session = session;
  auto answer = co_await call(request, no_fds(), 0);
  if (answer || answer.error().kind() == Kind::kDisconnected) co_return;
  log_error("ending a jail", answer.error(), {{"PHASE", "run"}});
}

Task<Result<int32_t>> BrokerClient::open(FdRef fuse_device, FdRef file) {
  std::vector<FdRef> fds;
  fds.push_back(fuse_device);
  fds.push_back(file);
  auto answer =
      co_await call(wire::make_request<wire::BackingOpenRequest>(next_id_++), std::move(fds), 0);
  if (!answer) co_return tl::unexpected(std::move(answer).error());
  co_return answer->reply.value;
}

Task<Status> BrokerClient::close(FdRef fuse_device, int32_t backing_id) {
  auto request = wire::make_request<wire::BackingCloseRequest>(next_id_++);
  request.backing_id = backing_id;
  std::vector<FdRef> fds;
  fds.push_back(fuse_device);
  auto answer = co_await call(request, std::move(fds), 0);
  if (!answer) co_return tl::unexpected(std::move(answer).error());
  co_return Status{};
}

}  // namespace zvm::host
