// Inflates a gzip file that is held in memory (RFC 1952, one member) by zlib.
#pragma once
#include <string>
#include <string_view>

#include "base/error.h"

namespace zvm {

// kSwift/kInvalid for what is no whole gzip file, or is larger than max_bytes when inflated.
Result<std::string> gunzip(std::string_view gzip_bytes, size_t max_bytes);

}  // namespace zvm
