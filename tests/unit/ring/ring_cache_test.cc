// Rings are replaced by rename while daemons run.
#include <gtest/gtest.h>
#include <stdlib.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/codec/ring.h"

namespace zvm {
namespace {

namespace fs = std::filesystem;

class RingCacheTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/zvm-ring-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    dir_ = name;
  }

  void TearDown() override { fs::remove_all(dir_); }

  void install(const std::string& ring, const std::string& as) {
    fs::copy_file(std::string(RING_DATA) + "/" + ring, dir_ / "new");
    fs::rename(dir_ / "new", dir_ / as);
  }

  // Asks until the answer is that, since the cache looks at a file once a second.
  static bool becomes(RingCache& cache, unsigned part_power) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (std::chrono::steady_clock::now() < until) {
      const auto ring = cache.object_ring(0);
      if (ring && (*ring)->part_power() == part_power) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    return false;
  }

  fs::path dir_;
};

TEST_F(RingCacheTest, HasARingForEachPolicy) {
  install("one.ring.gz", "object.ring.gz");
  install("lab-v2.ring.gz", "object-1.ring.gz");
  RingCache cache(dir_);
  EXPECT_EQ((*cache.object_ring(0))->part_power(), 4u);
  EXPECT_EQ((*cache.object_ring(1))->part_power(), 6u);
  EXPECT_EQ(cache.object_ring(0)->get(), cache.object_ring(0)->get());
  const auto absent = cache.object_ring(2);
  ASSERT_FALSE(absent);
  EXPECT_EQ(absent.error().kind(), Kind::kNotFound);
}

TEST_F(RingCacheTest, SeesAReplacedFile) {
  install("one.ring.gz", "object.ring.gz");
  RingCache cache(dir_);
  const auto before = cache.object_ring(0);
  ASSERT_TRUE(before);
  install("lab.ring.gz", "object.ring.gz");
  EXPECT_TRUE(becomes(cache, 6));
  EXPECT_EQ((*before)->part_power(), 4u) << "who holds a ring keeps it";
}

TEST_F(RingCacheTest, KeepsTheRingWhenTheNewFileIsDamaged) {
  install("one.ring.gz", "object.ring.gz");
  RingCache cache(dir_);
  ASSERT_TRUE(cache.object_ring(0));
  std::ofstream(dir_ / "damaged") << "damaged";
  fs::rename(dir_ / "damaged", dir_ / "object.ring.gz");
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));
  EXPECT_EQ((*cache.object_ring(0))->part_power(), 4u);
  install("lab.ring.gz", "object.ring.gz");
  EXPECT_TRUE(becomes(cache, 6));
}

TEST_F(RingCacheTest, NamesTheFileThatIsWrong) {
  std::ofstream(dir_ / "object.ring.gz") << "damaged";
  RingCache cache(dir_);
  const auto ring = cache.object_ring(0);
  ASSERT_FALSE(ring);
  EXPECT_NE(ring.error().what().find("object.ring.gz: ring: gzip"), std::string::npos)
      << ring.error().what();
}

}  // namespace
}  // namespace zvm
