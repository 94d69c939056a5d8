#include "host/plan.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/config_reader.h"
#include "loader/elf_check.h"

namespace zvm::host {

namespace wire = loader::wire;
using protocol::Channel;
using protocol::Description;

namespace {

constexpr uint64_t kStack = 8u << 20;
constexpr uint64_t kLeastGrowth = uint64_t{1} << 30;
constexpr uint64_t kMaxJailTmp = 256u << 20;
constexpr uint32_t kTmpInodes = 16 * 1024;
constexpr uint32_t kOpenFiles = 256;
constexpr uint32_t kImageProcesses = 64;

// What an interpreter needs to start without asking the network or the user database
// (HOME: without it Python looks the user up by a socket).
constexpr std::pair<const char*, const char*> kDefaultEnv[] = {
    {"PATH", "/usr/local/bin:/usr/bin:/bin"}, {"HOME", "/tmp"}, {"LANG", "C.UTF-8"}};

std::vector<std::string> environment(const Description& d) {
  std::vector<std::string> env;
  for (const auto& [name, value] : kDefaultEnv) {
    const bool given = std::any_of(
        d.env.begin(), d.env.end(), [&](const auto& pair) { return pair.first == name; });
    if (!given) env.push_back(std::string(name) + "=" + value);
  }
  for (const auto& [name, value] : d.env) env.push_back(name + "=" + value);
  return env;
}

// What a private copy of an object may grow to: the object and as much again as the node may put
// out. Never less than an output's own limit, so that EDQUOT comes before SIGXFSZ.
uint64_t largest_file(const Description& d) {
  uint64_t object = 0;
  uint64_t output = kLeastGrowth;
  for (const Channel& c : d.channels) {
    object = std::max(object, c.object.length);
    output = std::max(output, c.max_bytes);
  }
  return std::min(object, wire::kMaxFile) + std::min(output, wire::kMaxFile) + 1;
}

wire::Limits limits(const Description& d, wire::Policy policy) {
  const auto cpu = std::chrono::ceil<std::chrono::seconds>(d.cpu).count();
  wire::Limits l{};
  l.memory = std::clamp(d.memory, wire::kMinMemory, wire::kMaxMemory);
  l.stack = std::clamp(kStack, wire::kMinStack, wire::kMaxStack);
  // The tmpfs counts to the node's memory: neither may take all of it.
  l.tmp_bytes = std::clamp(d.memory / 4, wire::kMinTmp, kMaxJailTmp);
  l.tmp_inodes = kTmpInodes;
  l.cpu_seconds = static_cast<uint32_t>(std::clamp<int64_t>(cpu, 1, wire::kMaxCpuSeconds));
  l.file_bytes = std::clamp(largest_file(d), wire::kMinFile, wire::kMaxFile);
  l.open_files = kOpenFiles;
  l.processes = policy == wire::Policy::kCompute ? 1 : kImageProcesses;
  return l;
}

tl::unexpected<Error> refuse(std::string why) {
  return fail(Origin::kClient, Kind::kInvalid, std::move(why));
}

// Whether it is static. Refuses what is no program for this machine.
Result<bool> check_program(const ProgramBytes& program) {
  std::vector<std::byte> head(std::min<uint64_t>(program.size, loader::kElfHeadBytes));
  const ssize_t n = ::pread(program.memfd.get(), head.data(), head.size(), 0);
  if (n < 0) return fail_errno("reading the program", errno);
  head.resize(static_cast<size_t>(n));
  ZVM_TRY(const auto elf, loader::check_elf(head, program.size));
  return elf.is_static;
}

// The policy that the description asks for, or that fits the program.
Result<wire::Policy> policy_for(const Description& d, bool is_static) {
  if (d.policy == "image") return wire::Policy::kImage;
  if (d.policy == "compute" && !is_static)
    return refuse("policy compute runs one static program; this one needs an interpreter");
  if (d.policy == "compute" || d.policy.empty())
    return is_static ? wire::Policy::kCompute : wire::Policy::kImage;
  return refuse("no policy " + d.policy);
}

Status over(const char* key, const std::string& cap) {
  return fail(Origin::kClient, Kind::kInvalid, fmt::format("{}: at most {} here", key, cap));
}

}  // namespace

Status check_caps(const Description& d, const Caps& caps) {
  if (d.timeout > caps.timeout) return over("timeout", duration_text(caps.timeout));
  if (d.cpu > caps.cpu) return over("cpu", duration_text(caps.cpu));
  if (d.memory > caps.memory) return over("memory", size_text(caps.memory));
  for (const Channel& c : d.channels) {
    if (c.max_bytes > caps.max_output) return over("max_output", size_text(caps.max_output));
  }
  return {};
}

Result<PlannedJail> plan_jail(const Description& d, const ProgramBytes* program) {
  PlannedJail planned;
  JailPlan& jail = planned.jail;
  if (d.program.image != "host") return refuse("this node has no image " + d.program.image);
  jail.image = d.program.image;
  jail.path = d.program.path;
  bool is_static = false;
  if (program != nullptr) {
    ZVM_TRY(is_static, check_program(*program));
    jail.program = program->memfd;
    planned.validation = kCheckedElf;
  }
  ZVM_TRY(jail.policy, policy_for(d, is_static));
  jail.limits = limits(d, jail.policy);
  jail.argv = d.argv;
  jail.env = environment(d);
  jail.stdin_is_channel = std::any_of(
      d.channels.begin(), d.channels.end(), [](const Channel& c) { return c.name == "stdin"; });
  return planned;
}

}  // namespace zvm::host
