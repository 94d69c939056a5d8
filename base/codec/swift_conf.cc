#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <map>

#include "base/codec/ring.h"
#include "base/digest.h"
#include "base/sys/fd.h"

namespace zvm {

namespace {

constexpr size_t kMaxConf = 1 << 20;
constexpr size_t kMaxPolicies = 1024;

tl::unexpected<Error> bad(std::string what) {
  return fail(Origin::kSwift, Kind::kInvalid, "swift.conf: " + std::move(what));
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

std::string_view trim(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n\f\v";
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == text.npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

using Section = std::map<std::string, std::string>;  // keys in lower case
using Ini = std::map<std::string, Section>;

// The dialect of Python's ConfigParser: '=' or ':', whole-line comments by '#' or ';', an indented
// line continues the value before it, a [DEFAULT] section stands behind all others.
Result<Ini> parse_ini(std::string_view text) {
  Ini ini;
  Section* section = nullptr;
  std::string* value = nullptr;
  size_t number = 0;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view raw = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const std::string where = "line " + std::to_string(++number) + ": ";
    const std::string_view line = trim(raw);
    if (line.empty() || line[0] == '#' || line[0] == ';') continue;
    if (value != nullptr && (raw[0] == ' ' || raw[0] == '\t')) {
      value->append("\n").append(line);
      continue;
    }
    if (line[0] == '[') {
      const size_t close = line.rfind(']');
      if (close == line.npos || close == 1) return bad(where + "no section");
      section = &ini[std::string(line.substr(1, close - 1))];
      value = nullptr;
      continue;
    }
    const size_t delimiter = line.find_first_of("=:");
    if (section == nullptr || delimiter == line.npos || delimiter == 0)
      return bad(where + "neither a section nor a setting");
    value = &(*section)[lower(trim(line.substr(0, delimiter)))];
    *value = trim(line.substr(delimiter + 1));
  }
  if (const auto defaults = ini.find("DEFAULT"); defaults != ini.end()) {
    const Section copy = defaults->second;
    ini.erase(defaults);
    for (auto& [name, keys] : ini) keys.insert(copy.begin(), copy.end());
  }
  return ini;
}

// A value with ConfigParser's interpolation undone: %% is a percent sign. References are refused,
// since a wrong guess at a hash suffix would look in the wrong place for every object.
Result<std::string> value_of(const Section& section, const std::string& key) {
  const auto at = section.find(key);
  if (at == section.end()) return std::string();
  std::string out;
  for (size_t i = 0; i < at->second.size(); ++i) {
    const char c = at->second[i];
    if (c == '%' && at->second.substr(i, 2) != "%%")
      return bad(key + ": a percent sign is written %%; references are not read");
    if (c == '%') ++i;
    out += c;
  }
  return out;
}

bool is_true(const std::string& value) {
  const std::string v = lower(value);
  return v == "true" || v == "1" || v == "yes" || v == "on" || v == "t" || v == "y";
}

Result<SwiftConf::Policy> read_policy(std::string_view index, const Section& section) {
  SwiftConf::Policy policy;
  const std::string where = "[storage-policy:" + std::string(index) + "]: ";
  const auto [end, error] =
      std::from_chars(index.data(), index.data() + index.size(), policy.index);
  if (error != std::errc() || end != index.data() + index.size())
    return bad(where + "the index is no number");
  ZVM_TRY(policy.name, value_of(section, "name"));
  if (policy.name.empty()) return bad(where + "no name");
  ZVM_TRY(const std::string list, value_of(section, "aliases"));
  for (size_t at = 0; at <= list.size();) {
    const size_t comma = std::min(list.find(',', at), list.size());
    const std::string_view alias = trim(std::string_view(list).substr(at, comma - at));
    if (!alias.empty() && alias != policy.name) policy.aliases.emplace_back(alias);
    at = comma + 1;
  }
  ZVM_TRY(const std::string is_default, value_of(section, "default"));
  policy.is_default = is_true(is_default);
  ZVM_TRY(const std::string type, value_of(section, "policy_type"));
  if (!type.empty() && type != "replication" && type != "erasure_coding")
    return bad(where + "policy_type is neither replication nor erasure_coding");
  policy.erasure_coded = type == "erasure_coding";
  return policy;
}

}  // namespace

Result<SwiftConf> SwiftConf::parse(std::string_view text) {
  if (text.size() > kMaxConf) return bad("too long");
  ZVM_TRY(const Ini ini, parse_ini(text));
  SwiftConf conf;
  if (const auto hash = ini.find("swift-hash"); hash != ini.end()) {
    ZVM_TRY(conf.hash_prefix, value_of(hash->second, "swift_hash_path_prefix"));
    ZVM_TRY(conf.hash_suffix, value_of(hash->second, "swift_hash_path_suffix"));
  }
  if (conf.hash_prefix.empty() && conf.hash_suffix.empty())
    return bad("neither swift_hash_path_prefix nor swift_hash_path_suffix in [swift-hash]");

  constexpr std::string_view kPolicy = "storage-policy:";
  for (const auto& [name, section] : ini) {
    if (name.rfind(kPolicy, 0) != 0) continue;
    ZVM_TRY(Policy policy, read_policy(std::string_view(name).substr(kPolicy.size()), section));
    if (conf.policy_at(policy.index) != nullptr) return bad("two policies of one index");
    if (conf.policies.size() == kMaxPolicies) return bad("too many policies");
    conf.policies.push_back(std::move(policy));
  }
  std::sort(conf.policies.begin(), conf.policies.end(),
      [](const Policy& a, const Policy& b) { return a.index < b.index; });
  if (conf.policies.empty()) conf.policies.push_back({0, "Policy-0", {}, true, false});
  if (conf.policies.front().index != 0) return bad("no policy 0");
  const auto defaults = std::count_if(
      conf.policies.begin(), conf.policies.end(), [](const Policy& p) { return p.is_default; });
  if (conf.policies.size() == 1) conf.policies.front().is_default = true;
  if (conf.policies.size() > 1 && defaults != 1) return bad("not exactly one default policy");
  return conf;
}

Result<SwiftConf> SwiftConf::load(const std::string& path) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  if (!file) return fail_errno(path + ": open", errno);
  std::string text(kMaxConf + 1, '\0');
  size_t filled = 0;
  while (filled < text.size()) {
    const ssize_t n = ::read(file.get(), text.data() + filled, text.size() - filled);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno(path + ": read", errno);
    if (n == 0) break;
    filled += static_cast<size_t>(n);
  }
  text.resize(filled);
  auto conf = parse(text);
  if (!conf) return tl::unexpected<Error>(std::move(conf).error().while_doing(path));
  return conf;
}

const SwiftConf::Policy* SwiftConf::policy_named(std::string_view name) const {
  const std::string wanted = lower(name);
  for (const Policy& p : policies) {
    if (lower(p.name) == wanted) return &p;
    for (const std::string& alias : p.aliases)
      if (lower(alias) == wanted) return &p;
  }
  return nullptr;
}

const SwiftConf::Policy* SwiftConf::policy_at(unsigned index) const {
  for (const Policy& p : policies)
    if (p.index == index) return &p;
  return nullptr;
}

std::string hash_path(const SwiftConf& conf, std::string_view account, std::string_view container,
    std::string_view object) {
  std::string text = conf.hash_prefix;
  text.append("/").append(account).append("/").append(container).append("/").append(object);
  return md5_hex(text += conf.hash_suffix);
}

}  // namespace zvm
