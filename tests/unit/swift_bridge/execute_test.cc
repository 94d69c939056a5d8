// Jobs from the client's request to its answer: what Swift is asked, what a host is told, what the
// client gets.
#include "swift_bridge/execute.h"

#include <gtest/gtest.h>

#include "tests/unit/swift_bridge/jobs_bridge.h"

namespace zvm::bridge {
namespace {

using protocol::Channel;
using test::FakeHost;
using test::HostSide;
using test::JobAnswer;
using test::JobsBridge;
using test::Socket;

class ExecuteTest : public JobsBridge {};

TEST_F(ExecuteTest, JobRunsBesideItsObjectAndAnswersItsStdout) {
  host1_.play(says("counted"));
  const JobAnswer answer = post(reading());
  EXPECT_TRUE(answer.has("HTTP/1.1 200 OK")) << answer.head;
  EXPECT_EQ(answer.body, "counted");
  EXPECT_TRUE(answer.has("X-Nexe-Status: ok"));
  const size_t id = answer.head.find("X-Zvm-Job: ");
  ASSERT_NE(id, std::string::npos);
  EXPECT_EQ(answer.head.substr(id + 11, 34).find_first_not_of("0123456789abcdef"), 32u);

  ASSERT_EQ(host1_.descriptions().size(), 1u);
  const auto description = protocol::description_from_json(host1_.descriptions()[0]);
  ASSERT_TRUE(description);
  const Channel& in = description->channels[0];
  EXPECT_EQ(in.local, Channel::Local::kRequire);
  EXPECT_EQ(in.device, "d1");
  EXPECT_EQ(in.object.timestamp, "1700000000.00001");
  EXPECT_EQ(in.object.etag, md5_hex("input bytes"));
  EXPECT_EQ(in.object.length, 11u);
}

TEST_F(ExecuteTest, QuestionsCarryTheClientsTokenAndHostsNeverSeeIt) {
  host1_.play(says(""));
  post(reading());
  for (const auto& r : swift_.requests()) {
    EXPECT_EQ(r.head.headers.get("X-Auth-Token"), "good") << r.line();
    EXPECT_EQ(r.head.headers.get("X-Trans-Id-Extra").size(), 32u) << r.line();
    EXPECT_EQ(r.head.headers.find("X-Zerovm-Execute"), nullptr) << r.line();
  }
  EXPECT_EQ(swift_.last("HEAD /v1/AUTH_a/c/in").head.headers.get("X-Newest"), "true");
  EXPECT_EQ(host1_.descriptions()[0].find("good"), std::string::npos);
}

TEST_F(ExecuteTest, RightToExecuteIsAskedWithoutALengthSoThatNothingIsMade) {
  host1_.play(says(""));
  post(reading());
  ASSERT_EQ(swift_.count("PUT", "/v1/AUTH_a/zvm-"), 1u);
  for (const auto& r : swift_.requests())
    if (r.head.method == "PUT") {
      EXPECT_EQ(r.head.headers.find("Content-Length"), nullptr);
      EXPECT_EQ(r.head.headers.find("Transfer-Encoding"), nullptr);
    }
}

TEST_F(ExecuteTest, ProgramOfAnObjectTravelsWholeAndIsFetchedOnce) {
  for (FakeHost* host : {&host1_, &host2_, &host3_})
    host->play([](HostSide& side) {
      if (!side.wait_for_start()) return;
      EXPECT_EQ(sha256_hex(side.program), side.description.program.sha256);
      side.finish({std::to_string(side.program.size())});
    });
  const std::string json = job(kOut, "swift://AUTH_a/c/prog");
  EXPECT_EQ(post(json).body, "600000");
  EXPECT_EQ(swift_.last("GET /v1/AUTH_a/c/prog").head.headers.find("If-None-Match"), nullptr);
  EXPECT_EQ(post(json).body, "600000");
  EXPECT_EQ(swift_.last("GET /v1/AUTH_a/c/prog").head.headers.get("If-None-Match"),
      md5_hex(std::string(600'000, 'p')));
  swift_.put("/v1/AUTH_a/c/prog", {"new"});
  EXPECT_EQ(post(json).body, "3");
}

TEST_F(ExecuteTest, DeniedIsDeniedBeforeAnyHostIsAsked) {
  host1_.play(says(""));
  EXPECT_TRUE(post(reading(), "denied").has("HTTP/1.1 403 Forbidden"));
  const JobAnswer nobody = post(reading(), "unknown");
  EXPECT_TRUE(nobody.has("HTTP/1.1 401 Unauthorized"));
  EXPECT_TRUE(nobody.has("Www-Authenticate: Swift realm=\"AUTH_a\""));
  EXPECT_TRUE(host1_.descriptions().empty());
}

TEST_F(ExecuteTest, WhatIsMissingIsNamed) {
  const JobAnswer object =
      post(job(R"({"name":"stdin","path":"swift://AUTH_a/c/none"},{"name":"stdout"})"));
  EXPECT_TRUE(object.has("HTTP/1.1 404 Not Found"));
  EXPECT_TRUE(object.has("Error 404 Not Found while fetching /AUTH_a/c/none"));
  const JobAnswer container = post(job(R"({"name":"stdout","path":"swift://AUTH_a/nowhere/o"})"));
  EXPECT_TRUE(container.has("HTTP/1.1 404 Not Found"));
  EXPECT_TRUE(container.has("while writing /AUTH_a/nowhere/o"));
}

TEST_F(ExecuteTest, OutputBeyondTheWindowStreamsWhole) {
  std::string large(1'000'000, '\0');
  for (size_t i = 0; i < large.size(); ++i) large[i] = static_cast<char>(i * 37 >> 6);
  host1_.play(says(large));
  const JobAnswer answer = post(reading());
  EXPECT_TRUE(answer.has("200 OK"));
  EXPECT_TRUE(answer.body == large);
}

TEST_F(ExecuteTest, ConnectionCarriesJobsAndOtherRequestsInTurn) {
  host1_.play(says("one"));
  Socket client = bridge().connect();
  for (int i = 0; i < 2; ++i) {
    client.send(request(reading()));
    EXPECT_NE(client.read_head().find("200 OK"), std::string::npos);
    EXPECT_EQ(client.read_exactly(3), "one");
    client.send("GET /v1/AUTH_a/c/in HTTP/1.1\r\nX-Auth-Token: good\r\n\r\n");
    EXPECT_NE(client.read_head().find("200 "), std::string::npos);
    EXPECT_EQ(client.read_exactly(11), "input bytes");
  }
}

TEST_F(ExecuteTest, ContinueIsAnsweredByTheBridgeForJobs) {
  host1_.play(says("done"));
  const std::string json = reading();
  Socket client = bridge().connect();
  client.send(
      "POST /v1/AUTH_a HTTP/1.1\r\nX-Zerovm-Execute: 1.0\r\nX-Auth-Token: good\r\n"
      "Content-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: " +
      std::to_string(json.size()) + "\r\n\r\n");
  EXPECT_EQ(client.read_head(), "HTTP/1.1 100 Continue\r\n\r\n");
  client.send(json);
  EXPECT_NE(client.read_head().find("200 OK"), std::string::npos);
}

TEST_F(ExecuteTest, RefusedRequestIsAnsweredUnread) {
  Socket client = bridge().connect();
  client.send(
      "POST /v1/AUTH_a HTTP/1.1\r\nX-Zerovm-Execute: 2.0\r\nContent-Type: application/json\r\n"
      "Expect: 100-continue\r\nContent-Length: 10\r\n\r\n");
  const std::string head = client.read_head();
  EXPECT_NE(head.find("400 Bad Request"), std::string::npos);
  EXPECT_NE(head.find("X-Zvm-Job: "), std::string::npos);
  EXPECT_NE(head.find("Connection: close"), std::string::npos);
}

TEST_F(ExecuteTest, JobsBeyondTheLimitAreToldToComeAgain) {
  config_.max_jobs = 1;
  std::promise<void> running;
  host1_.play([&](HostSide& side) {
    if (!side.wait_for_start()) return;
    running.set_value();
    EXPECT_FALSE(side.receive() && side.receive());  // READ, then the end
  });
  Socket first = bridge().connect();
  first.send(request(reading()));
  running.get_future().get();
  const JobAnswer second = post(reading());
  EXPECT_TRUE(second.has("HTTP/1.1 503 Service Unavailable"));
  EXPECT_TRUE(second.has("Retry-After: "));
}

TEST_F(ExecuteTest, ManyObjectsAreAskedForAFewAtATime) {
  std::string devices = R"({"name":"stdout"})";
  for (int i = 1; i <= 60; ++i)
    devices += R"(,{"name":"input-)" + std::to_string(i) + R"(","path":"swift://AUTH_a/c/in"})";
  host1_.play(says("sixty", 0));
  EXPECT_EQ(post(job(devices)).body, "sixty");
  EXPECT_EQ(swift_.count("HEAD", "/v1/AUTH_a/c/in"), 60u);
  EXPECT_TRUE(post(job(devices), "unknown").has("HTTP/1.1 401 "));
}

// --- outputs ------------------------------------------------------------------------------------

constexpr const char* kStored =
    R"({"name":"stdout","path":"swift://AUTH_a/c/out","content_type":"text/x-o","meta":{"k":"v"}})";

TEST_F(ExecuteTest, StoredOutputIsPutWithItsTypeDigestAndMetadata) {
  host1_.play(says("result", 0));
  EXPECT_TRUE(post(job(kStored)).has("200 OK"));
  EXPECT_EQ(swift_.stored("/v1/AUTH_a/c/out"), "result");
  const auto put = swift_.last("PUT /v1/AUTH_a/c/out").head.headers;
  EXPECT_EQ(put.get("Content-Type"), "text/x-o");
  EXPECT_EQ(put.get("ETag"), md5_hex("result"));
  EXPECT_EQ(put.get("X-Object-Meta-k"), "v");
  EXPECT_EQ(put.get("X-Auth-Token"), "good");
}

TEST_F(ExecuteTest, LargeStoredOutputIsStreamedAndUntouchedOneIsStoredEmpty) {
  const std::string large(700'000, 'L');
  host1_.play([&](HostSide& side) {
    if (side.wait_for_start()) side.finish({large, ""});
  });
  const std::string two =
      std::string(kStored) + R"(,{"name":"output","path":"swift://AUTH_a/c/empty"})";
  EXPECT_TRUE(post(job(two)).has("200 OK"));
  EXPECT_TRUE(swift_.stored("/v1/AUTH_a/c/out") == large);
  EXPECT_EQ(swift_.stored("/v1/AUTH_a/c/empty"), "");
}

TEST_F(ExecuteTest, StoringIsTriedAgainAfterAServersFault) {
  host1_.play(says(std::string(100'000, 'r'), 0));
  swift_.refuse_puts({503, 500});
  EXPECT_TRUE(post(job(kStored)).has("200 OK"));
  EXPECT_EQ(swift_.stored("/v1/AUTH_a/c/out").size(), 100'000u);
}

TEST_F(ExecuteTest, OutputThatCanNotBeStoredGivesTheJobItsStatus) {
  host1_.play(says("result", 0));
  swift_.refuse_puts({413});
  const JobAnswer answer = post(job(kStored));
  EXPECT_TRUE(answer.has("HTTP/1.1 413 ")) << answer.head;
  EXPECT_TRUE(answer.has("while writing /AUTH_a/c/out"));
  EXPECT_EQ(swift_.stored("/v1/AUTH_a/c/out"), "(absent)");
}

TEST_F(ExecuteTest, FailureAfterAnotherOutputWasStoredIsToldWithWhatWasStored) {
  host1_.play(says("result", 0));
  swift_.refuse_puts({201, 413});
  const std::string two =
      std::string(kStored) + R"(,{"name":"output","path":"swift://AUTH_a/c/other"})";
  const JobAnswer answer = post(job(two));
  EXPECT_TRUE(answer.has("HTTP/1.1 500 ")) << answer.head;
  EXPECT_TRUE(answer.has("while writing /AUTH_a/c/other; outputs stored before it: 1"));
  EXPECT_TRUE(answer.has(R"("path":"/AUTH_a/c/out","reads":0,"sha256")"));
  EXPECT_TRUE(answer.has(R"("stored":true)"));
  EXPECT_TRUE(answer.has(R"("stored":false)"));
}

TEST_F(ExecuteTest, NodeThatEndsBadlyStoresNothing) {
  host1_.play([](HostSide& side) {
    if (side.wait_for_start()) side.finish({"partial"}, protocol::End::kTimeout);
  });
  EXPECT_TRUE(post(job(kStored)).has("HTTP/1.1 500 "));
  EXPECT_EQ(swift_.stored("/v1/AUTH_a/c/out"), "(absent)");
}

}  // namespace
}  // namespace zvm::bridge
