// Errors as values. An Error answers three questions: what should the caller do (kind), whose fault
// was it (origin), what happened (a chain of words, with errno where the kernel spoke).
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

namespace zvm {

enum class Kind : uint8_t {
  kInvalid,       // the input is wrong; never retry
  kNotFound,      // a named thing is absent
  kDenied,        // policy, Swift or the kernel refused
  kConflict,      // the thing is not the version that was asked for; resolve again
  kOverloaded,    // a limit was reached; retry later, with back-off
  kDisconnected,  // the peer went away; reconnect and start over
  kTimeout,       // a deadline passed
  kCancelled,     // the caller asked for the end
  kUnsupported,   // a part of the API that this version does not have
  kInternal,      // our bug, or an answer the kernel should not give
};

enum class Origin : uint8_t {
  kClient,  // whoever sent the request
  kSwift,   // the object store
  kJob,     // the user's program
  kHost,    // this project or its machine
};

const char* to_string(Kind kind);
const char* to_string(Origin origin);

class [[nodiscard]] Error {
 public:
  Error(Origin origin, Kind kind, std::string what, int sys_errno = 0)
      : origin_(origin), kind_(kind), sys_errno_(sys_errno), what_(std::move(what)) {}

  // Prefixes what the caller was doing: "opening replica: openat2: No such file or directory".
  Error&& while_doing(std::string_view outer) && {
    what_.insert(0, ": ").insert(0, outer);
    return std::move(*this);
  }

  Origin origin() const { return origin_; }

  Kind kind() const { return kind_; }

  int sys_errno() const { return sys_errno_; }  // 0: the kernel was not asked

  const std::string& what() const { return what_; }

 private:
  Origin origin_;
  Kind kind_;
  int sys_errno_;
  std::string what_;
};

template <class T>
using Result = tl::expected<T, Error>;
using Status = Result<void>;

inline tl::unexpected<Error> fail(Origin origin, Kind kind, std::string what) {
  return tl::unexpected<Error>(Error(origin, kind, std::move(what)));
}

// A failed system call of this host: kind is derived from the errno, its text is appended to
// `call`.
Error errno_error(std::string_view call, int sys_errno);

inline tl::unexpected<Error> fail_errno(std::string_view call, int sys_errno) {
  return tl::unexpected<Error>(errno_error(call, sys_errno));
}

}  // namespace zvm

#define ZVM_CAT2(a, b) a##b
#define ZVM_CAT(a, b) ZVM_CAT2(a, b)

#define ZVM_TRY_IMPL(ret, tmp, decl, expr)                            \
  auto tmp = (expr);                                                  \
  if (!tmp) ret tl::unexpected<::zvm::Error>(std::move(tmp).error()); \
  decl = *std::move(tmp)

// ZVM_TRY(auto fd, open_image(name));  returns the error to the caller, else declares fd.
#define ZVM_TRY(decl, expr) ZVM_TRY_IMPL(return, ZVM_CAT(try_, __LINE__), decl, expr)
// The same inside a coroutine. expr is usually `co_await f(args)`.
#define ZVM_CO_TRY(decl, expr) ZVM_TRY_IMPL(co_return, ZVM_CAT(try_, __LINE__), decl, expr)

// For Status: nothing to declare.
#define ZVM_CHECK_OK(expr)                                                         \
  do {                                                                             \
    auto status_ = (expr);                                                         \
    if (!status_) return tl::unexpected<::zvm::Error>(std::move(status_).error()); \
  } while (false)
#define ZVM_CO_CHECK_OK(expr)                                                         \
  do {                                                                                \
    auto status_ = (expr);                                                            \
    if (!status_) co_return tl::unexpected<::zvm::Error>(std::move(status_).error()); \
  } while (false)
