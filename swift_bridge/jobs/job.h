// A job as the bridge has validated it: plain values that own their bytes. parse.h makes them;
// whoever holds one may rely on every rule of docs/api.md without looking again. Names and paths
// are decoded bytes (UTF-8, no control characters where the API forbids them).
#pragma once
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "host/protocol/description.h"

namespace zvm::bridge {

// An object, or a container where `object` is empty. Decoded; "." and "~" are resolved already.
struct SwiftPath {
  std::string account, container, object;

  std::string path() const;  // /account/container/object, decoded: for people and messages
  std::string url() const;   // swift://account/container/object, percent-encoded
  // Request target of Swift's API: /v1/account/container/object, percent-encoded.
  std::string target() const;
  bool operator==(const SwiftPath&) const = default;
};

// A file that the node sees as /dev/<name>. Devices that do nothing (a path-less stdin of a JSON
// job, a device named after the image) are not in the list.
struct Device {
  enum class Access : uint8_t { kRead, kWrite };

  std::string name;
  Access access = Access::kRead;
  protocol::Channel::Kind kind = protocol::Channel::Kind::kObject;
  std::optional<SwiftPath>
      path;                  // read: the object; write: where it is stored; none: see Node::answer
  std::string url;           // the path as the job wrote it, or ""
  std::string bytes;         // kBytes only: the text of a script
  std::string content_type;  // written devices only; message/http and message/cgi are special
  std::vector<std::pair<std::string, std::string>> meta;  // stored as X-Object-Meta-<first>
  std::string mode;       // "file", "char", "pipe", "block"; "" = not given
  uint64_t min_size = 0;  // bytes; a smaller output is neither stored nor returned

  bool reads_object() const { return kind == protocol::Channel::Kind::kObject; }

  bool is_stored() const { return access == Access::kWrite && path.has_value(); }
};

struct Exec {
  enum class Kind : uint8_t {
    kImage,   // a program of an image: `image` and `path`
    kObject,  // bytes of an object, run in the image "host"
  };

  Kind kind = Kind::kImage;
  std::string image = "host";
  std::string path;               // kImage: absolute in the image
  SwiftPath object;               // kObject
  std::string url;                // as the job wrote it: SCRIPT_FILENAME
  std::string name;               // exec.name or the node's name: SCRIPT_NAME
  std::vector<std::string> argv;  // complete, with argv[0]
  std::vector<std::pair<std::string, std::string>> env;  // exec.env, without empty values
};

struct Node {
  std::string name;
  Exec exec;
  std::vector<Device> devices;
  std::string policy;  // "compute", "image" or "" = by the program
  std::chrono::milliseconds timeout{60'000};
  std::chrono::milliseconds cpu{60'000};
  uint64_t memory = 512u << 20;    // bytes
  uint64_t max_output = 1u << 30;  // bytes, each written device
  bool keep_partial = false;       // store what there is even when the job fails
  std::optional<size_t> attach;    // index of the device that the node runs next to; none: anywhere
  std::optional<size_t> answer;    // index of the one path-less output: the plain answer's body
};

struct Job {
  std::string account;  // in whose name it runs, and who pays
  bool is_script = false;
  std::vector<Node> nodes;  // exactly one in this version
};

// Defaults and caps of what a node may ask for; all from the bridge's configuration. A default
// above its cap is lowered to it.
struct Limits {
  std::chrono::milliseconds timeout{60'000}, timeout_cap{3'600'000};
  std::chrono::milliseconds cpu_cap{3'600'000};  // the default of `cpu` is the node's timeout
  uint64_t memory = 512u << 20, memory_cap = 4ull << 30;        // bytes
  uint64_t max_output = 1u << 30, max_output_cap = 5ull << 30;  // bytes
};

}  // namespace zvm::bridge
