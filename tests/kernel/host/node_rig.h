// A storage node for tests: a real broker and a real host daemon as their own processes, over a
// folder of devices with objects as Swift writes them. Root makes it; the host daemon runs as a
// user who owns nothing else.
#pragma once
#include <sys/types.h>

#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "base/codec/ring.h"
#include "host/protocol/description.h"

namespace zvm::host::testing {

inline constexpr int kPatienceMs = 30'000;  // long enough that only a hang reaches it

// What this machine lacks for these tests; "" when nothing.
std::string missing_capability();

class NodeRig {
 public:
  struct Settings {
    uint64_t max_sessions = 8;
    std::string lease = "30s";
    std::map<std::string, std::string> limits;  // table [limits], values as TOML
  };

  explicit NodeRig(const Settings& settings);

  NodeRig() : NodeRig(Settings()) {}

  ~NodeRig();  // checks that no jail and no mount is left
  NodeRig(const NodeRig&) = delete;
  NodeRig& operator=(const NodeRig&) = delete;

  uint16_t port() const { return port_; }

  const std::string& key() const { return key_; }

  static constexpr const char* kDevice = "d1";

  // The version of an object with that content, and its replica on the device as a PUT leaves it.
  static protocol::ObjectVersion version(const std::string& name, const std::string& content);
  std::filesystem::path put(const protocol::ObjectVersion& v, const std::string& content,
      const std::map<std::string, std::string>& more = {});

  void start_broker();
  void start_host();
  void kill_broker();
  void kill_host();  // -9
  // SIGTERM; the exit status.
  int stop_host();

  // Processes that run as one of the jails' uids now.
  size_t jailed_processes() const;
  // False: some were left after kPatienceMs.
  bool wait_no_jailed_processes() const;
  // Waits until the log of the host daemon holds that text.
  bool wait_log(const std::string& text) const;
  std::string host_log() const;

 private:
  void write_files(const Settings& settings);

  std::filesystem::path top_;
  std::string key_;
  SwiftConf conf_;
  uint32_t uid_first_;
  uint16_t port_;
  size_t mounts_before_;
  pid_t broker_ = -1;
  pid_t host_ = -1;
};

}  // namespace zvm::host::testing
