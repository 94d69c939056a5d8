#include "host/protocol/auth.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <optional>
#include <utility>

#include "base/digest.h"
#include "base/sys/fd.h"

namespace zvm::protocol {

namespace {

constexpr std::string_view kScheme = "ZVM1 ";
constexpr size_t kMaxAuthorization = 1024;
constexpr size_t kMaxKeyFile = 4096;
constexpr size_t kMinKey = 32;

std::string hex_hmac(std::string_view key, std::string_view text) {
  return to_hex(hmac_sha256(key, text));
}

std::string join_lines(std::initializer_list<std::string_view> lines) {
  std::string out;
  for (const std::string_view line : lines) {
    if (!out.empty()) out += '\n';
    out += line;
  }
  return out;
}

// What the Authorization header says; every value is a part of the header.
struct Signature {
  std::string_view host, boot, expires, nonce, body, mac;
};

bool is_hex(std::string_view text, size_t digits) {
  return text.size() == digits && text.find_first_not_of("0123456789abcdef") == text.npos;
}

std::optional<int64_t> to_seconds(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0) return std::nullopt;
  return value;
}

// The one form that sign_request() writes: these names, this order, nothing else.
std::optional<Signature> parse_authorization(std::string_view header) {
  if (header.size() > kMaxAuthorization || header.substr(0, kScheme.size()) != kScheme)
    return std::nullopt;
  header.remove_prefix(kScheme.size());
  Signature s;
  const std::array<std::pair<std::string_view, std::string_view*>, 6> fields{
      {{"host=", &s.host}, {"boot=", &s.boot}, {"expires=", &s.expires}, {"nonce=", &s.nonce},
          {"body=", &s.body}, {"mac=", &s.mac}}};
  for (const auto& [name, value] : fields) {
    if (header.substr(0, name.size()) != name) return std::nullopt;
    header.remove_prefix(name.size());
    const bool last = value == &s.mac;
    const size_t end = last ? header.size() : header.find(',');
    if (end == header.npos) return std::nullopt;
    *value = header.substr(0, end);
    header.remove_prefix(last ? end : end + 1);
  }
  if (!is_hex(s.nonce, 32) || !is_hex(s.body, 64) || !is_hex(s.mac, 64)) return std::nullopt;
  return s;
}

std::string request_mac(
    std::string_view key, std::string_view method, std::string_view target, const Signature& s) {
  return hex_hmac(
      key, join_lines({"ZVM1", method, target, s.host, s.boot, s.expires, s.nonce, s.body}));
}

tl::unexpected<Error> deny(std::string why) {
  return fail(Origin::kClient, Kind::kDenied, "signature: " + std::move(why));
}

tl::unexpected<Error> bad_key(const std::string& path, std::string_view what) {
  return fail(Origin::kHost, Kind::kInvalid, "cluster key " + path + ": " + std::string(what));
}

}  // namespace

Result<std::string> load_key(const std::string& path) {
  // O_NONBLOCK: a pipe by that name is refused below, not waited for.
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  if (!file && errno == ENOENT)
    return fail(Origin::kHost, Kind::kNotFound,
        "cluster key " + path +
            ": no such file; make one with `(umask 077; openssl rand -hex 32 >" + path +
            ")` and copy it to every bridge and host");
  if (!file) return fail_errno("cluster key " + path + ": open", errno);

  struct stat st {};

  if (::fstat(file.get(), &st) != 0) return fail_errno("cluster key " + path + ": fstat", errno);
  if (!S_ISREG(st.st_mode)) return bad_key(path, "is no regular file");
  if ((st.st_mode & 07) != 0)
    return bad_key(path, "others can use it; run `chmod o= " + path + "` and make a new key");
  std::string text(kMaxKeyFile + 1, '\0');
  const ssize_t n = ::pread(file.get(), text.data(), text.size(), 0);
  if (n < 0) return fail_errno("cluster key " + path + ": read", errno);
  text.resize(static_cast<size_t>(n));
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' '))
    text.pop_back();
  std::string key(text.size() / 2, '\0');
  if (text.size() < 2 * kMinKey || text.size() > kMaxKeyFile ||
      !from_hex(text, {reinterpret_cast<uint8_t*>(key.data()), key.size()}))
    return bad_key(path,
        "must hold at least 64 hex digits and nothing else; `openssl rand -hex 32` makes them");
  return key;
}

std::string sign_request(std::string_view key, std::string_view method, std::string_view target,
    const HostIdentity& host, int64_t expires, std::string_view nonce,
    std::string_view body_sha256) {
  const std::string seconds = std::to_string(expires);
  Signature s{host.id, host.boot, seconds, nonce, body_sha256, {}};
  std::string header(kScheme);
  header.append("host=").append(s.host).append(",boot=").append(s.boot);
  header.append(",expires=").append(s.expires).append(",nonce=").append(s.nonce);
  header.append(",body=").append(s.body).append(",mac=");
  return header += request_mac(key, method, target, s);
}

Result<std::string> RequestVerifier::verify(
    const http::RequestHead& head, std::string_view body_sha256, int64_t now) {
  const size_t headers = head.headers.count("Authorization");
  if (headers == 0) return deny("missing");
  if (headers > 1) return deny("more than one Authorization header");
  const auto s = parse_authorization(head.headers.get("Authorization"));
  if (!s) return deny("not of the form ZVM1 host=,boot=,expires=,nonce=,body=,mac=");
  // Fields are joined by line ends, so none may hold one: else two requests could share one MAC.
  if ((head.method + head.target).find('\n') != std::string::npos)
    return deny("a line end in the request line");
  // SECURITY: the MAC first. What follows is said to someone who knows the key.
  if (!equal_constant_time(request_mac(key_, head.method, head.target, *s), s->mac))
    return deny("wrong MAC: another key, or the request was changed");
  if (s->host != self_.id) return deny("made for another host");
  if (s->boot != self_.boot) return deny("made for an earlier start of this host");
  if (!equal_constant_time(s->body, body_sha256)) return deny("another body than was signed");
  const auto expires = to_seconds(s->expires);
  if (!expires) return deny("expires is no time");
  if (*expires <= now) return deny("expired");
  if (*expires > now + kSignatureLife.count()) return deny("expires too far ahead: clocks differ");

  if (now >= last_sweep_ + kSignatureLife.count() || now < last_sweep_ ||
      (seen_.size() >= kMaxNonces && now != last_sweep_)) {
    std::erase_if(seen_, [now](const auto& entry) { return entry.second <= now; });
    last_sweep_ = now;
  }
  // Forgetting a nonce that is still good would let a request in twice, so the newcomer waits.
  if (seen_.size() >= kMaxNonces)
    return fail(Origin::kClient, Kind::kOverloaded,
        "signature: more than " + std::to_string(kMaxNonces) + " requests within a minute");
  std::string nonce(s->nonce);
  if (!seen_.emplace(nonce, *expires).second) return deny("seen before");
  return nonce;
}

std::string answer_proof(std::string_view key, std::string_view request_nonce,
    std::string_view answer_nonce, unsigned status, std::string_view body_sha256) {
  return hex_hmac(key, join_lines({"ZVM1 answer", request_nonce, answer_nonce,
                           std::to_string(status), body_sha256}));
}

std::string frame_key(std::string_view key, Direction direction, std::string_view request_nonce,
    std::string_view answer_nonce) {
  const std::string_view label =
      direction == Direction::kToHost ? "ZVM1 frames to-host" : "ZVM1 frames to-bridge";
  const Sha256 derived = hmac_sha256(key, join_lines({label, request_nonce, answer_nonce}));
  return std::string(reinterpret_cast<const char*>(derived.data()), derived.size());
}

}  // namespace zvm::protocol
