// Every way in which a jail ends from outside, and every request that must be refused.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>

#include "tests/kernel/loader/jail_test.h"

namespace zvm::loader::testing {
namespace {

JailSpec sleeper() {
  JailSpec spec;
  spec.path = "/bin/sh";
  spec.argv = {"sh", "-c", "trap '' TERM; echo up; sleep 1000 & sleep 1000; echo not reached"};
  return spec;
}

class Lifecycle : public JailTest {};

TEST_F(Lifecycle, KillEndsEverything) {
  Jail jail(*client, sleeper());
  ASSERT_EQ(jail.start().error, 0);
  ASSERT_TRUE(jail.wait_output("up"));
  EXPECT_EQ(jail.kill().error, 0);
  EXPECT_TRUE(jail.wait_gone());
  EXPECT_FALSE(jail.wait());  // end of file, no report
}

TEST_F(Lifecycle, ACutLeashEndsEverything) {
  Jail jail(*client, sleeper());
  ASSERT_EQ(jail.start().error, 0);
  ASSERT_TRUE(jail.wait_output("up"));
  jail.cut_leash();
  EXPECT_TRUE(jail.wait_gone());
}

TEST_F(Lifecycle, ALostConnectionEndsItsJailsOnly) {
  Client other(broker->socket_path());
  Jail theirs(other, sleeper());
  Jail ours(*client, sleeper());
  ASSERT_EQ(theirs.start().error, 0);
  ASSERT_EQ(ours.start().error, 0);
  ASSERT_TRUE(theirs.wait_output("up"));
  ASSERT_TRUE(ours.wait_output("up"));
  other.close();
  EXPECT_TRUE(theirs.wait_gone());
  pollfd still{ours.pidfd().fd, POLLIN, 0};
  EXPECT_EQ(::poll(&still, 1, 0), 0);
}

TEST_F(Lifecycle, ADeadBrokerEndsLauncherAndJails) {
  TestBroker own;
  Client connection(own.socket_path());
  Jail jail(connection, sleeper());
  ASSERT_EQ(jail.start().error, 0);
  ASSERT_TRUE(jail.wait_output("up"));
  own.kill_now();
  EXPECT_TRUE(jail.wait_gone());
  connection.close();
}

TEST_F(Lifecycle, ADeadLauncherEndsItsJailsAndIsReplaced) {
  TestBroker own;
  Client connection(own.socket_path());
  {
    Jail jail(connection, sleeper());
    ASSERT_EQ(jail.start().error, 0);
    ASSERT_TRUE(jail.wait_output("up"));
    // The broker's only child.
    std::ifstream children(
        "/proc/" + std::to_string(own.pid()) + "/task/" + std::to_string(own.pid()) + "/children");
    pid_t launcher = 0;
    children >> launcher;
    ASSERT_GT(launcher, 0);
    ASSERT_EQ(::kill(launcher, SIGKILL), 0);
    EXPECT_TRUE(jail.wait_gone());
  }
  JailSpec spec;
  spec.path = "/bin/true";
  EXPECT_EQ(run(connection, spec).text(), "exit 0");
}

TEST_F(Lifecycle, TermEndsTheBrokerAndItsJails) {
  TestBroker own;
  Client connection(own.socket_path());
  Jail jail(connection, sleeper());
  ASSERT_EQ(jail.start().error, 0);
  ASSERT_TRUE(jail.wait_output("up"));
  ASSERT_EQ(::kill(own.pid(), SIGTERM), 0);
  EXPECT_TRUE(jail.wait_gone());
  connection.close();
}

TEST_F(Lifecycle, ManyJailsRunAtOnceWithUidsOfTheirOwn) {
  std::vector<std::unique_ptr<Jail>> jails;
  std::set<uint32_t> uids;
  for (int i = 0; i < 8; ++i) {
    jails.push_back(std::make_unique<Jail>(*client, sleeper()));
    ASSERT_EQ(jails.back()->start().error, 0);
    uids.insert(jails.back()->uid());
  }
  for (auto& j : jails) EXPECT_TRUE(j->wait_output("up"));
  EXPECT_EQ(uids.size(), jails.size());
}

// --- what the broker refuses
// ----------------------------------------------------------------------

class Refused : public JailTest {
 protected:
  // A session that was mounted and not started, and a START that would be good.
  void SetUp() override {
    JailTest::SetUp();
    if (IsSkipped()) return;
    auto request = wire::make_request<wire::MountFuseRequest>(1);
    request.session = 1;
    auto answer = client->call(request);
    ASSERT_TRUE(answer && answer->reply.error == 0);
    device = std::move(answer->fds.at(0));
    start = wire::make_request<wire::StartRequest>(2);
    start.session = 1;
    start.limits = JailSpec::default_limits();
    start.policy = wire::Policy::kImage;
    wire::set_image(&start, "host", 4);
    args = sealed_memfd(encode_args("/bin/true", {"true"}, {}));
    int p[2];
    ASSERT_EQ(::pipe2(p, O_CLOEXEC), 0);
    pipe_read.reset(p[0]);
    pipe_write.reset(p[1]);
    plain.reset(::open("/etc/passwd", O_RDONLY | O_CLOEXEC));
  }

  int error(const std::vector<int>& fds) {
    const auto answer = client->call(start, fds);
    return answer ? answer->reply.error : -1;
  }

  wire::StartRequest start{};
  UniqueFd device, args, pipe_read, pipe_write, plain;
};

TEST_F(Refused, StartWithDescriptorsOfAnotherKind) {
  const int a = args.get(), r = pipe_read.get(), w = pipe_write.get(), f = plain.get();
  EXPECT_EQ(error({f, w, r}), EINVAL);  // args are a file
  EXPECT_EQ(error({r, w, r}), EINVAL);  // args are a pipe
  EXPECT_EQ(error({a, r, r}), EINVAL);  // status is a read end
  EXPECT_EQ(error({a, f, r}), EINVAL);  // status is a file
  EXPECT_EQ(error({a, w, w}), EINVAL);  // leash is a write end
  EXPECT_EQ(error({a, w, f}), EINVAL);  // leash is a file
  start.flags = wire::kProgramInFd;
  EXPECT_EQ(error({a, w, r, f}), EINVAL);  // program is a file
  const UniqueFd unsealed(::memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  EXPECT_EQ(error({a, w, r, unsealed.get()}), EINVAL);
}

TEST_F(Refused, StartOfWhatIsNotThere) {
  const std::vector<int> fds{args.get(), pipe_write.get(), pipe_read.get()};
  wire::set_image(&start, "other", 5);
  EXPECT_EQ(error(fds), ENOENT);
  wire::set_image(&start, "host", 4);
  start.session = 99;
  EXPECT_EQ(error(fds), ENOENT);
}

TEST_F(Refused, ASessionNumberInUse) {
  auto request = wire::make_request<wire::MountFuseRequest>(1);
  request.session = 1;
  EXPECT_EQ(client->call(request)->reply.error, EEXIST);
}

TEST_F(Refused, KillOfWhatIsNotThere) {
  auto request = wire::make_request<wire::KillRequest>(1);
  request.session = 99;
  EXPECT_EQ(client->call(request)->reply.error, ENOENT);
}

TEST_F(Refused, MoreSessionsThanConfigured) {
  int made = 0, error_seen = 0;
  for (uint64_t n = 2; n < 40 && error_seen == 0; ++n) {
    auto request = wire::make_request<wire::MountFuseRequest>(1);
    request.session = n;
    const auto answer = client->call(request);
    ASSERT_TRUE(answer);
    error_seen = answer->reply.error;
    made += error_seen == 0;
  }
  EXPECT_EQ(error_seen, EAGAIN);
  EXPECT_LE(made, 15);  // max_jails is 16
}

TEST_F(Refused, BackingOfFilesThatTheJobCouldThenWrite) {
  const auto request = wire::make_request<wire::BackingOpenRequest>(1);
  EXPECT_EQ(client->call(request, {device.get(), plain.get()})->reply.error, EACCES);
  EXPECT_EQ(
      client->call(request, {plain.get(), plain.get()})->reply.error, EINVAL);  // no FUSE device
  EXPECT_EQ(client->call(request, {device.get(), pipe_read.get()})->reply.error,
      EINVAL);  // no regular file
}

// Past our own check it is the kernel that answers: this connection did not negotiate passthrough.
TEST_F(Refused, BackingOfReadOnlyAndOfOwnFilesPassesOurCheck) {
  const std::string path = broker->devices() + "/object";
  std::ofstream(path) << "content";
  const auto tree = client->call(wire::make_request<wire::OpenDevicesRequest>(1));
  ASSERT_TRUE(tree && tree->reply.error == 0);
  const UniqueFd original(::openat(tree->fds.at(0).get(), "object", O_RDONLY | O_CLOEXEC));
  const UniqueFd own(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  const auto request = wire::make_request<wire::BackingOpenRequest>(1);
  for (const int fd : {original.get(), own.get()}) {
    const auto answer = client->call(request, {device.get(), fd});
    ASSERT_TRUE(answer);
    EXPECT_NE(answer->reply.error, EACCES);
    EXPECT_EQ(std::string(answer->reply.text).rfind("FUSE_DEV_IOC_BACKING_OPEN", 0), 0u)
        << answer->reply.text;
  }
}

TEST_F(Refused, ARequestBeforeHello) {
  Client rude(broker->socket_path(), false);
  const auto answer = rude.call(wire::make_request<wire::OpenDevicesRequest>(1));
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->reply.error, EPROTO);
  EXPECT_FALSE(rude.call(wire::make_request<wire::HelloRequest>(1)));  // closed
}

TEST_F(Refused, GarbageClosesTheConnection) {
  Client garbage(broker->socket_path());
  const auto answer = garbage.call("?", 1);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->reply.error, EBADMSG);
  EXPECT_FALSE(garbage.call(wire::make_request<wire::HelloRequest>(1)));
}

TEST_F(Refused, APeerOfAnotherUser) {
  // Even where the folder and the socket's mode would let it in.
  ASSERT_EQ(::chmod(broker->folder().c_str(), 0755), 0);
  ASSERT_EQ(::chmod(broker->socket_path().c_str(), 0666), 0);
  const pid_t pid = ::fork();
  if (pid == 0) {
    if (::setresgid(65534, 65534, 65534) != 0 || ::setresuid(65534, 65534, 65534) != 0) ::_exit(2);
    Client stranger(broker->socket_path(), false);
    if (stranger.socket().fd < 0) ::_exit(3);
    ::_exit(stranger.call(wire::make_request<wire::HelloRequest>(1)) ? 1 : 0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

// --- what it gives
// --------------------------------------------------------------------------------

TEST_F(Lifecycle, TheDevicesTreeIsReadOnlyToTheBottom) {
  const std::string file = broker->devices() + "/file", below = broker->devices() + "/below";
  std::ofstream(file) << "content";
  std::filesystem::create_directory(below);
  ASSERT_EQ(::mount("none", below.c_str(), "tmpfs", 0, nullptr), 0);
  std::ofstream(below + "/file") << "below";
  {
    const auto answer = client->call(wire::make_request<wire::OpenDevicesRequest>(1));
    ASSERT_TRUE(answer);
    ASSERT_EQ(answer->reply.error, 0) << answer->reply.text;
    const int tree = answer->fds.at(0).get();
    for (const char* name : {"file", "below/file"}) {
      EXPECT_TRUE(UniqueFd(::openat(tree, name, O_RDONLY | O_CLOEXEC))) << name;
      EXPECT_FALSE(UniqueFd(::openat(tree, name, O_RDWR | O_CLOEXEC))) << name;
      EXPECT_EQ(errno, EROFS);
    }
  }
  EXPECT_EQ(::umount2(below.c_str(), MNT_DETACH), 0);
}

// "lo down" for an empty network namespace.
std::string network_devices(pid_t of) {
  int p[2];
  EXPECT_EQ(::pipe2(p, O_CLOEXEC), 0);
  UniqueFd in(p[0]), out(p[1]);
  const pid_t pid = ::fork();
  if (pid == 0) {
    const UniqueFd ns(
        ::open(("/proc/" + std::to_string(of) + "/ns/net").c_str(), O_RDONLY | O_CLOEXEC));
    if (::setns(ns.get(), CLONE_NEWNET) != 0) ::_exit(1);
    const UniqueFd any(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    std::string text;
    struct if_nameindex* list = ::if_nameindex();
    for (auto* i = list; i != nullptr && i->if_index != 0; ++i) {
      ifreq r{};
      std::strncpy(r.ifr_name, i->if_name, IFNAMSIZ - 1);
      ::ioctl(any.get(), SIOCGIFFLAGS, &r);
      text += std::string(text.empty() ? "" : ", ") + i->if_name +
              ((r.ifr_flags & IFF_UP) ? " up" : " down");
    }
    ::_exit(::write(out.get(), text.data(), text.size()) < 0 ? 1 : 0);
  }
  out.reset();
  char text[256];
  const ssize_t n = ::read(in.get(), text, sizeof text);
  ::waitpid(pid, nullptr, 0);
  return std::string(text, n > 0 ? static_cast<size_t>(n) : 0);
}

// What the jail's pid 1 looks like from outside.
TEST_F(Lifecycle, TheProgramHasNoPrivilegeOfAnyKind) {
  Jail jail(*client, sleeper());
  ASSERT_EQ(jail.start().error, 0);
  ASSERT_TRUE(jail.wait_output("up"));
  std::ifstream info("/proc/self/fdinfo/" + std::to_string(jail.pidfd().fd));
  pid_t pid = 0;
  for (std::string line; std::getline(info, line);) {
    if (line.rfind("Pid:", 0) == 0) pid = std::stoi(line.substr(4));
  }
  ASSERT_GT(pid, 0);
  const std::string proc = "/proc/" + std::to_string(pid);
  pid_t program = 0;
  std::ifstream(proc + "/task/" + std::to_string(pid) + "/children") >> program;
  ASSERT_GT(program, 0);
  const std::string uid = std::to_string(jail.uid());
  for (const pid_t p : {pid, program}) {
    const std::string status = read_file("/proc/" + std::to_string(p) + "/status");
    for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"}) {
      EXPECT_NE(status.find(std::string(set) + ":\t0000000000000000\n"), std::string::npos)
          << set << '\n'
          << status;
    }
    EXPECT_NE(status.find("NoNewPrivs:\t1\n"), std::string::npos);
    EXPECT_NE(status.find("Uid:\t" + uid + "\t" + uid + "\t" + uid + "\t" + uid + "\n"),
        std::string::npos)
        << status;
    EXPECT_NE(status.find("Groups:\t \n"), std::string::npos) << status;
  }
  EXPECT_NE(read_file("/proc/" + std::to_string(program) + "/status").find("Seccomp:\t2\n"),
      std::string::npos);
  // One id, mapped to one id.
  std::ifstream map(proc + "/uid_map");
  std::string inside, outside, count, more;
  map >> inside >> outside >> count;
  EXPECT_EQ(inside + ' ' + outside + ' ' + count, "1000 " + uid + " 1");
  EXPECT_FALSE(map >> more);
  EXPECT_EQ(network_devices(program), "lo down");
  for (const char* ns : {"user", "pid", "mnt", "net", "ipc", "uts"}) {
    EXPECT_NE(std::filesystem::read_symlink("/proc/" + std::to_string(program) + "/ns/" + ns),
        std::filesystem::read_symlink(std::string("/proc/self/ns/") + ns))
        << ns;
  }
  size_t descriptors = 0;
  for (const auto& entry :
      std::filesystem::directory_iterator("/proc/" + std::to_string(program) + "/fd")) {
    EXPECT_LE(std::stoi(entry.path().filename()), 2) << entry.path();
    ++descriptors;
  }
  EXPECT_EQ(descriptors, 3u);
}

}  // namespace
}  // namespace zvm::loader::testing
