// Credentials and the copies of programs.
#include <gtest/gtest.h>

#include "swift_bridge/swift/credentials.h"
#include "swift_bridge/swift/program_cache.h"

namespace zvm::bridge {
namespace {

http::RequestHead request(std::initializer_list<http::Header> headers) {
  http::RequestHead head;
  for (const auto& h : headers) head.headers.add(h.name, h.value);
  return head;
}

TEST(Credentials, OnlyWhatGrantsRightsGoesAlong) {
  const auto c = Credentials::of(
      request({{"x-auth-token", "t"}, {"X-Service-Token", "s"}, {"Referer", "r"}, {"Host", "h"},
          {"X-Timestamp", "1"}, {"X-Newest", "false"}, {"Content-Length", "5"}}),
      "0123456789abcdef0123456789abcdef");
  std::string all;
  for (const auto& h : c.headers) all += h.name + "=" + h.value + ";";
  EXPECT_EQ(all,
      "X-Auth-Token=t;X-Service-Token=s;Referer=r;"
      "X-Trans-Id-Extra=0123456789abcdef0123456789abcdef;");
}

TEST(Credentials, DigestTellsCredentialsApartAndForgetsTheJob) {
  const auto a = Credentials::of(request({{"X-Auth-Token", "t"}}), "job1").digest;
  EXPECT_EQ(a, Credentials::of(request({{"X-Auth-Token", "t"}, {"Host", "x"}}), "job2").digest);
  EXPECT_NE(a, Credentials::of(request({{"X-Auth-Token", "u"}}), "job1").digest);
  EXPECT_NE(a, Credentials::of(request({{"X-Storage-Token", "t"}}), "job1").digest);
  EXPECT_NE(a, Credentials::of(request({}), "job1").digest);
}

std::shared_ptr<const Program> program(size_t size) {
  auto p = std::make_shared<Program>();
  p->bytes = std::string(size, 'p');
  return p;
}

TEST(ProgramCache, KeepsWhatWasUsedLastWithinItsBytes) {
  ProgramCache cache(100);
  cache.keep("a", program(40));
  cache.keep("b", program(40));
  EXPECT_TRUE(cache.find("a"));
  cache.keep("c", program(40));
  EXPECT_FALSE(cache.find("b"));
  EXPECT_TRUE(cache.find("a"));
  EXPECT_TRUE(cache.find("c"));
  EXPECT_EQ(cache.bytes(), 80u);
}

TEST(ProgramCache, NewCopyReplacesTheOldAndATooLargeOneIsNotKept) {
  ProgramCache cache(100);
  cache.keep("a", program(40));
  cache.keep("a", program(60));
  EXPECT_EQ(cache.bytes(), 60u);
  cache.keep("a", program(101));
  EXPECT_FALSE(cache.find("a"));
  EXPECT_EQ(cache.bytes(), 0u);
}

}  // namespace
}  // namespace zvm::bridge
