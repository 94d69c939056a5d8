#include "swift_bridge/place.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/swift_bridge/ring_file.h"

namespace zvm::bridge {
namespace {

SwiftConf conf() {
  auto parsed = SwiftConf::parse("[swift-hash]\nswift_hash_path_suffix = s\n");
  EXPECT_TRUE(parsed);
  return std::move(*parsed);
}

class PlaceTest : public testing::Test {
 protected:
  PlaceTest() : rings_(directory_.path()) {
    config_.host_port = 6300;
    config_.hosts = {"127.0.0.1:6202=10.9.9.9:7000"};
  }

  test::RingDirectory directory_;
  Config config_;
  SwiftConf conf_ = conf();
  RingCache rings_;
  const SwiftPath object_{"AUTH_a", "c", "o"};
};

TEST_F(PlaceTest, ReplicasComeInRingOrderWithTheHostOfTheirDevice) {
  Placement place(config_, conf_, rings_);
  const auto candidates = place.beside(object_, 0);
  ASSERT_TRUE(candidates) << candidates.error().what();
  EXPECT_EQ(*candidates, (std::vector<Candidate>{{"127.0.0.1:6300", "d1"}, {"10.9.9.9:7000", "d2"},
                             {"127.0.0.1:6300", "d3"}}));
}

TEST_F(PlaceTest, DeviceOfAHostIsItsFirstReplicaOrNone) {
  Placement place(config_, conf_, rings_);
  EXPECT_EQ(*place.device_on("10.9.9.9:7000", object_, 0), "d2");
  EXPECT_EQ(*place.device_on("127.0.0.1:6300", object_, 0), "d1");
  EXPECT_EQ(*place.device_on("127.0.0.2:6300", object_, 0), std::nullopt);
}

TEST_F(PlaceTest, SomeHostsAreDifferentAndNoMoreThanAsked) {
  Placement place(config_, conf_, rings_);
  auto hosts = *place.some_hosts(0, 10);
  std::sort(hosts.begin(), hosts.end());
  EXPECT_EQ(hosts, (std::vector<std::string>{"10.9.9.9:7000", "127.0.0.1:6300"}));
  EXPECT_EQ(place.some_hosts(0, 1)->size(), 1u);
}

TEST_F(PlaceTest, PolicyWithoutARingIsAnError) {
  Placement place(config_, conf_, rings_);
  EXPECT_FALSE(place.beside(object_, 7));
}

}  // namespace
}  // namespace zvm::bridge
