#include <gtest/gtest.h>

#include "base/codec/ring.h"

namespace zvm {
namespace {

TEST(SwiftConf, ReadsWhatALabHas) {
  const auto conf = SwiftConf::parse(
      "# comment\n[swift-hash]\nswift_hash_path_prefix = start\nSwift_Hash_Path_Suffix: end\n\n"
      "[storage-policy:0]\nname = gold\naliases = yellow, orange\ndefault = yes\n"
      "; comment\n[storage-policy:2]\nname = ec\npolicy_type = erasure_coding\nec_type = x\n"
      "[swift-constraints]\nmax_file_size = 5\n");
  ASSERT_TRUE(conf) << conf.error().what();
  EXPECT_EQ(conf->hash_prefix, "start");
  EXPECT_EQ(conf->hash_suffix, "end");
  ASSERT_EQ(conf->policies.size(), 2u);
  EXPECT_EQ(conf->policy_named("GOLD"), conf->policy_at(0));
  EXPECT_EQ(conf->policy_named("Orange"), conf->policy_at(0));
  EXPECT_TRUE(conf->policy_at(0)->is_default);
  EXPECT_FALSE(conf->policy_at(0)->erasure_coded);
  EXPECT_TRUE(conf->policy_at(2)->erasure_coded);
  EXPECT_EQ(conf->policy_at(1), nullptr);
  EXPECT_EQ(conf->policy_named("silver"), nullptr);
}

TEST(SwiftConf, HasPolicy0WithoutAnySection) {
  const auto conf = SwiftConf::parse("[swift-hash]\nswift_hash_path_suffix = x\n");
  ASSERT_TRUE(conf);
  ASSERT_EQ(conf->policies.size(), 1u);
  EXPECT_EQ(conf->policies[0].name, "Policy-0");
  EXPECT_TRUE(conf->policies[0].is_default);
}

TEST(SwiftConf, ReadsValuesAsConfigParserDoes) {
  const auto suffix = [](const std::string& line) {
    const auto conf = SwiftConf::parse("[swift-hash]\n" + line);
    return conf ? conf->hash_suffix : conf.error().what();
  };
  EXPECT_EQ(suffix("swift_hash_path_suffix = a=b:c # d"), "a=b:c # d");
  EXPECT_EQ(suffix("swift_hash_path_suffix = 100%%\r\n"), "100%");
  EXPECT_EQ(suffix("swift_hash_path_suffix = \xe9\n"), "\xe9");
  EXPECT_EQ(suffix("swift_hash_path_suffix = a\n  b\n"), "a\nb");
  EXPECT_NE(suffix("swift_hash_path_suffix = %(x)s").find("percent"), std::string::npos);
  EXPECT_EQ(suffix("[DEFAULT]\nswift_hash_path_suffix = d\n"), "d");
}

TEST(SwiftConf, RefusesWhatSwiftRefuses) {
  const std::string hash = "[swift-hash]\nswift_hash_path_suffix = x\n";
  const std::vector<std::pair<std::string, const char*>> cases = {
      {"", "neither swift_hash_path_prefix nor"},
      {"[swift-hash]\nswift_hash_path_suffix =\n", "neither swift_hash_path_prefix nor"},
      {"a = b\n", "line 1: neither a section nor a setting"},
      {"[\n", "line 1: no section"},
      {hash + "[storage-policy:x]\nname=a\n", "the index is no number"},
      {hash + "[storage-policy:-1]\nname=a\n", "the index is no number"},
      {hash + "[storage-policy:0]\n", "no name"},
      {hash + "[storage-policy:1]\nname=a\n", "no policy 0"},
      {hash + "[storage-policy:0]\nname=a\n[storage-policy:00]\nname=b\n", "one index"},
      {hash + "[storage-policy:0]\nname=a\n[storage-policy:1]\nname=b\n", "default"},
      {hash + "[storage-policy:0]\nname=a\npolicy_type=magic\n", "policy_type"},
  };
  for (const auto& [text, why] : cases) {
    const auto conf = SwiftConf::parse(text);
    ASSERT_FALSE(conf) << text;
    EXPECT_NE(conf.error().what().find(why), std::string::npos) << conf.error().what();
  }
}

TEST(HashPath, IsSwifts) {
  SwiftConf conf;
  conf.hash_suffix = "endcap";
  // swift.common.utils.hash_path('a', 'c', 'o') with that suffix.
  EXPECT_EQ(hash_path(conf, "a", "c", "o"), "06fbf0b514e5199dfc4e00f42eb5ea83");
}

}  // namespace
}  // namespace zvm
