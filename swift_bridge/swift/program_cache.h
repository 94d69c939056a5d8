// Copies of programs that are objects, so that a job which runs a known program fetches no bytes.
// A copy is used only after Swift has said, to this client, that its ETag is still the object's.
#pragma once
#include <list>
#include <memory>
#include <string>
#include <unordered_map>

namespace zvm::bridge {

struct Program {
  std::string etag;    // as Swift sent it
  std::string sha256;  // of the bytes, hex
  std::string bytes;
};

class ProgramCache {
 public:
  explicit ProgramCache(size_t max_bytes) : max_bytes_(max_bytes) {}

  // url: of the object. Null when there is no copy.
  std::shared_ptr<const Program> find(const std::string& url);
  // Drops the copies used longest ago until it fits; one that never fits is not kept.
  void keep(const std::string& url, std::shared_ptr<const Program> program);

  size_t bytes() const { return bytes_; }

 private:
  struct Entry {
    std::string url;
    std::shared_ptr<const Program> program;
  };

  void drop(std::list<Entry>::iterator entry);

  size_t max_bytes_;
  size_t bytes_ = 0;
  std::list<Entry> by_use_;  // front: used last
  std::unordered_map<std::string, std::list<Entry>::iterator> by_url_;
};

}  // namespace zvm::bridge
