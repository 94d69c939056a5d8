#include "host/account.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "base/digest.h"
#include "loader/step_names.h"

namespace zvm::host {

namespace wire = loader::wire;
using protocol::Channel;
using protocol::ChannelReport;
using protocol::End;
using protocol::NodeReport;

namespace {

constexpr size_t kDigestBlock = 256 * 1024;
constexpr double kMicro = 1e-6;

struct Digests {
  std::string md5, sha256;
};

// Blocks; for the pool.
Result<Digests> digest_file(FdRef file, uint64_t size) {
  Hasher md5(Hasher::Kind::kMd5);
  Hasher sha(Hasher::Kind::kSha256);
  std::string block(kDigestBlock, '\0');
  for (uint64_t at = 0; at < size;) {
    const size_t want = std::min<uint64_t>(block.size(), size - at);
    const ssize_t n = ::pread(file.fd, block.data(), want, static_cast<off_t>(at));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno("reading a spool", errno);
    if (n == 0) return fail(Origin::kHost, Kind::kInternal, "a spool lost bytes");
    const std::string_view got(block.data(), static_cast<size_t>(n));
    md5.update(got);
    sha.update(got);
    at += got.size();
  }
  return Digests{md5.finish_hex(), sha.finish_hex()};
}

bool is_output(const Channel& c) {
  return c.kind == Channel::Kind::kAppend || c.kind == Channel::Kind::kRandom;
}

// The step that makes the program is the last one; what fails there is the program's fault.
bool is_execute(const wire::Report& r) {
  return std::strcmp(loader::step_name(r.step), "execute") == 0;
}

void describe_not_started(const wire::Report& r, NodeReport& report) {
  if (is_execute(r)) {
    report.end = End::kRefused;
    report.detail = fmt::format("the program can not be executed: {}", std::strerror(r.detail));
  } else {
    report.end = End::kHostFault;
    report.detail = fmt::format("jail: {}: {}", loader::step_name(r.step), std::strerror(r.detail));
  }
}

}  // namespace

NodeReport describe_end(const JailEnd& end, std::chrono::milliseconds cpu_limit) {
  NodeReport report;
  if (!end.report) {
    report.end = End::kHostFault;
    report.detail = "the jail was lost";
    return report;
  }
  const wire::Report& r = *end.report;
  report.cpu_user = static_cast<double>(r.user_us) * kMicro;
  report.cpu_system = static_cast<double>(r.system_us) * kMicro;
  report.memory_peak = r.max_rss_kib * 1024;
  const double limit = std::chrono::duration<double>(cpu_limit).count();
  const bool cpu_used_up = report.cpu_user + report.cpu_system >= limit;
  switch (r.end) {
    case wire::End::kExited:
      report.end = End::kExited;
      report.exit_code = r.detail;
      break;
    case wire::End::kSignalled:
      report.signal = r.detail;
      report.end = End::kSignalled;
      if (r.detail == SIGXFSZ) {
        report.end = End::kOutputLimit;
        report.detail = "a file, or the private copy of an input, grew beyond its limit";
      }
      // The limit sends SIGXCPU, and SIGKILL a second later to a program that catches it.
      if (r.detail == SIGXCPU || (r.detail == SIGKILL && cpu_used_up)) {
        report.end = End::kCpuLimit;
        report.detail = fmt::format("more than {} s of CPU time", limit);
      }
      break;
    case wire::End::kNotStarted:
      describe_not_started(r, report);
      break;
  }
  return report;
}

void report_channels(NodeReport& report, const protocol::Description& description,
    const Staged& staged, const fuse_channels::Session* files) {
  report.channels.clear();
  for (size_t i = 0; i < description.channels.size(); ++i) {
    ChannelReport c;
    c.name = description.channels[i].name;
    c.locality = staged.locality[i].locality;
    c.reason = staged.locality[i].reason;
    c.counted = "daemon";
    if (files != nullptr) {
      const auto usage = files->usage(i);
      c.bytes_read = usage.bytes_read;
      c.bytes_written = usage.bytes_written;
      c.reads = usage.reads;
      c.writes = usage.writes;
      if (usage.estimated) c.counted = "estimate";
      if (is_output(description.channels[i])) c.size = usage.size;
    }
    report.channels.push_back(std::move(c));
  }
}

void judge_channels(NodeReport& report, const std::optional<std::string>& lost_input) {
  if (!lost_input || (report.end != End::kExited && report.end != End::kSignalled)) return;
  report.end = End::kInputLost;
  report.detail = *lost_input;
}

Task<Status> report_digests(Loop& loop, NodeReport& report,
    const protocol::Description& description, const fuse_channels::Session& files) {
  for (size_t i = 0; i < description.channels.size(); ++i) {
    const Channel& channel = description.channels[i];
    if (!is_output(channel) || !channel.declared) continue;
    ChannelReport& c = report.channels[i];
    const FdRef spool = files.spool(i);
    const uint64_t size = c.size;
    auto digests = co_await loop.offload([spool, size] { return digest_file(spool, size); });
    if (!digests) co_return tl::unexpected(std::move(digests).error());
    c.md5 = std::move(digests->md5);
    c.sha256 = std::move(digests->sha256);
  }
  co_return Status{};
}

}  // namespace zvm::host
