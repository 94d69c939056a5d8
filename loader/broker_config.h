// Settings of zvm-broker: table [broker] of the node's configuration file.
#pragma once
#include <cstdint>
#include <string>

#include "base/error.h"

namespace zvm::loader {

struct BrokerConfig {
  // Where hostd connects; ignored when systemd passes a socket.
  std::string socket = "/run/zvm/broker.sock";
  // Who may speak: zvm-hostd's user, by name or number.
  std::string user = "zvm";
  // Folder of the storage devices, given to hostd read-only.
  std::string devices = "/srv/node";
  // zvm-loader; empty: beside this program, else /usr/libexec/zvm/zvm-loader.
  std::string loader;
  // One uid (and gid of the same number) per running jail. The default lies outside every range
  // that Debian's and systemd's conventions hand out; nothing on the host may belong to these.
  uint64_t uid_first = 2'000'000'000;
  uint64_t uid_count = 65'536;
  uint64_t max_jails = 256;
};

// Errors name file, line and column. Tables of other programs in the file are left alone.
Result<BrokerConfig> load_broker_config(const std::string& path);
Result<BrokerConfig> parse_broker_config(std::string_view text, std::string name);
std::string print_broker_config(const BrokerConfig& config);

}  // namespace zvm::loader
