// Why a request was refused, and the one table that turns an Error into an HTTP status. A user's
// mistake is never a 5xx, a failure of Swift never a 500.
#pragma once
#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "base/error.h"

namespace zvm::bridge {

// A request that ends without an answer of its own. `detail` is one line and safe to show.
struct Refusal {
  unsigned status = 500;
  std::string detail;
  std::string node;  // the node it is about, or ""
  std::string path;  // /account/container/object it is about, or ""
};

template <class T>
using Outcome = tl::expected<T, Refusal>;

inline tl::unexpected<Refusal> refuse(unsigned status, std::string detail, std::string node = {}) {
  return tl::unexpected<Refusal>(Refusal{status, std::move(detail), std::move(node), {}});
}

unsigned http_status(Origin origin, Kind kind);
// SECURITY: the words of a kInternal error of this project may name files and calls of the machine,
// so the client gets a fixed sentence; the caller logs the error under the job's id.
Refusal refusal_of(const Error& error);

// The body of a refusal: one line of text, or its JSON twin {"error","detail","job","node","path"}.
struct RefusalBody {
  std::string content_type;
  std::string bytes;
};

RefusalBody refusal_body(const Refusal& refusal, std::string_view job_id, bool as_json);
// True when an Accept header names application/json.
bool wants_json(std::string_view accept);

}  // namespace zvm::bridge
