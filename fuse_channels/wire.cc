#include "fuse_channels/wire.h"

#include <linux/fuse.h>

#include <cerrno>
#include <cstring>

namespace zvm::fuse_channels::wire {

namespace {

// The oldest protocol served: 7.31 is Linux 5.4. Older kernels send shorter structs, which libfuse
// would take from behind the end of the message.
constexpr uint32_t kOldestMinor = 31;

template <class T>
T at(std::span<const std::byte> bytes, size_t offset = 0) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

bool holds_name(std::span<const std::byte> bytes) {
  return !bytes.empty() && std::memchr(bytes.data(), 0, bytes.size()) != nullptr;
}

// INIT: what libfuse reads depends on the version that the message claims.
int check_init(std::span<const std::byte> body, Request& out) {
  if (body.size() < 4 * sizeof(uint32_t)) return EIO;
  const auto major = at<uint32_t>(body, offsetof(fuse_init_in, major));
  const auto minor = at<uint32_t>(body, offsetof(fuse_init_in, minor));
  if (major < 7) return EPROTO;
  if (major > 7) return 0;  // libfuse answers with its own version and waits for another INIT
  if (minor < kOldestMinor) return EPROTO;
  out.offered = at<uint32_t>(body, offsetof(fuse_init_in, flags));
  if ((out.offered & FUSE_INIT_EXT) != 0) {
    if (body.size() < sizeof(fuse_init_in)) return EIO;
    out.offered |= uint64_t{at<uint32_t>(body, offsetof(fuse_init_in, flags2))} << 32;
  }
  return 0;
}

int check_body(uint32_t opcode, std::span<const std::byte> body, Request& out) {
  const auto at_least = [&](size_t size) { return body.size() < size ? EIO : 0; };
  switch (opcode) {
    case FUSE_INIT:
      return check_init(body, out);
    case FUSE_LOOKUP:
      return holds_name(body) ? 0 : EIO;
    case FUSE_GETATTR:
      return at_least(sizeof(fuse_getattr_in));
    case FUSE_SETATTR:
      return at_least(sizeof(fuse_setattr_in));
    case FUSE_OPEN:
    case FUSE_OPENDIR:
      return at_least(sizeof(fuse_open_in));
    case FUSE_READ:
    case FUSE_READDIR:
      return at_least(sizeof(fuse_read_in));
    case FUSE_WRITE:
      if (body.size() < sizeof(fuse_write_in)) return EIO;
      return at_least(sizeof(fuse_write_in) + at<uint32_t>(body, offsetof(fuse_write_in, size)));
    case FUSE_RELEASE:
    case FUSE_RELEASEDIR:
      return at_least(sizeof(fuse_release_in));
    case FUSE_GETXATTR:
      if (body.size() < sizeof(fuse_getxattr_in)) return EIO;
      return holds_name(body.subspan(sizeof(fuse_getxattr_in))) ? 0 : EIO;
    case FUSE_LISTXATTR:
      return at_least(sizeof(fuse_getxattr_in));
    case FUSE_FALLOCATE:
      return at_least(sizeof(fuse_fallocate_in));
    case FUSE_LSEEK:
      return at_least(sizeof(fuse_lseek_in));
    case FUSE_STATFS:
    case FUSE_DESTROY:
      return 0;
    // The names in /dev are fixed: nothing is made, removed or renamed there.
    case FUSE_CREATE:
    case FUSE_MKNOD:
    case FUSE_MKDIR:
    case FUSE_SYMLINK:
    case FUSE_LINK:
    case FUSE_UNLINK:
    case FUSE_RMDIR:
    case FUSE_RENAME:
    case FUSE_RENAME2:
      return EROFS;
    case FUSE_SETXATTR:
    case FUSE_REMOVEXATTR:
      return EOPNOTSUPP;
    case FUSE_IOCTL:
      return ENOTTY;
    // KERNEL: ENOSYS of FLUSH, FSYNC, ACCESS, POLL and the like is remembered: the kernel does the
    // default (success; always ready) without asking again. A write is in its file when it returns,
    // so that a flush has nothing to do.
    default:
      return ENOSYS;
  }
}

// FORGET and BATCH_FORGET have no reply; every node lives as long as the session (Tree), so that
// there is nothing to count either.
bool has_no_reply(uint32_t opcode) {
  return opcode == FUSE_FORGET || opcode == FUSE_BATCH_FORGET || opcode == FUSE_NOTIFY_REPLY;
}

}  // namespace

Request inspect(std::span<const std::byte> message) {
  Request out;
  if (message.size() < sizeof(fuse_in_header)) return out;
  const auto header = at<fuse_in_header>(message);
  const auto body = message.subspan(sizeof(fuse_in_header));
  out.opcode = header.opcode;
  out.unique = header.unique;
  if (has_no_reply(header.opcode)) return out;
  if (header.opcode == FUSE_INTERRUPT) {
    if (body.size() < sizeof(fuse_interrupt_in)) return out;
    out.verdict = Verdict::kInterrupt;
    out.target = at<uint64_t>(body);
    return out;
  }
  out.error = header.len == message.size() ? check_body(header.opcode, body, out) : EIO;
  out.verdict = out.error == 0 ? Verdict::kServe : Verdict::kAnswer;
  return out;
}

}  // namespace zvm::fuse_channels::wire
