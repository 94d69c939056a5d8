#include "host/replica/rules.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "base/json.h"

namespace zvm::host {
namespace {

constexpr const char* kTime = "1795352857.15555";
constexpr const char* kLater = "1795352900.00000";
constexpr const char* kEtag = "d41d8cd98f00b204e9800998ecf8427e";

TEST(ReplicaFiles, AreReadFromTheirNames) {
  const auto whole = parse_replica_file("1795352857.15555_0000000000000001.data");
  ASSERT_TRUE(whole);
  EXPECT_EQ(whole->type, ReplicaFile::Type::kData);
  EXPECT_EQ(whole->time, kTime);
  EXPECT_EQ(whole->offset, "0000000000000001");
  EXPECT_EQ(whole->internal_time(), "1795352857.15555_0000000000000001");
  EXPECT_FALSE(whole->fragment);
  EXPECT_TRUE(parse_replica_file("1795352857.15555#2.data")->fragment);
  EXPECT_TRUE(parse_replica_file("1795352857.15555#12#d.data")->fragment);
  EXPECT_EQ(parse_replica_file("1795352857.15555.ts")->type, ReplicaFile::Type::kTombstone);
  EXPECT_EQ(parse_replica_file("1795352857.15555.durable")->type, ReplicaFile::Type::kDurable);
  for (const char* meta : {"1795352857.15555.meta", "1795352857.15555+0.meta",
           "1795352857.15555-1a2f.meta", "1795352857.15555_00000000000000ff+0.meta"})
    EXPECT_EQ(parse_replica_file(meta)->type, ReplicaFile::Type::kMeta) << meta;
}

TEST(ReplicaFiles, OtherNamesAreNone) {
  for (const char* name : {"", ".", "..", ".lock", "hashes.pkl", ".1795352857.15555.data.aB3dE_",
           "1795352857.15555", "1795352857.15555.tmp", "179535285715555.data",
           "17953528571.5555.data", "1795352857.1555x.data", "x795352857.15555.data",
           "1795352857.15555_1.data", "1795352857.15555_000000000000000G.data",
           "1795352857.15555#.data", "1795352857.15555#x.data", "1795352857.15555#1#e.data",
           "1795352857.15555+0.data", "1795352857.15555#1.meta", "1795352857.15555+.meta",
           "1795352857.15555+x.meta", "1795352857.15555+0.ts", "1795352857.15555 .data"})
    EXPECT_FALSE(parse_replica_file(name)) << name;
}

// Listings and what Swift's own code takes from them: make_selections.py.
TEST(Selection, IsSwifts) {
  std::ifstream in(std::string(REPLICA_DATA) + "/selections.json");
  const std::string text((std::istreambuf_iterator<char>(in)), {});
  const auto cases = parse_json(text, {1 << 20, 8});
  ASSERT_TRUE(cases);
  ASSERT_GT(cases->size(), 100u);
  for (const Json& c : *cases) {
    const Selection got = select_files(c[0].get<std::vector<std::string>>());
    SCOPED_TRACE(c.dump());
    EXPECT_EQ(got.state == Selection::State::kWhole, c[1].is_string());
    EXPECT_EQ(got.state == Selection::State::kDeleted, c[3].is_string());
    EXPECT_EQ(got.data.name, c[1].is_string() ? c[1].get<std::string>() : "");
    EXPECT_EQ(got.meta.has_value(), c[2].is_string());
    // Two .meta of one time differ in their Content-Type alone.
    if (got.meta && c[2].is_string()) {
      EXPECT_EQ(
          got.meta->internal_time(), parse_replica_file(c[2].get<std::string>())->internal_time());
    }
  }
}

TEST(Selection, OfFragmentsIsErasureCoded) {
  EXPECT_EQ(select_files({"1795352857.15555#1#d.data"}).state, Selection::State::kFragments);
  EXPECT_EQ(select_files({"1795352857.15555#1.data", "1795352857.15555.durable"}).state,
      Selection::State::kFragments);
  EXPECT_EQ(select_files({"1795352857.15555#1#d.data", "1795352900.00000.ts"}).state,
      Selection::State::kDeleted);
}

class CheckReplica : public testing::Test {
 protected:
  CheckReplica() {
    wanted_ = {"AUTH_test", "c", "o \xc3\xa9", 0, kTime, kEtag, 5, "text/plain"};
    facts_.files = select_files({std::string(kTime) + ".data"});
    facts_.file_size = 5;
    facts_.data.doubly_encoded = true;
    facts_.data.values = {{"name", "/AUTH_test/c/o \xc3\xa9"}, {"X-Timestamp", kTime},
        {"Content-Length", "5"}, {"ETag", kEtag}, {"Content-Type", "text/plain"}};
  }

  void add_post(const char* time) {
    facts_.files = select_files({std::string(kTime) + ".data", std::string(time) + ".meta"});
    facts_.meta.emplace();
    facts_.meta->doubly_encoded = true;
    facts_.meta->values = {{"name", "/AUTH_test/c/o \xc3\xa9"}, {"X-Timestamp", time}};
  }

  std::string verdict(Kind kind = Kind::kInternal) const {
    const Status status = check_replica(wanted_, facts_, 1'800'000'000);
    if (status) return "good";
    EXPECT_EQ(status.error().origin(), Origin::kSwift);
    EXPECT_EQ(status.error().kind(), kind) << status.error().what();
    return status.error().what();
  }

  protocol::ObjectVersion wanted_;
  ReplicaFacts facts_;
};

TEST_F(CheckReplica, TakesTheWantedVersion) {
  EXPECT_EQ(verdict(), "good");
}

TEST_F(CheckReplica, DamageIsCorrupt) {
  const auto with = [this](const char* key, const char* value) {
    auto saved = facts_.data.values;
    if (value == nullptr)
      facts_.data.values.erase(key);
    else
      facts_.data.values[key] = value;
    const std::string out = verdict(Kind::kInvalid);
    facts_.data.values = saved;
    return out;
  };
  EXPECT_EQ(with("name", "/AUTH_test/c/other"),
      "corrupt: 1795352857.15555.data belongs to another object");
  EXPECT_EQ(with("name", nullptr), "corrupt: 1795352857.15555.data belongs to another object");
  EXPECT_EQ(
      with("X-Timestamp", kLater), "corrupt: 1795352857.15555.data and its X-Timestamp differ");
  EXPECT_EQ(with("Content-Length", "4"), "corrupt: the file has 5 bytes, Content-Length says 4");
  EXPECT_EQ(with("Content-Length", "5x"), "corrupt: Content-Length is no number");
  EXPECT_EQ(with("Content-Length", nullptr), "corrupt: Content-Length is no number");
  EXPECT_EQ(with("ETag", "x"), "corrupt: ETag is no MD5");
  EXPECT_EQ(with("X-Delete-At", "soon"), "corrupt: X-Delete-At is no number");
}

TEST_F(CheckReplica, AnotherVersionIsStale) {
  wanted_.timestamp = kLater;
  EXPECT_EQ(
      verdict(Kind::kConflict), "stale-replica: has 1795352857.15555, wanted 1795352900.00000");
  wanted_.timestamp = kTime;
  wanted_.etag[0] = 'e';
  EXPECT_EQ(verdict(Kind::kConflict).rfind("stale-replica: has ETag ", 0), 0u);
  wanted_.etag[0] = 'd';
  wanted_.length = 6;
  EXPECT_EQ(verdict(Kind::kConflict).rfind("stale-replica: ", 0), 0u);
}

TEST_F(CheckReplica, OffsetsAreNotInWhatAProxySays) {
  const std::string internal = std::string(kTime) + "_0000000000000002";
  facts_.files = select_files({internal + ".data"});
  facts_.data.values["X-Timestamp"] = internal;
  EXPECT_EQ(verdict(), "good");
}

TEST_F(CheckReplica, APostChangesTheTimeButNoByte) {
  add_post(kLater);
  EXPECT_EQ(verdict(), "good") << "pinned before the POST";
  wanted_.timestamp = kLater;
  EXPECT_EQ(verdict(), "good") << "pinned after it";
  wanted_.timestamp = "1795352870.00000";
  EXPECT_EQ(
      verdict(Kind::kConflict), "stale-replica: has 1795352900.00000, wanted 1795352870.00000");
  wanted_.timestamp = kLater;
  facts_.meta->values["name"] = "/AUTH_test/c/other";
  EXPECT_EQ(verdict(Kind::kInvalid), "corrupt: 1795352900.00000.meta belongs to another object");
}

TEST_F(CheckReplica, ExpiryIsWhatTheNewestPostSays) {
  facts_.data.values["X-Delete-At"] = "1800000001";
  EXPECT_EQ(verdict(), "good");
  facts_.data.values["X-Delete-At"] = "1800000000";
  EXPECT_EQ(verdict(Kind::kNotFound), "expired at 1800000000");
  add_post(kLater);
  EXPECT_EQ(verdict(), "good") << "a POST without it removes the expiry";
  facts_.meta->values["X-Delete-At"] = "5";
  EXPECT_EQ(verdict(Kind::kNotFound), "expired at 5");
}

TEST_F(CheckReplica, NamesWhatIsNotReadableInPlace) {
  const std::pair<const char*, std::pair<const char*, const char*>> cases[] = {
      {"slo", {"X-Static-Large-Object", "True"}}, {"dlo", {"X-Object-Manifest", "c/prefix"}},
      {"ec", {"X-Object-Sysmeta-Ec-Frag-Index", "0"}},
      {"encrypted", {"X-Object-Sysmeta-Crypto-Body-Meta", "%7B%7D"}},
      {"symlink", {"X-Object-Sysmeta-Symlink-Target", "c/o"}}};
  for (const auto& [reason, field] : cases) {
    facts_.data.values[field.first] = field.second;
    // Their ETag is of what a GET gives, not of the file.
    wanted_.etag[0] = 'e';
    EXPECT_EQ(verdict(Kind::kUnsupported), reason);
    facts_.data.values.erase(field.first);
  }
  facts_.data.values["X-Static-Large-Object"] = "False";
  wanted_.etag = kEtag;
  EXPECT_EQ(verdict(), "good");
}

TEST_F(CheckReplica, ALinkIsALinkWhateverItsTime) {
  facts_.data.values["X-Object-Sysmeta-Symlink-Target"] = "c/o";
  wanted_.timestamp = kLater;
  EXPECT_EQ(verdict(Kind::kUnsupported), "symlink");
}

TEST(Timestamps, AreNanoseconds) {
  EXPECT_EQ(timestamp_ns(kTime), 1795352857155550000);
  EXPECT_EQ(timestamp_ns("0000000000.00001"), 10000);
  EXPECT_EQ(timestamp_ns("1795352857"), 0);
  EXPECT_EQ(timestamp_ns("1795352857.1555x"), 0);
}

}  // namespace
}  // namespace zvm::host
