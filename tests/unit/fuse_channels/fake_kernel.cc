#include "tests/unit/fuse_channels/fake_kernel.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

namespace zvm::fuse_channels::test {

std::string message(uint32_t opcode, uint64_t unique, uint64_t nodeid, std::string_view body) {
  fuse_in_header header{};
  header.len = static_cast<uint32_t>(sizeof header + body.size());
  header.opcode = opcode;
  header.unique = unique;
  header.nodeid = nodeid;
  return raw(header).append(body);
}

FakeKernel::Ends FakeKernel::make_ends() {
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) std::abort();
  if (::fcntl(pair[1], F_SETFL, O_NONBLOCK) != 0) std::abort();
  return {UniqueFd(pair[0]), UniqueFd(pair[1])};
}

FakeKernel::FakeKernel(
    Ends pair, Options options, std::vector<ChannelSpec> channels, Backing* backing)
    : SessionThread(std::move(pair.session), options, std::move(channels), backing),
      socket_(std::move(pair.kernel)) {}

FakeKernel::FakeKernel(Options options, std::vector<ChannelSpec> channels, Backing* backing)
    : FakeKernel(make_ends(), options, std::move(channels), backing) {}

FakeKernel::~FakeKernel() {
  close_session();
}

void FakeKernel::send_raw(std::string_view bytes) {
  EXPECT_EQ(::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL),
      static_cast<ssize_t>(bytes.size()));
}

uint64_t FakeKernel::send(uint32_t opcode, uint64_t nodeid, std::string_view body) {
  last_unique_ += 2;  // odd ones are the kernel's interrupts
  send_raw(message(opcode, last_unique_, nodeid, body));
  return last_unique_;
}

Reply FakeKernel::receive() {
  pollfd ready{socket_.get(), POLLIN, 0};
  Reply reply;
  if (::poll(&ready, 1, 30'000) != 1) {
    ADD_FAILURE() << "no reply";
    return reply;
  }
  std::string bytes(256 << 10, '\0');
  const ssize_t n = ::recv(socket_.get(), bytes.data(), bytes.size(), 0);
  fuse_out_header header{};
  if (n < static_cast<ssize_t>(sizeof header)) {
    ADD_FAILURE() << "a reply of " << n << " bytes";
    return reply;
  }
  std::memcpy(&header, bytes.data(), sizeof header);
  EXPECT_EQ(header.len, n);
  EXPECT_LE(header.error, 0);
  reply.unique = header.unique;
  reply.error = -header.error;
  reply.body = bytes.substr(sizeof header, static_cast<size_t>(n) - sizeof header);
  return reply;
}

Reply FakeKernel::call(uint32_t opcode, uint64_t nodeid, std::string_view body) {
  const uint64_t unique = send(opcode, nodeid, body);
  Reply reply = receive();
  EXPECT_EQ(reply.unique, unique);
  return reply;
}

std::vector<Reply> FakeKernel::settle() {
  const uint64_t last = send(FUSE_STATFS, FUSE_ROOT_ID, "");
  std::vector<Reply> others;
  for (;;) {
    Reply reply = receive();
    if (reply.unique == last || testing::Test::HasFailure()) return others;
    others.push_back(std::move(reply));
  }
}

Reply FakeKernel::init(uint64_t offered, uint32_t minor) {
  fuse_init_in in{};
  in.major = 7;
  in.minor = minor;
  in.max_readahead = 128 << 10;
  in.flags = static_cast<uint32_t>(offered) | FUSE_INIT_EXT | FUSE_MAX_PAGES | FUSE_ATOMIC_O_TRUNC;
  in.flags2 = static_cast<uint32_t>(offered >> 32);
  return call(FUSE_INIT, 0, raw(in));
}

uint64_t FakeKernel::lookup(std::string_view name) {
  const Reply reply = call(FUSE_LOOKUP, FUSE_ROOT_ID, name_of(name));
  EXPECT_EQ(reply.error, 0);
  return reply.as<fuse_entry_out>().nodeid;
}

Reply FakeKernel::open(uint64_t nodeid, uint32_t flags) {
  fuse_open_in in{};
  in.flags = flags;
  return call(FUSE_OPEN, nodeid, raw(in));
}

Reply FakeKernel::read(uint64_t nodeid, uint64_t off, uint32_t size) {
  fuse_read_in in{};
  in.offset = off;
  in.size = size;
  return call(FUSE_READ, nodeid, raw(in));
}

Reply FakeKernel::write(uint64_t nodeid, uint64_t off, std::string_view data) {
  fuse_write_in in{};
  in.offset = off;
  in.size = static_cast<uint32_t>(data.size());
  return call(FUSE_WRITE, nodeid, raw(in).append(data));
}

Reply FakeKernel::release(uint64_t nodeid) {
  return call(FUSE_RELEASE, nodeid, raw(fuse_release_in{}));
}

void FakeKernel::interrupt(uint64_t unique) {
  fuse_interrupt_in in{};
  in.unique = unique;
  send_raw(message(FUSE_INTERRUPT, unique | 1, 0, raw(in)));
}

void FakeKernel::hang_up() {
  socket_.reset();
}

}  // namespace zvm::fuse_channels::test
