// Owning and borrowing file descriptors. No allocation, no exceptions: safe between clone and exec.
#pragma once
#include <unistd.h>

#include <utility>

namespace zvm {

// Owns one descriptor and closes it exactly once. Move only. Passing a UniqueFd by value gives it
// away; passing FdRef borrows it.
class [[nodiscard]] UniqueFd {
 public:
  UniqueFd() = default;

  explicit UniqueFd(int fd) noexcept : fd_(fd) {}

  UniqueFd(UniqueFd&& o) noexcept : fd_(std::exchange(o.fd_, -1)) {}

  UniqueFd& operator=(UniqueFd&& o) noexcept {
    if (this != &o) reset(std::exchange(o.fd_, -1));
    return *this;
  }

  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;

  ~UniqueFd() { reset(); }

  int get() const noexcept { return fd_; }

  [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }

  void reset(int fd = -1) noexcept {
    // KERNEL: close() frees the number even when it returns EINTR. Never retry.
    if (int old = std::exchange(fd_, fd); old >= 0) ::close(old);
  }

  explicit operator bool() const noexcept { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

// A descriptor owned by somebody else, who must outlive the use.
struct FdRef {
  FdRef(const UniqueFd& f) noexcept : fd(f.get()) {}  // NOLINT(google-explicit-constructor)

  explicit FdRef(int raw) noexcept : fd(raw) {}

  int fd;
};

}  // namespace zvm
