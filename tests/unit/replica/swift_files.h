// Writes object files as Swift's object server does (swift/obj/diskfile.py), for the tests beside.
#pragma once
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace zvm::host {

using Metadata = std::map<std::string, std::string>;

// A new folder on a file system that holds user xattrs; nullopt when none of the usual ones does.
std::optional<std::filesystem::path> testing_folder();
bool holds_xattrs(const std::filesystem::path& file, size_t bytes);
// The dict as Python 3 pickles it, protocol 2: bytes of latin-1 texts.
std::string pickle(const Metadata& metadata);
// Complete before it is visible: written under another name, with its xattrs, then renamed.
void write_swift_file(
    const std::filesystem::path& path, const std::string& content, const Metadata& metadata);

}  // namespace zvm::host
