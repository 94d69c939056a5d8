#include "loader/broker_config.h"

#include "base/config_reader.h"

namespace zvm::loader {

namespace {

Status check(const BrokerConfig& c) {
  const auto invalid = [](std::string what) {
    return fail(Origin::kHost, Kind::kInvalid, std::move(what));
  };
  if (c.socket.empty() || c.socket[0] != '/')
    return invalid("broker.socket must be an absolute path");
  if (c.user.empty()) return invalid("broker.user must name a user");
  if (c.devices.empty() || c.devices[0] != '/')
    return invalid("broker.devices must be an absolute path");
  if (!c.loader.empty() && c.loader[0] != '/')
    return invalid("broker.loader must be an absolute path");
  if (c.max_jails > c.uid_count) return invalid("broker.max_jails is more than broker.uid_count");
  return {};
}

Result<BrokerConfig> read(ConfigFile file) {
  BrokerConfig c;
  auto t = file.table("broker");
  t.read("socket", &c.socket);
  t.read("user", &c.user);
  t.read("devices", &c.devices);
  t.read("loader", &c.loader);
  // Up to INT32_MAX: some file systems and tools take a uid for a signed number.
  t.read("uid_first", &c.uid_first, 65'536, 2'147'000'000);
  t.read("uid_count", &c.uid_count, 1, 400'000);
  t.read("max_jails", &c.max_jails, 1, 65'536);
  ZVM_CHECK_OK(file.finish({"host", "limits", "bridge", "images"}));
  ZVM_CHECK_OK(check(c));
  return c;
}

std::string quoted(const std::string& s) {
  std::string out = "\"";
  for (const char ch : s) {
    if (ch == '"' || ch == '\\') out += '\\';
    out += ch;
  }
  return out + '"';
}

}  // namespace

Result<BrokerConfig> load_broker_config(const std::string& path) {
  ZVM_TRY(auto file, ConfigFile::load(path));
  return read(std::move(file));
}

Result<BrokerConfig> parse_broker_config(std::string_view text, std::string name) {
  ZVM_TRY(auto file, ConfigFile::parse(text, std::move(name)));
  return read(std::move(file));
}

std::string print_broker_config(const BrokerConfig& c) {
  return "[broker]\nsocket = " + quoted(c.socket) + "\nuser = " + quoted(c.user) +
         "\ndevices = " + quoted(c.devices) + "\nloader = " + quoted(c.loader) +
         "\nuid_first = " + std::to_string(c.uid_first) +
         "\nuid_count = " + std::to_string(c.uid_count) +
         "\nmax_jails = " + std::to_string(c.max_jails) + "\n";
}

}  // namespace zvm::loader
