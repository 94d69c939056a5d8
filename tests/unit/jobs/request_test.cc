// Heads of job requests, and paths.
#include <gtest/gtest.h>

#include "base/digest.h"
#include "swift_bridge/jobs/parse.h"

namespace zvm::bridge {

namespace {

http::RequestHead job_head(const std::string& type, uint64_t length = 10) {
  http::RequestHead head;
  head.method = "POST";
  head.target = "/v1/AUTH_test";
  head.headers.add("X-Zerovm-Execute", "1.0");
  if (!type.empty()) head.headers.add("Content-Type", type);
  head.framing.body = http::Framing::Body::kLength;
  head.framing.length = length;
  return head;
}

struct Case {
  const char* name;
  void (*change)(http::RequestHead*);
  unsigned status;
  const char* text;
};

TEST(JobRequest, IsRefusedWithTheTextThatClientsKnow) {
  using H = http::RequestHead;
  const Case kCases[] = {
      {"no type", [](H* h) { h->headers.remove("Content-Type"); }, 400,
          "Must specify Content-Type"},
      {"empty type", [](H* h) { h->headers.set("Content-Type", " ; a=b"); }, 400,
          "Must specify Content-Type"},
      {"unknown mode", [](H* h) { h->headers.set("X-Zerovm-Execute", "2.0"); }, 400,
          "X-Zerovm-Execute must be"},
      {"empty mode", [](H* h) { h->headers.set("X-Zerovm-Execute", ""); }, 400,
          "X-Zerovm-Execute must be"},
      {"open", [](H* h) { h->headers.set("X-Zerovm-Execute", "open/1.0"); }, 501, "open/1.0"},
      {"api", [](H* h) { h->headers.set("X-Zerovm-Execute", "api/1.0"); }, 501, "api/1.0"},
      {"GET", [](H* h) { h->method = "GET"; }, 501, "Only POST"},
      {"PUT", [](H* h) { h->method = "PUT"; }, 501, "Only POST"},
      {"unknown method", [](H* h) { h->method = "BREW"; }, 412, "Bad HTTP method"},
      {"tar", [](H* h) { h->headers.set("Content-Type", "application/x-tar"); }, 501,
          "application/x-tar"},
      {"gzip", [](H* h) { h->headers.set("Content-Type", "Application/X-GZIP"); }, 501,
          "application/x-gzip"},
      {"source", [](H* h) { h->headers.add("X-Zerovm-Source", "swift://a/c/o"); }, 501,
          "X-Zerovm-Source"},
      {"bad source", [](H* h) { h->headers.add("X-Zerovm-Source", "http://a/c/o"); }, 412,
          "X-Zerovm-Source must be"},
      {"deferred", [](H* h) { h->headers.add("X-Zerovm-Deferred", "always"); }, 501,
          "X-Zerovm-Deferred: always"},
      {"bad deferral", [](H* h) { h->headers.add("X-Zerovm-Deferred", "later"); }, 400,
          "X-Zerovm-Deferred must be"},
      {"bundle", [](H* h) { h->headers.add("Accept", "a/b, multipart/mixed;q=1"); }, 501, "bundle"},
      {"too long", [](H* h) { h->framing.length = kMaxJobJson + 1; }, 413, "at most 65536 bytes"},
  };
  for (const Case& c : kCases) {
    http::RequestHead head = job_head("application/json");
    c.change(&head);
    const auto accepted = accept_request(head);
    ASSERT_FALSE(accepted) << c.name;
    EXPECT_EQ(accepted.error().status, c.status) << c.name;
    EXPECT_NE(accepted.error().detail.find(c.text), std::string::npos)
        << c.name << ": " << accepted.error().detail;
  }
}

TEST(JobRequest, KindIsTheExactMediaType) {
  EXPECT_EQ(accept_request(job_head("application/json; charset=utf-8"))->kind, BodyKind::kJson);
  EXPECT_EQ(accept_request(job_head("Application/JSON"))->kind, BodyKind::kJson);
  for (const char* type : {"json", "application", "text/x-python", "application/json5"})
    EXPECT_EQ(accept_request(job_head(type))->kind, BodyKind::kScript) << type;
}

TEST(JobRequest, DeferralNeverIsTheDefault) {
  http::RequestHead head = job_head("application/json");
  head.headers.add("X-Zerovm-Deferred", "never");
  EXPECT_TRUE(accept_request(head));
}

TEST(JobRequest, AJsonJobMayComeInChunksAScriptMayNot) {
  http::RequestHead head = job_head("application/json");
  head.framing.body = http::Framing::Body::kChunked;
  EXPECT_TRUE(accept_request(head));
  head.headers.set("Content-Type", "text/x-sh");
  const auto script = accept_request(head);
  ASSERT_FALSE(script);
  EXPECT_EQ(script.error().status, 400u);
  EXPECT_EQ(script.error().detail, "Must specify Content-Length");
}

TEST(JobRequest, EtagMustBeTheMd5OfTheBody) {
  const std::string body = "#!file://host:/bin/sh\n";
  http::RequestHead head = job_head("text/x-sh");
  const SwiftPath target{"AUTH_test", "", ""};
  head.headers.add("ETag", "\"" + md5_hex(body) + "\"");
  EXPECT_TRUE(parse_job(head, target, BodyKind::kScript, body, {}));
  head.headers.set("ETag", md5_hex("other"));
  const auto job = parse_job(head, target, BodyKind::kScript, body, {});
  ASSERT_FALSE(job);
  EXPECT_EQ(job.error().status, 422u);
}

TEST(SwiftUrl, IsDecodedBySegment) {
  const auto p = parse_swift_url("swift://AUTH_a/my%20cont/a%2Fb%25/c%zz", "own");
  ASSERT_TRUE(p);
  EXPECT_EQ(p->account, "AUTH_a");
  EXPECT_EQ(p->container, "my cont");
  EXPECT_EQ(p->object, "a/b%/c%zz");
  EXPECT_EQ(p->path(), "/AUTH_a/my cont/a/b%/c%zz");
  EXPECT_EQ(p->url(), "swift://AUTH_a/my%20cont/a/b%25/c%25zz");
  EXPECT_EQ(p->target(), "/v1/AUTH_a/my%20cont/a/b%25/c%25zz");
}

TEST(SwiftUrl, DotAndTildeAreTheOwnAccount) {
  EXPECT_EQ(parse_swift_url("swift://./c/o", "own")->account, "own");
  EXPECT_EQ(parse_swift_url("swift://~/c/o", "own")->account, "own");
}

TEST(SwiftUrl, MayStopEarly) {
  EXPECT_EQ(parse_swift_url("swift://a", "own")->container, "");
  EXPECT_EQ(parse_swift_url("swift://a/c/", "own")->object, "");
  EXPECT_EQ(parse_swift_url("swift://a/c", "own")->url(), "swift://a/c");
}

TEST(SwiftUrl, WhatSwiftWouldRefuseIsNone) {
  const std::string long_object = "swift://a/c/" + std::string(1025, 'x');
  for (const std::string& url : {std::string("swift://"), std::string("swift:///c/o"),
           std::string("swift://a//o"), std::string("swift://a/c%2Fd/o"),
           std::string("swift://a/c/%ff"), std::string("swift://a/c/%00"),
           std::string("Swift://a/c/o"), std::string("/a/c/o"), long_object})
    EXPECT_FALSE(parse_swift_url(url, "own")) << url;
}

}  // namespace

}  // namespace zvm::bridge
