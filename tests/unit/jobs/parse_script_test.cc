#include <gtest/gtest.h>

#include "swift_bridge/jobs/parse.h"

namespace zvm::bridge {

namespace {

const SwiftPath kAccount{"AUTH_test", "", ""};
const SwiftPath kObject{"AUTH_test", "texts", "a b"};

TEST(Script, BecomesANodeLikeTheKernelWouldRunIt) {
  const std::string text = "#! \tfile://host:/usr/bin/python3 -u -X dev \nprint(1)\n";
  const auto job = parse_script(text, kAccount, {});
  ASSERT_TRUE(job) << job.error().detail;
  EXPECT_TRUE(job->is_script);
  ASSERT_EQ(job->nodes.size(), 1u);
  const Node& node = job->nodes[0];
  EXPECT_EQ(node.name, "script");
  EXPECT_EQ(node.exec.name, "script");
  EXPECT_EQ(node.exec.image, "host");
  EXPECT_EQ(node.exec.path, "/usr/bin/python3");
  EXPECT_EQ(node.exec.url, "file://host:/usr/bin/python3");
  EXPECT_EQ(
      node.exec.argv, (std::vector<std::string>{"/usr/bin/python3", "-u", "-X", "dev", "script"}));
  ASSERT_EQ(node.devices.size(), 2u);
  EXPECT_EQ(node.devices[0].name, "script");
  EXPECT_EQ(node.devices[0].bytes, text);
  ASSERT_EQ(node.answer, 1u);
  EXPECT_EQ(node.devices[1].name, "stdout");
  EXPECT_EQ(node.devices[1].content_type, "text/plain");
  EXPECT_FALSE(node.attach);
}

TEST(Script, PostedToAnObjectReadsItAsStdin) {
  const auto job = parse_script("#!file://host:/bin/sh\nwc\n", kObject, {});
  ASSERT_TRUE(job);
  const Node& node = job->nodes[0];
  ASSERT_EQ(node.attach, 1u);
  EXPECT_EQ(node.devices[1].name, "stdin");
  EXPECT_EQ(node.devices[1].path, kObject);
  EXPECT_EQ(node.devices[1].url, "swift://AUTH_test/texts/a%20b");
}

TEST(Script, MayBeInterpretedByAnObject) {
  const auto job = parse_script("#!swift://./bin/tools/awk -f\r\n", kAccount, {});
  ASSERT_TRUE(job) << job.error().detail;
  EXPECT_EQ(job->nodes[0].exec.kind, Exec::Kind::kObject);
  EXPECT_EQ(job->nodes[0].exec.object, (SwiftPath{"AUTH_test", "bin", "tools/awk"}));
  EXPECT_EQ(job->nodes[0].exec.argv, (std::vector<std::string>{"awk", "-f", "script"}));
}

TEST(Script, IsRefusedWithTheTextThatClientsKnow) {
  struct Case {
    std::string body;
    unsigned status;
    const char* text;
  };

  const Case kCases[] = {
      {"", 400, "Unsupported Content-Type"},
      {"print 1\n", 400, "Unsupported Content-Type"},
      {" #!file://host:/bin/sh\n", 400, "Unsupported Content-Type"},
      {"#!file://host:/bin/sh", 400, "Cannot find shebang"},
      {"#!" + std::string(kMaxShebangSearch, ' ') + "\n", 400, "Cannot find shebang"},
      {"#!\n", 400, "Bad interpreter "},
      {"#!/usr/bin/python\n", 400, "Bad interpreter /usr/bin/python"},
      {"#!zvm://x:y\n", 400, "Bad interpreter zvm://x:y"},
      {"#!swift://a/c\n", 400, "Bad interpreter swift://a/c"},
      {"#!file://ho/st:/x\n", 400, "Bad interpreter file://ho/st:/x"},
      {"#!file://host:\n", 400, "Bad interpreter file://host:"},
      {"#!file://python\n", 400, "Must specify image name"},
      {"#!file://host:/bin/sh 'open\n", 400, "Invalid nexe property for script"},
      {"#!file://host:/bin/sh\n" + std::string(kMaxScript, 'x'), 413, "at most"},
  };
  for (const Case& c : kCases) {
    const auto job = parse_script(c.body, kAccount, {});
    ASSERT_FALSE(job) << c.body.substr(0, 60);
    EXPECT_EQ(job.error().status, c.status) << c.body.substr(0, 60);
    EXPECT_EQ(job.error().detail.rfind(c.text, 0) == 0 ||
                  job.error().detail.find(c.text) != std::string::npos,
        true)
        << job.error().detail;
  }
}

}  // namespace

}  // namespace zvm::bridge
