#include "host/protocol/auth.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "base/digest.h"

namespace zvm::protocol {
namespace {

const std::string kKey(32, '\x5a');
constexpr int64_t kNow = 1'795'352'857;

HostIdentity self() {
  return {"host1", "00112233445566778899aabbccddeeff", "0.1.0", kNow};
}

struct Request {
  http::RequestHead head;
  std::string body_sha256 = sha256_hex("{}");
};

Request signed_request(const std::string& nonce = std::string(32, 'a'), int64_t expires = kNow + 30,
    const HostIdentity& host = self(), const std::string& key = kKey) {
  Request r;
  r.head.method = "POST";
  r.head.target = "/v1/sessions";
  r.head.headers.add("Authorization",
      sign_request(key, r.head.method, r.head.target, host, expires, nonce, r.body_sha256));
  return r;
}

std::string verdict(RequestVerifier& verifier, const Request& r, int64_t now = kNow) {
  auto nonce = verifier.verify(r.head, r.body_sha256, now);
  return nonce ? "ok " + *nonce : nonce.error().what();
}

std::string verdict(const Request& r, int64_t now = kNow) {
  RequestVerifier verifier(kKey, self());
  return verdict(verifier, r, now);
}

TEST(Signature, IsTheOneTheHeaderDescribes) {
  const std::string body = sha256_hex("{}");
  const std::string nonce(32, 'a');
  const std::string text =
      "ZVM1\nPOST\n/v1/sessions\nhost1\n" + self().boot + "\n1795352887\n" + nonce + "\n" + body;
  EXPECT_EQ(signed_request().head.headers.get("Authorization"),
      "ZVM1 host=host1,boot=" + self().boot + ",expires=1795352887,nonce=" + nonce +
          ",body=" + body + ",mac=" + to_hex(hmac_sha256(kKey, text)));
}

TEST(Signature, IsGoodOnce) {
  RequestVerifier verifier(kKey, self());
  EXPECT_EQ(verdict(verifier, signed_request()), "ok " + std::string(32, 'a'));
  EXPECT_EQ(verdict(verifier, signed_request()), "signature: seen before");
  // The same request signed for another time is another request with a used nonce.
  EXPECT_EQ(
      verdict(verifier, signed_request(std::string(32, 'a'), kNow + 31)), "signature: seen before");
  EXPECT_EQ(verdict(verifier, signed_request(std::string(32, 'b'))), "ok " + std::string(32, 'b'));
}

TEST(Signature, IsGoodForAMinuteAtMost) {
  EXPECT_EQ(verdict(signed_request(), kNow + 29), "ok " + std::string(32, 'a'));
  EXPECT_EQ(verdict(signed_request(), kNow + 30), "signature: expired");
  EXPECT_EQ(verdict(signed_request(), kNow + 3000), "signature: expired");
  EXPECT_EQ(verdict(signed_request(), kNow - 30), "ok " + std::string(32, 'a'));
  EXPECT_EQ(
      verdict(signed_request(), kNow - 31), "signature: expires too far ahead: clocks differ");
}

TEST(Signature, ExpiredNoncesAreForgottenButStayUseless) {
  RequestVerifier verifier(kKey, self());
  EXPECT_EQ(verdict(verifier, signed_request())[0], 'o');
  EXPECT_EQ(
      verdict(verifier, signed_request(std::string(32, 'b'), kNow + 200), kNow + 150)[0], 'o');
  EXPECT_EQ(verdict(verifier, signed_request(), kNow + 151), "signature: expired");
}

TEST(Signature, IsGoodForOneHostAndOneBoot) {
  HostIdentity other = self();
  other.id = "host2";
  EXPECT_EQ(verdict(signed_request(std::string(32, 'a'), kNow + 30, other)),
      "signature: made for another host");
  other = self();
  other.boot[0] = 'f';
  EXPECT_EQ(verdict(signed_request(std::string(32, 'a'), kNow + 30, other)),
      "signature: made for an earlier start of this host");
}

TEST(Signature, CoversTheRequest) {
  const std::string wrong = "signature: wrong MAC: another key, or the request was changed";
  Request r = signed_request();
  r.head.method = "PUT";
  EXPECT_EQ(verdict(r), wrong);
  r = signed_request();
  r.head.target = "/v1/sessions?x";
  EXPECT_EQ(verdict(r), wrong);
  r = signed_request();
  r.body_sha256 = sha256_hex("{ }");
  EXPECT_EQ(verdict(r), "signature: another body than was signed");
  EXPECT_EQ(verdict(signed_request(std::string(32, 'a'), kNow + 30, self(), "another key")), wrong);
}

// Every character of the header, changed alone.
TEST(Signature, HasNoSpareCharacter) {
  const std::string good(signed_request().head.headers.get("Authorization"));
  for (size_t i = 0; i < good.size(); ++i) {
    std::string changed = good;
    changed[i] = changed[i] == '0' ? '1' : '0';
    Request r = signed_request();
    r.head.headers.set("Authorization", changed);
    EXPECT_NE(verdict(r)[0], 'o') << changed;
    r.head.headers.set("Authorization", good.substr(0, i));
    EXPECT_NE(verdict(r)[0], 'o') << i;
  }
}

TEST(Signature, IsOneHeaderOfOneForm) {
  Request r = signed_request();
  const std::string good(r.head.headers.get("Authorization"));
  r.head.headers.add("authorization", good);
  EXPECT_EQ(verdict(r), "signature: more than one Authorization header");
  r.head.headers.remove("Authorization");
  EXPECT_EQ(verdict(r), "signature: missing");
  std::string upper = good;
  upper.replace(upper.find("nonce=") + 6, 1, "A");
  for (const std::string& bad :
      {std::string(), std::string("ZVM1 "), std::string("Bearer x"), good + ",x=y", good + " ",
          " " + good, upper, std::string(5000, 'x'), "ZVM1 " + std::string(3000, ',')}) {
    r = signed_request();
    r.head.headers.set("Authorization", bad);
    EXPECT_EQ(verdict(r).rfind("signature: not of the form", 0), 0u) << verdict(r);
  }
}

TEST(Signature, LineEndsCanNotMoveBetweenFields) {
  // Signed as method "POST\n/v1", target "sessions": the same text as "POST", "/v1\nsessions".
  Request r;
  r.head.method = "POST";
  r.head.target = "/v1\nsessions";
  r.head.headers.add("Authorization", sign_request(kKey, "POST\n/v1", "sessions", self(), kNow + 30,
                                          std::string(32, 'a'), r.body_sha256));
  EXPECT_EQ(verdict(r), "signature: a line end in the request line");
}

TEST(Signature, ErrorsAreDenialsOfTheClients) {
  RequestVerifier verifier(kKey, self());
  const auto result = verifier.verify({}, "", kNow);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().kind(), Kind::kDenied);
  EXPECT_EQ(result.error().origin(), Origin::kClient);
}

TEST(Proofs, DependOnAllTheyName) {
  const std::string n(32, 'a'), m(32, 'b'), body = sha256_hex("x");
  const std::string proof = answer_proof(kKey, n, m, 200, body);
  EXPECT_EQ(proof, to_hex(hmac_sha256(kKey, "ZVM1 answer\n" + n + "\n" + m + "\n200\n" + body)));
  EXPECT_NE(proof, answer_proof(kKey, n, m, 503, body));
  EXPECT_NE(proof, answer_proof(kKey, m, n, 200, body));
  EXPECT_NE(proof, answer_proof("other", n, m, 200, body));
  const std::string up = frame_key(kKey, Direction::kToHost, n, m);
  EXPECT_EQ(up.size(), 32u);
  EXPECT_NE(up, frame_key(kKey, Direction::kToBridge, n, m));
  EXPECT_NE(up, frame_key(kKey, Direction::kToHost, m, n));
}

class KeyFile : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/zvm-key-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    dir_ = name;
  }

  void TearDown() override { std::filesystem::remove_all(dir_); }

  std::string load(const std::string& text, mode_t mode = 0640) {
    const std::string path = dir_ + "/key";
    std::ofstream(path) << text;
    EXPECT_EQ(::chmod(path.c_str(), mode), 0);
    auto key = load_key(path);
    std::filesystem::remove(path);
    if (key) return "key of " + std::to_string(key->size());
    return key.error().what().substr(("cluster key " + path + ": ").size());
  }

  std::string dir_;
};

TEST_F(KeyFile, HoldsHex) {
  EXPECT_EQ(load(std::string(64, 'a') + "\n"), "key of 32");
  EXPECT_EQ(load(std::string(128, 'F')), "key of 64");
  const std::string advice =
      "must hold at least 64 hex digits and nothing else; `openssl rand -hex 32` makes them";
  EXPECT_EQ(load(std::string(62, 'a')), advice);
  EXPECT_EQ(load(std::string(65, 'a')), advice);
  EXPECT_EQ(load(std::string(64, 'g')), advice);
  EXPECT_EQ(load(std::string(64, 'a') + "\n# key\n"), advice);
  EXPECT_EQ(load(std::string(8192, 'a')), advice);
  EXPECT_EQ(load(""), advice);
}

TEST_F(KeyFile, IsForItsOwnersOnly) {
  for (const mode_t mode : {0644, 0642, 0641, 0666})
    EXPECT_EQ(load(std::string(64, 'a'), mode).substr(0, 18), "others can use it;");
  EXPECT_EQ(load(std::string(64, 'a'), 0400), "key of 32");
}

TEST_F(KeyFile, MissingSaysHowToMakeOne) {
  const auto key = load_key(dir_ + "/none");
  ASSERT_FALSE(key);
  EXPECT_EQ(key.error().kind(), Kind::kNotFound);
  EXPECT_NE(key.error().what().find("openssl rand -hex 32"), std::string::npos);
  EXPECT_FALSE(load_key(dir_)) << "a folder is no key";
}

}  // namespace
}  // namespace zvm::protocol
