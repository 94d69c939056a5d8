// Can this machine's jails run this program? Decided from a file's first bytes, before anything is
// started. Pure and bounded: reads at most kElfHeadBytes, allocates only the interpreter's name and
// error sentences, which go to the client (Kind::kInvalid, Origin::kClient).
//
// Source: System V ABI, AMD64 supplement; elf(5); the kernel's fs/binfmt_elf.c for what it refuses.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/error.h"

namespace zvm::loader {

// Give check_elf this much of the file, or all of a smaller one. Program headers and the
// interpreter's name must lie in it, as every linker puts them.
inline constexpr size_t kElfHeadBytes = 64 * 1024;

struct ElfInfo {
  bool is_static = false;
  std::string interpreter;  // absolute path in the image; empty when static
};

Result<ElfInfo> check_elf(std::span<const std::byte> head, uint64_t file_size);

}  // namespace zvm::loader
