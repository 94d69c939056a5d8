// What a client of Swift relies on goes through the bridge unharmed.
#include "swift_bridge/relay.h"

#include <gtest/gtest.h>

#include "tests/unit/swift_bridge/running_bridge.h"

namespace zvm::bridge {
namespace {

using test::Listener;
using test::RunningBridge;
using test::Socket;

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != text.npos;
}

class RelayTest : public testing::Test {
 protected:
  Listener swift_;
  RunningBridge bridge_{test::config_for(swift_.address())};
};

TEST_F(RelayTest, TargetAndHeaderLinesArriveByteForByte) {
  Socket client = bridge_.connect();
  client.send(
      "GET /v1/AUTH_a/c/a%2Fb//../d\xc3\xa9?x=%20&y HTTP/1.1\r\nHost: swift.example:99\r\n"
      "x-odd-CASE: 1\r\nX-Two: b\r\nX-Two: a\r\n\r\n");
  Socket swift = swift_.accept();
  EXPECT_EQ(swift.read_head(),
      "GET /v1/AUTH_a/c/a%2Fb//../d\xc3\xa9?x=%20&y HTTP/1.1\r\nHost: swift.example:99\r\n"
      "x-odd-CASE: 1\r\nX-Two: b\r\nX-Two: a\r\n\r\n");
  swift.send("HTTP/1.1 200 Fine\r\nETag: \"x\"\r\nEtag: y\r\nContent-Length: 2\r\n\r\nok");
  EXPECT_EQ(client.read_head(),
      "HTTP/1.1 200 Fine\r\nETag: \"x\"\r\nEtag: y\r\nContent-Length: 2\r\n\r\n");
  EXPECT_EQ(client.read_exactly(2), "ok");
}

TEST_F(RelayTest, WhatBelongsToOneConnectionStaysThere) {
  Socket client = bridge_.connect();
  client.send(
      "GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, x-mine, host\r\nX-Mine: 1\r\n"
      "Keep-Alive: 5\r\nTE: trailers\r\nUpgrade: websocket\r\nX-Kept: 1\r\n\r\n");
  Socket swift = swift_.accept();
  EXPECT_EQ(swift.read_head(), "GET / HTTP/1.1\r\nHost: h\r\nX-Kept: 1\r\n\r\n");
  swift.send(
      "HTTP/1.1 204 No Content\r\nConnection: x-theirs\r\nX-Theirs: 1\r\nKeep-Alive: 9\r\n"
      "Content-Length: 0\r\n\r\n");
  EXPECT_EQ(client.read_head(), "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n");
}

TEST_F(RelayTest, BothConnectionsAreUsedAgain) {
  Socket client = bridge_.connect();
  Socket swift;
  for (int i = 0; i < 3; ++i) {
    client.send("GET /" + std::to_string(i) + " HTTP/1.1\r\n\r\n");
    if (i == 0) swift = swift_.accept();
    EXPECT_TRUE(contains(swift.read_head(), "GET /" + std::to_string(i)));
    swift.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n" + std::to_string(i));
    client.read_head();
    EXPECT_EQ(client.read_exactly(1), std::to_string(i));
  }
}

TEST_F(RelayTest, PipelinedRequestsAreAnsweredInOrder) {
  Socket client = bridge_.connect();
  client.send("GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n");
  Socket swift = swift_.accept();
  EXPECT_TRUE(contains(swift.read_head(), "GET /1"));
  swift.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1");
  EXPECT_TRUE(contains(swift.read_head(), "GET /2"));
  swift.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2");
  client.read_head();
  EXPECT_EQ(client.read_exactly(1), "1");
  client.read_head();
  EXPECT_EQ(client.read_exactly(1), "2");
}

TEST_F(RelayTest, AnyMethodPasses) {
  for (const std::string method : {"COPY", "OPTIONS", "REPORT", "DELETE"}) {
    Socket client = bridge_.connect();
    client.send(method + " /v1/a/c/o HTTP/1.1\r\nDestination: c/p\r\n\r\n");
    Socket swift = swift_.accept();
    EXPECT_EQ(swift.read_head(), method + " /v1/a/c/o HTTP/1.1\r\nDestination: c/p\r\n\r\n");
    swift.send(
        "HTTP/1.1 405 Method Not Allowed\r\nAllow: GET\r\nContent-Length: 0\r\nConnection: "
        "close\r\n\r\n");
    EXPECT_TRUE(contains(client.read_head(), "405 Method Not Allowed\r\nAllow: GET"));
  }
}

TEST_F(RelayTest, ChunkedUploadKeepsItsCodingAndLosesItsTrailers) {
  Socket client = bridge_.connect();
  client.send(
      "PUT /o HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n"
      "3;ext=1\r\nabc\r\n0\r\nX-T: 1\r\n\r\n");
  Socket swift = swift_.accept();
  EXPECT_EQ(swift.read_head(), "PUT /o HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
  EXPECT_EQ(swift.read_until("0\r\n\r\n"), "3\r\nabc\r\n0\r\n\r\n");
  swift.send("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
  EXPECT_TRUE(contains(client.read_head(), "201 Created"));
}

TEST_F(RelayTest, ChunkedAnswerStaysChunked) {
  Socket client = bridge_.connect();
  client.send("GET /o HTTP/1.1\r\n\r\n");
  Socket swift = swift_.accept();
  swift.read_head();
  swift.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
  EXPECT_TRUE(contains(client.read_head(), "Transfer-Encoding: chunked"));
  EXPECT_EQ(client.read_until("0\r\n\r\n"), "5\r\nhello\r\n0\r\n\r\n");
}

TEST_F(RelayTest, ClientOfHttp10GetsChunkedAnswerPlainAndThenTheEnd) {
  Socket client = bridge_.connect();
  client.send("GET /o HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  Socket swift = swift_.accept();
  swift.read_head();
  swift.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
  const std::string head = client.read_head();
  EXPECT_FALSE(contains(head, "Transfer-Encoding"));
  EXPECT_TRUE(contains(head, "Connection: close"));
  EXPECT_EQ(client.read_to_end(), "hello");
}

TEST_F(RelayTest, LargeBodiesArriveWholeBothWays) {
  std::string large(9'000'000, '\0');
  for (size_t i = 0; i < large.size(); ++i) large[i] = static_cast<char>(i * 31 >> 7);
  Socket client = bridge_.connect();
  std::thread sender([&] {
    client.send("PUT /o HTTP/1.1\r\nContent-Length: " + std::to_string(large.size()) + "\r\n\r\n");
    client.send(large);
  });
  Socket swift = swift_.accept();
  swift.read_head();
  EXPECT_TRUE(swift.read_exactly(large.size()) == large);
  sender.join();
  std::thread answerer([&] {
    swift.send("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(large.size()) + "\r\n\r\n");
    swift.send(large);
  });
  client.read_head();
  EXPECT_TRUE(client.read_exactly(large.size()) == large);
  answerer.join();
}

TEST_F(RelayTest, ContinueComesFromSwiftAlone) {
  Socket client = bridge_.connect();
  client.send("PUT /o HTTP/1.1\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
  Socket swift = swift_.accept();
  EXPECT_TRUE(contains(swift.read_head(), "Expect: 100-continue"));
  swift.send("HTTP/1.1 100 Continue\r\n\r\n");
  EXPECT_EQ(client.read_head(), "HTTP/1.1 100 Continue\r\n\r\n");
  client.send("abc");
  EXPECT_EQ(swift.read_exactly(3), "abc");
  swift.send("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
  EXPECT_TRUE(contains(client.read_head(), "201 Created"));
  // Both connections are in order.
  client.send("GET /2 HTTP/1.1\r\n\r\n");
  EXPECT_TRUE(contains(swift.read_head(), "GET /2"));
}

TEST_F(RelayTest, RefusalWithoutContinueEndsBothConnections) {
  Socket client = bridge_.connect();
  client.send("PUT /o HTTP/1.1\r\nContent-Length: 3000\r\nExpect: 100-continue\r\n\r\n");
  Socket swift = swift_.accept();
  swift.read_head();
  swift.send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno");
  const std::string head = client.read_head();
  EXPECT_TRUE(contains(head, "401 Unauthorized"));
  EXPECT_TRUE(contains(head, "Connection: close"));
  EXPECT_EQ(client.read_to_end(), "no");
  EXPECT_TRUE(swift.at_end());
}

TEST_F(RelayTest, EarlyRefusalIsRelayedAtOnceAndTheRestOfTheBodyGoesOn) {
  Socket client = bridge_.connect();
  client.send("PUT /o HTTP/1.1\r\nContent-Length: 6\r\n\r\nabc");
  Socket swift = swift_.accept();
  swift.read_head();
  EXPECT_EQ(swift.read_exactly(3), "abc");
  swift.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
  EXPECT_TRUE(contains(client.read_head(), "403 Forbidden"));
  EXPECT_EQ(client.read_exactly(2), "no");
  client.send("def");
  EXPECT_EQ(swift.read_exactly(3), "def");
  client.send("GET /2 HTTP/1.1\r\n\r\n");
  EXPECT_TRUE(contains(swift.read_head(), "GET /2"));
}

TEST_F(RelayTest, AnswerIsReadEvenWhenSwiftStopsReading) {
  Socket client = bridge_.connect();
  client.send("PUT /o HTTP/1.1\r\nContent-Length: 60\r\n\r\nabc");
  Socket swift = swift_.accept();
  swift.read_head();
  EXPECT_EQ(swift.read_exactly(3), "abc");
  swift.send("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
  EXPECT_TRUE(contains(client.read_head(), "413"));
  EXPECT_EQ(client.read_exactly(2), "no");
  swift.close();
  client.send("def");
  client.send(std::string(54, 'x'));
}

TEST_F(RelayTest, HeadAnswerKeepsItsLengthAndHasNoBody) {
  Socket client = bridge_.connect();
  client.send("HEAD /o HTTP/1.1\r\n\r\n");
  Socket swift = swift_.accept();
  swift.read_head();
  swift.send("HTTP/1.1 200 OK\r\nContent-Length: 1234567\r\n\r\n");
  EXPECT_EQ(client.read_head(), "HTTP/1.1 200 OK\r\nContent-Length: 1234567\r\n\r\n");
  client.send("GET /2 HTTP/1.1\r\n\r\n");
  EXPECT_TRUE(contains(swift.read_head(), "GET /2"));
  swift.send("HTTP/1.1 304 Not Modified\r\nContent-Length: 0\r\n\r\n");
  EXPECT_EQ(client.read_head(), "HTTP/1.1 304 Not Modified\r\nContent-Length: 0\r\n\r\n");
}

TEST_F(RelayTest, TruncatedAnswerIsPassedOnAsTruncated) {
  for (const bool chunked : {false, true}) {
    Socket client = bridge_.connect();
    client.send("GET /o HTTP/1.1\r\n\r\n");
    Socket swift = swift_.accept();
    swift.read_head();
    swift.send(chunked ? "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
                       : "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
    client.read_head();
    EXPECT_EQ(client.read_exactly(5 + (chunked ? 5 : 0)), chunked ? "5\r\nhello\r\n" : "hello");
    swift.close();
    EXPECT_EQ(client.read_to_end(), "");
  }
}

TEST_F(RelayTest, AnswerUntilCloseEndsWithTheConnection) {
  Socket client = bridge_.connect();
  client.send("GET /o HTTP/1.1\r\n\r\n");
  Socket swift = swift_.accept();
  swift.read_head();
  swift.send("HTTP/1.1 200 OK\r\n\r\nall of it");
  swift.close();
  EXPECT_TRUE(contains(client.read_head(), "Connection: close"));
  EXPECT_EQ(client.read_to_end(), "all of it");
}

TEST_F(RelayTest, ClientThatAbortsItsUploadClosesTheConnectionToSwift) {
  for (const bool reset : {false, true}) {
    Socket client = bridge_.connect();
    client.send("PUT /o HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    Socket swift = swift_.accept();
    swift.read_head();
    EXPECT_EQ(swift.read_exactly(8), "3\r\nabc\r\n");
    if (reset) {
      client.reset();
    } else {
      client.close();
    }
    EXPECT_TRUE(swift.at_end());  // and no last chunk
  }
}

TEST_F(RelayTest, ClientThatIsResetWhileItWaitsClosesTheConnectionToSwift) {
  Socket client = bridge_.connect();
  client.send("GET /o HTTP/1.1\r\n\r\n");
  Socket swift = swift_.accept();
  swift.read_head();
  client.reset();
  EXPECT_TRUE(swift.at_end());
}

TEST_F(RelayTest, ClientThatOnlyStopsSendingIsAnswered) {
  Socket client = bridge_.connect();
  client.send("GET /o HTTP/1.1\r\n\r\n");
  client.finish_sending();
  Socket swift = swift_.accept();
  swift.read_head();
  swift.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  client.read_head();
  EXPECT_EQ(client.read_exactly(2), "ok");
}

TEST_F(RelayTest, ReusedConnectionThatWasClosedIsReplacedOnce) {
  Socket client = bridge_.connect();
  client.send("GET /1 HTTP/1.1\r\n\r\n");
  Socket swift = swift_.accept();
  swift.read_head();
  swift.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  client.read_head();
  client.send("GET /2 HTTP/1.1\r\n\r\n");
  EXPECT_TRUE(contains(swift.read_head(), "GET /2"));
  swift.close();  // no byte of an answer
  Socket again = swift_.accept();
  EXPECT_TRUE(contains(again.read_head(), "GET /2"));
  again.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2");
  client.read_head();
  EXPECT_EQ(client.read_exactly(1), "2");
}

TEST_F(RelayTest, RequestWithABodyIsNeverSentTwice) {
  Socket client = bridge_.connect();
  client.send("POST /1 HTTP/1.1\r\nContent-Length: 1\r\n\r\nx");
  Socket swift = swift_.accept();
  swift.read_head();
  swift.read_exactly(1);
  swift.close();
  EXPECT_TRUE(contains(client.read_head(), "502 Bad Gateway"));
}

TEST_F(RelayTest, AnswerThatIsNoHttpIsABadGateway) {
  Socket client = bridge_.connect();
  client.send("GET / HTTP/1.1\r\n\r\n");
  Socket swift = swift_.accept();
  swift.read_head();
  swift.send("SSH-2.0-OpenSSH\r\n\r\n");
  EXPECT_TRUE(contains(client.read_head(), "502 Bad Gateway"));
  EXPECT_TRUE(swift.at_end());
}

TEST(Relay, SwiftThatDoesNotListenIsABadGateway) {
  std::string nobody;
  {
    Listener gone;
    nobody = gone.address();
  }
  RunningBridge bridge(test::config_for(nobody));
  Socket client = bridge.connect();
  client.send("GET / HTTP/1.1\r\n\r\n");
  EXPECT_TRUE(contains(client.read_head(), "502 Bad Gateway"));
}

TEST(Relay, SwiftThatDoesNotAnswerIsATimeOut) {
  for (const std::string request :
      {"GET / HTTP/1.1\r\n\r\n", "PUT /o HTTP/1.1\r\nContent-Length: 1\r\n\r\nx"}) {
    Listener swift;
    Config config = test::config_for(swift.address());
    config.answer_timeout = std::chrono::milliseconds(50);
    RunningBridge bridge(config);
    Socket client = bridge.connect();
    client.send(request);
    Socket connection = swift.accept();
    EXPECT_TRUE(contains(client.read_head(), "504 Gateway Timeout"));
  }
}

}  // namespace
}  // namespace zvm::bridge
