#include "base/uri.h"

#include <gtest/gtest.h>

namespace zvm {

namespace {

using namespace std::string_view_literals;

TEST(Percent, EncodesAllButUnreservedAndKept) {
  EXPECT_EQ(percent_encode("/v1/a b/~x-_.%?"), "/v1/a%20b/~x-_.%25%3F");
  EXPECT_EQ(percent_encode("a/b", ""), "a%2Fb");
  EXPECT_EQ(percent_encode("caf\xc3\xa9\0"sv), "caf%C3%A9%00");
}

TEST(Percent, DecodesAndLeavesBadEscapes) {
  EXPECT_EQ(percent_decode("a%20b%2fc%C3%A9"), "a b/c\xc3\xa9");
  EXPECT_EQ(percent_decode("%"), "%");
  EXPECT_EQ(percent_decode("%4"), "%4");
  EXPECT_EQ(percent_decode("%4g%zz%41"), "%4g%zzA");
  EXPECT_EQ(percent_decode("a+b"), "a+b");
}

TEST(Percent, DecodingUndoesEncodingOfEveryByte) {
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  EXPECT_EQ(percent_decode(percent_encode(all)), all);
}

TEST(Utf8, WellFormedTextPasses) {
  for (const char* text : {"", "abc", "caf\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80",
           "\xed\x9f\xbf", "\xee\x80\x80", "\xf4\x8f\xbf\xbf", "\xe0\xa0\x80", "\xf0\x90\x80\x80"})
    EXPECT_TRUE(is_utf8(text)) << text;
}

TEST(Utf8, OverlongSurrogateLargeCutAndNulAreRefused) {
  for (const auto text : {"\xc0\xaf"sv, "\xc1\xbf"sv, "\xe0\x9f\xbf"sv, "\xf0\x8f\xbf\xbf"sv,
           "\xed\xa0\x80"sv, "\xed\xbf\xbf"sv, "\xf4\x90\x80\x80"sv, "\xf5\x80\x80\x80"sv, "\xff"sv,
           "\x80"sv, "\xc3"sv, "\xe2\x82"sv, "\xf0\x9f\x98"sv, "\xc3 \xa9"sv, "a\0b"sv})
    EXPECT_FALSE(is_utf8(text)) << text;
}

}  // namespace

}  // namespace zvm
