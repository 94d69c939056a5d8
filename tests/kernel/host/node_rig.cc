#include "tests/kernel/host/node_rig.h"

#include <fcntl.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <functional>
#include <sstream>
#include <thread>

#include "base/digest.h"
#include "tests/kernel/jail_capability.h"
#include "tests/unit/replica/swift_files.h"

namespace zvm::host::testing {

namespace fs = std::filesystem;

namespace {

constexpr uint32_t kHostUid = 64321;           // a number that no account has
constexpr uint32_t kJailUids = 1'987'000'000;  // of the first rig; each has its own range
constexpr uint32_t kUidCount = 64;
constexpr const char* kTime = "1795352857.15555";
// The lab ring has d1 and d2 at this address.
constexpr const char* kObjectServer = "10.1.1.1:6201";

std::string slurp(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

bool wait_until(const std::function<bool()>& holds) {
  for (int waited = 0; waited < kPatienceMs; waited += 10) {
    if (holds()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return holds();
}

size_t count_mounts() {
  const std::string text = slurp("/proc/self/mountinfo");
  return static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
}

uint16_t free_port() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  EXPECT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&address), length), 0);
  EXPECT_EQ(::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length), 0);
  ::close(fd);
  return ntohs(address.sin_port);
}

bool answers(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const bool ok = ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  ::close(fd);
  return ok;
}

pid_t spawn(
    const fs::path& program, const fs::path& config, const fs::path& log, std::optional<uid_t> as) {
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid != 0) return pid;
  const int out = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  ::dup2(out, 1);
  ::dup2(out, 2);
  if (as && (::setgroups(0, nullptr) != 0 || ::setgid(*as) != 0 || ::setuid(*as) != 0))
    ::_exit(126);
  // After the change of user, which takes it back.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(1);
  ::execl(program.c_str(), program.c_str(), "--config", config.c_str(), nullptr);
  ::_exit(127);
}

bool has_ended(pid_t pid) {
  siginfo_t info{};
  return ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
         info.si_pid == pid;
}

void kill_and_reap(pid_t& pid) {
  if (pid <= 0) return;
  ::kill(pid, SIGKILL);
  ::waitpid(pid, nullptr, 0);
  pid = -1;
}

}  // namespace

std::string missing_capability() {
  return zvm::testing::missing_for_jails();
}

NodeRig::NodeRig(const Settings& settings) : key_(32, 'k'), port_(free_port()) {
  static uint32_t rigs = 0;
  uid_first_ = kJailUids + rigs++ * kUidCount;
  mounts_before_ = count_mounts();
  const auto top = testing_folder();
  if (!top) {
    ADD_FAILURE() << "no folder that holds user xattrs";
    return;
  }
  top_ = *top;
  write_files(settings);
  start_broker();
  start_host();
}

NodeRig::~NodeRig() {
  kill_and_reap(host_);
  kill_and_reap(broker_);
  EXPECT_TRUE(wait_no_jailed_processes()) << jailed_processes() << " jailed processes are left";
  EXPECT_EQ(count_mounts(), mounts_before_) << "mounts are left";
  if (::testing::Test::HasFailure()) std::fprintf(stderr, "%s", host_log().c_str());
  if (!top_.empty()) fs::remove_all(top_);
}

void NodeRig::write_files(const Settings& settings) {
  ::chmod(top_.c_str(), 0755);
  for (const char* name : {"bin", "swift", "devices", "devices/d1", "devices/d1/zvm", "scratch"}) {
    fs::create_directory(top_ / name);
    ::chmod((top_ / name).c_str(), 0755);
  }
  for (const char* name : {"devices/d1/zvm", "scratch"})
    EXPECT_EQ(::chown((top_ / name).c_str(), kHostUid, kHostUid), 0);
  // A build folder may be where another user can not enter.
  fs::copy_file(ZVM_HOSTD, top_ / "bin/zvm-hostd");
  fs::copy_file(ZVM_BROKER, top_ / "bin/zvm-broker");
  fs::copy_file(ZVM_LOADER, top_ / "bin/zvm-loader");
  fs::copy_file(RING_DATA "/lab.ring.gz", top_ / "swift/object.ring.gz");
  const std::string conf =
      "[swift-hash]\nswift_hash_path_suffix = endcap\n[storage-policy:0]\nname = a\n"
      "default = yes\n";
  std::ofstream(top_ / "swift/swift.conf") << conf;
  conf_ = *SwiftConf::parse(conf);

  const fs::path key = top_ / "cluster.key";
  std::ofstream(key) << to_hex({reinterpret_cast<const uint8_t*>(key_.data()), key_.size()})
                     << "\n";
  EXPECT_EQ(::chown(key.c_str(), kHostUid, kHostUid), 0);
  ::chmod(key.c_str(), 0600);

  std::ofstream toml(top_ / "node.toml");
  toml << "[host]\nid = \"node1\"\nlisten = \"127.0.0.1:" << port_ << "\"\nkey_file = " << key
       << "\ndevices = " << top_ / "devices"
       << "\nswift_dir = " << top_ / "swift"
       << "\nswift_conf = " << top_ / "swift/swift.conf"
       << "\nobject_address = \"" << kObjectServer << "\"\nbroker_socket = " << top_ / "broker.sock"
       << "\nscratch = " << top_ / "scratch"
       << "\nmax_sessions = " << settings.max_sessions << "\nlease = \"" << settings.lease
       << "\"\n[limits]\n";
  for (const auto& [name, value] : settings.limits) toml << name << " = " << value << "\n";
  toml << "[broker]\nsocket = " << top_ / "broker.sock"
       << "\nuser = \"" << kHostUid << "\"\ndevices = " << top_ / "devices"
       << "\nloader = " << top_ / "bin/zvm-loader"
       << "\nuid_first = " << uid_first_ << "\nuid_count = " << kUidCount << "\nmax_jails = 32\n";
}

protocol::ObjectVersion NodeRig::version(const std::string& name, const std::string& content) {
  return {"AUTH_test", "c", name, 0, kTime, md5_hex(content), content.size(), "text/plain"};
}

fs::path NodeRig::put(const protocol::ObjectVersion& v, const std::string& content,
    const std::map<std::string, std::string>& more) {
  Metadata m = {{"name", v.path()}, {"X-Timestamp", v.timestamp},
      {"Content-Length", std::to_string(content.size())}, {"ETag", md5_hex(content)},
      {"Content-Type", v.content_type}};
  for (const auto& [key, value] : more) m[key] = value;
  const std::string hash = hash_path(conf_, v.account, v.container, v.object);
  const auto ring = Ring::load(top_ / "swift/object.ring.gz");
  const fs::path dir = top_ / "devices" / kDevice / "objects" /
                       std::to_string(ring->partition_of(hash)) / hash.substr(29) / hash;
  fs::create_directories(dir);
  write_swift_file(dir / (v.timestamp + ".data"), content, m);
  return dir / (v.timestamp + ".data");
}

// --- processes ----------------------------------------------------------------------------------

void NodeRig::start_broker() {
  broker_ = spawn(top_ / "bin/zvm-broker", top_ / "node.toml", top_ / "broker.log", std::nullopt);
  const bool up =
      wait_until([&] { return fs::exists(top_ / "broker.sock") || has_ended(broker_); });
  EXPECT_TRUE(up && !has_ended(broker_)) << slurp(top_ / "broker.log");
}

void NodeRig::start_host() {
  host_ = spawn(top_ / "bin/zvm-hostd", top_ / "node.toml", top_ / "host.log", kHostUid);
  wait_until([&] { return answers(port_) || has_ended(host_); });
  EXPECT_FALSE(has_ended(host_)) << host_log();
}

void NodeRig::kill_broker() {
  kill_and_reap(broker_);
  fs::remove(top_ / "broker.sock");
}

void NodeRig::kill_host() {
  kill_and_reap(host_);
}

int NodeRig::stop_host() {
  ::kill(host_, SIGTERM);
  EXPECT_TRUE(wait_until([&] { return has_ended(host_); })) << "does not stop:\n" << host_log();
  int status = 0;
  ::kill(host_, SIGKILL);
  ::waitpid(host_, &status, 0);
  host_ = -1;
  return status;
}

size_t NodeRig::jailed_processes() const {
  size_t count = 0;
  for (const auto& entry : fs::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != name.npos) continue;
    // The status file tells the uid of processes that are not dumpable too.
    std::istringstream status(slurp(entry.path() / "status"));
    for (std::string line; std::getline(status, line);) {
      if (line.rfind("Uid:", 0) != 0) continue;
      const auto uid = std::stoul(line.substr(4));
      if (uid >= uid_first_ && uid < uid_first_ + kUidCount) ++count;
    }
  }
  return count;
}

bool NodeRig::wait_no_jailed_processes() const {
  return wait_until([this] { return jailed_processes() == 0; });
}

std::string NodeRig::host_log() const {
  return slurp(top_ / "host.log");
}

bool NodeRig::wait_log(const std::string& text) const {
  return wait_until([&] { return host_log().find(text) != std::string::npos; });
}

}  // namespace zvm::host::testing
