// Requests, replies, args and the packets that carry them.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <cerrno>
#include <vector>

#include "loader/args.h"
#include "loader/check_request.h"
#include "loader/scm.h"

namespace zvm::loader {
namespace {

using namespace wire;

StartRequest good_start() {
  auto r = make_request<StartRequest>(7);
  r.session = 5;
  r.limits = {512u << 20, 8u << 20, 16u << 20, 1u << 30, 1024, 60, 256, 64};
  r.policy = Policy::kImage;
  set_image(&r, "host", 4);
  return r;
}

template <class R>
int refusal(const R& request, size_t fds) {
  return check_request(std::as_bytes(std::span(&request, 1)), fds).refusal.error;
}

TEST(Request, GoodOnesAreUnderstood) {
  EXPECT_EQ(refusal(make_request<HelloRequest>(1), 0), 0);
  EXPECT_EQ(refusal(make_request<OpenDevicesRequest>(1), 0), 0);
  EXPECT_EQ(refusal(make_request<BackingOpenRequest>(1), 2), 0);
  EXPECT_EQ(refusal(good_start(), 3), 0);
  const StartRequest start = good_start();
  const auto checked = check_request(std::as_bytes(std::span(&start, 1)), 3);
  ASSERT_TRUE(std::holds_alternative<StartRequest>(checked.request));
  EXPECT_EQ(std::get<StartRequest>(checked.request).session, 5u);
  EXPECT_EQ(checked.header.id, 7u);
}

TEST(Request, AnotherVersionIsAnotherProtocol) {
  auto r = make_request<HelloRequest>(1);
  r.header.version = kVersion + 1;
  EXPECT_EQ(refusal(r, 0), EPROTO);
}

TEST(Request, EverySizeButTheRightOneIsRefused) {
  const auto r = good_start();
  const auto bytes = std::as_bytes(std::span(&r, 1));
  for (size_t n = 0; n < bytes.size(); ++n)
    EXPECT_NE(check_request(bytes.first(n), 3).refusal.error, 0) << n;
}

TEST(Request, EveryNumberOfDescriptorsButTheRightOneIsRefused) {
  for (size_t n = 0; n <= 8; ++n) {
    EXPECT_EQ(refusal(good_start(), n) == 0, n == 3) << n;
    auto with_program = good_start();
    with_program.flags = kProgramInFd;
    EXPECT_EQ(refusal(with_program, n) == 0, n == 4) << n;
    EXPECT_EQ(refusal(make_request<HelloRequest>(1), n) == 0, n == 0) << n;
  }
}

TEST(Request, UnknownTypesAreRefused) {
  for (const uint16_t type : {0, 8, 9, 65535}) {
    auto r = make_request<HelloRequest>(1);
    r.header.type = static_cast<Type>(type);
    EXPECT_EQ(refusal(r, 0), EINVAL) << type;
  }
}

// Each line spoils one field of a good START.
TEST(Request, StartIsRefusedForEachFieldOutOfBounds) {
  const std::vector<void (*)(StartRequest&)> spoil{
      [](StartRequest& r) { r.session = 0; },
      [](StartRequest& r) { r.limits.memory = 0; },
      [](StartRequest& r) { r.limits.memory = ~uint64_t{0}; },
      [](StartRequest& r) { r.limits.stack = 0; },
      [](StartRequest& r) { r.limits.stack = kMaxStack + 1; },
      [](StartRequest& r) { r.limits.tmp_bytes = 0; },
      [](StartRequest& r) { r.limits.tmp_inodes = 0; },
      [](StartRequest& r) { r.limits.cpu_seconds = 0; },
      [](StartRequest& r) { r.limits.cpu_seconds = kMaxCpuSeconds + 1; },
      [](StartRequest& r) { r.limits.file_bytes = 4095; },
      [](StartRequest& r) { r.limits.file_bytes = kMaxFile + 1; },
      [](StartRequest& r) { r.limits.open_files = 3; },
      [](StartRequest& r) { r.limits.open_files = kMaxOpenFiles + 1; },
      [](StartRequest& r) { r.limits.processes = 0; },
      [](StartRequest& r) { r.limits.processes = kMaxProcesses + 1; },
      [](StartRequest& r) { r.policy = static_cast<Policy>(0); },
      [](StartRequest& r) { r.policy = static_cast<Policy>(3); },
      [](StartRequest& r) { r.flags = 4; },
      [](StartRequest& r) { r.flags = 0x8000; },
      [](StartRequest& r) { r.reserved = 1; },
      [](StartRequest& r) { r.image[0] = 0; },
      [](StartRequest& r) { r.image[6] = 'x'; },
      [](StartRequest& r) { std::memset(r.image, 'x', sizeof r.image); },
  };
  for (size_t i = 0; i < spoil.size(); ++i) {
    auto r = good_start();
    spoil[i](r);
    EXPECT_EQ(refusal(r, 3), EINVAL) << i;
  }
}

TEST(Reply, OnlyWholeOnesOfThisVersionAreRead) {
  Reply r{};
  r.header.version = kVersion;
  std::memset(r.text, 'x', sizeof r.text);
  Reply out;
  ASSERT_TRUE(parse_reply(&r, sizeof r, 0, &out));
  EXPECT_EQ(std::strlen(out.text), sizeof out.text - 1);
  EXPECT_FALSE(parse_reply(&r, sizeof r - 1, 0, &out));
  EXPECT_FALSE(parse_reply(&r, sizeof r, 1, &out));
  r.header.version = 9;
  EXPECT_FALSE(parse_reply(&r, sizeof r, 0, &out));
}

TEST(Report, OnlyWholeOnesOfThisVersionAreRead) {
  Report r{};
  r.version = kVersion;
  Report out;
  EXPECT_TRUE(parse_report(&r, sizeof r, &out));
  EXPECT_FALSE(parse_report(&r, sizeof r - 1, &out));
  r.version = 0;
  EXPECT_FALSE(parse_report(&r, sizeof r, &out));
}

TEST(Args, SurviveTheJourney) {
  std::string blob = encode_args("/bin/sh", {"sh", "-c", ""}, {"A=1", "B="});
  auto view = std::make_unique<ArgsView>();
  ASSERT_TRUE(parse_args(blob.data(), blob.size(), view.get()));
  EXPECT_STREQ(view->path, "/bin/sh");
  EXPECT_STREQ(view->argv[0], "sh");
  EXPECT_STREQ(view->argv[2], "");
  EXPECT_EQ(view->argv[3], nullptr);
  EXPECT_STREQ(view->envp[1], "B=");
  EXPECT_EQ(view->envp[2], nullptr);
}

TEST(Args, WhatCannotTravelIsNotEncoded) {
  EXPECT_TRUE(encode_args("/x", {}, {}).empty());
  EXPECT_TRUE(encode_args("/x", {std::string("a\0b", 3)}, {}).empty());
  EXPECT_TRUE(encode_args(std::string("/\0", 2), {"a"}, {}).empty());
  EXPECT_TRUE(encode_args("/x", {std::string(kMaxArgsBytes, 'a')}, {}).empty());
  EXPECT_TRUE(encode_args("/x", std::vector<std::string>(kMaxStrings + 1, "a"), {}).empty());
}

TEST(Args, EveryCutAndEveryWrongCountIsRefused) {
  const std::string good = encode_args("/bin/sh", {"sh", "-c"}, {"A=1"});
  auto view = std::make_unique<ArgsView>();
  for (size_t n = 0; n < good.size(); ++n) {
    std::string cut = good.substr(0, n);
    EXPECT_FALSE(parse_args(cut.data(), cut.size(), view.get())) << n;
  }
  for (const size_t offset : {0, 4, 8, 12}) {
    for (const uint32_t value : {0u, 1u, 7u, 0x7fffffffu, 0xffffffffu}) {
      std::string bad = good;
      uint32_t old;
      std::memcpy(&old, bad.data() + offset, 4);
      if (old == value) continue;
      std::memcpy(bad.data() + offset, &value, 4);
      EXPECT_FALSE(parse_args(bad.data(), bad.size(), view.get())) << offset << ' ' << value;
    }
  }
  std::string unterminated = good;
  unterminated.back() = 'x';
  EXPECT_FALSE(parse_args(unterminated.data(), unterminated.size(), view.get()));
}

class Scm : public ::testing::Test {
 protected:
  void SetUp() override {
    int ends[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    a.reset(ends[0]);
    b.reset(ends[1]);
  }

  UniqueFd a, b;
};

TEST_F(Scm, DescriptorsArriveCloseOnExec) {
  const int fds[] = {a.get(), b.get()};
  ASSERT_EQ(send_packet(a, "xyz", 3, fds, 2), 0);
  ScmReceive in;
  ASSERT_EQ(receive_packet(b, &in), 0);
  EXPECT_EQ(in.size, 3u);
  ASSERT_EQ(in.fd_count, 2u);
  EXPECT_EQ(::fcntl(in.fds[0].get(), F_GETFD), FD_CLOEXEC);
}

TEST_F(Scm, TooManyDescriptorsAreRefusedAndClosed) {
  std::vector<int> fds(kScmMaxFds + 1, a.get());
  char control[CMSG_SPACE((kScmMaxFds + 1) * sizeof(int))]{};
  iovec iov{control, 1};
  msghdr m{};
  m.msg_iov = &iov;
  m.msg_iovlen = 1;
  m.msg_control = control;
  m.msg_controllen = sizeof control;
  cmsghdr* c = CMSG_FIRSTHDR(&m);
  c->cmsg_level = SOL_SOCKET;
  c->cmsg_type = SCM_RIGHTS;
  c->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
  std::memcpy(CMSG_DATA(c), fds.data(), fds.size() * sizeof(int));
  ASSERT_EQ(::sendmsg(a.get(), &m, 0), 1);
  const int before = ::dup(0);
  ::close(before);
  ScmReceive in;
  EXPECT_EQ(receive_packet(b, &in), -EBADMSG);
  in.prepare();
  const int after = ::dup(0);
  ::close(after);
  EXPECT_EQ(before, after);  // nothing leaked
}

TEST_F(Scm, APacketTooLongIsRefused) {
  const std::vector<char> big(kMaxPacket + 1);
  ASSERT_EQ(send_packet(a, big.data(), big.size()), 0);
  ScmReceive in;
  EXPECT_EQ(receive_packet(b, &in), -EBADMSG);
}

TEST_F(Scm, TheEndIsTold) {
  a.reset();
  ScmReceive in;
  EXPECT_EQ(receive_packet(b, &in), -ECONNRESET);
}

}  // namespace
}  // namespace zvm::loader
