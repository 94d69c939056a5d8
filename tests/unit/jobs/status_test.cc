#include "swift_bridge/jobs/status.h"

#include <gtest/gtest.h>

#include "base/json.h"

namespace zvm::bridge {

namespace {

constexpr Kind kKinds[] = {Kind::kInvalid, Kind::kNotFound, Kind::kDenied, Kind::kConflict,
    Kind::kOverloaded, Kind::kDisconnected, Kind::kTimeout, Kind::kCancelled, Kind::kUnsupported,
    Kind::kInternal};
constexpr Origin kOrigins[] = {Origin::kClient, Origin::kSwift, Origin::kJob, Origin::kHost};

TEST(Status, EveryErrorHasAnErrorStatus) {
  for (const Origin origin : kOrigins)
    for (const Kind kind : kKinds) {
      const unsigned status = http_status(origin, kind);
      EXPECT_GE(status, 400u) << to_string(origin) << " " << to_string(kind);
      EXPECT_LE(status, 504u) << to_string(origin) << " " << to_string(kind);
    }
}

TEST(Status, AClientsMistakeIsNeverOurFault) {
  for (const Kind kind : kKinds) {
    if (kind == Kind::kInternal || kind == Kind::kUnsupported) continue;
    EXPECT_LT(http_status(Origin::kClient, kind), 500u) << to_string(kind);
  }
}

TEST(Status, AFailureOfSwiftIsNeverInternal) {
  for (const Kind kind : kKinds)
    EXPECT_NE(http_status(Origin::kSwift, kind), 500u) << to_string(kind);
  EXPECT_EQ(http_status(Origin::kSwift, Kind::kDisconnected), 502u);
  EXPECT_EQ(http_status(Origin::kSwift, Kind::kTimeout), 504u);
  EXPECT_EQ(http_status(Origin::kSwift, Kind::kNotFound), 404u);
}

TEST(Status, ABusyOrLostHostMeansTryAgain) {
  EXPECT_EQ(http_status(Origin::kHost, Kind::kOverloaded), 503u);
  EXPECT_EQ(http_status(Origin::kHost, Kind::kDisconnected), 503u);
  EXPECT_EQ(http_status(Origin::kHost, Kind::kInternal), 500u);
}

TEST(Refusal, KeepsWordsOfOurInsidesFromTheClient) {
  const Refusal inside = refusal_of(Error(Origin::kHost, Kind::kInternal, "open /etc/zvm/key", 13));
  EXPECT_EQ(inside.status, 500u);
  EXPECT_EQ(inside.detail.find("/etc"), std::string::npos);
  EXPECT_EQ(
      refusal_of(Error(Origin::kClient, Kind::kInvalid, "no such key")).detail, "no such key");
}

TEST(Refusal, IsOneLineOfText) {
  const RefusalBody body = refusal_body({400, "bad\r\nname", "n", ""}, "j1", false);
  EXPECT_EQ(body.bytes, "bad??name\n");
  EXPECT_EQ(body.content_type, "text/plain; charset=utf-8");
  EXPECT_EQ(refusal_body({404, "", "", ""}, "j", false).bytes, "Not Found\n");
}

TEST(Refusal, HasAJsonTwin) {
  const RefusalBody body = refusal_body({404, "absent \xff", "n", "/a/c/o"}, "j1", true);
  EXPECT_EQ(body.content_type, "application/json");
  const auto json = parse_json(body.bytes);
  ASSERT_TRUE(json) << body.bytes;
  EXPECT_EQ((*json)["error"], "Not Found");
  EXPECT_EQ((*json)["job"], "j1");
  EXPECT_EQ((*json)["node"], "n");
  EXPECT_EQ((*json)["path"], "/a/c/o");
}

TEST(Accept, NamesJsonExactly) {
  EXPECT_TRUE(wants_json("application/json"));
  EXPECT_TRUE(wants_json("text/html, Application/JSON;q=0.5"));
  EXPECT_FALSE(wants_json("*/*"));
  EXPECT_FALSE(wants_json("application/jsonp"));
  EXPECT_FALSE(wants_json(""));
}

}  // namespace

}  // namespace zvm::bridge
