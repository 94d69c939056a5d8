// A ring of three devices d1 d2 d3, each on its own node, whose partitions all have the primaries
// d1, d2, d3 in this order (swift-ring-builder's file format 1).
#pragma once
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/unit/ring/gz.h"

namespace zvm::test {

inline std::string three_device_ring() {
  std::string devices;
  for (const char n : {'1', '2', '3'}) {
    const std::string id = std::to_string(n - 0x31);
    devices += std::string(devices.empty() ? "" : ",") + R"({"id":)" + id +
               R"(,"region":1,"zone":)" + n + R"(,"ip":"127.0.0.1","port":620)" + n +
               R"(,"replication_ip":"127.0.0.1","replication_port":620)" + n + R"(,"device":"d)" +
               n + R"(","weight":1.0,"meta":""})";
  }
  const std::string json =
      R"({"devs":[)" + devices + R"(],"part_shift":30,"replica_count":3,"byteorder":"little"})";
  std::string out = std::string("R1NG\0\1", 6);
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(json.size() >> shift);
  out += json;
  for (char row = 0; row < 3; ++row)
    for (int partition = 0; partition < 4; ++partition) out += {row, '\0'};
  return gzip(out);
}

// A swift_dir with that ring as object.ring.gz, removed again.
class RingDirectory {
 public:
  RingDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "zvm-ring-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
    std::ofstream(path_ + "/object.ring.gz", std::ios::binary) << three_device_ring();
  }

  ~RingDirectory() { std::filesystem::remove_all(path_); }

  RingDirectory(const RingDirectory&) = delete;
  RingDirectory& operator=(const RingDirectory&) = delete;

  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace zvm::test
