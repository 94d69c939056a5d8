// The listener: HTTP/1.1, two resources.
//
//   GET  /v1/identity[?nonce=N]   who this host is; unsigned, its answer is proven when N is given
//   POST /v1/sessions             a signed description -> 101, or an error as JSON
//
// Whatever is not signed, not fresh or not for this host is answered 401 and nothing else happens;
// the reason is in the log only.
#pragma once
#include <string>
#include <unordered_set>

#include "base/async/loop.h"
#include "base/error.h"
#include "base/http/connection.h"
#include "host/node.h"
#include "host/protocol/auth.h"

namespace zvm::host {

class Session;

class Server {
 public:
  // node outlives the Server. key: the cluster key.
  Server(Node& node, std::string key, protocol::HostIdentity identity);
  ~Server();  // run() has returned
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Serves until `stop`, then cancels every session and waits for their ends.
  Task<void> run(UniqueFd listener, Stop& stop);

 private:
  struct Reply;

  Task<void> serve(UniqueFd socket);
  // False: the connection is to be closed.
  Task<bool> serve_one(http::Connection& connection, const std::string& peer);
  Task<bool> serve_session(
      http::Connection& connection, http::RequestHead head, const std::string& peer);
  Task<void> run_session(
      http::Connection& connection, const std::string& nonce, const std::string& body);
  Result<Admission::Slot> admit();
  Task<bool> answer(http::Connection& connection, Reply reply);

  Reply identity(const http::RequestHead& head) const;
  http::ResponseHead prove(const Reply& reply, const std::string& answer_nonce) const;

  Node& node_;
  const std::string key_;
  const protocol::HostIdentity identity_;
  protocol::RequestVerifier verifier_;
  std::unordered_set<Session*> sessions_;  // each lives in its run_session()
  Stop stop_;                              // ends connections that carry no session
  TaskGroup connections_;
};

}  // namespace zvm::host
