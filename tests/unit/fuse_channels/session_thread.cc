#include "tests/unit/fuse_channels/session_thread.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

#include <filesystem>

namespace zvm::fuse_channels::test {

UniqueFd must(int fd, const char* what) {
  if (fd < 0) {
    std::perror(what);
    std::abort();
  }
  return UniqueFd(fd);
}

Folder::Folder(const std::string& parent) {
  const char* tmp = std::getenv("TMPDIR");
  path_ =
      (parent.empty() ? std::string(tmp != nullptr ? tmp : "/tmp") : parent) + "/zvm-fuse-XXXXXX";
  if (::mkdtemp(path_.data()) == nullptr) std::abort();
  fd_ = must(::open(path_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC), "open folder");
}

Folder::~Folder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

UniqueFd Folder::file(const std::string& name, const std::string& content) {
  const std::string path = path_ + "/" + name;
  UniqueFd out = must(::open(path.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600), "create");
  for (size_t at = 0; at < content.size();) {
    const ssize_t n = ::write(out.get(), content.data() + at, content.size() - at);
    if (n <= 0) std::abort();
    at += static_cast<size_t>(n);
  }
  return must(::open(path.c_str(), O_RDONLY | O_CLOEXEC), "open");
}

SessionThread::SessionThread(
    UniqueFd device, Options options, std::vector<ChannelSpec> channels, Backing* backing)
    : wake_(must(::eventfd(0, EFD_CLOEXEC), "eventfd")) {
  thread_ = std::thread([this, options, &channels, backing, &device] {
    serve(options, std::move(channels), backing, std::move(device));
  });
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return started_; });
  if (!failure_.empty()) {
    std::fprintf(stderr, "session: %s\n", failure_.c_str());
    std::abort();
  }
}

SessionThread::~SessionThread() {
  close_session();
  thread_.join();
}

void SessionThread::serve(
    Options options, std::vector<ChannelSpec> channels, Backing* backing, UniqueFd device) {
  auto loop = Loop::create();
  if (!loop) std::abort();
  loop_ = loop->get();
  auto work = main(options, std::move(channels), backing, std::move(device));
  loop_->run(std::move(work));
}

Task<void> SessionThread::main(
    Options options, std::vector<ChannelSpec> channels, Backing* backing, UniqueFd device) {
  auto session = Session::create(*loop_, std::move(device), options, std::move(channels), backing);
  {
    std::lock_guard lock(mutex_);
    started_ = true;
    if (!session) failure_ = session.error().what();
    changed_.notify_all();
  }
  if (!session) co_return;
  session_ = *std::move(session);
  session_->on_limit = [this](size_t channel) { limits.push_back(channel); };
  session_->on_end = [this] {
    ++ends;
    std::lock_guard lock(mutex_);
    changed_.notify_all();
  };
  co_await work();
  co_await session_->close();
  session_.reset();
  std::lock_guard lock(mutex_);
  closed_ = true;
  changed_.notify_all();
}

Task<void> SessionThread::work() {
  for (;;) {
    uint64_t count = 0;
    const FdRef wake(wake_);
    const auto into = std::as_writable_bytes(std::span(&count, 1));
    const int n = co_await loop_->read(wake, into, Loop::kCurrent, kNever);
    if (n < 0 && n != -EINTR) std::abort();
    std::vector<std::function<void(Session&)>> calls;
    bool stop = false;
    {
      std::lock_guard lock(mutex_);
      calls.swap(calls_);
      stop = stop_;
    }
    for (auto& call : calls) call(*session_);
    if (stop) co_return;
  }
}

void SessionThread::on_loop(std::function<void(Session&)> fn) {
  bool done = false;
  std::unique_lock lock(mutex_);
  calls_.push_back([&](Session& session) {
    fn(session);
    std::lock_guard inner(mutex_);
    done = true;
    changed_.notify_all();
  });
  const uint64_t one = 1;
  if (::write(wake_.get(), &one, sizeof one) != sizeof one) std::abort();
  changed_.wait(lock, [&] { return done; });
}

ChannelUsage SessionThread::usage(size_t channel) {
  ChannelUsage usage;
  on_loop([&](Session& session) { usage = session.usage(channel); });
  return usage;
}

uint64_t SessionThread::requests() {
  uint64_t count = 0;
  on_loop([&](Session& session) { count = session.requests(); });
  return count;
}

std::string SessionThread::spooled(size_t channel) {
  std::string out;
  on_loop([&](Session& session) {
    const int fd = session.spool(channel).fd;
    struct stat st {};
    if (::fstat(fd, &st) != 0) return;
    out.resize(static_cast<size_t>(st.st_size));
    if (::pread(fd, out.data(), out.size(), 0) != st.st_size) out.clear();
  });
  return out;
}

void SessionThread::close_session() {
  std::unique_lock lock(mutex_);
  if (closed_) return;
  stop_ = true;
  const uint64_t one = 1;
  if (::write(wake_.get(), &one, sizeof one) != sizeof one) std::abort();
  changed_.wait(lock, [this] { return closed_; });
}

bool SessionThread::wait_for_end() {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, std::chrono::seconds(30), [this] { return ends > 0; });
}

std::string read_all(int fd) {
  std::string out;
  std::vector<char> buffer(256 << 10);
  for (;;) {
    const ssize_t n = ::read(fd, buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return out;
    out.append(buffer.data(), static_cast<size_t>(n));
  }
}

std::string pattern(size_t size, unsigned seed) {
  std::string out(size, '\0');
  uint64_t x = 0x9e3779b97f4a7c15u * (seed + 1);
  for (size_t i = 0; i < size; ++i) {
    if (i % 8 == 0) x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    out[i] = static_cast<char>(x >> (8 * (i % 8)));
  }
  return out;
}

ChannelSpec object(const std::string& name, UniqueFd file, uint64_t size) {
  ChannelSpec spec;
  spec.name = name;
  spec.kind = ChannelSpec::Kind::kObject;
  spec.file = std::move(file);
  spec.size = size;
  spec.mtime_ns = 1'700'000'000'123'456'789;
  return spec;
}

ChannelSpec output(const std::string& name, ChannelSpec::Kind kind, uint64_t max_bytes) {
  ChannelSpec spec;
  spec.name = name;
  spec.kind = kind;
  spec.max_bytes = max_bytes;
  return spec;
}

}  // namespace zvm::fuse_channels::test
