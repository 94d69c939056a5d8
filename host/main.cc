// zvm-hostd: runs nodes of jobs on the storage node that holds their data.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>

#include "base/digest.h"
#include "base/log.h"
#include "base/net.h"
#include "host/broker_client.h"
#include "host/config.h"
#include "host/devices.h"
#include "host/node.h"
#include "host/probe.h"
#include "host/protocol/auth.h"
#include "host/server.h"
#include "host/service.h"

namespace {

using namespace zvm;
using namespace zvm::host;

constexpr auto kBrokerWait = std::chrono::seconds(10);

struct Daemon {
  Loop& loop;
  const Config& config;
  const std::string& key;
  FdRef signals;
};

Task<Status> serve(Daemon& d, BrokerClient& broker, Stop& stop) {
  auto reached = co_await broker.start(deadline_in(kBrokerWait), stop);
  if (stop.stopped()) co_return Status{};
  if (!reached) co_return reached;
  if (broker.limits().uid_count < d.config.max_sessions) {
    co_return fail(Origin::kHost, Kind::kInvalid,
        "host.max_sessions is larger than the broker's uid_count: no uid for each session");
  }
  ZVM_CO_TRY(const Rungs rungs, co_await probe_rungs(d.loop, broker, d.config));
  ZVM_CO_TRY(const auto devices, co_await Devices::open(d.loop, broker, d.config));
  Node node{d.loop, d.config, broker, *devices, Admission(d.config.max_sessions),
      ProgramCache(d.config.program_cache), rungs};
  protocol::HostIdentity identity;
  identity.id = d.config.id;
  identity.boot = random_hex(16);
  identity.version = ZVM_VERSION;
  ZVM_CO_TRY(const Address address, parse_address(d.config.listen));
  ZVM_CO_TRY(auto listener, listen_on(address));
  log(Level::kNotice, "serving", {{"LISTEN", local_text(listener)}, {"ID", identity.id}});
  notify("READY=1");
  Server server(node, d.key, std::move(identity));
  co_await server.run(std::move(listener), stop);
  co_return Status{};
}

// Everything on the loop. Whatever way serve() ends, nothing is left running behind it.
Task<void> run(Daemon& d, Status& result) {
  Stop stop;
  Stop served;
  TaskGroup signals(d.loop);
  signals.spawn(wait_for_stop(d.loop, d.signals, stop, served));
  BrokerClient broker(d.loop, d.config.broker_socket);
  result = co_await serve(d, broker, stop);
  notify("STOPPING=1");
  co_await broker.close();
  served.stop();
  co_await signals.join();
}

Status run_daemon(const Config& config) {
  ZVM_CHECK_OK(harden_process());
  ZVM_TRY(const std::string key, protocol::load_key(config.key_file));
  ZVM_TRY(const UniqueFd signals, stop_signals());
  ZVM_TRY(const auto loop, Loop::create());
  Daemon daemon{*loop, config, key, signals};
  Status result;
  loop->run(run(daemon, result));
  return result;
}

int report(const Error& error) {
  std::fprintf(stderr, "zvm-hostd: %s\n", error.what().c_str());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Runs nodes of jobs on the storage node that holds their data.", "zvm-hostd");
  std::string path;
  bool check_only = false;
  bool print = false;
  app.add_option("--config", path, "configuration file")->required();
  app.add_flag("--check-config", check_only, "read the configuration and exit");
  app.add_flag("--print-config", print, "print the configuration with all defaults and exit");
  app.set_version_flag("--version", std::string("zvm-hostd " ZVM_VERSION));
  CLI11_PARSE(app, argc, argv);

  const auto config = load_config(path);
  if (!config) return report(config.error());
  if (print) std::fputs(config_text(*config).c_str(), stdout);
  if (check_only || print) return 0;
  log_setup("zvm-hostd", Level::kInfo);
  if (const auto ok = run_daemon(*config); !ok) {
    log_error("stopped", ok.error());
    return report(ok.error());
  }
  return 0;
}
