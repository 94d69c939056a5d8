// The broker's reading of a request: bytes and a number of descriptors in, a request of known type
// with every field inside its bounds out. Pure; fuzzed (tests/fuzz/broker_request). What a
// descriptor *is* is asked of the kernel later (kernel_objects.h).
#pragma once
#include <cstddef>
#include <span>
#include <variant>

#include "loader/wire.h"

namespace zvm::loader {

using Request = std::variant<wire::HelloRequest, wire::OpenDevicesRequest, wire::MountFuseRequest,
    wire::BackingOpenRequest, wire::BackingCloseRequest, wire::StartRequest, wire::KillRequest>;

// Why a request is refused: the errno and sentence of the reply.
struct Refusal {
  int error = 0;
  const char* text = "";
};

struct CheckedRequest {
  wire::Header header{};  // as far as it could be read; zero otherwise
  Refusal refusal;        // error 0: `request` holds
  Request request;
};

CheckedRequest check_request(std::span<const std::byte> packet, size_t fd_count);

}  // namespace zvm::loader
