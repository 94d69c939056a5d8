#include "base/codec/pickle.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

namespace zvm {

namespace {

// Bytes made by Python itself (python3_*), or as Python 2 made them (python2_*).
std::string corpus(const std::string& name) {
  std::ifstream in(std::string(ZVM_CORPUS) + "/pickle/" + name, std::ios::binary);
  EXPECT_TRUE(in) << name;
  return {std::istreambuf_iterator<char>(in), {}};
}

SwiftMetadata metadata(const std::string& name) {
  auto parsed = parse_swift_metadata(corpus(name));
  EXPECT_TRUE(parsed) << name << ": " << parsed.error().what();
  return parsed ? *std::move(parsed) : SwiftMetadata{};
}

TEST(SwiftMetadata, OfPython3IsRead) {
  for (const char* name : {"python3_plain", "python3_c_and_py_same"}) {
    const auto m = metadata(name);
    EXPECT_TRUE(m.doubly_encoded);
    EXPECT_EQ(m.values.size(), 5u);
    EXPECT_EQ(m.values.at("name"), "/AUTH_test/c/caf\xc3\xa9");
    EXPECT_EQ(m.header("X-Timestamp"), "1795352857.15555");
    EXPECT_EQ(m.header("Content-Length"), "3");
    EXPECT_EQ(m.header("ETag"), "900150983cd24fb0d6963f7d28e17f72");
    EXPECT_EQ(m.header("X-Static-Large-Object"), "");
    EXPECT_FALSE(m.has("X-Static-Large-Object"));
  }
}

TEST(SwiftMetadata, DoubleEncodingIsUndoneForHeadersOnly) {
  const auto m = metadata("python3_double_encoded");
  EXPECT_EQ(m.values.at("X-Object-Meta-Color"), "bl\xc3\x83\xc2\xa9");
  EXPECT_EQ(m.header("X-Object-Meta-Color"), "bl\xc3\xa9");
  EXPECT_TRUE(m.has("X-Object-Meta-Empty"));
  EXPECT_EQ(m.header("X-Object-Meta-Empty"), "");
}

TEST(SwiftMetadata, OfPython2IsReadAndNotDoublyEncoded) {
  for (const char* name : {"python2_cpickle", "python2_pickle"}) {
    const auto m = metadata(name);
    EXPECT_FALSE(m.doubly_encoded);
    EXPECT_EQ(m.values.at("name"), "/AUTH_test/c/caf\xc3\xa9");
    EXPECT_EQ(m.header("X-Object-Meta-Color"), "bl\xc3\xa9");
    EXPECT_EQ(m.header("X-Object-Meta-Long"), std::string(300, 'x'));
    EXPECT_EQ(m.header("Content-Type"), "text/plain");
  }
}

TEST(SwiftMetadata, NamesOfHiddenObjectsKeepTheirNuls) {
  const std::string expected("/AUTH_test/\0versions\0c/\0o\0008204647142.84445", 42);
  EXPECT_EQ(metadata("python3_reserved_name").values.at("name"), expected);
}

TEST(SwiftMetadata, OfEverySizeIsRead) {
  EXPECT_EQ(metadata("python3_empty").values.size(), 0u);
  EXPECT_EQ(metadata("python3_one_item").values.size(), 1u);
  const auto many = metadata("python3_many");
  EXPECT_EQ(many.values.size(), 1100u);
  EXPECT_EQ(many.values.at("X-1097"), "vv");
  EXPECT_EQ(metadata("python3_long_value").values.at("X-Object-Meta-L").size(), 5120u);
}

TEST(SwiftMetadata, WhateverIsNoDictionaryOfBytesIsRefused) {
  for (const char* name :
      {"hostile_call", "hostile_protocol4", "hostile_int_value", "hostile_list", "hostile_nested",
          "hostile_cut", "hostile_trailing", "hostile_no_stop", "hostile_amplify",
          "hostile_amplify_calls", "hostile_not_latin1", "hostile_other_encoding"}) {
    const auto parsed = parse_swift_metadata(corpus(name));
    ASSERT_FALSE(parsed) << name;
    EXPECT_EQ(parsed.error().origin(), Origin::kSwift);
    EXPECT_EQ(parsed.error().kind(), Kind::kInvalid);
    EXPECT_NE(parsed.error().what().find("byte "), std::string::npos) << parsed.error().what();
  }
}

TEST(SwiftMetadata, EveryPrefixIsRefused) {
  const std::string whole = corpus("python3_double_encoded");
  for (size_t n = 0; n < whole.size(); ++n)
    EXPECT_FALSE(parse_swift_metadata(std::string_view(whole).substr(0, n))) << n;
}

TEST(SwiftMetadata, MoreThanOneMebibyteIsRefused) {
  EXPECT_FALSE(parse_swift_metadata(std::string(kMaxSwiftMetadata + 1, '\x80')));
}

}  // namespace

}  // namespace zvm
