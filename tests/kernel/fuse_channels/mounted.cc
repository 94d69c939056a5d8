#include "tests/kernel/fuse_channels/mounted.h"

#include <fcntl.h>
#include <grp.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cstring>
#include <filesystem>

#include "fuse_channels/kernel.h"

namespace zvm::fuse_channels::test {

namespace {

constexpr uid_t kOwner = 20123;

UniqueFd must(int fd, const char* what) {
  if (fd < 0) {
    std::perror(what);
    std::abort();
  }
  return UniqueFd(fd);
}

}  // namespace

std::string why_not() {
  if (::geteuid() != 0) return "needs root: mounts FUSE";
  if (::access("/dev/fuse", R_OK | W_OK) != 0) return "needs /dev/fuse";
  UniqueFd fs(::fsopen("fuse", FSOPEN_CLOEXEC));
  if (!fs) return std::string("needs fsopen(fuse): ") + std::strerror(errno);
  return "";
}

Task<Result<int32_t>> DirectBacking::open(FdRef fuse_device, FdRef file) {
  if (refuse) {
    ++refused;
    co_return fail_errno("refused by the test", EPERM);
  }
  kernel::BackingMap map{};
  map.fd = file.fd;
  const int id = ::ioctl(fuse_device.fd, kernel::kBackingOpen, &map);
  if (id <= 0) {
    ++refused;
    co_return fail_errno("FUSE_DEV_IOC_BACKING_OPEN", errno);
  }
  ++opened;
  co_return id;
}

Task<Status> DirectBacking::close(FdRef fuse_device, int32_t backing_id) {
  if (::ioctl(fuse_device.fd, kernel::kBackingClose, &backing_id) != 0)
    co_return fail_errno("FUSE_DEV_IOC_BACKING_CLOSE", errno);
  ++closed;
  co_return Status{};
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

Mount make_mount() {
  Mount mount;
  mount.device = must(::open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK), "/dev/fuse");
  const UniqueFd fs = must(::fsopen("fuse", FSOPEN_CLOEXEC), "fsopen");
  const auto set = [&](const char* key, const char* value) {
    const auto command = value != nullptr ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG;
    if (::fsconfig(fs.get(), command, key, value, 0) != 0) std::perror(key), std::abort();
  };
  set("source", "zvm-test");
  set("fd", std::to_string(mount.device.get()).c_str());
  set("rootmode", "40555");
  set("user_id", "0");
  set("group_id", "0");
  set("allow_other", nullptr);
  set("default_permissions", nullptr);
  if (::fsconfig(fs.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    std::perror("FSCONFIG_CMD_CREATE");
    std::abort();
  }
  mount.root =
      must(::fsmount(fs.get(), FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV), "fsmount");
  return mount;
}

Mounted::Mounted(Options options, std::vector<ChannelSpec> channels, Backing* backing)
    : wake_(must(::eventfd(0, EFD_CLOEXEC), "eventfd")) {
  Mount mount = make_mount();
  root_ = std::move(mount.root);
  if (options.uid == 0) options.uid = options.gid = kOwner;
  thread_ = std::thread([this, options, &channels, backing, &mount] {
    serve(options, std::move(channels), backing, std::move(mount.device));
  });
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return started_; });
  if (!failure_.empty()) {
    std::fprintf(stderr, "session: %s\n", failure_.c_str());
    std::abort();
  }
}

Mounted::~Mounted() {
  root_.reset();
  close_session();
  thread_.join();
}

void Mounted::serve(
    Options options, std::vector<ChannelSpec> channels, Backing* backing, UniqueFd device) {
  auto loop = Loop::create();
  if (!loop) std::abort();
  loop_ = loop->get();
  auto work = main(options, std::move(channels), backing, std::move(device));
  loop_->run(std::move(work));
}

Task<void> Mounted::main(
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

Task<void> Mounted::work() {
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

void Mounted::on_loop(std::function<void(Session&)> fn) {
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

int Mounted::open(const char* name, int flags) const {
  const int fd = ::openat(root_.get(), name, flags | O_CLOEXEC);
  return fd >= 0 ? fd : -errno;
}

ChannelUsage Mounted::usage(size_t channel) {
  ChannelUsage usage;
  on_loop([&](Session& session) { usage = session.usage(channel); });
  return usage;
}

uint64_t Mounted::requests() {
  uint64_t count = 0;
  on_loop([&](Session& session) { count = session.requests(); });
  return count;
}

std::string Mounted::spooled(size_t channel) {
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

bool Mounted::unmount() {
  root_.reset();
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, std::chrono::seconds(30), [this] { return ends > 0; });
}

void Mounted::close_session() {
  std::unique_lock lock(mutex_);
  if (closed_) return;
  stop_ = true;
  const uint64_t one = 1;
  if (::write(wake_.get(), &one, sizeof one) != sizeof one) std::abort();
  changed_.wait(lock, [this] { return closed_; });
}

pid_t Mounted::start_shell(const std::string& command, int out) {
  const char* text = command.c_str();
  const pid_t pid = ::fork();
  if (pid != 0) return pid;
  // Between fork and exec of a program with threads: system calls only.
  if (::fchdir(root_.get()) != 0) ::_exit(121);
  if (out >= 0 && (::dup2(out, 1) < 0 || ::dup2(out, 2) < 0)) ::_exit(122);
  if (::setgroups(0, nullptr) != 0 || ::setresgid(kOwner, kOwner, kOwner) != 0 ||
      ::setresuid(kOwner, kOwner, kOwner) != 0) {
    ::_exit(123);
  }
  // The folder has no path; the shell wants one.
  const char* argv[] = {"sh", "-c", text, nullptr};
  const char* env[] = {"PWD=/proc/self/cwd", "PATH=/usr/bin:/bin", "LC_ALL=C", nullptr};
  ::execve("/bin/sh", const_cast<char**>(argv), const_cast<char**>(env));
  ::_exit(124);
}

ProgramEnd Mounted::shell(const std::string& command) {
  int ends_of_pipe[2];
  if (::pipe2(ends_of_pipe, O_CLOEXEC) != 0) std::abort();
  const UniqueFd in(ends_of_pipe[0]);
  UniqueFd out(ends_of_pipe[1]);
  const pid_t pid = start_shell(command, out.get());
  out.reset();
  ProgramEnd end;
  end.out = read_all(in.get());
  ::waitpid(pid, &end.status, 0);
  return end;
}

bool in_child(const std::function<bool()>& fn) {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(fn() ? 0 : 1);
  int status = -1;
  return ::waitpid(pid, &status, 0) == pid && status == 0;
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
