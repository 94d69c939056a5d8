// Ring files. First byte 'z': the rest is a file as it lies on disk; else the rest is what a file
// holds when it is inflated, so that mutations need not get past gzip's checksum. What is accepted
// answers every question, within bounds.
#include <algorithm>
#include <cstdint>
#include <set>

#include "base/codec/ring.h"
#include "tests/unit/ring/gz.h"

namespace {

using namespace zvm;

void require(bool holds) {
  if (!holds) __builtin_trap();
}

void ask(const Ring& ring) {
  const uint64_t partitions = uint64_t{1} << ring.part_power();
  const uint32_t last = ring.partition_of("ffffffffffffffffffffffffffffffff");
  require(last == partitions - 1 && ring.partition_of("00000000000000000000000000000000") == 0);
  for (const uint32_t p : {uint32_t{0}, last / 2, last}) {
    const auto primaries = ring.primaries(p);
    const auto handoffs = ring.handoffs(p, 50);
    require(!primaries.empty() && handoffs.size() <= 50);
    std::set<const RingDevice*> all(primaries.begin(), primaries.end());
    all.insert(handoffs.begin(), handoffs.end());
    require(all.size() == primaries.size() + handoffs.size());
    for (const RingDevice* d : all) require(&*ring.devices().at(d->id) == d);
    const auto fewer = ring.handoffs(p, 2);
    require(std::equal(fewer.begin(), fewer.end(), handoffs.begin()));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // Deflate makes a thousand bytes of one: larger inputs only take time.
  if (size == 0 || size > 16 * 1024) return 0;
  const std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto ring = Ring::parse(data[0] == 'z' ? std::string(rest) : gzip(rest));
  if (ring) ask(*ring);
  return 0;
}
