// Whatever is read from the device: the session answers each request at most once, with a whole
// reply, never changes an original, never grants an open of one that may write, and ends cleanly.
//
// An input is a row of messages: two bytes of length, one of flags (1: put the right length into
// the header), then the message. INIT comes first by itself, with passthrough offered, unless the
// input's first byte is odd.
#include <fcntl.h>
#include <linux/fuse.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <cstring>
#include <set>
#include <string>
#include <string_view>

#include "base/async/loop.h"
#include "fuse_channels/session.h"

namespace zvm::fuse_channels {
namespace {

constexpr size_t kObject = 5000;
constexpr size_t kMostMessages = 64;
constexpr uint64_t kBarrier = 0xb0a7'0000'0000'0000;

void require(bool holds) {
  if (!holds) __builtin_trap();
}

class NoBacking final : public Backing {
 public:
  Task<Result<int32_t>> open(FdRef, FdRef) override { co_return ++opened; }

  Task<Status> close(FdRef, int32_t) override {
    ++closed;
    co_return Status{};
  }

  int32_t opened = 0, closed = 0;
};

class Zeros final : public RemoteSource {
 public:
  Task<Status> fetch(uint64_t offset, std::span<std::byte> into) override {
    std::memset(into.data(), 0, into.size());
    if (offset > 300'000) co_return fail(Origin::kSwift, Kind::kDisconnected, "gone");
    co_return Status{};
  }
};

std::string object_bytes(int file) {
  std::string bytes(kObject + 1, '\0');
  const ssize_t n = ::pread(file, bytes.data(), bytes.size(), 0);
  bytes.resize(n > 0 ? static_cast<size_t>(n) : 0);
  return bytes;
}

struct Environment {
  Environment() : loop(*Loop::create(64, 2)) {
    object = UniqueFd(::memfd_create("object", MFD_CLOEXEC));
    require(::write(object.get(), std::string(kObject, 'o').data(), kObject) == kObject);
    const char* tmp = std::getenv("TMPDIR");
    dir = UniqueFd(::open(tmp != nullptr ? tmp : "/tmp", O_PATH | O_DIRECTORY | O_CLOEXEC));
  }

  std::unique_ptr<Loop> loop;
  UniqueFd object;
  UniqueFd dir;
};

std::vector<ChannelSpec> channels(const Environment& env, Zeros& zeros) {
  std::vector<ChannelSpec> out(6);
  out[0].name = "input";
  out[0].kind = ChannelSpec::Kind::kObject;
  out[0].size = kObject;
  out[0].path = "swift://a/c/o";
  out[0].file = UniqueFd(::fcntl(env.object.get(), F_DUPFD_CLOEXEC, 3));
  out[1].name = "stdout";
  out[1].kind = ChannelSpec::Kind::kAppend;
  out[1].max_bytes = 10'000;
  out[2].name = "output";
  out[2].kind = ChannelSpec::Kind::kRandom;
  out[2].max_bytes = 100'000;
  out[3].name = "stderr";
  out[3].kind = ChannelSpec::Kind::kTail;
  out[4].name = "script";
  out[4].bytes = "text";
  out[5].name = "far";
  out[5].kind = ChannelSpec::Kind::kRemote;
  out[5].size = 400'000;
  out[5].remote = &zeros;
  return out;
}

std::string header(uint32_t opcode, uint64_t unique, size_t body) {
  fuse_in_header in{};
  in.len = static_cast<uint32_t>(sizeof in + body);
  in.opcode = opcode;
  in.unique = unique;
  in.nodeid = FUSE_ROOT_ID;
  return {reinterpret_cast<const char*>(&in), sizeof in};
}

class Conversation {
 public:
  Conversation(Environment& env, UniqueFd kernel) : env_(env), kernel_(std::move(kernel)) {}

  // Sends one message and waits until it, and all before it, were looked at.
  Task<void> say(std::string message) {
    if (message.size() >= sizeof(fuse_in_header)) note(message);
    const FdRef kernel(kernel_);
    const auto bytes = std::as_bytes(std::span(message));
    const int sent = co_await env_.loop->send(kernel, bytes, kNever);
    require(sent == static_cast<int>(message.size()));
    const std::string barrier = header(FUSE_STATFS, kBarrier + ++barriers_, 0);
    const auto barrier_bytes = std::as_bytes(std::span(barrier));
    const int barred = co_await env_.loop->send(kernel, barrier_bytes, kNever);
    require(barred == static_cast<int>(barrier.size()));
    for (;;) {
      const auto into = std::as_writable_bytes(std::span(buffer_));
      const int n = co_await env_.loop->recv(kernel, into, kNever);
      require(n >= static_cast<int>(sizeof(fuse_out_header)));
      if (check(static_cast<size_t>(n)) == kBarrier + barriers_) co_return;
    }
  }

 private:
  void note(const std::string& message) {
    fuse_in_header in;
    std::memcpy(&in, message.data(), sizeof in);
    fuse_open_in open{};
    if (in.opcode == FUSE_OPEN && message.size() >= sizeof in + sizeof open) {
      std::memcpy(&open, message.data() + sizeof in, sizeof open);
      // Names sorted: far full input null output random script stderr stdout urandom zero.
      const bool original = in.nodeid == FUSE_ROOT_ID + 1 + 0 || in.nodeid == FUSE_ROOT_ID + 1 + 2;
      const bool writes = (open.flags & O_ACCMODE) != O_RDONLY || (open.flags & O_TRUNC) != 0;
      if (original && writes) forbidden_.insert(in.unique);
    } else {
      // The number of a forbidden open may be used again by a harmless request.
      forbidden_.erase(in.unique);
    }
  }

  uint64_t check(size_t n) {
    fuse_out_header out;
    std::memcpy(&out, buffer_.data(), sizeof out);
    require(out.len == n && out.error <= 0 && out.error > -1000);
    require(out.error == 0 || n == sizeof out);
    require(out.error != 0 || !forbidden_.contains(out.unique));
    return out.unique;
  }

  Environment& env_;
  UniqueFd kernel_;
  uint64_t barriers_ = 0;
  std::set<uint64_t> forbidden_;
  std::string buffer_ = std::string(512 << 10, '\0');
};

Task<void> run(Environment& env, std::string_view input) {
  int ends[2];
  require(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
  const int room = 4 << 20;
  ::setsockopt(ends[1], SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
  NoBacking backing;
  Zeros zeros;
  Options options;
  options.spool_dir = options.clone_dir = env.dir;
  auto specs = channels(env, zeros);
  UniqueFd device(ends[1]);
  auto session = Session::create(*env.loop, std::move(device), options, std::move(specs), &backing);
  require(session.has_value());
  {
    Conversation conversation(env, UniqueFd(ends[0]));
    if (!input.empty() && (input[0] & 1) == 0) {
      fuse_init_in init{};
      init.major = 7;
      init.minor = 45;
      init.flags = FUSE_INIT_EXT | FUSE_MAX_PAGES;
      init.flags2 = 1u << 5;
      std::string first = header(FUSE_INIT, 2, sizeof init);
      first.append(reinterpret_cast<const char*>(&init), sizeof init);
      co_await conversation.say(std::move(first));
    }
    if (!input.empty()) input.remove_prefix(1);
    for (size_t i = 0; i < kMostMessages && input.size() >= 3; ++i) {
      const size_t size = static_cast<uint8_t>(input[0]) | static_cast<uint8_t>(input[1]) << 8;
      const bool right = (input[2] & 1) != 0;
      input.remove_prefix(3);
      std::string message(input.substr(0, size));
      input.remove_prefix(message.size());
      if (message.empty()) break;
      if (right && message.size() >= sizeof(fuse_in_header)) {
        const auto length = static_cast<uint32_t>(message.size());
        std::memcpy(message.data(), &length, sizeof length);
      }
      co_await conversation.say(std::move(message));
    }
  }
  co_await (*session)->close();
  session->reset();
  // The loop takes the cancellation of the device's poll in its next turn; until then only the
  // kernel knows the poll's state, which looks like a leak.
  const int slept = co_await env.loop->sleep_until(deadline_in(std::chrono::milliseconds(1)));
  (void)slept;
  require(backing.opened == backing.closed);
  require(object_bytes(env.object.get()) == std::string(kObject, 'o'));
}

}  // namespace
}  // namespace zvm::fuse_channels

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace zvm::fuse_channels;
  static Environment env;
  env.loop->run(run(env, std::string_view(reinterpret_cast<const char*>(data), size)));
  return 0;
}
