// Small tests and repairs of text that came from outside. Internal to this folder.
#pragma once
#include <algorithm>
#include <string>
#include <string_view>

namespace zvm::bridge {

inline bool is_control(char c) {
  return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
}

inline bool has_control(std::string_view s) {
  return std::any_of(s.begin(), s.end(), is_control);
}

inline std::string_view trim(std::string_view s) {
  const size_t first = s.find_first_not_of(" \t");
  if (first == s.npos) return {};
  return s.substr(first, s.find_last_not_of(" \t") - first + 1);
}

inline std::string to_lower(std::string_view s) {
  std::string out(s);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

// Names of nodes, devices and images: [A-Za-z0-9._-], at most 64, and never a step in a path.
inline bool is_name(std::string_view s) {
  if (s.empty() || s.size() > 64 || s == "." || s == "..") return false;
  return std::all_of(s.begin(), s.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  });
}

// RFC 9110 token: what a header's name is made of.
inline bool is_token(std::string_view s) {
  constexpr std::string_view kOther = "!#$%&'*+-.^_`|~";
  return !s.empty() && std::all_of(s.begin(), s.end(), [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           kOther.find(c) != kOther.npos;
  });
}

// For one-line messages: control characters become '?', and a long text is cut between characters.
inline std::string printable(std::string_view s, size_t limit = 256) {
  const bool cut = s.size() > limit;
  if (cut) {
    size_t end = limit;
    while (end > 0 && (static_cast<unsigned char>(s[end]) & 0xc0) == 0x80) --end;
    s = s.substr(0, end);
  }
  std::string out(s);
  std::replace_if(out.begin(), out.end(), is_control, '?');
  if (cut) out += "...";
  return out;
}

}  // namespace zvm::bridge
