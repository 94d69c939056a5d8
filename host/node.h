// What all sessions of this storage node share. Made in main.cc, outlives every session.
#pragma once
#include "base/async/loop.h"
#include "host/admission.h"
#include "host/broker_client.h"
#include "host/config.h"
#include "host/devices.h"
#include "host/program.h"

namespace zvm::host {

// The rungs this node stands on, tried at start (probe.h).
struct Rungs {
  bool passthrough = false;
  bool reflink = false;
};

struct Node {
  Loop& loop;
  const Config& config;
  BrokerClient& broker;
  Devices& devices;
  Admission admission;
  ProgramCache programs;
  Rungs rungs;
};

}  // namespace zvm::host
