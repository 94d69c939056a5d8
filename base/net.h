// Addresses and sockets, TCP and Unix alike.
#pragma once
#include <sys/socket.h>

#include <string>
#include <string_view>

#include "base/async/loop.h"
#include "base/error.h"
#include "base/sys/fd.h"

namespace zvm {

struct Address {
  sockaddr_storage storage{};
  socklen_t length = 0;
  std::string text;  // as configured, for messages
};

// "127.0.0.1:8080", "[::1]:8080" or "unix:/run/x.sock". Numeric only: no name is looked up.
Result<Address> parse_address(std::string_view text);
// A listening socket. A stale Unix socket file that nobody answers on is replaced; mode: of that
// file.
Result<UniqueFd> listen_on(const Address& address, int backlog = 512, mode_t mode = 0660);
// Connects with TCP_NODELAY. kDisconnected with the address named when nobody answers.
Task<Result<UniqueFd>> connect_to(
    Loop& loop, Address address, Deadline deadline, Stop* stop = nullptr);
// Numeric text of the peer: "127.0.0.1:51234", or "unix".
std::string peer_text(FdRef socket);
// The same of this end: tells the port that ":0" became.
std::string local_text(FdRef socket);

}  // namespace zvm
