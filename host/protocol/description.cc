#include "host/protocol/description.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <span>
#include <string_view>

#include "base/json.h"
#include "base/uri.h"
#include "host/protocol/base64.h"

namespace zvm::protocol {

namespace {

constexpr size_t kMaxDepth = 8;
constexpr size_t kMaxReport = 256 * 1024;  // fits one frame
constexpr size_t kMaxNodeName = 64;
constexpr size_t kMaxDeviceName = 255;
constexpr size_t kMaxPath = 16 * 1024;   // a swift:// URL, every byte escaped
constexpr size_t kMaxObjectName = 4096;  // four times Swift's default
constexpr size_t kMaxAccountName = 1024;
constexpr size_t kMaxHeaderValue = 8192;
constexpr size_t kMaxArgumentCount = 16 * 1024;
constexpr size_t kMaxDetail = 4096;
constexpr size_t kMaxReason = 96;
constexpr uint64_t kMaxBytes = uint64_t{1} << 62;
constexpr uint64_t kMaxMillis = 366ull * 24 * 3600 * 1000;

using Words = std::span<const std::string_view>;

constexpr std::string_view kKinds[] = {"object", "append", "random", "bytes"};
constexpr std::string_view kLocals[] = {"require", "prefer", "never"};
constexpr std::string_view kEnds[] = {"exited", "signalled", "timeout", "cpu-limit",
    "out-of-memory", "output-limit", "refused", "cancelled", "host-fault", "input-lost"};

// Never names of channels: /dev shows them to every program anyway (api.md, What a job finds).
constexpr std::string_view kReserved[] = {"null", "zero", "full", "random", "urandom", "in", "out"};

bool is_name(std::string_view text, size_t max) {
  const auto ok = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  };
  return !text.empty() && text.size() <= max && text != "." && text != ".." &&
         std::all_of(text.begin(), text.end(), ok);
}

bool is_control(char c) {
  return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
}

// What a text may hold.
enum class Form : uint8_t {
  kName,     // letters, digits, '.', '_', '-'; neither "." nor ".."
  kHex,      // lower-case hex digits
  kLine,     // anything but control characters
  kNulFree,  // anything but NUL
};

enum class Empty : uint8_t { kRefuse, kAllow };

bool has_form(std::string_view text, Form form) {
  switch (form) {
    case Form::kName:
      return is_name(text, text.size());
    case Form::kHex:
      return text.find_first_not_of("0123456789abcdef") == text.npos;
    case Form::kLine:
      return std::none_of(text.begin(), text.end(), is_control);
    case Form::kNulFree:
      return text.find('\0') == text.npos;
  }
  return false;
}

const char* form_text(Form form) {
  switch (form) {
    case Form::kName:
      return "letters, digits, '.', '_' and '-' only";
    case Form::kHex:
      return "lower-case hex digits only";
    case Form::kLine:
      return "no control characters";
    case Form::kNulFree:
      return "no NUL";
  }
  return "";
}

// HTTP's header values and with them environments need not be UTF-8, but JSON texts must: such
// bytes travel as {"base64": "…"}.
Json text_json(std::string_view bytes) {
  if (is_utf8(bytes)) return std::string(bytes);
  return Json{{"base64", base64_encode(bytes)}};
}

// The first thing that was wrong with a document.
class Verdict {
 public:
  void refuse(const std::string& where, std::string_view why) {
    if (text_.empty()) text_ = where + ": " + std::string(why);
  }

  bool good() const { return text_.empty(); }

  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

// Reads one JSON object field by field. Whatever is wrong goes to the verdict and the answer is a
// harmless value, so that a decoder reads top to bottom and looks once, at the end. A field that
// nobody asked for is wrong as well: both ends are of one version, so it was never meant for us.
class Fields {
 public:
  Fields(const Json* json, std::string where, Verdict& verdict)
      : where_(std::move(where)), verdict_(&verdict) {
    if (json != nullptr && json->is_object())
      json_ = json;
    else if (json != nullptr)
      verdict_->refuse(where_, "must be an object");
  }

  std::string text(const char* key, Form form, size_t max, Empty empty = Empty::kRefuse) {
    const Json* value = take(key);
    if (value == nullptr) return {};
    return text_of(*value, name_of(key), form, max, empty);
  }

  // Hex of exactly that many digits, or "" where that is allowed.
  std::string digest(const char* key, size_t digits, Empty empty) {
    std::string value = text(key, Form::kHex, digits, empty);
    if (!value.empty() && value.size() != digits)
      refuse(key, "must be " + std::to_string(digits) + " hex digits");
    return value;
  }

  uint64_t number(const char* key, uint64_t min, uint64_t max) {
    const Json* value = take(key);
    if (value == nullptr) return min;
    // nlohmann reads every integer without a sign as unsigned.
    const auto* number = value->get_ptr<const Json::number_unsigned_t*>();
    if (number == nullptr || *number < min || *number > max) {
      refuse(key, "must be an integer from " + std::to_string(min) + " to " + std::to_string(max));
      return min;
    }
    return *number;
  }

  double seconds(const char* key) {
    const Json* value = take(key);
    if (value == nullptr) return 0;
    const double number = value->is_number() ? value->get<double>() : -1;
    if (std::isfinite(number) && number >= 0) return number;
    refuse(key, "must be a number of seconds");
    return 0;
  }

  bool flag(const char* key) {
    const Json* value = take(key);
    if (value == nullptr) return false;
    if (!value->is_boolean()) refuse(key, "must be true or false");
    return value->is_boolean() && value->get<bool>();
  }

  template <class Enum>
  Enum word(const char* key, Words words) {
    const std::string value = text(key, Form::kLine, 32);
    auto at = std::find(words.begin(), words.end(), value);
    if (at == words.end()) {
      refuse(key, "is no word that is known here");
      at = words.begin();
    }
    return static_cast<Enum>(at - words.begin());
  }

  Fields object(const char* key) { return {take(key), name_of(key), *verdict_}; }

  // The elements of a list with their names for messages.
  std::vector<std::pair<const Json*, std::string>> list(const char* key, size_t min, size_t max) {
    std::vector<std::pair<const Json*, std::string>> out;
    const Json* value = take(key);
    if (value == nullptr) return out;
    if (!value->is_array() || value->size() < min || value->size() > max) {
      refuse(key, "must be a list of " + std::to_string(min) + " to " + std::to_string(max));
      return out;
    }
    for (const Json& element : *value)
      out.emplace_back(&element, name_of(key) + "[" + std::to_string(out.size()) + "]");
    return out;
  }

  std::string text_of(
      const Json& value, const std::string& name, Form form, size_t max, Empty empty) {
    const Json* inner = &value;
    std::optional<std::string> decoded;
    if (value.is_object() && value.size() == 1 && form != Form::kName && form != Form::kHex) {
      const auto at = value.find("base64");
      if (at != value.end() && at->is_string())
        decoded = base64_decode(at->get_ref<const std::string&>());
    } else if (inner->is_string()) {
      decoded = inner->get_ref<const std::string&>();
    }
    if (!decoded) {
      verdict_->refuse(name, "must be a text");
    } else if (decoded->size() > max) {
      verdict_->refuse(name, "longer than " + std::to_string(max) + " bytes");
    } else if (decoded->empty() ? empty == Empty::kRefuse : !has_form(*decoded, form)) {
      verdict_->refuse(name, decoded->empty() ? "must not be empty" : form_text(form));
    } else {
      return *std::move(decoded);
    }
    return {};
  }

  // Notes that this object is wrong for a reason of the caller's.
  void refuse(std::string_view key, std::string_view why) { verdict_->refuse(name_of(key), why); }

  // To be called when all fields were asked for: refuses the others.
  void finish() {
    if (json_ == nullptr || json_->size() == taken_.size()) return;
    for (const auto& [key, value] : json_->items())
      if (std::find(taken_.begin(), taken_.end(), key) == taken_.end())
        return verdict_->refuse(where_, "unknown field " + dump_json(Json(key.substr(0, 64))));
  }

 private:
  const Json* take(const char* key) {
    if (json_ == nullptr) return nullptr;
    const auto at = json_->find(key);
    if (at == json_->end()) {
      refuse(key, "missing");
      return nullptr;
    }
    taken_.emplace_back(key);
    return &*at;
  }

  std::string name_of(std::string_view key) const {
    std::string name = where_;
    if (!name.empty()) name += '.';
    return name += key;
  }

  const Json* json_ = nullptr;
  std::string where_;
  Verdict* verdict_;
  std::vector<std::string_view> taken_;
};

Json object_json(const ObjectVersion& o) {
  return {{"account", text_json(o.account)}, {"container", text_json(o.container)},
      {"object", text_json(o.object)}, {"policy", o.policy}, {"timestamp", o.timestamp},
      {"etag", o.etag}, {"length", o.length}, {"content_type", text_json(o.content_type)}};
}

Json channel_json(const Channel& c) {
  Json j = {{"name", c.name}, {"kind", kKinds[static_cast<size_t>(c.kind)]},
      {"declared", c.declared}, {"path", text_json(c.path)}, {"mode", c.mode}};
  switch (c.kind) {
    case Channel::Kind::kObject:
      j["object"] = object_json(c.object);
      j["local"] = kLocals[static_cast<size_t>(c.local)];
      j["remote_reason"] = text_json(c.remote_reason);
      j["device"] = c.device;
      break;
    case Channel::Kind::kAppend:
    case Channel::Kind::kRandom:
      j["max_bytes"] = c.max_bytes;
      break;
    case Channel::Kind::kBytes:
      j["bytes"] = base64_encode(c.bytes);
      break;
  }
  return j;
}

// X-Timestamp in Swift's normal form, %016.5f.
bool is_timestamp(std::string_view t) {
  return t.size() == 16 && t[10] == '.' && t.find_first_not_of("0123456789.") == t.npos &&
         std::count(t.begin(), t.end(), '.') == 1;
}

// An account or a container.
std::string read_segment(Fields& f, const char* key) {
  std::string name = f.text(key, Form::kNulFree, kMaxAccountName);
  if (name.find('/') != std::string::npos) f.refuse(key, "no '/'");
  return name;
}

ObjectVersion read_object(Fields f, Channel::Local local) {
  ObjectVersion o;
  o.account = read_segment(f, "account");
  o.container = read_segment(f, "container");
  o.object = f.text("object", Form::kNulFree, kMaxObjectName);
  o.policy = static_cast<unsigned>(f.number("policy", 0, std::numeric_limits<uint16_t>::max()));
  o.timestamp = f.text("timestamp", Form::kLine, 16);
  if (!is_timestamp(o.timestamp)) f.refuse("timestamp", "must look like 1795352857.15555");
  if (local == Channel::Local::kNever) {
    // Read through Swift by If-Match alone: manifests have ETags of other forms, or none.
    o.etag = f.text("etag", Form::kLine, 128, Empty::kAllow);
  } else {
    o.etag = f.digest("etag", 32, Empty::kRefuse);
  }
  o.length = f.number("length", 0, kMaxBytes);
  o.content_type = f.text("content_type", Form::kLine, kMaxHeaderValue, Empty::kAllow);
  f.finish();
  return o;
}

std::string read_base64(Fields& f, const char* key) {
  auto bytes = base64_decode(f.text(key, Form::kLine, kMaxDescription, Empty::kAllow));
  if (!bytes) f.refuse(key, "must be base64");
  return std::move(bytes).value_or(std::string());
}

Channel read_channel(Fields f) {
  Channel c;
  c.name = f.text("name", Form::kName, kMaxDeviceName);
  if (std::find(std::begin(kReserved), std::end(kReserved), c.name) != std::end(kReserved))
    f.refuse("name", "is reserved");
  c.kind = f.word<Channel::Kind>("kind", kKinds);
  c.declared = f.flag("declared");
  c.path = f.text("path", Form::kNulFree, kMaxPath, Empty::kAllow);
  if (!c.path.empty() && c.path.rfind("swift://", 0) != 0) f.refuse("path", "must be swift://…");
  c.mode = f.text("mode", Form::kLine, 64, Empty::kAllow);
  switch (c.kind) {
    case Channel::Kind::kObject:
      c.local = f.word<Channel::Local>("local", kLocals);
      c.object = read_object(f.object("object"), c.local);
      c.remote_reason = f.text("remote_reason", Form::kLine, kMaxReason, Empty::kAllow);
      c.device = f.text("device", Form::kName, kMaxDeviceName, Empty::kAllow);
      break;
    case Channel::Kind::kAppend:
    case Channel::Kind::kRandom:
      c.max_bytes = f.number("max_bytes", 0, kMaxBytes);
      break;
    case Channel::Kind::kBytes:
      c.bytes = read_base64(f, "bytes");
      break;
  }
  f.finish();
  return c;
}

Program read_program(Fields f) {
  Program p;
  p.image = f.text("image", Form::kName, kMaxNodeName);
  p.path = f.text("path", Form::kNulFree, 4095, Empty::kAllow);
  if (!p.path.empty() && p.path[0] != '/') f.refuse("path", "must be absolute in the image");
  const bool by_bytes = p.path.empty();
  p.sha256 = f.digest("sha256", 64, by_bytes ? Empty::kRefuse : Empty::kAllow);
  p.size = f.number("size", by_bytes ? 1 : 0, by_bytes ? kMaxProgram : 0);
  if (!by_bytes && !p.sha256.empty()) f.refuse("sha256", "belongs to a program without path");
  f.finish();
  return p;
}

void read_arguments(Fields& f, Description& d) {
  size_t total = 0;
  for (const auto& [value, name] : f.list("argv", 1, kMaxArgumentCount)) {
    d.argv.push_back(f.text_of(*value, name, Form::kNulFree, kMaxArguments, Empty::kAllow));
    total += d.argv.back().size() + 1;
  }
  for (const auto& [pair, name] : f.list("env", 0, kMaxArgumentCount)) {
    if (!pair->is_array() || pair->size() != 2) return f.refuse("env", "must be a list of pairs");
    std::string key = f.text_of((*pair)[0], name, Form::kNulFree, kMaxArguments, Empty::kRefuse);
    if (key.find('=') != std::string::npos) f.refuse("env", "a name with '='");
    std::string value = f.text_of((*pair)[1], name, Form::kNulFree, kMaxArguments, Empty::kAllow);
    total += key.size() + value.size() + 2;
    d.env.emplace_back(std::move(key), std::move(value));
  }
  if (total > kMaxArguments)
    f.refuse("argv", "and env together are longer than " + std::to_string(kMaxArguments));
}

void read_channels(Fields& f, Verdict& verdict, Description& d) {
  std::vector<std::string_view> names;
  for (const auto& [value, name] : f.list("channels", 0, kMaxChannels))
    d.channels.push_back(read_channel(Fields(value, name, verdict)));
  names.reserve(d.channels.size());
  for (const Channel& c : d.channels) names.push_back(c.name);
  std::sort(names.begin(), names.end());
  if (std::adjacent_find(names.begin(), names.end()) != names.end())
    f.refuse("channels", "two of one name");
}

tl::unexpected<Error> refused(std::string_view what, const Verdict& verdict) {
  return fail(Origin::kClient, Kind::kInvalid, std::string(what) + ": " + verdict.text());
}

// One line for people, short enough for a report to fit one frame whatever stands in it.
std::string line(std::string_view text, size_t max) {
  std::string out(text.substr(0, max));
  std::replace_if(out.begin(), out.end(), is_control, ' ');
  return out;
}

double finite(double seconds) {
  return std::isfinite(seconds) && seconds > 0 ? seconds : 0;
}

ChannelReport read_channel_report(Fields f) {
  ChannelReport c;
  c.name = f.text("name", Form::kName, kMaxDeviceName);
  c.locality = f.text("locality", Form::kName, 16, Empty::kAllow);
  c.reason = f.text("reason", Form::kLine, 4 * kMaxReason, Empty::kAllow);
  c.bytes_read = f.number("bytes_read", 0, UINT64_MAX);
  c.bytes_written = f.number("bytes_written", 0, UINT64_MAX);
  c.reads = f.number("reads", 0, UINT64_MAX);
  c.writes = f.number("writes", 0, UINT64_MAX);
  c.counted = f.text("counted", Form::kName, 16, Empty::kAllow);
  c.size = f.number("size", 0, kMaxBytes);
  c.md5 = f.digest("md5", 32, Empty::kAllow);
  c.sha256 = f.digest("sha256", 64, Empty::kAllow);
  f.finish();
  return c;
}

}  // namespace

std::string ObjectVersion::swift_url() const {
  return "swift://" + percent_encode(account, "") + "/" + percent_encode(container, "") + "/" +
         percent_encode(object, "/");
}

std::string ObjectVersion::path() const {
  return "/" + account + "/" + container + "/" + object;
}

std::string to_json(const Description& d) {
  Json argv = Json::array();
  for (const std::string& a : d.argv) argv.push_back(text_json(a));
  Json env = Json::array();
  for (const auto& [key, value] : d.env)
    env.push_back(Json::array({text_json(key), text_json(value)}));
  Json channels = Json::array();
  for (const Channel& c : d.channels) channels.push_back(channel_json(c));
  return dump_json(
      {{"version", d.version}, {"job", d.job}, {"node", d.node}, {"account", text_json(d.account)},
          {"program", {{"image", d.program.image}, {"path", text_json(d.program.path)},
                          {"sha256", d.program.sha256}, {"size", d.program.size}}},
          {"policy", d.policy}, {"argv", std::move(argv)}, {"env", std::move(env)},
          {"channels", std::move(channels)}, {"timeout_ms", d.timeout.count()},
          {"memory", d.memory}, {"cpu_ms", d.cpu.count()}});
}

Result<Description> description_from_json(std::string_view text) {
  ZVM_TRY(const Json json, parse_json(text, {kMaxDescription, kMaxDepth}));
  Verdict verdict;
  Fields f(&json, "", verdict);
  Description d;
  d.version = static_cast<int>(f.number("version", 0, INT32_MAX));
  // Said before the rest is looked at: another version may have other fields.
  if (verdict.good() && d.version != kVersion)
    return fail(Origin::kClient, Kind::kInvalid,
        "description: version " + std::to_string(d.version) + ", this host speaks " +
            std::to_string(kVersion));
  d.job = f.text("job", Form::kName, kMaxNodeName);
  d.node = f.text("node", Form::kName, kMaxNodeName);
  d.account = read_segment(f, "account");
  d.program = read_program(f.object("program"));
  d.policy = f.text("policy", Form::kName, 16, Empty::kAllow);
  if (!d.policy.empty() && d.policy != "compute" && d.policy != "image")
    f.refuse("policy", "must be compute, image or empty");
  read_arguments(f, d);
  read_channels(f, verdict, d);
  d.timeout = std::chrono::milliseconds(f.number("timeout_ms", 1, kMaxMillis));
  d.memory = f.number("memory", 1, kMaxBytes);
  d.cpu = std::chrono::milliseconds(f.number("cpu_ms", 1, kMaxMillis));
  f.finish();
  if (!verdict.good()) return refused("description", verdict);
  return d;
}

std::string to_json(const NodeReport& r) {
  Json channels = Json::array();
  for (const ChannelReport& c : r.channels)
    channels.push_back({{"name", c.name}, {"locality", c.locality},
        {"reason", line(c.reason, kMaxReason)}, {"bytes_read", c.bytes_read},
        {"bytes_written", c.bytes_written}, {"reads", c.reads}, {"writes", c.writes},
        {"counted", c.counted}, {"size", c.size}, {"md5", c.md5}, {"sha256", c.sha256}});
  return dump_json({{"end", kEnds[static_cast<size_t>(r.end)]}, {"exit_code", r.exit_code & 0xff},
      {"signal", r.signal & 0xff}, {"detail", line(r.detail, kMaxDetail)},
      {"validation", r.validation}, {"wall", finite(r.wall)}, {"cpu_user", finite(r.cpu_user)},
      {"cpu_system", finite(r.cpu_system)}, {"memory_peak", r.memory_peak}, {"device", r.device},
      {"channels", std::move(channels)}});
}

Result<NodeReport> report_from_json(std::string_view text) {
  ZVM_TRY(const Json json, parse_json(text, {kMaxReport, kMaxDepth}));
  Verdict verdict;
  Fields f(&json, "", verdict);
  NodeReport r;
  r.end = f.word<End>("end", kEnds);
  r.exit_code = static_cast<int>(f.number("exit_code", 0, 255));
  r.signal = static_cast<int>(f.number("signal", 0, 255));
  // A replaced byte takes three: what was cut at kMaxDetail may have grown.
  r.detail = f.text("detail", Form::kLine, 3 * kMaxDetail, Empty::kAllow);
  r.validation = static_cast<unsigned>(f.number("validation", 0, 2));
  r.wall = f.seconds("wall");
  r.cpu_user = f.seconds("cpu_user");
  r.cpu_system = f.seconds("cpu_system");
  r.memory_peak = f.number("memory_peak", 0, UINT64_MAX);
  r.device = f.text("device", Form::kName, kMaxDeviceName, Empty::kAllow);
  for (const auto& [value, name] : f.list("channels", 0, kMaxChannels))
    r.channels.push_back(read_channel_report(Fields(value, name, verdict)));
  f.finish();
  if (!verdict.good()) return refused("report", verdict);
  return r;
}

std::string NodeReport::status_text() const {
  switch (end) {
    case End::kExited:
      return "ok";
    case End::kSignalled:
      return "signal " + std::to_string(signal);
    case End::kTimeout:
      return "session timeout";
    case End::kCpuLimit:
      return "cpu limit";
    case End::kOutOfMemory:
      return "out of memory";
    case End::kOutputLimit:
      return "output limit";
    case End::kRefused:
      return "ZeroVM did not run";
    case End::kCancelled:
      return "cancelled";
    case End::kHostFault:
      return "host lost";
    case End::kInputLost:
      return "input lost";
  }
  return "";
}

}  // namespace zvm::protocol
