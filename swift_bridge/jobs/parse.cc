#include "swift_bridge/jobs/parse.h"

#include <array>

#include "base/digest.h"
#include "base/uri.h"
#include "swift_bridge/jobs/text.h"

namespace zvm::bridge {

namespace {

constexpr size_t kMaxContainerName = 256, kMaxObjectName = 1024, kMaxAccountName = 256;

// 501 with one sentence of one shape.
auto unsupported(std::string what) {
  return refuse(501, std::move(what) + " is not supported by this version");
}

std::string media_type(std::string_view content_type) {
  return to_lower(trim(content_type.substr(0, content_type.find(';'))));
}

bool asks_for_bundle(const http::RequestHead& head) {
  for (const http::Header& h : head.headers) {
    if (!http::equal_ignoring_case(h.name, "Accept")) continue;
    std::string_view rest = h.value;
    while (!rest.empty()) {
      const size_t comma = rest.find(',');
      const std::string type = media_type(rest.substr(0, comma));
      if (type == "application/x-tar" || type == "multipart/mixed") return true;
      rest = comma == rest.npos ? std::string_view() : rest.substr(comma + 1);
    }
  }
  return false;
}

Outcome<void> check_mode(const http::RequestHead& head) {
  const std::string_view mode = trim(head.headers.get("X-Zerovm-Execute"));
  if (mode == "open/1.0" || mode == "api/1.0")
    return unsupported("X-Zerovm-Execute: " + std::string(mode));
  if (mode != "1.0") return refuse(400, "X-Zerovm-Execute must be 1.0, open/1.0 or api/1.0");
  if (head.method == "POST") return {};
  constexpr std::array<std::string_view, 6> kKnown{
      "GET", "HEAD", "PUT", "DELETE", "OPTIONS", "COPY"};
  for (const std::string_view known : kKnown)
    if (head.method == known) return refuse(501, "Only POST runs a job");
  return refuse(412, "Bad HTTP method");
}

Outcome<void> check_options(const http::RequestHead& head) {
  if (const std::string* source = head.headers.find("X-Zerovm-Source")) {
    const auto path = parse_swift_url(*source, "own");
    if (!path || path->object.empty())
      return refuse(412, "X-Zerovm-Source must be swift://account/container/object");
    return unsupported("X-Zerovm-Source");
  }
  if (const std::string* deferred = head.headers.find("X-Zerovm-Deferred")) {
    const std::string_view value = trim(*deferred);
    if (value == "auto" || value == "always")
      return unsupported("X-Zerovm-Deferred: " + std::string(value));
    if (value != "never") return refuse(400, "X-Zerovm-Deferred must be never, auto or always");
  }
  if (asks_for_bundle(head))
    return unsupported("A bundle of outputs (Accept: application/x-tar or multipart/mixed)");
  return {};
}

Outcome<void> check_etag(const http::RequestHead& head, std::string_view body) {
  const std::string* etag = head.headers.find("ETag");
  if (etag == nullptr) return {};
  std::string_view wanted = trim(*etag);
  if (wanted.size() >= 2 && wanted.front() == '"' && wanted.back() == '"')
    wanted = wanted.substr(1, wanted.size() - 2);
  if (to_lower(wanted) == md5_hex(body)) return {};
  return refuse(422, "ETag is not the MD5 of the body");
}

// The interpreter of a script: a program of an image, or an object.
Outcome<Exec> parse_interpreter(std::string_view url, const std::string& account) {
  const auto bad = [&] { return refuse(400, "Bad interpreter " + printable(url), "script"); };
  Exec exec;
  exec.url = url;
  exec.name = "script";
  if (url.substr(0, 7) == "file://") {
    const std::string_view rest = url.substr(7);
    const size_t colon = rest.find(':');
    if (colon == rest.npos)
      return refuse(400,
          "Must specify image name for executable " + printable(url) + ": file://<image>:<path>",
          "script");
    exec.image = rest.substr(0, colon);
    exec.path = rest.substr(colon + 1);
    if (!is_name(exec.image) || exec.path.empty() || exec.path.size() > 4095 ||
        has_control(exec.path))
      return bad();
    if (exec.path.front() != '/') exec.path.insert(0, 1, '/');
    exec.argv.push_back(exec.path);
    return exec;
  }
  auto object = parse_swift_url(url, account);
  if (!object || object->object.empty()) return bad();
  exec.kind = Exec::Kind::kObject;
  exec.object = *std::move(object);
  exec.argv.push_back(exec.object.object.substr(exec.object.object.rfind('/') + 1));
  return exec;
}

Device script_device(std::string_view text) {
  Device d;
  d.name = "script";
  d.kind = protocol::Channel::Kind::kBytes;
  d.bytes = text;
  return d;
}

Device stdin_device(const SwiftPath& object) {
  Device d;
  d.name = "stdin";
  d.path = object;
  d.url = object.url();
  return d;
}

Device answer_device() {
  Device d;
  d.name = "stdout";
  d.access = Device::Access::kWrite;
  d.kind = protocol::Channel::Kind::kAppend;
  d.content_type = "text/plain";
  return d;
}

}  // namespace

std::optional<SwiftPath> parse_swift_url(std::string_view url, const std::string& own_account) {
  constexpr std::string_view kScheme = "swift://";
  if (url.substr(0, kScheme.size()) != kScheme) return std::nullopt;
  std::string_view rest = url.substr(kScheme.size());
  const auto segment = [&rest] {
    const size_t slash = rest.find('/');
    std::string out = percent_decode(rest.substr(0, slash));
    rest = slash == rest.npos ? std::string_view() : rest.substr(slash + 1);
    return out;
  };
  SwiftPath p;
  p.account = segment();
  p.container = segment();
  p.object = percent_decode(rest);
  if (p.account == "." || p.account == "~") p.account = own_account;
  if (p.account.empty() || (p.container.empty() && !p.object.empty())) return std::nullopt;
  // An encoded slash would make another path of it.
  if (p.account.find('/') != std::string::npos || p.container.find('/') != std::string::npos)
    return std::nullopt;
  if (p.account.size() > kMaxAccountName || p.container.size() > kMaxContainerName ||
      p.object.size() > kMaxObjectName)
    return std::nullopt;
  if (!is_utf8(p.account) || !is_utf8(p.container) || !is_utf8(p.object)) return std::nullopt;
  return p;
}

Outcome<Accepted> accept_request(const http::RequestHead& head) {
  if (auto ok = check_mode(head); !ok) return tl::unexpected(std::move(ok).error());
  const std::string type = media_type(head.headers.get("Content-Type"));
  if (type.empty()) return refuse(400, "Must specify Content-Type");
  if (auto ok = check_options(head); !ok) return tl::unexpected(std::move(ok).error());

  Accepted accepted;
  if (type == "application/x-tar" || type == "application/x-gtar" ||
      type == "application/x-ustar" || type == "application/x-gzip")
    return unsupported("A job as " + type);
  if (type != "application/json") {
    accepted = {BodyKind::kScript, kMaxScript};
    // The script travels whole inside the description, so its length must be known to be bounded.
    if (head.framing.body != http::Framing::Body::kLength)
      return refuse(400, "Must specify Content-Length");
  }
  if (head.framing.body == http::Framing::Body::kLength && head.framing.length > accepted.max_body)
    return refuse(413, too_long_text(accepted));
  return accepted;
}

std::string too_long_text(const Accepted& accepted) {
  return std::string(accepted.kind == BodyKind::kJson ? "A job description" : "A script") +
         " is at most " + std::to_string(accepted.max_body) + " bytes";
}

Outcome<Job> parse_job(const http::RequestHead& head, const SwiftPath& target, BodyKind kind,
    std::string_view body, const Limits& limits) {
  if (auto ok = check_etag(head, body); !ok) return tl::unexpected(std::move(ok).error());
  if (kind == BodyKind::kScript) return parse_script(body, target, limits);
  return parse_job_json(body, target.account, limits);
}

Outcome<Job> parse_script(std::string_view script, const SwiftPath& target, const Limits& limits) {
  if (script.size() > kMaxScript)
    return refuse(413, too_long_text({BodyKind::kScript, kMaxScript}));
  if (script.substr(0, 2) != "#!") return refuse(400, "Unsupported Content-Type");
  const size_t newline = script.substr(0, kMaxShebangSearch).find('\n');
  if (newline == script.npos) return refuse(400, "Cannot find shebang");
  std::string_view line = script.substr(2, newline - 2);
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  line = trim(line);
  const size_t blank = line.find_first_of(" \t");
  auto exec = parse_interpreter(line.substr(0, blank), target.account);
  if (!exec) return tl::unexpected(std::move(exec).error());
  if (blank != line.npos) {
    const std::string_view text = trim(line.substr(blank));
    auto words = split_arguments(text);
    if (has_control(text) || !words)
      return refuse(400, "Invalid nexe property for script", "script");
    for (std::string& w : *words) exec->argv.push_back(std::move(w));
  }
  // As the kernel does: interpreter, its arguments, script. The jail's root links /script to the
  // device.
  exec->argv.emplace_back("script");

  Node node;
  node.name = "script";
  node.exec = *std::move(exec);
  apply_defaults(limits, &node);
  node.devices.push_back(script_device(script));
  if (!target.object.empty()) {
    node.attach = node.devices.size();
    node.devices.push_back(stdin_device(target));
  }
  node.answer = node.devices.size();
  node.devices.push_back(answer_device());

  Job job;
  job.account = target.account;
  job.is_script = true;
  job.nodes.push_back(std::move(node));
  return job;
}

void apply_defaults(const Limits& limits, Node* node) {
  node->timeout = std::min(limits.timeout, limits.timeout_cap);
  node->cpu = std::min(node->timeout, limits.cpu_cap);
  node->memory = std::min(limits.memory, limits.memory_cap);
  node->max_output = std::min(limits.max_output, limits.max_output_cap);
}

}  // namespace zvm::bridge
