// The bridge's own answers, and how it ends.
#include "swift_bridge/server.h"

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

class ServerTest : public testing::Test {
 protected:
  void answer_one() {
    Socket swift = swift_.accept();
    swift.read_head();
    swift.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  }

  Listener swift_;
};

TEST_F(ServerTest, MalformedRequestIs400AndNeverReachesSwift) {
  RunningBridge bridge(test::config_for(swift_.address()));
  for (const std::string request : {"GET http://other/ HTTP/1.1\r\n\r\n", "nonsense\r\n\r\n",
           "PUT /o HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
           "GET / HTTP/1.1\r\nA: 1\r\n B: 2\r\n\r\n"}) {
    Socket client = bridge.connect();
    client.send(request);
    EXPECT_TRUE(contains(client.read_head(), "400 Bad Request")) << request;
  }
}

TEST_F(ServerTest, MalformedChunkIs400) {
  RunningBridge bridge(test::config_for(swift_.address()));
  Socket client = bridge.connect();
  client.send("PUT /o HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nnot hex\r\n");
  Socket swift = swift_.accept();
  EXPECT_TRUE(contains(client.read_head(), "400 Bad Request"));
  swift.read_head();
  EXPECT_TRUE(swift.at_end());
}

TEST_F(ServerTest, HeadThatIsTooLargeIs431) {
  RunningBridge bridge(test::config_for(swift_.address()));
  Socket client = bridge.connect();
  client.send("GET / HTTP/1.1\r\nX: " + std::string(70'000, 'x') + "\r\n\r\n");
  EXPECT_TRUE(contains(client.read_head(), "431 "));
}

TEST_F(ServerTest, HeadThatNeverEndsIs408) {
  Config config = test::config_for(swift_.address());
  config.header_timeout = std::chrono::milliseconds(100);
  RunningBridge bridge(config);
  Socket client = bridge.connect();
  client.send("GET / HTTP/1.1\r\n");
  EXPECT_TRUE(contains(client.read_head(), "408 Request Timeout"));
}

TEST_F(ServerTest, BodyThatStallsIs408AndIsNotCompleted) {
  Config config = test::config_for(swift_.address());
  config.body_timeout = std::chrono::milliseconds(100);
  RunningBridge bridge(config);
  Socket client = bridge.connect();
  client.send("PUT /o HTTP/1.1\r\nContent-Length: 5\r\n\r\nab");
  Socket swift = swift_.accept();
  EXPECT_TRUE(contains(client.read_head(), "408 Request Timeout"));
  swift.read_head();
  EXPECT_EQ(swift.read_to_end(), "ab");
}

TEST_F(ServerTest, SilentConnectionIsClosedWithoutAWord) {
  Config config = test::config_for(swift_.address());
  config.header_timeout = std::chrono::milliseconds(50);
  RunningBridge bridge(config);
  Socket client = bridge.connect();
  EXPECT_TRUE(client.at_end());
}

TEST_F(ServerTest, ClientBeyondTheLimitWaitsUntilAnotherHasGone) {
  Config config = test::config_for(swift_.address());
  config.max_connections = 1;
  RunningBridge bridge(config);
  Socket first = bridge.connect();
  first.send("GET /1 HTTP/1.1\r\n\r\n");
  answer_one();
  first.read_head();
  Socket second = bridge.connect();
  second.send("GET /2 HTTP/1.1\r\nConnection: close\r\n\r\n");
  first.close();
  answer_one();
  EXPECT_TRUE(contains(second.read_head(), "HTTP/1.1 "));
}

TEST_F(ServerTest, StoppingLetsARequestEndAndClosesIdleConnections) {
  Config config = test::config_for(swift_.address());
  config.drain_timeout = std::chrono::hours(1);
  RunningBridge bridge(config);
  Socket idle = bridge.connect();
  Socket busy = bridge.connect();
  busy.send("GET / HTTP/1.1\r\n\r\n");
  Socket swift = swift_.accept();
  swift.read_head();
  bridge.stop();
  EXPECT_TRUE(idle.at_end());
  swift.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  busy.read_head();
  EXPECT_EQ(busy.read_to_end(), "ok");
}

TEST_F(ServerTest, StoppingTwiceEndsWhatRuns) {
  Config config = test::config_for(swift_.address());
  config.drain_timeout = std::chrono::hours(1);
  RunningBridge bridge(config);
  Socket busy = bridge.connect();
  busy.send("GET / HTTP/1.1\r\n\r\n");
  Socket swift = swift_.accept();
  swift.read_head();
  bridge.stop();
  bridge.stop();
  EXPECT_TRUE(swift.at_end());
  EXPECT_TRUE(busy.at_end());
}

}  // namespace
}  // namespace zvm::bridge
