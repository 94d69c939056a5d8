// Structured log lines of programs: a fixed message and fields. Library code returns errors and
// never logs. To the journal's native protocol when stderr is connected to it (JOURNAL_STREAM),
// else one line of text to stderr. Values from outside are quoted, their control characters
// escaped, and cut at 1 KiB. Thread-safe.
#pragma once
#include <initializer_list>
#include <string>
#include <string_view>

#include "base/error.h"

namespace zvm {

enum class Level : uint8_t { kError = 3, kWarning = 4, kNotice = 5, kInfo = 6, kDebug = 7 };

struct Field {
  std::string_view name;  // upper case: JOB_ID
  std::string value;
};

// The program's name in each line, and the least important level that is written.
void log_setup(std::string_view program, Level most_verbose);
void log(Level level, std::string_view message, std::initializer_list<Field> fields = {});
// Adds KIND, ORIGIN, ERROR (and ERRNO).
void log_error(
    std::string_view message, const Error& error, std::initializer_list<Field> fields = {});

}  // namespace zvm
