#include "base/log.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <regex>
#include <thread>
#include <vector>

#include "base/sys/fd.h"

namespace zvm {

namespace {

// What fn writes to stderr.
template <class Fn>
std::string stderr_of(Fn fn) {
  const UniqueFd file(::memfd_create("stderr", MFD_CLOEXEC));
  // As a log file is opened: a memfd's position alone is not safe against writers at once.
  ::fcntl(file.get(), F_SETFL, O_APPEND);
  const UniqueFd saved(::dup(STDERR_FILENO));
  ::dup2(file.get(), STDERR_FILENO);
  fn();
  ::dup2(saved.get(), STDERR_FILENO);
  std::string text(1 << 20, '\0');
  const ssize_t n = ::pread(file.get(), text.data(), text.size(), 0);
  text.resize(n > 0 ? static_cast<size_t>(n) : 0);
  return text;
}

TEST(Log, LineHasTimeProgramLevelMessageAndFields) {
  log_setup("zvm-hostd", Level::kInfo);
  const std::string line = stderr_of([] {
    log(Level::kWarning, "disk is slow", {{"DEVICE", "sda"}, {"MS", "12"}});
  });
  const std::regex form(
      R"x(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z zvm-hostd warning: disk is slow DEVICE="sda" MS="12"\n)x");
  EXPECT_TRUE(std::regex_match(line, form)) << line;
}

TEST(Log, ErrorsCarryKindOriginAndErrno) {
  const std::string line = stderr_of([] {
    log_error("no replica", errno_error("openat2", ENOENT), {{"JOB_ID", "7"}});
  });
  EXPECT_NE(line.find(" error: no replica JOB_ID=\"7\" KIND=\"not-found\" ORIGIN=\"host\" "
                      "ERROR=\"openat2: No such file or directory\" ERRNO=\"2\"\n"),
      std::string::npos)
      << line;
}

TEST(Log, ValuesCanNotBeginALineNorSpeakToATerminal) {
  const std::string line = stderr_of([] {
    log(Level::kError, "refused", {{"PATH", std::string("a\nb\x1b[31m\"c\\\r\0", 13)}});
  });
  EXPECT_NE(line.find("PATH=\"a\\nb\\x1b[31m\\\"c\\\\\\x0d\\x00\"\n"), std::string::npos) << line;
  EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1);
}

TEST(Log, LongValuesAreCut) {
  const std::string line = stderr_of([] {
    log(Level::kError, "long", {{"V", std::string(5000, 'x')}});
  });
  EXPECT_NE(line.find("\"" + std::string(1024, 'x') + "...\""), std::string::npos);
}

TEST(Log, LessImportantLevelsAreSilent) {
  log_setup("x", Level::kNotice);
  EXPECT_EQ(stderr_of([] { log(Level::kInfo, "detail"); }), "");
  EXPECT_NE(stderr_of([] { log(Level::kNotice, "news"); }), "");
}

TEST(Log, LinesOfSeveralThreadsStayWhole) {
  log_setup("x", Level::kInfo);
  const std::string text = stderr_of([] {
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i)
      threads.emplace_back([] {
        for (int j = 0; j < 200; ++j) log(Level::kInfo, "line", {{"V", std::string(50, 'v')}});
      });
    for (auto& t : threads) t.join();
  });
  const std::string end = "V=\"" + std::string(50, 'v') + "\"\n";
  size_t lines = 0;
  for (size_t at = 0; at < text.size(); ++lines) {
    const size_t lf = text.find('\n', at);
    ASSERT_NE(lf, std::string::npos);
    EXPECT_EQ(text.compare(lf + 1 - end.size(), end.size(), end), 0);
    EXPECT_EQ(lf - at, 37 + end.size());
    at = lf + 1;
  }
  EXPECT_EQ(lines, 800u);
}

}  // namespace

}  // namespace zvm
