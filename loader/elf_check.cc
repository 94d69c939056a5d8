#include "loader/elf_check.h"

#include <elf.h>

#include <algorithm>
#include <cstring>

namespace zvm::loader {

namespace {

constexpr size_t kMaxProgramHeaders = 128;
constexpr size_t kMaxInterpreter = 256;
constexpr uint64_t kUserSpaceEnd = uint64_t{1} << 47;

tl::unexpected<Error> refuse(const char* why) {
  return fail(Origin::kClient, Kind::kInvalid, std::string("not a runnable program: ") + why);
}

// [offset, offset + size) lies within limit; no sum overflows.
bool within(uint64_t offset, uint64_t size, uint64_t limit) {
  return offset <= limit && size <= limit - offset;
}

template <class T>
T read_at(std::span<const std::byte> bytes, size_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

Status check_header(const Elf64_Ehdr& h, size_t head_size) {
  if (std::memcmp(h.e_ident, ELFMAG, SELFMAG) != 0) return refuse("it is no ELF file");
  if (h.e_ident[EI_CLASS] != ELFCLASS64) return refuse("it is no 64-bit program");
  if (h.e_ident[EI_DATA] != ELFDATA2LSB) return refuse("it is big-endian");
  if (h.e_machine != EM_X86_64) return refuse("it is for another machine than x86-64");
  const unsigned abi = h.e_ident[EI_OSABI];
  if (abi != ELFOSABI_SYSV && abi != ELFOSABI_GNU)
    return refuse("it is for another system than Linux");
  if (h.e_ident[EI_VERSION] != EV_CURRENT || h.e_version != EV_CURRENT)
    return refuse("unknown ELF version");
  if (h.e_type == ET_REL) return refuse("it is an object file that was not linked");
  if (h.e_type == ET_CORE) return refuse("it is a core dump");
  if (h.e_type != ET_EXEC && h.e_type != ET_DYN) return refuse("unknown ELF type");
  if (h.e_phentsize != sizeof(Elf64_Phdr)) return refuse("program headers of another size");
  if (h.e_phnum == 0) return refuse("it has no program headers");
  if (h.e_phnum > kMaxProgramHeaders) return refuse("too many program headers");
  if (!within(h.e_phoff, h.e_phnum * sizeof(Elf64_Phdr), head_size)) {
    return refuse("its program headers are not at the beginning of the file");
  }
  return {};
}

Status check_segment(const Elf64_Phdr& p, uint64_t file_size) {
  if (p.p_filesz > p.p_memsz) return refuse("a segment is larger in the file than in memory");
  if (!within(p.p_offset, p.p_filesz, file_size)) return refuse("it is cut short");
  if (!within(p.p_vaddr, p.p_memsz, kUserSpaceEnd))
    return refuse("a segment lies outside the address space");
  if (p.p_align > 1 && (p.p_align & (p.p_align - 1)) != 0)
    return refuse("a segment's alignment is no power of two");
  return {};
}

Result<std::string> read_interpreter(const Elf64_Phdr& p, std::span<const std::byte> head) {
  if (p.p_filesz < 2 || p.p_filesz > kMaxInterpreter ||
      !within(p.p_offset, p.p_filesz, head.size())) {
    return refuse("its interpreter's name is malformed");
  }
  const char* text = reinterpret_cast<const char*>(head.data()) + p.p_offset;
  const size_t length = ::strnlen(text, p.p_filesz);
  if (text[0] != '/' || length != p.p_filesz - 1)
    return refuse("its interpreter's name is malformed");
  return std::string(text, length);
}

}  // namespace

Result<ElfInfo> check_elf(std::span<const std::byte> head, uint64_t file_size) {
  head = head.first(std::min({head.size(), kElfHeadBytes, static_cast<size_t>(file_size)}));
  if (head.size() >= 2 && head[0] == std::byte{'#'} && head[1] == std::byte{'!'}) {
    return refuse("it is a script; name its interpreter instead");
  }
  if (head.size() < sizeof(Elf64_Ehdr)) return refuse("it is no ELF file");
  const auto h = read_at<Elf64_Ehdr>(head, 0);
  ZVM_CHECK_OK(check_header(h, head.size()));
  ElfInfo info;
  bool entry_found = false;
  for (size_t i = 0; i < h.e_phnum; ++i) {
    const auto p = read_at<Elf64_Phdr>(head, h.e_phoff + i * sizeof(Elf64_Phdr));
    if (p.p_type == PT_LOAD) {
      ZVM_CHECK_OK(check_segment(p, file_size));
      const bool holds = h.e_entry >= p.p_vaddr && h.e_entry - p.p_vaddr < p.p_memsz;
      entry_found = entry_found || (holds && (p.p_flags & PF_X) != 0);
    } else if (p.p_type == PT_INTERP) {
      if (!info.interpreter.empty()) return refuse("it names two interpreters");
      ZVM_TRY(info.interpreter, read_interpreter(p, head));
    }
  }
  if (!entry_found)
    return refuse("its entry point lies in no executable segment (is it a shared library?)");
  info.is_static = info.interpreter.empty();
  return info;
}

}  // namespace zvm::loader
