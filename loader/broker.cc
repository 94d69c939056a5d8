#include "loader/broker.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <optional>
#include <set>

#include "base/log.h"
#include "loader/check_request.h"
#include "loader/kernel_objects.h"
#include "loader/launcher_process.h"
#include "loader/scm.h"

namespace zvm::loader {

namespace {

constexpr size_t kMaxConnections = 16;

// What an epoll event is about: a kind and a serial number, never a pointer, since an earlier event
// of the same batch may have ended the thing.
enum class About : uint64_t { kListener = 1, kStop, kLauncher, kConnection, kPid1 };
constexpr unsigned kKindShift = 56;

constexpr uint64_t tag(About kind, uint64_t serial = 0) {
  return (static_cast<uint64_t>(kind) << kKindShift) | serial;
}

struct Connection {
  UniqueFd socket;
  bool greeted = false;
  std::map<uint64_t, uint64_t> sessions;  // number -> serial
};

struct Session {
  uint64_t connection = 0;  // serial; 0: gone, and pid 1 still dies
  uint64_t number = 0;
  uint32_t uid = 0;
  UniqueFd mount;  // until START
  UniqueFd pid1;   // from START on
  bool gone = false;
  std::optional<uint32_t> kill_id;  // a KILL that waits for pid 1's end
};

struct Answer {
  wire::Reply reply{};
  UniqueFd fd;
  bool later = false;  // KILL: answered when pid 1 is gone
};

Answer refuse(int error, std::string_view text) {
  Answer a;
  a.reply.error = error;
  const size_t n = std::min(text.size(), sizeof a.reply.text - 1);
  std::memcpy(a.reply.text, text.data(), n);
  return a;
}

int errno_of(const Error& e) {
  if (e.sys_errno() != 0) return e.sys_errno();
  switch (e.kind()) {
    case Kind::kInvalid:
      return EINVAL;
    case Kind::kDenied:
      return EACCES;
    case Kind::kNotFound:
      return ENOENT;
    case Kind::kOverloaded:
      return EAGAIN;
    default:
      return EIO;
  }
}

Answer refuse(const Error& e) {
  return refuse(errno_of(e), e.what());
}

Answer give(UniqueFd fd) {
  Answer a;
  a.fd = std::move(fd);
  return a;
}

// One uid per jail, taken in turn so that a number rests as long as possible after its jail.
class Uids {
 public:
  Uids(uint64_t first, uint64_t count) : first_(first), count_(count) {}

  std::optional<uint32_t> take() {
    for (uint64_t tried = 0; tried < count_; ++tried) {
      const auto uid = static_cast<uint32_t>(first_ + next_++ % count_);
      if (used_.insert(uid).second) return uid;
    }
    return std::nullopt;
  }

  void give_back(uint32_t uid) { used_.erase(uid); }

 private:
  uint64_t first_, count_, next_ = 0;
  std::set<uint32_t> used_;
};

// PERF: mounting a tmpfs costs about as much as the rest of a jail; the next one is made after the
// answer to a START, when nobody waits (bench jail_start).
class TmpMounts {
 public:
  Result<UniqueFd> take(const wire::StartRequest& r) {
    const Shape shape = shape_of(r);
    if (spare_ && shape == shape_) return std::move(spare_);
    return make(shape);
  }

  void prepare(const wire::StartRequest& r) {
    const Shape shape = shape_of(r);
    if (spare_ && shape == shape_) return;
    auto made = make(shape);
    shape_ = shape;
    spare_ = made ? std::move(*made) : UniqueFd();  // the next START then reports the failure
  }

 private:
  struct Shape {
    uint64_t bytes;
    uint32_t inodes;
    bool executable;
    bool operator==(const Shape&) const = default;
  };

  static Shape shape_of(const wire::StartRequest& r) {
    return {r.limits.tmp_bytes, r.limits.tmp_inodes, r.policy != wire::Policy::kCompute};
  }

  static Result<UniqueFd> make(const Shape& s) { return make_tmp(s.bytes, s.inodes, s.executable); }

  Shape shape_{};
  UniqueFd spare_;
};

class Broker {
 public:
  Broker(BrokerOptions options, UniqueFd listener, UniqueFd stop)
      : options_(std::move(options)),
        uids_(options_.config.uid_first, options_.config.uid_count),
        listener_(std::move(listener)),
        stop_(std::move(stop)),
        epoll_(::epoll_create1(EPOLL_CLOEXEC)) {}

  Status run() {
    if (!epoll_) return fail_errno("epoll_create1", errno);
    ZVM_CHECK_OK(watch(listener_, tag(About::kListener)));
    ZVM_CHECK_OK(watch(stop_, tag(About::kStop)));
    for (;;) {
      epoll_event events[64];
      const int n = ::epoll_wait(epoll_.get(), events, 64, -1);
      if (n < 0 && errno != EINTR) return fail_errno("epoll_wait", errno);
      for (int i = 0; i < n; ++i) {
        if (events[i].data.u64 == tag(About::kStop)) return {};
        dispatch(events[i].data.u64);
      }
    }
  }

 private:
  Status watch(FdRef fd, uint64_t what) {
    epoll_event e{};
    e.events = EPOLLIN;
    e.data.u64 = what;
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd.fd, &e) < 0)
      return fail_errno("epoll_ctl", errno);
    return {};
  }

  void dispatch(uint64_t what) {
    const uint64_t serial = what & ((uint64_t{1} << kKindShift) - 1);
    switch (static_cast<About>(what >> kKindShift)) {
      case About::kListener:
        return accept_peer();
      case About::kLauncher:
        return forget_launcher("launcher is gone");
      case About::kConnection:
        if (auto it = connections_.find(serial); it != connections_.end())
          serve(serial, it->second);
        return;
      case About::kPid1:
        return note_end(serial);
      case About::kStop:
        return;
    }
  }

  void accept_peer() {
    UniqueFd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket) return;
    ucred peer{};
    socklen_t size = sizeof peer;
    if (::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 ||
        peer.uid != options_.peer) {
      log(Level::kWarning, "a peer of another user was turned away",
          {{"PEER_UID", std::to_string(peer.uid)}});
      return;
    }
    if (connections_.size() == kMaxConnections) {
      log(Level::kWarning, "too many connections");
      return;
    }
    const uint64_t serial = next_serial_++;
    if (auto ok = watch(socket, tag(About::kConnection, serial)); !ok) {
      return log_error("cannot watch a connection", ok.error());
    }
    connections_[serial].socket = std::move(socket);
  }

  void serve(uint64_t serial, Connection& c) {
    const int r = receive_packet(c.socket, &in_);
    if (r == -EAGAIN) return;
    if (r < 0) {
      if (r != -ECONNRESET) log(Level::kWarning, "malformed packet from hostd");
      return disconnect(serial);
    }
    const CheckedRequest checked =
        check_request({reinterpret_cast<const std::byte*>(in_.packet), in_.size}, in_.fd_count);
    Answer answer;
    if (checked.refusal.error != 0) {
      answer = refuse(checked.refusal.error, checked.refusal.text);
    } else if (!c.greeted && checked.header.type != wire::Type::kHello) {
      answer = refuse(EPROTO, "the first request must be HELLO");
    } else {
      answer = std::visit(
          [&](const auto& request) { return handle(serial, c, request); }, checked.request);
    }
    const bool hopeless = answer.reply.error == EPROTO || answer.reply.error == EBADMSG;
    if (!answer.later && !send(c, checked.header, answer)) return disconnect(serial);
    // Whoever speaks another version cannot be understood later either.
    if (hopeless) return disconnect(serial);
    if (const auto* start = std::get_if<wire::StartRequest>(&checked.request);
        start != nullptr && answer.reply.error == 0) {
      tmp_.prepare(*start);
    }
  }

  bool send(Connection& c, const wire::Header& request, Answer& answer) {
    answer.reply.header = request;
    answer.reply.header.version = wire::kVersion;
    answer.reply.fd_count = answer.fd ? 1 : 0;
    const int fd = answer.fd.get();
    const int r =
        send_packet(c.socket, &answer.reply, sizeof answer.reply, &fd, answer.reply.fd_count);
    in_.prepare();  // closes what came with the request
    return r == 0;
  }

  // --- the requests
  // -------------------------------------------------------------------------------

  Answer handle(uint64_t, Connection& c, const wire::HelloRequest&) {
    c.greeted = true;
    Answer a;
    a.reply.hello.uid_first = static_cast<uint32_t>(options_.config.uid_first);
    a.reply.hello.uid_count = static_cast<uint32_t>(options_.config.uid_count);
    a.reply.hello.max_jails = static_cast<uint32_t>(options_.config.max_jails);
    return a;
  }

  Answer handle(uint64_t, Connection&, const wire::OpenDevicesRequest&) {
    auto tree = clone_read_only(options_.config.devices);
    return tree ? give(std::move(*tree)) : refuse(tree.error());
  }

  Answer handle(uint64_t serial, Connection& c, const wire::MountFuseRequest& r) {
    if (c.sessions.contains(r.session)) return refuse(EEXIST, "session number in use");
    if (sessions_.size() >= options_.config.max_jails)
      return refuse(EAGAIN, "max_jails sessions are open");
    const auto uid = uids_.take();
    if (!uid) return refuse(EAGAIN, "every uid is in use");
    auto fuse = make_fuse_mount(*uid);
    if (!fuse) {
      uids_.give_back(*uid);
      return refuse(fuse.error());
    }
    const uint64_t session_serial = next_serial_++;
    Session& s = sessions_[session_serial];
    s.connection = serial;
    s.number = r.session;
    s.uid = *uid;
    s.mount = std::move(fuse->mount);
    c.sessions[r.session] = session_serial;
    Answer a = give(std::move(fuse->device));
    a.reply.value = static_cast<int32_t>(*uid);
    return a;
  }

  Answer handle(uint64_t, Connection&, const wire::BackingOpenRequest&) {
    const auto id = open_backing(in_.fds[0], in_.fds[1]);
    if (!id) return refuse(id.error());
    Answer a;
    a.reply.value = *id;
    return a;
  }

  Answer handle(uint64_t, Connection&, const wire::BackingCloseRequest& r) {
    const auto ok = close_backing(in_.fds[0], r.backing_id);
    return ok ? Answer{} : refuse(ok.error());
  }

  Answer handle(uint64_t, Connection& c, const wire::StartRequest& r) {
    const auto known = c.sessions.find(r.session);
    if (known == c.sessions.end()) return refuse(ENOENT, "no such session");
    const uint64_t session_serial = known->second;
    Session& s = sessions_.at(session_serial);
    if (!s.mount) return refuse(EALREADY, "the session was started before");
    if (std::string_view(r.image) != "host") return refuse(ENOENT, "no such image");
    const bool program = (r.flags & wire::kProgramInFd) != 0;
    if (auto ok = check_start_fds(in_.fds, program); !ok) return refuse(ok.error());
    auto tmp = tmp_.take(r);
    if (!tmp) return refuse(tmp.error());
    auto pid1 = launch(s, r, *tmp);
    if (!pid1) return refuse(pid1.error());
    s.mount.reset();
    const int for_hostd = ::fcntl(pid1->get(), F_DUPFD_CLOEXEC, 0);
    s.pid1 = std::move(*pid1);
    if (auto ok = watch(s.pid1, tag(About::kPid1, session_serial)); !ok || for_hostd < 0) {
      kill(s);
      return refuse(EMFILE, "out of descriptors");
    }
    return give(UniqueFd(for_hostd));
  }

  Answer handle(uint64_t, Connection& c, const wire::KillRequest& r) {
    const auto known = c.sessions.find(r.session);
    if (known == c.sessions.end()) return refuse(ENOENT, "no such session");
    Session& s = sessions_.at(known->second);
    if (s.kill_id) return refuse(EALREADY, "the session is being killed");
    if (!s.pid1 || s.gone) {
      forget(known->second);
      return {};
    }
    kill(s);
    wire::Header header;
    std::memcpy(&header, in_.packet, sizeof header);
    s.kill_id = header.id;
    Answer a;
    a.later = true;
    return a;
  }

  // --- jails
  // --------------------------------------------------------------------------------------

  Result<UniqueFd> launch(const Session& s, const wire::StartRequest& r, FdRef tmp) {
    LaunchRequest request{};
    request.version = wire::kVersion;
    request.policy = r.policy;
    request.flags = r.flags;
    request.uid = s.uid;
    request.limits = r.limits;
    int fds[kLaunchFds + 1] = {s.mount.get(), tmp.fd, in_.fds[0].get(), in_.fds[1].get(),
        in_.fds[2].get(), in_.fds[3].get()};
    const size_t count = kLaunchFds + ((r.flags & wire::kProgramInFd) ? 1 : 0);
    if (!launcher_) {
      ZVM_TRY(launcher_, LauncherProcess::start(options_.loader, r.image));
      ZVM_CHECK_OK(watch(launcher_->socket(), tag(About::kLauncher)));
      log(Level::kInfo, "launcher started", {{"IMAGE", r.image}});
    }
    auto pid1 = launcher_->launch(request, fds, count);
    if (!pid1 && pid1.error().kind() == Kind::kDisconnected) forget_launcher(pid1.error().what());
    return pid1;
  }

  void forget_launcher(const std::string& why) {
    if (!launcher_) return;
    log(Level::kError, "lost the launcher and its jails; the next job starts another one",
        {{"REASON", why}});
    launcher_.reset();  // its jails die with it; note_end hears of each
  }

  static void kill(const Session& s) {
    // ESRCH: already gone.
    ::syscall(SYS_pidfd_send_signal, s.pid1.get(), SIGKILL, nullptr, 0);
  }

  // pid 1 is gone, and with it its pid namespace.
  void note_end(uint64_t serial) {
    const auto it = sessions_.find(serial);
    if (it == sessions_.end()) return;
    Session& s = it->second;
    s.gone = true;
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, s.pid1.get(), nullptr);
    if (s.connection == 0) return forget(serial);
    if (!s.kill_id) return;  // hostd will ask
    Answer a;
    wire::Header header{wire::kVersion, wire::Type::kKill, *s.kill_id};
    const uint64_t connection = s.connection;
    forget(serial);
    if (!send(connections_.at(connection), header, a)) disconnect(connection);
  }

  // The session has no process: its uid may be used again.
  void forget(uint64_t serial) {
    const auto it = sessions_.find(serial);
    uids_.give_back(it->second.uid);
    if (auto c = connections_.find(it->second.connection); c != connections_.end()) {
      c->second.sessions.erase(it->second.number);
    }
    sessions_.erase(it);
  }

  void disconnect(uint64_t serial) {
    const auto c = connections_.find(serial);
    const auto ended = std::move(c->second.sessions);
    connections_.erase(c);
    for (const auto& [number, session] : ended) {
      Session& s = sessions_.at(session);
      s.connection = 0;
      s.kill_id.reset();
      if (s.pid1 && !s.gone) {
        kill(s);  // forgotten when pid 1 is gone
      } else {
        forget(session);
      }
    }
    if (!ended.empty()) {
      log(Level::kNotice, "hostd's connection ended; its jails were killed",
          {{"SESSIONS", std::to_string(ended.size())}});
    }
  }

  BrokerOptions options_;
  Uids uids_;
  UniqueFd listener_, stop_, epoll_;
  uint64_t next_serial_ = 1;
  std::map<uint64_t, Connection> connections_;
  std::map<uint64_t, Session> sessions_;
  TmpMounts tmp_;
  std::optional<LauncherProcess> launcher_;
  ScmReceive in_;  // the packet that is being served
};

}  // namespace

Status run_broker(BrokerOptions options, UniqueFd listener, UniqueFd stop) {
  Broker broker(std::move(options), std::move(listener), std::move(stop));
  return broker.run();
}

}  // namespace zvm::loader
