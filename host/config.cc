#include "host/config.h"

#include <fmt/format.h>

#include "base/config_reader.h"
#include "base/json.h"
#include "base/net.h"

namespace zvm::host {

namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr uint64_t kMaxSessions = 1024;  // one jail uid each

tl::unexpected<Error> refuse(const std::string& path, const std::string& what) {
  return fail(Origin::kHost, Kind::kInvalid, path + ": " + what);
}

// A plain file name: it is put together with the device's folder.
bool is_file_name(std::string_view name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == name.npos;
}

Status check(const Config& c, const std::string& path) {
  const std::pair<const char*, const std::string*> wanted[] = {{"id", &c.id}, {"listen", &c.listen},
      {"key_file", &c.key_file}, {"devices", &c.devices}, {"scratch", &c.scratch},
      {"object_address", &c.object_address}, {"broker_socket", &c.broker_socket}};
  for (const auto& [key, value] : wanted) {
    if (value->empty()) return refuse(path, fmt::format("host.{} is missing", key));
  }
  const std::pair<const char*, const std::string*> folders[] = {{"key_file", &c.key_file},
      {"devices", &c.devices}, {"scratch", &c.scratch}, {"broker_socket", &c.broker_socket},
      {"swift_dir", &c.swift_dir}, {"swift_conf", &c.swift_conf}};
  for (const auto& [key, value] : folders) {
    if (value->front() != '/')
      return refuse(path, fmt::format("host.{} must be an absolute path", key));
  }
  if (!is_file_name(c.spool_name)) return refuse(path, "host.spool_name must be a plain file name");
  if (auto a = parse_address(c.listen); !a)
    return refuse(path, "host.listen: " + std::move(a).error().what());
  if (auto a = parse_address(c.object_address); !a)
    return refuse(path, "host.object_address: " + std::move(a).error().what());
  return {};
}

// TOML's basic strings are written as JSON's.
std::string quoted(const std::string& text) {
  return dump_json(Json(text));
}

}  // namespace

Result<Config> load_config(const std::string& path) {
  Config c;
  ZVM_TRY(auto file, ConfigFile::load(path));
  auto host = file.table("host");
  host.read("id", &c.id);
  host.read("listen", &c.listen);
  host.read("key_file", &c.key_file);
  host.read("devices", &c.devices);
  host.read("swift_dir", &c.swift_dir);
  host.read("swift_conf", &c.swift_conf);
  host.read("object_address", &c.object_address);
  host.read("broker_socket", &c.broker_socket);
  host.read("spool_name", &c.spool_name);
  host.read("scratch", &c.scratch);
  host.read("max_sessions", &c.max_sessions, 1, kMaxSessions);
  host.read_duration("lease", &c.lease, milliseconds(100), hours(1));
  host.read_size("program_cache", &c.program_cache, 0, uint64_t{64} << 30);
  auto limits = file.table("limits");
  limits.read_duration("timeout", &c.caps.timeout, milliseconds(100), hours(24 * 30));
  limits.read_duration("cpu", &c.caps.cpu, seconds(1), hours(24 * 30));
  limits.read_size("memory", &c.caps.memory, uint64_t{1} << 20, uint64_t{1} << 46);
  limits.read_size("max_output", &c.caps.max_output, 1, uint64_t{1} << 50);
  ZVM_CHECK_OK(file.finish({"broker", "bridge"}));
  ZVM_CHECK_OK(check(c, path));
  return c;
}

std::string config_text(const Config& c) {
  return fmt::format(
      "[host]\n"
      "id = {}\n"
      "listen = {}\n"
      "key_file = {}\n"
      "devices = {}\n"
      "swift_dir = {}\n"
      "swift_conf = {}\n"
      "object_address = {}\n"
      "broker_socket = {}\n"
      "spool_name = {}\n"
      "scratch = {}\n"
      "max_sessions = {}\n"
      "lease = \"{}\"\n"
      "program_cache = \"{}\"\n"
      "\n"
      "[limits]\n"
      "timeout = \"{}\"\n"
      "cpu = \"{}\"\n"
      "memory = \"{}\"\n"
      "max_output = \"{}\"\n",
      quoted(c.id), quoted(c.listen), quoted(c.key_file), quoted(c.devices), quoted(c.swift_dir),
      quoted(c.swift_conf), quoted(c.object_address), quoted(c.broker_socket), quoted(c.spool_name),
      quoted(c.scratch), c.max_sessions, duration_text(c.lease), size_text(c.program_cache),
      duration_text(c.caps.timeout), duration_text(c.caps.cpu), size_text(c.caps.memory),
      size_text(c.caps.max_output));
}

}  // namespace zvm::host
