#include "swift_bridge/execute.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>

#include "base/digest.h"
#include "base/log.h"
#include "base/uri.h"
#include "swift_bridge/commit.h"
#include "swift_bridge/jobs/answer.h"
#include "swift_bridge/jobs/message.h"
#include "swift_bridge/jobs/parse.h"
#include "swift_bridge/linked_stop.h"
#include "swift_bridge/node_run.h"
#include "swift_bridge/remote_inputs.h"
#include "swift_bridge/route.h"
#include "swift_bridge/swift/path.h"

// A phase that was refused ends the job with that refusal.
#define ZVM_PHASE(expr)                                                        \
  do {                                                                         \
    auto phase_ = (expr);                                                      \
    if (!phase_) co_return tl::unexpected<Refusal>(std::move(phase_).error()); \
  } while (false)

namespace zvm::bridge {

namespace {

using protocol::End;
using protocol::NodeReport;

constexpr unsigned kTries = 3;  // a job is resolved again when its version is gone
// A host keeps a node's time itself; this is for a host that lives but never reports.
constexpr std::chrono::minutes kReportGrace{15};

std::string http_date() {
  const std::time_t now = std::time(nullptr);
  std::tm tm{};
  ::gmtime_r(&now, &tm);
  char text[64];
  // The C locale's names of days and months are those of HTTP; nothing here sets another.
  return {text, std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &tm)};
}

// One job, from the head of its request to the last byte of its answer.
class JobRun {
 public:
  JobRun(Executor::Shared& shared, http::Connection& client, http::RequestHead head, Stop* outer)
      : s_(shared),
        client_(client),
        head_(std::move(head)),
        id_(random_hex(16)),
        credentials_(Credentials::of(head_, id_)),
        stop_(shared.loop, outer),
        watching_(shared.loop) {
    result_.id = id_;
    result_.times.created = std::chrono::system_clock::now();
  }

  Task<bool> run(bool busy);

 private:
  Task<Outcome<void>> perform(bool busy);
  Outcome<void> accept(bool busy);
  Task<Outcome<void>> receive();
  Outcome<void> describe_job();
  Task<Outcome<void>> resolve_and_admit();
  Task<Outcome<bool>> admit();
  Task<Outcome<bool>> version_changed();
  Task<Outcome<void>> run_node();
  Task<void> commit_outputs();
  Task<Outcome<void>> prepare_answer();
  Task<bool> send_answer();
  Task<Status> send_output();
  Task<void> watch_client();
  void node_lost(const Error& error);
  void lap(const char* phase);
  void write_log(unsigned status) const;

  const Node& node() const { return job_.nodes.front(); }

  NodeResult& outcome() { return result_.nodes.front(); }

  Executor::Shared& s_;
  http::Connection& client_;
  const http::RequestHead head_;
  const std::string id_;
  const Credentials credentials_;
  LinkedStop stop_;  // the job is cancelled
  Stop unwatch_;     // ends watch_client()
  TaskGroup watching_;
  bool client_gone_ = false;

  Accepted accepted_;
  SwiftPath target_;
  std::string body_;
  Job job_;
  RequestContext request_;
  Resolved resolved_;
  std::vector<Attempt> attempts_;
  std::unique_ptr<RemoteInputs> ranges_;
  std::unique_ptr<NodeSession> session_;
  std::vector<std::string> stored_;
  JobResult result_;
  std::optional<PlainOutput> plain_;
  Answer answer_;
  std::string detail_;  // of a refusal, for the log
  bool keep_ = false;   // the client's connection can carry another request

  Clock::time_point began_ = Clock::now();
  Clock::time_point lap_ = began_;
  std::string phases_;  // "authorise=3 admit=2 ..." in milliseconds, for the log
};

void JobRun::lap(const char* phase) {
  const auto now = Clock::now();
  phases_ += fmt::format("{}{}={:.1f}", phases_.empty() ? "" : " ", phase,
      std::chrono::duration<double, std::milli>(now - lap_).count());
  lap_ = now;
}

// --- accept, receive, describe ------------------------------------------------------------------

Outcome<void> JobRun::accept(bool busy) {
  if (is_service_path(head_.target))
    return refuse(501, "The open and api entry points are not part of this version");
  auto target = parse_target(head_.target);
  if (!target) return tl::unexpected(std::move(target).error());
  target_ = std::move(*target);
  result_.account = target_.account;
  auto accepted = accept_request(head_);
  if (!accepted) return tl::unexpected(std::move(accepted).error());
  accepted_ = *accepted;
  if (busy) return refuse(503, "The bridge runs as many jobs as it may");
  return {};
}

Task<Outcome<void>> JobRun::receive() {
  const auto timeout = s_.config.body_timeout;
  if (head_.framing.expect_continue && !client_.body_done()) {
    http::ResponseHead go_on;
    go_on.status = 100;
    auto sent = co_await client_.write_response(go_on, deadline_in(timeout), stop_.get());
    if (!sent) co_return tl::unexpected(refusal_of(sent.error()));
  }
  auto body = co_await client_.read_body_all(accepted_.max_body, deadline_in(timeout), stop_.get());
  if (!body) {
    client_gone_ = body.error().kind() == Kind::kDisconnected;
    co_return tl::unexpected(refusal_of(body.error()));
  }
  body_ = std::move(*body);
  keep_ = head_.framing.keep_alive;
  co_return Outcome<void>();
}

Outcome<void> JobRun::describe_job() {
  auto job = parse_job(head_, target_, accepted_.kind, body_, s_.config.limits);
  if (!job) return tl::unexpected(std::move(job).error());
  job_ = std::move(*job);
  result_.account = job_.account;
  request_.head = &head_;
  request_.path_info = "/" + target_.account;
  if (!target_.container.empty()) request_.path_info += "/" + target_.container;
  if (!target_.object.empty()) request_.path_info += "/" + target_.object;
  return {};
}

// --- authorise, resolve, admit ------------------------------------------------------------------

// True when the attached object is another version by now than the one that was pinned.
Task<Outcome<bool>> JobRun::version_changed() {
  const auto& pinned = resolved_.inputs[*node().attach]->version;
  const SwiftPath path{pinned.account, pinned.container, pinned.object};
  auto now = co_await s_.authoriser.may_read(path, credentials_, stop_.get());
  if (!now) co_return tl::unexpected(std::move(now).error());
  const bool changed =
      now->version.timestamp != pinned.timestamp || now->version.etag != pinned.etag;
  // The same version, and no host has it where the ring says: what was known of it may be old.
  if (!changed) s_.authoriser.forget_policy(path);
  co_return changed;
}

// False: the pinned version is gone, the job must be resolved again.
Task<Outcome<bool>> JobRun::admit() {
  const NodePlan plan{job_, node(), id_, request_, resolved_};
  Reserver reserver(s_.hosts, s_.placement);
  auto reserved = co_await reserver.beside(plan, &attempts_, stop_.get());
  if (!reserved) co_return tl::unexpected(refusal_of(reserved.error()));
  if (!reserved->link && version_missing(attempts_)) {
    auto changed = co_await version_changed();
    if (!changed) co_return tl::unexpected(std::move(changed).error());
    if (*changed) co_return false;
  }
  if (!reserved->link) {
    std::string reason = remote_reason(attempts_);
    reserved = co_await reserver.anywhere(plan, std::move(reason), &attempts_, stop_.get());
    if (!reserved) co_return tl::unexpected(refusal_of(reserved.error()));
  }
  if (!reserved->link) co_return tl::unexpected(nobody_took(attempts_, node().name));
  ranges_ =
      std::make_unique<RemoteInputs>(s_.swift, resolved_, credentials_, s_.config.range_timeout);
  session_ = std::make_unique<NodeSession>(s_.loop, std::move(reserved->link), *ranges_,
      reserved->channels, static_cast<uint32_t>(s_.config.output_window));
  co_return true;
}

Task<Outcome<void>> JobRun::resolve_and_admit() {
  for (unsigned tries = 1;; ++tries) {
    auto resolved = co_await resolve(s_.loop, s_.authoriser, job_, credentials_, stop_.get());
    if (!resolved) {
      Refusal refusal = std::move(resolved).error();
      refusal.node = node().name;  // whose channel or program it is about
      co_return tl::unexpected(std::move(refusal));
    }
    resolved_ = std::move(*resolved);
    lap("authorise");
    attempts_.clear();
    auto admitted = co_await admit();
    lap("admit");
    if (!admitted) co_return tl::unexpected(std::move(admitted).error());
    if (*admitted) co_return Outcome<void>();
    if (tries == kTries) {
      const std::string path = node().devices[*node().attach].path->path();
      co_return tl::unexpected(
          Refusal{409, path + " is being replaced again and again", node().name, path});
    }
  }
}

// --- run ----------------------------------------------------------------------------------------

void JobRun::node_lost(const Error& error) {
  NodeReport& report = outcome().report;
  report = NodeReport();
  report.end = End::kHostFault;
  report.detail = error.kind() == Kind::kDisconnected ? error.what() : "no report in time";
  log_error("a host was lost", error, {{"JOB_ID", id_}, {"HOST", outcome().host}});
}

Task<Outcome<void>> JobRun::run_node() {
  NodeResult& out = result_.nodes.emplace_back();
  out.name = node().name;
  out.host = session_->host().id;
  out.attempt = static_cast<unsigned>(attempts_.size()) + 1;
  for (const Attempt& a : attempts_)
    out.tried.push_back({a.device, a.status == 0 ? "no answer" : a.reason});
  if (const auto* policy = s_.conf.policy_at(resolved_.attached_policy))
    out.policy_name = policy->name;
  for (size_t i = 0; i < resolved_.inputs.size(); ++i) {
    if (!resolved_.inputs[i]) continue;
    const auto& v = resolved_.inputs[i]->version;
    out.inputs.push_back({node().devices[i].name, v.path(), v.timestamp, v.etag, v.length});
  }
  for (const Device& d : node().devices)
    if (d.is_stored()) out.outputs.push_back({d.name, d.path->path()});
  const auto reserved = Clock::now();
  result_.times.started = std::chrono::system_clock::now();
  const std::string* program = resolved_.program ? &resolved_.program->bytes : nullptr;
  auto started = co_await session_->start(program, stop_.get());
  out.started = started.has_value();
  if (started) {
    // PERF: bytes cross the network while the program runs, not after it.
    if (node().answer) session_->read_ahead(static_cast<uint16_t>(*node().answer));
    auto report =
        co_await session_->report(deadline_in(node().timeout + kReportGrace), stop_.get());
    if (report)
      out.report = std::move(*report);
    else
      started = tl::unexpected(std::move(report).error());
  }
  if (stop_.stopped()) {
    out.report.end = End::kCancelled;
    co_return refuse(409, "cancelled", out.name);
  }
  if (!started) node_lost(started.error());
  out.node_time = std::chrono::duration<double>(Clock::now() - reserved).count();
  lap("run");
  co_return Outcome<void>();
}

// --- commit, answer -----------------------------------------------------------------------------

Task<void> JobRun::commit_outputs() {
  const NodeReport& report = outcome().report;
  if (!ended_well(report) && !node().keep_partial) co_return;
  const Committing with{s_.loop, s_.config, s_.swift, credentials_, *session_};
  auto done = co_await commit(with, node(), report, &stored_, stop_.get());
  for (OutputPath& out : outcome().outputs)
    out.stored = std::find(stored_.begin(), stored_.end(), out.path) != stored_.end();
  if (!done) {
    result_.refusal = std::move(done).error();
    // Swift has no transaction: half a result is no answer of the one PUT that failed.
    if (!stored_.empty()) {
      result_.refusal->status = 500;
      result_.refusal->detail += fmt::format("; outputs stored before it: {}", stored_.size());
    }
  }
  lap("commit");
}

Task<Outcome<void>> JobRun::prepare_answer() {
  result_.times.ended = std::chrono::system_clock::now();
  const auto& channels = outcome().report.channels;
  if (node().answer && *node().answer < channels.size()) {
    const size_t at = *node().answer;
    const Device& device = node().devices[at];
    PlainOutput plain;
    plain.content_type = device.content_type;
    plain.device = device.name;
    plain.size = channels[at].size;
    plain.min_size = device.min_size;
    const uint64_t wanted = message_kind(device.content_type) == MessageKind::kNone
                                ? 0
                                : std::min<uint64_t>(plain.size, kMaxMessageHead);
    while (plain.first.size() < wanted) {
      auto bytes = co_await session_->read(static_cast<uint16_t>(at), plain.first.size(),
          deadline_in(s_.config.store_timeout), stop_.get());
      if (!bytes || bytes->empty()) {
        co_return tl::unexpected(
            Refusal{500, "host lost while its output was read", node().name, {}});
      }
      plain.first += *bytes;
    }
    plain_ = std::move(plain);
  }
  answer_ = make_answer(result_, plain_, head_.headers.get("Accept"));
  co_return Outcome<void>();
}

// The plain output from the host to the client. An error leaves the answer cut short.
Task<Status> JobRun::send_output() {
  const auto channel = static_cast<uint16_t>(*node().answer);
  uint64_t at = answer_.skip;
  // What was read for its head comes first.
  if (plain_->first.size() > at) {
    const std::string_view first = std::string_view(plain_->first).substr(at);
    ZVM_CO_CHECK_OK(
        co_await client_.write_body(first, deadline_in(s_.config.send_timeout), stop_.get()));
    at = plain_->first.size();
  }
  const uint64_t end = answer_.skip + answer_.length;
  while (at < end) {
    ZVM_CO_TRY(const auto bytes,
        co_await session_->read(channel, at, deadline_in(s_.config.store_timeout), stop_.get()));
    if (bytes.empty() || bytes.size() > end - at)
      co_return fail(Origin::kHost, Kind::kDisconnected, "the host kept another number of bytes");
    ZVM_CO_CHECK_OK(
        co_await client_.write_body(bytes, deadline_in(s_.config.send_timeout), stop_.get()));
    at += bytes.size();
  }
  co_return Status();
}

Task<bool> JobRun::send_answer() {
  http::ResponseHead& head = answer_.head;
  const bool bodyless = head.status == 204 || head.status == 304;
  if (!bodyless) head.headers.set("Content-Length", std::to_string(answer_.length));
  if (head.status == 401)
    head.headers.set("Www-Authenticate", "Swift realm=\"" + percent_encode(result_.account) + "\"");
  head.headers.set("Date", http_date());
  if (!keep_) head.headers.set("Connection", "close");
  if (keep_ && head_.minor == 0) head.headers.set("Connection", "keep-alive");
  const Deadline deadline = deadline_in(s_.config.send_timeout);
  auto sent = co_await client_.write_response(head, deadline, stop_.get());
  if (sent && answer_.body) {
    sent = co_await client_.write_body(*answer_.body, deadline, stop_.get());
  } else if (sent && answer_.length > 0) {
    sent = co_await send_output();
  }
  lap("answer");
  co_return sent.has_value();
}

// --- the whole ----------------------------------------------------------------------------------

Task<void> JobRun::watch_client() {
  const int rc = co_await client_.wait_closed(kNever, &unwatch_);
  if (rc != 0) co_return;
  client_gone_ = true;
  stop_.stop();
}

Task<Outcome<void>> JobRun::perform(bool busy) {
  ZVM_PHASE(accept(busy));
  ZVM_PHASE(co_await receive());
  watching_.spawn(watch_client());
  ZVM_PHASE(describe_job());
  lap("accept");
  ZVM_PHASE(co_await resolve_and_admit());
  ZVM_PHASE(co_await run_node());
  co_await commit_outputs();
  ZVM_PHASE(co_await prepare_answer());
  co_return Outcome<void>();
}

void JobRun::write_log(unsigned status) const {
  std::string tried;
  for (const Attempt& a : attempts_)
    tried += fmt::format(
        "{}{} {}: {} {}", tried.empty() ? "" : "; ", a.host, a.device, a.status, a.reason);
  const auto ms = std::chrono::duration<double, std::milli>(Clock::now() - began_).count();
  const bool ran = !result_.nodes.empty();
  log(Level::kInfo, "job",
      {{"JOB_ID", id_}, {"ACCOUNT", result_.account}, {"STATUS", std::to_string(status)},
          {"MS", fmt::format("{:.1f}", ms)}, {"PHASES", phases_},
          {"HOST", ran ? result_.nodes.front().host : ""},
          {"END", ran ? result_.nodes.front().report.status_text() : ""}, {"TRIED", tried},
          {"STORED", std::to_string(stored_.size())}, {"DETAIL", detail_}});
}

Task<bool> JobRun::run(bool busy) {
  auto done = co_await perform(busy);
  if (!done) {
    const Refusal& refusal = done.error();
    answer_ = make_refusal(refusal, id_, head_.headers.get("Accept"));
    detail_ = refusal.detail;
  }
  bool sent = false;
  if (!client_gone_) sent = co_await send_answer();
  unwatch_.stop();
  co_await watching_.join();
  if (session_) co_await session_->close();
  co_await stop_.release();
  write_log(client_gone_ ? 499 : answer_.head.status);
  // A body that was refused unread is still on its way.
  if (sent && !keep_) co_await close_gently(s_.loop, client_);
  const bool again = sent && keep_;
  co_return again;
}

}  // namespace

Task<bool> Executor::serve(http::Connection& client, http::RequestHead head, Stop* stop) {
  const bool busy = running_ >= shared_.config.max_jobs;
  ++running_;
  JobRun job(shared_, client, std::move(head), stop);
  const bool keep = co_await job.run(busy);
  --running_;
  co_return keep;
}

}  // namespace zvm::bridge
