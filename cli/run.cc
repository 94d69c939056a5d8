#include "cli/run.h"

#include <cerrno>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>

#include "base/uri.h"
#include "cli/http_client.h"
#include "cli/job_answer.h"

namespace zvm::cli {

namespace {

// More than the bridge takes; it tells the limit itself.
constexpr std::streamsize kMaxJob = 4 << 20;

int complain(int code, const std::string& what) {
  std::fprintf(stderr, "zvm: %s\n", for_terminal(what).c_str());
  return code;
}

Result<std::string> read_job(const std::string& file) {
  std::string bytes(kMaxJob + 1, '\0');
  const auto take = [&bytes](std::istream& in) {
    in.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    bytes.resize(static_cast<size_t>(in.gcount()));
    return in.eof() && !in.bad();
  };
  bool whole = false;
  if (file == "-") {
    whole = take(std::cin);
  } else {
    std::ifstream in(file, std::ios::binary);
    if (!in) return fail_errno("opening " + file, errno);
    whole = take(in);
  }
  if (!whole)
    return fail(Origin::kClient, Kind::kInvalid, file + " is too long, or cannot be read");
  return bytes;
}

Result<Storage> storage_of(const RunOptions& o) {
  Storage storage{o.url, o.token};
  if (storage.token.empty() && !o.auth.empty()) {
    ZVM_TRY(const Storage told, authenticate(o.auth, o.user, o.key, o.unix_socket));
    storage.token = told.token;
    if (storage.url.empty()) storage.url = told.url;
  }
  if (storage.url.empty())
    return fail(Origin::kClient, Kind::kInvalid,
        "where to? Give --url and --token, or ST_AUTH, ST_USER and ST_KEY");
  return storage;
}

HttpRequest job_request(const RunOptions& o, const Storage& storage, std::string job) {
  HttpRequest request;
  request.method = "POST";
  request.url = storage.url;
  if (!o.object.empty()) request.url += "/" + percent_encode(o.object);
  request.unix_socket = o.unix_socket;
  request.timeout = std::chrono::milliseconds(std::llround(o.timeout * 1000));
  request.headers = {"X-Zerovm-Execute: 1.0",
      "Content-Type: " + (o.content_type.empty() ? job_content_type(job) : o.content_type)};
  if (!storage.token.empty()) request.headers.push_back("X-Auth-Token: " + storage.token);
  request.body = std::move(job);
  return request;
}

// A program's output goes out as it is; words about a failure go to the terminal's side, cleaned.
bool write_body(const JobAnswer& so_far, std::string_view bytes) {
  if (body_is_output(so_far))
    return std::fwrite(bytes.data(), 1, bytes.size(), stdout) == bytes.size();
  std::string text(bytes);
  for (char& c : text)
    if ((static_cast<unsigned char>(c) < 0x20 && c != '\n') || c == 0x7f) c = '?';
  return std::fwrite(text.data(), 1, text.size(), stderr) == text.size();
}

void tell(const RunOptions& o, const JobAnswer& answer) {
  if (o.quiet) return;
  std::string text = o.report ? pretty_report(answer) : std::string();
  if (text.empty()) text = summary(answer);
  std::fputs(text.c_str(), stderr);
}

}  // namespace

int run(const RunOptions& options) {
  auto job = read_job(options.file);
  if (!job) return complain(kExitUsage, job.error().what());
  if (options.content_type.empty() && job_content_type(*job).empty())
    return complain(
        kExitUsage, options.file + " is neither a JSON job nor a script that begins with #!");
  const auto storage = storage_of(options);
  if (!storage)
    return complain(storage.error().origin() == Origin::kClient ? kExitUsage : kExitNoAnswer,
        storage.error().what());
  const HttpRequest request = job_request(options, *storage, *std::move(job));

  JobAnswer answer;
  const auto done = perform(request, &answer, write_body);
  const bool written = std::fflush(stdout) == 0 && std::ferror(stdout) == 0;
  tell(options, answer);
  if (!written) return complain(kExitNoAnswer, "writing the output failed");
  if (!done && done.error().kind() == Kind::kTimeout)
    return complain(kExitTimeout, "no answer in time: the job is cancelled");
  if (!done) return complain(kExitNoAnswer, done.error().what());
  if (answer.headers.find("X-Zvm-Job") == nullptr && answer.status < 400)
    return complain(
        kExitNoAnswer, "the answer is no job's: is there a bridge at " + storage->url + "?");
  return exit_code(answer);
}

}  // namespace zvm::cli
