#include "swift_bridge/route.h"

#include <gtest/gtest.h>

#include "swift_bridge/swift/path.h"

namespace zvm::bridge {
namespace {

http::RequestHead request(std::string target, std::initializer_list<http::Header> headers = {}) {
  http::RequestHead head;
  head.method = "POST";
  head.target = std::move(target);
  for (const auto& h : headers) head.headers.add(h.name, h.value);
  return head;
}

const http::Header kExecute{"x-zerovm-EXECUTE", "1.0"};

TEST(Route, JobIsTheHeaderOnAPathWithAnAccount) {
  EXPECT_EQ(route(request("/v1/AUTH_a", {kExecute})), Route::kJob);
  EXPECT_EQ(route(request("/v1/AUTH_a/c/o?q", {kExecute})), Route::kJob);
  EXPECT_EQ(route(request("/v1.0/AUTH_a", {kExecute})), Route::kJob);
  EXPECT_EQ(route(request("/v1/AUTH_a")), Route::kPassThrough);
  for (const char* target : {"/v1", "/v1/", "/v1//c", "/info", "/auth/v1.0", "/v2/AUTH_a", "*"})
    EXPECT_EQ(route(request(target, {kExecute})), Route::kPassThrough) << target;
}

TEST(Route, EntryPointsNeedNoHeader) {
  EXPECT_EQ(route(request("/open/AUTH_a/c/o")), Route::kJob);
  EXPECT_EQ(route(request("/api/AUTH_a/c")), Route::kJob);
  for (const char* target : {"/open", "/open/", "/opens/x", "/api", "/v1/open/c"})
    EXPECT_EQ(route(request(target)), Route::kPassThrough) << target;
}

TEST(Route, RequestsSignedForS3AreNeverJobs) {
  const http::Header v2{"Authorization", "AWS key:signature"};
  const http::Header v4{"Authorization", "AWS4-HMAC-SHA256 Credential=x"};
  EXPECT_EQ(route(request("/open/object", {v2})), Route::kPassThrough);
  EXPECT_EQ(route(request("/v1/AUTH_a", {kExecute, v4})), Route::kPassThrough);
  for (const char* query :
      {"X-Amz-Algorithm=AWS4-HMAC-SHA256", "a=b&X-Amz-Signature=1", "AWSAccessKeyId=k&Signature=s"})
    EXPECT_EQ(route(request("/api/a/b?" + std::string(query))), Route::kPassThrough) << query;
  EXPECT_EQ(route(request("/api/a/b?x=X-Amz-Signature")), Route::kJob);
}

TEST(Path, TargetIsTakenApartAndDecoded) {
  const auto path = parse_target("/v1/AUTH_a/c%20d/o//p%2Fq?x=/y");
  ASSERT_TRUE(path);
  EXPECT_EQ(path->account, "AUTH_a");
  EXPECT_EQ(path->container, "c d");
  EXPECT_EQ(path->object, "o//p/q");
  const auto hidden = parse_target("/v1/AUTH_a%2Fc/o%2Fp");
  EXPECT_EQ(hidden->account, "AUTH_a");
  EXPECT_EQ(hidden->container, "c");
  EXPECT_EQ(hidden->object, "o/p");
  const auto account = parse_target("/v1/AUTH_a");
  ASSERT_TRUE(account);
  EXPECT_EQ(account->path(), "/AUTH_a");
  EXPECT_TRUE(parse_target("/v1/AUTH_a/")->container.empty());
}

TEST(Path, WhatSwiftWouldNotTakeIsRefused) {
  EXPECT_EQ(parse_target("/v1/AUTH_a//o").error().status, 404u);
  EXPECT_EQ(parse_target("/v1/%2FAUTH_a/c").error().status, 404u);
  EXPECT_EQ(parse_target("/other").error().status, 404u);
  EXPECT_EQ(parse_target("/v1/AUTH_a/%ff").error().status, 412u);
  EXPECT_EQ(parse_target("/v1/AUTH_a/c/%00").error().status, 412u);
}

}  // namespace
}  // namespace zvm::bridge
