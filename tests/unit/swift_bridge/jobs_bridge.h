// A whole bridge between a fake Swift and three fake hosts, one beside each device of the ring.
#pragma once
#include <memory>
#include <string>

#include "swift_bridge/execute.h"
#include "tests/unit/swift_bridge/fake_host.h"
#include "tests/unit/swift_bridge/fake_swift.h"
#include "tests/unit/swift_bridge/ring_file.h"
#include "tests/unit/swift_bridge/running_bridge.h"

namespace zvm::test {

// The program's wiring, as main.cc has it.
class WiredJobs : public bridge::Jobs {
 public:
  WiredJobs(Loop& loop, const bridge::Config& config, bridge::UpstreamPool& pool,
      const std::string& swift_dir)
      : conf_(*SwiftConf::parse("[swift-hash]\nswift_hash_path_suffix = s\n"
                                "[storage-policy:0]\nname = gold\ndefault = yes\n")),
        swift_(loop, pool, "swift.test"),
        authoriser_(loop, swift_, conf_, config),
        rings_(swift_dir),
        placement_(config, conf_, rings_),
        hosts_(loop, kClusterKey, {config.host_connect_timeout, config.host_admit_timeout}),
        executor_({loop, config, swift_, authoriser_, conf_, placement_, hosts_}) {}

  Task<bool> serve(http::Connection& client, http::RequestHead head, Stop* stop) override {
    return executor_.serve(client, std::move(head), stop);
  }

 private:
  SwiftConf conf_;
  bridge::SwiftClient swift_;
  bridge::Authoriser authoriser_;
  RingCache rings_;
  bridge::Placement placement_;
  bridge::HostClient hosts_;
  bridge::Executor executor_;
};

struct JobAnswer {
  std::string head;
  std::string body;

  bool has(std::string_view text) const {
    return head.find(text) != head.npos || body.find(text) != body.npos;
  }
};

class JobsBridge : public testing::Test {
 protected:
  JobsBridge() {
    swift_.put("/v1/AUTH_a/c/in", {"input bytes"});
    swift_.put("/v1/AUTH_a/c/prog", {std::string(600'000, 'p')});
    config_ = config_for(swift_.address());
    config_.hosts = {"127.0.0.1:6201=" + host1_.address(), "127.0.0.1:6202=" + host2_.address(),
        "127.0.0.1:6203=" + host3_.address()};
    config_.output_window = 64 * 1024;
  }

  RunningBridge& bridge() {
    if (!bridge_)
      bridge_ = std::make_unique<RunningBridge>(
          config_, [this](Loop& loop, const bridge::Config& config, bridge::UpstreamPool& pool) {
            return std::make_unique<WiredJobs>(loop, config, pool, rings_.path());
          });
    return *bridge_;
  }

  static std::string request(const std::string& json, const std::string& token = "good") {
    return "POST /v1/AUTH_a HTTP/1.1\r\nHost: h\r\nX-Zerovm-Execute: 1.0\r\nX-Auth-Token: " +
           token +
           "\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(json.size()) +
           "\r\n\r\n" + json;
  }

  JobAnswer post(const std::string& json, const std::string& token = "good") {
    Socket client = bridge().connect();
    client.send(request(json, token));
    JobAnswer answer;
    answer.head = client.read_head();
    const size_t at = answer.head.find("Content-Length: ");
    if (at != answer.head.npos)
      answer.body = client.read_exactly(std::stoul(answer.head.substr(at + 16)));
    return answer;
  }

  static std::string job(
      const std::string& devices, const std::string& exec = "file://host:/bin/x") {
    return R"([{"name":"n","exec":{"path":")" + exec + R"("},"devices":[)" + devices + "]}]";
  }

  static constexpr const char* kIn = R"({"name":"stdin","path":"swift://AUTH_a/c/in"})";
  static constexpr const char* kOut = R"({"name":"stdout"})";

  static std::string reading() { return job(std::string(kIn) + "," + kOut); }

  // Ends well with this stdout, which is device `channel`.
  static FakeHost::Script says(std::string text, size_t channel = 1) {
    return [=](HostSide& side) {
      std::vector<std::string> outputs(channel + 1);
      outputs[channel] = text;
      if (side.wait_for_start()) side.finish(outputs);
    };
  }

  FakeSwift swift_;
  FakeHost host1_{"h1"}, host2_{"h2"}, host3_{"h3"};
  RingDirectory rings_;
  bridge::Config config_;
  std::unique_ptr<RunningBridge> bridge_;
};

}  // namespace zvm::test
