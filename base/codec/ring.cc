#include "base/codec/ring.h"

#include <algorithm>
#include <bit>
#include <set>
#include <tuple>
#include <unordered_set>

#include "base/check.h"
#include "base/codec/gzip.h"
#include "base/digest.h"
#include "base/json.h"

namespace zvm {

namespace {

constexpr size_t kMaxRingJson = 64u << 20;
constexpr size_t kMaxDevices = 1u << 20;
constexpr size_t kMaxRows = 64;  // replicas

tl::unexpected<Error> bad(std::string what) {
  return fail(Origin::kSwift, Kind::kInvalid, "ring: " + std::move(what));
}

Result<Json> ring_json(std::string_view text) {
  auto json = parse_json(text, {kMaxRingJson, 16});
  if (!json) return bad(json.error().what());
  if (json->is_object() || json->is_array()) return json;
  return bad("neither an object nor a list where one was expected");
}

// An integer field of a JSON object; nullopt when it is something else or out of range.
std::optional<uint64_t> integer(const Json& object, const char* key, uint64_t max) {
  const auto at = object.find(key);
  if (at == object.end()) return std::nullopt;
  const auto* value = at->get_ptr<const Json::number_unsigned_t*>();
  if (value == nullptr || *value > max) return std::nullopt;
  return *value;
}

std::optional<std::string> text(const Json& object, const char* key) {
  const auto at = object.find(key);
  if (at == object.end() || !at->is_string()) return std::nullopt;
  return at->get<std::string>();
}

Result<RingDevice> read_device(const Json& json, size_t id) {
  const std::string where = "device " + std::to_string(id) + ": ";
  if (!json.is_object()) return bad(where + "no object");
  RingDevice d;
  d.id = static_cast<uint32_t>(id);
  if (integer(json, "id", kMaxDevices) != id) return bad(where + "id is not its place in the list");
  const auto zone = integer(json, "zone", UINT32_MAX);
  auto ip = text(json, "ip");
  const auto port = integer(json, "port", UINT16_MAX);
  auto device = text(json, "device");
  if (!zone || !ip || !port || !device) return bad(where + "no zone, ip, port or device");
  // Rings older than regions and replication networks lack these; Swift fills them in like this.
  if (json.contains("region")) {
    const auto region = integer(json, "region", UINT32_MAX);
    if (!region) return bad(where + "region is no number");
    d.region = static_cast<uint32_t>(*region);
  } else {
    d.region = 1;
  }
  d.zone = static_cast<uint32_t>(*zone);
  d.ip = *std::move(ip);
  d.port = static_cast<uint16_t>(*port);
  d.device = *std::move(device);
  d.replication_ip = text(json, "replication_ip").value_or(d.ip);
  d.replication_port =
      static_cast<uint16_t>(integer(json, "replication_port", UINT16_MAX).value_or(d.port));
  const auto weight = json.find("weight");
  if (weight != json.end() && weight->is_number()) d.weight = weight->get<double>();
  return d;
}

Result<std::vector<std::optional<RingDevice>>> read_devices(const Json& list) {
  if (!list.is_array() || list.size() > kMaxDevices) return bad("devs is no list");
  std::vector<std::optional<RingDevice>> devices;
  devices.reserve(list.size());
  for (const Json& element : list) {
    devices.emplace_back();
    if (element.is_null()) continue;  // removed
    ZVM_TRY(devices.back(), read_device(element, devices.size() - 1));
  }
  return devices;
}

uint64_t big_endian(std::string_view bytes) {
  uint64_t value = 0;
  for (const char c : bytes) value = value << 8 | static_cast<uint8_t>(c);
  return value;
}

// A blob of format v2 at the front of `in`: u64be length, bytes.
std::optional<std::string_view> blob(std::string_view in) {
  if (in.size() < 8 || big_endian(in.substr(0, 8)) > in.size() - 8) return std::nullopt;
  return in.substr(8, big_endian(in.substr(0, 8)));
}

}  // namespace

// Fills one Ring from an inflated file.
class RingReader {
 public:
  static Result<Ring> read(std::string_view raw) {
    RingReader reader;
    ZVM_CHECK_OK(reader.read_file(raw));
    ZVM_CHECK_OK(reader.count_assigned());
    return std::move(reader.ring_);
  }

 private:
  Status read_file(std::string_view raw) {
    if (raw.substr(0, 4) != "R1NG") {
      if (raw.substr(0, 1) == "\x80") return bad("a pickle: format v0, which is not read");
      return bad("no ring file");
    }
    if (raw.size() < 6) return bad("cut short");
    const uint64_t version = big_endian(raw.substr(4, 2));
    if (version == 1) return read_v1(raw.substr(6));
    if (version == 2) return read_v2(raw);
    return bad("format v" + std::to_string(version) + ", which is not known here");
  }

  Status read_v1(std::string_view in) {
    if (in.size() < 4 || big_endian(in.substr(0, 4)) > in.size() - 4) return bad("cut short");
    const size_t length = big_endian(in.substr(0, 4));
    ZVM_TRY(const Json json, ring_json(in.substr(4, length)));
    ZVM_CHECK_OK(read_part_shift(json));
    const auto rows = integer(json, "replica_count", kMaxRows);
    if (!rows || *rows == 0) return bad("no replica_count");
    const auto devs = json.find("devs");
    if (devs == json.end()) return bad("no devs");
    ZVM_TRY(ring_.devices_, read_devices(*devs));
    bool big = std::endian::native == std::endian::big;
    if (json.contains("byteorder")) {
      const auto order = text(json, "byteorder");
      if (order != "little" && order != "big") return bad("byteorder is neither little nor big");
      big = order == "big";
    }
    ZVM_CHECK_OK(read_rows(in.substr(4 + length), 2, big));
    if (ring_.rows_.size() != *rows)
      return bad(std::to_string(ring_.rows_.size()) + " rows where replica_count says " +
                 std::to_string(*rows));
    return {};
  }

  // Sections are found by the index, whose uncompressed offset stands before the last 8 bytes.
  Status read_v2(std::string_view raw) {
    if (raw.size() < 6 + 16) return bad("cut short");
    const uint64_t index_at = big_endian(raw.substr(raw.size() - 16, 8));
    if (index_at > raw.size() - 16) return bad("v2: the index lies behind the end");
    const auto index_text = blob(raw.substr(index_at, raw.size() - 16 - index_at));
    if (!index_text) return bad("v2: the index is cut short");
    ZVM_TRY(const Json index, ring_json(*index_text));

    ZVM_TRY(const auto metadata_text, section(raw, index, "swift/ring/metadata"));
    ZVM_TRY(const Json metadata, ring_json(metadata_text));
    ZVM_CHECK_OK(read_part_shift(metadata));
    const auto id_bytes = integer(metadata, "dev_id_bytes", 8);
    if (id_bytes != 2 && id_bytes != 4 && id_bytes != 8)
      return bad("v2: dev_id_bytes is not 2, 4 or 8");

    ZVM_TRY(const auto devices_text, section(raw, index, "swift/ring/devices"));
    ZVM_TRY(const Json devices, ring_json(devices_text));
    ZVM_TRY(ring_.devices_, read_devices(devices));
    ZVM_TRY(const auto assignments, section(raw, index, "swift/ring/assignments"));
    return read_rows(assignments, *id_bytes, true);
  }

  static Result<std::string_view> section(
      std::string_view raw, const Json& index, const char* name) {
    const std::string where = std::string("v2: section ") + name + ": ";
    const auto at = index.find(name);
    // [compressed start, uncompressed start, compressed end, uncompressed end, method, hex]
    if (at == index.end() || !at->is_array() || at->size() < 6 || !(*at)[1].is_number_unsigned() ||
        !(*at)[4].is_string() || !(*at)[5].is_string())
      return bad(where + "not in the index");
    const auto start = (*at)[1].get<uint64_t>();
    if (start > raw.size()) return bad(where + "behind the end");
    const auto body = blob(raw.substr(start));
    if (!body) return bad(where + "cut short");
    const std::string_view with_length = raw.substr(start, 8 + body->size());
    const auto& method = (*at)[4].get_ref<const std::string&>();
    const auto& digest = (*at)[5].get_ref<const std::string&>();
    if (method != "sha256" && method != "md5")
      return bad(where + "checksum " + method.substr(0, 32) + " is not known here");
    if (digest != (method == "md5" ? md5_hex(with_length) : sha256_hex(with_length)))
      return bad(where + "wrong checksum");
    return *body;
  }

  Status read_part_shift(const Json& json) {
    const auto shift = integer(json, "part_shift", 32);
    if (!shift) return bad("no part_shift");
    ring_.part_power_ = 32 - static_cast<unsigned>(*shift);
    return {};
  }

  // Rows of device ids, one id for each partition; the last row ends where the file does.
  Status read_rows(std::string_view in, size_t id_bytes, bool big) {
    const size_t partitions = size_t{1} << ring_.part_power_;
    if (in.size() < partitions * id_bytes || in.size() % id_bytes != 0)
      return bad("assignments cut short");
    while (!in.empty()) {
      if (ring_.rows_.size() == kMaxRows) return bad("too many rows");
      const std::string_view bytes = in.substr(0, partitions * id_bytes);
      in.remove_prefix(bytes.size());
      std::vector<uint32_t> row(bytes.size() / id_bytes);
      for (size_t p = 0; p < row.size(); ++p) {
        uint64_t id = 0;
        for (size_t i = 0; i < id_bytes; ++i) {
          const auto byte =
              static_cast<uint8_t>(bytes[p * id_bytes + (big ? i : id_bytes - 1 - i)]);
          id = id << 8 | byte;
        }
        if (id >= ring_.devices_.size() || !ring_.devices_[id])
          return bad("partition " + std::to_string(p) + " is on device " + std::to_string(id) +
                     ", which does not exist");
        row[p] = static_cast<uint32_t>(id);
      }
      ring_.replicas_ += static_cast<double>(row.size()) / static_cast<double>(partitions);
      ring_.rows_.push_back(std::move(row));
    }
    return {};
  }

  Status count_assigned() {
    std::vector<bool> assigned(ring_.devices_.size());
    for (const auto& row : ring_.rows_)
      for (const uint32_t id : row) assigned[id] = true;
    std::set<uint32_t> regions;
    std::set<std::tuple<uint32_t, uint32_t>> zones;
    std::set<std::tuple<uint32_t, uint32_t, std::string_view>> ips;
    for (const auto& d : ring_.devices_) {
      if (!d || !assigned[d->id]) continue;
      ++ring_.assigned_;
      regions.insert(d->region);
      zones.insert({d->region, d->zone});
      ips.insert({d->region, d->zone, d->ip});
    }
    ring_.regions_ = regions.size();
    ring_.zones_ = zones.size();
    ring_.ips_ = ips.size();
    return {};
  }

  Ring ring_;
};

Result<Ring> Ring::parse(std::string_view gzip_bytes) {
  auto raw = gunzip(gzip_bytes, kMaxRingBytes);
  if (!raw) return bad(raw.error().what());
  return RingReader::read(*raw);
}

uint32_t Ring::partition_of(std::string_view hash) const {
  uint8_t first[4];
  ZVM_CHECK(hash.size() == 32 && from_hex(hash.substr(0, 8), first));
  const uint64_t value = uint64_t{first[0]} << 24 | first[1] << 16 | first[2] << 8 | first[3];
  return static_cast<uint32_t>(value >> (32 - part_power_));
}

std::vector<const RingDevice*> Ring::primaries(uint32_t partition) const {
  std::vector<const RingDevice*> out;
  for (const auto& row : rows_) {
    if (partition >= row.size()) continue;
    // read_rows() has let in ids of existing devices only.
    const RingDevice* d = &*devices_[row[partition]];  // NOLINT(bugprone-unchecked-optional-access)
    if (std::find(out.begin(), out.end(), d) == out.end()) out.push_back(d);
  }
  return out;
}

namespace {

// Walks for hand-offs as get_more_nodes() of Swift does: four times round the ring, looking first
// for regions that were not used yet, then zones, then addresses, then any other device.
class HandoffWalk {
 public:
  struct Totals {
    size_t regions, zones, ips, devices;
  };

  HandoffWalk(const std::vector<const RingDevice*>& primaries, const Totals& totals, size_t limit)
      : totals_(totals), limit_(limit) {
    for (const RingDevice* d : primaries) use(*d);
  }

  enum class Pass : uint8_t { kRegion, kZone, kIp, kDevice };

  // Nothing more of that pass can be found.
  bool finished(Pass pass) const {
    if (found.size() >= limit_) return true;
    switch (pass) {
      case Pass::kRegion:
        return regions_.size() == totals_.regions;
      case Pass::kZone:
        return zones_.size() == totals_.zones;
      case Pass::kIp:
        return ips_.size() == totals_.ips;
      case Pass::kDevice:
        return devices_.size() == totals_.devices;
    }
    return true;
  }

  void look_at(Pass pass, const RingDevice& d) {
    if (devices_.count(d.id) != 0 || !is_fresh(pass, d)) return;
    found.push_back(&d);
    use(d);
  }

  std::vector<const RingDevice*> found;

 private:
  using Zone = std::tuple<uint32_t, uint32_t>;
  using Ip = std::tuple<uint32_t, uint32_t, std::string_view>;

  bool is_fresh(Pass pass, const RingDevice& d) const {
    switch (pass) {
      case Pass::kRegion:
        return regions_.count(d.region) == 0;
      case Pass::kZone:
        return zones_.count(Zone{d.region, d.zone}) == 0;
      case Pass::kIp:
        return ips_.count(Ip{d.region, d.zone, d.ip}) == 0;
      case Pass::kDevice:
        return true;
    }
    return false;
  }

  void use(const RingDevice& d) {
    devices_.insert(d.id);
    regions_.insert(d.region);
    zones_.insert(Zone{d.region, d.zone});
    ips_.insert(Ip{d.region, d.zone, d.ip});
  }

  Totals totals_;
  size_t limit_;
  std::unordered_set<uint32_t> devices_;
  std::set<uint32_t> regions_;
  std::set<Zone> zones_;
  std::set<Ip> ips_;
};

}  // namespace

std::vector<const RingDevice*> Ring::handoffs(uint32_t partition, size_t limit) const {
  HandoffWalk walk(primaries(partition), {regions_, zones_, ips_, assigned_}, limit);
  const uint64_t parts = rows_[0].size();
  const uint64_t start = partition_of(md5_hex(std::to_string(partition)));
  const uint64_t step = std::max<uint64_t>(1, parts / 65536);
  using Pass = HandoffWalk::Pass;
  for (const Pass pass : {Pass::kRegion, Pass::kZone, Pass::kIp, Pass::kDevice}) {
    const auto look = [&](uint64_t p) {
      for (const auto& row : rows_) {
        if (walk.finished(pass)) return;
        if (p < row.size()) walk.look_at(pass, *devices_[row[p]]);
      }
    };
    uint64_t p = start;
    for (; p < parts && !walk.finished(pass); p += step) look(p);
    // Swift's wrap: the second half starts where the step carries over the end, but never at 0.
    p = step - (parts - start) % step;
    for (; p < start && !walk.finished(pass); p += step) look(p);
  }
  return std::move(walk.found);
}

}  // namespace zvm
