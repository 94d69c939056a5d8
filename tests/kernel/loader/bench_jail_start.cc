// bench_jail_start [--json] [--rounds N]: how much a jail costs over a bare clone3 + exec of the
// same static program, and against bubblewrap where it is installed. Rounds are interleaved, so
// that a busy machine disturbs all alike; medians. The jail is measured from START to the end of
// its last process, with every channel served; making its FUSE connection and forgetting the
// session is told apart.
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "tests/kernel/loader/jail_rig.h"

namespace {

using namespace zvm::loader;
using namespace zvm::loader::testing;
using Clock = std::chrono::steady_clock;

double since(Clock::time_point start) {
  return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
}

double median(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return v.empty() ? 0 : v[v.size() / 2];
}

double spawn(const char* path, const std::vector<std::string>& words) {
  std::vector<char*> argv;
  for (const auto& w : words) argv.push_back(const_cast<char*>(w.c_str()));
  argv.push_back(nullptr);
  char* environment[] = {nullptr};
  const auto start = Clock::now();
  clone_args args{};
  args.exit_signal = SIGCHLD;
  const long pid = ::syscall(SYS_clone3, &args, sizeof args);
  if (pid == 0) {
    const int nothing = ::open("/dev/null", O_RDWR);
    ::dup2(nothing, 1);
    ::dup2(nothing, 2);
    ::execve(path, argv.data(), environment);
    ::_exit(127);
  }
  int status = 0;
  ::waitpid(static_cast<pid_t>(pid), &status, 0);
  const double took = since(start);
  if (status != 0) {
    std::fprintf(stderr, "%s: status %d\n", path, status);
    std::exit(1);
  }
  return took;
}

struct Series {
  std::vector<double> bare, jail, reply, report, mount, kill, bwrap;
};

void one_jail(Client& client, const JailSpec& spec, Series* into) {
  auto start = Clock::now();
  auto jail = std::make_unique<Jail>(client, spec);
  into->mount.push_back(since(start));
  start = Clock::now();
  const auto reply = jail->start();
  into->reply.push_back(since(start));
  const auto report = jail->wait();
  into->report.push_back(since(start));
  jail->wait_gone();
  into->jail.push_back(since(start));
  if (reply.error != 0 || !report || report->detail != 0) {
    std::fprintf(stderr, "the jail failed: %s\n", reply.text);
    std::exit(1);
  }
  start = Clock::now();
  jail->kill();
  into->kill.push_back(since(start));
}

}  // namespace

int main(int argc, char** argv) {
  bool json = false;
  int rounds = 200;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--json") == 0) json = true;
    if (std::strcmp(argv[i], "--rounds") == 0 && i + 1 < argc) rounds = std::atoi(argv[++i]);
  }
  if (const auto missing = missing_capability(); !missing.empty()) {
    std::fprintf(stderr, "needs %s\n", missing.c_str());
    return 77;
  }
  // Real-time: other work on the machine otherwise decides the figures. Inherited by all that is
  // measured.
  sched_param priority{};
  priority.sched_priority = 10;
  ::sched_setscheduler(0, SCHED_FIFO, &priority);
  TestBroker broker;
  Client client(broker.socket_path());
  JailSpec spec;
  spec.policy = wire::Policy::kCompute;
  spec.program_file = ZVM_HELLO;
  const char* bwrap = "/usr/bin/bwrap";
  const bool have_bwrap = ::access(bwrap, X_OK) == 0;
  const std::vector<std::string> bwrap_words{"bwrap", "--unshare-all", "--ro-bind", "/usr", "/usr",
      "--symlink", "usr/lib64", "/lib64", "--ro-bind", ZVM_HELLO, "/hello", "--dev", "/dev",
      "--tmpfs", "/tmp", "--die-with-parent", "/hello"};

  Series s;
  for (int i = 0; i < rounds + 5; ++i) {
    if (i == 5) s = {};  // warm
    s.bare.push_back(spawn(ZVM_HELLO, {"hello"}));
    one_jail(client, spec, &s);
    if (have_bwrap && i % 4 == 0) s.bwrap.push_back(spawn(bwrap, bwrap_words));
  }
  const double bare = median(s.bare), jail = median(s.jail), other = median(s.bwrap);
  if (!json) {
    std::printf("clone3 + exec         %8.0f us\n", bare);
    std::printf("jail, START to end    %8.0f us  %.2f x\n", jail, jail / bare);
    std::printf("  answer to START     %8.0f us\n  report of the end   %8.0f us\n", median(s.reply),
        median(s.report));
    std::printf("FUSE connection       %8.0f us\nforget the session    %8.0f us\n", median(s.mount),
        median(s.kill));
    if (have_bwrap) std::printf("bubblewrap            %8.0f us  %.2f x\n", other, other / bare);
    return 0;
  }
  std::printf(
      "[{\"name\": \"start_static\", \"ratio\": %.3f, \"value\": %.1f, \"baseline\": %.1f, "
      "\"unit\": \"us\"}",
      jail / bare, jail, bare);
  if (have_bwrap) {
    std::printf(
        ",\n {\"name\": \"start_vs_bwrap\", \"ratio\": %.3f, \"value\": %.1f, \"baseline\": %.1f, "
        "\"unit\": \"us\"}",
        jail / other, jail, other);
  }
  std::printf("]\n");
  return 0;
}
