// The host daemon's settings: table [host] and [limits] of its file. Tables of other programs in
// the same file ([broker]) are not looked at. Times in milliseconds, sizes in bytes.
#pragma once
#include <chrono>
#include <cstdint>
#include <string>

#include "base/error.h"

namespace zvm::host {

// What a description may ask for at most; beyond it the session is refused with 400.
struct Caps {
  std::chrono::milliseconds timeout{std::chrono::hours(1)};
  std::chrono::milliseconds cpu{std::chrono::hours(1)};
  uint64_t memory = uint64_t{8} << 30;
  uint64_t max_output = uint64_t{64} << 30;  // of one channel
};

struct Config {
  std::string id;        // this node's name, part of every signature
  std::string listen;    // "ip:port"
  std::string key_file;  // the cluster key (host/protocol/auth.h)
  std::string devices;   // Swift's folder of devices, for the spool folders below it
  std::string swift_dir = "/etc/swift";
  std::string swift_conf = "/etc/swift/swift.conf";
  std::string object_address;  // "ip:port" of this node's object server, as the ring names it
  std::string broker_socket = "/run/zvm/broker.sock";
  std::string spool_name = "zvm";  // folder on each device for O_TMPFILE spools and clones
  std::string scratch;             // the same for sessions that read no device
  uint64_t max_sessions = 32;
  std::chrono::milliseconds lease{std::chrono::seconds(30)};  // 101 -> START
  uint64_t program_cache = uint64_t{256} << 20;               // bytes of programs kept in memory
  Caps caps;
};

// kInvalid with file, line and column.
Result<Config> load_config(const std::string& path);
// The whole configuration as a file that load_config() reads: defaults visible, no secret in it.
std::string config_text(const Config& config);

}  // namespace zvm::host
