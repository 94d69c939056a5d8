// Base of the suites: one broker per suite, one connection per test; skips where jails cannot run.
#pragma once
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/kernel/loader/jail_rig.h"

namespace zvm::loader::testing {

class JailTest : public ::testing::Test {
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

  Outcome run_shell(const std::string& script, std::optional<std::string> input = std::nullopt) {
    return run_path({"/bin/sh", "-c", script}, std::move(input));
  }

  static inline std::unique_ptr<TestBroker> broker;
  std::unique_ptr<Client> client;
};

}  // namespace zvm::loader::testing
