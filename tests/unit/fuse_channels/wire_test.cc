#include "fuse_channels/wire.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "tests/unit/fuse_channels/fake_kernel.h"

namespace zvm::fuse_channels::test {
namespace {

using wire::Verdict;

wire::Request inspect(const std::string& bytes) {
  return wire::inspect(std::as_bytes(std::span(bytes)));
}

TEST(Wire, LessThanAHeaderIsDropped) {
  const std::string whole = message(FUSE_STATFS, 2, 1, "");
  for (size_t n = 0; n < sizeof(fuse_in_header); ++n)
    EXPECT_EQ(inspect(whole.substr(0, n)).verdict, Verdict::kDrop);
  EXPECT_EQ(inspect(whole).verdict, Verdict::kServe);
}

TEST(Wire, ALengthThatIsNotWhatCameIsAnError) {
  std::string bytes = message(FUSE_STATFS, 2, 1, "");
  bytes += "more";
  const auto request = inspect(bytes);
  EXPECT_EQ(request.verdict, Verdict::kAnswer);
  EXPECT_EQ(request.error, EIO);
  EXPECT_EQ(request.unique, 2u);
}

TEST(Wire, NamesEndInsideTheMessage) {
  EXPECT_EQ(inspect(message(FUSE_LOOKUP, 2, 1, "name")).verdict, Verdict::kAnswer);
  EXPECT_EQ(inspect(message(FUSE_LOOKUP, 2, 1, "")).verdict, Verdict::kAnswer);
  EXPECT_EQ(inspect(message(FUSE_LOOKUP, 2, 1, name_of("name"))).verdict, Verdict::kServe);
  const std::string get = raw(fuse_getxattr_in{});
  EXPECT_EQ(inspect(message(FUSE_GETXATTR, 2, 1, get + "user.x")).verdict, Verdict::kAnswer);
  EXPECT_EQ(inspect(message(FUSE_GETXATTR, 2, 1, get + name_of("x"))).verdict, Verdict::kServe);
}

TEST(Wire, AWriteCarriesWhatItAnnounces) {
  fuse_write_in in{};
  in.size = 10;
  EXPECT_EQ(inspect(message(FUSE_WRITE, 2, 1, raw(in) + "123456789")).verdict, Verdict::kAnswer);
  EXPECT_EQ(inspect(message(FUSE_WRITE, 2, 1, raw(in) + "1234567890")).verdict, Verdict::kServe);
  in.size = UINT32_MAX;
  EXPECT_EQ(inspect(message(FUSE_WRITE, 2, 1, raw(in) + "1234567890")).verdict, Verdict::kAnswer);
}

TEST(Wire, InitIsReadAsFarAsItReaches) {
  fuse_init_in in{};
  in.major = 7;
  in.minor = 45;
  in.flags = FUSE_INIT_EXT;
  in.flags2 = 0x20;
  EXPECT_EQ(inspect(message(FUSE_INIT, 2, 0, raw(in))).offered, FUSE_INIT_EXT | 1ull << 37);
  EXPECT_EQ(inspect(message(FUSE_INIT, 2, 0, raw(in).substr(0, 16))).verdict, Verdict::kAnswer);
  in.flags = 0;
  EXPECT_EQ(inspect(message(FUSE_INIT, 2, 0, raw(in).substr(0, 16))).verdict, Verdict::kServe);
  in.minor = 30;
  EXPECT_EQ(inspect(message(FUSE_INIT, 2, 0, raw(in))).error, EPROTO);
  in.major = 6;
  EXPECT_EQ(inspect(message(FUSE_INIT, 2, 0, raw(in))).error, EPROTO);
}

TEST(Wire, WhatIsNotServedHasOneAnswer) {
  for (const uint32_t opcode : {FUSE_CREATE, FUSE_MKNOD, FUSE_MKDIR, FUSE_SYMLINK, FUSE_LINK,
           FUSE_UNLINK, FUSE_RMDIR, FUSE_RENAME, FUSE_RENAME2}) {
    EXPECT_EQ(inspect(message(opcode, 2, 1, "")).error, EROFS) << opcode;
  }
  EXPECT_EQ(inspect(message(FUSE_SETXATTR, 2, 1, "")).error, EOPNOTSUPP);
  EXPECT_EQ(inspect(message(FUSE_IOCTL, 2, 1, "")).error, ENOTTY);
  for (const uint32_t opcode : {uint32_t{FUSE_POLL}, uint32_t{FUSE_FSYNC}, 47u, 4096u, UINT32_MAX})
    EXPECT_EQ(inspect(message(opcode, 2, 1, "")).error, ENOSYS) << opcode;
  for (const uint32_t opcode : {FUSE_FORGET, FUSE_BATCH_FORGET, FUSE_NOTIFY_REPLY})
    EXPECT_EQ(inspect(message(opcode, 2, 1, "")).verdict, Verdict::kDrop) << opcode;
}

TEST(Wire, AnInterruptNamesItsRequest) {
  fuse_interrupt_in in{};
  in.unique = 42;
  const auto request = inspect(message(FUSE_INTERRUPT, 43, 0, raw(in)));
  EXPECT_EQ(request.verdict, Verdict::kInterrupt);
  EXPECT_EQ(request.target, 42u);
  EXPECT_EQ(inspect(message(FUSE_INTERRUPT, 43, 0, "")).verdict, Verdict::kDrop);
}

}  // namespace
}  // namespace zvm::fuse_channels::test
