#include "tests/kernel/loader/fuse_files.h"

#define FUSE_USE_VERSION 312
#include <fuse3/fuse_lowlevel.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <thread>
#include <vector>

#include "loader/wire.h"

namespace zvm::loader::testing {

struct FuseFilesState {
  UniqueFd device, stop;
  uint32_t uid = 0;
  std::vector<std::string> names;  // inode = index + 2
  mutable std::mutex mutex;
  std::vector<std::string> contents;  // guarded by mutex
  fuse_session* session = nullptr;
  std::thread thread;
};

namespace {

constexpr double kLong = 3600;

FuseFilesState& state(fuse_req_t request) {
  return *static_cast<FuseFilesState*>(fuse_req_userdata(request));
}

struct stat attributes(FuseFilesState& s, fuse_ino_t inode) {
  struct stat st {};

  st.st_ino = inode;
  st.st_uid = st.st_gid = s.uid;
  if (inode == FUSE_ROOT_ID) {
    st.st_mode = S_IFDIR | 0555;
    st.st_nlink = 2;
    return st;
  }
  st.st_mode = S_IFREG | 0600;
  st.st_nlink = 1;
  const std::lock_guard lock(s.mutex);
  st.st_size = static_cast<off_t>(s.contents.at(inode - 2).size());
  return st;
}

void on_init(void*, fuse_conn_info* connection) {
  connection->max_read = wire::kFuseMaxRead;
}

void on_lookup(fuse_req_t request, fuse_ino_t, const char* name) {
  auto& s = state(request);
  const auto it = std::find(s.names.begin(), s.names.end(), name);
  if (it == s.names.end()) {
    fuse_reply_err(request, ENOENT);
    return;
  }
  fuse_entry_param e{};
  e.ino = static_cast<fuse_ino_t>(it - s.names.begin()) + 2;
  e.attr = attributes(s, e.ino);
  e.attr_timeout = kLong;  // every file is opened with direct_io: sizes in attributes do not matter
  e.entry_timeout = kLong;
  fuse_reply_entry(request, &e);
}

void on_getattr(fuse_req_t request, fuse_ino_t inode, fuse_file_info*) {
  const struct stat st = attributes(state(request), inode);
  fuse_reply_attr(request, &st, kLong);
}

void on_setattr(fuse_req_t request, fuse_ino_t inode, struct stat*, int, fuse_file_info*) {
  const struct stat st = attributes(state(request), inode);
  fuse_reply_attr(request, &st, kLong);
}

void on_open(fuse_req_t request, fuse_ino_t, fuse_file_info* file) {
  file->direct_io = 1;
  fuse_reply_open(request, file);
}

void on_read(fuse_req_t request, fuse_ino_t inode, size_t size, off_t offset, fuse_file_info*) {
  auto& s = state(request);
  const std::lock_guard lock(s.mutex);
  const std::string& c = s.contents.at(inode - 2);
  const size_t from = std::min(static_cast<size_t>(offset), c.size());
  fuse_reply_buf(request, c.data() + from, std::min(size, c.size() - from));
}

void on_write(
    fuse_req_t request, fuse_ino_t inode, const char* bytes, size_t size, off_t, fuse_file_info*) {
  auto& s = state(request);
  const std::lock_guard lock(s.mutex);
  s.contents.at(inode - 2).append(bytes, size);
  fuse_reply_write(request, size);
}

void on_readdir(fuse_req_t request, fuse_ino_t, size_t size, off_t offset, fuse_file_info*) {
  auto& s = state(request);
  std::string out(size, '\0');
  size_t used = 0;
  for (auto i = static_cast<size_t>(offset); i < s.names.size(); ++i) {
    struct stat st {};

    st.st_ino = i + 2;
    st.st_mode = S_IFREG;
    const size_t n = fuse_add_direntry(request, out.data() + used, size - used, s.names[i].c_str(),
        &st, static_cast<off_t>(i + 1));
    if (n > size - used) break;
    used += n;
  }
  fuse_reply_buf(request, out.data(), used);
}

// libfuse's own loop does not wait on a non-blocking device.
ssize_t wait_and_read(int fd, void* buffer, size_t size, void* user) {
  auto& s = *static_cast<FuseFilesState*>(user);
  for (;;) {
    pollfd p[2] = {{fd, POLLIN, 0}, {s.stop.get(), POLLIN, 0}};
    if (::poll(p, 2, -1) < 0 && errno != EINTR) return -1;
    if (p[1].revents != 0) {
      errno = ENODEV;  // as if unmounted: the loop ends without a word
      return -1;
    }
    const ssize_t n = ::read(fd, buffer, size);
    if (n >= 0 || errno != EAGAIN) return n;
  }
}

ssize_t write_all(int fd, iovec* parts, int count, void*) {
  return ::writev(fd, parts, count);
}

}  // namespace

FuseFiles::FuseFiles(UniqueFd device, uint32_t uid, std::map<std::string, std::string> files,
    const std::string& absent)
    : state_(std::make_unique<FuseFilesState>()) {
  auto& s = *state_;
  s.device = std::move(device);
  s.stop.reset(::eventfd(0, EFD_CLOEXEC));
  s.uid = uid;
  for (const char* name :
      {"null", "zero", "full", "random", "urandom", "stdin", "stdout", "stderr"}) {
    files.try_emplace(name);
  }
  files.erase(absent);
  for (auto& [name, content] : files) {
    s.names.push_back(name);
    s.contents.push_back(content);
  }
  static const fuse_lowlevel_ops ops = [] {
    fuse_lowlevel_ops o{};
    o.init = on_init;
    o.lookup = on_lookup;
    o.getattr = on_getattr;
    o.setattr = on_setattr;
    o.open = on_open;
    o.read = on_read;
    o.write = on_write;
    o.readdir = on_readdir;
    return o;
  }();
  std::string option = "-omax_read=" + std::to_string(wire::kFuseMaxRead);
  char name[] = "zvm";
  char* argv[] = {name, option.data(), nullptr};
  fuse_args args = FUSE_ARGS_INIT(2, argv);
  s.session = fuse_session_new(&args, &ops, sizeof ops, &s);
  fuse_opt_free_args(&args);
  static const fuse_custom_io io{write_all,
      [](int fd, void* b, size_t n, void* u) { return wait_and_read(fd, b, n, u); }, nullptr,
      nullptr};
  fuse_session_custom_io(s.session, &io, s.device.get());
  s.thread = std::thread([&s] { fuse_session_loop(s.session); });
}

FuseFiles::~FuseFiles() {
  const uint64_t one = 1;
  if (::write(state_->stop.get(), &one, sizeof one) < 0) std::abort();
  state_->thread.join();
  (void)state_->device.release();  // fuse_session_destroy closes it
  fuse_session_destroy(state_->session);
}

std::string FuseFiles::content(const std::string& name) const {
  const auto& s = *state_;
  const auto it = std::find(s.names.begin(), s.names.end(), name);
  const std::lock_guard lock(s.mutex);
  return it == s.names.end() ? "" : s.contents[static_cast<size_t>(it - s.names.begin())];
}

FdRef FuseFiles::device() const {
  return state_->device;
}

}  // namespace zvm::loader::testing
