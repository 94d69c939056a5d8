#include "host/config.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

namespace zvm::host {

namespace {

using std::chrono::seconds;

constexpr const char* kWhole =
    "[host]\n"
    "id = \"node1\"\n"
    "listen = \"127.0.0.1:6300\"\n"
    "key_file = \"/etc/zvm/cluster.key\"\n"
    "devices = \"/srv/node\"\n"
    "object_address = \"127.0.0.1:6200\"\n"
    "scratch = \"/var/lib/zvm\"\n";

class ConfigTest : public testing::Test {
 protected:
  ConfigTest() {
    const int fd = ::mkstemp(path_.data());
    EXPECT_GE(fd, 0);
    ::close(fd);
  }

  ~ConfigTest() override { ::unlink(path_.c_str()); }

  Result<Config> load(const std::string& text) {
    std::ofstream(path_) << text;
    return load_config(path_);
  }

  std::string path_ = "/tmp/zvm-config-test-XXXXXX";
};

TEST_F(ConfigTest, HasDefaultsForWhatIsNotAboutThisNode) {
  const auto c = load(kWhole);
  ASSERT_TRUE(c) << c.error().what();
  EXPECT_EQ(c->id, "node1");
  EXPECT_EQ(c->max_sessions, 32u);
  EXPECT_EQ(c->lease, seconds(30));
  EXPECT_EQ(c->spool_name, "zvm");
}

TEST_F(ConfigTest, LeavesTheBrokersTableAlone) {
  EXPECT_TRUE(load(std::string(kWhole) + "[broker]\nanything = 1\n"));
}

TEST_F(ConfigTest, ReadsCaps) {
  const auto c = load(std::string(kWhole) + "[limits]\ntimeout = \"5s\"\nmemory = \"64MiB\"\n");
  ASSERT_TRUE(c) << c.error().what();
  EXPECT_EQ(c->caps.timeout, seconds(5));
  EXPECT_EQ(c->caps.memory, 64u << 20);
}

TEST_F(ConfigTest, PrintsWhatItReads) {
  const auto c = load(std::string(kWhole) + "lease = \"7s\"\nmax_sessions = 3\n");
  ASSERT_TRUE(c) << c.error().what();
  const std::string text = config_text(*c);
  const auto again = load(text);
  ASSERT_TRUE(again) << again.error().what();
  EXPECT_EQ(config_text(*again), text);
  EXPECT_EQ(again->lease, seconds(7));
}

TEST_F(ConfigTest, NamesWhatIsMissing) {
  const auto c = load("[host]\nid = \"node1\"\n");
  ASSERT_FALSE(c);
  EXPECT_NE(c.error().what().find("host.listen is missing"), std::string::npos) << c.error().what();
}

TEST_F(ConfigTest, RefusesUnknownKeysAndBadValues) {
  EXPECT_FALSE(load(std::string(kWhole) + "max_session = 3\n"));
  EXPECT_FALSE(load(std::string(kWhole) + "max_sessions = 0\n"));
  EXPECT_FALSE(load(std::string(kWhole) + "spool_name = \"../x\"\n"));
  EXPECT_FALSE(load(std::string(kWhole) + "broker_socket = \"run/x\"\n"));
  EXPECT_FALSE(load(std::string(kWhole) + "[limits]\ntimeout = \"soon\"\n"));
}

TEST_F(ConfigTest, RefusesAnAddressThatIsNone) {
  std::string text = kWhole;
  text.replace(text.find("127.0.0.1:6300"), 14, "example.com:80");
  const auto c = load(text);
  ASSERT_FALSE(c);
  EXPECT_NE(c.error().what().find("host.listen"), std::string::npos);
}

}  // namespace

}  // namespace zvm::host
