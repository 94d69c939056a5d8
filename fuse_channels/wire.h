// Looks at a request of the kernel before libfuse does.
//
// libfuse 3.14 trusts lengths: it reads names to their NUL, structs and counts wherever the opcode
// says they are. Everything that it may read is checked here, so that a short or garbled message
// ends as an error reply or is dropped, and never takes the daemon down. Only the opcodes that this
// file system serves reach libfuse; the others have one fixed answer each.
//
// Pure functions from bytes to values. Source of the formats: <linux/fuse.h>.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

namespace zvm::fuse_channels::wire {

enum class Verdict : uint8_t {
  kServe,      // whole and known: libfuse may have it
  kAnswer,     // reply with `error`
  kInterrupt,  // INTERRUPT of the request `target`; it has no reply
  kDrop,       // no reply is possible, or none is due
};

struct Request {
  Verdict verdict = Verdict::kDrop;
  int error = 0;  // kAnswer: an errno, > 0
  uint32_t opcode = 0;
  uint64_t unique = 0;   // names the request in its reply
  uint64_t target = 0;   // kInterrupt
  uint64_t offered = 0;  // INIT: the 64 flags that the kernel offers
};

// message: what one read of the device returned, aligned to 8 bytes.
Request inspect(std::span<const std::byte> message);

}  // namespace zvm::fuse_channels::wire
