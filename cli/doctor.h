// zvm doctor: tries what the daemons need of this kernel and says what to do about the rest. What
// was tried and what it means are apart, so that the meaning is tested without such kernels.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace zvm::cli {

enum class State : uint8_t {
  kGood,
  kWeaker,   // works, with less: slower or less strict
  kMissing,  // a host daemon cannot run like this
  kUnknown,  // could not be tried as this user
};

struct Finding {
  std::string name;
  State state = State::kUnknown;
  std::string found;
  std::string advice;  // "" when there is nothing to do
};

// What trying gave: 0, or the errno.
struct FuseProbe {
  int error = 0;
  std::string step;  // where the error was met
  unsigned major = 0, minor = 0;
  bool passthrough = false;
};

struct CgroupProbe {
  bool unified = false;     // cgroup v2 at /sys/fs/cgroup
  std::string controllers;  // blank-separated
};

Finding judge_io_uring(int error);
Finding judge_user_namespaces(int error, bool as_root);
Finding judge_mount_api(int error);
Finding judge_pidfd(int error);
Finding judge_seccomp(int filter_error, int notify_error);
Finding judge_fuse(const FuseProbe& probe);
Finding judge_cgroup(const CgroupProbe& probe);
Finding judge_reflink(const std::string& dir, int error);
Finding judge_kernel(const std::string& release);

// Tries all; reflinks in each of dirs. Leaves nothing behind; no attempt takes longer than seconds.
std::vector<Finding> examine(const std::vector<std::string>& dirs);

std::string findings_text(const std::vector<Finding>& findings);
std::string findings_json(const std::vector<Finding>& findings);
// 0: a host daemon can run here (maybe weaker); 1: something is missing.
int findings_exit(const std::vector<Finding>& findings);

}  // namespace zvm::cli
