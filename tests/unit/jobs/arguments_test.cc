#include <gtest/gtest.h>

#include "swift_bridge/jobs/parse.h"

namespace zvm::bridge {

namespace {

using Words = std::vector<std::string>;

Words split(std::string_view text) {
  auto words = split_arguments(text);
  EXPECT_TRUE(words) << text << ": " << (words ? "" : words.error().detail);
  return words ? *words : Words{"(refused)"};
}

TEST(Arguments, AreSplitAtBlanks) {
  EXPECT_EQ(split(""), Words{});
  EXPECT_EQ(split("  \t "), Words{});
  EXPECT_EQ(split("a"), Words{"a"});
  EXPECT_EQ(split("  one  two\tthree "), (Words{"one", "two", "three"}));
}

TEST(Arguments, AreHeldTogetherByQuotes) {
  EXPECT_EQ(split("'a b' \"c d\""), (Words{"a b", "c d"}));
  EXPECT_EQ(split("a'b c'd\" e\""), Words{"ab cd e"});
  EXPECT_EQ(split("'' \"\""), (Words{"", ""}));
  EXPECT_EQ(split("'it\"s' \"it's\""), (Words{"it\"s", "it's"}));
}

TEST(Arguments, BackslashTakesTheNextCharacterLiterally) {
  EXPECT_EQ(split("a\\ b \\'c \\\\d"), (Words{"a b", "'c", "\\d"}));
  EXPECT_EQ(split("\"\\\"q\\\" \\\\ \\d\""), Words{"\"q\" \\ \\d"});
  EXPECT_EQ(split("'\\n\\x41'"), Words{"\\n\\x41"}) << "single quotes keep everything";
}

TEST(Arguments, HexEscapesOfOldClientsAreBytes) {
  EXPECT_EQ(split("a\\x20b\\x2cc \\x22\\x5c\\x0A"), (Words{"a b,c", "\"\\\n"}));
  EXPECT_EQ(split("\"\\x41 \\x62\""), Words{"A b"});
  EXPECT_EQ(split("\\xff"), Words{"\xff"});
  EXPECT_EQ(split("\\xg1 \\x4"), (Words{"xg1", "x4"})) << "not two hex digits: an ordinary escape";
}

TEST(Arguments, WhatHasNoMeaningIsRefused) {
  const char* const kBad[] = {"'open", "\"open", "a\\", "\\x00", "\"\\"};
  for (const char* text : kBad) {
    const auto words = split_arguments(text);
    ASSERT_FALSE(words) << text;
    EXPECT_EQ(words.error().status, 400u) << text;
  }
}

TEST(Arguments, AreCounted) {
  std::string many;
  for (size_t i = 0; i <= kMaxArgumentCount; ++i) many += "a ";
  EXPECT_FALSE(split_arguments(many));
  many.resize(many.size() - 2);
  EXPECT_EQ(split(many).size(), kMaxArgumentCount);
}

}  // namespace

}  // namespace zvm::bridge
