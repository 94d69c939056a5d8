#include "swift_bridge/config.h"

#include <algorithm>

#include "base/config_reader.h"
#include "base/net.h"

namespace zvm::bridge {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds kShort{1};
constexpr milliseconds kDay{86'400'000};

// Every setting once: `visit` reads it from a file or prints it.
template <class Visitor>
void each_bridge_setting(Config& c, Visitor& visit) {
  visit.list("listen", c.listen);
  visit.text("swift", c.swift);
  visit.text("key_file", c.key_file);
  visit.text("swift_dir", c.swift_dir);
  visit.text("swift_conf", c.swift_conf);
  visit.number("host_port", c.host_port, 1, 65535);
  visit.list("hosts", c.hosts);
  visit.number("max_connections", c.max_connections, 1, 1'000'000);
  visit.number("max_jobs", c.max_jobs, 1, 100'000);
  visit.number("max_idle_upstream", c.max_idle_upstream, 0, 100'000);
  visit.size("max_program", c.max_program, 1, protocol::kMaxProgram);
  visit.size("program_cache", c.program_cache, 0, 1ull << 40);
  visit.size("output_window", c.output_window, 64 << 10, 4 << 20);
  visit.duration("header_timeout", c.header_timeout);
  visit.duration("idle_timeout", c.idle_timeout);
  visit.duration("body_timeout", c.body_timeout);
  visit.duration("send_timeout", c.send_timeout);
  visit.duration("answer_timeout", c.answer_timeout);
  visit.duration("ask_timeout", c.ask_timeout);
  visit.duration("store_timeout", c.store_timeout);
  visit.duration("host_connect_timeout", c.host_connect_timeout);
  visit.duration("host_admit_timeout", c.host_admit_timeout);
  visit.duration("range_timeout", c.range_timeout);
  visit.duration("drain_timeout", c.drain_timeout);
}

template <class Visitor>
void each_limit(Limits& l, Visitor& visit) {
  visit.duration("timeout", l.timeout);
  visit.duration("timeout_cap", l.timeout_cap);
  visit.duration("cpu_cap", l.cpu_cap);
  visit.size("memory", l.memory, 1 << 20, 1ull << 50);
  visit.size("memory_cap", l.memory_cap, 1 << 20, 1ull << 50);
  visit.size("max_output", l.max_output, 0, 1ull << 50);
  visit.size("max_output_cap", l.max_output_cap, 0, 1ull << 50);
}

struct Reader {
  ConfigTable table;

  void text(const char* key, std::string& v) { table.read(key, &v); }

  void list(const char* key, std::vector<std::string>& v) { table.read(key, &v); }

  void number(const char* key, uint64_t& v, uint64_t min, uint64_t max) {
    table.read(key, &v, min, max);
  }

  void size(const char* key, uint64_t& v, uint64_t min, uint64_t max) {
    table.read_size(key, &v, min, max);
  }

  void duration(const char* key, milliseconds& v) { table.read_duration(key, &v, kShort, kDay); }
};

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

struct Printer {
  std::string out;

  void line(const char* key, const std::string& value) {
    out.append(key).append(" = ").append(value).append("\n");
  }

  void text(const char* key, std::string& v) { line(key, quoted(v)); }

  void list(const char* key, std::vector<std::string>& v) {
    std::string items;
    for (const auto& item : v) items += (items.empty() ? "" : ", ") + quoted(item);
    line(key, "[" + items + "]");
  }

  void number(const char* key, uint64_t& v, uint64_t, uint64_t) { line(key, std::to_string(v)); }

  void size(const char* key, uint64_t& v, uint64_t, uint64_t) { line(key, quoted(size_text(v))); }

  void duration(const char* key, milliseconds& v) { line(key, quoted(duration_text(v))); }
};

Status check(const Config& c) {
  if (c.listen.empty())
    return fail(Origin::kHost, Kind::kInvalid, "bridge.listen names no address");
  for (const auto& address : c.listen) ZVM_CHECK_OK(parse_address(address));
  ZVM_CHECK_OK(parse_address(c.swift));
  for (const auto& entry : c.hosts) {
    const size_t eq = entry.find('=');
    if (eq == entry.npos)
      return fail(Origin::kHost, Kind::kInvalid,
          "bridge.hosts: \"" + entry + "\" is not object_ip:port=host_ip:port");
    ZVM_CHECK_OK(parse_address(entry.substr(0, eq)));
    ZVM_CHECK_OK(parse_address(entry.substr(eq + 1)));
  }
  return {};
}

Result<Config> read_all(ConfigFile file) {
  Config config;
  Reader bridge{file.table("bridge")};
  each_bridge_setting(config, bridge);
  Reader limits{file.table("limits")};
  each_limit(config.limits, limits);
  ZVM_CHECK_OK(file.finish());
  ZVM_CHECK_OK(check(config));
  return config;
}

}  // namespace

Result<Config> load_config(const std::string& path) {
  ZVM_TRY(auto file, ConfigFile::load(path));
  return read_all(std::move(file));
}

Result<Config> parse_config(std::string_view text, std::string name) {
  ZVM_TRY(auto file, ConfigFile::parse(text, std::move(name)));
  return read_all(std::move(file));
}

std::string print_config(const Config& config) {
  Config copy = config;
  Printer printer;
  printer.out = "[bridge]\n";
  each_bridge_setting(copy, printer);
  printer.out += "\n[limits]\n";
  each_limit(copy.limits, printer);
  return printer.out;
}

}  // namespace zvm::bridge
