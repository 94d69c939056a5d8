#include "base/error.h"

#include <cerrno>
#include <cstring>

namespace zvm {

const char* to_string(Kind kind) {
  switch (kind) {
    case Kind::kInvalid:
      return "invalid";
    case Kind::kNotFound:
      return "not-found";
    case Kind::kDenied:
      return "denied";
    case Kind::kConflict:
      return "conflict";
    case Kind::kOverloaded:
      return "overloaded";
    case Kind::kDisconnected:
      return "disconnected";
    case Kind::kTimeout:
      return "timeout";
    case Kind::kCancelled:
      return "cancelled";
    case Kind::kUnsupported:
      return "unsupported";
    case Kind::kInternal:
      return "internal";
  }
  return "?";
}

const char* to_string(Origin origin) {
  switch (origin) {
    case Origin::kClient:
      return "client";
    case Origin::kSwift:
      return "swift";
    case Origin::kJob:
      return "job";
    case Origin::kHost:
      return "host";
  }
  return "?";
}

namespace {

Kind kind_of(int sys_errno) {
  switch (sys_errno) {
    case ENOENT:
    case ENODEV:
    case ENXIO:
      return Kind::kNotFound;
    case EACCES:
    case EPERM:
    case EROFS:
      return Kind::kDenied;
    case EAGAIN:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOSPC:
    case EDQUOT:
    case EBUSY:
      return Kind::kOverloaded;
    case ECONNRESET:
    case ECONNREFUSED:
    case ECONNABORTED:
    case EPIPE:
    case ENOTCONN:
    case EHOSTUNREACH:
    case ENETUNREACH:
      return Kind::kDisconnected;
    case ETIME:
    case ETIMEDOUT:
      return Kind::kTimeout;
    case ECANCELED:
      return Kind::kCancelled;
    default:
      return Kind::kInternal;
  }
}

}  // namespace

Error errno_error(std::string_view call, int sys_errno) {
  char buf[128];
  std::string what(call);
  what += ": ";
  what += ::strerror_r(sys_errno, buf, sizeof buf);
  return Error(Origin::kHost, kind_of(sys_errno), std::move(what), sys_errno);
}

}  // namespace zvm
