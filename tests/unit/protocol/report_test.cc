#include <gtest/gtest.h>

#include <limits>

#include "base/json.h"
#include "host/protocol/description.h"
#include "host/protocol/frames.h"

namespace zvm::protocol {
namespace {

NodeReport sample() {
  NodeReport r;
  r.end = End::kExited;
  r.exit_code = 3;
  r.detail = "exit 3";
  r.validation = 2;
  r.wall = 1.25;
  r.cpu_user = 0.5;
  r.cpu_system = 0.125;
  r.memory_peak = 1ull << 40;
  r.device = "d1";
  ChannelReport c;
  c.name = "stdout";
  c.locality = "remote";
  c.reason = "stale-replica";
  c.bytes_read = 1;
  c.bytes_written = 2;
  c.reads = 3;
  c.writes = UINT64_MAX;
  c.counted = "daemon";
  c.size = 5;
  c.md5 = std::string(32, '0');
  c.sha256 = std::string(64, 'f');
  r.channels = {c, ChannelReport()};
  r.channels[1].name = "stderr";
  return r;
}

TEST(Report, ComesBackAsItWas) {
  const NodeReport want = sample();
  const auto got = report_from_json(to_json(want));
  ASSERT_TRUE(got) << got.error().what();
  EXPECT_EQ(got->end, want.end);
  EXPECT_EQ(got->exit_code, 3);
  EXPECT_EQ(got->wall, 1.25);
  EXPECT_EQ(got->memory_peak, 1ull << 40);
  EXPECT_EQ(got->device, "d1");
  ASSERT_EQ(got->channels.size(), 2u);
  EXPECT_EQ(got->channels[0].writes, UINT64_MAX);
  EXPECT_EQ(got->channels[0].sha256, want.channels[0].sha256);
  EXPECT_EQ(to_json(*got), to_json(want));
}

TEST(Report, EveryEndHasItsTextAndComesBack) {
  const std::pair<End, const char*> cases[] = {{End::kExited, "ok"}, {End::kSignalled, "signal 11"},
      {End::kTimeout, "session timeout"}, {End::kCpuLimit, "cpu limit"},
      {End::kOutOfMemory, "out of memory"}, {End::kOutputLimit, "output limit"},
      {End::kRefused, "ZeroVM did not run"}, {End::kCancelled, "cancelled"},
      {End::kHostFault, "host lost"}, {End::kInputLost, "input lost"}};
  for (const auto& [end, text] : cases) {
    NodeReport r;
    r.end = end;
    r.signal = 11;
    EXPECT_EQ(r.status_text(), text);
    const auto got = report_from_json(to_json(r));
    ASSERT_TRUE(got) << got.error().what();
    EXPECT_EQ(got->end, end);
  }
}

TEST(Report, FitsOneFrameAndIsReadWhateverItsTextsHold) {
  NodeReport r = sample();
  r.detail = std::string(100'000, '\xff');
  r.wall = std::numeric_limits<double>::quiet_NaN();
  r.cpu_user = -1;
  r.channels.assign(kMaxChannels, sample().channels[0]);
  for (size_t i = 0; i < r.channels.size(); ++i) {
    r.channels[i].name = std::string(250, 'n') + std::to_string(i);
    r.channels[i].reason = i % 2 == 0 ? std::string(1000, '"') : std::string(1000, '\n');
  }
  const std::string text = to_json(r);
  EXPECT_LE(text.size(), kMaxPayload);
  const auto got = report_from_json(text);
  ASSERT_TRUE(got) << got.error().what();
  EXPECT_EQ(got->wall, 0);
  EXPECT_EQ(got->cpu_user, 0);
}

TEST(Report, RefusesWhatNoHostSays) {
  const std::pair<const char*, Json> cases[] = {{"/end", "happy"}, {"/exit_code", 256},
      {"/exit_code", -1}, {"/validation", 3}, {"/wall", "1"}, {"/wall", -1}, {"/device", "a/b"},
      {"/channels/0/md5", "0"}, {"/channels/0/name", "a b"}, {"/channels/0/reads", -1},
      {"/more", 1}, {"/channels/0/more", 1}};
  for (const auto& [at, value] : cases) {
    Json json = Json::parse(to_json(sample()));
    json[Json::json_pointer(at)] = value;
    EXPECT_FALSE(report_from_json(dump_json(json))) << at;
  }
}

}  // namespace
}  // namespace zvm::protocol
