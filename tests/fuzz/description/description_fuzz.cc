// A node's description and report, as JSON from the other end. What is accepted is within the
// bounds that a host relies on, and says the same after being written and read again.
#include <cstdint>
#include <string_view>

#include "host/protocol/description.h"

namespace {

using namespace zvm;
using namespace zvm::protocol;

void require(bool holds) {
  if (!holds) __builtin_trap();
}

bool is_safe_name(std::string_view name, size_t max) {
  return !name.empty() && name.size() <= max && name != "." && name != ".." &&
         name.find_first_of(std::string_view("/\0 \n\"", 5)) == name.npos;
}

void check(const Description& d) {
  require(is_safe_name(d.job, 64) && is_safe_name(d.node, 64));
  require(!d.argv.empty() && d.channels.size() <= kMaxChannels && d.timeout.count() > 0);
  size_t total = 0;
  for (const auto& a : d.argv) total += a.size() + 1;
  for (const auto& [key, value] : d.env) {
    require(!key.empty() && (key + value).find('\0') == std::string::npos);
    total += key.size() + value.size() + 2;
  }
  require(total <= kMaxArguments);
  require(d.program.path.empty() ? d.program.sha256.size() == 64 && d.program.size <= kMaxProgram
                                 : d.program.path[0] == '/');
  for (const Channel& c : d.channels) {
    require(is_safe_name(c.name, 255) && c.name != "null" && c.name != "in");
    require(c.device.empty() || is_safe_name(c.device, 255));
    require(c.kind != Channel::Kind::kObject || c.object.timestamp.size() == 16);
  }
  const std::string text = to_json(d);
  // Escapes may make it longer than the bound of what came.
  if (text.size() > kMaxDescription) return;
  const auto again = description_from_json(text);
  require(again && to_json(*again) == text);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto description = description_from_json(text)) check(*description);
  if (const auto report = report_from_json(text)) {
    const auto again = report_from_json(to_json(*report));
    require(again && to_json(*again) == to_json(*report) && !report->status_text().empty());
  }
  return 0;
}
