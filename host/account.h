// The report of a node: how it ended, what it used, what its channels carried.
#pragma once
#include <chrono>
#include <optional>
#include <string>

#include "base/async/loop.h"
#include "base/error.h"
#include "fuse_channels/session.h"
#include "host/jail.h"
#include "host/protocol/description.h"
#include "host/stage.h"

namespace zvm::host {

// By what pid 1 reported: exit, signal, CPU limit, a step that failed, or a jail that was lost.
protocol::NodeReport describe_end(const JailEnd& end, std::chrono::milliseconds cpu_limit);

// Fills in one ChannelReport per channel of the description. files: null when none were served.
void report_channels(protocol::NodeReport& report, const protocol::Description& description,
    const Staged& staged, const fuse_channels::Session* files);

// An input that was lost on the way makes whatever the program made of it worthless.
void judge_channels(protocol::NodeReport& report, const std::optional<std::string>& lost_input);

// MD5 and SHA-256 of every output that is kept, computed on the pool.
Task<Status> report_digests(Loop& loop, protocol::NodeReport& report,
    const protocol::Description& description, const fuse_channels::Session& files);

}  // namespace zvm::host
