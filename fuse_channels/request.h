// One request of the kernel that is being worked on.
//
// A Request is answered exactly once: by one of its reply functions, or by its destructor with EIO.
// It is heap-allocated and handed from the decoder to the coroutine that serves it. While it lives
// it can be interrupted: `stop` is then stopped, and whoever waits with it answers EINTR.
#pragma once
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <cstdint>
#include <memory>
#include <span>

#include "base/async/loop.h"
#include "fuse_channels/libfuse.h"

namespace zvm::fuse_channels {

class Request;
using RequestPtr = std::unique_ptr<Request>;

// Every living request of a session.
class RequestList {
 public:
  RequestList() = default;
  RequestList(const RequestList&) = delete;
  RequestList& operator=(const RequestList&) = delete;

  ~RequestList() { ZVM_CHECK(head_ == nullptr); }

  // Stops the request with this number, if it still lives: a reply may have crossed the interrupt.
  void interrupt(uint64_t unique);
  void interrupt_all();

  bool empty() const { return head_ == nullptr; }

 private:
  friend class Request;
  Request* head_ = nullptr;
};

class Request {
 public:
  Request(RequestList& list, fuse_req_t raw, uint64_t unique);
  Request(const Request&) = delete;
  Request& operator=(const Request&) = delete;
  ~Request();

  // Each answers; true if the kernel took it (it did not if the connection has ended meanwhile).
  bool error(int sys_errno);  // > 0
  bool done();                // success without a value
  bool entry(const fuse_entry_param& entry);
  bool attr(const struct stat& attr, double valid_seconds);
  bool opened(const fuse_file_info& info);
  bool opened_passthrough(int32_t backing_id);
  bool data(std::span<const std::byte> bytes);
  bool written(size_t bytes);
  bool offset(off_t at);
  bool xattr_size(size_t bytes);
  bool statfs(const struct statvfs& values);

  // For libfuse's directory encoder, which wants the raw request.
  fuse_req_t raw() const { return raw_; }

  Stop stop;

 private:
  friend class RequestList;
  bool sent(int result);
  RequestList& list_;
  Request* prev_ = nullptr;
  Request* next_ = nullptr;
  fuse_req_t raw_;
  uint64_t unique_;
};

}  // namespace zvm::fuse_channels
