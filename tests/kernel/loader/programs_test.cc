// Programs of the image, and a static one, in real jails.
#include <gtest/gtest.h>

#include "tests/kernel/loader/jail_rig.h"

namespace zvm::loader::testing {
namespace {

class Programs : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (missing_capability().empty()) broker = std::make_unique<TestBroker>();
  }

  static void TearDownTestSuite() { broker.reset(); }

  void SetUp() override {
    if (const auto missing = missing_capability(); !missing.empty())
      GTEST_SKIP() << "needs " << missing;
    client = std::make_unique<Client>(broker->socket_path());
  }

  // A program of the image; argv[0] is its path.
  Outcome run_path(std::vector<std::string> argv, std::optional<std::string> input = std::nullopt) {
    JailSpec spec;
    spec.path = argv[0];
    spec.argv = std::move(argv);
    spec.input = std::move(input);
    return run(*client, std::move(spec));
  }

  static std::unique_ptr<TestBroker> broker;
  std::unique_ptr<Client> client;
};

std::unique_ptr<TestBroker> Programs::broker;

TEST_F(Programs, ExitCodeIsReported) {
  EXPECT_EQ(run_path({"/bin/true"}).text(), "exit 0");
  EXPECT_EQ(run_path({"/bin/false"}).text(), "exit 1");
  EXPECT_EQ(run_path({"/bin/sh", "-c", "exit 137"}).text(), "exit 137");
}

}  // namespace
}  // namespace zvm::loader::testing
