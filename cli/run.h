// zvm run: posts a job, streams its output, tells how it went.
#pragma once
#include <string>

namespace zvm::cli {

struct RunOptions {
  std::string file;  // "-" = standard input
  std::string url;   // storage URL: http://host/v1/account
  std::string token;
  std::string auth, user, key;  // auth v1, where there is no token
  std::string unix_socket;
  std::string object;        // container/object the script runs on
  std::string content_type;  // "" = by the file's first bytes
  double timeout = 0;        // seconds; 0 = none
  bool report = false;       // the whole report instead of a line per node
  bool quiet = false;
};

// The program's exit code, or one of ExitCode.
int run(const RunOptions& options);

}  // namespace zvm::cli
