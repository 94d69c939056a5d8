#include "base/net.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/stat.h>

#include <filesystem>

#include "tests/unit/base/on_loop.h"

namespace zvm {

namespace {

using test::on_loop;
using test::patient;

// A folder of its own for sockets, gone at the end.
class SocketFolder {
 public:
  SocketFolder() {
    char path[] = "/tmp/zvm-net-test-XXXXXX";
    EXPECT_NE(::mkdtemp(path), nullptr);
    path_ = path;
  }

  ~SocketFolder() { std::filesystem::remove_all(path_); }

  std::string file(const char* name) const { return path_ + "/" + name; }

  Address address(const char* name) const { return *parse_address("unix:" + file(name)); }

 private:
  std::string path_;
};

TEST(Address, NumericFormsAreRead) {
  EXPECT_EQ(parse_address("127.0.0.1:8080")->storage.ss_family, AF_INET);
  EXPECT_EQ(parse_address("[::1]:8080")->storage.ss_family, AF_INET6);
  const auto un = parse_address("unix:/run/x.sock");
  ASSERT_TRUE(un);
  EXPECT_EQ(un->storage.ss_family, AF_UNIX);
  EXPECT_EQ(un->text, "unix:/run/x.sock");
  EXPECT_TRUE(parse_address("0.0.0.0:0"));
  EXPECT_TRUE(parse_address("1.2.3.4:65535"));
}

TEST(Address, EverythingElseIsRefused) {
  for (const char* text : {"", "localhost:80", "1.2.3.4", "1.2.3.4:", "1.2.3.4:65536", "1.2.3.4:-1",
           "1.2.3.4:8x", "::1:80", "[::1]", "[::1:80", "[1.2.3.4]:80", "unix:", "unix:relative",
           "1.2.3:80", ":80"}) {
    const auto address = parse_address(text);
    ASSERT_FALSE(address) << text;
    EXPECT_EQ(address.error().kind(), Kind::kInvalid);
  }
  EXPECT_FALSE(parse_address("unix:/" + std::string(107, 'x')));
  EXPECT_TRUE(parse_address("unix:/" + std::string(106, 'x')));
}

Task<void> talk(Loop& loop, Address address) {
  auto listener = listen_on(address);
  EXPECT_TRUE(listener) << listener.error().what();
  if (!listener) co_return;
  if (address.storage.ss_family == AF_INET) {
    auto bound = parse_address(local_text(*listener));
    EXPECT_TRUE(bound);
    address = *bound;
  }
  auto client = co_await connect_to(loop, address, patient());
  EXPECT_TRUE(client) << client.error().what();
  if (!client) co_return;
  const UniqueFd server(co_await loop.accept(*listener, patient()));
  EXPECT_GE(server.get(), 0);
  EXPECT_EQ(peer_text(server), address.storage.ss_family == AF_UNIX ? "unix" : local_text(*client));
  if (address.storage.ss_family == AF_UNIX) co_return;
  for (const int fd : {client->get(), server.get()}) {
    int no_delay = 0;
    socklen_t length = sizeof no_delay;
    EXPECT_EQ(::getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &no_delay, &length), 0);
    EXPECT_NE(no_delay, 0);
  }
}

TEST(Net, TcpConnectsWithoutDelayOnBothEnds) {
  on_loop(talk, *parse_address("127.0.0.1:0"));
}

TEST(Net, UnixConnects) {
  const SocketFolder folder;
  on_loop(talk, folder.address("s"));
}

TEST(Listen, UnixSocketHasExactlyItsMode) {
  const SocketFolder folder;
  for (const mode_t mode : {0600, 0666}) {
    const auto name = std::to_string(mode);
    const auto listener = listen_on(folder.address(name.c_str()), 8, mode);
    ASSERT_TRUE(listener) << listener.error().what();

    struct stat st {};

    ASSERT_EQ(::stat(folder.file(name.c_str()).c_str(), &st), 0);
    EXPECT_EQ(st.st_mode & 07777, mode);
  }
}

TEST(Listen, StaleUnixSocketIsReplacedAndALiveOneIsNot) {
  const SocketFolder folder;
  const Address address = folder.address("s");
  auto first = listen_on(address);
  ASSERT_TRUE(first);
  const auto second = listen_on(address);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().sys_errno(), EADDRINUSE);
  EXPECT_NE(second.error().what().find(address.text), std::string::npos);
  first->reset();
  EXPECT_TRUE(listen_on(address));
}

TEST(Listen, AFileThatIsNoSocketStays) {
  const SocketFolder folder;
  const UniqueFd file(::open(folder.file("s").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  EXPECT_FALSE(listen_on(folder.address("s")));
  EXPECT_TRUE(std::filesystem::exists(folder.file("s")));
}

Task<void> nobody_there(Loop& loop, Address address) {
  auto client = co_await connect_to(loop, address, patient());
  EXPECT_FALSE(client);
  if (client) co_return;
  EXPECT_EQ(client.error().kind(), Kind::kDisconnected);
  EXPECT_NE(client.error().what().find(address.text), std::string::npos) << client.error().what();
}

TEST(Connect, NobodyThereIsDisconnectedByName) {
  const SocketFolder folder;
  on_loop(nobody_there, folder.address("absent"));
  // Bound and not listening: nobody else can have the port.
  const UniqueFd bound(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const auto any = parse_address("127.0.0.1:0");
  ASSERT_EQ(::bind(bound.get(), reinterpret_cast<const sockaddr*>(&any->storage), any->length), 0);
  on_loop(nobody_there, *parse_address(local_text(bound)));
}

Task<void> stopped(Loop& loop, Address address) {
  Stop stop;
  stop.stop();
  auto client = co_await connect_to(loop, address, patient(), &stop);
  EXPECT_FALSE(client);
  if (client) co_return;
  EXPECT_EQ(client.error().kind(), Kind::kCancelled);
}

TEST(Connect, StopEndsIt) {
  on_loop(stopped, *parse_address("127.0.0.1:1"));
}

}  // namespace

}  // namespace zvm
