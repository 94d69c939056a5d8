#include "host/program.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace zvm::host {

namespace {

constexpr int kAllSeals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

std::shared_ptr<const ProgramBytes> program(const std::string& bytes) {
  auto receiver = ProgramReceiver::create(bytes.size(), sha256_hex(bytes));
  EXPECT_TRUE(receiver && receiver->add(0, bytes));
  auto done = std::move(*receiver).finish();
  EXPECT_TRUE(done);
  return *done;
}

TEST(Program, IsWholeAndSealedWhenItsDigestFits) {
  auto receiver = ProgramReceiver::create(6, sha256_hex("abcdef"));
  ASSERT_TRUE(receiver);
  EXPECT_TRUE(receiver->add(0, "abc"));
  EXPECT_FALSE(receiver->whole());
  EXPECT_TRUE(receiver->add(3, "def"));
  ASSERT_TRUE(receiver->whole());
  auto done = std::move(*receiver).finish();
  ASSERT_TRUE(done) << done.error().what();
  EXPECT_EQ(::fcntl((*done)->memfd.get(), F_GET_SEALS), kAllSeals);
  char bytes[6];
  EXPECT_EQ(::pread((*done)->memfd.get(), bytes, 6, 0), 6);
  EXPECT_EQ(std::string(bytes, 6), "abcdef");
  EXPECT_EQ(::pwrite((*done)->memfd.get(), "x", 1, 0), -1);
}

TEST(Program, OfOtherBytesIsRefused) {
  auto receiver = ProgramReceiver::create(3, sha256_hex("abc"));
  ASSERT_TRUE(receiver);
  ASSERT_TRUE(receiver->add(0, "abd"));
  auto done = std::move(*receiver).finish();
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().kind(), Kind::kInvalid);
}

TEST(Program, TakesBytesInOrderOnly) {
  auto receiver = ProgramReceiver::create(6, sha256_hex("abcdef"));
  ASSERT_TRUE(receiver);
  EXPECT_FALSE(receiver->add(3, "def"));
  EXPECT_TRUE(receiver->add(0, "abc"));
  EXPECT_FALSE(receiver->add(0, "abc"));
  EXPECT_FALSE(receiver->add(3, ""));
  EXPECT_FALSE(receiver->add(3, "defg")) << "longer than announced";
}

TEST(ProgramCache, DropsWhatWasUsedLongestAgo) {
  ProgramCache cache(10);
  const auto a = program("aaaa");
  const auto b = program("bbbb");
  const auto c = program("cccc");
  cache.insert(a);
  cache.insert(b);
  EXPECT_EQ(cache.find(a->sha256), a);
  cache.insert(c);
  EXPECT_EQ(cache.find(b->sha256), nullptr);
  EXPECT_EQ(cache.find(a->sha256), a);
  EXPECT_EQ(cache.find(c->sha256), c);
}

TEST(ProgramCache, KeepsNothingLargerThanItself) {
  ProgramCache cache(3);
  const auto a = program("aaaa");
  cache.insert(a);
  EXPECT_EQ(cache.find(a->sha256), nullptr);
}

TEST(ProgramCache, CountsAProgramOnce) {
  ProgramCache cache(8);
  const auto a = program("aaaa");
  const auto b = program("bbbb");
  cache.insert(a);
  cache.insert(a);
  cache.insert(b);
  EXPECT_EQ(cache.find(a->sha256), a);
  EXPECT_EQ(cache.find(b->sha256), b);
}

TEST(SealedMemfd, HoldsTheBytesForGood) {
  auto fd = sealed_memfd("test", "hello");
  ASSERT_TRUE(fd);
  char bytes[8];
  EXPECT_EQ(::pread(fd->get(), bytes, sizeof bytes, 0), 5);
  EXPECT_EQ(::fcntl(fd->get(), F_GET_SEALS), kAllSeals);
}

}  // namespace

}  // namespace zvm::host
