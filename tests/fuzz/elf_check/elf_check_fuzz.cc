// The look at a user's program.
#include <cstdint>
#include <cstdlib>
#include <span>

#include "loader/elf_check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto info = zvm::loader::check_elf(std::as_bytes(std::span(data, size)), size);
  if (info && !info->is_static && info->interpreter[0] != '/') std::abort();
  return 0;
}
