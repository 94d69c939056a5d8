#include "base/config_reader.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <limits>
#include <map>
#include <optional>
#include <set>

#include "base/sys/fd.h"
#include "base/uri.h"

// One assertion of toml++ 3.3 is stronger than the code below it: "[#" would end the process, where
// without it a proper error comes. The fuzz target `config` watches over the rest of them.
#define TOML_ASSERT(expr) static_cast<void>(0)
#define TOML_EXCEPTIONS 0
#define TOML_HEADER_ONLY 1
#define TOML_ENABLE_FORMATTERS 0
#define TOML_MAX_NESTED_VALUES 16
#include <toml++/toml.h>

namespace zvm {

namespace {

using std::chrono::milliseconds;

constexpr size_t kMaxFile = 1 << 20;
constexpr size_t kMaxDots = 200;  // of one line

struct Unit {
  std::string_view name;
  uint64_t factor;
};

constexpr uint64_t kK = 1000, kKi = 1024;
constexpr std::array kSizes{Unit{"TiB", kKi* kKi* kKi* kKi}, Unit{"GiB", kKi* kKi* kKi},
    Unit{"MiB", kKi* kKi}, Unit{"KiB", kKi}, Unit{"TB", kK* kK* kK* kK}, Unit{"GB", kK* kK* kK},
    Unit{"MB", kK* kK}, Unit{"kB", kK}, Unit{"KB", kK}, Unit{"B", 1}, Unit{"", 1}};
// In milliseconds.
constexpr std::array kDurations{Unit{"d", 86'400'000}, Unit{"h", 3'600'000}, Unit{"min", 60'000},
    Unit{"m", 60'000}, Unit{"s", 1000}, Unit{"ms", 1}, Unit{"", 1000}};

// "<digits><unit>" -> digits * factor; nullopt where it is not that or does not fit.
template <size_t N>
std::optional<uint64_t> parse_with_unit(std::string_view text, const std::array<Unit, N>& units) {
  uint64_t n = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (ec != std::errc()) return std::nullopt;
  const std::string_view unit = text.substr(static_cast<size_t>(end - text.data()));
  for (const Unit& u : units) {
    if (u.name != unit) continue;
    if (n > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()) / u.factor)
      return std::nullopt;
    return n * u.factor;
  }
  return std::nullopt;
}

std::string quoted(std::string_view text) {
  return "\"" + std::string(text.substr(0, 100)) + "\"";
}

// SECURITY: toml++ 3.3 runs into undefined behaviour on some letters from U+00A0 to U+FEFF wherever
// it asks whether they are blanks. It never sees one: they are moved to the private plane 15 before
// it parses, and back in every text that comes out.
constexpr char32_t kFirstMoved = 0xa0, kLastMoved = 0xfeff, kPlane = 0xf0000;

// Of well-formed UTF-8; *bytes says how many it has.
char32_t first_letter(std::string_view text, size_t* bytes) {
  const auto byte = [&](size_t i) { return static_cast<char32_t>(static_cast<uint8_t>(text[i])); };
  *bytes = byte(0) < 0x80 ? 1 : byte(0) < 0xe0 ? 2 : byte(0) < 0xf0 ? 3 : 4;
  char32_t letter = byte(0) & (*bytes == 1 ? 0x7f : 0x7f >> *bytes);
  for (size_t i = 1; i < *bytes; ++i) letter = letter << 6 | (byte(i) & 0x3f);
  return letter;
}

// One that is not ASCII.
void append_letter(std::string& out, char32_t letter) {
  const auto tail = [&](int shift) { out += static_cast<char>(0x80 | (letter >> shift & 0x3f)); };
  if (letter < 0x800) {
    out += static_cast<char>(0xc0 | letter >> 6);
  } else if (letter < 0x10000) {
    out += static_cast<char>(0xe0 | letter >> 12);
    tail(6);
  } else {
    out += static_cast<char>(0xf0 | letter >> 18);
    tail(12);
    tail(6);
  }
  tail(0);
}

// Copies UTF-8; the letters from `first` to `last` become those that are `to` and following.
std::string move_letters(std::string_view text, char32_t first, char32_t last, char32_t to) {
  std::string out;
  out.reserve(text.size());
  for (size_t bytes = 0; !text.empty(); text.remove_prefix(bytes)) {
    const char32_t letter = first_letter(text, &bytes);
    if (letter >= first && letter <= last)
      append_letter(out, to + (letter - first));
    else
      out.append(text.substr(0, bytes));
  }
  return out;
}

std::string for_parser(std::string_view text) {
  return move_letters(text, kFirstMoved, kLastMoved, kPlane + kFirstMoved);
}

std::string from_parser(std::string text) {
  // What toml++ says of a malformed text may cut a letter in two; a value may have NULs.
  std::string without_nul = text;
  std::replace(without_nul.begin(), without_nul.end(), '\0', ' ');
  if (!is_utf8(without_nul)) return text;
  return move_letters(text, kPlane + kFirstMoved, kPlane + kLastMoved, kFirstMoved);
}

// Looks for what toml++ should not see. What is wrong with the text, or null; *at is where.
const char* precheck(std::string_view text, size_t* at) {
  *at = 0;
  if (text.size() > kMaxFile) return "the file is longer than 1 MiB";
  if (!is_utf8(text)) return "the file is not UTF-8, or has a NUL byte";
  size_t dots = 0;  // of this line
  for (; *at < text.size(); ++*at) {
    const std::string_view rest = text.substr(*at, 6);
    if (rest[0] == '\n') dots = 0;
    // SECURITY: tables nest as deep as a key has dots, and are freed by recursion.
    if (rest[0] == '.' && ++dots > kMaxDots) return "a line of too many dots";
    const bool in_plane = rest.size() > 1 && rest[0] == '\xf3' && rest[1] >= '\xb0';
    if (in_plane || rest == "\\U000F" || rest == "\\U000f")
      return "a letter of the private plane 15";
  }
  return nullptr;
}

std::string place(const std::string& file, const toml::source_position& at) {
  return file + ":" + std::to_string(at.line) + ":" + std::to_string(at.column) + ": ";
}

toml::source_position position_of(std::string_view text, size_t offset) {
  const std::string_view before = text.substr(0, offset);
  const size_t line_start = before.rfind('\n') + 1;  // npos + 1 = 0
  toml::source_position at;
  at.line = static_cast<toml::source_index>(1 + std::count(before.begin(), before.end(), '\n'));
  at.column = static_cast<toml::source_index>(offset - line_start + 1);
  return at;
}

std::string join(std::string_view table, std::string_view key) {
  std::string path(table);
  if (!path.empty()) path += '.';
  return path.append(key);
}

bool is_below(std::string_view path, std::string_view parent) {
  return path.size() > parent.size() && path.substr(0, parent.size()) == parent &&
         path[parent.size()] == '.';
}

}  // namespace

struct ConfigFile::Impl {
  std::string name;
  toml::table root;
  std::map<std::string, std::set<std::string>, std::less<>> read;  // table -> keys read of it
  std::optional<Error> first;

  void note(const toml::node* node, const std::string& what) {
    if (first) return;
    const auto at = node != nullptr ? node->source().begin : toml::source_position{};
    first.emplace(Origin::kHost, Kind::kInvalid, place(name, at) + what);
  }

  const toml::table* find_table(std::string_view path) {
    const toml::table* table = &root;
    while (!path.empty()) {
      const size_t dot = std::min(path.find('.'), path.size());
      const toml::node* node = table->get(path.substr(0, dot));
      path.remove_prefix(std::min(dot + 1, path.size()));
      if (node == nullptr) return nullptr;
      table = node->as_table();
      if (table == nullptr) {
        note(node, "this is not a table");
        return nullptr;
      }
    }
    return table;
  }

  const toml::node* find(const std::string& table, const char* key) {
    read[table].insert(key);
    const toml::table* t = find_table(table);
    return t != nullptr ? t->get(key) : nullptr;
  }

  // The text of a value, or nothing after a note.
  std::optional<std::string> text_of(const std::string& path, const toml::node& node) {
    const auto* text = node.as_string();
    if (text == nullptr) {
      note(&node, path + " is not a string");
    } else if (text->get().find('\0') != std::string::npos) {
      note(&node, path + " has a NUL byte");
    } else {
      return from_parser(text->get());
    }
    return std::nullopt;
  }

  bool is_read(std::string_view table) const {
    return read.count(table) != 0 || std::any_of(read.begin(), read.end(),
                                         [&](const auto& r) { return is_below(r.first, table); });
  }

  // Of the keys and tables that nobody read, the one that comes first in the file.
  void find_unread(const toml::table& table, const std::string& path,
      const std::vector<std::string_view>& ignored, std::optional<toml::source_position>* first_at,
      std::string* first_name) const {
    const auto keys = read.find(path);
    for (const auto& [key, node] : table) {
      const std::string full = join(path, key.str());
      if (const toml::table* inner = node.as_table()) {
        if (std::find(ignored.begin(), ignored.end(), full) != ignored.end()) continue;
        if (is_read(full)) {
          find_unread(*inner, full, ignored, first_at, first_name);
          continue;
        }
      }
      if (keys != read.end() && keys->second.count(std::string(key.str())) != 0) continue;
      if (*first_at && !(key.source().begin < **first_at)) continue;
      *first_at = key.source().begin;
      *first_name = full;
    }
  }
};

ConfigFile::ConfigFile(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

ConfigFile::ConfigFile(ConfigFile&&) noexcept = default;
ConfigFile& ConfigFile::operator=(ConfigFile&&) noexcept = default;
ConfigFile::~ConfigFile() = default;

Result<ConfigFile> ConfigFile::load(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
  if (!fd) return fail_errno("open " + path, errno);
  std::string text;
  while (text.size() <= kMaxFile) {
    char chunk[16 * 1024];
    const ssize_t n = ::read(fd.get(), chunk, sizeof chunk);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno("read " + path, errno);
    if (n == 0) break;
    text.append(chunk, static_cast<size_t>(n));
  }
  return parse(text, path);
}

Result<ConfigFile> ConfigFile::parse(std::string_view text, std::string name) {
  size_t at = 0;
  if (const char* fault = precheck(text, &at))
    return fail(Origin::kHost, Kind::kInvalid, place(name, position_of(text, at)) + fault);
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  if (text.substr(0, kByteOrderMark.size()) == kByteOrderMark)
    text.remove_prefix(kByteOrderMark.size());
  auto parsed = toml::parse(for_parser(text));
  if (!parsed) {
    const toml::parse_error& error = parsed.error();
    return fail(Origin::kHost, Kind::kInvalid,
        place(name, error.source().begin) + from_parser(std::string(error.description())));
  }
  auto impl = std::make_unique<Impl>();
  impl->name = std::move(name);
  impl->root = std::move(parsed).table();
  return ConfigFile(std::move(impl));
}

ConfigTable ConfigFile::table(std::string_view name) {
  impl_->read[std::string(name)];
  return ConfigTable(impl_.get(), std::string(name));
}

Status ConfigFile::finish(std::initializer_list<std::string_view> ignored_tables) {
  if (impl_->first) return tl::unexpected(*impl_->first);
  std::optional<toml::source_position> at;
  std::string unread;
  impl_->find_unread(impl_->root, "", ignored_tables, &at, &unread);
  if (!at) return {};
  return fail(Origin::kHost, Kind::kInvalid,
      place(impl_->name, *at) + quoted(from_parser(unread)) + " is not a setting");
}

void ConfigTable::read(const char* key, std::string* into) {
  const toml::node* node = file_->find(name_, key);
  if (node == nullptr) return;
  if (auto text = file_->text_of(join(name_, key), *node)) *into = *std::move(text);
}

void ConfigTable::read(const char* key, bool* into) {
  const toml::node* node = file_->find(name_, key);
  if (node == nullptr) return;
  if (const auto* value = node->as_boolean())
    *into = value->get();
  else
    file_->note(node, join(name_, key) + " is not true or false");
}

void ConfigTable::read(const char* key, uint64_t* into, uint64_t min, uint64_t max) {
  const toml::node* node = file_->find(name_, key);
  if (node == nullptr) return;
  const auto* value = node->as_integer();
  if (value == nullptr || value->get() < 0 || static_cast<uint64_t>(value->get()) < min ||
      static_cast<uint64_t>(value->get()) > max) {
    file_->note(node, join(name_, key) + " is not a number from " + std::to_string(min) + " to " +
                          std::to_string(max));
    return;
  }
  *into = static_cast<uint64_t>(value->get());
}

void ConfigTable::read(const char* key, std::vector<std::string>* into) {
  const toml::node* node = file_->find(name_, key);
  if (node == nullptr) return;
  const std::string path = join(name_, key);
  const toml::array* list = node->as_array();
  if (list == nullptr) {
    file_->note(node, path + " is not a list of strings");
    return;
  }
  std::vector<std::string> values;
  for (const toml::node& element : *list) {
    auto text = file_->text_of("an element of " + path, element);
    if (!text) return;
    values.push_back(*std::move(text));
  }
  *into = std::move(values);
}

void ConfigTable::read_size(const char* key, uint64_t* into, uint64_t min, uint64_t max) {
  const toml::node* node = file_->find(name_, key);
  if (node == nullptr) return;
  std::optional<uint64_t> value;
  if (const auto* number = node->as_integer(); number != nullptr && number->get() >= 0)
    value = static_cast<uint64_t>(number->get());
  if (const auto* text = node->as_string()) value = parse_with_unit(text->get(), kSizes);
  if (!value || *value < min || *value > max) {
    file_->note(
        node, join(name_, key) + " is not a size from " + size_text(min) + " to " + size_text(max));
    return;
  }
  *into = *value;
}

void ConfigTable::read_duration(
    const char* key, milliseconds* into, milliseconds min, milliseconds max) {
  const toml::node* node = file_->find(name_, key);
  if (node == nullptr) return;
  std::optional<uint64_t> value;
  // A bare number goes the way of its text, so that its bounds are looked at once.
  if (const auto* number = node->as_integer())
    value = parse_with_unit(std::to_string(number->get()), kDurations);
  if (const auto* text = node->as_string()) value = parse_with_unit(text->get(), kDurations);
  if (!value || milliseconds(*value) < min || milliseconds(*value) > max) {
    file_->note(node, join(name_, key) + " is not a duration from " + duration_text(min) + " to " +
                          duration_text(max));
    return;
  }
  *into = milliseconds(*value);
}

Result<uint64_t> parse_size(std::string_view text) {
  if (const auto value = parse_with_unit(text, kSizes)) return *value;
  return fail(
      Origin::kHost, Kind::kInvalid, quoted(text) + " is not a size such as 64MiB, 1GB or 4096");
}

Result<milliseconds> parse_duration(std::string_view text) {
  if (const auto value = parse_with_unit(text, kDurations)) return milliseconds(*value);
  return fail(
      Origin::kHost, Kind::kInvalid, quoted(text) + " is not a duration such as 30s, 250ms or 2h");
}

std::string size_text(uint64_t bytes) {
  std::string best = std::to_string(bytes) + "B";
  if (bytes == 0) return best;
  for (const Unit& u : kSizes) {
    if (u.name.empty() || bytes % u.factor != 0) continue;
    const std::string text = std::to_string(bytes / u.factor) + std::string(u.name);
    if (text.size() < best.size()) best = text;
  }
  return best;
}

std::string duration_text(milliseconds d) {
  const auto count = static_cast<uint64_t>(std::max<milliseconds::rep>(d.count(), 0));
  if (count == 0) return "0s";
  for (const Unit& u : kDurations)
    if (count % u.factor == 0) return std::to_string(count / u.factor) + std::string(u.name);
  return std::to_string(count) + "ms";
}

}  // namespace zvm
