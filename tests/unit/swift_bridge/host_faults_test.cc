// Hosts that are busy, stale, gone, lying or lost; objects that change under a job.
#include <gtest/gtest.h>

#include "tests/unit/swift_bridge/jobs_bridge.h"

namespace zvm::bridge {
namespace {

using protocol::Channel;
using protocol::Frame;
using protocol::FrameType;
using test::FakeHost;
using test::HostSide;
using test::JobAnswer;
using test::JobsBridge;
using test::Socket;

class HostFaults : public JobsBridge {
 protected:
  static Channel input_of(FakeHost& host, size_t session = 0) {
    const auto all = host.descriptions();
    EXPECT_GT(all.size(), session);
    if (all.size() <= session) return {};
    return protocol::description_from_json(all[session])->channels[0];
  }
};

TEST_F(HostFaults, NextReplicaIsAskedAfterARefusalAndTheReportSaysWhy) {
  host1_.refuse({{409, "stale-replica: has 1, wanted 2"}});
  host2_.refuse({{500, "broken"}});
  host3_.play(says("three"));
  const JobAnswer answer = post(reading());
  EXPECT_EQ(answer.body, "three");
  EXPECT_EQ(input_of(host3_).device, "d3");
  EXPECT_TRUE(answer.has(R"("attempt":3)"));
  EXPECT_TRUE(answer.has(R"("reason":"stale-replica: has 1, wanted 2")"));
}

TEST_F(HostFaults, HostThatDoesNotListenIsPassedOver) {
  std::string nobody;
  {
    test::Listener gone;
    nobody = gone.address();
  }
  config_.hosts[0] = "127.0.0.1:6201=" + nobody;
  host2_.play(says("two"));
  EXPECT_EQ(post(reading()).body, "two");
}

TEST_F(HostFaults, HostWithoutTheClusterKeyIsTrustedWithNothing) {
  host1_.lose_the_key();
  host1_.play(says("lies"));
  host2_.play(says("two"));
  EXPECT_EQ(post(reading()).body, "two");
  EXPECT_TRUE(host1_.descriptions().empty());
}

TEST_F(HostFaults, HostThatStartedAnewIsAskedWhoItIsAgain) {
  host1_.play(says("one"));
  EXPECT_EQ(post(reading()).body, "one");
  host1_.restart();
  EXPECT_EQ(post(reading()).body, "one");
}

TEST_F(HostFaults, BusyEverywhereIs503WithRetryAfter) {
  const JobAnswer answer = post(reading());
  EXPECT_TRUE(answer.has("HTTP/1.1 503 Service Unavailable"));
  EXPECT_TRUE(answer.has("Retry-After: "));
  EXPECT_TRUE(answer.has("3 busy"));
  // Each was asked once: a busy host is not asked again to read from afar.
  EXPECT_EQ(host1_.descriptions().size(), 1u);
}

TEST_F(HostFaults, ObjectThatNoReplicaCanServeIsReadFromAfar) {
  host1_.refuse({{501, "staging stdin: encrypted"}});
  host1_.play(says("afar"));
  EXPECT_EQ(post(reading()).body, "afar");
  EXPECT_EQ(input_of(host1_, 1).local, Channel::Local::kNever);
  EXPECT_EQ(input_of(host1_, 1).remote_reason, "encrypted");
  // No other replica was tried: none of them can.
  EXPECT_TRUE(host2_.descriptions().empty());
}

TEST_F(HostFaults, LargeObjectIsReadFromAfarAtOnce) {
  swift_.put(
      "/v1/AUTH_a/c/in", {"manifest", "1700000000.00001", {{"X-Static-Large-Object", "True"}}});
  host1_.play(says("slo"));
  EXPECT_EQ(post(reading()).body, "slo");
  EXPECT_EQ(input_of(host1_).remote_reason, "slo");
}

TEST_F(HostFaults, VersionThatIsGoneIsResolvedAgain) {
  swift_.replace_after_head("/v1/AUTH_a/c/in", {"replaced", "1700000001.00000"});
  host1_.refuse({{409, "stale"}});
  host2_.refuse({{404, "gone"}});
  host3_.refuse({{404, "gone"}});
  host1_.play(says("new"));
  EXPECT_EQ(post(reading()).body, "new");
  EXPECT_EQ(input_of(host1_, 0).object.timestamp, "1700000000.00001");
  EXPECT_EQ(input_of(host1_, 1).object.timestamp, "1700000001.00000");
  EXPECT_EQ(input_of(host1_, 1).local, Channel::Local::kRequire);
}

TEST_F(HostFaults, ObjectThatIsReplacedAgainAndAgainIsAConflict) {
  swift_.never_stays("/v1/AUTH_a/c/in");
  for (FakeHost* host : {&host1_, &host2_, &host3_})
    host->refuse({{409, "stale"}, {409, "stale"}, {409, "stale"}, {409, "stale"}});
  const JobAnswer answer = post(reading());
  EXPECT_TRUE(answer.has("HTTP/1.1 409 Conflict"));
  EXPECT_TRUE(answer.has("/AUTH_a/c/in"));
  EXPECT_EQ(host1_.descriptions().size(), 3u);
}

TEST_F(HostFaults, VersionThatNoHostHasIsReadFromAfar) {
  for (FakeHost* host : {&host1_, &host2_, &host3_}) host->refuse({{404, "no replica"}});
  host1_.play(says("afar"));
  EXPECT_EQ(post(reading()).body, "afar");
  EXPECT_EQ(input_of(host1_, 1).remote_reason, "stale-replica");
}

TEST_F(HostFaults, HostThatIsLostFailsTheJobAtOnce) {
  host1_.play([](HostSide& side) { side.wait_for_start(); });
  const JobAnswer answer = post(reading());
  EXPECT_TRUE(answer.has("HTTP/1.1 500 "));
  EXPECT_TRUE(answer.has("host lost")) << answer.head;
}

TEST_F(HostFaults, HostThatIsLostWhileTheAnswerIsSentCutsItShort) {
  host1_.play([](HostSide& side) {
    if (!side.wait_for_start()) return;
    protocol::NodeReport report;
    report.end = protocol::End::kExited;
    for (const auto& c : side.description.channels) {
      protocol::ChannelReport channel;
      channel.name = c.name;
      channel.counted = "daemon";
      channel.size = c.name == "stdout" ? 500'000 : 0;
      report.channels.push_back(channel);
    }
    side.receive();  // the first window
    side.send(FrameType::kReport, 0, 0, protocol::to_json(report));
    side.send(FrameType::kData, 1, 0, std::string(1000, 'x'));
  });
  const JobAnswer answer = post(reading());
  EXPECT_TRUE(answer.has("Content-Length: 500000"));
  EXPECT_EQ(answer.body.size(), 1000u);
}

TEST_F(HostFaults, ClientThatLeavesEndsTheSession) {
  std::promise<void> started, ended;
  host1_.play([&](HostSide& side) {
    if (side.wait_for_start()) started.set_value();
    while (side.receive()) {
    }
    ended.set_value();
  });
  Socket client = bridge().connect();
  client.send(request(reading()));
  started.get_future().get();
  client.close();
  EXPECT_EQ(ended.get_future().wait_for(std::chrono::seconds(60)), std::future_status::ready);
}

TEST_F(HostFaults, RangesComeFromSwiftWithTheClientsRightsAndOnlyOfThatVersion) {
  host1_.refuse({{501, "ec"}});
  host1_.play([&](HostSide& side) {
    if (!side.wait_for_start()) return;
    side.send(FrameType::kRange, 0, 6, protocol::encode_length(5));
    std::optional<Frame> data = side.receive();
    while (data && data->type == FrameType::kRead) data = side.receive();
    ASSERT_TRUE(data);
    EXPECT_EQ(data->type, FrameType::kRangeData);
    EXPECT_EQ(data->arg, 6u);
    swift_.put("/v1/AUTH_a/c/in", {"other bytes", "1700000009.00000"});
    side.send(FrameType::kRange, 0, 0, protocol::encode_length(5));
    const auto failed = side.receive();
    ASSERT_TRUE(failed);
    EXPECT_EQ(failed->type, FrameType::kRangeFail);
    side.send(FrameType::kData, 1, 0, data->payload, protocol::kEnd);
    side.finish({"", data->payload});
  });
  EXPECT_EQ(post(reading()).body, "bytes");
  const auto get = swift_.last("GET /v1/AUTH_a/c/in").head.headers;
  EXPECT_EQ(get.get("If-Match"), "\"" + md5_hex("input bytes") + "\"");
  EXPECT_EQ(get.get("X-Auth-Token"), "good");
}

TEST_F(HostFaults, HostThatBreaksTheProtocolIsLost) {
  struct Case {
    FrameType type;
    uint16_t channel;
    std::string payload;
  };

  for (const Case& c : {Case{FrameType::kData, 99, "x"},
           Case{FrameType::kData, 1, std::string(200'000, 'x')}, Case{FrameType::kRange, 0, "xx"},
           Case{FrameType::kReport, 0, "not json"}, Case{FrameType::kStart, 0, ""}}) {
    host1_.play([&](HostSide& side) {
      if (!side.wait_for_start()) return;
      side.send(c.type, c.channel, 0, c.payload);
      while (side.receive()) {
      }
    });
    const JobAnswer answer = post(reading());
    EXPECT_TRUE(answer.has("HTTP/1.1 500 ")) << answer.head;
    EXPECT_TRUE(answer.has("host lost"));
  }
}

}  // namespace
}  // namespace zvm::bridge
