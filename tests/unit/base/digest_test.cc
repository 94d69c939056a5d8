#include "base/digest.h"

#include <gtest/gtest.h>

namespace zvm {

namespace {

TEST(Digest, KnownAnswers) {
  EXPECT_EQ(md5_hex(""), "d41d8cd98f00b204e9800998ecf8427e");
  EXPECT_EQ(md5_hex("abc"), "900150983cd24fb0d6963f7d28e17f72");
  EXPECT_EQ(to_hex(md5("abc")), md5_hex("abc"));
  EXPECT_EQ(sha256_hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

// RFC 4231, test cases 1, 2 and 6.
TEST(Digest, KnownAnswersOfHmac) {
  EXPECT_EQ(to_hex(hmac_sha256(std::string(20, '\x0b'), "Hi There")),
      "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  EXPECT_EQ(to_hex(hmac_sha256("Jefe", "what do ya want for nothing?")),
      "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(to_hex(hmac_sha256(std::string(131, '\xaa'),
                "Test Using Larger Than Block-Size Key - Hash Key First")),
      "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

TEST(Digest, HmacOfAnEmptyKeyDoesNotTakeTheKeyOfTheCallBefore) {
  const auto empty = hmac_sha256("", "x");
  (void)hmac_sha256("other", "x");
  EXPECT_EQ(hmac_sha256(std::string_view(), "x"), empty);
}

TEST(Hasher, TakesItsBytesInPieces) {
  const std::string text(100'000, 'z');
  Hasher sha(Hasher::Kind::kSha256), md(Hasher::Kind::kMd5);
  for (size_t i = 0; i < text.size(); i += 777) {
    sha.update(std::string_view(text).substr(i, 777));
    md.update(std::string_view(text).substr(i, 777));
  }
  Hasher moved = std::move(sha);
  EXPECT_EQ(moved.finish_hex(), sha256_hex(text));
  EXPECT_EQ(md.finish_hex(), md5_hex(text));
}

TEST(Hex, GoesBothWays) {
  std::array<uint8_t, 3> bytes{};
  EXPECT_TRUE(from_hex("00fFa9", bytes));
  EXPECT_EQ(to_hex(bytes), "00ffa9");
  EXPECT_FALSE(from_hex("00ff", bytes));
  EXPECT_FALSE(from_hex("00ffa90", bytes));
  EXPECT_FALSE(from_hex("00ffg9", bytes));
  EXPECT_FALSE(from_hex("0x00ff", bytes));
}

TEST(ConstantTime, ComparesLikeEquality) {
  EXPECT_TRUE(equal_constant_time("", ""));
  EXPECT_TRUE(equal_constant_time("abc", "abc"));
  EXPECT_FALSE(equal_constant_time("abc", "abd"));
  EXPECT_FALSE(equal_constant_time("abc", "ab"));
}

TEST(Random, DiffersEachTime) {
  EXPECT_EQ(random_hex(16).size(), 32u);
  EXPECT_NE(random_hex(16), random_hex(16));
  EXPECT_EQ(random_hex(0), "");
}

}  // namespace

}  // namespace zvm
