// What an answer to a job means for somebody at a terminal: pure, from status and headers.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/http/message.h"

namespace zvm::cli {

// Exit codes of `zvm run` besides the program's own.
enum ExitCode : uint8_t {
  kExitUsage = 120,     // wrong command line, unreadable file
  kExitNoAnswer = 121,  // no connection, no token, answer cut short
  kExitRefused = 122,   // refused before anything ran (4xx, 501)
  kExitService = 123,   // the service or Swift failed (5xx)
  kExitTimeout = 124,   // the job's limit of time, or --timeout
  kExitEnded = 125,     // the program was ended by another limit, or the job was cancelled
  kExitSignal = 128,    // + the signal that killed the program
};

struct JobAnswer {
  unsigned status = 0;  // of HTTP; 0: none came
  http::Headers headers;
};

// The program's exit code if it ended by itself, else one of ExitCode.
int exit_code(const JobAnswer& answer);

// False: the body tells what went wrong and is not the program's output.
bool body_is_output(const JobAnswer& answer);

// A line per node for people: how it ended, where it ran, how long. From X-Zvm-Report, else from
// the X-Nexe-* lists.
std::string summary(const JobAnswer& answer);

// X-Zvm-Report with line breaks, or "" when there is none.
std::string pretty_report(const JobAnswer& answer);

// The Content-Type a job file is posted with: by its first bytes. "" = neither JSON nor script.
std::string job_content_type(std::string_view bytes);

// One line of a head as it comes from the wire. A status line starts over: what came before it was
// an interim answer.
void take_header_line(std::string_view line, JobAnswer* into);

// A control character from the other side must not reach the terminal.
std::string for_terminal(std::string_view text);

}  // namespace zvm::cli
