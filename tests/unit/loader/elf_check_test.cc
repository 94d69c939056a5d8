#include "loader/elf_check.h"

#include <elf.h>
#include <gtest/gtest.h>

#include <cstring>
#include <vector>

namespace zvm::loader {
namespace {

struct Image {
  Elf64_Ehdr header{};
  std::vector<Elf64_Phdr> segments;
  std::string tail;
  uint64_t claimed_size = 0;  // 0: as built

  std::string bytes() const {
    std::string out(reinterpret_cast<const char*>(&header), sizeof header);
    for (const auto& s : segments) out.append(reinterpret_cast<const char*>(&s), sizeof s);
    return out + tail;
  }
};

Image good() {
  Image i;
  std::memcpy(i.header.e_ident, ELFMAG, SELFMAG);
  i.header.e_ident[EI_CLASS] = ELFCLASS64;
  i.header.e_ident[EI_DATA] = ELFDATA2LSB;
  i.header.e_ident[EI_VERSION] = EV_CURRENT;
  i.header.e_type = ET_EXEC;
  i.header.e_machine = EM_X86_64;
  i.header.e_version = EV_CURRENT;
  i.header.e_entry = 0x401000;
  i.header.e_phoff = sizeof(Elf64_Ehdr);
  i.header.e_ehsize = sizeof(Elf64_Ehdr);
  i.header.e_phentsize = sizeof(Elf64_Phdr);
  i.header.e_phnum = 1;
  Elf64_Phdr load{};
  load.p_type = PT_LOAD;
  load.p_flags = PF_R | PF_X;
  load.p_vaddr = 0x400000;
  load.p_memsz = 0x2000;
  load.p_filesz = 64;
  load.p_align = 0x1000;
  i.segments.push_back(load);
  return i;
}

Image with_interpreter(std::string name) {
  Image i = good();
  i.header.e_type = ET_DYN;
  Elf64_Phdr interp{};
  interp.p_type = PT_INTERP;
  interp.p_offset = sizeof(Elf64_Ehdr) + 2 * sizeof(Elf64_Phdr);
  interp.p_filesz = interp.p_memsz = name.size();
  i.segments.push_back(interp);
  i.header.e_phnum = 2;
  i.tail = std::move(name);
  return i;
}

Result<ElfInfo> check(const Image& i) {
  const std::string b = i.bytes();
  return check_elf(std::as_bytes(std::span(b)), i.claimed_size != 0 ? i.claimed_size : b.size());
}

TEST(Elf, StaticProgramsAreSeenAsStatic) {
  const auto info = check(good());
  ASSERT_TRUE(info) << info.error().what();
  EXPECT_TRUE(info->is_static);
}

TEST(Elf, TheInterpreterIsNamed) {
  const auto info = check(with_interpreter(std::string("/lib64/ld-linux-x86-64.so.2\0", 28)));
  ASSERT_TRUE(info) << info.error().what();
  EXPECT_FALSE(info->is_static);
  EXPECT_EQ(info->interpreter, "/lib64/ld-linux-x86-64.so.2");
}

TEST(Elf, StaticPieIsStatic) {
  Image i = good();
  i.header.e_type = ET_DYN;
  const auto info = check(i);
  ASSERT_TRUE(info);
  EXPECT_TRUE(info->is_static);
}

struct Malformed {
  const char* says;
  void (*spoil)(Image&);
};

TEST(Elf, MalformedFilesAreRefusedWithAReason) {
  const Malformed cases[] = {
      {"no ELF", [](Image& i) { i.header.e_ident[0] = 'x'; }},
      {"64-bit", [](Image& i) { i.header.e_ident[EI_CLASS] = ELFCLASS32; }},
      {"big-endian", [](Image& i) { i.header.e_ident[EI_DATA] = ELFDATA2MSB; }},
      {"another machine", [](Image& i) { i.header.e_machine = EM_AARCH64; }},
      {"another machine", [](Image& i) { i.header.e_machine = EM_386; }},
      {"another system", [](Image& i) { i.header.e_ident[EI_OSABI] = ELFOSABI_FREEBSD; }},
      {"version", [](Image& i) { i.header.e_version = 0; }},
      {"not linked", [](Image& i) { i.header.e_type = ET_REL; }},
      {"core dump", [](Image& i) { i.header.e_type = ET_CORE; }},
      {"unknown ELF type", [](Image& i) { i.header.e_type = 77; }},
      {"another size", [](Image& i) { i.header.e_phentsize = 32; }},
      {"no program headers", [](Image& i) { i.header.e_phnum = 0; }},
      {"too many", [](Image& i) { i.header.e_phnum = 65535; }},
      {"not at the beginning", [](Image& i) { i.header.e_phoff = ~uint64_t{0}; }},
      {"not at the beginning", [](Image& i) { i.header.e_phoff = 1u << 20; }},
      {"larger in the file", [](Image& i) { i.segments[0].p_memsz = 1; }},
      {"cut short", [](Image& i) { i.segments[0].p_offset = 1u << 20; }},
      {"cut short", [](Image& i) { i.segments[0].p_offset = ~uint64_t{0}; }},
      {"address space", [](Image& i) { i.segments[0].p_memsz = ~uint64_t{0}; }},
      {"address space", [](Image& i) { i.segments[0].p_vaddr = uint64_t{1} << 47; }},
      {"power of two", [](Image& i) { i.segments[0].p_align = 3; }},
      {"entry point", [](Image& i) { i.header.e_entry = 0; }},
      {"entry point", [](Image& i) { i.header.e_entry = 0x402000; }},
      {"entry point", [](Image& i) { i.segments[0].p_flags = PF_R; }},
      {"entry point", [](Image& i) { i.segments[0].p_type = PT_NOTE; }},
  };
  for (const auto& c : cases) {
    Image i = good();
    c.spoil(i);
    const auto info = check(i);
    ASSERT_FALSE(info) << c.says;
    EXPECT_NE(info.error().what().find(c.says), std::string::npos) << info.error().what();
    EXPECT_EQ(info.error().origin(), Origin::kClient);
  }
}

TEST(Elf, MalformedInterpretersAreRefused) {
  for (const std::string& name :
      {std::string("/lib/x"), std::string("lib/x\0", 6), std::string("/a\0b\0", 5),
          std::string("\0", 1), "/" + std::string(300, 'x') + std::string(1, '\0')}) {
    EXPECT_FALSE(check(with_interpreter(name))) << name;
  }
}

TEST(Elf, EveryPrefixOfAGoodFileIsRefusedOrGood) {
  const std::string b = with_interpreter(std::string("/lib64/ld.so\0", 13)).bytes();
  for (size_t n = 0; n < b.size(); ++n) {
    const std::string cut = b.substr(0, n);
    EXPECT_FALSE(check_elf(std::as_bytes(std::span(cut)), n)) << n;
  }
}

TEST(Elf, AScriptIsNamedAsSuch) {
  const std::string script = "#!/bin/sh\n";
  const auto info = check_elf(std::as_bytes(std::span(script)), script.size());
  ASSERT_FALSE(info);
  EXPECT_NE(info.error().what().find("script"), std::string::npos);
}

}  // namespace
}  // namespace zvm::loader
