#include "base/json.h"

#include <gtest/gtest.h>

namespace zvm {

namespace {

using namespace std::string_view_literals;

std::string refusal(std::string_view text, const JsonLimits& limits = {}) {
  const auto parsed = parse_json(text, limits);
  if (parsed) return "";
  EXPECT_EQ(parsed.error().origin(), Origin::kClient);
  EXPECT_EQ(parsed.error().kind(), Kind::kInvalid);
  return parsed.error().what();
}

TEST(Json, ReadsEveryKindOfValue) {
  const auto v = parse_json(
      R"( {"a":[1,-2,3.5,true,false,null,"\u00e9\n"],"b":{"c":{}},"":18446744073709551615} )");
  ASSERT_TRUE(v) << v.error().what();
  EXPECT_EQ((*v)["a"].size(), 7u);
  EXPECT_EQ((*v)["a"][1], -2);
  EXPECT_EQ((*v)["a"][6], "\xc3\xa9\n");
  EXPECT_TRUE((*v)["b"]["c"].is_object());
  EXPECT_EQ((*v)[""], 18446744073709551615u);
  for (const char* scalar : {"1", "\"x\"", "null", "true", "[]"})
    EXPECT_TRUE(parse_json(scalar)) << scalar;
}

TEST(Json, RefusesWhatIsNotOneText) {
  for (const auto text : {""sv, " "sv, "{"sv, "[1,]"sv, "{\"a\":}"sv, "{} {}"sv, "{}x"sv, "nul"sv,
           "01"sv, "1."sv, "'a'"sv, "{a:1}"sv, "[1 2]"sv, "\"\x01\""sv, "\"\\ud800\""sv, "1e999"sv,
           "{}\0"sv, "{\"a\0\":1}"sv, "// c\n{}"sv})
    EXPECT_NE(refusal(text), "") << text;
}

TEST(Json, RefusesBytesThatAreNotUtf8) {
  for (const char* text : {"\"\xff\"", "\"\xc0\xaf\"", "\"\xed\xa0\x80\"", "{\"\xe9\":1}"})
    EXPECT_NE(refusal(text), "") << text;
}

TEST(Json, RefusesAKeyThatComesTwiceInOneObject) {
  EXPECT_NE(refusal(R"({"a":1,"b":2,"a":1})"), "");
  EXPECT_NE(refusal(R"([{"x":{"a":1,"\u0061":1}}])"), "");
  EXPECT_TRUE(parse_json(R"([{"a":1},{"a":{"a":1}}])"));
}

TEST(Json, BoundsDepth) {
  JsonLimits limits;
  limits.depth = 3;
  EXPECT_TRUE(parse_json("[[[1],[2]],{\"a\":[]}]", limits));
  EXPECT_NE(refusal("[[[[]]]]", limits), "");
  EXPECT_NE(refusal("{\"a\":{\"a\":{\"a\":{}}}}", limits), "");
  EXPECT_NE(refusal(std::string(60'000, '[')), "");
}

TEST(Json, BoundsBytes) {
  JsonLimits limits;
  limits.bytes = 4;
  EXPECT_TRUE(parse_json("[12]", limits));
  const auto parsed = parse_json("[123]", limits);
  ASSERT_FALSE(parsed);
  EXPECT_EQ(parsed.error().kind(), Kind::kOverloaded);
}

TEST(Json, ErrorsSayWhere) {
  EXPECT_EQ(refusal("[1, x]").rfind("JSON, byte 4: ", 0), 0u) << refusal("[1, x]");
  EXPECT_EQ(refusal("{\"a\":1,\"a\":2}").rfind("JSON, byte 9: a key comes twice", 0), 0u)
      << refusal("{\"a\":1,\"a\":2}");
  EXPECT_EQ(refusal("[\0]"sv).rfind("JSON, byte 1: ", 0), 0u);
}

TEST(Json, DumpsCompactlyAndReplacesWhatIsNotUtf8) {
  Json v;
  v["b"] = 1;
  v["a"] = "x\xff";
  EXPECT_EQ(dump_json(v), "{\"a\":\"x\xef\xbf\xbd\",\"b\":1}");
}

}  // namespace

}  // namespace zvm
