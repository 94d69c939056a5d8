// Replicas as Swift writes them, in a folder that stands for a node's devices.
#include "host/replica/replica.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <functional>
#include <thread>

#include "base/codec/ring.h"
#include "base/digest.h"
#include "tests/unit/replica/swift_files.h"

namespace zvm::host {
namespace {

namespace fs = std::filesystem;

constexpr const char* kTime = "1795352857.15555";
constexpr const char* kLater = "1795352900.00000";

class ReplicaTest : public testing::Test {
 protected:
  void SetUp() override {
    const auto top = testing_folder();
    if (!top) GTEST_SKIP() << "no folder with user xattrs (tried /dev/shm, TMPDIR, /tmp)";
    top_ = *top;
    fs::create_directories(top_ / "devices/d1");
    fs::create_directory(top_ / "swift");
    // Nodes 10.1.1.1 to .3 with d1 on port 6201 and d2 on 6202.
    for (const char* name : {"object.ring.gz", "object-2.ring.gz"})
      fs::copy_file(RING_DATA "/lab.ring.gz", top_ / "swift" / name);
    auto conf = SwiftConf::parse(
        "[swift-hash]\nswift_hash_path_suffix = endcap\n[storage-policy:0]\nname = a\n"
        "default = yes\n[storage-policy:1]\nname = b\npolicy_type = erasure_coding\n"
        "[storage-policy:2]\nname = c\n");
    ASSERT_TRUE(conf);
    conf_ = *conf;
    store_.emplace(UniqueFd(::open((top_ / "devices").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)),
        conf_, top_ / "swift", ObjectServer{"10.1.1.1", 6201});
  }

  void TearDown() override {
    if (!top_.empty()) fs::remove_all(top_);
  }

  static protocol::ObjectVersion version(const std::string& content, const char* time = kTime) {
    return {"AUTH_test", "c", "o", 0, time, md5_hex(content), content.size(), "text/plain"};
  }

  fs::path hash_dir(const protocol::ObjectVersion& v, const std::string& device = "d1") const {
    const std::string hash = hash_path(conf_, v.account, v.container, v.object);
    const auto ring = Ring::load(top_ / "swift/object.ring.gz");
    return top_ / "devices" / device / (v.policy == 0 ? "objects" : "objects-2") /
           std::to_string(ring->partition_of(hash)) / hash.substr(29) / hash;
  }

  // As a PUT leaves it. Returns the file's path.
  fs::path put(const protocol::ObjectVersion& v, const std::string& content,
      const Metadata& more = {}, const std::string& device = "d1") const {
    Metadata m = {{"name", v.path()}, {"X-Timestamp", v.timestamp},
        {"Content-Length", std::to_string(content.size())}, {"ETag", md5_hex(content)},
        {"Content-Type", v.content_type}};
    for (const auto& [key, value] : more) m[key] = value;
    fs::create_directories(hash_dir(v, device));
    const fs::path file = hash_dir(v, device) / (v.timestamp + ".data");
    write_swift_file(file, content, m);
    return file;
  }

  std::string error_of(const protocol::ObjectVersion& v, Kind kind, const char* device = "d1") {
    auto replica = store_->open(v, device);
    if (replica) return "opened";
    EXPECT_EQ(replica.error().kind(), kind) << replica.error().what();
    return replica.error().what();
  }

  static std::string content_of(const Replica& replica) {
    std::string out(replica.size, '\0');
    EXPECT_EQ(
        ::pread(replica.file.get(), out.data(), out.size(), 0), static_cast<ssize_t>(out.size()));
    return out;
  }

  fs::path top_;
  SwiftConf conf_;
  std::optional<ReplicaStore> store_;
};

TEST_F(ReplicaTest, OpensWhatAPutWrote) {
  const auto v = version("hello");
  put(v, "hello");
  const auto replica = store_->open(v, "d1");
  ASSERT_TRUE(replica) << replica.error().what();
  EXPECT_EQ(content_of(*replica), "hello");
  EXPECT_EQ(replica->size, 5u);
  EXPECT_EQ(replica->mtime_ns, 1795352857155550000);
  EXPECT_EQ(replica->device, "d1");
  EXPECT_EQ(::fcntl(replica->file.get(), F_GETFL) & O_ACCMODE, O_RDONLY);
}

TEST_F(ReplicaTest, ReadsMetadataOfManyChunks) {
  Metadata more;
  for (int i = 0; i < 40; ++i) more["X-Object-Meta-" + std::to_string(i)] = std::string(4000, 'm');
  const auto v = version("hello");
  const fs::path file = put(v, "hello", {});
  if (!holds_xattrs(file, 200'000)) GTEST_SKIP() << "this file system holds no xattrs of 160 kB";
  put(v, "hello", more);
  ASSERT_TRUE(store_->open(v, "d1"));
}

TEST_F(ReplicaTest, KeepsTheBytesOverOverwriteAndDelete) {
  const auto v = version("old bytes");
  const fs::path file = put(v, "old bytes");
  const auto replica = store_->open(v, "d1");
  ASSERT_TRUE(replica);
  put(version("new", kLater), "new");
  fs::remove(file);
  EXPECT_EQ(content_of(*replica), "old bytes");
  EXPECT_EQ(
      error_of(v, Kind::kConflict), "stale-replica: has 1795352900.00000, wanted 1795352857.15555");
  fs::remove_all(hash_dir(v));
  EXPECT_EQ(content_of(*replica), "old bytes");
  EXPECT_EQ(error_of(v, Kind::kNotFound), "no replica on this device");
}

TEST_F(ReplicaTest, SeesTombstones) {
  const auto v = version("x");
  put(v, "x");
  write_swift_file(hash_dir(v) / (std::string(kLater) + ".ts"), "", {{"name", v.path()}});
  EXPECT_EQ(error_of(v, Kind::kNotFound), "deleted");
}

TEST_F(ReplicaTest, TakesThePostsTime) {
  auto v = version("x");
  put(v, "x");
  write_swift_file(hash_dir(v) / (std::string(kLater) + ".meta"), "",
      {{"name", v.path()}, {"X-Timestamp", kLater}, {"X-Object-Meta-A", "b"}});
  EXPECT_TRUE(store_->open(v, "d1"));
  v.timestamp = kLater;
  const auto replica = store_->open(v, "d1");
  ASSERT_TRUE(replica) << replica.error().what();
  EXPECT_EQ(replica->mtime_ns, 1795352900000000000);
}

TEST_F(ReplicaTest, ReadsOtherPoliciesInTheirFolders) {
  auto v = version("p2");
  v.policy = 2;
  put(v, "p2");
  EXPECT_TRUE(store_->open(v, "d1"));
  v.policy = 0;
  EXPECT_EQ(error_of(v, Kind::kNotFound), "no replica on this device");
  v.policy = 1;
  EXPECT_EQ(error_of(v, Kind::kUnsupported), "ec");
  v.policy = 7;
  EXPECT_EQ(error_of(v, Kind::kInvalid), "no storage policy 7 in this node's swift.conf");
}

TEST_F(ReplicaTest, OpensOnlyDevicesThatTheRingHasHere) {
  const auto v = version("x");
  put(v, "x", {}, "d2");
  put(v, "x", {}, "elsewhere");
  // d2 is a device of the ring, but of the server on port 6202.
  for (const char* device : {"d2", "elsewhere"})
    EXPECT_EQ(error_of(v, Kind::kInvalid, device),
        std::string("the ring has no device ") + device + " at this node's object server");
  for (const char* device : {"", ".", "..", "d1/..", "../devices/d1", "/"})
    EXPECT_EQ(error_of(v, Kind::kInvalid, device), "no name of a device");
  ReplicaStore any_port(UniqueFd(::open((top_ / "devices").c_str(), O_PATH | O_CLOEXEC)), conf_,
      top_ / "swift", ObjectServer{"10.1.1.1", 0});
  EXPECT_TRUE(any_port.open(v, "d2"));
}

TEST_F(ReplicaTest, FollowsNoLink) {
  const auto v = version("secret");
  put(v, "secret");
  // A replica's file, its folder and the device, each replaced by a link to the real one.
  for (const fs::path& victim :
      {hash_dir(v) / (v.timestamp + ".data"), hash_dir(v), top_ / "devices/d1"}) {
    const fs::path moved = top_ / "moved";
    fs::rename(victim, moved);
    fs::create_symlink(moved, victim);
    EXPECT_NE(error_of(v, Kind::kDenied).find("symbolic link"), std::string::npos) << victim;
    fs::remove(victim);
    fs::rename(moved, victim);
  }
  EXPECT_TRUE(store_->open(v, "d1"));
}

TEST_F(ReplicaTest, NoticesDamage) {
  const auto v = version("content");
  const auto damaged = [&](const std::function<void(const fs::path&)>& damage) {
    fs::remove_all(hash_dir(v));
    damage(put(v, "content"));
    return error_of(v, Kind::kInvalid);
  };
  const auto set = [](const fs::path& file, const char* name, const std::string& value) {
    ASSERT_EQ(::setxattr(file.c_str(), name, value.data(), value.size(), 0), 0);
  };
  const std::string file = std::string(kTime) + ".data";
  EXPECT_EQ(damaged([](const fs::path& p) { fs::resize_file(p, 3); }),
      "corrupt: the file has 3 bytes, Content-Length says 7");
  EXPECT_EQ(damaged([&](const fs::path& p) { set(p, "user.swift.metadata_checksum", "00"); }),
      "corrupt: " + file + ": wrong checksum of the metadata");
  EXPECT_EQ(damaged([&](const fs::path& p) { set(p, "user.swift.metadata", "\x80\x02}q"); }),
      "corrupt: " + file + ": wrong checksum of the metadata");
  EXPECT_EQ(damaged([&](const fs::path& p) {
    set(p, "user.swift.metadata", "\x80\x02}q");
    ::removexattr(p.c_str(), "user.swift.metadata_checksum");
  }).rfind("corrupt: " + file + ": ", 0),
      0u);
  EXPECT_EQ(damaged([&](const fs::path& p) { ::removexattr(p.c_str(), "user.swift.metadata"); }),
      "corrupt: " + file + ": no metadata");
  EXPECT_EQ(damaged([&](const fs::path& p) { set(p, "user.swift.metadata", ""); }),
      "corrupt: " + file + ": metadata of a size that Swift never writes");
  EXPECT_EQ(damaged([](const fs::path& p) {
    fs::remove(p);
    ASSERT_EQ(::mkfifo(p.c_str(), 0644), 0);
  }),
      "corrupt: " + file + " is no regular file");
  EXPECT_EQ(damaged([](const fs::path& p) {
    fs::remove(p);
    fs::create_directory(p);
  }),
      "corrupt: " + file + " is no regular file");
}

TEST_F(ReplicaTest, ReadsMetadataWithoutAChecksum) {
  const auto v = version("old");
  const fs::path file = put(v, "old");
  ASSERT_EQ(::removexattr(file.c_str(), "user.swift.metadata_checksum"), 0);
  EXPECT_TRUE(store_->open(v, "d1"));
}

TEST_F(ReplicaTest, NamesWhatIsNotReadableInPlace) {
  const auto v = version("{}");
  put(v, "{}", {{"X-Static-Large-Object", "True"}});
  EXPECT_EQ(error_of(v, Kind::kUnsupported), "slo");
}

TEST_F(ReplicaTest, AnEmptyDeviceHasNoReplica) {
  EXPECT_EQ(error_of(version("x"), Kind::kNotFound), "no replica on this device");
  fs::remove_all(top_ / "devices/d1");
  EXPECT_EQ(error_of(version("x"), Kind::kNotFound), "no replica on this device");
}

TEST_F(ReplicaTest, UsesANewTreeOnceItHasIt) {
  const auto v = version("x");
  put(v, "x");
  fs::create_directory(top_ / "empty");
  store_->replace_root(UniqueFd(::open((top_ / "empty").c_str(), O_PATH | O_CLOEXEC)));
  EXPECT_EQ(error_of(v, Kind::kNotFound), "no replica on this device");
  store_->replace_root(UniqueFd(::open((top_ / "devices").c_str(), O_PATH | O_CLOEXEC)));
  EXPECT_TRUE(store_->open(v, "d1"));
}

// A writer replaces the object all the time, as PUTs do: new file linked, old one removed. Each
// opening gives a version whole, or says that it is another one; never damage, never "absent".
TEST_F(ReplicaTest, IsNeverFooledByAWriter) {
  const auto nth = [](unsigned i) {
    char time[32];
    std::snprintf(time, sizeof time, "1795352857.%05u", i % 100000);
    return version("content " + std::to_string(i), time);
  };
  put(nth(0), "content 0");
  std::atomic<bool> stop = false;
  std::thread writer([&] {
    for (unsigned i = 1; !stop; ++i) {
      const auto v = nth(i);
      const fs::path dir = hash_dir(v);
      const fs::path file = put(v, "content " + std::to_string(i));
      for (const auto& entry : fs::directory_iterator(dir))
        if (entry.path() != file) fs::remove(entry.path());
      if (i == 90000) break;
    }
  });
  unsigned opened = 0, stale = 0;
  // The version that stands there now is guessed from the listing, and may be gone already.
  for (int i = 0; i < 3000; ++i) {
    std::string newest;
    for (const auto& entry : fs::directory_iterator(hash_dir(nth(0))))
      newest = std::max(newest, entry.path().filename().string());
    const unsigned n = newest.size() > 16 ? std::stoul(newest.substr(11, 5)) : 0;
    const auto replica = store_->open(nth(n), "d1");
    if (replica) {
      ++opened;
      EXPECT_EQ(content_of(*replica), "content " + std::to_string(n));
    } else if (replica.error().kind() == Kind::kConflict) {
      ++stale;
    } else {
      ADD_FAILURE() << replica.error().what();
    }
  }
  stop = true;
  writer.join();
  EXPECT_EQ(opened + stale, 3000u);
}

}  // namespace
}  // namespace zvm::host
