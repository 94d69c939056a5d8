#include "cli/job_answer.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/json.h"

namespace zvm::cli {

namespace {

constexpr size_t kMaxReport = size_t{64} << 10;
constexpr size_t kMaxHeaders = 1000;

std::optional<Json> report_of(const JobAnswer& answer) {
  const std::string* text = answer.headers.find("X-Zvm-Report");
  if (text == nullptr) return std::nullopt;
  auto json = parse_json(*text, {.bytes = kMaxReport});
  if (!json || !json->is_object()) return std::nullopt;
  return *std::move(json);
}

std::string_view first_of_list(std::string_view list) {
  return list.substr(0, list.find(','));
}

std::optional<int> number(std::string_view text) {
  int value = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (ec != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// The member as text for people; absent and null are "".
std::string text_at(const Json& object, const char* key) {
  const auto it = object.find(key);
  if (it == object.end() || it->is_null()) return {};
  return it->is_string() ? it->get<std::string>() : dump_json(*it);
}

double number_at(const Json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && it->is_number() ? it->get<double>() : 0;
}

std::string size_for_people(double bytes) {
  constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  size_t unit = 0;
  while (bytes >= 1024 && unit + 1 < std::size(kUnits)) {
    bytes /= 1024;
    ++unit;
  }
  return unit == 0 ? fmt::format("{:.0f} B", bytes) : fmt::format("{:.1f} {}", bytes, kUnits[unit]);
}

std::string node_line(const Json& node) {
  std::string line = text_at(node, "name") + ": " + text_at(node, "status");
  if (const std::string code = text_at(node, "exit_code"); !code.empty()) line += ", exit " + code;
  if (const std::string host = text_at(node, "host"); !host.empty()) line += ", on " + host;
  if (const std::string device = text_at(node, "device"); !device.empty()) line += "/" + device;
  const std::string locality = text_at(node, "locality"), reason = text_at(node, "reason");
  if (!locality.empty() && locality != "none")
    line += " (" + locality + (reason.empty() ? "" : ": " + reason) + ")";
  line += fmt::format(", {:.3f} s, cpu {:.3f} s", number_at(node, "wall"),
      number_at(node, "cpu_user") + number_at(node, "cpu_system"));
  if (const double peak = number_at(node, "memory_peak"); peak > 0)
    line += ", memory " + size_for_people(peak);
  return line;
}

// Without a report: the first values of the lists are the first node.
std::string header_line(const http::Headers& headers) {
  const std::string_view name = headers.get("X-Nexe-System");
  if (name.empty()) return {};
  const std::string_view status = first_of_list(headers.get("X-Nexe-Status"));
  std::string line = fmt::format("{}: {}", first_of_list(name), status);
  if (status == "ok")
    line += fmt::format(", exit {}", first_of_list(headers.get("X-Nexe-Retcode")));
  return line;
}

}  // namespace

int exit_code(const JobAnswer& answer) {
  if (answer.status == 0) return kExitNoAnswer;
  const std::string_view status = first_of_list(answer.headers.get("X-Nexe-Status"));
  constexpr std::string_view kSignal = "signal ";
  if (status.substr(0, kSignal.size()) == kSignal) {
    const auto signal = number(status.substr(kSignal.size()));
    return kExitSignal + (signal && *signal > 0 && *signal < 65 ? *signal : 0);
  }
  if (status == "session timeout") return kExitTimeout;
  for (const std::string_view ended : {"cpu limit", "out of memory", "output limit", "cancelled"})
    if (status == ended) return kExitEnded;
  // An error status beside "ok" is the program's own if its output is the body; else an output of
  // it was not stored.
  if (status == "ok" && body_is_output(answer)) {
    const auto code = number(first_of_list(answer.headers.get("X-Nexe-Retcode")));
    return code && *code >= 0 && *code < 256 ? *code : kExitService;
  }
  if (answer.status < 400) return kExitNoAnswer;  // no word of a job: something else answered
  return answer.status < 500 || answer.status == 501 ? kExitRefused : kExitService;
}

bool body_is_output(const JobAnswer& answer) {
  return (answer.status >= 200 && answer.status < 400) ||
         answer.headers.find("X-Zerovm-Device") != nullptr;
}

std::string summary(const JobAnswer& answer) {
  std::string out;
  const auto add = [&out](const std::string& line) {
    if (!line.empty()) out += "zvm: " + for_terminal(line) + "\n";
  };
  const auto report = report_of(answer);
  const auto nodes = report ? report->find("nodes") : Json::const_iterator();
  if (report && nodes != report->end() && nodes->is_array()) {
    for (const Json& node : *nodes)
      if (node.is_object()) add(node_line(node));
  } else {
    add(header_line(answer.headers));
  }
  if (const std::string* error = answer.headers.find("X-Nexe-Error")) add("error: " + *error);
  if (const std::string* job = answer.headers.find("X-Zvm-Job");
      job != nullptr && answer.status >= 400)
    add("HTTP " + std::to_string(answer.status) + ", job " + *job);
  return out;
}

std::string pretty_report(const JobAnswer& answer) {
  const auto report = report_of(answer);
  // ASCII: what a program or a path put into it cannot speak to the terminal.
  return report ? report->dump(2, ' ', true, Json::error_handler_t::replace) + "\n" : std::string();
}

std::string job_content_type(std::string_view bytes) {
  if (bytes.substr(0, 2) == "#!") return "text/x-script";
  const size_t first = bytes.find_first_not_of(" \t\r\n");
  if (first != bytes.npos && (bytes[first] == '[' || bytes[first] == '{'))
    return "application/json";
  return {};
}

void take_header_line(std::string_view line, JobAnswer* into) {
  while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.remove_suffix(1);
  if (line.substr(0, 5) == "HTTP/") {
    const size_t blank = line.find(' ');
    *into = JobAnswer();
    into->status = blank == line.npos
                       ? 0
                       : static_cast<unsigned>(number(line.substr(blank + 1, 3)).value_or(0));
    return;
  }
  const size_t colon = line.find(':');
  if (colon == line.npos || into->headers.size() >= kMaxHeaders) return;
  std::string_view value = line.substr(colon + 1);
  while (!value.empty() && (value.front() == ' ' || value.front() == '\t')) value.remove_prefix(1);
  into->headers.add(line.substr(0, colon), value);
}

std::string for_terminal(std::string_view text) {
  std::string out(text);
  std::replace_if(
      out.begin(), out.end(),
      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '?');
  return out;
}

}  // namespace zvm::cli
