// Configuration files: TOML into typed values. Errors name file, line and column; a key that nobody
// read is an error, so a misspelt setting is never silently a default.
//
//   ZVM_TRY(auto file, ConfigFile::load(path));
//   auto t = file.table("host");
//   t.read("id", &config.id);
//   t.read_duration("timeout", &config.timeout, 1s, 24h);
//   ZVM_CHECK_OK(file.finish({"broker"}));   // tables of other programs in the same file
#pragma once
#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace zvm {

class ConfigTable;

class ConfigFile {
 public:
  static Result<ConfigFile> load(const std::string& path);
  static Result<ConfigFile> parse(std::string_view text, std::string name);
  ConfigFile(ConfigFile&&) noexcept;
  ConfigFile& operator=(ConfigFile&&) noexcept;
  ~ConfigFile();

  // An absent table reads as an empty one. "limits" or "host.limits".
  ConfigTable table(std::string_view name);
  // The first error of any read, or of a key or table that was neither read nor listed as ignored.
  Status finish(std::initializer_list<std::string_view> ignored_tables = {});

 private:
  friend class ConfigTable;
  struct Impl;
  explicit ConfigFile(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Reads leave `into` (the default) untouched when the key is absent.
class ConfigTable {
 public:
  void read(const char* key, std::string* into);
  void read(const char* key, bool* into);
  void read(const char* key, uint64_t* into, uint64_t min, uint64_t max);
  void read(const char* key, std::vector<std::string>* into);
  // "64MiB", "1GB", or a number of bytes.
  void read_size(const char* key, uint64_t* into, uint64_t min, uint64_t max);
  // "30s", "250ms", "2h"; a bare number is seconds.
  void read_duration(const char* key, std::chrono::milliseconds* into,
      std::chrono::milliseconds min, std::chrono::milliseconds max);

 private:
  friend class ConfigFile;

  ConfigTable(ConfigFile::Impl* file, std::string name) : file_(file), name_(std::move(name)) {}

  ConfigFile::Impl* file_;
  std::string name_;
};

// "64MiB" -> 67108864. Units B kB KB KiB MB MiB GB GiB TB TiB; kInvalid with a sentence otherwise.
Result<uint64_t> parse_size(std::string_view text);
Result<std::chrono::milliseconds> parse_duration(std::string_view text);
// The shortest exact text: 67108864 -> "64MiB".
std::string size_text(uint64_t bytes);
std::string duration_text(std::chrono::milliseconds d);

}  // namespace zvm
