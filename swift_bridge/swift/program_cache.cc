#include "swift_bridge/swift/program_cache.h"

namespace zvm::bridge {

std::shared_ptr<const Program> ProgramCache::find(const std::string& url) {
  const auto it = by_url_.find(url);
  if (it == by_url_.end()) return nullptr;
  by_use_.splice(by_use_.begin(), by_use_, it->second);
  return it->second->program;
}

void ProgramCache::drop(std::list<Entry>::iterator entry) {
  bytes_ -= entry->program->bytes.size();
  by_url_.erase(entry->url);
  by_use_.erase(entry);
}

void ProgramCache::keep(const std::string& url, std::shared_ptr<const Program> program) {
  if (const auto it = by_url_.find(url); it != by_url_.end()) drop(it->second);
  const size_t size = program->bytes.size();
  if (size > max_bytes_) return;
  while (bytes_ + size > max_bytes_) drop(std::prev(by_use_.end()));
  by_use_.push_front({url, std::move(program)});
  by_url_[url] = by_use_.begin();
  bytes_ += size;
}

}  // namespace zvm::bridge
