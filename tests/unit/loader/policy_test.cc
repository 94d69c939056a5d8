// Every rule of the policies without a kernel: the filter is interpreted as the kernel would.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <set>
#include <span>

#include "loader/policies/compute.h"
#include "loader/policies/image.h"

namespace zvm::loader {
namespace {

constexpr uint32_t kNoAnswer = 0xdeadbeef;

// The instructions that policyc emits, as bpf(4) and the kernel define them; anything else:
// kNoAnswer.
uint32_t evaluate(std::span<const sock_filter> code, const seccomp_data& data) {
  uint32_t a = 0;
  for (size_t at = 0; at < code.size(); ++at) {
    const sock_filter& i = code[at];
    switch (i.code) {
      case BPF_LD | BPF_W | BPF_ABS:
        if (i.k % 4 != 0 || i.k + 4 > sizeof data) return kNoAnswer;
        std::memcpy(&a, reinterpret_cast<const char*>(&data) + i.k, 4);
        break;
      case BPF_ALU | BPF_AND | BPF_K:
        a &= i.k;
        break;
      case BPF_JMP | BPF_JA:
        at += i.k;
        break;
      case BPF_JMP | BPF_JEQ | BPF_K:
        at += a == i.k ? i.jt : i.jf;
        break;
      case BPF_JMP | BPF_JGE | BPF_K:
        at += a >= i.k ? i.jt : i.jf;
        break;
      case BPF_RET | BPF_K:
        return i.k;
      default:
        return kNoAnswer;
    }
  }
  return kNoAnswer;
}

using Arguments = std::array<uint64_t, 6>;

uint32_t ask(std::span<const sock_filter> code, uint32_t number, Arguments args = {},
    uint32_t arch = AUDIT_ARCH_X86_64) {
  seccomp_data data{};
  data.nr = static_cast<int>(number);
  data.arch = arch;
  std::copy(args.begin(), args.end(), data.args);
  return evaluate(code, data);
}

constexpr uint32_t error(int e) {
  return SECCOMP_RET_ERRNO | static_cast<uint32_t>(e);
}

constexpr uint32_t kAllow = SECCOMP_RET_ALLOW, kKill = SECCOMP_RET_KILL_PROCESS;

struct Named {
  const char* name;
  std::span<const sock_filter> code;
  unsigned calls;
};

class Policy : public ::testing::TestWithParam<Named> {
 protected:
  std::span<const sock_filter> code() const { return GetParam().code; }
};

INSTANTIATE_TEST_SUITE_P(All, Policy,
    ::testing::Values(
        Named{"compute", kComputeFilter, kComputeCalls}, Named{"image", kImageFilter, kImageCalls}),
    [](const auto& test) { return std::string(test.param.name); });

TEST_P(Policy, EveryNumberHasAnAnswer) {
  for (uint32_t n = 0; n < 1024; ++n) {
    const uint32_t answer = ask(code(), n);
    EXPECT_TRUE(answer == kAllow || (answer & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_ERRNO) << n;
  }
}

TEST_P(Policy, ForeignMachineIsKilledWhateverTheNumber) {
  for (uint32_t n = 0; n < 1024; ++n) {
    EXPECT_EQ(ask(code(), n, {}, AUDIT_ARCH_I386), kKill) << n;
    EXPECT_EQ(ask(code(), n, {}, AUDIT_ARCH_AARCH64), kKill) << n;
  }
}

TEST_P(Policy, X32IsKilledWhateverTheNumber) {
  for (uint32_t n = 0; n < 1024; ++n) EXPECT_EQ(ask(code(), 0x40000000u | n), kKill) << n;
  EXPECT_EQ(ask(code(), ~0u), kKill);
}

TEST_P(Policy, AllowsAsManyCallsAsItSays) {
  // Arguments that satisfy some rule of each argument-checked call.
  const std::array<Arguments, 7> tries{Arguments{}, Arguments{0, F_GETFD}, Arguments{0, TCGETS},
      Arguments{0, 0, MADV_FREE}, Arguments{PR_SET_NAME}, Arguments{0, 0, 0, 0, AT_EMPTY_PATH},
      Arguments{0, FIONREAD}};
  std::set<uint32_t> allowed;
  for (uint32_t n = 0; n < 1024; ++n) {
    for (const auto& args : tries) {
      if (ask(code(), n, args) == kAllow) allowed.insert(n);
    }
  }
  EXPECT_EQ(allowed.size(), GetParam().calls);
}

TEST_P(Policy, NothingThatChangesTheMachineIsAllowed) {
  for (const uint32_t n :
      {SYS_mount, SYS_umount2, SYS_pivot_root, SYS_chroot, SYS_unshare, SYS_setns, SYS_ptrace,
          SYS_process_vm_readv, SYS_process_vm_writev, SYS_bpf, SYS_perf_event_open,
          SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register, SYS_userfaultfd,
          SYS_keyctl, SYS_add_key, SYS_request_key, SYS_open_by_handle_at, SYS_name_to_handle_at,
          SYS_memfd_create, SYS_personality, SYS_modify_ldt, SYS_iopl, SYS_init_module,
          SYS_finit_module, SYS_kexec_load, SYS_reboot, SYS_swapon, SYS_clone3, SYS_pidfd_getfd,
          SYS_shmget, SYS_semget, SYS_msgget, SYS_mq_open, SYS_fanotify_init, SYS_inotify_init1,
          SYS_connect, SYS_bind, SYS_sendmsg, SYS_setuid, SYS_setresuid, SYS_setgroups, SYS_capset,
          SYS_seccomp, SYS_sethostname, SYS_clock_settime, SYS_settimeofday, SYS_fsopen,
          SYS_fsmount, SYS_open_tree, SYS_move_mount, SYS_mount_setattr, SYS_vmsplice,
          SYS_move_pages, SYS_mbind, SYS_sched_setscheduler, SYS_syslog}) {
    EXPECT_EQ(ask(code(), n), error(ENOSYS)) << n;
  }
}

TEST_P(Policy, SocketsLookLikeAnAbsentFamily) {
  EXPECT_EQ(ask(code(), SYS_socket, {1}), error(EAFNOSUPPORT));
}

TEST_P(Policy, CallsBeyondTheTableLookUnsupported) {
  for (const uint32_t n : {500u, 600u, 1000u, 1023u}) EXPECT_EQ(ask(code(), n), error(ENOSYS));
}

TEST_P(Policy, OnlyKnownIoctlsArePassed) {
  EXPECT_EQ(ask(code(), SYS_ioctl, {0, TCGETS}), kAllow);
  EXPECT_EQ(ask(code(), SYS_ioctl, {0, TIOCSTI}), error(ENOTTY));
  EXPECT_EQ(ask(code(), SYS_ioctl, {0, 0x40086602}), error(ENOTTY));  // FS_IOC_SETFLAGS
  EXPECT_EQ(ask(code(), SYS_ioctl, {0, (uint64_t{1} << 32) | TCGETS}),
      error(ENOTTY));  // dirty upper half
}

TEST_P(Policy, LimitsCanBeReadNotSet) {
  EXPECT_EQ(ask(code(), SYS_prlimit64, {0, 3, 0, 0x1000}), kAllow);
  EXPECT_EQ(ask(code(), SYS_prlimit64, {0, 3, 0x1000, 0}), error(EPERM));
  EXPECT_EQ(ask(code(), SYS_prlimit64, {0, 3, uint64_t{1} << 32, 0}), error(EPERM));
}

TEST_P(Policy, DescriptorsSendNoSignals) {
  EXPECT_EQ(ask(code(), SYS_fcntl, {0, F_GETFL}), kAllow);
  for (const uint64_t command :
      {F_SETOWN, F_SETSIG, F_NOTIFY, F_SETLEASE, F_SETPIPE_SZ, F_ADD_SEALS}) {
    EXPECT_EQ(ask(code(), SYS_fcntl, {0, command}), error(EINVAL)) << command;
  }
}

TEST_P(Policy, NoAdviceThatTouchesOthers) {
  EXPECT_EQ(ask(code(), SYS_madvise, {0, 0, MADV_DONTNEED}), kAllow);
  EXPECT_EQ(ask(code(), SYS_madvise, {0, 0, MADV_HWPOISON}), error(EINVAL));
  EXPECT_EQ(ask(code(), SYS_madvise, {0, 0, MADV_MERGEABLE}), error(EINVAL));
}

TEST(ComputePolicy, MakesNoExecutableMemory) {
  for (const uint32_t n : {SYS_mmap, SYS_mprotect}) {
    EXPECT_EQ(ask(kComputeFilter, n, {0, 4096, PROT_READ | PROT_WRITE}), kAllow);
    EXPECT_EQ(ask(kComputeFilter, n, {0, 4096, PROT_EXEC}), error(EPERM));
    EXPECT_EQ(ask(kComputeFilter, n, {0, 4096, (uint64_t{1} << 32) | PROT_EXEC}), error(EPERM));
  }
}

TEST(ComputePolicy, StartsNothingByPath) {
  EXPECT_EQ(ask(kComputeFilter, SYS_execve), error(EPERM));
  EXPECT_EQ(ask(kComputeFilter, SYS_execveat, {3, 0, 0, 0, AT_EMPTY_PATH}), kAllow);
  EXPECT_EQ(ask(kComputeFilter, SYS_execveat, {3, 0, 0, 0, 0}), error(EPERM));
  EXPECT_EQ(ask(kComputeFilter, SYS_execveat, {3, 0, 0, 0, (uint64_t{1} << 32) | AT_EMPTY_PATH}),
      error(EPERM));
}

TEST(ComputePolicy, HasOneProcess) {
  for (const uint32_t n : {SYS_clone, SYS_fork, SYS_vfork, SYS_wait4, SYS_kill}) {
    EXPECT_EQ(ask(kComputeFilter, n, {SIGCHLD}), error(ENOSYS)) << n;
  }
}

TEST(ImagePolicy, ClonesThreadsAndChildrenButNoNamespace) {
  const uint64_t thread = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
                          CLONE_SYSVSEM | CLONE_SETTLS;
  EXPECT_EQ(ask(kImageFilter, SYS_clone, {thread}), kAllow);
  EXPECT_EQ(ask(kImageFilter, SYS_clone, {CLONE_CHILD_SETTID | SIGCHLD}), kAllow);
  for (const uint64_t flag : {CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC,
           CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET, CLONE_PTRACE}) {
    EXPECT_EQ(ask(kImageFilter, SYS_clone, {flag | SIGCHLD}), error(EPERM)) << flag;
    EXPECT_EQ(ask(kImageFilter, SYS_clone, {(uint64_t{1} << 32) | flag | SIGCHLD}), error(EPERM))
        << flag;
  }
}

TEST(ImagePolicy, NonBlockingButNeverSignalDriven) {
  EXPECT_EQ(ask(kImageFilter, SYS_fcntl, {0, F_SETFL, O_NONBLOCK}), kAllow);
  EXPECT_EQ(ask(kImageFilter, SYS_fcntl, {0, F_SETFL, O_ASYNC}), error(EINVAL));
}

TEST(ImagePolicy, PrctlNamesThreadsOnly) {
  EXPECT_EQ(ask(kImageFilter, SYS_prctl, {PR_SET_NAME}), kAllow);
  for (const uint64_t option :
      {PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_MM, PR_SET_PTRACER, PR_CAP_AMBIENT}) {
    EXPECT_EQ(ask(kImageFilter, SYS_prctl, {option}), error(EINVAL)) << option;
  }
}

}  // namespace
}  // namespace zvm::loader
