// The bridge's settings: one struct, its defaults in it, and the TOML file it is read from (tables
// [bridge] and [limits]).
#pragma once
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "swift_bridge/jobs/job.h"

namespace zvm::bridge {

struct Config {
  std::vector<std::string> listen = {"127.0.0.1:8083"};  // ip:port or unix:/path
  std::string swift = "127.0.0.1:8080";                  // the stock proxy
  std::string key_file = "/etc/zvm/cluster.key";
  std::string swift_dir = "/etc/swift";  // rings
  std::string swift_conf = "/etc/swift/swift.conf";
  uint64_t host_port = 6300;       // of zvm-hostd, on each ring device's ip
  std::vector<std::string> hosts;  // exceptions: "object_ip:port=host_ip:port"

  uint64_t max_connections = 4096;
  uint64_t max_jobs = 256;             // beyond it: 503 + Retry-After
  uint64_t max_idle_upstream = 64;     // kept-alive connections to Swift
  uint64_t max_program = 256u << 20;   // bytes of a program that is an object
  uint64_t program_cache = 64u << 20;  // bytes of programs kept
  uint64_t output_window = 1u << 20;   // bytes of the answer read ahead while a job runs
  std::chrono::milliseconds header_timeout{30'000};   // first byte of a request to end of its head
  std::chrono::milliseconds idle_timeout{75'000};     // between two requests of one connection
  std::chrono::milliseconds body_timeout{75'000};     // without progress of a request's body
  std::chrono::milliseconds send_timeout{300'000};    // 128 KiB to a client
  std::chrono::milliseconds answer_timeout{900'000};  // without a byte from Swift, pass-through
  std::chrono::milliseconds ask_timeout{30'000};      // one question of ours to Swift
  std::chrono::milliseconds store_timeout{120'000};   // without progress of a stored output
  std::chrono::milliseconds host_connect_timeout{2'000};
  std::chrono::milliseconds host_admit_timeout{30'000};  // until a host has taken or refused a node
  std::chrono::milliseconds range_timeout{30'000};       // one range of a remote object
  std::chrono::milliseconds drain_timeout{60'000};       // SIGTERM: what runs may end for so long

  Limits limits;  // of a job's node: defaults and caps
};

Result<Config> load_config(const std::string& path);
Result<Config> parse_config(std::string_view text, std::string name);
// The whole configuration as a file that load_config() reads back to the same.
std::string print_config(const Config& config);

}  // namespace zvm::bridge
