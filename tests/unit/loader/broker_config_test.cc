#include "loader/broker_config.h"

#include <gtest/gtest.h>

namespace zvm::loader {
namespace {

std::string error_of(std::string_view text) {
  const auto c = parse_broker_config(text, "node.toml");
  return c ? "" : c.error().what();
}

TEST(BrokerConfig, AnEmptyFileGivesTheDefaults) {
  const auto c = parse_broker_config("", "node.toml");
  ASSERT_TRUE(c) << c.error().what();
  EXPECT_EQ(c->devices, "/srv/node");
  EXPECT_EQ(c->uid_first, 2'000'000'000u);
}

TEST(BrokerConfig, WhatIsPrintedIsRead) {
  BrokerConfig c;
  c.socket = "/run/a \"b\"/s";
  c.user = "991";
  c.max_jails = 7;
  const auto again = parse_broker_config(print_broker_config(c), "printed");
  ASSERT_TRUE(again) << again.error().what();
  EXPECT_EQ(print_broker_config(*again), print_broker_config(c));
}

TEST(BrokerConfig, AnUnknownKeyIsAnErrorWithItsPlace) {
  const auto what = error_of("[broker]\nsokcet = \"/x\"\n");
  EXPECT_NE(what.find("node.toml:2"), std::string::npos) << what;
  EXPECT_NE(what.find("sokcet"), std::string::npos) << what;
}

TEST(BrokerConfig, TablesOfOtherProgramsAreLeftAlone) {
  EXPECT_EQ(error_of("[host]\nanything = 1\n[limits]\nx = 2\n[broker]\nuser = \"root\"\n"), "");
}

TEST(BrokerConfig, SettingsOutOfRangeAreRefused) {
  EXPECT_NE(error_of("[broker]\nuid_first = 1000\n"), "");  // users of the host
  EXPECT_NE(error_of("[broker]\nuid_count = 0\n"), "");
  EXPECT_NE(error_of("[broker]\nuid_count = 10\nmax_jails = 11\n"), "");
  EXPECT_NE(error_of("[broker]\nsocket = \"relative\"\n"), "");
  EXPECT_NE(error_of("[broker]\ndevices = \"\"\n"), "");
  EXPECT_NE(error_of("[broker]\nuser = \"\"\n"), "");
}

}  // namespace
}  // namespace zvm::loader
