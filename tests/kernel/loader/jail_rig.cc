#include "tests/kernel/loader/jail_rig.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

#include "tests/kernel/jail_capability.h"

namespace zvm::loader::testing {

namespace {

bool readable(FdRef fd) {
  pollfd p{fd.fd, POLLIN, 0};
  int n;
  do {
    n = ::poll(&p, 1, kPatienceMs);
  } while (n < 0 && errno == EINTR);
  return n == 1;
}

UniqueFd connect_to(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  UniqueFd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) < 0) fd.reset();
  return fd;
}

// Made once per file: a host daemon has received the program before it starts it.
FdRef program_memfd(const std::string& path) {
  static std::map<std::string, UniqueFd> made;
  auto& fd = made[path];
  if (!fd) fd = sealed_memfd(read_file(path));
  return fd;
}

}  // namespace

std::string missing_capability() {
  return zvm::testing::missing_for_jails();
}

TestBroker::TestBroker() {
  char name[] = "/tmp/zvm-broker-XXXXXX";
  folder_ = ::mkdtemp(name);
  socket_ = folder_ + "/broker.sock";
  devices_ = folder_ + "/devices";
  std::filesystem::create_directory(devices_);
  const std::string config = folder_ + "/host.toml";
  std::ofstream(config) << "[host]\nid = \"x\"\n[broker]\nsocket = \"" << socket_
                        << "\"\nuser = \"0\"\ndevices = \"" << devices_
                        << "\"\nuid_count = 64\nmax_jails = 16\n";
  const pid_t parent = ::getpid();
  pid_ = ::fork();
  if (pid_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(1);
    ::execl(ZVM_BROKER, "zvm-broker", "--config", config.c_str(), nullptr);
    ::_exit(127);
  }
  for (int waited = 0; waited < kPatienceMs; waited += 10) {
    if (connect_to(socket_)) return;
    if (::waitpid(pid_, nullptr, WNOHANG) == pid_) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  ADD_FAILURE() << "the broker did not come up";
}

TestBroker::~TestBroker() {
  kill_now();
  std::filesystem::remove_all(folder_);
}

void TestBroker::kill_now() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

Client::Client(const std::string& socket_path, bool greet) : socket_(connect_to(socket_path)) {
  if (!greet) return;
  const auto answer = call(wire::make_request<wire::HelloRequest>(1));
  EXPECT_TRUE(answer && answer->reply.error == 0);
}

std::optional<Answer> Client::call(const void* request, size_t size, const std::vector<int>& fds) {
  if (send_packet(socket_, request, size, fds.data(), fds.size()) < 0) return std::nullopt;
  if (!readable(socket_)) {
    ADD_FAILURE() << "the broker does not answer";
    return std::nullopt;
  }
  ScmReceive in;
  if (receive_packet(socket_, &in) < 0) return std::nullopt;
  Answer a;
  EXPECT_TRUE(wire::parse_reply(in.packet, in.size, in.fd_count, &a.reply));
  for (size_t i = 0; i < in.fd_count; ++i) a.fds.push_back(std::move(in.fds[i]));
  return a;
}

wire::Limits JailSpec::default_limits() {
  wire::Limits l{};
  l.memory = 512u << 20;
  l.stack = 8u << 20;
  l.tmp_bytes = 16u << 20;
  l.tmp_inodes = 1024;
  l.cpu_seconds = 60;
  l.open_files = 256;
  l.file_bytes = uint64_t{1} << 30;
  l.processes = 64;
  return l;
}

Jail::Jail(Client& client, JailSpec spec) : client_(client), spec_(std::move(spec)) {
  static std::atomic<uint64_t> next{1};
  session_ = next++;
  auto request = wire::make_request<wire::MountFuseRequest>(2);
  request.session = session_;
  auto answer = client_.call(request);
  if (!answer || answer->reply.error != 0 || answer->fds.size() != 1) {
    ADD_FAILURE() << "MOUNT_FUSE: " << (answer ? answer->reply.text : "no answer");
    return;
  }
  uid_ = static_cast<uint32_t>(answer->reply.value);
  if (spec_.input) spec_.files["stdin"] = *spec_.input;
  files_ = std::make_unique<FuseFiles>(std::move(answer->fds[0]), uid_, spec_.files, spec_.absent);
}

Jail::~Jail() {
  if (client_.socket().fd >= 0 && !killed_ && uid_ != 0) {
    const auto reply = kill();
    EXPECT_EQ(reply.error, 0) << reply.text;
  }
}

wire::Reply Jail::start() {
  const UniqueFd args = sealed_memfd(
      spec_.raw_args.empty() ? encode_args(spec_.path, spec_.argv, spec_.env) : spec_.raw_args);
  int status[2], leash[2];
  EXPECT_EQ(::pipe2(status, O_CLOEXEC), 0);
  EXPECT_EQ(::pipe2(leash, O_CLOEXEC), 0);
  status_.reset(status[0]);
  leash_.reset(leash[1]);
  const UniqueFd status_end(status[1]), leash_end(leash[0]);
  auto request = wire::make_request<wire::StartRequest>(3);
  request.session = session_;
  request.limits = spec_.limits;
  request.policy = spec_.policy;
  if (spec_.input) request.flags |= wire::kStdinIsChannel;
  wire::set_image(&request, "host", 4);
  std::vector<int> fds{args.get(), status_end.get(), leash_end.get()};
  if (!spec_.program_file.empty()) {
    request.flags |= wire::kProgramInFd;
    fds.push_back(program_memfd(spec_.program_file).fd);
  }
  auto answer = client_.call(request, fds);
  if (!answer) return {};
  if (answer->reply.error == 0) pid1_ = std::move(answer->fds.at(0));
  return answer->reply;
}

std::optional<wire::Report> Jail::wait() {
  if (!readable(status_)) {
    ADD_FAILURE() << "no report in time";
    return std::nullopt;
  }
  char bytes[wire::kMaxReportBytes];
  const ssize_t n = ::read(status_.get(), bytes, sizeof bytes);
  wire::Report report;
  if (n <= 0 || !wire::parse_report(bytes, static_cast<size_t>(n), &report)) return std::nullopt;
  // "exactly once"
  EXPECT_TRUE(readable(status_));
  EXPECT_EQ(::read(status_.get(), bytes, sizeof bytes), 0);
  return report;
}

bool Jail::wait_gone() const {
  return readable(pid1_);
}

wire::Reply Jail::kill() {
  killed_ = true;
  auto request = wire::make_request<wire::KillRequest>(4);
  request.session = session_;
  const auto answer = client_.call(request);
  return answer ? answer->reply : wire::Reply{};
}

bool Jail::wait_output(const std::string& text) const {
  for (int waited = 0; waited < kPatienceMs; waited += 5) {
    if (files_->content("stdout").find(text) != std::string::npos) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return false;
}

std::string Outcome::text() const {
  if (start.error != 0) return "refused " + std::to_string(start.error) + " " + start.text;
  if (!report) return "no report";
  const std::string detail = std::to_string(report->detail);
  switch (report->end) {
    case wire::End::kExited:
      return "exit " + detail;
    case wire::End::kSignalled:
      return "signal " + detail;
    case wire::End::kNotStarted:
      return std::string("not started: ") + step_name(report->step) + " " + detail;
  }
  return "?";
}

Outcome run(Client& client, JailSpec spec) {
  Outcome outcome;
  Jail jail(client, std::move(spec));
  outcome.start = jail.start();
  if (outcome.start.error != 0) return outcome;
  outcome.report = jail.wait();
  EXPECT_TRUE(jail.wait_gone());
  outcome.out = jail.files().content("stdout");
  outcome.err = jail.files().content("stderr");
  return outcome;
}

UniqueFd sealed_memfd(const std::string& content) {
  UniqueFd fd(::memfd_create("zvm", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  size_t done = 0;
  while (done < content.size()) {
    const ssize_t n = ::write(fd.get(), content.data() + done, content.size() - done);
    if (n <= 0) break;
    done += static_cast<size_t>(n);
  }
  ::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE);
  return fd;
}

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace zvm::loader::testing
