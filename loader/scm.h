// One packet with descriptors over a SOCK_SEQPACKET socket. No allocation, no exceptions.
// Blocking or not is the socket's own business. For code on the io_uring loop ScmSend and
// ScmReceive only prepare the msghdr; recvmsg/sendmsg are the caller's.
#pragma once
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

#include "base/sys/fd.h"
#include "loader/wire.h"

namespace zvm::loader {

inline constexpr size_t kScmMaxFds = 8;  // wire.h and the launcher's own packets

// Borrows `bytes`; the descriptors' numbers are copied. Not movable: message points into it.
struct ScmSend {
  ScmSend(const void* bytes, size_t size, const int* fds, size_t fd_count) noexcept {
    iov.iov_base = const_cast<void*>(bytes);
    iov.iov_len = size;
    message.msg_iov = &iov;
    message.msg_iovlen = 1;
    if (fd_count == 0 || fd_count > kScmMaxFds) return;
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
    cmsghdr* c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
    std::memcpy(CMSG_DATA(c), fds, fd_count * sizeof(int));
  }

  ScmSend(const ScmSend&) = delete;
  ScmSend& operator=(const ScmSend&) = delete;

  msghdr message{};
  iovec iov{};
  alignas(cmsghdr) char control[CMSG_SPACE(kScmMaxFds * sizeof(int))]{};
};

// One received packet and the descriptors that came with it, which it owns.
struct ScmReceive {
  ScmReceive() noexcept { prepare(); }

  ScmReceive(const ScmReceive&) = delete;
  ScmReceive& operator=(const ScmReceive&) = delete;

  // Before each recvmsg(&message, MSG_CMSG_CLOEXEC). Closes what an earlier packet left.
  void prepare() noexcept {
    for (auto& fd : fds) fd.reset();
    fd_count = 0;
    size = 0;
    iov.iov_base = packet;
    iov.iov_len = sizeof packet;
    message = {};
    message.msg_iov = &iov;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
  }

  // With recvmsg's result. Takes over every descriptor; 0, or -errno: -EBADMSG for a packet that
  // was cut or carries anything but up to kScmMaxFds descriptors, -ECONNRESET for the end of the
  // stream.
  int finish(ssize_t received) noexcept {
    if (received < 0) return static_cast<int>(received);
    bool odd = (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0;
    for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
      if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) {
        odd = true;
        continue;
      }
      const size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      for (size_t i = 0; i < n; ++i) {
        int fd;
        std::memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof fd);
        UniqueFd owned(fd);
        if (fd_count == kScmMaxFds) {
          odd = true;
        } else {
          fds[fd_count++] = std::move(owned);
        }
      }
    }
    size = static_cast<size_t>(received);
    if (odd) return -EBADMSG;
    return received == 0 ? -ECONNRESET : 0;
  }

  msghdr message{};
  iovec iov{};
  size_t size = 0;
  size_t fd_count = 0;
  UniqueFd fds[kScmMaxFds];
  alignas(8) char packet[wire::kMaxPacket];
  // Room for one more than allowed, so that one too many is seen as such and closed by us.
  alignas(cmsghdr) char control[CMSG_SPACE((kScmMaxFds + 1) * sizeof(int))];
};

// Both return 0 or -errno and retry EINTR.
inline int send_packet(FdRef socket, const void* bytes, size_t size, const int* fds = nullptr,
    size_t fd_count = 0) noexcept {
  if (fd_count > kScmMaxFds) return -EINVAL;
  ScmSend out(bytes, size, fds, fd_count);
  ssize_t n;
  do {
    n = ::sendmsg(socket.fd, &out.message, MSG_NOSIGNAL);
  } while (n < 0 && errno == EINTR);
  if (n < 0) return -errno;
  return static_cast<size_t>(n) == size ? 0 : -EMSGSIZE;
}

inline int receive_packet(FdRef socket, ScmReceive* into, int flags = 0) noexcept {
  ssize_t n;
  do {
    into->prepare();
    n = ::recvmsg(socket.fd, &into->message, MSG_CMSG_CLOEXEC | flags);
  } while (n < 0 && errno == EINTR);
  return into->finish(n < 0 ? -errno : n);
}

}  // namespace zvm::loader
