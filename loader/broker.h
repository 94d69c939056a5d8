// The broker: makes FUSE mounts, passthrough registrations and jails for zvm-hostd, and nothing
// else.
//
// One thread, one epoll set, no queue: a request is answered before the next packet is read, but
// for KILL, which is answered when the jail's pid 1 is gone. A peer that does not read its answers
// is disconnected. What the broker owns of a session: its uid, its mount until START, the pidfd of
// its pid 1. When a connection ends, for whatever reason, its sessions are killed.
#pragma once
#include <sys/types.h>

#include <string>

#include "base/error.h"
#include "base/sys/fd.h"
#include "loader/broker_config.h"

namespace zvm::loader {

struct BrokerOptions {
  BrokerConfig config;
  std::string loader;  // path of zvm-loader, as found
  uid_t peer = 0;      // who may speak
};

// listener: a listening, non-blocking SOCK_SEQPACKET socket. stop: a descriptor that becomes
// readable when the broker shall end. Returns then; every jail is killed.
Status run_broker(BrokerOptions options, UniqueFd listener, UniqueFd stop);

}  // namespace zvm::loader
