// What a hostile program gets from its jail (tests/probes/hostile.c), and what it sees.
#include <gtest/gtest.h>

#include <map>
#include <sstream>

#include "tests/kernel/loader/jail_test.h"

namespace zvm::loader::testing {
namespace {

class Hostile : public JailTest {
 protected:
  Outcome probe(wire::Policy policy, const std::string& what) {
    JailSpec spec;
    spec.policy = policy;
    spec.program_file = ZVM_HOSTILE;
    spec.argv = {"hostile", what};
    return run(*client, std::move(spec));
  }
};

struct Expected {
  const char* probe;
  const char* compute;
  const char* image;
};

// ENOSYS: not in the policy. Other answers come from a rule, or from what the jail has not.
const Expected kExpected[] = {
    {"mount_tmpfs", "ENOSYS", "ENOSYS"}, {"umount_dev", "ENOSYS", "ENOSYS"},
    {"remount_usr", "ENOSYS", "ENOSYS"}, {"fsopen_tmpfs", "ENOSYS", "ENOSYS"},
    {"open_tree_root", "ENOSYS", "ENOSYS"}, {"move_mount_none", "ENOSYS", "ENOSYS"},
    {"pivot", "ENOSYS", "ENOSYS"}, {"chroot_tmp", "ENOSYS", "ENOSYS"},
    {"unshare_user", "ENOSYS", "ENOSYS"}, {"unshare_mount", "ENOSYS", "ENOSYS"},
    {"unshare_net", "ENOSYS", "ENOSYS"}, {"setns_stdin", "ENOSYS", "ENOSYS"},
    {"clone_user", "ENOSYS", "EPERM"}, {"clone_net_dirty", "ENOSYS", "EPERM"},
    {"clone3_none", "ENOSYS", "ENOSYS"}, {"ptrace_init", "ENOSYS", "ENOSYS"},
    {"read_init_memory", "ENOSYS", "ENOSYS"}, {"pidfd_of_init", "ENOSYS", "ENOSYS"},
    {"kcmp_init", "ENOSYS", "ENOSYS"}, {"bpf_map", "ENOSYS", "ENOSYS"},
    {"perf", "ENOSYS", "ENOSYS"}, {"io_uring", "ENOSYS", "ENOSYS"},
    {"keyctl_session", "ENOSYS", "ENOSYS"}, {"add_key_user", "ENOSYS", "ENOSYS"},
    {"userfault", "ENOSYS", "ENOSYS"}, {"memfd", "ENOSYS", "ENOSYS"},
    {"shared_memory", "ENOSYS", "ENOSYS"}, {"message_queue", "ENOSYS", "ENOSYS"},
    {"socket_unix", "EAFNOSUPPORT", "EAFNOSUPPORT"},
    {"socket_inet", "EAFNOSUPPORT", "EAFNOSUPPORT"},
    {"socket_netlink", "EAFNOSUPPORT", "EAFNOSUPPORT"},
    {"socket_packet", "EAFNOSUPPORT", "EAFNOSUPPORT"},
    {"socket_vsock", "EAFNOSUPPORT", "EAFNOSUPPORT"},
    {"socket_alg", "EAFNOSUPPORT", "EAFNOSUPPORT"}, {"handle_of_root", "ENOSYS", "ENOSYS"},
    {"open_by_handle", "ENOSYS", "ENOSYS"}, {"fanotify", "ENOSYS", "ENOSYS"},
    {"inotify", "ENOSYS", "ENOSYS"}, {"mknod_device", "ENOSYS", "EPERM"},
    {"mknod_fifo", "ENOSYS", "EPERM"}, {"set_uid_root", "ENOSYS", "ENOSYS"},
    {"set_groups", "ENOSYS", "ENOSYS"}, {"set_host_name", "ENOSYS", "ENOSYS"},
    {"set_clock", "ENOSYS", "ENOSYS"}, {"personality_exec", "ENOSYS", "ENOSYS"},
    {"ldt", "ENOSYS", "ENOSYS"}, {"kernel_log", "ENOSYS", "ENOSYS"},
    {"another_filter", "ENOSYS", "ENOSYS"}, {"prctl_dumpable", "ENOSYS", "EINVAL"},
    {"inject_terminal", "ENOTTY", "ENOTTY"}, {"inode_flags", "ENOTTY", "ENOTTY"},
    {"own_signal_by_fd", "EINVAL", "EINVAL"}, {"open_proc", "ENOENT", "ENOENT"},
    {"open_sys", "ENOENT", "ENOENT"}, {"open_etc_shadow", "ENOENT", "ENOENT"},
    {"open_etc_swift", "ENOENT", "ENOENT"}, {"open_devices", "ENOENT", "ENOENT"},
    {"open_run", "ENOENT", "ENOENT"}, {"open_fuse_device", "ENOENT", "ENOENT"},
    {"open_above_root", "ENOENT", "ENOENT"}, {"write_root", "EROFS", "EROFS"},
    {"write_usr", "EROFS", "EROFS"}, {"write_etc", "EACCES", "EACCES"},
    {"write_dev", "EACCES", "EACCES"}, {"fd_above_two", "EBADF", "EBADF"},
    {"raise_limit", "EPERM", "EPERM"}, {"writable_code", "EPERM", "ok"},
    {"run_tmp", "EPERM", "ENOENT"},  // image: it would run, but its interpreter is absent
    {"write_tmp", "ok", "ok"}, {"write_null", "ok", "ok"}, {"read_zero", "ok", "ok"},
    {"read_random", "ok", "ok"}, {"write_full", "ok", "ok"},
    {"kill_init", "ENOSYS", "ok"},  // sent, and without effect: pid 1 of a pid namespace
};

std::map<std::string, std::string> answers(const std::string& text) {
  std::map<std::string, std::string> out;
  std::istringstream lines(text);
  for (std::string name, answer; lines >> name >> answer;) out[name] = answer;
  return out;
}

TEST_F(Hostile, EveryProbeGetsTheAnswerOfTheTable) {
  for (const auto policy : {wire::Policy::kCompute, wire::Policy::kImage}) {
    const bool compute = policy == wire::Policy::kCompute;
    const Outcome outcome = probe(policy, "all");
    EXPECT_EQ(outcome.text(), "exit 0") << outcome.err;
    auto seen = answers(outcome.out);
    for (const auto& e : kExpected) {
      EXPECT_EQ(seen[e.probe], compute ? e.compute : e.image)
          << e.probe << (compute ? " (compute)" : " (image)");
      seen.erase(e.probe);
    }
    for (const auto& [name, answer] : seen)
      ADD_FAILURE() << "not in the table: " << name << ' ' << answer;
  }
}

TEST_F(Hostile, ForeignCallingConventionsAreDeath) {
  for (const auto policy : {wire::Policy::kCompute, wire::Policy::kImage}) {
    EXPECT_EQ(probe(policy, "x32_getpid").text(), "signal 31");
    EXPECT_EQ(probe(policy, "int80_getpid").text(), "signal 31");
  }
}

}  // namespace
}  // namespace zvm::loader::testing
