// policyc POLICY.toml OUTPUT.h OUTPUT.listing: compiles a seccomp policy when the project is built,
// so that the loader parses nothing and links no library. libseccomp knows the calls' numbers; the
// filter itself is laid out here, because its allow list per argument ("this ioctl, else ENOTTY")
// is more than libseccomp's rules can say.
//
// A policy:
//   name = "compute"           -> kComputeFilter
//   max_calls = 50             more different allowed calls fail the build: growth is a decision
//   default = "ENOSYS"         answer to every call that is not named
//   [[allow]]                  call, why, and optionally when = "CONDITION and CONDITION"
//   [[deny]]                   call, errno, why: for the call's other uses
// Rules of one call are tried in the order of the file; what matches none gets the default.
// A condition is `arg1 == NAME`, `arg1 != 0`, or `arg2 & MASK|MASK == VALUE`; arg0 to arg5,
// compared as 64 bits, so that dirty upper halves never slip through an equality.
//
// Foreign machine (i386) and x32 numbers: the process is killed. Nothing else kills.
#include <asm/ioctls.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <toml++/toml.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace {

[[noreturn]] void die(const std::string& why) {
  std::fprintf(stderr, "policyc: %s\n", why.c_str());
  std::exit(1);
}

// --- names
// ----------------------------------------------------------------------------------------

#define NAMED(n) \
  { #n, static_cast < uint64_t>(n) }
const std::map<std::string, uint64_t, std::less<>> kConstants = {
    NAMED(PROT_EXEC),
    NAMED(MAP_HUGETLB),
    NAMED(AT_EMPTY_PATH),
    NAMED(CLONE_NEWNS),
    NAMED(CLONE_NEWCGROUP),
    NAMED(CLONE_NEWUTS),
    NAMED(CLONE_NEWIPC),
    NAMED(CLONE_NEWUSER),
    NAMED(CLONE_NEWPID),
    NAMED(CLONE_NEWNET),
    NAMED(CLONE_PTRACE),
    NAMED(F_DUPFD),
    NAMED(F_DUPFD_CLOEXEC),
    NAMED(F_GETFD),
    NAMED(F_SETFD),
    NAMED(F_GETFL),
    NAMED(F_SETFL),
    NAMED(F_GETLK),
    NAMED(F_SETLK),
    NAMED(F_SETLKW),
    NAMED(F_GETPIPE_SZ),
    NAMED(O_ASYNC),
    NAMED(TCGETS),
    NAMED(TIOCGWINSZ),
    NAMED(FIONREAD),
    NAMED(FIOCLEX),
    NAMED(FIONCLEX),
    NAMED(FIONBIO),
    NAMED(PR_SET_NAME),
    NAMED(PR_GET_NAME),
    NAMED(PR_GET_DUMPABLE),
    NAMED(PR_CAPBSET_READ),
    NAMED(PR_GET_NO_NEW_PRIVS),
    NAMED(PR_GET_SECCOMP),
    NAMED(MADV_NORMAL),
    NAMED(MADV_RANDOM),
    NAMED(MADV_SEQUENTIAL),
    NAMED(MADV_WILLNEED),
    NAMED(MADV_DONTNEED),
    NAMED(MADV_FREE),
    NAMED(MADV_HUGEPAGE),
    NAMED(MADV_NOHUGEPAGE),
    NAMED(FUTEX_FD),
};

const std::map<std::string, int, std::less<>> kErrnos = {
    {"ENOSYS", ENOSYS},
    {"EPERM", EPERM},
    {"EACCES", EACCES},
    {"EINVAL", EINVAL},
    {"ENOTTY", ENOTTY},
    {"EAFNOSUPPORT", EAFNOSUPPORT},
};

std::string trimmed(std::string_view s) {
  while (!s.empty() && std::isspace(static_cast<unsigned char>(s.front()))) s.remove_prefix(1);
  while (!s.empty() && std::isspace(static_cast<unsigned char>(s.back()))) s.remove_suffix(1);
  return std::string(s);
}

std::vector<std::string> split(std::string_view text, std::string_view by) {
  std::vector<std::string> parts;
  for (;;) {
    const size_t at = text.find(by);
    parts.push_back(trimmed(text.substr(0, at)));
    if (at == text.npos) return parts;
    text.remove_prefix(at + by.size());
  }
}

uint64_t value_of(const std::string& text) {
  uint64_t all = 0;
  for (const auto& part : split(text, "|")) {
    if (auto it = kConstants.find(part); it != kConstants.end()) {
      all |= it->second;
      continue;
    }
    char* end = nullptr;
    errno = 0;
    const uint64_t n = std::strtoull(part.c_str(), &end, 0);
    if (part.empty() || *end != '\0' || errno != 0) die("unknown constant '" + part + "'");
    all |= n;
  }
  return all;
}

// --- rules
// ----------------------------------------------------------------------------------------

struct Condition {
  unsigned arg;
  uint64_t mask;
  uint64_t value;
  bool equal;
};

struct Rule {
  std::string call;
  uint32_t number;
  std::vector<Condition> when;
  std::string when_text, why, action_text;
  uint32_t action;
};

struct Policy {
  std::string name;
  uint32_t default_action;
  std::string default_text;
  std::vector<Rule> rules;  // by number, in the file's order within a number
};

Condition parse_condition(const std::string& text) {
  const bool unequal = text.find("!=") != text.npos;
  const auto sides = split(text, unequal ? "!=" : "==");
  if (sides.size() != 2) die("condition '" + text + "' needs one == or !=");
  const auto left = split(sides[0], "&");
  if (left.size() > 2 || left[0].size() != 4 || left[0].rfind("arg", 0) != 0 || left[0][3] < '0' ||
      left[0][3] > '5') {
    die("condition '" + text + "' must begin with arg0 to arg5, and at most one mask");
  }
  Condition c{};
  c.arg = static_cast<unsigned>(left[0][3] - '0');
  c.mask = left.size() == 2 ? value_of(left[1]) : ~uint64_t{0};
  c.value = value_of(sides[1]);
  c.equal = !unequal;
  if ((c.value & ~c.mask) != 0) die("condition '" + text + "' can never hold");
  return c;
}

std::string text_of(const toml::table& t, const char* key, const std::string& what) {
  auto v = t[key].value<std::string>();
  if (!v || trimmed(*v).empty()) die(what + ": '" + key + "' is missing");
  return *v;
}

int errno_of(const std::string& name) {
  auto it = kErrnos.find(name);
  if (it == kErrnos.end()) die("unknown errno '" + name + "'");
  return it->second;
}

Rule read_rule(const toml::table& t, bool allow) {
  Rule r;
  r.call = text_of(t, "call", "a rule");
  r.why = text_of(t, "why", r.call);
  for (const auto& [key, node] : t) {
    const std::string_view k = key.str();
    if (k != "call" && k != "why" && !(allow && k == "when") && !(!allow && k == "errno")) {
      die(r.call + ": unknown key '" + std::string(k) + "'");
    }
  }
  const int number = seccomp_syscall_resolve_name_arch(SCMP_ARCH_X86_64, r.call.c_str());
  if (number < 0) die("no system call '" + r.call + "' on x86-64");
  r.number = static_cast<uint32_t>(number);
  if (allow) {
    r.action = SECCOMP_RET_ALLOW;
    r.action_text = "allow";
    if (auto when = t["when"].value<std::string>()) {
      r.when_text = *when;
      for (const auto& c : split(*when, " and ")) r.when.push_back(parse_condition(c));
    }
  } else {
    r.action_text = text_of(t, "errno", r.call);
    r.action = SECCOMP_RET_ERRNO | static_cast<uint32_t>(errno_of(r.action_text));
  }
  return r;
}

size_t allowed_calls(const Policy& p) {
  std::map<uint32_t, bool> seen;
  for (const auto& r : p.rules) {
    if (r.action == SECCOMP_RET_ALLOW) seen[r.number] = true;
  }
  return seen.size();
}

Policy read_policy(const char* path) {
  toml::table file;
  try {
    file = toml::parse_file(path);
  } catch (const toml::parse_error& e) {
    std::ostringstream where;
    where << e.source();
    die(where.str() + ": " + std::string(e.description()));
  }
  Policy p;
  p.name = text_of(file, "name", path);
  p.default_text = text_of(file, "default", path);
  p.default_action = SECCOMP_RET_ERRNO | static_cast<uint32_t>(errno_of(p.default_text));
  for (const auto& [key, node] : file) {
    const std::string_view k = key.str();
    if (k != "name" && k != "default" && k != "max_calls" && k != "allow" && k != "deny") {
      die("unknown key '" + std::string(k) + "'");
    }
  }
  // Allow rules first: a deny names what happens to the call's other uses.
  for (const bool allow : {true, false}) {
    const auto* list = file[allow ? "allow" : "deny"].as_array();
    if (list == nullptr) continue;
    for (const auto& node : *list) {
      const auto* t = node.as_table();
      if (t == nullptr) die("a rule is no table");
      p.rules.push_back(read_rule(*t, allow));
    }
  }
  std::stable_sort(p.rules.begin(), p.rules.end(),
      [](const Rule& a, const Rule& b) { return a.number < b.number; });
  for (size_t i = 1; i < p.rules.size(); ++i) {
    if (p.rules[i].number == p.rules[i - 1].number && p.rules[i - 1].when.empty()) {
      die(p.rules[i].call + ": a rule follows one that decides every use");
    }
  }
  const int64_t most = file["max_calls"].value_or(int64_t{0});
  if (static_cast<int64_t>(allowed_calls(p)) > most) {
    die(p.name + " allows " + std::to_string(allowed_calls(p)) + " calls, max_calls says " +
        std::to_string(most));
  }
  return p;
}

// --- the filter
// -----------------------------------------------------------------------------------

class Assembler {
 public:
  explicit Assembler(const Policy& policy) : policy_(policy) {}

  std::vector<sock_filter> assemble() {
    load(offsetof(seccomp_data, arch));
    emit(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0);
    answer(SECCOMP_RET_KILL_PROCESS);
    load(offsetof(seccomp_data, nr));
    emit(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1);  // __X32_SYSCALL_BIT and negative numbers
    answer(SECCOMP_RET_KILL_PROCESS);
    std::vector<std::pair<size_t, size_t>> calls;  // [first rule, last rule) of each number
    for (size_t i = 0; i < policy_.rules.size();) {
      size_t end = i + 1;
      while (end < policy_.rules.size() && policy_.rules[end].number == policy_.rules[i].number)
        ++end;
      calls.emplace_back(i, end);
      i = end;
    }
    search(calls, 0, calls.size());
    if (code_.size() > BPF_MAXINSNS) die("filter too long");
    return code_;
  }

 private:
  void emit(uint16_t code, uint32_t k, uint8_t yes = 0, uint8_t no = 0) {
    code_.push_back({code, yes, no, k});
  }

  void load(size_t offset) { emit(BPF_LD | BPF_W | BPF_ABS, static_cast<uint32_t>(offset)); }

  void answer(uint32_t action) { emit(BPF_RET | BPF_K, action); }

  // Binary search by number; the accumulator holds it. A conditional jump reaches 255 instructions,
  // an unconditional one any number, so the right half is reached by the latter.
  void search(const std::vector<std::pair<size_t, size_t>>& calls, size_t from, size_t to) {
    if (to - from == 1) {
      const Rule& first = policy_.rules[calls[from].first];
      emit(BPF_JMP | BPF_JEQ | BPF_K, first.number, 1, 0);
      answer(policy_.default_action);
      for (size_t i = calls[from].first; i < calls[from].second; ++i) rule(policy_.rules[i]);
      if (!policy_.rules[calls[from].second - 1].when.empty()) answer(policy_.default_action);
      return;
    }
    const size_t middle = (from + to) / 2;
    emit(BPF_JMP | BPF_JGE | BPF_K, policy_.rules[calls[middle].first].number, 0, 1);
    const size_t jump = code_.size();
    emit(BPF_JMP | BPF_JA, 0);
    search(calls, from, middle);
    code_[jump].k = static_cast<uint32_t>(code_.size() - jump - 1);
    search(calls, middle, to);
  }

  // Answers, or falls through to what follows when a condition does not hold.
  void rule(const Rule& r) {
    std::vector<size_t> to_next;  // jumps to the end of this rule
    for (const auto& c : r.when) {
      const auto low = static_cast<uint32_t>(c.value), high = static_cast<uint32_t>(c.value >> 32);
      const auto mask_low = static_cast<uint32_t>(c.mask);
      const auto mask_high = static_cast<uint32_t>(c.mask >> 32);
      if (c.equal) {
        half(c.arg, false, mask_low, low, &to_next);
        half(c.arg, true, mask_high, high, &to_next);
      } else {
        // Unequal in either half is enough.
        std::vector<size_t> low_differs;
        half(c.arg, false, mask_low, low, &low_differs);
        std::vector<size_t> high_differs;
        half(c.arg, true, mask_high, high, &high_differs);
        to_next.push_back(code_.size());
        emit(BPF_JMP | BPF_JA, 0);
        for (size_t j : low_differs) land(j);
        for (size_t j : high_differs) land(j);
      }
    }
    answer(r.action);
    for (size_t j : to_next) land(j);
  }

  // Jumps (recorded in `unequal`) unless the masked half of the argument is `value`.
  void half(unsigned arg, bool high, uint32_t mask, uint32_t value, std::vector<size_t>* unequal) {
    if (mask == 0) return;
    load(offsetof(seccomp_data, args) + 8 * arg + (high ? 4 : 0));
    if (mask != ~uint32_t{0}) emit(BPF_ALU | BPF_AND | BPF_K, mask);
    unequal->push_back(code_.size());
    emit(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 0);
  }

  void land(size_t jump) {
    const size_t distance = code_.size() - jump - 1;
    if (BPF_OP(code_[jump].code) == BPF_JA) {
      code_[jump].k = static_cast<uint32_t>(distance);
      return;
    }
    if (distance > 255) die("rule too long");
    code_[jump].jf = static_cast<uint8_t>(distance);
  }

  const Policy& policy_;
  std::vector<sock_filter> code_;
};

void write_header(const Policy& p, const std::vector<sock_filter>& code, const char* path) {
  std::ofstream out(path);
  std::string symbol = p.name;
  symbol[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(symbol[0])));
  out << "// Made by policyc from loader/policies/" << p.name << ".toml.\n#pragma once\n"
      << "#include <linux/filter.h>\n\nnamespace zvm::loader {\n\n"
      << "inline constexpr unsigned k" << symbol << "Calls = " << allowed_calls(p) << ";\n"
      << "inline constexpr sock_filter k" << symbol << "Filter[] = {\n";
  for (const auto& i : code) {
    char line[80];
    std::snprintf(line, sizeof line, "    {0x%02x, %u, %u, 0x%08x},\n", i.code, i.jt, i.jf, i.k);
    out << line;
  }
  out << "};\n\n}  // namespace zvm::loader\n";
  if (!out.flush()) die(std::string("cannot write ") + path);
}

void write_listing(const Policy& p, size_t instructions, const char* path) {
  std::ofstream out(path);
  out << "policy " << p.name << ": " << allowed_calls(p) << " calls allowed, " << instructions
      << " instructions\nnot named -> " << p.default_text << "; foreign machine, x32 -> killed\n\n";
  for (const auto& r : p.rules) {
    char line[160];
    std::snprintf(
        line, sizeof line, "%4u %-18s %-13s ", r.number, r.call.c_str(), r.action_text.c_str());
    out << line;
    if (!r.when.empty()) out << "when " << r.when_text << "  ";
    out << "# " << r.why << "\n";
  }
  if (!out.flush()) die(std::string("cannot write ") + path);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) die("usage: policyc POLICY.toml OUTPUT.h OUTPUT.listing");
  const Policy policy = read_policy(argv[1]);
  if (policy.rules.empty()) die("no rules");
  const auto code = Assembler(policy).assemble();
  write_header(policy, code, argv[2]);
  write_listing(policy, code.size(), argv[3]);
  return 0;
}
