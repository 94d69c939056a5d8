// Reader for the metadata that Swift keeps in xattrs: a Python pickle (protocol 2) of a dict of
// bytes to bytes. Source of the format: CPython's pickletools, and swift/obj/diskfile.py
// (write_metadata).
//
// SECURITY: this is no unpickler. It knows exactly the opcodes such a dict needs, the two names
// `_codecs.encode` and `__builtin__.bytes` as data constructors, and refuses all else; depth, memo,
// entries and bytes are bounded; nothing is ever called.
#pragma once
#include <map>
#include <string>
#include <string_view>

#include "base/error.h"

namespace zvm {

struct SwiftMetadata {
  std::map<std::string, std::string> values;
  // Written by Python 3: values are header bytes read as latin-1 and encoded as UTF-8 once more.
  bool doubly_encoded = false;

  // The value as header bytes (the double encoding undone), or "" when absent. Not for "name".
  std::string header(const std::string& key) const;

  bool has(const std::string& key) const { return values.count(key) != 0; }
};

inline constexpr size_t kMaxSwiftMetadata = 1 << 20;

// kSwift/kInvalid with the offset and what was met there.
Result<SwiftMetadata> parse_swift_metadata(std::string_view pickle);

}  // namespace zvm
