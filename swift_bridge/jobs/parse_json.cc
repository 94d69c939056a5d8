#include <cmath>
#include <limits>
#include <set>

#include "base/config_reader.h"
#include "base/json.h"
#include "swift_bridge/jobs/parse.h"
#include "swift_bridge/jobs/text.h"

namespace zvm::bridge {

namespace {

using protocol::Channel;

// stdout and stderr are always there, declared or not.
constexpr size_t kMaxDevices = protocol::kMaxChannels - 2;
// Swift's own defaults (swift/common/constraints.py): found out before the job runs, not at its
// PUT.
constexpr size_t kMaxMetaName = 128, kMaxMetaValue = 256, kMaxMetaCount = 90;
constexpr uint64_t kLeastMemory = 1 << 20;

tl::unexpected<Refusal> pass_on(Refusal&& refusal) {
  return tl::unexpected<Refusal>(std::move(refusal));
}

// The member, or null when it is absent or JSON null.
const Json* member(const Json& object, const char* key) {
  const auto it = object.find(key);
  return it == object.end() || it->is_null() ? nullptr : &*it;
}

const std::string* text_of(const Json* value) {
  return value == nullptr ? nullptr : value->get_ptr<const std::string*>();
}

bool has_scheme(std::string_view url, std::string_view scheme) {
  return url.substr(0, scheme.size()) == scheme;
}

struct FixedDevice {
  std::string_view name;
  Device::Access access;
  Channel::Kind kind;
};

constexpr FixedDevice kFixedDevices[] = {
    {"stdin", Device::Access::kRead, Channel::Kind::kObject},
    {"input", Device::Access::kRead, Channel::Kind::kObject},
    {"script", Device::Access::kRead, Channel::Kind::kObject},
    {"stdout", Device::Access::kWrite, Channel::Kind::kAppend},
    {"stderr", Device::Access::kWrite, Channel::Kind::kAppend},
    {"output", Device::Access::kWrite, Channel::Kind::kRandom},
};

const FixedDevice* fixed_device(std::string_view name) {
  for (const FixedDevice& f : kFixedDevices)
    if (f.name == name) return &f;
  return nullptr;
}

// What a jail's /dev holds anyway (docs/api.md, "What a job finds").
bool is_reserved(std::string_view name) {
  for (const std::string_view taken : {"null", "zero", "full", "random", "urandom", "in", "out"})
    if (name == taken) return true;
  return false;
}

class JobParser {
 public:
  JobParser(const std::string& account, const Limits& limits)
      : account_(account), limits_(limits) {}

  Outcome<Job> run(const Json& root);

 private:
  Outcome<Node> parse_node(const Json& object);
  Outcome<void> parse_name(const Json& object, Node* node);
  Outcome<void> parse_exec(const Json& object, Node* node);
  Outcome<void> parse_exec_path(const std::string& url, Node* node);
  Outcome<void> parse_env(const Json& exec, Node* node);
  Outcome<void> parse_groups(const Json& object);
  Outcome<void> parse_limits(const Json& object, Node* node);
  Outcome<void> parse_switches(const Json& object, Node* node);
  Outcome<void> parse_devices(const Json& object, Node* node);
  Outcome<void> parse_device(const Json& object, Node* node);
  Outcome<void> parse_access(const Json& object, bool has_path, Device* device);
  Outcome<void> parse_path(const std::string& url, Device* device, const Node& node);
  Outcome<void> parse_output(const Json& object, Device* device);
  Outcome<void> parse_meta(const Json& object, Device* device);
  Outcome<void> choose_answer(Node* node);
  Outcome<void> choose_attach(const Json& object, Node* node);

  Outcome<void> seconds(const Json& object, const char* key, std::chrono::milliseconds cap,
      std::chrono::milliseconds* into);
  Outcome<void> bytes(
      const Json& object, const char* key, uint64_t least, uint64_t cap, uint64_t* into);
  Outcome<void> boolean(const Json& object, const char* key, bool* into);

  tl::unexpected<Refusal> wrong(std::string detail) const {
    return refuse(400, std::move(detail), node_);
  }

  // Kept until the whole job has been read: what is wrong is told before what is missing.
  void note_unsupported(std::string what) {
    if (!unsupported_)
      unsupported_ = Refusal{501, std::move(what) + " is not supported by this version", node_, {}};
  }

  const std::string& account_;
  const Limits& limits_;
  std::string node_;                // the name of the node being read
  std::set<std::string> declared_;  // its devices, those that do nothing included
  std::optional<Refusal> unsupported_;
};

Outcome<Job> JobParser::run(const Json& root) {
  if (!root.is_array())
    return refuse(400, "Config parser internal error: a job is an array of nodes");
  if (root.empty()) return refuse(400, "Config parser cannot resolve any job nodes");
  Job job;
  job.account = account_;
  std::set<std::string> names;
  for (const Json& object : root) {
    node_.clear();
    if (!object.is_object())
      return refuse(400, "Config parser internal error: a node is an object");
    auto node = parse_node(object);
    if (!node) return pass_on(std::move(node).error());
    if (!names.insert(node->name).second) return wrong("Two nodes are named " + node->name);
    job.nodes.push_back(*std::move(node));
  }
  node_.clear();
  if (job.nodes.size() > 1) note_unsupported("A job of more than one node group");
  if (unsupported_) return pass_on(*std::move(unsupported_));
  return job;
}

Outcome<Node> JobParser::parse_node(const Json& object) {
  Node node;
  declared_.clear();
  if (auto ok = parse_name(object, &node); !ok) return pass_on(std::move(ok).error());
  if (auto ok = parse_exec(object, &node); !ok) return pass_on(std::move(ok).error());
  if (auto ok = parse_groups(object); !ok) return pass_on(std::move(ok).error());
  if (auto ok = parse_limits(object, &node); !ok) return pass_on(std::move(ok).error());
  if (auto ok = parse_switches(object, &node); !ok) return pass_on(std::move(ok).error());
  if (auto ok = parse_devices(object, &node); !ok) return pass_on(std::move(ok).error());
  if (auto ok = choose_answer(&node); !ok) return pass_on(std::move(ok).error());
  if (auto ok = choose_attach(object, &node); !ok) return pass_on(std::move(ok).error());
  return node;
}

Outcome<void> JobParser::parse_name(const Json& object, Node* node) {
  const std::string* name = text_of(member(object, "name"));
  if (name == nullptr || name->empty()) return wrong("Must specify node name");
  if (!is_name(*name))
    return wrong("Invalid node name " + printable(*name, kMaxNodeName) +
                 ": 1 to 64 letters, digits, dots, underscores and dashes");
  node->name = node_ = *name;
  return {};
}

Outcome<void> JobParser::parse_exec(const Json& object, Node* node) {
  const Json* exec = member(object, "exec");
  if (exec == nullptr || !exec->is_object() || exec->empty())
    return wrong("Must specify exec stanza for " + node->name);
  const std::string* url = text_of(member(*exec, "path"));
  if (url == nullptr) return wrong("Must specify executable path for " + node->name);
  if (auto ok = parse_exec_path(*url, node); !ok) return ok;

  const auto invalid = [&](const std::string& why) {
    return wrong("Invalid nexe property for " + node->name + ": " + why);
  };
  node->exec.name = node->name;
  if (const Json* name = member(*exec, "name")) {
    const std::string* text = text_of(name);
    if (text == nullptr || text->empty() || text->size() > 4095 || has_control(*text))
      return invalid("exec.name is a text without control characters");
    node->exec.name = *text;
  }
  node->exec.argv.push_back(node->exec.name);
  if (const Json* args = member(*exec, "args")) {
    const std::string* text = text_of(args);
    if (text == nullptr || has_control(*text))
      return invalid("exec.args is one text without control characters");
    auto words = split_arguments(*text);
    if (!words) return invalid("exec.args: " + words.error().detail);
    for (std::string& w : *words) node->exec.argv.push_back(std::move(w));
  }
  return parse_env(*exec, node);
}

Outcome<void> JobParser::parse_exec_path(const std::string& url, Node* node) {
  Exec& exec = node->exec;
  exec.url = url;
  if (has_control(url))
    return wrong("Invalid nexe property for " + node->name + ": exec.path has control characters");
  if (has_scheme(url, "zvm://"))
    return wrong("Executable path cannot be a zvm path in " + node->name);
  if (has_scheme(url, "swift://")) {
    auto object = parse_swift_url(url, account_);
    if (!object || object->object.empty())
      return wrong("Invalid path " + printable(url) + " in " + node->name);
    exec.kind = Exec::Kind::kObject;
    exec.object = *std::move(object);
    return {};
  }
  if (!has_scheme(url, "file://")) return wrong("Must specify executable path for " + node->name);
  const std::string rest = url.substr(7);
  const size_t colon = rest.find(':');
  exec.image = colon == rest.npos ? "image" : rest.substr(0, colon);
  exec.path = colon == rest.npos ? rest : rest.substr(colon + 1);
  if (exec.path.empty() || exec.path.size() > 4095 || !is_name(exec.image))
    return wrong(
        "Invalid path " + printable(url) + " in " + node->name + ": file://<image>:<path>");
  if (exec.path.front() != '/') exec.path.insert(0, 1, '/');
  if (exec.image == "image")
    note_unsupported("A program of the job's own image (exec.path " + printable(url) + ")");
  return {};
}

Outcome<void> JobParser::parse_env(const Json& exec, Node* node) {
  const Json* env = member(exec, "env");
  if (env == nullptr) return {};
  const auto invalid = [&](const std::string& why) {
    return wrong("Invalid nexe property for " + node->name + ": " + why);
  };
  if (!env->is_object()) return invalid("exec.env is an object of texts");
  for (const auto& [name, value] : env->items()) {
    if (name.empty() || name.find('=') != name.npos || has_control(name))
      return invalid("bad name in exec.env: " + printable(name));
    std::string text;
    if (const std::string* s = text_of(&value))
      text = *s;
    else if (value.is_number() || value.is_boolean())
      text = dump_json(value);
    else if (!value.is_null())
      return invalid("exec.env." + printable(name) + " is not a text");
    if (has_control(text))
      return invalid("exec.env." + printable(name) + " has control characters");
    if (!text.empty()) node->exec.env.emplace_back(name, std::move(text));
  }
  return {};
}

// Keys that multiply nodes or join them.
Outcome<void> JobParser::parse_groups(const Json& object) {
  if (const Json* count = member(object, "count")) {
    if (!count->is_number_integer() || *count < 1)
      return wrong("Invalid node count: " + printable(dump_json(*count)));
    if (*count > 1) note_unsupported("The key \"count\" above 1");
  }
  if (const Json* replicate = member(object, "replicate")) {
    if (!replicate->is_number_integer() || *replicate < 0 || *replicate > 3)
      return wrong("replicate of " + node_ + " must be 0, 1, 2 or 3");
    if (*replicate > 1) note_unsupported("The key \"replicate\" above 1");
  }
  if (const Json* connect = member(object, "connect")) {
    if (!connect->is_array())
      return wrong("connect of " + node_ + " must be an array of node names");
    for (const Json& name : *connect)
      if (!name.is_string())
        return wrong("connect of " + node_ + " must be an array of node names");
    if (!connect->empty()) note_unsupported("The key \"connect\"");
  }
  if (const Json* location = member(object, "location");
      location != nullptr && !location->is_string())
    return wrong("location of " + node_ + " must be a text");
  return {};
}

Outcome<void> JobParser::parse_limits(const Json& object, Node* node) {
  apply_defaults(limits_, node);
  if (auto ok = seconds(object, "timeout", limits_.timeout_cap, &node->timeout); !ok) return ok;
  node->cpu = std::min(node->timeout, limits_.cpu_cap);
  if (auto ok = seconds(object, "cpu", limits_.cpu_cap, &node->cpu); !ok) return ok;
  if (auto ok = bytes(object, "memory", kLeastMemory, limits_.memory_cap, &node->memory); !ok)
    return ok;
  return bytes(object, "max_output", 0, limits_.max_output_cap, &node->max_output);
}

Outcome<void> JobParser::parse_switches(const Json& object, Node* node) {
  if (auto ok = boolean(object, "keep_partial", &node->keep_partial); !ok) return ok;
  bool pipefail = true;  // of no effect on a node without pipes
  if (auto ok = boolean(object, "pipefail", &pipefail); !ok) return ok;
  bool deterministic = false;
  if (auto ok = boolean(object, "deterministic", &deterministic); !ok) return ok;
  if (deterministic) note_unsupported("The key \"deterministic\": true");
  if (member(object, "time") != nullptr)
    note_unsupported("The key \"time\" (the clock of deterministic mode)");
  const Json* policy = member(object, "policy");
  if (policy == nullptr) return {};
  const std::string* text = text_of(policy);
  if (text == nullptr || (*text != "compute" && *text != "image" && *text != "runtime"))
    return wrong("policy of " + node_ + " must be compute, image or runtime");
  if (*text == "runtime") note_unsupported("The policy \"runtime\"");
  node->policy = *text;
  return {};
}

Outcome<void> JobParser::parse_devices(const Json& object, Node* node) {
  // The old name wins where both stand.
  const Json* list = member(object, object.contains("file_list") ? "file_list" : "devices");
  if (list == nullptr) return {};
  if (!list->is_array())
    return wrong("Config parser internal error: the devices of " + node_ + " are an array");
  if (list->size() > kMaxDevices)
    return wrong("A node has at most " + std::to_string(kMaxDevices) + " devices");
  for (const Json& device : *list) {
    if (!device.is_object())
      return wrong("Config parser internal error: a device of " + node_ + " is an object");
    if (auto ok = parse_device(device, node); !ok) return ok;
  }
  return {};
}

Outcome<void> JobParser::parse_device(const Json& object, Node* node) {
  const std::string* name = text_of(member(object, object.contains("device") ? "device" : "name"));
  if (name == nullptr || name->empty()) return wrong("Must specify device for file in " + node_);
  if (!is_name(*name)) return wrong("Bad device name: " + printable(*name, 64) + " in " + node_);
  if (is_reserved(*name))
    return wrong(
        "Bad device name: " + *name + " in " + node_ + ": every jail has its own /dev/" + *name);
  if (!declared_.insert(*name).second)
    return wrong("Device " + *name + " stands twice in " + node_);

  const Json* path = member(object, "path");
  const std::string* url = text_of(path);
  if (path != nullptr && url == nullptr)
    return wrong("Invalid path of device " + *name + " in " + node_);
  const bool has_path = url != nullptr && !url->empty();

  Device device;
  device.name = *name;
  // A device named after the program's image selects nothing: exec.path does.
  if (!has_path && node->exec.kind == Exec::Kind::kImage && *name == node->exec.image) return {};
  if (!has_path && node->exec.kind == Exec::Kind::kObject && *name == "host") return {};
  if (*name == "image" && has_path) {
    note_unsupported("The device \"image\"");
    return {};
  }
  if (*name == "debug" && has_path && (has_scheme(*url, "tcp://") || has_scheme(*url, "udp://"))) {
    note_unsupported("The device \"debug\" (a jail has no network)");
    return {};
  }
  if (auto ok = parse_access(object, has_path, &device); !ok) return ok;
  if (has_path) {
    device.url = *url;
    if (auto ok = parse_path(*url, &device, *node); !ok) return ok;
  } else if (*name == "stdin") {
    return {};  // the job itself was the request's body, so nothing is left to read: /dev/null
  }
  if (auto ok = parse_output(object, &device); !ok) return ok;
  node->devices.push_back(std::move(device));
  return {};
}

Outcome<void> JobParser::parse_access(const Json& object, bool has_path, Device* device) {
  const std::string& name = device->name;
  const FixedDevice* fixed = fixed_device(name);
  if (!has_path) {
    if (name == "output") return wrong("Immediate response is not available for device output");
    if (fixed == nullptr || (fixed->access == Device::Access::kRead && name != "stdin"))
      return wrong("Could not resolve channel path \"\" for device: " + name);
  }
  if (fixed != nullptr) {
    device->access = fixed->access;
    device->kind = fixed->kind;
  }
  if (const Json* access = member(object, "access")) {
    const std::string* text = text_of(access);
    if (text == nullptr || (*text != "read" && *text != "write"))
      return wrong("access of device " + name + " in " + node_ + " must be read or write");
    const auto wanted = *text == "read" ? Device::Access::kRead : Device::Access::kWrite;
    if (fixed != nullptr && wanted != fixed->access)
      return wrong("access of device " + name + " in " + node_ + " cannot be " + *text);
    if (fixed == nullptr && wanted == Device::Access::kWrite) {
      device->access = wanted;
      device->kind = Channel::Kind::kRandom;
    }
  }
  return {};
}

Outcome<void> JobParser::parse_path(const std::string& url, Device* device, const Node& node) {
  const bool reads = device->access == Device::Access::kRead;
  const auto invalid = [&] { return wrong("Invalid path " + printable(url) + " in " + node_); };
  if (has_control(url)) return invalid();
  if (!has_scheme(url, "swift://")) {
    if (reads)
      return wrong("Readable device must be a swift object: " + device->name + " in " + node_);
    if (!has_scheme(url, "zvm://")) return invalid();
    note_unsupported("A pipe to another node (zvm://)");
    return {};
  }
  const size_t star = url.find('*');
  if (star != url.npos && url.find('/', 8) > star) return invalid();  // in the account
  std::string resolved = url;
  if (star != url.npos) {
    if (reads) note_unsupported("A wildcard in a path to read");
    // Without a wildcard among the inputs a star is the node's name.
    for (size_t at = star; at != resolved.npos; at = resolved.find('*', at + node.name.size()))
      resolved.replace(at, 1, node.name);
  }
  auto path = parse_swift_url(resolved, account_);
  if (!path || path->container.empty()) return invalid();
  if (path->object.empty()) {
    if (!reads) return wrong("Container path must be read-only");
    note_unsupported("A container as an input");
  }
  device->path = *std::move(path);
  return {};
}

Outcome<void> JobParser::parse_output(const Json& object, Device* device) {
  if (const Json* mode = member(object, "mode")) {
    const std::string* text = text_of(mode);
    if (text == nullptr ||
        (*text != "file" && *text != "char" && *text != "pipe" && *text != "block"))
      return wrong(
          "mode of device " + device->name + " in " + node_ + " must be file, char, pipe or block");
    device->mode = *text;
  }
  if (device->access == Device::Access::kRead) return {};

  device->content_type = device->path ? "application/octet-stream" : "text/html";
  if (const Json* type = member(object, "content_type")) {
    const std::string* text = text_of(type);
    if (text == nullptr || trim(*text).empty() || text->size() > 256 || has_control(*text))
      return wrong("Invalid content_type of device " + device->name + " in " + node_);
    device->content_type = trim(*text);
  }
  if (const Json* least = member(object, "min_size")) {
    if (!least->is_number_unsigned())
      return wrong(
          "min_size of device " + device->name + " in " + node_ + " must be a number of bytes");
    device->min_size = least->get<uint64_t>();
  }
  return parse_meta(object, device);
}

Outcome<void> JobParser::parse_meta(const Json& object, Device* device) {
  const Json* meta = member(object, "meta");
  if (meta == nullptr) return {};
  const std::string where = "meta of device " + device->name + " in " + node_;
  if (!meta->is_object() || meta->size() > kMaxMetaCount)
    return wrong(
        where + " must be an object of at most " + std::to_string(kMaxMetaCount) + " texts");
  for (const auto& [name, value] : meta->items()) {
    const std::string* text = text_of(&value);
    if (!is_token(name) || name.size() > kMaxMetaName || text == nullptr ||
        text->size() > kMaxMetaValue || has_control(*text))
      return wrong(where + ": " + printable(name, 64) + " cannot be an X-Object-Meta header");
    device->meta.emplace_back(name, *text);
  }
  return {};
}

Outcome<void> JobParser::choose_answer(Node* node) {
  for (size_t i = 0; i < node->devices.size(); ++i) {
    const Device& d = node->devices[i];
    if (d.access != Device::Access::kWrite || !d.url.empty()) continue;
    if (node->answer)
      return wrong(
          "Only one output can be the answer: give " + d.name + " of " + node_ + " a path");
    node->answer = i;
  }
  return {};
}

Outcome<void> JobParser::choose_attach(const Json& object, Node* node) {
  std::string wanted = "default";
  if (const Json* attach = member(object, "attach")) {
    const std::string* text = text_of(attach);
    if (text == nullptr) return wrong("attach of " + node_ + " must be the name of a device");
    wanted = *text;
  }
  const auto first = [&](auto&& fits) -> std::optional<size_t> {
    for (size_t i = 0; i < node->devices.size(); ++i)
      if (node->devices[i].path && fits(node->devices[i])) return i;
    return std::nullopt;
  };
  if (wanted != "default") {
    if (declared_.count(wanted) == 0)
      return wrong("attach names no device of " + node_ + ": " + printable(wanted, 64));
    node->attach = first([&](const Device& d) { return d.name == wanted; });
    return {};
  }
  node->attach = first([](const Device& d) { return d.reads_object() && d.name != "script"; });
  if (!node->attach) node->attach = first([](const Device& d) { return d.is_stored(); });
  return {};
}

Outcome<void> JobParser::seconds(const Json& object, const char* key, std::chrono::milliseconds cap,
    std::chrono::milliseconds* into) {
  const Json* value = member(object, key);
  if (value == nullptr) return {};
  const double s = value->is_number() ? value->get<double>() : 0;
  if (!std::isfinite(s) || s < 0.001)
    return wrong(std::string(key) + " of " + node_ + " must be a number of seconds above 0");
  if (s * 1000 > static_cast<double>(cap.count()))
    return wrong(std::string(key) + " of " + node_ + " is at most " + duration_text(cap) + " here");
  *into = std::chrono::milliseconds(std::llround(s * 1000));
  return {};
}

Outcome<void> JobParser::bytes(
    const Json& object, const char* key, uint64_t least, uint64_t cap, uint64_t* into) {
  const Json* value = member(object, key);
  if (value == nullptr) return {};
  uint64_t n = 0;
  if (const std::string* text = text_of(value)) {
    auto size = parse_size(*text);
    if (!size)
      return wrong(std::string(key) + " of " + node_ + ": " + printable(size.error().what()));
    n = *size;
  } else if (value->is_number_unsigned()) {
    n = value->get<uint64_t>();
  } else {
    return wrong(
        std::string(key) + " of " + node_ + " must be a number of bytes or a text like \"64MiB\"");
  }
  if (n < least)
    return wrong(std::string(key) + " of " + node_ + " is at least " + size_text(least));
  if (n > cap)
    return wrong(std::string(key) + " of " + node_ + " is at most " + size_text(cap) + " here");
  *into = n;
  return {};
}

Outcome<void> JobParser::boolean(const Json& object, const char* key, bool* into) {
  const Json* value = member(object, key);
  if (value == nullptr) return {};
  if (!value->is_boolean())
    return wrong(std::string(key) + " of " + node_ + " must be true or false");
  *into = value->get<bool>();
  return {};
}

}  // namespace

Outcome<Job> parse_job_json(
    std::string_view json, const std::string& account, const Limits& limits) {
  if (json.size() > kMaxJobJson) return refuse(413, too_long_text({BodyKind::kJson, kMaxJobJson}));
  auto root = parse_json(json, {.bytes = kMaxJobJson});
  if (!root) return refuse(422, "Could not parse system map: " + printable(root.error().what()));
  return JobParser(account, limits).run(*root);
}

}  // namespace zvm::bridge
