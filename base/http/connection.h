// One HTTP/1.1 connection on the loop, either end. Reads are buffered and bounded; writes are
// complete or an error. One coroutine reads and one writes at a time.
#pragma once
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/async/loop.h"
#include "base/error.h"
#include "base/http/codec.h"
#include "base/http/message.h"

namespace zvm::http {

class Connection {
 public:
  Connection(Loop& loop, UniqueFd socket, Limits limits = {});
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // The next request. nullopt: the peer closed before its first byte.
  Task<Result<std::optional<RequestHead>>> read_request(Deadline deadline, Stop* stop = nullptr);
  // The next answer, 1xx ones included (the caller loops). request_method: of the request answered.
  Task<Result<ResponseHead>> read_response(
      std::string request_method, Deadline deadline, Stop* stop = nullptr);
  // Bytes of the body of the head read last; 0 = its end. A peer that closes early is
  // kDisconnected.
  Task<Result<size_t>> read_body(
      std::span<std::byte> into, Deadline deadline, Stop* stop = nullptr);
  // The rest of the body; kOverloaded (413) when it is longer than limit.
  Task<Result<std::string>> read_body_all(size_t limit, Deadline deadline, Stop* stop = nullptr);
  // True once the body of the head read last has been read to its end.
  bool body_done() const;

  // What follows an upgrade: bytes as they are; 0 = end of stream.
  Task<Result<size_t>> read_raw(std::span<std::byte> into, Deadline deadline, Stop* stop = nullptr);

  Task<Status> write(std::string_view bytes, Deadline deadline, Stop* stop = nullptr);
  // Heads; framing is what their headers say. After it write_body() and end_body() apply it.
  Task<Status> write_request(const RequestHead& head, Deadline deadline, Stop* stop = nullptr);
  Task<Status> write_response(const ResponseHead& head, Deadline deadline, Stop* stop = nullptr);
  // Body bytes: with "Transfer-Encoding: chunked" in the head written last, as a chunk; else as
  // they are.
  Task<Status> write_body(std::string_view bytes, Deadline deadline, Stop* stop = nullptr);
  // The last chunk, where the body is chunked.
  Task<Status> end_body(Deadline deadline, Stop* stop = nullptr);

  // Waits until the peer has closed or reset its side: 0, -ETIME or -ECANCELED. Reads nothing.
  Task<int> wait_closed(Deadline deadline, Stop* stop = nullptr);

  FdRef fd() const { return FdRef(socket_); }

  // Bytes read from the socket and not yet consumed.
  size_t buffered() const;

 private:
  Task<Result<size_t>> fill(Deadline deadline, Stop* stop);
  Task<Result<bool>> fill_line(Deadline deadline, Stop* stop);
  Task<Result<size_t>> read_chunked(std::span<std::byte> into, Deadline deadline, Stop* stop);
  void begin_body(const Framing& framing, size_t head_size);

  Loop& loop_;
  UniqueFd socket_;
  Limits limits_;
  std::string buffer_;
  size_t begin_ = 0;
  size_t next_fill_ = 4 * 1024;
  Origin peer_ = Origin::kClient;  // whose fault a broken message is
  Framing reading_;
  uint64_t left_ = 0;  // kLength: bytes of the body not yet read
  bool body_done_ = true;
  bool write_chunked_ = false;
  ChunkedDecoder chunked_;
};

}  // namespace zvm::http
