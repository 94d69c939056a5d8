#include "host/protocol/description.h"

#include <gtest/gtest.h>

#include <functional>

#include "base/json.h"

namespace zvm::protocol {
namespace {

Description sample() {
  Description d;
  d.job = "tx0123456789abcdef";
  d.node = "count-1";
  d.account = "AUTH_test";
  d.program = {"python", "/usr/bin/python3", "", 0};
  d.policy = "image";
  d.argv = {"python3", "script", "", "caf\xc3\xa9", "latin \xe9\x01"};
  d.env = {{"PATH", "/usr/bin"}, {"HTTP_X_NAME", "\xff"}, {"EMPTY", ""}};
  Channel input;
  input.name = "stdin";
  input.kind = Channel::Kind::kObject;
  input.path = "swift://AUTH_test/c/a%20b";
  input.mode = "file";
  input.object = {"AUTH_test", "c", "a b/\n\xc3\xa9", 1, "1795352857.15555",
      "d41d8cd98f00b204e9800998ecf8427e", 1ull << 40, "text/plain; charset=\"utf-8\""};
  input.local = Channel::Local::kRequire;
  input.device = "sdb1";
  Channel remote = input;
  remote.name = "input-2";
  remote.local = Channel::Local::kNever;
  remote.remote_reason = "slo";
  remote.object.etag = "";
  remote.device = "";
  Channel out;
  out.name = "stdout";
  out.kind = Channel::Kind::kAppend;
  out.declared = false;
  out.max_bytes = 1 << 30;
  Channel random;
  random.name = "output";
  random.kind = Channel::Kind::kRandom;
  random.path = "swift://AUTH_test/c/out";
  Channel script;
  script.name = "script";
  script.kind = Channel::Kind::kBytes;
  script.bytes = std::string("#!x\n\0\xff", 6);
  d.channels = {input, remote, out, random, script};
  d.timeout = std::chrono::milliseconds(1500);
  d.memory = 1ull << 33;
  d.cpu = std::chrono::milliseconds(250);
  return d;
}

Json sample_json() {
  return Json::parse(to_json(sample()));
}

std::string error_of(const Json& json) {
  auto d = description_from_json(dump_json(json));
  if (d) return "accepted";
  EXPECT_EQ(d.error().origin(), Origin::kClient);
  EXPECT_EQ(d.error().kind(), Kind::kInvalid);
  return d.error().what();
}

void expect_equal(const Channel& a, const Channel& b) {
  EXPECT_EQ(a.name, b.name);
  EXPECT_EQ(a.kind, b.kind);
  EXPECT_EQ(a.declared, b.declared);
  EXPECT_EQ(a.path, b.path);
  EXPECT_EQ(a.mode, b.mode);
  EXPECT_EQ(a.object.path(), b.object.path());
  EXPECT_EQ(a.object.policy, b.object.policy);
  EXPECT_EQ(a.object.timestamp, b.object.timestamp);
  EXPECT_EQ(a.object.etag, b.object.etag);
  EXPECT_EQ(a.object.length, b.object.length);
  EXPECT_EQ(a.object.content_type, b.object.content_type);
  EXPECT_EQ(a.local, b.local);
  EXPECT_EQ(a.remote_reason, b.remote_reason);
  EXPECT_EQ(a.device, b.device);
  EXPECT_EQ(a.max_bytes, b.max_bytes);
  EXPECT_EQ(a.bytes, b.bytes);
}

TEST(Description, ComesBackAsItWas) {
  const Description want = sample();
  const auto got = description_from_json(to_json(want));
  ASSERT_TRUE(got) << got.error().what();
  EXPECT_EQ(got->job, want.job);
  EXPECT_EQ(got->node, want.node);
  EXPECT_EQ(got->account, want.account);
  EXPECT_EQ(got->program.image, want.program.image);
  EXPECT_EQ(got->program.path, want.program.path);
  EXPECT_EQ(got->policy, want.policy);
  EXPECT_EQ(got->argv, want.argv);
  EXPECT_EQ(got->env, want.env);
  EXPECT_EQ(got->timeout, want.timeout);
  EXPECT_EQ(got->memory, want.memory);
  EXPECT_EQ(got->cpu, want.cpu);
  ASSERT_EQ(got->channels.size(), want.channels.size());
  for (size_t i = 0; i < got->channels.size(); ++i)
    expect_equal(got->channels[i], want.channels[i]);
  EXPECT_EQ(to_json(*got), to_json(want));
}

TEST(Description, NamesObjectsAsUrlsThatDecodeToThem) {
  EXPECT_EQ(sample().channels[0].object.swift_url(), "swift://AUTH_test/c/a%20b/%0A%C3%A9");
  EXPECT_EQ((ObjectVersion{"a%", "b*", "c/d*%2f"}.swift_url()), "swift://a%25/b%2A/c/d%2A%252f");
}

TEST(Description, OfAProgramByBytes) {
  Description d = sample();
  d.program = {"host", "", std::string(64, 'a'), kMaxProgram};
  EXPECT_TRUE(description_from_json(to_json(d)));
  d.program.size = kMaxProgram + 1;
  EXPECT_FALSE(description_from_json(to_json(d)));
  d.program.size = 0;
  EXPECT_FALSE(description_from_json(to_json(d)));
  d.program = {"host", "", "", 5};
  EXPECT_FALSE(description_from_json(to_json(d)));
  d.program = {"host", "/bin/x", std::string(64, 'a'), 0};
  EXPECT_FALSE(description_from_json(to_json(d)));
  d.program = {"host", "/bin/x", "", 5};
  EXPECT_FALSE(description_from_json(to_json(d)));
}

// Every object inside a document, with a way to change it.
void visit_objects(const Json& json, const Json::json_pointer& at,
    const std::function<void(const Json::json_pointer&)>& visit) {
  if (json.is_object()) visit(at);
  if (json.is_object())
    for (const auto& [key, value] : json.items()) visit_objects(value, at / key, visit);
  if (json.is_array())
    for (size_t i = 0; i < json.size(); ++i) visit_objects(json[i], at / i, visit);
}

TEST(Description, EveryFieldIsNeededAndNoOtherIsTaken) {
  const Json whole = sample_json();
  ASSERT_EQ(error_of(whole), "accepted");
  size_t fields = 0;
  visit_objects(whole, Json::json_pointer(), [&](const Json::json_pointer& at) {
    if (whole[at].contains("base64")) return;  // a text that is not UTF-8
    Json more = whole;
    more[at]["unheard"] = 1;
    EXPECT_NE(error_of(more).find("unknown field \"unheard\""), std::string::npos) << at;
    for (const auto& [key, value] : whole[at].items()) {
      ++fields;
      Json less = whole;
      less[at].erase(key);
      EXPECT_NE(error_of(less), "accepted") << at << key;
      for (const Json& odd : {Json(), Json(-1), Json(0.5), Json(Json::array({1})), Json(true),
               Json(Json::object()), Json("\x01"), Json(std::string(20000, '-'))}) {
        if (odd.type() == value.type() && (odd.is_boolean() || key == "object")) continue;
        Json changed = whole;
        changed[at][key] = odd;
        // Texts that may hold anything.
        if (odd == "\x01" && (key == "account" || key == "container" || key == "object")) continue;
        EXPECT_NE(error_of(changed), "accepted") << at << key << odd.dump().substr(0, 40);
      }
    }
  });
  EXPECT_GT(fields, 60u);
}

struct Change {
  const char* at;
  Json value;
  const char* why;
};

TEST(Description, RefusesWhatAHostMustNotActOn) {
  const std::string long_name(256, 'n');
  const std::vector<Change> cases = {
      {"/version", 2, "version 2, this host speaks 1"},
      {"/job", "", "job: must not be empty"},
      {"/job", "a/b", "job: letters"},
      {"/node", std::string(65, 'n'), "node: longer than 64"},
      {"/node", "..", "node: letters"},
      {"/account", "a/b", "account: no '/'"},
      {"/policy", "runtime", "policy: must be"},
      {"/program/path", "usr/bin/x", "program.path: must be absolute"},
      {"/program/image", "a b", "program.image: letters"},
      {"/argv", Json::array(), "argv: must be a list of 1 to"},
      {"/argv/0", std::string("a\0b", 3), "argv[0]: no NUL"},
      {"/argv/0", {{"base64", "AA=="}}, "argv[0]: no NUL"},
      {"/argv/0", {{"base64", "A"}}, "argv[0]: must be a text"},
      {"/argv/0", {{"base64", 5}}, "argv[0]: must be a text"},
      {"/argv/0", {{"base65", "AA=="}}, "argv[0]: must be a text"},
      {"/argv/0", std::string(kMaxArguments, 'a'), "argv: and env together are longer"},
      {"/env/0", {"A"}, "env: must be a list of pairs"},
      {"/env/0", {"A=B", "C"}, "env: a name with '='"},
      {"/env/0", {"", "C"}, "env[0]: must not be empty"},
      {"/env/0", {"A", std::string("\0", 1)}, "env[0]: no NUL"},
      {"/channels/0/name", "a/b", "channels[0].name: letters"},
      {"/channels/0/name", "..", "channels[0].name: letters"},
      {"/channels/0/name", long_name, "channels[0].name: longer than 255"},
      {"/channels/0/name", "stdout", "channels: two of one name"},
      {"/channels/0/name", {{"base64", "YQ=="}}, "channels[0].name: must be a text"},
      {"/channels/0/kind", "pipe", "channels[0].kind: is no word"},
      {"/channels/0/kind", "append", "channels[0]"},
      {"/channels/0/path", "file:///etc/passwd", "channels[0].path: must be swift://"},
      {"/channels/0/mode", "a\nb", "channels[0].mode: no control characters"},
      {"/channels/0/device", "../sdb1", "channels[0].device: letters"},
      {"/channels/0/device", ".", "channels[0].device: letters"},
      {"/channels/0/object/account", "a/b", "channels[0].object.account: no '/'"},
      {"/channels/0/object/container", "a/b", "channels[0].object.container: no '/'"},
      {"/channels/0/object/object", std::string("a\0", 2), "channels[0].object.object: no NUL"},
      {"/channels/0/object/timestamp", "1795352857", "must look like"},
      {"/channels/0/object/timestamp", "1795352857.1555x", "must look like"},
      {"/channels/0/object/timestamp", "1795352.57.15555", "must look like"},
      {"/channels/0/object/timestamp", "17953528571.5555", "must look like"},
      {"/channels/0/object/etag", "", "channels[0].object.etag: must not be empty"},
      {"/channels/0/object/etag", "d41d", "channels[0].object.etag: must be 32 hex"},
      {"/channels/0/object/etag", std::string(32, 'A'), "channels[0].object.etag: lower-case"},
      {"/channels/0/object/length", 1ull << 63, "channels[0].object.length: must be an integer"},
      {"/channels/0/object/policy", 65536, "channels[0].object.policy: must be an integer"},
      {"/channels/2/max_bytes", (1ull << 62) + 1, "channels[2].max_bytes: must be"},
      {"/channels/4/bytes", "AA=", "channels[4].bytes: must be base64"},
      {"/timeout_ms", 0, "timeout_ms: must be an integer from 1"},
      {"/cpu_ms", 1ull << 40, "cpu_ms: must be an integer"},
      {"/memory", 0, "memory: must be"},
  };
  for (const Change& c : cases) {
    Json json = sample_json();
    json[Json::json_pointer(c.at)] = c.value;
    // Texts with NUL are refused by the JSON reader already where they are escaped.
    EXPECT_NE(error_of(json).find(c.why), std::string::npos)
        << c.at << " gives " << error_of(json) << ", not " << c.why;
  }
  for (const char* reserved : {"null", "zero", "full", "random", "urandom", "in", "out"}) {
    Json json = sample_json();
    json["channels"][0]["name"] = reserved;
    EXPECT_EQ(error_of(json), "description: channels[0].name: is reserved");
  }
}

TEST(Description, IsBounded) {
  Description d = sample();
  d.channels.assign(kMaxChannels, sample().channels[2]);
  for (size_t i = 0; i < d.channels.size(); ++i) d.channels[i].name = "c" + std::to_string(i);
  EXPECT_TRUE(description_from_json(to_json(d)));
  d.channels.push_back(sample().channels[3]);
  EXPECT_FALSE(description_from_json(to_json(d)));
  EXPECT_FALSE(description_from_json(std::string(kMaxDescription + 1, ' ')));
  EXPECT_FALSE(description_from_json(std::string(100, '[')));
  EXPECT_FALSE(description_from_json(""));
  EXPECT_FALSE(description_from_json("[]"));
  EXPECT_FALSE(description_from_json("{}"));
}

TEST(Description, ErrorsShowLittleOfWhatCame) {
  Json json = sample_json();
  json[std::string(1000, 'k') + "\n"] = 1;
  EXPECT_LT(error_of(json).size(), 150u);
}

}  // namespace
}  // namespace zvm::protocol
