#include "tests/unit/replica/swift_files.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/xattr.h>

#include <fstream>

#include "base/digest.h"

namespace zvm::host {

namespace fs = std::filesystem;

std::optional<fs::path> testing_folder() {
  const char* tmp = ::getenv("TMPDIR");
  // tmpfs first: since Linux 6.6 it holds as many xattrs as xfs does.
  for (const std::string& parent :
      {std::string("/dev/shm"), std::string(tmp != nullptr ? tmp : "/tmp"), std::string("/tmp")}) {
    std::string name = parent + "/zvm-replica-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) continue;
    if (holds_xattrs(name, 2000)) return name;
    fs::remove_all(name);
  }
  return std::nullopt;
}

bool holds_xattrs(const fs::path& file, size_t bytes) {
  bool ok = true;
  for (size_t i = 0; i * 65536 < bytes && ok; ++i) {
    const std::string value(std::min<size_t>(bytes - i * 65536, 65536), 'x');
    ok = ::setxattr(file.c_str(), ("user.probe" + std::to_string(i)).c_str(), value.data(),
             value.size(), 0) == 0;
  }
  for (size_t i = 0; i * 65536 < bytes; ++i)
    ::removexattr(file.c_str(), ("user.probe" + std::to_string(i)).c_str());
  return ok;
}

namespace {

// BINUNICODE: u32le length, UTF-8.
std::string unicode(std::string_view utf8) {
  std::string out = "X";
  for (int shift = 0; shift < 32; shift += 8) out += static_cast<char>(utf8.size() >> shift & 0xff);
  return out.append(utf8);
}

std::string latin1_as_utf8(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) {
    const auto b = static_cast<unsigned char>(c);
    if (b < 0x80) {
      out += c;
    } else {
      out += static_cast<char>(0xc0 | b >> 6);
      out += static_cast<char>(0x80 | (b & 0x3f));
    }
  }
  return out;
}

// bytes(…) as _codecs.encode(text, "latin1"); an empty one as __builtin__.bytes().
std::string bytes_object(std::string_view bytes) {
  if (bytes.empty()) return "c__builtin__\nbytes\n)R";
  return "c_codecs\nencode\n" + unicode(latin1_as_utf8(bytes)) + unicode("latin1") + "\x86R";
}

}  // namespace

std::string pickle(const Metadata& metadata) {
  std::string out = "\x80\x02}(";
  for (const auto& [key, value] : metadata) out += bytes_object(key) + bytes_object(value);
  return out + "u.";
}

void write_swift_file(const fs::path& path, const std::string& content, const Metadata& metadata) {
  const fs::path hidden = path.parent_path() / ("." + path.filename().string() + ".new");
  std::ofstream(hidden, std::ios::binary) << content;
  const std::string bytes = pickle(metadata);
  for (size_t i = 0; i * 65536 < bytes.size(); ++i) {
    const std::string chunk = bytes.substr(i * 65536, 65536);
    const std::string name = "user.swift.metadata" + (i == 0 ? "" : std::to_string(i));
    ASSERT_EQ(::setxattr(hidden.c_str(), name.c_str(), chunk.data(), chunk.size(), 0), 0);
  }
  const std::string checksum = md5_hex(bytes);
  ASSERT_EQ(::setxattr(hidden.c_str(), "user.swift.metadata_checksum", checksum.data(),
                checksum.size(), 0),
      0);
  fs::rename(hidden, path);
}

}  // namespace zvm::host
