#include "host/program.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/check.h"

namespace zvm::host {

namespace {

Status write_all(FdRef fd, std::string_view bytes, uint64_t offset) {
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(fd.fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno("writing to a memfd", errno);
    bytes.remove_prefix(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
  return {};
}

Result<UniqueFd> make_memfd(const char* name) {
  UniqueFd fd(::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) return fail_errno("memfd_create", errno);
  return fd;
}

tl::unexpected<Error> wrong(std::string what) {
  return fail(Origin::kClient, Kind::kInvalid, std::move(what));
}

}  // namespace

Status seal_memfd(FdRef memfd) {
  constexpr int kSeals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
  if (::fcntl(memfd.fd, F_ADD_SEALS, kSeals) != 0) return fail_errno("sealing a memfd", errno);
  return {};
}

Result<UniqueFd> sealed_memfd(const char* name, std::string_view bytes) {
  ZVM_TRY(auto fd, make_memfd(name));
  ZVM_CHECK_OK(write_all(fd, bytes, 0));
  ZVM_CHECK_OK(seal_memfd(fd));
  return fd;
}

Result<ProgramReceiver> ProgramReceiver::create(uint64_t size, std::string sha256) {
  ZVM_TRY(auto fd, make_memfd("zvm-program"));
  return ProgramReceiver(std::move(fd), size, std::move(sha256));
}

Status ProgramReceiver::add(uint64_t offset, std::string_view bytes) {
  if (offset != received_) return wrong("bytes of the program out of order");
  if (bytes.empty() || bytes.size() > size_ - received_)
    return wrong("the program is longer than was announced");
  ZVM_CHECK_OK(write_all(memfd_, bytes, offset));
  hasher_.update(bytes);
  received_ += bytes.size();
  return {};
}

Result<std::shared_ptr<const ProgramBytes>> ProgramReceiver::finish() && {
  ZVM_CHECK(whole());
  if (hasher_.finish_hex() != sha256_)
    return wrong("the program's bytes have another SHA-256 than was signed");
  ZVM_CHECK_OK(seal_memfd(memfd_));
  auto program = std::make_shared<ProgramBytes>();
  program->sha256 = std::move(sha256_);
  program->size = size_;
  program->memfd = std::move(memfd_);
  return std::shared_ptr<const ProgramBytes>(std::move(program));
}

std::shared_ptr<const ProgramBytes> ProgramCache::find(std::string_view sha256) {
  const auto it = std::find_if(
      programs_.begin(), programs_.end(), [&](const auto& p) { return p->sha256 == sha256; });
  if (it == programs_.end()) return nullptr;
  programs_.splice(programs_.begin(), programs_, it);
  return programs_.front();
}

void ProgramCache::insert(std::shared_ptr<const ProgramBytes> program) {
  if (program->size > max_bytes_ || find(program->sha256) != nullptr) return;
  bytes_ += program->size;
  programs_.push_front(std::move(program));
  while (bytes_ > max_bytes_) {
    bytes_ -= programs_.back()->size;
    programs_.pop_back();
  }
}

}  // namespace zvm::host
