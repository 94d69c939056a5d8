#include "swift_bridge/swift/authorise.h"

#include <algorithm>
#include <charconv>

#include "base/digest.h"

namespace zvm::bridge {

namespace {

// How long a granted right to execute is believed: short enough that a token that was revoked stops
// working at once for people, long enough that a burst of small jobs asks once.
constexpr std::chrono::seconds kRightLife{5};
constexpr std::chrono::seconds kPolicyLife{60};
constexpr size_t kMaxRemembered = 8192;

bool is_success(unsigned status) {
  return status / 100 == 2;
}

bool is_denial(unsigned status) {
  return status == 401 || status == 403;
}

// What Swift answered instead of what was needed, as the client's refusal. doing: "fetching".
tl::unexpected<Refusal> refused_by_swift(
    unsigned status, std::string_view doing, const std::string& path) {
  std::string text = "Error " + std::to_string(status) + " " +
                     std::string(http::reason_phrase(status)) + " while " + std::string(doing) +
                     " " + path;
  // A client's own fault stays one; what Swift is not able to do is a gateway's failure.
  const bool clients = is_denial(status) || status == 404 || status == 409 || status == 412 ||
                       status == 429 || status == 498;
  return tl::unexpected(Refusal{clients ? status : 502, std::move(text), {}, path});
}

tl::unexpected<Refusal> no_answer(const Error& error, const std::string& path) {
  Refusal refusal = refusal_of(error);
  refusal.path = path;
  return tl::unexpected(std::move(refusal));
}

std::string unquoted(std::string_view etag) {
  if (etag.size() >= 2 && etag.front() == '"' && etag.back() == '"')
    etag = etag.substr(1, etag.size() - 2);
  return std::string(etag);
}

bool is_true(std::string_view text) {
  for (const std::string_view t : {"true", "1", "yes", "on", "t", "y"})
    if (http::equal_ignoring_case(text, t)) return true;
  return false;
}

// Why no single replica holds what a GET of this object returns.
std::string why_not_in_place(const http::Headers& head, bool erasure_coded) {
  if (is_true(head.get("X-Static-Large-Object"))) return "slo";
  if (head.find("X-Object-Manifest") != nullptr) return "dlo";
  // Swift names the target of a symlink, and so of a versioned object, like this.
  if (head.find("Content-Location") != nullptr) return "symlink";
  if (erasure_coded) return "ec";
  return {};
}

// SECURITY: the maps are bounded, whatever clients ask for.
template <class Map, class Expired>
void make_room(Map& map, Expired expired) {
  if (map.size() < kMaxRemembered) return;
  std::erase_if(map, expired);
  if (map.size() >= kMaxRemembered) map.clear();
}

SwiftPath container_of(const SwiftPath& path) {
  return {path.account, path.container, {}};
}

}  // namespace

Authoriser::Authoriser(Loop& loop, SwiftClient& swift, const SwiftConf& conf, const Config& config)
    : loop_(loop), swift_(swift), conf_(conf), config_(config), programs_(config.program_cache) {}

Question Authoriser::question(
    std::string method, std::string target, const Credentials& credentials) const {
  Question q;
  q.method = std::move(method);
  q.target = std::move(target);
  q.headers = credentials.headers;
  q.timeout = config_.ask_timeout;
  return q;
}

Task<Outcome<void>> Authoriser::may_execute(
    std::string account, const Credentials& credentials, Stop* stop) {
  const std::string key = credentials.digest + account;
  const auto now = Clock::now();
  if (const auto it = may_execute_.find(key); it != may_execute_.end() && it->second > now)
    co_return Outcome<void>();

  const SwiftPath nowhere{account, "zvm-" + random_hex(16), "right-to-execute"};
  Question q = question("PUT", nowhere.target(), credentials);
  auto answer = co_await swift_.ask(std::move(q), stop);
  const std::string path = "/" + account;
  if (!answer) co_return no_answer(answer.error(), path);
  // Swift authorises before it looks for the container, and looks for it before it misses the
  // length.
  if (answer->status != 404 && answer->status != 411)
    co_return refused_by_swift(answer->status, "asking to execute in", path);
  make_room(may_execute_, [&](const auto& entry) { return entry.second <= now; });
  may_execute_[key] = now + kRightLife;
  co_return Outcome<void>();
}

void Authoriser::remember(const SwiftPath& container, const http::Headers& head) {
  Known known;
  const auto* policy = conf_.policy_named(head.get("X-Storage-Policy"));
  if (policy == nullptr) return;
  known.policy = policy->index;
  const auto now = Clock::now();
  known.until = now + kPolicyLife;
  make_room(policies_, [&](const auto& entry) { return entry.second.until <= now; });
  policies_[container.path()] = known;
}

void Authoriser::forget_policy(const SwiftPath& container) {
  policies_.erase(container_of(container).path());
}

Task<unsigned> Authoriser::policy_of(SwiftPath path, const Credentials& credentials, Stop* stop) {
  const SwiftPath container = container_of(path);
  const std::string key = container.path();
  auto known = policies_.find(key);
  if (known == policies_.end() || known->second.until <= Clock::now()) {
    Question q = question("HEAD", container.target(), credentials);
    auto answer = co_await swift_.ask(std::move(q), stop);
    if (answer && is_success(answer->status)) remember(container, answer->headers);
    known = policies_.find(key);
  }
  if (known != policies_.end()) co_return known->second.policy;
  // Who may read an object need not be allowed to look at its container.
  for (const auto& policy : conf_.policies)
    if (policy.is_default) co_return policy.index;
  co_return 0u;
}

Task<void> Authoriser::learn_policy(
    SwiftPath container, const Credentials& credentials, Stop* stop, unsigned* policy) {
  *policy = co_await policy_of(std::move(container), credentials, stop);
}

Task<Outcome<PinnedObject>> Authoriser::may_read(
    SwiftPath path, const Credentials& credentials, Stop* stop) {
  TaskGroup beside(loop_);
  unsigned policy = 0;
  beside.spawn(learn_policy(path, credentials, stop, &policy));
  Question q = question("HEAD", path.target(), credentials);
  q.headers.add("X-Newest", "true");
  auto answer = co_await swift_.ask(std::move(q), stop);
  co_await beside.join();
  if (!answer) co_return no_answer(answer.error(), path.path());
  if (!is_success(answer->status))
    co_return refused_by_swift(answer->status, "fetching", path.path());

  const http::Headers& head = answer->headers;
  PinnedObject pinned;
  protocol::ObjectVersion& v = pinned.version;
  v.account = path.account;
  v.container = path.container;
  v.object = path.object;
  v.policy = policy;
  v.timestamp = std::string(head.get("X-Timestamp"));
  v.etag = unquoted(head.get("Etag"));
  v.content_type = std::string(head.get("Content-Type"));
  const std::string_view length = head.get("Content-Length");
  const auto [end, ec] = std::from_chars(length.data(), length.data() + length.size(), v.length);
  if (v.timestamp.empty() || v.etag.empty() || ec != std::errc() ||
      end != length.data() + length.size())
    co_return tl::unexpected(Refusal{502, "Swift did not name one version of it", {}, path.path()});
  const auto* known = conf_.policy_at(policy);
  pinned.remote_reason = why_not_in_place(head, known != nullptr && known->erasure_coded);
  pinned.head = head;
  co_return pinned;
}

namespace {

struct Asked {
  std::optional<Result<SwiftAnswer>> answer;
};

Task<void> ask_into(SwiftClient& swift, Question q, Stop* stop, Asked* into) {
  auto answer = co_await swift.ask(std::move(q), stop);
  into->answer = std::move(answer);
}

}  // namespace

Task<Outcome<void>> Authoriser::may_write(
    SwiftPath path, const Credentials& credentials, Stop* stop) {
  const SwiftPath container = container_of(path);
  const SwiftPath absent{path.account, path.container, "zvm-" + random_hex(16)};
  TaskGroup beside(loop_);
  Asked look;
  Question head = question("HEAD", container.target(), credentials);
  beside.spawn(ask_into(swift_, std::move(head), stop, &look));
  Question post = question("POST", absent.target(), credentials);
  post.headers.add("Content-Length", "0");
  auto answer = co_await swift_.ask(std::move(post), stop);
  co_await beside.join();
  const std::string name = path.path();
  if (!answer) co_return no_answer(answer.error(), name);
  if (answer->status != 404) co_return refused_by_swift(answer->status, "writing", name);
  const Result<SwiftAnswer>& looked = *look.answer;
  if (!looked) co_return no_answer(looked.error(), name);
  // Who may write into a container need not be allowed to look at it: a denial says nothing here.
  if (looked->status == 404) co_return refused_by_swift(404, "writing", name);
  if (is_success(looked->status)) remember(container, looked->headers);
  co_return Outcome<void>();
}

Task<Outcome<std::shared_ptr<const Program>>> Authoriser::may_run(
    SwiftPath path, const Credentials& credentials, Stop* stop) {
  const std::string url = path.url();
  const auto copy = programs_.find(url);
  Question q = question("GET", path.target(), credentials);
  q.headers.add("X-Newest", "true");
  if (copy) q.headers.add("If-None-Match", copy->etag);
  q.max_body = config_.max_program;
  auto answer = co_await swift_.ask(std::move(q), stop);
  if (!answer && answer.error().kind() == Kind::kOverloaded)
    co_return tl::unexpected(
        Refusal{413, "The program is larger than " + std::to_string(config_.max_program) + " bytes",
            {}, path.path()});
  if (!answer) co_return no_answer(answer.error(), path.path());
  if (answer->status == 304 && copy) co_return copy;
  if (answer->status != 200) co_return refused_by_swift(answer->status, "fetching", path.path());
  auto program = std::make_shared<Program>();
  program->etag = std::string(answer->headers.get("Etag"));
  program->bytes = std::move(answer->body);
  Program* raw = program.get();
  auto digest = [raw] { return sha256_hex(raw->bytes); };
  program->sha256 = co_await loop_.offload(digest);
  std::shared_ptr<const Program> done = std::move(program);
  // Without an ETag there is nothing to ask for next time.
  if (!done->etag.empty()) programs_.keep(url, done);
  co_return done;
}

}  // namespace zvm::bridge
