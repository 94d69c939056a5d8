#include "swift_bridge/jobs/describe.h"

#include <algorithm>

#include "swift_bridge/jobs/text.h"

namespace zvm::bridge {

namespace {

using protocol::Channel;

// An undeclared output counts without limit; only its tail is kept.
constexpr uint64_t kTailBytes = uint64_t{64} << 10;

// SECURITY: what proves who somebody is must never reach a program, which may be another user's.
bool is_private_header(std::string_view lower_name) {
  for (const std::string_view prefix :
      {"x-auth", "x-backend", "proxy", "x-forwarded-authorization"})
    if (lower_name.substr(0, prefix.size()) == prefix) return true;
  for (const std::string_view part : {"token", "cookie", "authorization", "sysmeta", "secret",
           "password", "temp-url-key", "signature"})
    if (lower_name.find(part) != lower_name.npos) return true;
  return false;
}

// Told by other variables, or about one connection only.
bool is_left_out(std::string_view lower_name) {
  for (const std::string_view name : {"content-type", "content-length", "connection", "keep-alive",
           "te", "trailer", "transfer-encoding", "upgrade", "expect"})
    if (lower_name == name) return true;
  return false;
}

// "Content-Encoding" -> "CONTENT_ENCODING". "" where the name has other characters than letters,
// digits and dashes: X_Auth_Token would become the variable that X-Auth-Token is kept from.
std::string variable_name(std::string_view prefix, std::string_view header) {
  std::string out(prefix);
  for (const char c : header) {
    if (c == '-')
      out += '_';
    else if (c >= 'a' && c <= 'z')
      out += static_cast<char>(c - 'a' + 'A');
    else if ((c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
      out += c;
    else
      return {};
  }
  return out;
}

class Environment {
 public:
  explicit Environment(const Exec& exec) : list_(exec.env) {
    for (const std::string& a : exec.argv) spend(a.size() + 1);
    for (const auto& [name, value] : list_) spend(name.size() + value.size() + 2);
  }

  // The job's own variables win. One that would not fit is left out, like an empty one.
  void add(std::string name, std::string value) {
    if (name.empty() || value.empty() || value.find('\0') != value.npos || find(name) != nullptr)
      return;
    const size_t cost = name.size() + value.size() + 2;
    if (cost > left_) return;
    spend(cost);
    list_.emplace_back(std::move(name), std::move(value));
  }

  // A header that comes twice is one list.
  void add_header(std::string name, std::string_view value) {
    if (std::find(headers_.begin(), headers_.end(), name) == headers_.end()) {
      headers_.push_back(name);
      add(std::move(name), std::string(value));
    } else if (std::string* old = find(name); old != nullptr && value.size() + 2 <= left_) {
      spend(value.size() + 2);
      old->append(", ").append(value);
    }
  }

  std::vector<std::pair<std::string, std::string>> take() { return std::move(list_); }

 private:
  std::string* find(std::string_view name) {
    for (auto& [n, value] : list_)
      if (n == name) return &value;
    return nullptr;
  }

  void spend(size_t n) { left_ -= std::min(left_, n); }

  size_t left_ = protocol::kMaxArguments;
  std::vector<std::pair<std::string, std::string>> list_;
  std::vector<std::string> headers_;  // names that add_header() was given
};

// Host: name, name:port, [v6], [v6]:port.
void add_server(const RequestContext& request, Environment* env) {
  std::string name = request.default_server_name, port = "80";
  const std::string_view host =
      request.head == nullptr ? "" : trim(request.head->headers.get("Host"));
  if (!host.empty()) {
    const size_t bracket = host.rfind(']');
    const size_t colon = host.find(':', bracket == host.npos ? 0 : bracket);
    name = host.substr(0, colon);
    if (colon != host.npos && colon + 1 < host.size()) port = host.substr(colon + 1);
  }
  env->add("SERVER_NAME", std::move(name));
  env->add("SERVER_PORT", std::move(port));
}

void add_request(const Node& node, const RequestContext& request, Environment* env) {
  env->add("GATEWAY_INTERFACE", "CGI/1.1");
  env->add("SERVER_SOFTWARE", "zerocloud");
  add_server(request, env);
  env->add("SCRIPT_NAME", node.exec.name);
  env->add("SCRIPT_FILENAME", node.exec.url);
  env->add("PATH_INFO", request.path_info);
  env->add("REMOTE_USER", request.remote_user);
  if (request.head == nullptr) return;
  const http::RequestHead& head = *request.head;
  env->add("SERVER_PROTOCOL", "HTTP/1." + std::to_string(head.minor));
  env->add("REQUEST_METHOD", head.method);
  env->add("REQUEST_URI", head.target);
  if (const size_t mark = head.target.find('?'); mark != std::string::npos)
    env->add("QUERY_STRING", head.target.substr(mark + 1));
}

void add_headers(const http::Headers& headers, Environment* env) {
  for (const http::Header& h : headers) {
    const std::string name = to_lower(h.name);
    if (is_private_header(name) || is_left_out(name)) continue;
    if (std::string variable = variable_name("HTTP_", h.name); !variable.empty())
      env->add_header(std::move(variable), h.value);
  }
}

// CONTENT_*: of what stdin gives.
void add_payload(const Node& node, const std::vector<PlacedInput>& inputs, Environment* env) {
  for (size_t i = 0; i < node.devices.size() && i < inputs.size(); ++i) {
    if (node.devices[i].name != "stdin" || !node.devices[i].reads_object()) continue;
    env->add("CONTENT_TYPE", inputs[i].version.content_type);
    env->add("CONTENT_LENGTH", std::to_string(inputs[i].version.length));
    return;
  }
  env->add("CONTENT_LENGTH", "0");
}

void add_attached_object(
    const protocol::ObjectVersion& version, const http::Headers* headers, Environment* env) {
  env->add("LOCAL_CONTENT_TYPE", version.content_type);
  env->add("LOCAL_CONTENT_LENGTH", std::to_string(version.length));
  env->add("LOCAL_HTTP_ETAG", version.etag);
  env->add("LOCAL_HTTP_X_TIMESTAMP", version.timestamp);
  if (headers == nullptr) return;
  env->add("LOCAL_HTTP_CONTENT_ENCODING", std::string(headers->get("Content-Encoding")));
  for (const http::Header& h : *headers)
    if (to_lower(h.name.substr(0, 14)) == "x-object-meta-")
      env->add(variable_name("LOCAL_HTTP_", h.name), h.value);
}

void add_attached(const Node& node, const std::vector<PlacedInput>& inputs,
    const http::Headers* headers, Environment* env) {
  if (!node.attach) return;
  const Device& device = node.devices[*node.attach];
  if (!device.path) return;
  env->add("LOCAL_OBJECT", "on");
  env->add("LOCAL_PATH_INFO", device.path->path());
  env->add("LOCAL_DOCUMENT_ROOT", "/dev/" + device.name);
  if (device.access == Device::Access::kRead) {
    if (*node.attach < inputs.size())
      add_attached_object(inputs[*node.attach].version, headers, env);
    return;
  }
  env->add("LOCAL_CONTENT_TYPE", device.content_type);
  for (const auto& [name, value] : device.meta)
    env->add(variable_name("LOCAL_HTTP_X_OBJECT_META_", name), value);
}

Channel channel_of(const Device& device, const Node& node) {
  Channel c;
  c.name = device.name;
  c.kind = device.kind;
  c.mode = device.mode;
  if (device.path) c.path = device.url;
  if (device.access == Device::Access::kWrite) c.max_bytes = node.max_output;
  c.bytes = device.bytes;
  return c;
}

Channel undeclared(const char* name) {
  Channel c;
  c.name = name;
  c.kind = Channel::Kind::kAppend;
  c.declared = false;
  c.max_bytes = kTailBytes;
  return c;
}

}  // namespace

std::vector<std::pair<std::string, std::string>> environment(const Node& node,
    const RequestContext& request, const std::vector<PlacedInput>& inputs,
    const http::Headers* attached) {
  Environment env(node.exec);
  add_request(node, request, &env);
  add_payload(node, inputs, &env);
  add_attached(node, inputs, attached, &env);
  if (request.head != nullptr) add_headers(request.head->headers, &env);
  return env.take();
}

protocol::Description describe(const Job& job, const Node& node, std::string_view job_id,
    const RequestContext& request, const std::vector<PlacedInput>& inputs,
    const std::optional<ProgramBytes>& program, const http::Headers* attached) {
  protocol::Description d;
  d.job = job_id;
  d.node = node.name;
  d.account = job.account;
  d.program.image = node.exec.image;
  if (node.exec.kind == Exec::Kind::kImage) {
    d.program.path = node.exec.path;
  } else if (program) {
    d.program.sha256 = program->sha256;
    d.program.size = program->size;
  }
  d.policy = node.policy;
  d.argv = node.exec.argv;
  d.env = environment(node, request, inputs, attached);
  d.timeout = node.timeout;
  d.cpu = node.cpu;
  d.memory = node.memory;

  bool has_stdout = false, has_stderr = false;
  for (size_t i = 0; i < node.devices.size(); ++i) {
    Channel c = channel_of(node.devices[i], node);
    if (c.kind == Channel::Kind::kObject && i < inputs.size()) {
      c.object = inputs[i].version;
      c.local = inputs[i].local;
      c.remote_reason = inputs[i].remote_reason;
      c.device = inputs[i].device;
    }
    has_stdout = has_stdout || c.name == "stdout";
    has_stderr = has_stderr || c.name == "stderr";
    d.channels.push_back(std::move(c));
  }
  if (!has_stdout) d.channels.push_back(undeclared("stdout"));
  if (!has_stderr) d.channels.push_back(undeclared("stderr"));
  return d;
}

}  // namespace zvm::bridge
