#include "cli/doctor.h"

#include <cerrno>
#include <cstring>

#include "base/json.h"

namespace zvm::cli {

namespace {

std::string error_text(int error) {
  return std::strerror(error);
}

const char* word(State state) {
  switch (state) {
    case State::kGood:
      return "good";
    case State::kWeaker:
      return "weaker";
    case State::kMissing:
      return "missing";
    case State::kUnknown:
      break;
  }
  return "unknown";
}

bool has_word(const std::string& list, const std::string& wanted) {
  return (" " + list + " ").find(" " + wanted + " ") != std::string::npos;
}

}  // namespace

Finding judge_kernel(const std::string& release) {
  return {"kernel", State::kGood, release, ""};
}

Finding judge_io_uring(int error) {
  if (error == 0) return {"io_uring", State::kGood, "a ring can be made", ""};
  Finding f{"io_uring", State::kMissing, error_text(error), ""};
  if (error == EPERM)
    f.advice = "allow it: sysctl kernel.io_uring_disabled=0 (2 forbids it, 1 needs io_uring_group)";
  else if (error == ENOMEM)
    f.advice = "raise the limit of locked memory (LimitMEMLOCK= of the unit)";
  else
    f.advice =
        "use a kernel with CONFIG_IO_URING, 6.1 or newer; inside a container, its seccomp profile "
        "forbids it";
  return f;
}

Finding judge_user_namespaces(int error, bool as_root) {
  if (error == 0)
    return {"user-namespaces", State::kGood, "user, mount and pid namespaces can be made", ""};
  Finding f{"user-namespaces", State::kMissing, error_text(error), ""};
  if (error == ENOSPC || error == EUSERS)
    f.advice = "raise user.max_user_namespaces (sysctl)";
  else if (!as_root) {
    f.state = State::kUnknown;
    f.advice = "forbidden to this user; the broker has the right: run zvm doctor as root";
  } else {
    f.advice = "use a kernel with CONFIG_USER_NS; inside a container, allow nested namespaces";
  }
  return f;
}

Finding judge_mount_api(int error) {
  // EPERM is the answer to somebody without the right: the call is there.
  if (error == 0 || error == EPERM) return {"mount-api", State::kGood, "fsopen is there", ""};
  return {"mount-api", State::kMissing, error_text(error), "use a kernel of 6.1 or newer"};
}

Finding judge_pidfd(int error) {
  if (error == 0) return {"pidfd", State::kGood, "pidfd_open works", ""};
  return {"pidfd", State::kMissing, error_text(error), "use a kernel of 6.1 or newer"};
}

Finding judge_seccomp(int filter_error, int notify_error) {
  if (filter_error != 0)
    return {"seccomp", State::kMissing, error_text(filter_error),
        "use a kernel with CONFIG_SECCOMP_FILTER: no program is run without a filter"};
  if (notify_error != 0)
    return {"seccomp", State::kWeaker, "filters, without user notification",
        "reports cannot name the call that a policy forbade; use a kernel of 5.0 or newer"};
  return {"seccomp", State::kGood, "filters and user notification", ""};
}

Finding judge_fuse(const FuseProbe& p) {
  if (p.error == ENOENT || p.error == ENODEV || p.error == ENXIO)
    return {"fuse", State::kMissing, "no /dev/fuse", "modprobe fuse"};
  if (p.error == EPERM || p.error == EACCES)
    return {"fuse", State::kUnknown, p.step + ": " + error_text(p.error),
        "this user cannot mount: run zvm doctor as root"};
  if (p.error != 0)
    return {"fuse", State::kMissing, p.step + ": " + error_text(p.error),
        "FUSE does not answer; look at the kernel's log"};
  const std::string version = "FUSE " + std::to_string(p.major) + "." + std::to_string(p.minor);
  if (!p.passthrough)
    return {"fuse", State::kWeaker, version + ", no passthrough",
        "objects are read through the daemon, several times slower; passthrough needs Linux 6.9 "
        "and "
        "CONFIG_FUSE_PASSTHROUGH"};
  return {"fuse", State::kGood, version + ", passthrough offered", ""};
}

Finding judge_cgroup(const CgroupProbe& p) {
  if (!p.unified)
    return {"cgroup", State::kWeaker, "no cgroup v2 at /sys/fs/cgroup",
        "memory and processes are bounded by rlimits only; boot with "
        "systemd.unified_cgroup_hierarchy=1"};
  std::string missing;
  for (const char* wanted : {"cpu", "memory", "pids", "io"})
    if (!has_word(p.controllers, wanted))
      missing += std::string(missing.empty() ? "" : " ") + wanted;
  if (!missing.empty())
    return {"cgroup", State::kWeaker, "cgroup v2 without: " + missing,
        "these limits fall back to rlimits; delegate the controllers (Delegate= of the unit "
        "above)"};
  return {"cgroup", State::kGood, "cgroup v2: " + p.controllers, ""};
}

Finding judge_reflink(const std::string& dir, int error) {
  const std::string name = "reflink " + dir;
  if (error == 0) return {name, State::kGood, "FICLONE works", ""};
  if (error == EOPNOTSUPP || error == ENOTTY || error == EINVAL || error == EXDEV ||
      error == ENOSYS)
    return {name, State::kWeaker, "the file system has no reflinks",
        "writing to an input copies it first, up to a limit; XFS and btrfs have reflinks"};
  return {name, State::kUnknown, error_text(error), "give a folder that this user may write to"};
}

std::string findings_text(const std::vector<Finding>& findings) {
  size_t width = 0;
  for (const Finding& f : findings) width = std::max(width, f.name.size());
  std::string out;
  for (const Finding& f : findings) {
    const std::string state = word(f.state);
    out += f.name + std::string(width - f.name.size() + 2, ' ') + state +
           std::string(9 - state.size(), ' ') + f.found + "\n";
    if (!f.advice.empty()) out += std::string(width + 11, ' ') + "-> " + f.advice + "\n";
  }
  return out;
}

std::string findings_json(const std::vector<Finding>& findings) {
  Json list = Json::array();
  for (const Finding& f : findings)
    list.push_back(
        {{"name", f.name}, {"state", word(f.state)}, {"found", f.found}, {"advice", f.advice}});
  return dump_json(list) + "\n";
}

int findings_exit(const std::vector<Finding>& findings) {
  for (const Finding& f : findings)
    if (f.state == State::kMissing) return 1;
  return 0;
}

}  // namespace zvm::cli
