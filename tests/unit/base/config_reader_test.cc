#include "base/config_reader.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <fstream>

namespace zvm {

namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;

ConfigFile parsed(std::string_view text) {
  auto file = ConfigFile::parse(text, "t.toml");
  EXPECT_TRUE(file) << file.error().what();
  return *std::move(file);
}

std::string error_of(const Status& status) {
  return status ? "" : status.error().what();
}

std::string refusal(std::string_view text) {
  const auto file = ConfigFile::parse(text, "t.toml");
  if (file) return "";
  EXPECT_EQ(file.error().kind(), Kind::kInvalid);
  return file.error().what();
}

TEST(Config, ReadsEveryType) {
  auto file = parsed(R"(
[host]
id = "h1"           # a comment with é
enabled = true
workers = 4
paths = ["/a", 'b', """c"""]
memory = "64MiB"
bytes = 4096
timeout = "250ms"
grace = 5
[host.limits]
jobs = 7
)");
  std::string id = "unset";
  bool enabled = false;
  uint64_t workers = 0, memory = 0, bytes = 0, jobs = 0;
  std::vector<std::string> paths;
  milliseconds timeout{}, grace{};
  auto host = file.table("host");
  host.read("id", &id);
  host.read("enabled", &enabled);
  host.read("workers", &workers, 1, 64);
  host.read("paths", &paths);
  host.read_size("memory", &memory, 1, 1 << 30);
  host.read_size("bytes", &bytes, 1, 1 << 30);
  host.read_duration("timeout", &timeout, 1ms, 1h);
  host.read_duration("grace", &grace, 1ms, 1h);
  file.table("host.limits").read("jobs", &jobs, 0, 100);
  EXPECT_EQ(error_of(file.finish()), "");
  EXPECT_EQ(id, "h1");
  EXPECT_TRUE(enabled);
  EXPECT_EQ(workers, 4u);
  EXPECT_EQ(paths, (std::vector<std::string>{"/a", "b", "c"}));
  EXPECT_EQ(memory, 64u << 20);
  EXPECT_EQ(bytes, 4096u);
  EXPECT_EQ(timeout, 250ms);
  EXPECT_EQ(grace, 5s);
  EXPECT_EQ(jobs, 7u);
}

TEST(Config, AbsentKeysAndTablesLeaveTheDefault) {
  auto file = parsed("");
  std::string id = "default";
  uint64_t n = 3;
  file.table("host").read("id", &id);
  file.table("a.b.c").read("n", &n, 0, 1);
  EXPECT_EQ(error_of(file.finish()), "");
  EXPECT_EQ(id, "default");
  EXPECT_EQ(n, 3u);
}

TEST(Config, AKeyThatNobodyReadIsNamedWithItsPlace) {
  auto file = parsed("[host]\nid = \"a\"\n  idd = \"b\"\n");
  std::string id;
  file.table("host").read("id", &id);
  EXPECT_EQ(error_of(file.finish()), "t.toml:3:3: \"host.idd\" is not a setting");
}

TEST(Config, TablesThatNobodyReadAreErrorsUnlessIgnored) {
  const auto text = "[host]\n[hots]\nx = 1\n[broker.limits]\ny = 2\n";
  auto file = parsed(text);
  (void)file.table("host");
  EXPECT_EQ(error_of(file.finish({"broker"})), "t.toml:2:2: \"hots\" is not a setting");
  EXPECT_EQ(error_of(file.finish({"broker", "hots"})), "");
  auto top = parsed("x = 1\n");
  EXPECT_NE(error_of(top.finish()), "");
}

TEST(Config, WrongTypesAndRangesAreNamedWithTheirPlace) {
  const auto wrong = [](std::string_view text, auto read) {
    auto file = parsed(text);
    auto t = file.table("t");
    read(t);
    return error_of(file.finish());
  };
  std::string s = "kept";
  bool b = false;
  uint64_t n = 0;
  std::vector<std::string> list;
  milliseconds d{};
  EXPECT_EQ(
      wrong("[t]\nk = 1", [&](auto& t) { t.read("k", &s); }), "t.toml:2:5: t.k is not a string");
  EXPECT_EQ(s, "kept");
  EXPECT_NE(wrong("[t]\nk = \"true\"", [&](auto& t) { t.read("k", &b); }), "");
  EXPECT_EQ(wrong("[t]\nk = 11", [&](auto& t) { t.read("k", &n, 1, 10); }),
      "t.toml:2:5: t.k is not a number from 1 to 10");
  EXPECT_NE(wrong("[t]\nk = -1", [&](auto& t) { t.read("k", &n, 0, 10); }), "");
  EXPECT_NE(wrong("[t]\nk = 1.0", [&](auto& t) { t.read("k", &n, 0, 10); }), "");
  EXPECT_NE(wrong("[t]\nk = \"a\"", [&](auto& t) { t.read("k", &list); }), "");
  EXPECT_NE(wrong("[t]\nk = [\"a\", 1]", [&](auto& t) { t.read("k", &list); }), "");
  EXPECT_NE(wrong("[t]\nk = \"a\\u0000b\"", [&](auto& t) { t.read("k", &s); }), "");
  EXPECT_EQ(wrong("[t]\nk = \"1GB\"", [&](auto& t) { t.read_size("k", &n, 4096, 1 << 20); }),
      "t.toml:2:5: t.k is not a size from 4KiB to 1MiB");
  EXPECT_NE(wrong("[t]\nk = -5", [&](auto& t) { t.read_size("k", &n, 0, 10); }), "");
  EXPECT_EQ(wrong("[t]\nk = \"5h\"", [&](auto& t) { t.read_duration("k", &d, 1s, 1h); }),
      "t.toml:2:5: t.k is not a duration from 1s to 1h");
  EXPECT_NE(wrong("[t]\nk = -5", [&](auto& t) { t.read_duration("k", &d, 0s, 1h); }), "");
  EXPECT_NE(wrong("t = 1", [&](auto& t) { t.read("k", &s); }), "");
}

TEST(Config, TheFirstErrorIsTheOneReported) {
  auto file = parsed("[t]\na = 1\nb = 2\n");
  std::string s;
  auto t = file.table("t");
  t.read("a", &s);
  t.read("b", &s);
  EXPECT_EQ(error_of(file.finish()), "t.toml:2:5: t.a is not a string");
}

TEST(Config, MalformedFilesAreRefusedWithTheirPlace) {
  EXPECT_EQ(refusal("[#x]]\n").rfind("t.toml:1:", 0), 0u);
  EXPECT_EQ(refusal("a = 1\nb = \n").rfind("t.toml:2:", 0), 0u) << refusal("a = 1\nb = \n");
  for (const char* text : {"a", "a = 1\na = 2", "[t", "a = 'x", "a = 1 2",
           "a = 99999999999999999999", "a = {b = 1", "a = [1,", "[t]\n[t]\n"})
    EXPECT_NE(refusal(text), "") << text;
}

TEST(Config, LettersThatAreNotAsciiComeOutOfStringsAsTheyWere) {
  // Of two, three and four bytes, from both ends of what is hidden from the parser.
  const std::string letters =
      "\xc2\x80\xc2\x9f\xc2\xa0\xc3\xa9\xe1\x9a\x80\xe2\x82\xac\xe3\x80\x80\xef\xbb\xbf\xef\xbf\xbd"
      "\xf0\x9f\x98\x80";
  auto file = parsed("\xef\xbb\xbf# \xc3\xa9\n[t]\ns = \"" + letters + "\"\nl = ['''" + letters +
                     "''', \"\\u00e9\"]\n\"\xc3\xa9\" = 1\n");
  std::string s;
  std::vector<std::string> list;
  auto t = file.table("t");
  t.read("s", &s);
  t.read("l", &list);
  EXPECT_EQ(s, letters);
  EXPECT_EQ(list, (std::vector<std::string>{letters, "\xc3\xa9"}));
  EXPECT_EQ(error_of(file.finish()), "t.toml:5:1: \"t.\xc3\xa9\" is not a setting");
}

TEST(Config, LettersThatAreNotAsciiStandInStringsAndCommentsOnly) {
  EXPECT_EQ(refusal("a = \"\\\"\" \n\xc3\xa9 = 1\n").rfind("t.toml:2:1: ", 0), 0u);
  EXPECT_NE(refusal("a = \xc3\xa9\n"), "");
  EXPECT_NE(refusal("a = 2['\xc3\xa9']\n"), "");
  EXPECT_NE(refusal("a = 1\xc2\xa0\n"), "");
  EXPECT_NE(refusal("a = \"\xff\"\n"), "");
  EXPECT_NE(refusal("a = \"\xf3\xb0\x83\xa9\"\n"), "");
  EXPECT_NE(refusal("a = \"\\U000F00e9\"\n"), "");
}

TEST(Config, SizeAndNestingAreBounded) {
  EXPECT_NE(refusal(std::string((1 << 20) + 1, ' ')), "");
  EXPECT_EQ(refusal(std::string(1 << 20, ' ')), "");
  EXPECT_NE(refusal("a = " + std::string(1000, '[')), "");
  std::string dotted = "a";
  for (int i = 0; i < 1000; ++i) dotted += ".a";
  EXPECT_NE(refusal(dotted + " = 1"), "");
  EXPECT_NE(refusal("[" + dotted + "]"), "");
}

TEST(Config, LoadNamesTheFile) {
  const auto absent = ConfigFile::load("/nonexistent/zvm.toml");
  ASSERT_FALSE(absent);
  EXPECT_EQ(absent.error().kind(), Kind::kNotFound);
  EXPECT_NE(absent.error().what().find("/nonexistent/zvm.toml"), std::string::npos);
  char path[] = "/tmp/zvm-config-test-XXXXXX";
  const int fd = ::mkstemp(path);
  ASSERT_GE(fd, 0);
  ::close(fd);
  std::ofstream(path) << "[t]\nx = 1\n";
  auto file = ConfigFile::load(path);
  ::unlink(path);
  ASSERT_TRUE(file);
  EXPECT_EQ(error_of(file->finish()), std::string(path) + ":1:2: \"t\" is not a setting");
}

TEST(Units, SizesAreReadAndWritten) {
  EXPECT_EQ(*parse_size("64MiB"), 67108864u);
  EXPECT_EQ(*parse_size("1GB"), 1000000000u);
  EXPECT_EQ(*parse_size("3kB"), 3000u);
  EXPECT_EQ(*parse_size("3KB"), 3000u);
  EXPECT_EQ(*parse_size("2TiB"), 2199023255552u);
  EXPECT_EQ(*parse_size("12"), 12u);
  EXPECT_EQ(*parse_size("12B"), 12u);
  for (const char* text : {"", "MiB", "-1", "1.5GB", "1 GB", "1gb", "1G", "9999999999TiB", "+1"})
    EXPECT_FALSE(parse_size(text)) << text;
  EXPECT_EQ(size_text(67108864), "64MiB");
  EXPECT_EQ(size_text(1000000000), "1GB");
  EXPECT_EQ(size_text(1500), "1500B");
  EXPECT_EQ(size_text(0), "0B");
}

TEST(Units, DurationsAreReadAndWritten) {
  EXPECT_EQ(*parse_duration("30s"), 30s);
  EXPECT_EQ(*parse_duration("250ms"), 250ms);
  EXPECT_EQ(*parse_duration("2h"), 2h);
  EXPECT_EQ(*parse_duration("5min"), 5min);
  EXPECT_EQ(*parse_duration("5m"), 5min);
  EXPECT_EQ(*parse_duration("7"), 7s);
  for (const char* text : {"", "s", "-1s", "1.5s", "1 s", "1S", "9999999999999999d"})
    EXPECT_FALSE(parse_duration(text)) << text;
  EXPECT_EQ(duration_text(30s), "30s");
  EXPECT_EQ(duration_text(1500ms), "1500ms");
  EXPECT_EQ(duration_text(24h), "1d");
  EXPECT_EQ(duration_text(90s), "90s");
  EXPECT_EQ(duration_text(0ms), "0s");
}

TEST(Units, EveryTextReadsBackAsItself) {
  for (uint64_t n : {1u, 999u, 1000u, 1023u, 1024u, 1536u, 1048576u, 3000000u, 123456789u}) {
    EXPECT_EQ(*parse_size(size_text(n)), n);
    EXPECT_EQ(*parse_duration(duration_text(milliseconds(n))), milliseconds(n));
  }
}

}  // namespace

}  // namespace zvm
