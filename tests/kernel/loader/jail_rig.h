// A real broker in a temporary folder, a client of its socket, and jails run through both.
#pragma once
#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/sys/fd.h"
#include "loader/args.h"
#include "loader/scm.h"
#include "loader/step_names.h"
#include "loader/wire.h"
#include "tests/kernel/loader/fuse_files.h"

namespace zvm::loader::testing {

inline constexpr int kPatienceMs = 30'000;  // for what should take milliseconds

// Empty: jails can run here. Else what is missing.
std::string missing_capability();

// A broker process of its own; killed and reaped at the end.
class TestBroker {
 public:
  TestBroker();
  ~TestBroker();
  TestBroker(const TestBroker&) = delete;
  TestBroker& operator=(const TestBroker&) = delete;

  const std::string& socket_path() const { return socket_; }

  const std::string& folder() const { return folder_; }

  const std::string& devices() const { return devices_; }

  pid_t pid() const { return pid_; }

  // SIGKILL, reaped.
  void kill_now();

 private:
  std::string folder_, socket_, devices_;
  pid_t pid_ = -1;
};

struct Answer {
  wire::Reply reply{};
  std::vector<UniqueFd> fds;
};

// One connection; requests are sent and their answers awaited one after the other.
class Client {
 public:
  // greet: with HELLO.
  explicit Client(const std::string& socket_path, bool greet = true);

  // nullopt: the broker closed the connection.
  std::optional<Answer> call(const void* request, size_t size, const std::vector<int>& fds = {});

  template <class Request>
  std::optional<Answer> call(const Request& request, const std::vector<int>& fds = {}) {
    return call(&request, sizeof request, fds);
  }

  FdRef socket() const { return socket_; }

  void close() { socket_.reset(); }

 private:
  UniqueFd socket_;
};

struct JailSpec {
  wire::Policy policy = wire::Policy::kImage;
  std::string path;          // in the image
  std::string program_file;  // instead of path: a file of this machine, sent as a sealed memfd
  std::vector<std::string> argv{"program"};
  std::vector<std::string> env{"PATH=/usr/bin:/bin", "HOME=/tmp", "LANG=C.UTF-8"};
  std::optional<std::string> input;
  std::map<std::string, std::string> files;  // more channels
  std::string absent;    // a name that the file system lacks although it should be there
  std::string raw_args;  // instead of path, argv, env
  wire::Limits limits = default_limits();

  static wire::Limits default_limits();
};

// One session. The destructor kills it and checks that it is gone.
class Jail {
 public:
  Jail(Client& client, JailSpec spec);
  ~Jail();
  Jail(const Jail&) = delete;
  Jail& operator=(const Jail&) = delete;

  // The answer to START; call once.
  wire::Reply start();
  // Waits for the report; nullopt: end of file without one.
  std::optional<wire::Report> wait();
  // Waits until pid 1 is gone.
  bool wait_gone() const;
  wire::Reply kill();

  FuseFiles& files() { return *files_; }

  uint32_t uid() const { return uid_; }

  FdRef pidfd() const { return pid1_; }

  void cut_leash() { leash_.reset(); }

  // Waits until the output has this text.
  bool wait_output(const std::string& text) const;

 private:
  Client& client_;
  JailSpec spec_;
  uint64_t session_;
  uint32_t uid_ = 0;
  bool killed_ = false;
  std::unique_ptr<FuseFiles> files_;
  UniqueFd status_, leash_, pid1_;
};

struct Outcome {
  wire::Reply start{};
  std::optional<wire::Report> report;
  std::string out, err;

  // "exit 0", "signal 9", "not started: execute 2", "no report", "refused 22"
  std::string text() const;
};

// Runs one jail to its end.
Outcome run(Client& client, JailSpec spec);

UniqueFd sealed_memfd(const std::string& content);
std::string read_file(const std::string& path);

}  // namespace zvm::loader::testing
