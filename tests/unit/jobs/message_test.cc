#include "swift_bridge/jobs/message.h"

#include <gtest/gtest.h>

#include <string>

namespace zvm::bridge {

namespace {

TEST(ProgramHead, IsExpectedByMediaTypeAlone) {
  EXPECT_EQ(message_kind("message/http"), MessageKind::kHttp);
  EXPECT_EQ(message_kind("Message/CGI ; x=y"), MessageKind::kCgi);
  EXPECT_EQ(message_kind("text/html"), MessageKind::kNone);
  EXPECT_EQ(message_kind("message/https"), MessageKind::kNone);
}

TEST(ProgramHead, HttpHasAStatusLine) {
  for (const std::string& eol : {std::string("\n"), std::string("\r\n")}) {
    const std::string text = "HTTP/1.1 201 Created" + eol + "Content-Type: a/b" + eol +
                             "X-Own:  v " + eol + eol + "body";
    const auto head = parse_program_head(MessageKind::kHttp, text);
    ASSERT_TRUE(head);
    EXPECT_EQ(head->status, 201u);
    EXPECT_EQ(head->headers.get("Content-Type"), "a/b");
    EXPECT_EQ(head->headers.get("X-Own"), "v");
    EXPECT_EQ(text.substr(head->size), "body");
  }
}

TEST(ProgramHead, CgiMayNameAStatus) {
  const auto plain = parse_program_head(MessageKind::kCgi, "Content-Type: a/b\n\nx");
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->status, 200u);
  const auto named = parse_program_head(MessageKind::kCgi, "Status: 404 Gone fishing\nA: b\n\n");
  ASSERT_TRUE(named);
  EXPECT_EQ(named->status, 404u);
  EXPECT_EQ(named->headers.find("Status"), nullptr);
  EXPECT_EQ(named->headers.size(), 1u);
}

TEST(ProgramHead, CannotSetWhatIsOurs) {
  const auto head = parse_program_head(MessageKind::kCgi,
      "X-Nexe-Status: ok\nx-zvm-job: 1\nMTIME: 3\nTransfer-Encoding: chunked\nConnection: close\n"
      "Content-Length: 77\nDate: now\nX-Mine: 1\n\n");
  ASSERT_TRUE(head);
  EXPECT_EQ(head->headers.size(), 1u);
  EXPECT_EQ(head->headers.get("X-Mine"), "1");
  EXPECT_EQ(head->content_length, 77u);
}

TEST(ProgramHead, AnythingElseIsPlainBytes) {
  const char* const kHttpBad[] = {"", "hello", "HTTP/1.1 200 OK\n", "HTTP/1.1 200 OK\nA: b\n",
      "HTTP/1.1 100 Continue\n\n", "HTTP/1.1 99\n\n", "HTTP/1.1 600 x\n\n", "HTTP/2 200\n\n",
      "HTTP/1.1 200OK\n\n", "HTTP/1.1 200 OK\n folded: x\n\n", "HTTP/1.1 200 OK\nno colon\n\n",
      "HTTP/1.1 200 OK\nA : b\n\n", "HTTP/1.1 200 OK\nA: b\x01\n\n",
      "HTTP/1.1 200 OK\nContent-Length: -1\n\n"};
  for (const char* text : kHttpBad)
    EXPECT_FALSE(parse_program_head(MessageKind::kHttp, text)) << text;
  const char* const kCgiBad[] = {"", "\n", "plain text\n\n", "Status: OK\n\n", "A: b"};
  for (const char* text : kCgiBad)
    EXPECT_FALSE(parse_program_head(MessageKind::kCgi, text)) << text;
  EXPECT_FALSE(parse_program_head(MessageKind::kNone, "A: b\n\n"));
}

TEST(ProgramHead, IsBounded) {
  std::string many;
  for (int i = 0; i < 101; ++i) many += "H" + std::to_string(i) + ": v\n";
  EXPECT_FALSE(parse_program_head(MessageKind::kCgi, many + "\n"));
  EXPECT_FALSE(parse_program_head(MessageKind::kCgi, "A: " + std::string(5000, 'x') + "\n\n"));
}

}  // namespace

}  // namespace zvm::bridge
