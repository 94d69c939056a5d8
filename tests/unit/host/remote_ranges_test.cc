#include "host/remote_ranges.h"

#include <vector>

#include "tests/unit/base/on_loop.h"

namespace zvm::host {

namespace {

using protocol::Frame;
using protocol::FrameType;
using test::on_loop;
using test::patient;

Frame data(uint16_t channel, uint64_t offset, std::string bytes) {
  Frame f;
  f.type = FrameType::kRangeData;
  f.channel = channel;
  f.arg = offset;
  f.payload = std::move(bytes);
  return f;
}

Frame refusal(uint16_t channel, uint64_t offset, std::string why) {
  Frame f = data(channel, offset, std::move(why));
  f.type = FrameType::kRangeFail;
  return f;
}

struct Bench {
  explicit Bench(Loop& the_loop)
      : loop(the_loop),
        ranges(the_loop,
            [this](const Frame& f) {
              asked.push_back(f);
              news.set();
            }),
        news(the_loop),
        readers(the_loop) {}

  Loop& loop;
  std::vector<Frame> asked;
  RemoteRanges ranges;
  Event news;  // something was asked
  TaskGroup readers;
};

Task<void> read_into(fuse_channels::RemoteSource* source, uint64_t offset, std::string* into,
    std::optional<Status>* result) {
  const auto bytes = std::as_writable_bytes(std::span<char>(*into));
  *result = co_await source->fetch(offset, bytes);
}

Task<void> wait_asked(Bench& b, size_t count) {
  while (b.asked.size() < count) {
    b.news.reset();
    const int rc = co_await b.news.wait(patient());
    EXPECT_EQ(rc, 0);
    if (rc < 0) co_return;
  }
}

Task<void> parts_fill_the_buffer(Loop& loop) {
  Bench b(loop);
  std::string into(6, '.');
  std::optional<Status> result;
  b.readers.spawn(read_into(b.ranges.source(4), 100, &into, &result));
  co_await wait_asked(b, 1);
  EXPECT_EQ(b.asked[0].type, FrameType::kRange);
  EXPECT_EQ(b.asked[0].channel, 4);
  EXPECT_EQ(b.asked[0].arg, 100u);
  EXPECT_EQ(protocol::decode_length(b.asked[0].payload), 6u);
  EXPECT_TRUE(b.ranges.on_frame(data(4, 100, "abc")));
  EXPECT_TRUE(b.ranges.on_frame(data(4, 103, "def")));
  co_await b.readers.join();
  EXPECT_TRUE(result && result->has_value());
  EXPECT_EQ(into, "abcdef");
  EXPECT_FALSE(b.ranges.failure());
}

TEST(RemoteRanges, FillTheReadersBufferPartByPart) {
  on_loop(parts_fill_the_buffer);
}

Task<void> failure_is_told(Loop& loop) {
  Bench b(loop);
  std::string into(6, '.');
  std::optional<Status> result;
  b.readers.spawn(read_into(b.ranges.source(0), 0, &into, &result));
  co_await wait_asked(b, 1);
  EXPECT_TRUE(b.ranges.on_frame(data(0, 0, "abc")));
  EXPECT_TRUE(b.ranges.on_frame(refusal(0, 3, "412 the object changed")));
  co_await b.readers.join();
  EXPECT_TRUE(result && !result->has_value());
  EXPECT_EQ(b.ranges.failure(), "412 the object changed");
}

TEST(RemoteRanges, KeepTheWordsOfAFailure) {
  on_loop(failure_is_told);
}

Task<void> wrong_answers(Loop& loop) {
  Bench b(loop);
  EXPECT_FALSE(b.ranges.on_frame(data(0, 0, "abc"))) << "nobody asked";
  std::string into(3, '.');
  std::optional<Status> result;
  b.readers.spawn(read_into(b.ranges.source(0), 0, &into, &result));
  co_await wait_asked(b, 1);
  EXPECT_FALSE(b.ranges.on_frame(data(1, 0, "abc"))) << "another channel";
  EXPECT_FALSE(b.ranges.on_frame(data(0, 1, "abc"))) << "another offset";
  EXPECT_FALSE(b.ranges.on_frame(data(0, 0, "abcd"))) << "too long";
  EXPECT_FALSE(b.ranges.on_frame(data(0, 0, ""))) << "no progress";
  EXPECT_TRUE(b.ranges.on_frame(data(0, 0, "abc")));
  co_await b.readers.join();
  EXPECT_EQ(into, "abc");
}

TEST(RemoteRanges, RefuseWhatAnswersNothing) {
  on_loop(wrong_answers);
}

Task<void> overlapping_reads_wait(Loop& loop) {
  Bench b(loop);
  auto* source = b.ranges.source(0);
  std::string first(4, '.');
  std::string second(4, '.');
  std::optional<Status> one;
  std::optional<Status> two;
  b.readers.spawn(read_into(source, 0, &first, &one));
  b.readers.spawn(read_into(source, 2, &second, &two));
  co_await wait_asked(b, 1);
  EXPECT_EQ(b.asked.size(), 1u);
  EXPECT_TRUE(b.ranges.on_frame(data(0, 0, "abcd")));
  co_await wait_asked(b, 2);
  EXPECT_TRUE(b.ranges.on_frame(data(0, 2, "cdef")));
  co_await b.readers.join();
  EXPECT_EQ(first, "abcd");
  EXPECT_EQ(second, "cdef");
}

TEST(RemoteRanges, AskForNoByteTwiceAtOnce) {
  on_loop(overlapping_reads_wait);
}

Task<void> long_reads_are_split(Loop& loop) {
  Bench b(loop);
  std::string into(protocol::kMaxRead + 1, '.');
  std::optional<Status> result;
  b.readers.spawn(read_into(b.ranges.source(0), 0, &into, &result));
  co_await wait_asked(b, 1);
  EXPECT_EQ(protocol::decode_length(b.asked[0].payload), protocol::kMaxRead);
  EXPECT_TRUE(b.ranges.on_frame(data(0, 0, std::string(protocol::kMaxRead, 'x'))));
  co_await wait_asked(b, 2);
  EXPECT_EQ(b.asked[1].arg, protocol::kMaxRead);
  EXPECT_TRUE(b.ranges.on_frame(data(0, protocol::kMaxRead, "y")));
  co_await b.readers.join();
  EXPECT_EQ(into.back(), 'y');
}

TEST(RemoteRanges, SplitLongReads) {
  on_loop(long_reads_are_split);
}

Task<void> abandoned(Loop& loop) {
  Bench b(loop);
  auto* source = b.ranges.source(0);
  std::string into(4, '.');
  std::optional<Status> result;
  b.readers.spawn(read_into(source, 0, &into, &result));
  co_await wait_asked(b, 1);
  b.ranges.abandon();
  co_await b.readers.join();
  EXPECT_TRUE(result && !result->has_value());
  EXPECT_FALSE(b.ranges.failure()) << "the end of the session is no fault of the input";
  EXPECT_TRUE(b.ranges.on_frame(data(0, 0, "abcd"))) << "crossed on the way";
  std::optional<Status> later;
  co_await read_into(source, 0, &into, &later);
  EXPECT_TRUE(later && !later->has_value());
}

TEST(RemoteRanges, FailAtOnceWhenAbandoned) {
  on_loop(abandoned);
}

}  // namespace

}  // namespace zvm::host
