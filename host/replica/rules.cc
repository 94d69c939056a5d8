#include "host/replica/rules.h"

#include <algorithm>
#include <charconv>

namespace zvm::host {

namespace {

constexpr size_t kTime = 16;    // "1795352857.15555"
constexpr size_t kOffset = 16;  // hex digits

bool all_of(std::string_view text, std::string_view alphabet) {
  return text.find_first_not_of(alphabet) == text.npos;
}

constexpr std::string_view kDigits = "0123456789";
constexpr std::string_view kHex = "0123456789abcdef";

std::optional<ReplicaFile::Type> type_of(std::string_view extension) {
  if (extension == ".data") return ReplicaFile::Type::kData;
  if (extension == ".meta") return ReplicaFile::Type::kMeta;
  if (extension == ".ts") return ReplicaFile::Type::kTombstone;
  if (extension == ".durable") return ReplicaFile::Type::kDurable;
  return std::nullopt;
}

// "#3" or "#3#d"
bool is_fragment(std::string_view text) {
  if (text.size() > 2 && text.substr(text.size() - 2) == "#d") text.remove_suffix(2);
  return text.size() > 1 && text[0] == '#' && all_of(text.substr(1), kDigits);
}

// "+0" or "-1a2f": how far the Content-Type's time is from the file's.
bool is_type_time(std::string_view text) {
  return text.size() > 1 && (text[0] == '+' || text[0] == '-') && all_of(text.substr(1), kHex);
}

tl::unexpected<Error> bad(Kind kind, std::string what) {
  return fail(Origin::kSwift, kind, std::move(what));
}

tl::unexpected<Error> corrupt(std::string what) {
  return bad(Kind::kInvalid, "corrupt: " + std::move(what));
}

std::optional<uint64_t> decimal(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

bool is_true(std::string text) {
  for (char& c : text) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  return text == "true" || text == "1" || text == "yes" || text == "on" || text == "t" ||
         text == "y";
}

// What Swift would say of that key: a .meta replaces all that a POST can change.
std::string merged(const ReplicaFacts& facts, const std::string& key) {
  constexpr std::string_view kSysmeta = "X-Object-Sysmeta-";
  const bool of_data = key == "Content-Length" || key == "ETag" || key == "X-Static-Large-Object" ||
                       key.rfind(kSysmeta, 0) == 0;
  return facts.meta && !of_data ? facts.meta->header(key) : facts.data.header(key);
}

// Swift writes the time into the file's name and its metadata alike.
Status check_file(const ReplicaFile& file, const SwiftMetadata& metadata, const std::string& path) {
  // "name" is the one value that Swift does not encode twice.
  const auto name = metadata.values.find("name");
  if (name == metadata.values.end() || name->second != path)
    return corrupt(file.name + " belongs to another object");
  if (metadata.header("X-Timestamp") != file.internal_time())
    return corrupt(file.name + " and its X-Timestamp differ");
  return {};
}

}  // namespace

std::optional<ReplicaFile> parse_replica_file(std::string_view name) {
  const size_t dot = name.rfind('.');
  if (dot == name.npos || dot < kTime) return std::nullopt;
  const auto type = type_of(name.substr(dot));
  const std::string_view time = name.substr(0, kTime);
  if (!type || time[10] != '.' || !all_of(time.substr(0, 10), kDigits) ||
      !all_of(time.substr(11), kDigits))
    return std::nullopt;
  ReplicaFile file;
  file.type = *type;
  file.name = name;
  file.time = time;
  std::string_view rest = name.substr(kTime, dot - kTime);
  if (!rest.empty() && rest[0] == '_') {
    if (rest.size() < 1 + kOffset || !all_of(rest.substr(1, kOffset), kHex)) return std::nullopt;
    file.offset = rest.substr(1, kOffset);
    rest.remove_prefix(1 + kOffset);
  }
  if (*type == ReplicaFile::Type::kData && is_fragment(rest)) {
    file.fragment = true;
    rest = {};
  }
  if (*type == ReplicaFile::Type::kMeta && is_type_time(rest)) rest = {};
  if (!rest.empty()) return std::nullopt;
  return file;
}

Selection select_files(const std::vector<std::string>& names) {
  // Newest of each type.
  std::optional<ReplicaFile> data, meta, tombstone;
  for (const std::string& name : names) {
    auto file = parse_replica_file(name);
    if (!file || file->type == ReplicaFile::Type::kDurable) continue;
    auto& newest = file->type == ReplicaFile::Type::kData   ? data
                   : file->type == ReplicaFile::Type::kMeta ? meta
                                                            : tombstone;
    if (!newest || newest->internal_time() < file->internal_time()) newest = std::move(file);
  }
  const auto is_obsolete = [](const ReplicaFile& file, const std::optional<ReplicaFile>& by) {
    return by && file.internal_time() <= by->internal_time();
  };
  Selection out;
  if (data && is_obsolete(*data, tombstone)) data.reset();
  if (!data) {
    out.state = tombstone ? Selection::State::kDeleted : Selection::State::kAbsent;
    return out;
  }
  out.state = data->fragment ? Selection::State::kFragments : Selection::State::kWhole;
  if (meta && !is_obsolete(*meta, data)) out.meta = std::move(meta);
  out.data = *std::move(data);
  return out;
}

Status check_replica(
    const protocol::ObjectVersion& wanted, const ReplicaFacts& facts, int64_t now_seconds) {
  const ReplicaFile& data = facts.files.data;
  ZVM_CHECK_OK(check_file(data, facts.data, wanted.path()));
  if (facts.meta && facts.files.meta)
    ZVM_CHECK_OK(check_file(*facts.files.meta, *facts.meta, wanted.path()));
  const auto length = decimal(facts.data.header("Content-Length"));
  if (!length) return corrupt("Content-Length is no number");
  if (*length != facts.file_size)
    return corrupt("the file has " + std::to_string(facts.file_size) +
                   " bytes, Content-Length says " + std::to_string(*length));

  // A link's time and ETag are not those of a GET, which follows it: no sense in comparing them.
  if (!merged(facts, "X-Object-Sysmeta-Symlink-Target").empty())
    return bad(Kind::kUnsupported, "symlink");

  // The proxy names the time of the newest POST. One that came after the job was pinned has changed
  // no byte: the time of the .data is right as well. Offsets are not in what the proxy says.
  const std::string& newest = facts.files.meta ? facts.files.meta->time : data.time;
  if (wanted.timestamp != newest && wanted.timestamp != data.time)
    return bad(Kind::kConflict, "stale-replica: has " + newest + ", wanted " + wanted.timestamp);

  if (const std::string expiry = merged(facts, "X-Delete-At"); !expiry.empty()) {
    const auto at = decimal(expiry);
    if (!at) return corrupt("X-Delete-At is no number");
    if (*at <= static_cast<uint64_t>(std::max<int64_t>(now_seconds, 0)))
      return bad(Kind::kNotFound, "expired at " + expiry);
  }
  if (is_true(merged(facts, "X-Static-Large-Object"))) return bad(Kind::kUnsupported, "slo");
  if (!merged(facts, "X-Object-Manifest").empty()) return bad(Kind::kUnsupported, "dlo");
  if (!merged(facts, "X-Object-Sysmeta-Ec-Etag").empty() ||
      !merged(facts, "X-Object-Sysmeta-Ec-Frag-Index").empty())
    return bad(Kind::kUnsupported, "ec");
  if (!merged(facts, "X-Object-Sysmeta-Crypto-Body-Meta").empty())
    return bad(Kind::kUnsupported, "encrypted");

  const std::string etag = merged(facts, "ETag");
  if (etag.size() != 32 || !all_of(etag, kHex)) return corrupt("ETag is no MD5");
  if (etag != wanted.etag || *length != wanted.length)
    return bad(Kind::kConflict, "stale-replica: has ETag " + etag + ", wanted " + wanted.etag);
  return {};
}

int64_t timestamp_ns(std::string_view normal) {
  if (normal.size() != kTime || normal[10] != '.') return 0;
  const auto seconds = decimal(normal.substr(0, 10));
  const auto fraction = decimal(normal.substr(11));
  if (!seconds || !fraction) return 0;
  return static_cast<int64_t>(*seconds * 1'000'000'000 + *fraction * 10'000);
}

}  // namespace zvm::host
