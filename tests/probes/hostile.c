// Tries to leave its jail, or to see that it is in one. `hostile all` prints a line per probe:
// its name and "ok" or the errno; `hostile NAME` tries one, for those that are answered by death.
// What each must answer is in tests/kernel/loader/hostile_test.cc.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#define TRY(name, expression) \
  static long name(void) {    \
    return (expression);      \
  }

TRY(mount_tmpfs, syscall(SYS_mount, "none", "/tmp", "tmpfs", 0, NULL))
TRY(umount_dev, syscall(SYS_umount2, "/dev", 2))
TRY(remount_usr, syscall(SYS_mount, NULL, "/usr", NULL, 32 | 4096, NULL))
TRY(fsopen_tmpfs, syscall(SYS_fsopen, "tmpfs", 0))
TRY(open_tree_root, syscall(SYS_open_tree, AT_FDCWD, "/", 1))
TRY(move_mount_none, syscall(SYS_move_mount, -1, "", AT_FDCWD, "/tmp", 4))
TRY(pivot, syscall(SYS_pivot_root, ".", "."))
TRY(chroot_tmp, syscall(SYS_chroot, "/tmp"))
TRY(unshare_user, syscall(SYS_unshare, CLONE_NEWUSER))
TRY(unshare_mount, syscall(SYS_unshare, CLONE_NEWNS))
TRY(unshare_net, syscall(SYS_unshare, CLONE_NEWNET))
TRY(setns_stdin, syscall(SYS_setns, 0, 0))
TRY(clone3_none, syscall(SYS_clone3, NULL, 0))
TRY(ptrace_init, syscall(SYS_ptrace, 16, 1, 0, 0))
TRY(read_init_memory, syscall(SYS_process_vm_readv, 1, NULL, 0, NULL, 0, 0))
TRY(pidfd_of_init, syscall(SYS_pidfd_open, 1, 0))
TRY(kcmp_init, syscall(SYS_kcmp, 1, 1, 0, 0, 0))
TRY(bpf_map, syscall(SYS_bpf, 0, NULL, 0))
TRY(perf, syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0))
TRY(io_uring, syscall(SYS_io_uring_setup, 8, NULL))
TRY(keyctl_session, syscall(SYS_keyctl, 0, 0))
TRY(add_key_user, syscall(SYS_add_key, "user", "x", "y", 1, -3))
TRY(userfault, syscall(SYS_userfaultfd, 1))
TRY(memfd, syscall(SYS_memfd_create, "x", 0))
TRY(shared_memory, syscall(SYS_shmget, 0, 4096, 01600))
TRY(message_queue, syscall(SYS_mq_open, "/x", O_CREAT | O_RDWR, 0600, NULL))
TRY(socket_unix, socket(AF_UNIX, SOCK_STREAM, 0))
TRY(socket_inet, socket(AF_INET, SOCK_STREAM, 0))
TRY(socket_netlink, socket(AF_NETLINK, SOCK_RAW, 0))
TRY(socket_packet, socket(AF_PACKET, SOCK_RAW, 0))
TRY(socket_vsock, socket(AF_VSOCK, SOCK_STREAM, 0))
TRY(socket_alg, socket(AF_ALG, SOCK_SEQPACKET, 0))
TRY(handle_of_root, syscall(SYS_name_to_handle_at, AT_FDCWD, "/", NULL, NULL, 0))
TRY(open_by_handle, syscall(SYS_open_by_handle_at, AT_FDCWD, NULL, 0))
TRY(fanotify, syscall(SYS_fanotify_init, 0, 0))
TRY(inotify, syscall(SYS_inotify_init1, 0))
TRY(mknod_device, mknod("/tmp/node", S_IFCHR | 0600, 0x103))
TRY(mknod_fifo, mknod("/tmp/fifo", S_IFIFO | 0600, 0))
TRY(set_uid_root, syscall(SYS_setuid, 0))
TRY(set_groups, syscall(SYS_setgroups, 0, NULL))
TRY(set_host_name, syscall(SYS_sethostname, "x", 1))
TRY(set_clock, syscall(SYS_clock_settime, 0, NULL))
TRY(personality_exec, syscall(SYS_personality, 0x0400000))
TRY(ldt, syscall(SYS_modify_ldt, 0, NULL, 0))
TRY(kernel_log, syscall(SYS_syslog, 3, NULL, 0))
TRY(another_filter, syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, NULL))
TRY(prctl_dumpable, prctl(PR_SET_DUMPABLE, 1, 0, 0, 0))
TRY(inject_terminal, ioctl(0, TIOCSTI, "x"))
TRY(inode_flags, ioctl(1, _IOW('f', 2, long), NULL))
TRY(own_signal_by_fd, fcntl(0, F_SETOWN, getpid()))
TRY(open_proc, open("/proc/self/exe", O_RDONLY))
TRY(open_sys, open("/sys", O_RDONLY))
TRY(open_etc_shadow, open("/etc/shadow", O_RDONLY))
TRY(open_etc_swift, open("/etc/swift", O_RDONLY))
TRY(open_devices, open("/srv/node", O_RDONLY))
TRY(open_run, open("/run", O_RDONLY))
TRY(open_fuse_device, open("/dev/fuse", O_RDWR))
TRY(open_above_root, open("/../../../../etc/shadow", O_RDONLY))
TRY(write_root, open("/x", O_CREAT | O_WRONLY, 0600))
TRY(write_usr, open("/usr/x", O_CREAT | O_WRONLY, 0600))
TRY(write_etc, open("/etc/passwd", O_WRONLY))
TRY(write_dev, open("/dev/x", O_CREAT | O_WRONLY, 0600))
TRY(fd_above_two, fcntl(3, F_GETFD))
TRY(kill_init, kill(1, SIGKILL) == 0 && getpid() > 0 ? 0 : -1)
TRY(write_tmp, open("/tmp/x", O_CREAT | O_WRONLY, 0600))
TRY(write_null, write(open("/dev/null", O_WRONLY), "x", 1) - 1)
TRY(read_zero, ({
  char c = 1;
  read(open("/dev/zero", O_RDONLY), &c, 1) == 1 && c == 0 ? 0 : -1;
}))
TRY(read_random, ({
  char c;
  read(open("/dev/urandom", O_RDONLY), &c, 1) - 1;
}))
TRY(write_full, ({ write(open("/dev/full", O_WRONLY), "x", 1) == -1 && errno == ENOSPC ? 0 : -1; }))

static long raise_limit(void) {
  struct rlimit more = {1 << 20, 1 << 20};
  return prlimit(0, RLIMIT_NOFILE, &more, NULL);
}

static long clone_user(void) {
  const long r = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
  if (r == 0) _exit(0);
  return r;
}

static long clone_net_dirty(void) {  // junk in the upper half of the flags
  const long r = syscall(SYS_clone, (1ul << 32) | CLONE_NEWNET | SIGCHLD, 0, 0, 0, 0);
  if (r == 0) _exit(0);
  return r;
}

static long writable_code(void) {
  return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
                 MAP_FAILED
             ? -1
             : 0;
}

static long run_tmp(void) {
  const int fd = open("/tmp/run", O_CREAT | O_WRONLY, 0700);
  if (fd < 0 || write(fd, "#!/absent\n", 10) != 10 || close(fd) != 0) return -1;
  char* argv[] = {"/tmp/run", NULL};
  return execve("/tmp/run", argv, NULL);
}

// Answered by death, each tried alone.
static long x32_getpid(void) {
  return syscall(0x40000000 | SYS_getpid);
}

static long int80_getpid(void) {
  long r;
  __asm__ volatile("int $0x80" : "=a"(r) : "a"(20l) : "memory", "r8", "r9", "r10", "r11");
  return r;
}

struct probe {
  const char* name;
  long (*run)(void);
  int alone;
};

#define P(name) \
  { #name, name, 0 }
static const struct probe probes[] = {P(mount_tmpfs), P(umount_dev), P(remount_usr),
    P(fsopen_tmpfs), P(open_tree_root), P(move_mount_none), P(pivot), P(chroot_tmp),
    P(unshare_user), P(unshare_mount), P(unshare_net), P(setns_stdin), P(clone_user),
    P(clone_net_dirty), P(clone3_none), P(ptrace_init), P(read_init_memory), P(pidfd_of_init),
    P(kcmp_init), P(bpf_map), P(perf), P(io_uring), P(keyctl_session), P(add_key_user),
    P(userfault), P(memfd), P(shared_memory), P(message_queue), P(socket_unix), P(socket_inet),
    P(socket_netlink), P(socket_packet), P(socket_vsock), P(socket_alg), P(handle_of_root),
    P(open_by_handle), P(fanotify), P(inotify), P(mknod_device), P(mknod_fifo), P(set_uid_root),
    P(set_groups), P(set_host_name), P(set_clock), P(personality_exec), P(ldt), P(kernel_log),
    P(another_filter), P(prctl_dumpable), P(inject_terminal), P(inode_flags), P(own_signal_by_fd),
    P(open_proc), P(open_sys), P(open_etc_shadow), P(open_etc_swift), P(open_devices), P(open_run),
    P(open_fuse_device), P(open_above_root), P(write_root), P(write_usr), P(write_etc),
    P(write_dev), P(fd_above_two), P(raise_limit), P(writable_code), P(run_tmp), P(write_tmp),
    P(write_null), P(read_zero), P(read_random), P(write_full), P(kill_init),
    {"x32_getpid", x32_getpid, 1}, {"int80_getpid", int80_getpid, 1}};

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const int all = strcmp(argv[1], "all") == 0;
  char line[128];
  for (size_t i = 0; i < sizeof probes / sizeof *probes; ++i) {
    if (all ? probes[i].alone : strcmp(argv[1], probes[i].name) != 0) continue;
    errno = 0;
    const long r = probes[i].run();
    const char* answer = r >= 0 ? "ok" : strerrorname_np(errno);
    const int n =
        snprintf(line, sizeof line, "%s %s\n", probes[i].name, answer != NULL ? answer : "?");
    if (write(1, line, (size_t)n) != n) return 1;
  }
  return 0;
}
