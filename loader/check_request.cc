#include "loader/check_request.h"

#include <cerrno>
#include <cstring>

namespace zvm::loader {

namespace {

using namespace wire;

Refusal check(const HelloRequest&) {
  return {};
}

Refusal check(const OpenDevicesRequest&) {
  return {};
}

Refusal check(const BackingOpenRequest&) {
  return {};
}

Refusal check_session(uint64_t session) {
  if (session == 0) return {EINVAL, "session number 0"};
  return {};
}

Refusal check(const MountFuseRequest& r) {
  return check_session(r.session);
}

Refusal check(const KillRequest& r) {
  return check_session(r.session);
}

Refusal check(const BackingCloseRequest& r) {
  if (r.backing_id <= 0) return {EINVAL, "backing id out of range"};
  if (r.reserved != 0) return {EINVAL, "reserved field is not 0"};
  return {};
}

template <class T>
bool within(T value, T least, T most) {
  return value >= least && value <= most;
}

Refusal check(const Limits& l) {
  if (!within(l.memory, uint64_t{kMinMemory}, kMaxMemory)) return {EINVAL, "memory out of range"};
  if (!within(l.stack, uint64_t{kMinStack}, uint64_t{kMaxStack}))
    return {EINVAL, "stack out of range"};
  if (!within(l.tmp_bytes, kMinTmp, kMaxTmp)) return {EINVAL, "tmp_bytes out of range"};
  if (!within(l.tmp_inodes, 2u, kMaxTmpInodes)) return {EINVAL, "tmp_inodes out of range"};
  if (!within(l.cpu_seconds, 1u, kMaxCpuSeconds)) return {EINVAL, "cpu_seconds out of range"};
  if (!within(l.file_bytes, kMinFile, kMaxFile)) return {EINVAL, "file_bytes out of range"};
  if (!within(l.open_files, kMinOpenFiles, kMaxOpenFiles))
    return {EINVAL, "open_files out of range"};
  if (!within(l.processes, 1u, kMaxProcesses)) return {EINVAL, "processes out of range"};
  return {};
}

bool terminated(const char (&name)[kMaxImageName]) {
  const size_t n = ::strnlen(name, kMaxImageName);
  if (n == 0 || n == kMaxImageName) return false;
  for (size_t i = n; i < kMaxImageName; ++i) {
    if (name[i] != 0) return false;
  }
  return true;
}

Refusal check(const StartRequest& r) {
  if (Refusal no = check_session(r.session); no.error != 0) return no;
  if (Refusal no = check(r.limits); no.error != 0) return no;
  if (r.policy != Policy::kCompute && r.policy != Policy::kImage) return {EINVAL, "unknown policy"};
  if ((r.flags & ~(kStdinIsChannel | kProgramInFd)) != 0) return {EINVAL, "unknown flag"};
  if (r.reserved != 0) return {EINVAL, "reserved field is not 0"};
  if (!terminated(r.image)) return {EINVAL, "image name is malformed"};
  return {};
}

size_t wanted_fds(const HelloRequest&) {
  return 0;
}

size_t wanted_fds(const OpenDevicesRequest&) {
  return 0;
}

size_t wanted_fds(const MountFuseRequest&) {
  return 0;
}

size_t wanted_fds(const BackingOpenRequest&) {
  return 2;
}

size_t wanted_fds(const BackingCloseRequest&) {
  return 1;
}

size_t wanted_fds(const StartRequest& r) {
  return (r.flags & kProgramInFd) ? 4 : 3;
}

size_t wanted_fds(const KillRequest&) {
  return 0;
}

template <class R>
void read_as(std::span<const std::byte> packet, size_t fd_count, CheckedRequest* out) {
  R r;
  if (packet.size() != sizeof r) {
    out->refusal = {EBADMSG, "a request of this type has another size"};
    return;
  }
  std::memcpy(&r, packet.data(), sizeof r);
  out->refusal = check(r);
  if (out->refusal.error == 0 && fd_count != wanted_fds(r)) {
    out->refusal = {EBADMSG, "a request of this type comes with another number of descriptors"};
  }
  if (out->refusal.error == 0) out->request = r;
}

}  // namespace

CheckedRequest check_request(std::span<const std::byte> packet, size_t fd_count) {
  CheckedRequest out;
  if (packet.size() < sizeof out.header) {
    out.refusal = {EBADMSG, "no request"};
    return out;
  }
  std::memcpy(&out.header, packet.data(), sizeof out.header);
  if (out.header.version != kVersion) {
    out.refusal = {EPROTO, "another version of the protocol"};
    return out;
  }
  switch (out.header.type) {
    case Type::kHello:
      read_as<HelloRequest>(packet, fd_count, &out);
      return out;
    case Type::kOpenDevices:
      read_as<OpenDevicesRequest>(packet, fd_count, &out);
      return out;
    case Type::kMountFuse:
      read_as<MountFuseRequest>(packet, fd_count, &out);
      return out;
    case Type::kBackingOpen:
      read_as<BackingOpenRequest>(packet, fd_count, &out);
      return out;
    case Type::kBackingClose:
      read_as<BackingCloseRequest>(packet, fd_count, &out);
      return out;
    case Type::kStart:
      read_as<StartRequest>(packet, fd_count, &out);
      return out;
    case Type::kKill:
      read_as<KillRequest>(packet, fd_count, &out);
      return out;
  }
  out.refusal = {EINVAL, "unknown type of request"};
  return out;
}

}  // namespace zvm::loader
