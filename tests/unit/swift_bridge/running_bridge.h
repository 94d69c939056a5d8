// A bridge's server on a thread of its own, in front of whatever the test calls Swift.
#pragma once
#include <sys/eventfd.h>
#include <unistd.h>

#include <functional>
#include <future>
#include <memory>
#include <string>
#include <thread>

#include "base/check.h"
#include "swift_bridge/server.h"
#include "tests/unit/swift_bridge/sockets.h"

namespace zvm::test {

// What a test changes of the settings: quick where a time-out is what is tested.
inline bridge::Config config_for(const std::string& swift) {
  bridge::Config config;
  config.listen = {"127.0.0.1:0"};
  config.swift = swift;
  config.drain_timeout = std::chrono::milliseconds(1);
  return config;
}

class RunningBridge {
 public:
  // Makes the jobs' side on the bridge's thread. Null: no request may be a job.
  using MakeJobs = std::function<std::unique_ptr<bridge::Jobs>(
      Loop&, const bridge::Config&, bridge::UpstreamPool&)>;

  explicit RunningBridge(bridge::Config config, MakeJobs make_jobs = nullptr)
      : config_(std::move(config)),
        make_jobs_(std::move(make_jobs)),
        wake_(::eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE)) {
    auto listening = port_promise_.get_future();
    thread_ = std::thread([this] { run(); });
    port_ = listening.get();
  }

  ~RunningBridge() {
    stop();
    thread_.join();
  }

  RunningBridge(const RunningBridge&) = delete;
  RunningBridge& operator=(const RunningBridge&) = delete;

  uint16_t port() const { return port_; }

  Socket connect() const { return Socket::connect(port_); }

  // As SIGTERM does; the second call leaves no patience.
  void stop() {
    const uint64_t one = 1;
    ZVM_CHECK(::write(wake_.get(), &one, sizeof one) == sizeof one);
  }

 private:
  class NoJobs : public bridge::Jobs {
   public:
    Task<bool> serve(http::Connection&, http::RequestHead, Stop*) override {
      ADD_FAILURE() << "a request was taken for a job";
      co_return false;
    }
  };

  static Task<void> wait_for_stop(Loop& loop, bridge::Server& server, FdRef wake,
      std::chrono::milliseconds patience, Stop* stop) {
    for (;;) {
      uint64_t count = 0;
      const auto into = std::as_writable_bytes(std::span(&count, 1));
      const int n = co_await loop.read(wake, into, Loop::kCurrent, kNever, stop);
      if (n < 0) co_return;
      server.drain(patience);
      patience = std::chrono::milliseconds(0);
    }
  }

  static Task<void> serve(
      Loop& loop, bridge::Server& server, FdRef wake, std::chrono::milliseconds patience) {
    Stop stop;
    TaskGroup group(loop);
    group.spawn(wait_for_stop(loop, server, wake, patience, &stop));
    co_await server.run();
    stop.stop();
    co_await group.join();
  }

  void run() {
    auto loop = Loop::create(256, 2);
    ZVM_CHECK(loop);
    auto swift = parse_address(config_.swift);
    ZVM_CHECK(swift);
    bridge::UpstreamPool pool(**loop, *swift, config_.max_idle_upstream);
    bridge::Relay relay(**loop, pool, config_);
    std::unique_ptr<bridge::Jobs> jobs = std::make_unique<NoJobs>();
    if (make_jobs_) jobs = make_jobs_(**loop, config_, pool);
    bridge::Service service{**loop, config_, relay, *jobs};
    bridge::Server server(service);
    ZVM_CHECK(server.listen());
    const std::string address = server.addresses().front();
    port_promise_.set_value(
        static_cast<uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))));
    (*loop)->run(serve(**loop, server, wake_, config_.drain_timeout));
  }

  bridge::Config config_;
  MakeJobs make_jobs_;
  UniqueFd wake_;
  std::promise<uint16_t> port_promise_;
  uint16_t port_ = 0;
  std::thread thread_;
};

}  // namespace zvm::test
