#include "cli/job_answer.h"

#include <gtest/gtest.h>

namespace zvm::cli {

namespace {

JobAnswer answer_of(std::initializer_list<std::string_view> lines) {
  JobAnswer a;
  for (const std::string_view line : lines) take_header_line(line, &a);
  return a;
}

TEST(JobAnswer, ReadsTheLastHead) {
  const JobAnswer a = answer_of({"HTTP/1.1 100 Continue\r\n", "X-Old: 1\r\n", "\r\n",
      "HTTP/1.1 200 OK\r\n", "X-New:  2\r\n", "\r\n"});
  EXPECT_EQ(a.status, 200u);
  EXPECT_EQ(a.headers.find("X-Old"), nullptr);
  EXPECT_EQ(a.headers.get("x-new"), "2");
}

TEST(ExitCode, IsTheProgramsOrSaysWhatEndedIt) {
  struct Case {
    std::initializer_list<std::string_view> lines;
    int code;
  };

  const Case kCases[] = {
      {{}, 121},
      {{"HTTP/1.1 200 OK", "X-Nexe-Status: ok", "X-Nexe-Retcode: 0"}, 0},
      {{"HTTP/1.1 200 OK", "X-Nexe-Status: ok", "X-Nexe-Retcode: 3"}, 3},
      {{"HTTP/1.1 200 OK", "X-Nexe-Status: ok,ok", "X-Nexe-Retcode: 7,0"}, 7},
      {{"HTTP/1.1 404 Mine", "X-Nexe-Status: ok", "X-Nexe-Retcode: 2", "X-Zerovm-Device: stdout"},
          2},
      {{"HTTP/1.1 403 No", "X-Nexe-Status: ok", "X-Nexe-Retcode: 0"}, 122},
      {{"HTTP/1.1 500 E", "X-Nexe-Status: signal 11"}, 139},
      {{"HTTP/1.1 500 E", "X-Nexe-Status: session timeout"}, 124},
      {{"HTTP/1.1 500 E", "X-Nexe-Status: out of memory"}, 125},
      {{"HTTP/1.1 409 E", "X-Nexe-Status: cancelled"}, 125},
      {{"HTTP/1.1 400 E", "X-Nexe-Status: ZeroVM did not run"}, 122},
      {{"HTTP/1.1 501 E"}, 122},
      {{"HTTP/1.1 401 E"}, 122},
      {{"HTTP/1.1 500 E", "X-Nexe-Status: host lost"}, 123},
      {{"HTTP/1.1 503 E"}, 123},
      {{"HTTP/1.1 200 OK"}, 121},
      {{"HTTP/1.1 200 OK", "X-Nexe-Status: ok", "X-Nexe-Retcode: nine"}, 123},
  };
  for (const Case& c : kCases)
    EXPECT_EQ(exit_code(answer_of(c.lines)), c.code)
        << (c.lines.size() == 0 ? "" : std::string(*c.lines.begin()));
}

TEST(JobAnswer, BodyIsOutputOrWords) {
  EXPECT_TRUE(body_is_output(answer_of({"HTTP/1.1 200 OK"})));
  EXPECT_TRUE(body_is_output(answer_of({"HTTP/1.1 500 E", "X-Zerovm-Device: stdout"})));
  EXPECT_FALSE(body_is_output(answer_of({"HTTP/1.1 500 E"})));
  EXPECT_FALSE(body_is_output(answer_of({"HTTP/1.1 404 E"})));
}

TEST(Summary, IsALinePerNode) {
  const JobAnswer a = answer_of({"HTTP/1.1 200 OK",
      R"(X-Zvm-Report: {"nodes":[{"name":"n","status":"ok","exit_code":0,"host":"h1","device":"d1",)"
      R"("locality":"local","reason":"","wall":0.25,"cpu_user":0.1,"cpu_system":0.05,"memory_peak":3145728}]})"});
  EXPECT_EQ(
      summary(a), "zvm: n: ok, exit 0, on h1/d1 (local), 0.250 s, cpu 0.150 s, memory 3.0 MiB\n");
}

TEST(Summary, FallsBackToTheHeaders) {
  const JobAnswer a = answer_of(
      {"HTTP/1.1 500 E", "X-Nexe-System: n,m", "X-Nexe-Status: signal 6,ok", "X-Nexe-Retcode: 0,0",
          "X-Nexe-Error: signal 6", "X-Zvm-Job: j1", "X-Zvm-Report: {broken"});
  EXPECT_EQ(summary(a), "zvm: n: signal 6\nzvm: error: signal 6\nzvm: HTTP 500, job j1\n");
  EXPECT_EQ(pretty_report(a), "");
}

TEST(Summary, SurvivesAnyReport) {
  for (const char* report : {"[]", "1", "{}", R"({"nodes":1})", R"({"nodes":[1,{}]})",
           R"({"nodes":[{"name":{"a":1},"wall":"x","memory_peak":-1}]})"}) {
    const JobAnswer a = answer_of({"HTTP/1.1 200 OK", std::string("X-Zvm-Report: ") + report});
    EXPECT_NO_FATAL_FAILURE(summary(a)) << report;
  }
}

TEST(Summary, KeepsControlCharactersFromTheTerminal) {
  EXPECT_EQ(for_terminal("a\x1b[2Jb\nc\x7f"), "a?[2Jb?c?");
}

TEST(JobFile, IsToldByItsFirstBytes) {
  EXPECT_EQ(job_content_type("#!file://host:/bin/sh\n"), "text/x-script");
  EXPECT_EQ(job_content_type(" \n[{}]"), "application/json");
  EXPECT_EQ(job_content_type("{}"), "application/json");
  EXPECT_EQ(job_content_type("print 1"), "");
  EXPECT_EQ(job_content_type(""), "");
}

}  // namespace

}  // namespace zvm::cli
