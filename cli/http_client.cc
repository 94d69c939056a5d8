#include "cli/http_client.h"

#include <curl/curl.h>

#include <memory>

namespace zvm::cli {

namespace {

constexpr std::chrono::milliseconds kAuthTimeout{30'000};

struct Transfer {
  JobAnswer* answer;
  const BodySink* sink;
};

struct EasyDelete {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};

struct ListDelete {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

using Easy = std::unique_ptr<CURL, EasyDelete>;
using List = std::unique_ptr<curl_slist, ListDelete>;

size_t on_header(char* data, size_t size, size_t count, void* user) {
  take_header_line({data, size * count}, static_cast<Transfer*>(user)->answer);
  return size * count;
}

size_t on_body(char* data, size_t size, size_t count, void* user) {
  auto* transfer = static_cast<Transfer*>(user);
  return (*transfer->sink)(*transfer->answer, {data, size * count}) ? size * count : 0;
}

Error curl_error(CURLcode code, const HttpRequest& request) {
  const Kind kind = code == CURLE_OPERATION_TIMEDOUT ? Kind::kTimeout
                    : code == CURLE_WRITE_ERROR      ? Kind::kCancelled
                                                     : Kind::kDisconnected;
  // "http://host:port", without path and query.
  const size_t scheme = request.url.find("://");
  const size_t path = request.url.find('/', scheme == std::string::npos ? 0 : scheme + 3);
  return Error(Origin::kHost, kind, request.url.substr(0, path) + ": " + curl_easy_strerror(code));
}

void configure(CURL* handle, const HttpRequest& request, curl_slist* headers, Transfer* transfer) {
  curl_easy_setopt(handle, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(handle, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(handle, CURLOPT_NOPROGRESS, 1L);
  curl_easy_setopt(handle, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(handle, CURLOPT_TIMEOUT_MS, static_cast<long>(request.timeout.count()));
  curl_easy_setopt(
      handle, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(request.connect_timeout.count()));
  if (!request.unix_socket.empty())
    curl_easy_setopt(handle, CURLOPT_UNIX_SOCKET_PATH, request.unix_socket.c_str());
  if (request.method == "POST") {
    curl_easy_setopt(handle, CURLOPT_POST, 1L);
    curl_easy_setopt(handle, CURLOPT_POSTFIELDS, request.body.data());
    curl_easy_setopt(
        handle, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
  }
  curl_easy_setopt(handle, CURLOPT_HEADERFUNCTION, on_header);
  curl_easy_setopt(handle, CURLOPT_HEADERDATA, transfer);
  curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(handle, CURLOPT_WRITEDATA, transfer);
}

}  // namespace

Status perform(const HttpRequest& request, JobAnswer* answer, const BodySink& sink) {
  const Easy handle(curl_easy_init());
  if (!handle) return fail(Origin::kHost, Kind::kInternal, "libcurl cannot start");
  List headers;
  for (const std::string& h : request.headers) {
    curl_slist* longer = curl_slist_append(headers.get(), h.c_str());
    if (longer == nullptr) return fail(Origin::kHost, Kind::kInternal, "out of memory");
    (void)headers.release();
    headers.reset(longer);
  }
  Transfer transfer{answer, &sink};
  configure(handle.get(), request, headers.get(), &transfer);
  if (const CURLcode code = curl_easy_perform(handle.get()); code != CURLE_OK)
    return tl::unexpected<Error>(curl_error(code, request));
  return {};
}

Result<Storage> authenticate(const std::string& auth_url, const std::string& user,
    const std::string& key, const std::string& unix_socket) {
  HttpRequest request;
  request.url = auth_url;
  request.unix_socket = unix_socket;
  request.headers = {"X-Auth-User: " + user, "X-Auth-Key: " + key};
  request.timeout = kAuthTimeout;
  JobAnswer answer;
  const BodySink ignore = [](const JobAnswer&, std::string_view) { return true; };
  ZVM_CHECK_OK(perform(request, &answer, ignore));
  Storage storage;
  storage.url = answer.headers.get("X-Storage-Url");
  storage.token = answer.headers.get("X-Auth-Token");
  if (answer.status / 100 != 2 || storage.url.empty() || storage.token.empty())
    return fail(Origin::kSwift, Kind::kDenied,
        "no token for " + user + ": HTTP " + std::to_string(answer.status));
  return storage;
}

}  // namespace zvm::cli
