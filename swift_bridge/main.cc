// zvm-bridge: takes HTTP clients' requests; runs those that are jobs, passes the others to Swift.
#include <sys/prctl.h>
#include <sys/signalfd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <optional>
#include <string>

#include "base/log.h"
#include "host/protocol/auth.h"
#include "swift_bridge/execute.h"
#include "swift_bridge/server.h"

namespace {

using namespace zvm;
using namespace zvm::bridge;

int refuse_to_start(const Error& error) {
  std::fprintf(stderr, "zvm-bridge: %s\n", error.what().c_str());
  return 1;
}

// SIGTERM and SIGINT drain; the second one ends what is left.
Task<void> watch_signals(
    Loop& loop, Server& server, FdRef signals, std::chrono::milliseconds patience, Stop* stop) {
  for (;;) {
    signalfd_siginfo info{};
    const auto into = std::as_writable_bytes(std::span(&info, 1));
    const int n = co_await loop.read(signals, into, Loop::kCurrent, kNever, stop);
    if (n == -ECANCELED) co_return;
    if (n != sizeof info) continue;
    log(Level::kNotice, "stopping", {{"CONNECTIONS", std::to_string(server.connections())}});
    server.drain(patience);
    patience = std::chrono::milliseconds(0);
  }
}

Task<void> serve(Loop& loop, const Config& config, Server& server, FdRef signals) {
  Stop stop;
  TaskGroup beside(loop);
  beside.spawn(watch_signals(loop, server, signals, config.drain_timeout, &stop));
  co_await server.run();
  stop.stop();
  co_await beside.join();
}

// The Host header of the bridge's own requests.
std::string host_header(const std::string& swift) {
  return swift.compare(0, 5, "unix:") == 0 ? "localhost" : swift;
}

Status run(const Config& config) {
  // SECURITY: clients' tokens are in this process's memory: no core dump, no ptrace by others.
  if (::prctl(PR_SET_DUMPABLE, 0) != 0) return fail_errno("prctl(PR_SET_DUMPABLE)", errno);
  sigset_t handled;
  sigemptyset(&handled);
  sigaddset(&handled, SIGTERM);
  sigaddset(&handled, SIGINT);
  ::sigprocmask(SIG_BLOCK, &handled, nullptr);
  const UniqueFd signals(::signalfd(-1, &handled, SFD_CLOEXEC));
  if (!signals) return fail_errno("signalfd", errno);

  ZVM_TRY(const std::string key, protocol::load_key(config.key_file));
  ZVM_TRY(const SwiftConf conf, SwiftConf::load(config.swift_conf));
  ZVM_TRY(const auto loop, Loop::create());
  ZVM_TRY(const Address swift_address, parse_address(config.swift));
  UpstreamPool pool(*loop, swift_address, config.max_idle_upstream);
  Relay relay(*loop, pool, config);
  SwiftClient swift(*loop, pool, host_header(config.swift));
  Authoriser authoriser(*loop, swift, conf, config);
  RingCache rings(config.swift_dir);
  for (const auto& policy : conf.policies) ZVM_CHECK_OK(rings.object_ring(policy.index));
  Placement placement(config, conf, rings);
  HostClient hosts(*loop, key, {config.host_connect_timeout, config.host_admit_timeout});
  Executor executor({*loop, config, swift, authoriser, conf, placement, hosts});
  Service service{*loop, config, relay, executor};
  Server server(service);
  ZVM_CHECK_OK(server.listen());
  const auto bound = server.addresses();
  for (size_t i = 0; i < bound.size(); ++i) {
    const std::string& address = bound[i] == "unix" ? config.listen[i] : bound[i];
    log(Level::kNotice, "listening", {{"ADDRESS", address}, {"SWIFT", config.swift}});
  }
  loop->run(serve(*loop, config, server, signals));
  log(Level::kNotice, "stopped");
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "Runs jobs posted to OpenStack Swift where their data lies; passes everything else "
      "to the stock proxy.");
  std::string path = "/etc/zvm/bridge.toml";
  bool check = false, print = false;
  app.add_option("--config", path, "configuration file")->capture_default_str();
  app.add_flag("--check-config", check, "check the configuration and exit");
  app.add_flag("--print-config", print, "print the whole configuration and exit");
  app.set_version_flag("--version", std::string("zvm-bridge " ZVM_VERSION));
  CLI11_PARSE(app, argc, argv);

  log_setup("zvm-bridge", Level::kInfo);
  // Without a file that was asked for, the defaults can be printed: that is how the packaged one
  // is made.
  Result<Config> config = print && app.count("--config") == 0 ? Config() : load_config(path);
  if (!config) return refuse_to_start(config.error());
  if (print) std::fputs(print_config(*config).c_str(), stdout);
  if (print || check) return 0;
  if (auto ran = run(*config); !ran) return refuse_to_start(ran.error());
  return 0;
}
