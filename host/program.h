// A job's own program: received as frames into a memfd, checked, sealed, and kept for the next
// session that names the same SHA-256.
#pragma once
#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <string_view>

#include "base/digest.h"
#include "base/error.h"
#include "base/sys/fd.h"

namespace zvm::host {

// Immutable: the memfd carries all four seals, so any number of jails may share it.
struct ProgramBytes {
  std::string sha256;  // hex
  uint64_t size = 0;
  UniqueFd memfd;
};

// Sealed bytes of any kind (a program's, a jail's arguments).
Status seal_memfd(FdRef memfd);
Result<UniqueFd> sealed_memfd(const char* name, std::string_view bytes);

class ProgramReceiver {
 public:
  static Result<ProgramReceiver> create(uint64_t size, std::string sha256);

  // Bytes in order. kInvalid: not where the last ones ended, or more than were announced.
  Status add(uint64_t offset, std::string_view bytes);

  bool whole() const { return received_ == size_; }

  // Once whole. kInvalid: the bytes have another SHA-256 than was signed.
  Result<std::shared_ptr<const ProgramBytes>> finish() &&;

 private:
  ProgramReceiver(UniqueFd memfd, uint64_t size, std::string sha256)
      : memfd_(std::move(memfd)), size_(size), sha256_(std::move(sha256)) {}

  UniqueFd memfd_;
  uint64_t size_;
  std::string sha256_;
  uint64_t received_ = 0;
  Hasher hasher_{Hasher::Kind::kSha256};
};

// Programs used last, bounded by their bytes together. A program in use lives on when it is dropped
// here. Loop thread only.
class ProgramCache {
 public:
  explicit ProgramCache(uint64_t max_bytes) : max_bytes_(max_bytes) {}

  // Null: not here.
  std::shared_ptr<const ProgramBytes> find(std::string_view sha256);
  void insert(std::shared_ptr<const ProgramBytes> program);

 private:
  uint64_t max_bytes_;
  uint64_t bytes_ = 0;
  std::list<std::shared_ptr<const ProgramBytes>> programs_;  // used last in front
};

}  // namespace zvm::host
