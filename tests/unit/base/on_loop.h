// Runs a test's coroutine on a loop of its own.
#pragma once
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <utility>

#include "base/async/loop.h"

namespace zvm::test {

// Long enough that only a hang reaches it.
inline Deadline patient() {
  return deadline_in(std::chrono::seconds(60));
}

template <class... Args, class... Given>
void on_loop(Task<void> (*body)(Loop&, Args...), Given&&... given) {
  auto loop = Loop::create(256, 2);
  ASSERT_TRUE(loop) << loop.error().what();
  (*loop)->run(body(**loop, std::forward<Given>(given)...));
}

struct SocketPair {
  explicit SocketPair(int type = SOCK_STREAM) {
    int fds[2] = {-1, -1};
    EXPECT_EQ(::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds), 0);
    a = UniqueFd(fds[0]);
    b = UniqueFd(fds[1]);
  }

  UniqueFd a, b;
};

struct Pipe {
  Pipe() {
    int fds[2] = {-1, -1};
    EXPECT_EQ(::pipe2(fds, O_CLOEXEC), 0);
    read = UniqueFd(fds[0]);
    write = UniqueFd(fds[1]);
  }

  UniqueFd read, write;
};

inline void put(FdRef fd, std::string_view bytes) {
  EXPECT_EQ(::write(fd.fd, bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
}

inline std::span<const std::byte> bytes_of(std::string_view s) {
  return std::as_bytes(std::span<const char>(s.data(), s.size()));
}

}  // namespace zvm::test
