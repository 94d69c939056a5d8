// The args memfd of a START request: what is executed, with which arguments and environment.
//
//   ArgsHeader | path NUL | argv[0] NUL ... | envp[0] NUL ...   and nothing after it
//
// encode() is for hostd; ArgsView for the loader, where nothing may allocate.
#pragma once
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "loader/wire.h"

namespace zvm::loader {

inline constexpr uint32_t kArgsMagic = 0x31416d7a;  // "zmA1"

struct ArgsHeader {
  uint32_t magic;
  uint32_t argc;  // at least 1
  uint32_t envc;
  uint32_t bytes;  // of everything after this header
};

// Empty: an embedded NUL, no argv[0], or beyond kMaxArgsBytes or kMaxStrings. path is absolute, in
// the image; "" when the program is given as a descriptor.
inline std::string encode_args(std::string_view path, const std::vector<std::string>& argv,
    const std::vector<std::string>& env) {
  if (argv.empty() || argv.size() + env.size() > wire::kMaxStrings) return {};
  std::string out(sizeof(ArgsHeader), '\0');
  auto add = [&out](std::string_view s) {
    if (s.find('\0') != s.npos) return false;
    out += s;
    out += '\0';
    return out.size() <= wire::kMaxArgsBytes;
  };
  if (!add(path)) return {};
  for (const auto& s : argv) {
    if (!add(s)) return {};
  }
  for (const auto& s : env) {
    if (!add(s)) return {};
  }
  const ArgsHeader header{kArgsMagic, static_cast<uint32_t>(argv.size()),
      static_cast<uint32_t>(env.size()), static_cast<uint32_t>(out.size() - sizeof(ArgsHeader))};
  std::memcpy(out.data(), &header, sizeof header);
  return out;
}

// Points into `blob`, which must stay and not change. argv and envp are NULL-terminated.
struct ArgsView {
  const char* path;
  char* argv[wire::kMaxStrings + 1];
  char* envp[wire::kMaxStrings + 1];
};

// false: not exactly what encode_args makes.
inline bool parse_args(char* blob, size_t size, ArgsView* into) noexcept {
  ArgsHeader h;
  if (size < sizeof h || size > wire::kMaxArgsBytes) return false;
  std::memcpy(&h, blob, sizeof h);
  if (h.magic != kArgsMagic || h.bytes != size - sizeof h || h.bytes == 0) return false;
  if (h.argc == 0 || h.argc > wire::kMaxStrings || h.envc > wire::kMaxStrings - h.argc)
    return false;
  char* at = blob + sizeof h;
  char* const end = blob + size;
  if (end[-1] != '\0') return false;
  auto next = [&]() -> char* {
    if (at == end) return nullptr;
    char* s = at;
    at += std::strlen(at) + 1;  // a NUL follows: the last byte is one
    return s;
  };
  into->path = next();
  for (uint32_t i = 0; i < h.argc; ++i) {
    if ((into->argv[i] = next()) == nullptr) return false;
  }
  for (uint32_t i = 0; i < h.envc; ++i) {
    if ((into->envp[i] = next()) == nullptr) return false;
  }
  into->argv[h.argc] = nullptr;
  into->envp[h.envc] = nullptr;
  return at == end;
}

}  // namespace zvm::loader
