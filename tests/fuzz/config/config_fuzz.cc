// Settings: every read of every type ends in a value within its bounds or in an error, an unknown
// key is always found, and sizes and durations survive being written and read.
#include <chrono>
#include <cstdint>

#include "base/config_reader.h"

namespace {

using namespace zvm;
using namespace std::chrono_literals;

void require(bool holds) {
  if (!holds) __builtin_trap();
}

void read_all(std::string_view text) {
  auto file = ConfigFile::parse(text, "fuzz.toml");
  if (!file) {
    require(file.error().what().rfind("fuzz.toml:", 0) == 0);
    return;
  }
  // A file that has a key at all has one that nobody reads.
  const bool empty = file->finish().has_value();
  uint64_t number = 1, bytes = 1;
  bool flag = false;
  std::string string;
  std::vector<std::string> list;
  std::chrono::milliseconds duration = 1s;
  for (const char* name : {"", "a", "a.b"}) {
    auto table = file->table(name);
    table.read("n", &number, 1, 10);
    table.read("f", &flag);
    table.read("s", &string);
    table.read("l", &list);
    table.read_size("z", &bytes, 1, 4096);
    table.read_duration("d", &duration, 1ms, 1h);
  }
  require(number >= 1 && number <= 10 && bytes >= 1 && bytes <= 4096);
  require(duration >= 1ms && duration <= 1h);
  require(string.find('\0') == string.npos);
  const auto end = file->finish();
  if (empty) require(end.has_value());
  if (!end) require(end.error().what().rfind("fuzz.toml:", 0) == 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view in(reinterpret_cast<const char*>(data), size);
  read_all(in);
  if (const auto bytes = parse_size(in)) require(*parse_size(size_text(*bytes)) == *bytes);
  if (const auto d = parse_duration(in)) require(*parse_duration(duration_text(*d)) == *d);
  return 0;
}
