// What the bridge tells a host about one node of a job, and what the host tells back: plain values,
// carried as JSON inside the signed request POST /v1/sessions and the REPORT frame.
// A host reads nothing but what a description names, and checks every name again itself.
#pragma once
#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"

namespace zvm::protocol {

inline constexpr int kVersion = 1;
inline constexpr size_t kMaxDescription = 1 << 20;  // bytes of JSON
inline constexpr size_t kMaxChannels = 256;
inline constexpr size_t kMaxArguments = 128 * 1024;  // bytes of argv and environment together
inline constexpr uint64_t kMaxProgram = 256u << 20;  // bytes of a program sent as frames

// One version of one object, as Swift's proxy named it when the job was authorised.
struct ObjectVersion {
  std::string account, container, object;  // decoded bytes
  unsigned policy = 0;                     // storage policy index
  std::string timestamp;                   // X-Timestamp of the proxy: "1795352857.15555"
  std::string etag;                        // hex MD5 of the content, unquoted
  uint64_t length = 0;
  std::string content_type;

  std::string swift_url() const;  // swift://account/container/object
  std::string path() const;       // /account/container/object
};

struct Channel {
  enum class Kind : uint8_t {
    kObject,  // reads an object version
    kAppend,  // stdout, stderr: sequential write
    kRandom,  // output: random write
    kBytes,   // fixed content that travels in the description: a script's text
  };
  // Where an object's bytes come from. A required replica that is not there, or not that version,
  // makes the host refuse the session, so that the bridge tries the next one.
  enum class Local : uint8_t { kRequire, kPrefer, kNever };

  std::string name;  // the device's name: file /dev/<name>
  Kind kind = Kind::kBytes;
  bool declared = true;  // false: stdout or stderr that the job did not ask for; its tail is kept
  std::string path;      // the swift:// URL of the job, or ""
  std::string mode;      // the job's "mode" key, shown as xattr

  ObjectVersion object;          // kObject
  Local local = Local::kPrefer;  // kObject
  std::string remote_reason;     // kObject with kNever: slo, dlo, ec, encrypted, no-executor ...
  std::string device;            // kObject: the ring's device on this host to look at, or ""
  uint64_t max_bytes = 0;        // kAppend, kRandom
  std::string bytes;             // kBytes
};

struct Program {
  // An image's program by its path in the image; or bytes that follow as PROGRAM frames.
  std::string image = "host";
  std::string path;    // "" = by bytes
  std::string sha256;  // of the bytes, hex
  uint64_t size = 0;
};

struct Description {
  int version = kVersion;
  std::string job;   // X-Zvm-Job
  std::string node;  // node name
  std::string account;
  Program program;
  std::string policy;  // "compute" | "image" | "" = by the program: static ELF -> compute
  std::vector<std::string> argv;
  std::vector<std::pair<std::string, std::string>> env;
  std::vector<Channel> channels;  // index = channel number in frames
  std::chrono::milliseconds timeout{60'000};
  uint64_t memory = 512u << 20;  // bytes
  std::chrono::milliseconds cpu{60'000};
};

std::string to_json(const Description& description);
// Bounded and complete: every field checked for type, range and form. kClient/kInvalid.
Result<Description> description_from_json(std::string_view text);

// How a node ended (api.md, "How a node ends").
enum class End : uint8_t {
  kExited,       // exit_code
  kSignalled,    // signal
  kTimeout,      // session timeout
  kCpuLimit,     // cpu limit
  kOutOfMemory,  // out of memory
  kOutputLimit,  // output limit
  kRefused,      // never ran: no ELF, wrong machine; detail says why
  kCancelled,
  kHostFault,  // the jail could not be made, or was lost; detail says where
  kInputLost,  // a remote input could not be read on: detail says why
};

struct ChannelReport {
  std::string name;
  std::string locality;  // "local", "remote", "" for what is no object
  std::string reason;    // why not local
  uint64_t bytes_read = 0, bytes_written = 0, reads = 0, writes = 0;
  std::string counted;      // "daemon" | "estimate"
  uint64_t size = 0;        // bytes kept, outputs only
  std::string md5, sha256;  // of what is kept, outputs only
};

struct NodeReport {
  End end = End::kHostFault;
  int exit_code = 0;
  int signal = 0;
  std::string detail;                             // one line for people
  unsigned validation = 0;                        // X-Nexe-Validation
  double wall = 0, cpu_user = 0, cpu_system = 0;  // seconds
  uint64_t memory_peak = 0;                       // bytes
  std::string device;                   // the ring's device that the attached input was read from
  std::vector<ChannelReport> channels;  // in the order of the description

  // The text of X-Nexe-Status: "ok", "signal 11", "session timeout", "ZeroVM did not run", ...
  std::string status_text() const;
};

std::string to_json(const NodeReport& report);
Result<NodeReport> report_from_json(std::string_view text);

}  // namespace zvm::protocol
