#include "swift_bridge/config.h"

#include <gtest/gtest.h>

namespace zvm::bridge {
namespace {

TEST(BridgeConfig, PrintedConfigurationReadsBackTheSame) {
  Config config;
  config.listen = {"[::1]:8083", "unix:/run/zvm/bridge.sock"};
  config.hosts = {"10.0.0.1:6200=10.1.0.1:6300"};
  config.idle_timeout = std::chrono::milliseconds(1500);
  config.limits.memory_cap = 3u << 20;
  const std::string text = print_config(config);
  const auto again = parse_config(text, "printed");
  ASSERT_TRUE(again) << again.error().what();
  EXPECT_EQ(print_config(*again), text);
  EXPECT_EQ(again->listen, config.listen);
  EXPECT_EQ(again->limits.memory_cap, config.limits.memory_cap);
}

TEST(BridgeConfig, MistakesAreNamed) {
  struct Case {
    const char* text;
    const char* named;
  };

  for (const Case& c : {Case{"[bridge]\nlisten = []\n", "listen"},
           Case{"[bridge]\nlisten = [\"localhost:1\"]\n", "localhost:1"},
           Case{"[bridge]\nswift = \"proxy\"\n", "proxy"},
           Case{"[bridge]\nhosts = [\"10.0.0.1:6200\"]\n", "10.0.0.1:6200"},
           Case{"[bridge]\nlitsen = []\n", "litsen"}, Case{"[bridge]\nmax_jobs = 0\n", "max_jobs"},
           Case{"[limits]\ntimeout = \"soon\"\n", "timeout"}, Case{"[other]\n", "other"}}) {
    const auto config = parse_config(c.text, "bridge.toml");
    ASSERT_FALSE(config) << c.text;
    EXPECT_NE(config.error().what().find(c.named), std::string::npos) << config.error().what();
  }
}

}  // namespace
}  // namespace zvm::bridge
