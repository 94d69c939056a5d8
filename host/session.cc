#include "host/session.h"

#include <fmt/format.h>

#include <csignal>
#include <cstring>

#include "base/log.h"
#include "host/account.h"
#include "host/plan.h"

namespace zvm::host {

using protocol::End;
using protocol::Frame;
using protocol::FrameType;
using protocol::NodeReport;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

namespace {

// What a program may still do after a write of it was refused for want of room.
constexpr auto kLimitGrace = seconds(1);
// Longer than a bridge waits for a client or for Swift between two windows (its send_timeout and
// store_timeout). Pings tell that it is still there; this is for one that lives and has forgotten.
constexpr auto kDrainIdle = minutes(10);
constexpr auto kDrainMax = std::chrono::hours(2);
constexpr auto kDrainStopping = seconds(2);

}  // namespace

Session::Session(Node& node, protocol::Description description, Admission::Slot slot)
    : node_(node),
      description_(std::move(description)),
      slot_(std::move(slot)),
      ranges_(node.loop, [this](const Frame& ask) { peer_->send(ask); }),
      changed_(node.loop),
      tasks_(node.loop) {}

Session::~Session() = default;

void Session::log_phase(const char* phase, std::string_view message) const {
  log(Level::kInfo, message,
      {{"JOB_ID", description_.job}, {"NODE", description_.node}, {"PHASE", phase}});
}

// --- stage --------------------------------------------------------------------------------------

Task<Status> Session::stage() {
  const protocol::Program& p = description_.program;
  if (p.path.empty()) {
    program_ = node_.programs.find(p.sha256);
    if (!program_) {
      ZVM_CO_TRY(receiver_, ProgramReceiver::create(p.size, p.sha256));
    }
  }
  ZVM_CO_TRY(staged_, co_await host::stage(node_, description_, ranges_));
  co_return Status{};
}

// --- frames -------------------------------------------------------------------------------------

Status Session::on_frame(const Frame& frame) {
  switch (frame.type) {
    case FrameType::kProgram:
      return on_program(frame);
    case FrameType::kStart:
      return on_start();
    case FrameType::kRead:
      if (const auto length = protocol::decode_length(frame.payload); length)
        return outputs_->on_read(frame.channel, frame.arg, *length);
      return fail(Origin::kHost, Kind::kInvalid, "a READ without a length");
    case FrameType::kRangeData:
    case FrameType::kRangeFail:
      return ranges_.on_frame(frame);
    case FrameType::kCancel:
      end_program(End::kCancelled, "cancelled");
      return {};
    default:
      return fail(Origin::kHost, Kind::kInvalid, "a frame that only hosts send");
  }
}

Status Session::on_program(const Frame& frame) {
  if (!receiver_ || start_asked_)
    return fail(Origin::kHost, Kind::kInvalid, "bytes of a program that are not wanted");
  ZVM_CHECK_OK(receiver_->add(frame.arg, frame.payload));
  changed();
  return {};
}

Status Session::on_start() {
  if (start_asked_) return fail(Origin::kHost, Kind::kInvalid, "started twice");
  if (receiver_) {
    if (!receiver_->whole())
      return fail(Origin::kHost, Kind::kInvalid, "started before the program was whole");
    ZVM_TRY(program_, std::move(*receiver_).finish());
    receiver_.reset();
    node_.programs.insert(program_);
  }
  start_asked_ = true;
  changed();
  return {};
}

void Session::end_program(End why, std::string detail) {
  if (end_why_) return;
  end_why_ = why;
  end_detail_ = std::move(detail);
  // A read that waits for a remote object must end first: the kernel lets no process die in it.
  ranges_.abandon();
  end_.stop();
  changed();
}

void Session::cancel() {
  stopping_ = true;
  end_program(End::kCancelled, "the host stops");
  changed();
}

// --- run ----------------------------------------------------------------------------------------

Task<void> Session::run(http::Connection& connection, Peer::Keys keys) {
  peer_ = std::make_unique<Peer>(node_.loop, connection, std::move(keys));
  outputs_ = std::make_unique<Outputs>(node_.loop, *peer_, description_.channels);
  peer_->start([this](Frame frame) { return on_frame(frame); },
      [this] {
        end_program(End::kCancelled, "the bridge is gone");
        changed();
      });
  const bool started = co_await receive();
  if (started) {
    NodeReport report = co_await execute();
    log(Level::kInfo, "ended",
        {{"JOB_ID", description_.job}, {"NODE", description_.node}, {"PHASE", "account"},
            {"STATUS", report.status_text()}, {"DETAIL", report.detail},
            {"WALL", fmt::format("{:.3f}", report.wall)}});
    Frame frame;
    frame.type = FrameType::kReport;
    frame.payload = protocol::to_json(report);
    peer_->send(frame);
    co_await drain();
  }
  if (const auto& lost = peer_->lost();
      lost && (lost->kind() == Kind::kDenied || lost->kind() == Kind::kInvalid)) {
    log_error("the bridge broke the protocol", *lost,
        {{"JOB_ID", description_.job}, {"NODE", description_.node}});
  }
  ranges_.abandon();
  tasks_stop_.stop();
  co_await outputs_->close();
  co_await peer_->flush(deadline_in(seconds(1)));
  co_await peer_->close();
  co_await tasks_.join();
}

// True: START came. False: the lease ran out, or nobody is there to start for.
Task<bool> Session::receive() {
  log_phase("stage", "reserved");
  while (!start_asked_ && !end_why_) {
    // The lease begins again with every part of the program: it bounds silence, not size.
    const int rc = co_await changed_.wait(deadline_in(node_.config.lease));
    if (rc < 0) {
      log_phase("stage", "released: not started within the lease");
      co_return false;
    }
  }
  if (!start_asked_) log_phase("stage", "released: " + end_detail_);
  co_return start_asked_;
}

NodeReport Session::refused(std::string why) const {
  NodeReport report;
  report.end = End::kRefused;
  report.validation = kRefusedProgram;
  report.detail = std::move(why);
  return report;
}

NodeReport Session::host_fault(const Error& error) const {
  log_error("the program could not be run", error,
      {{"JOB_ID", description_.job}, {"NODE", description_.node}, {"PHASE", "jail"}});
  NodeReport report;
  report.end = End::kHostFault;
  report.detail = error.what();
  return report;
}

Task<NodeReport> Session::execute() {
  auto plan = plan_jail(description_, program_.get());
  if (!plan) {
    NodeReport report = refused(plan.error().what());
    report_channels(report, description_, *staged_, nullptr);
    co_return report;
  }
  auto mount = co_await node_.broker.mount_fuse();
  if (!mount) {
    NodeReport report = host_fault(mount.error());
    report_channels(report, description_, *staged_, nullptr);
    co_return report;
  }
  const uint64_t session = mount->session;
  auto served = serve_channels(std::move(*mount));
  NodeReport report;
  if (served) {
    report = co_await run_jail(session, plan->jail);
    co_await files_->close();
    outputs_->end();
  } else {
    report = host_fault(served.error());
    co_await node_.broker.kill(session);
  }
  report.validation = report.end == End::kRefused ? kRefusedProgram : plan->validation;
  report.device = staged_->device;
  report_channels(report, description_, *staged_, files_.get());
  judge_channels(report, ranges_.failure());
  if (files_ && !peer_->lost()) {
    auto ok = co_await report_digests(node_.loop, report, description_, *files_);
    if (!ok) report = host_fault(ok.error());
  }
  co_return report;
}

Status Session::serve_channels(BrokerClient::Mount mount) {
  fuse_channels::Options options;
  options.uid = mount.uid;
  options.gid = mount.uid;
  options.passthrough = node_.rungs.passthrough;
  options.reflink = node_.rungs.reflink;
  options.clone_dir = staged_->spool_dir;
  options.spool_dir = staged_->spool_dir;
  ZVM_TRY(files_, fuse_channels::Session::create(node_.loop, std::move(mount.fuse_device), options,
                      std::move(staged_->files), &node_.broker));
  files_->on_limit = [this](size_t channel) {
    if (std::exchange(limit_hit_, true)) return;
    log_phase("run", "output limit of " + description_.channels[channel].name);
    tasks_.spawn(watch_limit());
  };
  outputs_->open(*files_);
  return {};
}

// The program was told EDQUOT; it may say so and end by itself, but not go on.
Task<void> Session::watch_limit() {
  const int rc = co_await node_.loop.sleep_until(deadline_in(kLimitGrace), &tasks_stop_);
  if (rc == 0) end_program(End::kOutputLimit, "output limit");
}

Task<NodeReport> Session::run_jail(uint64_t session, const JailPlan& plan) {
  Jail jail(node_.loop, node_.broker, session);
  auto started = co_await jail.start(plan);
  const auto begin = Clock::now();
  if (started) {
    log_phase("run", "started");
    Frame frame;
    frame.type = FrameType::kStarted;
    peer_->send(frame);
  }
  const Deadline until = begin + description_.timeout;
  const JailEnd end = co_await jail.wait(until, &end_);
  // Nobody reads any more, and nothing may wait for a range.
  ranges_.abandon();
  tasks_stop_.stop();
  if (!started) {
    // Arguments that do not fit are the program's fault; what the broker says is not.
    if (started.error().origin() == Origin::kClient) co_return refused(started.error().what());
    co_return host_fault(started.error());
  }
  NodeReport report = describe_end(end, description_.cpu);
  if (end.waited == -ETIME) {
    report.end = End::kTimeout;
    report.detail = fmt::format("longer than {} s", description_.timeout.count() / 1000.0);
  } else if (end_why_ && (!end.report || end.waited == -ECANCELED)) {
    // A program that was asked to end may still end by itself before the kill reaches it.
    report.end = *end_why_;
    report.detail = end_detail_;
  }
  if (limit_hit_) {
    report.end = End::kOutputLimit;
    report.detail = "output limit";
  }
  report.wall = std::chrono::duration<double>(Clock::now() - begin).count();
  co_return report;
}

// --- drain --------------------------------------------------------------------------------------

Task<void> Session::drain() {
  const Deadline end = deadline_in(kDrainMax);
  uint64_t activity = outputs_->activity();
  while (!peer_->lost() && Clock::now() < end) {
    const auto patience = stopping_ ? milliseconds(kDrainStopping) : milliseconds(kDrainIdle);
    const int rc = co_await changed_.wait(deadline_in(patience));
    if (rc == 0) continue;
    if (stopping_ || outputs_->activity() == activity) co_return;
    activity = outputs_->activity();
  }
}

}  // namespace zvm::host
