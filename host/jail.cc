#include "host/jail.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "host/program.h"
#include "loader/args.h"

namespace zvm::host {

namespace wire = loader::wire;

namespace {

struct Pipe {
  UniqueFd read, write;
};

Result<Pipe> make_pipe() {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) != 0) return fail_errno("pipe2", errno);
  return Pipe{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

Result<wire::StartRequest> make_start(const JailPlan& plan, uint64_t session) {
  auto request = wire::make_request<wire::StartRequest>(0);
  request.session = session;
  request.limits = plan.limits;
  request.policy = plan.policy;
  if (plan.stdin_is_channel) request.flags |= wire::kStdinIsChannel;
  if (plan.program.fd >= 0) request.flags |= wire::kProgramInFd;
  if (!wire::set_image(&request, plan.image.data(), plan.image.size()))
    return fail(Origin::kClient, Kind::kInvalid, "no image can have the name " + plan.image);
  return request;
}

}  // namespace

Task<Status> Jail::start(const JailPlan& plan) {
  ZVM_CO_TRY(const auto request, make_start(plan, session_));
  const std::string args = loader::encode_args(plan.path, plan.argv, plan.env);
  if (args.empty())
    co_return fail(Origin::kClient, Kind::kInvalid, "arguments or environment too large");
  ZVM_CO_TRY(auto args_fd, sealed_memfd("zvm-args", args));
  ZVM_CO_TRY(auto status, make_pipe());
  ZVM_CO_TRY(auto leash, make_pipe());
  std::vector<FdRef> fds;
  fds.push_back(args_fd);
  fds.push_back(status.write);
  fds.push_back(leash.read);
  if (plan.program.fd >= 0) fds.push_back(plan.program);
  status_ = std::move(status.read);
  leash_ = std::move(leash.write);
  ZVM_CO_TRY(pid1_, co_await broker_.start_jail(request, std::move(fds)));
  co_return Status{};
}

Task<int> Jail::read_report(Deadline deadline, Stop* stop) {
  std::array<std::byte, wire::kMaxReportBytes> buffer;
  for (;;) {
    const int n = co_await loop_.read(FdRef(status_), buffer, Loop::kCurrent, deadline, stop);
    if (n == -EINTR || n == -EAGAIN) continue;
    if (n <= 0) co_return n;
    if (received_.size() + static_cast<size_t>(n) > wire::kMaxReportBytes) co_return -EBADMSG;
    received_.append(reinterpret_cast<const char*>(buffer.data()), static_cast<size_t>(n));
  }
}

Task<JailEnd> Jail::wait(Deadline deadline, Stop* stop) {
  JailEnd end;
  if (pid1_) end.waited = co_await read_report(deadline, stop);
  co_await broker_.kill(session_);
  // What was written before the kill counts: a program that ended in the last moment has ended.
  if (pid1_ && end.waited < 0) {
    const int rc = co_await read_report(deadline_in(std::chrono::seconds(5)), nullptr);
    (void)rc;
  }
  wire::Report report;
  if (wire::parse_report(received_.data(), received_.size(), &report)) end.report = report;
  co_return end;
}

}  // namespace zvm::host
