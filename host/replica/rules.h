// Which files of a hash directory make up an object, and whether they are the version that a job
// pinned. Pure: names and metadata in, verdicts out. Source of the rules: swift/obj/diskfile.py
// (cleanup_ondisk_files, _merge_content_type_metadata), swift/common/utils (encode_timestamps).
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/codec/pickle.h"
#include "base/error.h"
#include "host/protocol/description.h"

namespace zvm::host {

// "1795352857.15555[_<16 hex digits>][#<fragment>[#d]][±<hex>].data|.meta|.ts|.durable"
struct ReplicaFile {
  enum class Type : uint8_t { kData, kMeta, kTombstone, kDurable };
  Type type = Type::kData;
  std::string name;
  std::string time;    // X-Timestamp in normal form: "1795352857.15555"
  std::string offset;  // the 16 hex digits behind '_', or ""
  bool fragment = false;

  // Swift's order of times: compares as the internal form does.
  std::string internal_time() const { return offset.empty() ? time : time + "_" + offset; }
};

// nullopt: none of Swift's files of an object (rsync's temporaries, hashes.pkl and the like).
std::optional<ReplicaFile> parse_replica_file(std::string_view name);

struct Selection {
  enum class State : uint8_t {
    kAbsent,     // no object: no .data, no .ts
    kDeleted,    // a .ts is the newest
    kWhole,      // data, and meta if a POST came later
    kFragments,  // erasure coded
  };
  State state = State::kAbsent;
  ReplicaFile data;                 // kWhole
  std::optional<ReplicaFile> meta;  // kWhole
};

// A second, older .meta may stand there for its Content-Type alone; that comes from the proxy here.
Selection select_files(const std::vector<std::string>& names);

struct ReplicaFacts {
  Selection files;
  uint64_t file_size = 0;             // fstat of the .data
  SwiftMetadata data;                 // xattrs of the .data
  std::optional<SwiftMetadata> meta;  // xattrs of the .meta
};

// Errors, all of Origin::kSwift:
//   kInvalid      "corrupt: ..."        what lies there is damaged
//   kConflict     "stale-replica: ..."  it is another version than the wanted one
//   kNotFound     "expired ..."
//   kUnsupported  exactly "symlink", "slo", "dlo", "ec" or "encrypted": the file's bytes are not
//                 what a GET returns
Status check_replica(
    const protocol::ObjectVersion& wanted, const ReplicaFacts& facts, int64_t now_seconds);

// "1795352857.15555" in nanoseconds since 1970; 0 for what is no timestamp.
int64_t timestamp_ns(std::string_view normal);

}  // namespace zvm::host
