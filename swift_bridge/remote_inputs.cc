#include "swift_bridge/remote_inputs.h"

namespace zvm::bridge {

namespace {

tl::unexpected<Error> lost_input(Kind kind, std::string what) {
  return fail(Origin::kSwift, kind, std::move(what));
}

}  // namespace

Task<Result<std::string>> RemoteInputs::read(
    size_t channel, uint64_t offset, uint32_t length, Stop* stop) {
  // Channels beyond the devices are outputs that the job did not declare.
  if (channel >= resolved_.inputs.size() || !resolved_.inputs[channel])
    co_return fail(Origin::kHost, Kind::kInvalid, "the channel reads no object");
  const protocol::ObjectVersion& v = resolved_.inputs[channel]->version;
  if (offset >= v.length || length > v.length - offset)
    co_return fail(Origin::kHost, Kind::kInvalid, "the range is beyond the object's end");
  const SwiftPath path{v.account, v.container, v.object};
  const std::string range = std::to_string(offset) + "-" + std::to_string(offset + length - 1);
  Question q;
  q.method = "GET";
  q.target = path.target();
  q.headers = credentials_.headers;
  q.headers.add("Range", "bytes=" + range);
  // Never a mix of two versions: Swift refuses when the object has been replaced.
  q.headers.add("If-Match", "\"" + v.etag + "\"");
  q.max_body = length;
  q.timeout = timeout_;
  ZVM_CO_TRY(auto answer, co_await swift_.ask(q, stop));
  if (answer.status == 412 || answer.status == 404) {
    // PERF: only now every replica is asked: the one that answered may be a stale one.
    q.headers.add("X-Newest", "true");
    ZVM_CO_TRY(answer, co_await swift_.ask(std::move(q), stop));
  }
  if (answer.status == 412)
    co_return lost_input(Kind::kConflict, "the object was replaced while the job read it");
  if (answer.status == 404)
    co_return lost_input(Kind::kConflict, "the object was deleted while the job read it");
  if (answer.status != 206 && !(answer.status == 200 && offset == 0 && length == v.length))
    co_return lost_input(Kind::kDisconnected, "Swift answered " + std::to_string(answer.status));
  const std::string wanted = "bytes " + range + "/" + std::to_string(v.length);
  if (answer.status == 206 && answer.headers.get("Content-Range") != wanted)
    co_return lost_input(Kind::kConflict, "Swift sent another range than was asked for");
  if (answer.body.size() != length)
    co_return lost_input(Kind::kDisconnected, "Swift sent less than was asked for");
  co_return std::move(answer.body);
}

}  // namespace zvm::bridge
