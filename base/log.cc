#include "base/log.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <span>
#include <vector>

#include "base/sys/fd.h"

namespace zvm {

namespace {

constexpr size_t kMaxValue = 1024;

std::atomic<Level> most_verbose_level{Level::kInfo};

struct Program {
  std::mutex mutex;
  std::string name = "zvm";  // guarded by mutex
};

Program& program() {
  static Program p;
  return p;
}

std::string program_name() {
  const std::lock_guard lock(program().mutex);
  return program().name;
}

const char* level_text(Level level) {
  switch (level) {
    case Level::kError:
      return "error";
    case Level::kWarning:
      return "warning";
    case Level::kNotice:
      return "notice";
    case Level::kInfo:
      return "info";
    case Level::kDebug:
      return "debug";
  }
  return "?";
}

// SECURITY: values come from clients and jobs. Escaped, they can neither begin a line (or a journal
// field) of their own nor speak to a terminal.
void append_escaped(std::string& out, std::string_view value, bool quotes) {
  constexpr char kDigits[] = "0123456789abcdef";
  const bool cut = value.size() > kMaxValue;
  for (const char c : value.substr(0, kMaxValue)) {
    const auto b = static_cast<unsigned char>(c);
    if (c == '\n') {
      out += "\\n";
    } else if (b < 0x20 || b == 0x7f) {
      out += "\\x";
      out += kDigits[b >> 4];
      out += kDigits[b & 15];
    } else {
      if (c == '\\' || (quotes && c == '"')) out += '\\';
      out += c;
    }
  }
  if (cut) out += "...";
}

std::string text_line(Level level, std::string_view message, std::span<const Field> fields) {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  tm utc{};
  ::gmtime_r(&now.tv_sec, &utc);
  char stamp[64];
  const size_t n = ::strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);
  std::snprintf(stamp + n, sizeof stamp - n, ".%03ldZ ", now.tv_nsec / 1'000'000);
  std::string line = stamp;
  line.append(program_name()).append(" ").append(level_text(level)).append(": ");
  append_escaped(line, message, false);
  for (const Field& f : fields) {
    line.append(" ").append(f.name).append("=\"");
    append_escaped(line, f.value, true);
    line += '"';
  }
  return line += '\n';
}

// One entry of the journal's native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL). No value has a
// line feed, so the plain form "NAME=value\n" is enough.
std::string journal_entry(Level level, std::string_view message, std::span<const Field> fields) {
  std::string entry = "PRIORITY=" + std::to_string(static_cast<int>(level));
  entry.append("\nSYSLOG_IDENTIFIER=").append(program_name()).append("\nMESSAGE=");
  append_escaped(entry, message, false);
  for (const Field& f : fields) {
    entry.append("\n").append(f.name).append("=");
    append_escaped(entry, f.value, false);
  }
  return entry += '\n';
}

// The journal's socket when stderr is connected to the journal (systemd.exec(5), JOURNAL_STREAM).
UniqueFd connect_journal() {
  const char* stream = std::getenv("JOURNAL_STREAM");
  unsigned long long device = 0, inode = 0;

  struct stat st {};

  if (stream == nullptr || std::sscanf(stream, "%llu:%llu", &device, &inode) != 2 ||
      ::fstat(STDERR_FILENO, &st) != 0 || st.st_dev != device || st.st_ino != inode)
    return UniqueFd();
  UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const sockaddr_un address{AF_UNIX, "/run/systemd/journal/socket"};
  if (fd && ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return UniqueFd();
  return fd;
}

void write_line(Level level, std::string_view message, std::span<const Field> fields) {
  if (level > most_verbose_level.load(std::memory_order_relaxed)) return;
  const int saved_errno = errno;
  static const UniqueFd journal = connect_journal();
  bool told = false;
  if (journal) {
    const std::string entry = journal_entry(level, message, fields);
    // A full journal may not stop a daemon: the line goes to stderr instead.
    told = ::send(journal.get(), entry.data(), entry.size(), MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
  }
  if (!told) {
    const std::string line = text_line(level, message, fields);
    // One write, so that lines of several threads and processes do not mix.
    [[maybe_unused]] const ssize_t n = ::write(STDERR_FILENO, line.data(), line.size());
  }
  errno = saved_errno;
}

}  // namespace

void log_setup(std::string_view name, Level most_verbose) {
  const std::lock_guard lock(program().mutex);
  program().name = std::string(name);
  most_verbose_level = most_verbose;
}

void log(Level level, std::string_view message, std::initializer_list<Field> fields) {
  write_line(level, message, {fields.begin(), fields.size()});
}

void log_error(std::string_view message, const Error& error, std::initializer_list<Field> fields) {
  std::vector<Field> all(fields);
  all.push_back({"KIND", to_string(error.kind())});
  all.push_back({"ORIGIN", to_string(error.origin())});
  all.push_back({"ERROR", error.what()});
  if (error.sys_errno() != 0) all.push_back({"ERRNO", std::to_string(error.sys_errno())});
  write_line(Level::kError, message, all);
}

}  // namespace zvm
