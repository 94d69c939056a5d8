// Rings made by Swift's own builder, and what Swift's own Ring says of them (make_rings.py).
#include "base/codec/ring.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <sstream>

#include "base/codec/gzip.h"
#include "base/json.h"
#include "tests/unit/ring/gz.h"

namespace zvm {
namespace {

const std::string kData = RING_DATA;

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  EXPECT_TRUE(in.good()) << path;
  return {std::istreambuf_iterator<char>(in), {}};
}

Json expected(const std::string& ring) {
  auto json = parse_json(read_file(kData + "/expected.json"), {1 << 20, 16});
  EXPECT_TRUE(json);
  return json->at(ring);
}

std::vector<uint32_t> ids(const std::vector<const RingDevice*>& devices) {
  std::vector<uint32_t> out;
  for (const RingDevice* d : devices) out.push_back(d->id);
  return out;
}

void expect_device(const std::optional<RingDevice>& d, const Json& want) {
  ASSERT_EQ(d.has_value(), !want.is_null());
  if (!d) return;
  EXPECT_EQ(Json({d->region, d->zone, d->ip, d->port, d->replication_ip, d->replication_port,
                d->device, d->weight}),
      want);
}

struct Case {
  const char* file;
  const char* ring;  // whose answers it must give
};

class RingFile : public testing::TestWithParam<Case> {};

TEST_P(RingFile, AnswersAsSwiftDoes) {
  const auto ring = Ring::load(kData + "/" + GetParam().file + ".ring.gz");
  ASSERT_TRUE(ring) << ring.error().what();
  const Json want = expected(GetParam().ring);
  EXPECT_EQ(ring->part_power(), want["part_power"]);
  EXPECT_NEAR(ring->replicas(), want["replicas"].get<double>(), 1e-9);
  ASSERT_EQ(ring->devices().size(), want["devices"].size());
  for (size_t i = 0; i < ring->devices().size(); ++i)
    expect_device(ring->devices()[i], want["devices"][i]);
  for (const Json& part : want["parts"]) {
    const auto p = part[0].get<uint32_t>();
    const auto handoffs = part[2].get<std::vector<uint32_t>>();
    EXPECT_EQ(ids(ring->primaries(p)), part[1].get<std::vector<uint32_t>>()) << "partition " << p;
    EXPECT_EQ(ids(ring->handoffs(p, 1000)), handoffs) << "partition " << p;
    for (const size_t limit : {size_t{0}, size_t{1}, size_t{2}}) {
      const std::vector<uint32_t> first(
          handoffs.begin(), handoffs.begin() + std::min(limit, handoffs.size()));
      EXPECT_EQ(ids(ring->handoffs(p, limit)), first) << "partition " << p;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Files, RingFile,
    testing::Values(Case{"one", "one"}, Case{"one-v2", "one"}, Case{"lab", "lab"},
        Case{"lab-v2", "lab"}, Case{"regions", "regions"}, Case{"regions-v2", "regions"},
        Case{"regions-v2-wide-ids", "regions"}, Case{"regions-big-endian", "regions"},
        Case{"wide", "wide"}, Case{"wide-v2", "wide"}));

TEST(Ring, FindsThePartitionOfAHash) {
  const auto ring = Ring::load(kData + "/lab.ring.gz");
  ASSERT_TRUE(ring);
  EXPECT_EQ(ring->partition_of("00000000000000000000000000000000"), 0u);
  EXPECT_EQ(ring->partition_of("03ffffff000000000000000000000000"), 0u);
  EXPECT_EQ(ring->partition_of("04000000000000000000000000000000"), 1u);
  EXPECT_EQ(ring->partition_of("ffffffffffffffffffffffffffffffff"), 63u);
}

TEST(Ring, SaysWhatAForeignFileIs) {
  const auto error_of = [](const std::string& raw) {
    auto ring = Ring::parse(gzip(raw));
    return ring ? "parsed" : ring.error().what();
  };
  EXPECT_EQ(error_of("\x80\x02}."), "ring: a pickle: format v0, which is not read");
  EXPECT_EQ(error_of("hello"), "ring: no ring file");
  EXPECT_EQ(error_of(""), "ring: no ring file");
  EXPECT_EQ(error_of("R1NG"), "ring: cut short");
  EXPECT_EQ(error_of(std::string("R1NG\0\3", 6)), "ring: format v3, which is not known here");
  auto plain = Ring::parse("no gzip at all");
  ASSERT_FALSE(plain);
  EXPECT_EQ(plain.error().what(), "ring: gzip: damaged");
  EXPECT_EQ(plain.error().origin(), Origin::kSwift);
  EXPECT_EQ(plain.error().kind(), Kind::kInvalid);
}

std::string v1(const std::string& json, const std::string& rows) {
  const auto n = static_cast<uint32_t>(json.size());
  std::string out("R1NG\0\1", 6);
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(n >> shift & 0xff);
  return gzip(out + json + rows);
}

constexpr const char* kDevice =
    R"({"id":0,"zone":1,"ip":"127.0.0.1","port":6200,"device":"d1","weight":1})";

std::string header(const std::string& devices, int part_shift, int replicas) {
  return R"({"byteorder":"big","devs":[)" + devices + R"(],"part_shift":)" +
         std::to_string(part_shift) + R"(,"replica_count":)" + std::to_string(replicas) + "}";
}

TEST(Ring, FillsInWhatOldRingsLack) {
  const auto ring = Ring::parse(v1(header(kDevice, 32, 1), std::string(2, '\0')));
  ASSERT_TRUE(ring) << ring.error().what();
  EXPECT_EQ(ring->part_power(), 0u);
  EXPECT_EQ(ring->partition_of("ffffffffffffffffffffffffffffffff"), 0u);
  const RingDevice& d = *ring->primaries(0).at(0);
  EXPECT_EQ(d.region, 1u);
  EXPECT_EQ(d.replication_ip, "127.0.0.1");
  EXPECT_EQ(d.replication_port, 6200);
  EXPECT_TRUE(ring->handoffs(0, 10).empty());
}

TEST(Ring, RefusesWhatDoesNotFitTogether) {
  const std::string two(2, '\0');
  const std::string four(4, '\0');
  const std::vector<std::pair<std::string, const char*>> cases = {
      {v1("{}", ""), "no part_shift"},
      {v1("[]", ""), "no part_shift"},
      {v1("7", ""), "neither an object"},
      {v1("{", ""), "JSON"},
      {v1(header(kDevice, 33, 1), two), "no part_shift"},
      {v1(header(kDevice, 32, 0), two), "no replica_count"},
      {v1(header(kDevice, 32, 65), two), "no replica_count"},
      {v1(header(kDevice, 0, 1), two), "assignments cut short"},
      {v1(header(kDevice, 31, 1), two), "assignments cut short"},
      {v1(header(kDevice, 31, 1), std::string(3, '\0')), "assignments cut short"},
      {v1(header(kDevice, 31, 2), four), "1 rows where replica_count says 2"},
      {v1(header(kDevice, 32, 1), four), "2 rows where replica_count says 1"},
      {v1(header(kDevice, 32, 1), "\1\1"), "on device 257, which does not exist"},
      {v1(header("null", 32, 1), two), "on device 0, which does not exist"},
      {v1(header("7", 32, 1), two), "device 0: no object"},
      {v1(header(R"({"id":1})", 32, 1), two), "id is not its place"},
      {v1(header(R"({"id":0})", 32, 1), two), "no zone, ip, port or device"},
      {v1(R"({"byteorder":"middle","devs":[],"part_shift":32,"replica_count":1})", two),
          "byteorder"},
  };
  for (const auto& [file, why] : cases) {
    auto ring = Ring::parse(file);
    ASSERT_FALSE(ring) << why;
    EXPECT_NE(ring.error().what().find(why), std::string::npos) << ring.error().what();
    EXPECT_EQ(ring.error().kind(), Kind::kInvalid);
  }
}

TEST(Ring, EveryDamagedByteOfAV2FileIsNoticedOrHarmless) {
  const std::string raw = *gunzip(read_file(kData + "/lab-v2.ring.gz"), 1 << 20);
  const auto whole = Ring::parse(gzip(raw));
  ASSERT_TRUE(whole);
  size_t harmless = 0;
  for (size_t i = 0; i < raw.size(); ++i) {
    std::string damaged = raw;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x20);
    const auto ring = Ring::parse(gzip(damaged));
    if (!ring) continue;
    ++harmless;
    for (uint32_t p = 0; p < 64; ++p) ASSERT_EQ(ids(ring->primaries(p)), ids(whole->primaries(p)));
  }
  // The compressed offsets, which a reader of the whole file needs not.
  EXPECT_LT(harmless, 200u);
}

TEST(Gunzip, IsBounded) {
  const std::string zeros = gzip(std::string(1 << 20, '\0'));
  EXPECT_EQ(gunzip(zeros, 1 << 20)->size(), 1u << 20);
  EXPECT_EQ(gunzip(zeros, (1 << 20) - 1).error().what(), "gzip: too large when inflated");
  EXPECT_EQ(gunzip(zeros, 10).error().what(), "gzip: too large");
}

TEST(Gunzip, RefusesWhatIsNotOneWholeFile) {
  const std::string file = gzip("some text, some text, some text");
  for (size_t cut = 0; cut < file.size(); ++cut)
    EXPECT_FALSE(gunzip(std::string_view(file).substr(0, cut), 1 << 20)) << cut;
  EXPECT_EQ(gunzip(file + "x", 1 << 20).error().what(), "gzip: bytes behind the end");
  std::string damaged = file;
  damaged[file.size() - 5] ^= 1;  // CRC
  EXPECT_EQ(gunzip(damaged, 1 << 20).error().what(), "gzip: damaged");
  EXPECT_EQ(*gunzip(gzip(""), 1 << 20), "");
}

}  // namespace
}  // namespace zvm
