// The HTTP of this program, by libcurl: blocking, one request at a time.
#pragma once
#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "cli/job_answer.h"

namespace zvm::cli {

struct HttpRequest {
  std::string method = "GET";
  std::string url;
  std::string unix_socket;               // connect there instead of to the URL's host; "" = no
  std::vector<std::string> headers;      // "Name: value"
  std::string body;                      // POST only
  std::chrono::milliseconds timeout{0};  // of the whole; 0 = none
  std::chrono::milliseconds connect_timeout{10'000};
};

// Gets the body as it comes; false ends the transfer.
using BodySink = std::function<bool(const JobAnswer& so_far, std::string_view bytes)>;

// kTimeout, or kDisconnected with curl's words; then *answer holds what had come. SECURITY: errors
// name the URL's host, never a header.
Status perform(const HttpRequest& request, JobAnswer* answer, const BodySink& sink);

struct Storage {
  std::string url;  // http://host:port/v1/AUTH_account
  std::string token;
};

// Swift's auth v1: X-Auth-User and X-Auth-Key for X-Storage-Url and X-Auth-Token.
Result<Storage> authenticate(const std::string& auth_url, const std::string& user,
    const std::string& key, const std::string& unix_socket);

}  // namespace zvm::cli
