#include "fuse_channels/session.h"

#include <sys/eventfd.h>

#include <mutex>

#include "fuse_channels/append_node.h"
#include "fuse_channels/kernel.h"
#include "fuse_channels/operations.h"
#include "fuse_channels/source_node.h"
#include "fuse_channels/wire.h"

namespace zvm::fuse_channels {

namespace {

struct DestroySession {
  void operator()(fuse_session* session) const { fuse_session_destroy(session); }
};

// libfuse hands over each reply in pieces; result and errno as of writev().
ssize_t write_reply(int, iovec* pieces, int count, void* userdata) {
  auto& served = *static_cast<Served*>(userdata);
  if (served.current_opcode == FUSE_INIT) amend_init_reply(served.terms, pieces, count);
  const int failed = served.device->send(pieces, count);
  if (failed != 0) {
    // Whatever the reason, the request has gone with its connection. ENOENT is the one error that
    // libfuse takes for that, and does not print.
    errno = ENOENT;
    return -1;
  }
  ssize_t size = 0;
  for (int i = 0; i < count; ++i) size += static_cast<ssize_t>(pieces[i].iov_len);
  return size;
}

// Requests are read by Device and given to libfuse by process_buf: it never reads itself.
ssize_t never_read(int, void*, size_t, void*) {
  errno = EIO;
  return -1;
}

class SessionImpl final : public Session {
 public:
  SessionImpl(Loop& loop, Options options, Backing* backing) : served_(loop, options, backing) {}

  ~SessionImpl() override { ZVM_CHECK(closed_); }

  Status start(UniqueFd fuse_device, std::vector<ChannelSpec> channels);

  Task<void> close() override;
  ChannelUsage usage(size_t channel) const override;
  FdRef spool(size_t channel) const override;
  std::string tail(size_t channel) const override;
  uint64_t stable_size(size_t channel) const override;

  Event& changed(size_t channel) override { return served_.tree->channel(channel).state.changed; }

  bool passthrough_active() const override { return served_.context.passthrough; }

  uint64_t requests() const override { return messages_; }

 private:
  Status open_library();
  void on_message(std::span<std::byte> message);
  void answer(uint64_t unique, int sys_errno);

  Served served_;
  std::unique_ptr<fuse_session, DestroySession> library_;
  uint64_t messages_ = 0;
  bool closed_ = true;  // from start() to the end of close(): false
};

Status SessionImpl::open_library() {
  // libfuse would print to stderr what a strange request makes it say; library code does not log.
  static std::once_flag silenced;
  std::call_once(silenced, [] { fuse_set_log_func([](fuse_log_level, const char*, va_list) {}); });
  const fuse_lowlevel_ops ops = operations();
  char name[] = "zvm";
  char* argv[] = {name, nullptr};
  fuse_args args = FUSE_ARGS_INIT(1, argv);
  library_.reset(fuse_session_new(&args, &ops, sizeof ops, &served_));
  fuse_opt_free_args(&args);
  if (!library_) return fail(Origin::kHost, Kind::kInternal, "fuse_session_new failed");
  // libfuse closes the descriptor it is given when it is destroyed. The device must close earlier,
  // while requests still wait, so that the library gets another one, which nobody uses.
  const int unused = ::eventfd(0, EFD_CLOEXEC);
  if (unused < 0) return fail_errno("eventfd", errno);
  fuse_custom_io io{};
  io.writev = write_reply;
  io.read = never_read;
  const int rc = fuse_session_custom_io(library_.get(), &io, unused);
  if (rc == 0) return {};
  ::close(unused);
  return fail_errno("fuse_session_custom_io", -rc);
}

Status SessionImpl::start(UniqueFd fuse_device, std::vector<ChannelSpec> channels) {
  Context& context = served_.context;
  context.device = std::move(fuse_device);
  served_.terms.passthrough = context.options.passthrough && context.backing != nullptr;
  served_.terms.stack_depth = context.options.passthrough_depth;
  auto limit = [this](size_t channel) {
    if (on_limit) on_limit(channel);
  };
  ZVM_TRY(served_.tree, Tree::create(context, std::move(channels), limit));
  ZVM_CHECK_OK(open_library());
  Device::Hooks hooks;
  hooks.on_message = [this](std::span<std::byte> message) { on_message(message); };
  hooks.ready = [&context] { return context.write_bytes <= Context::kMaxWriteBytes; };
  hooks.on_end = [this] {
    if (on_end) on_end();
  };
  served_.device = std::make_unique<Device>(context.loop, context.device, std::move(hooks));
  context.writes_drained = [this] { served_.device->resume(); };
  closed_ = false;
  return {};
}

void SessionImpl::on_message(std::span<std::byte> message) {
  ++messages_;
  const auto request = wire::inspect(message);
  switch (request.verdict) {
    case wire::Verdict::kDrop:
      return;
    case wire::Verdict::kInterrupt:
      // Not left to libfuse: it keeps interrupts that crossed their reply, and leaks them at the
      // end.
      served_.context.requests.interrupt(request.target);
      return;
    case wire::Verdict::kAnswer:
      answer(request.unique, request.error);
      return;
    case wire::Verdict::kServe:
      break;
  }
  if (request.opcode == FUSE_INIT) served_.terms.offered = request.offered;
  served_.current_unique = request.unique;
  served_.current_opcode = request.opcode;
  fuse_buf buffer{};
  buffer.mem = message.data();
  buffer.size = message.size();
  fuse_session_process_buf(library_.get(), &buffer);
  served_.current_opcode = 0;
}

void SessionImpl::answer(uint64_t unique, int sys_errno) {
  fuse_out_header header{};
  header.len = sizeof header;
  header.error = -sys_errno;
  header.unique = unique;
  const iovec piece{&header, sizeof header};
  served_.device->send(&piece, 1);
}

Task<void> SessionImpl::close() {
  if (closed_) co_return;
  Context& context = served_.context;
  // From here on no reply leaves: who waits gets ENOTCONN from the kernel, below.
  context.closing = true;
  context.abort.store(true, std::memory_order_relaxed);
  served_.device->close();
  context.requests.interrupt_all();
  co_await context.tasks.join();
  co_await served_.tree->finish();
  for (size_t i = 0; i < served_.tree->channel_count(); ++i)
    served_.tree->channel(i).state.changed.pulse();
  library_.reset();
  // KERNEL: the connection ends with the last reference to the device; the poll's goes when the
  // loop has taken its cancellation, soon after.
  context.device.reset();
  closed_ = true;
}

ChannelUsage SessionImpl::usage(size_t channel) const {
  const Channel& c = served_.tree->channel(channel);
  ChannelUsage usage = c.state.usage;
  if (c.kind != ChannelSpec::Kind::kObject && c.kind != ChannelSpec::Kind::kRemote) return usage;
  const auto& source = static_cast<const SourceNode&>(*c.node);
  const auto* object = dynamic_cast<const ObjectNode*>(&source);
  const WritableNode* copy = source.copy();
  const bool read_by_kernel = object != nullptr && object->passed_through();
  const bool copy_by_kernel = copy != nullptr && copy->passed_through();
  if (read_by_kernel || copy_by_kernel) {
    usage.estimated = true;
    usage.bytes_read = std::max(usage.bytes_read, source.size());
  }
  return usage;
}

FdRef SessionImpl::spool(size_t channel) const {
  const Channel& c = served_.tree->channel(channel);
  if (c.kind == ChannelSpec::Kind::kAppend) return static_cast<AppendNode&>(*c.node).file();
  if (c.kind == ChannelSpec::Kind::kRandom) return static_cast<WritableNode&>(*c.node).file();
  return FdRef(-1);
}

std::string SessionImpl::tail(size_t channel) const {
  const Channel& c = served_.tree->channel(channel);
  if (c.kind != ChannelSpec::Kind::kTail) return {};
  return static_cast<const TailNode&>(*c.node).tail();
}

uint64_t SessionImpl::stable_size(size_t channel) const {
  const Channel& c = served_.tree->channel(channel);
  if (c.kind == ChannelSpec::Kind::kAppend) return c.state.usage.size;
  if (c.kind == ChannelSpec::Kind::kRandom && closed_) return c.state.usage.size;
  return 0;
}

}  // namespace

Result<std::unique_ptr<Session>> Session::create(Loop& loop, UniqueFd fuse_device, Options options,
    std::vector<ChannelSpec> channels, Backing* backing) {
  auto session = std::make_unique<SessionImpl>(loop, options, backing);
  ZVM_CHECK_OK(session->start(std::move(fuse_device), std::move(channels)));
  return session;
}

}  // namespace zvm::fuse_channels
