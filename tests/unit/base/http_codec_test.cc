#include <gtest/gtest.h>

#include "base/http/codec.h"

namespace zvm::http {

namespace {

using namespace std::string_literals;
using namespace std::string_view_literals;

RequestHead request(std::string_view bytes) {
  auto parsed = parse_request_head(bytes, {});
  EXPECT_TRUE(parsed) << bytes << ": " << parsed.error().what();
  if (!parsed) return {};
  EXPECT_TRUE(*parsed) << bytes << ": asks for more";
  if (!*parsed) return {};
  EXPECT_EQ((*parsed)->consumed, bytes.size());
  return (*parsed)->head;
}

ResponseHead response(std::string_view bytes, std::string_view method = "GET") {
  auto parsed = parse_response_head(bytes, method, {});
  EXPECT_TRUE(parsed) << bytes << ": " << parsed.error().what();
  if (!parsed) return {};
  EXPECT_TRUE(*parsed) << bytes << ": asks for more";
  if (!*parsed) return {};
  return (*parsed)->head;
}

// What a request is refused for, or "" when it is not.
std::string refusal(std::string_view bytes, const Limits& limits = {}) {
  const auto parsed = parse_request_head(bytes, limits);
  if (parsed) return "";
  EXPECT_EQ(parsed.error().origin(), Origin::kClient);
  EXPECT_EQ(parsed.error().kind(), Kind::kInvalid);
  return parsed.error().what();
}

std::string response_refusal(std::string_view bytes) {
  const auto parsed = parse_response_head(bytes, "GET", {});
  if (parsed) return "";
  EXPECT_EQ(parsed.error().origin(), Origin::kSwift);
  EXPECT_EQ(parsed.error().kind(), Kind::kInvalid);
  return parsed.error().what();
}

TEST(RequestHead, KeepsOrderAndCaseAndBytesOfTheTarget) {
  const auto head = request(
      "PUT /v1/a/c/o%20b//../d\xc3\xa9?q=%2F HTTP/1.1\r\n"
      "Host: x:80\r\nX-OBJECT-meta-b:\t two  words \r\nEmpty:\r\nx-a: \xff\xfe\r\n\r\n");
  EXPECT_EQ(head.method, "PUT");
  EXPECT_EQ(head.target, "/v1/a/c/o%20b//../d\xc3\xa9?q=%2F");
  EXPECT_EQ(head.minor, 1);
  std::string lines;
  for (const Header& h : head.headers) lines += h.name + "=" + h.value + ";";
  EXPECT_EQ(lines, "Host=x:80;X-OBJECT-meta-b=two  words;Empty=;x-a=\xff\xfe;");
  EXPECT_EQ(head.framing.body, Framing::Body::kNone);
  EXPECT_TRUE(head.framing.keep_alive);
}

TEST(RequestHead, MethodsNobodyKnowsPassAsText) {
  for (const char* method : {"COPY", "FOO", "get", "M-SEARCH", "X!#$%&'*+-.^_`|~9"})
    EXPECT_EQ(request(std::string(method) + " /x HTTP/1.1\r\n\r\n").method, method);
}

TEST(RequestHead, AsteriskIsATarget) {
  EXPECT_EQ(request("OPTIONS * HTTP/1.1\r\n\r\n").target, "*");
}

TEST(RequestHead, AsksForMoreUntilTheHeadEnds) {
  constexpr auto kWhole = "PUT /v1/a/c/o HTTP/1.1\r\nA: b\r\nContent-Length: 3\r\n\r\n"sv;
  for (size_t cut = 0; cut < kWhole.size(); ++cut) {
    const auto parsed = parse_request_head(kWhole.substr(0, cut), {});
    ASSERT_TRUE(parsed) << cut;
    EXPECT_FALSE(*parsed) << cut;
  }
}

TEST(RequestHead, LeavesWhatFollows) {
  const auto parsed = parse_request_head("GET / HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n", {});
  ASSERT_TRUE(parsed && *parsed);
  EXPECT_EQ((*parsed)->consumed, 18u);
}

TEST(RequestHead, LinesThatDoNotEndInCrLfAreRefused) {
  EXPECT_NE(refusal("GET / HTTP/1.1\n\n"), "");
  EXPECT_NE(refusal("GET / HTTP/1.1\r\nA: b\n\r\n"), "");
  EXPECT_NE(refusal("GET / HTTP/1.1\r\nA: b\r\n\n"), "");
  EXPECT_NE(refusal("GET / HTTP/1.1\r\nA: b\rc\r\n\r\n"), "");
  EXPECT_NE(refusal("GET / HTTP/1.1\r\nA: b\r\r\n\r\n"), "");
  EXPECT_NE(refusal("GET / HTTP/1.1\r\n\r\r\n"), "");
  EXPECT_NE(refusal("\r\nGET / HTTP/1.1\r\n\r\n"), "");
}

TEST(RequestHead, FoldedLinesAreRefused) {
  EXPECT_NE(refusal("GET / HTTP/1.1\r\nA: b\r\n c: d\r\n\r\n"), "");
  EXPECT_NE(refusal("GET / HTTP/1.1\r\n\tA: b\r\n\r\n"), "");
}

TEST(RequestHead, ControlCharactersAreRefused) {
  EXPECT_NE(refusal("GET / HTTP/1.1\r\nA: b\0c\r\n\r\n"sv), "");
  EXPECT_NE(refusal("GET /\0 HTTP/1.1\r\n\r\n"sv), "");
  EXPECT_NE(refusal("GET / HTTP/1.1\r\nA: \x7f\r\n\r\n"), "");
  EXPECT_NE(refusal("GET / HTTP/1.1\r\nA\0: b\r\n\r\n"sv), "");
}

TEST(RequestHead, NamesThatAreNoTokensAreRefused) {
  for (const char* line :
      {"A : b", ": b", "A b: c", "A(b): c", "no colon", "\xc3\xa9: b", "A\t: b"})
    EXPECT_NE(refusal("GET / HTTP/1.1\r\n"s + line + "\r\n\r\n"), "") << line;
}

TEST(RequestHead, RequestLinesOfAnotherFormAreRefused) {
  for (const char* line : {"GET  / HTTP/1.1", "GET / HTTP/1.1 ", "GET /", "GET / HTTP/2.0",
           "GET / HTTP/1.2", "GET / http/1.1", "GET / HTTP/1.10", " GET / HTTP/1.1",
           "GET http://h/ HTTP/1.1", "CONNECT h:80 HTTP/1.1", "GET  HTTP/1.1", "GET ** HTTP/1.1",
           "G(T / HTTP/1.1", "GET /a b HTTP/1.1", ""})
    EXPECT_NE(refusal(std::string(line) + "\r\n\r\n"), "") << line;
}

TEST(RequestHead, EveryAmbiguousLengthIsRefused) {
  const auto with = [](std::string_view lines) {
    return refusal("PUT / HTTP/1.1\r\n" + std::string(lines) + "\r\n");
  };
  EXPECT_NE(with("Content-Length: 3\r\nContent-Length: 3\r\n"), "");
  EXPECT_NE(with("Content-Length: 3\r\ncontent-length: 4\r\n"), "");
  EXPECT_NE(with("Content-Length: 3, 3\r\n"), "");
  EXPECT_NE(with("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"), "");
  EXPECT_NE(with("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n"), "");
  EXPECT_NE(with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), "");
  EXPECT_NE(with("Transfer-Encoding: gzip, chunked\r\n"), "");
  EXPECT_NE(with("Transfer-Encoding: chunked, gzip\r\n"), "");
  EXPECT_NE(with("Transfer-Encoding: identity\r\n"), "");
  EXPECT_NE(with("Transfer-Encoding: chunked;q=1\r\n"), "");
  EXPECT_NE(with("Transfer-Encoding:\r\n"), "");
  // What a WSGI server would take for Transfer-Encoding.
  EXPECT_NE(with("Content-Length: 3\r\nTransfer_Encoding: chunked\r\n"), "");
  EXPECT_NE(with("transfer_ENCODING: chunked\r\n"), "");
  EXPECT_NE(with("Content_Length: 3\r\n"), "");
  EXPECT_EQ(request("PUT / HTTP/1.1\r\nX-Object-Meta-A_b: c\r\n\r\n").headers.size(), 1u);
  for (const char* value : {"", "-1", "+1", "0x10", "1 1", "1.0", "9223372036854775808",
           "18446744073709551616", "99999999999999999999999"})
    EXPECT_NE(with("Content-Length: "s + value + "\r\n"), "") << value;
}

TEST(RequestHead, TransferEncodingInHttp10IsRefused) {
  EXPECT_NE(refusal("PUT / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), "");
}

TEST(RequestHead, TwoHostsAreRefused) {
  EXPECT_NE(refusal("GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n"), "");
}

TEST(RequestHead, LengthIsFoundInTheHead) {
  auto f = request("PUT / HTTP/1.1\r\ncontent-LENGTH: 007 \r\n\r\n").framing;
  EXPECT_EQ(f.body, Framing::Body::kLength);
  EXPECT_EQ(f.length, 7u);
  f = request("PUT / HTTP/1.1\r\nTRANSFER-encoding: Chunked\r\n\r\n").framing;
  EXPECT_EQ(f.body, Framing::Body::kChunked);
  f = request("PUT / HTTP/1.1\r\nContent-Length: 9223372036854775807\r\n\r\n").framing;
  EXPECT_EQ(f.length, 9223372036854775807u);
}

TEST(RequestHead, VersionAndConnectionDecideOnKeepAlive) {
  const auto keep = [](const char* version, const char* lines) {
    return request("GET / "s + version + "\r\n" + lines + "\r\n").framing.keep_alive;
  };
  EXPECT_TRUE(keep("HTTP/1.1", ""));
  EXPECT_FALSE(keep("HTTP/1.1", "Connection: close\r\n"));
  EXPECT_FALSE(keep("HTTP/1.1", "Connection: foo , Close\r\n"));
  EXPECT_FALSE(keep("HTTP/1.1", "Connection: foo\r\nConnection: close\r\n"));
  EXPECT_FALSE(keep("HTTP/1.0", ""));
  EXPECT_TRUE(keep("HTTP/1.0", "Connection: Keep-Alive\r\n"));
  EXPECT_FALSE(keep("HTTP/1.0", "Connection: Keep-Alive, close\r\n"));
}

TEST(RequestHead, ExpectAndUpgradeAreSeen) {
  auto f = request("PUT / HTTP/1.1\r\nExpect: 100-Continue\r\n\r\n").framing;
  EXPECT_TRUE(f.expect_continue);
  EXPECT_FALSE(f.upgrade);
  f = request("PUT / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n").framing;
  EXPECT_FALSE(f.expect_continue);
  f = request("POST / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: zvm-session/1\r\n\r\n").framing;
  EXPECT_TRUE(f.upgrade);
}

TEST(RequestHead, LimitsCountBytesAndLines) {
  const auto kind = [](const std::string& bytes, Limits limits) {
    const auto parsed = parse_request_head(bytes, limits);
    return parsed ? Kind::kInternal : parsed.error().kind();
  };
  const std::string head = "GET / HTTP/1.1\r\nA: 1\r\nB: 2\r\n\r\n";
  EXPECT_EQ(kind(head, {head.size(), 2}), Kind::kInternal);
  EXPECT_EQ(kind(head, {head.size(), 1}), Kind::kOverloaded);
  EXPECT_EQ(kind(head, {head.size() - 1, 2}), Kind::kOverloaded);
  EXPECT_EQ(kind(std::string(101, 'x'), {100, 2}), Kind::kOverloaded);
  EXPECT_EQ(kind(std::string(100, 'x'), {100, 2}), Kind::kInternal);
  const std::string large = "GET / HTTP/1.1\r\nA: " + std::string(60'000, 'v') + "\r\n\r\n";
  EXPECT_EQ(request(large).headers.get("a").size(), 60'000u);
}

TEST(ResponseHead, EventletsAnswersAreUnderstood) {
  auto head = response(
      "HTTP/1.0 400 Header Line Too Long\r\nConnection: close\r\nContent-length: 0\r\n\r\n");
  EXPECT_EQ(head.status, 400u);
  EXPECT_EQ(head.reason, "Header Line Too Long");
  EXPECT_EQ(head.minor, 0);
  EXPECT_FALSE(head.framing.keep_alive);
  head = response(
      "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nEtag: \"x\"\r\nX-Timestamp: 1.0\r\n"
      "Content-Length: 12\r\nX-Trans-Id: tx1\r\n\r\n");
  EXPECT_EQ(head.framing.body, Framing::Body::kLength);
  EXPECT_EQ(head.headers.begin()[1].name, "Etag");
}

TEST(ResponseHead, ReasonMayBeEmptyOrOddText) {
  EXPECT_EQ(response("HTTP/1.1 299 \r\n\r\n").reason, "");
  EXPECT_EQ(response("HTTP/1.1 299 \t caf\xc3\xa9 ok \r\n\r\n").reason, "\t caf\xc3\xa9 ok ");
}

TEST(ResponseHead, SomeAnswersHaveNoBodyWhateverTheirLengthSays) {
  const auto body = [](const char* status, const char* method) {
    return response("HTTP/1.1 "s + status + " X\r\nContent-Length: 5\r\n\r\n", method).framing.body;
  };
  EXPECT_EQ(body("200", "HEAD"), Framing::Body::kNone);
  EXPECT_EQ(body("204", "GET"), Framing::Body::kNone);
  EXPECT_EQ(body("304", "GET"), Framing::Body::kNone);
  EXPECT_EQ(body("100", "PUT"), Framing::Body::kNone);
  EXPECT_EQ(body("200", "GET"), Framing::Body::kLength);
}

TEST(ResponseHead, WithoutALengthTheBodyEndsWithTheConnection) {
  const auto f = response("HTTP/1.1 200 OK\r\n\r\n").framing;
  EXPECT_EQ(f.body, Framing::Body::kUntilClose);
  EXPECT_FALSE(f.keep_alive);
}

TEST(ResponseHead, SwitchingProtocolsEndsHttp) {
  const auto f =
      response("HTTP/1.1 101 Switching Protocols\r\nUpgrade: zvm-session/1\r\n\r\n").framing;
  EXPECT_TRUE(f.upgrade);
  EXPECT_FALSE(f.keep_alive);
  EXPECT_EQ(f.body, Framing::Body::kNone);
}

TEST(ResponseHead, StatusLinesOfAnotherFormAreRefused) {
  for (const char* line :
      {"HTTP/1.1 200", "HTTP/1.1 20 OK", "HTTP/1.1 099 OK", "HTTP/1.1  200 OK", "HTTP/2.0 200 OK",
          "ICY 200 OK", "HTTP/1.1 2x0 OK", "HTTP/1.1 2000 OK", "", "HTTP/1.1 200 O\x01K"})
    EXPECT_NE(response_refusal(std::string(line) + "\r\n\r\n"), "") << line;
}

TEST(ResponseHead, TwoLengthsAreRefused) {
  EXPECT_NE(
      response_refusal("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n"), "");
  EXPECT_NE(response_refusal(
                "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
      "");
}

TEST(Serialize, WritesWhatTheParserReads) {
  RequestHead head;
  head.method = "POST";
  head.target = "/v1/sessions";
  head.headers.add("Host", "h");
  head.headers.add("X-Empty", "");
  const auto bytes = serialize(head);
  ASSERT_TRUE(bytes);
  EXPECT_EQ(*bytes, "POST /v1/sessions HTTP/1.1\r\nHost: h\r\nX-Empty: \r\n\r\n");
  EXPECT_EQ(request(*bytes).headers.count("x-empty"), 1u);
}

TEST(Serialize, GivesTheUsualReasonWhereThereIsNone) {
  ResponseHead head;
  head.status = 503;
  EXPECT_EQ(*serialize(head), "HTTP/1.1 503 Service Unavailable\r\n\r\n");
  head.reason = "Busy";
  EXPECT_EQ(*serialize(head), "HTTP/1.1 503 Busy\r\n\r\n");
}

TEST(Serialize, RefusesWhatWouldBeginAnotherLine) {
  for (const auto bad : {"a\r\nb"sv, "a\nb"sv, "a\rb"sv, "a\0b"sv}) {
    RequestHead value, name, target, method;
    value.method = name.method = target.method = "GET";
    value.target = name.target = method.target = "/";
    value.headers.add("A", bad);
    name.headers.add(bad, "b");
    target.target = "/" + std::string(bad);
    method.method = std::string(bad);
    EXPECT_FALSE(serialize(value));
    EXPECT_FALSE(serialize(name));
    EXPECT_FALSE(serialize(target));
    EXPECT_FALSE(serialize(method));
    ResponseHead reason;
    reason.reason = std::string(bad);
    EXPECT_FALSE(serialize(reason));
  }
}

// The body and what follows it, or the refusal in angle brackets; cut into pieces of that size.
std::string unchunk(std::string_view in, size_t piece) {
  ChunkedDecoder decoder;
  std::string body;
  size_t given = 0, used = 0;
  for (;;) {
    given = std::max(given, std::min(used + piece, in.size()));
    const auto step = decoder.feed(in.substr(used, given - used));
    if (!step) return "<" + step.error().what() + ">";
    used += step->consumed;
    body += step->data;
    if (step->done) return body + "|" + std::string(in.substr(used));
    if (step->consumed == 0 && step->data.empty() && given == in.size()) return body + "...";
  }
}

TEST(Chunked, ReadsBodiesHoweverTheyAreCut) {
  constexpr auto kWire =
      "5\r\nhello\r\n00a;name=\"value\";x\r\n, wide wor\r\n2\r\nld\r\n0\r\nT: x\r\nU:y\r\n\r\nGET"sv;
  for (size_t piece = 1; piece <= kWire.size(); ++piece)
    EXPECT_EQ(unchunk(kWire, piece), "hello, wide world|GET") << piece;
  EXPECT_EQ(unchunk("0\r\n\r\n", 100), "|");
  EXPECT_EQ(unchunk("3\r\nab", 100), "ab...");
}

TEST(Chunked, RefusesWhatIsNotExactlyChunked) {
  for (const auto wire : {"\r\n"sv, "x\r\n"sv, "5 \r\nhello\r\n"sv, "5\nhello\r\n"sv, "-5\r\n"sv,
           "0x5\r\nhello\r\n"sv, "5\r\nhello!\r\n"sv, "5\r\nhello\n"sv, "5\r\nhello\rx"sv,
           "5;a\nb\r\n"sv, "5\rx"sv, "0\r\nA: b\n\r\n"sv, "0\r\nA: \0\r\n\r\n"sv, "0\r\n\rx"sv,
           "0000000000000005\r\nhello\r\n"sv, "ffffffffffffffff\r\n"sv})
    for (const size_t piece : {1, 100}) EXPECT_EQ(unchunk(wire, piece).substr(0, 1), "<") << wire;
}

TEST(Chunked, BoundsExtensionsAndTrailers) {
  EXPECT_EQ(unchunk("1;" + std::string(2000, 'x'), 100).substr(0, 1), "<");
  EXPECT_EQ(unchunk("0\r\n" + std::string(20'000, 'x'), 100).substr(0, 1), "<");
  std::string lines = "0\r\n";
  for (int i = 0; i < 10'000; ++i) lines += "a: b\r\n";
  EXPECT_EQ(unchunk(lines, 100).substr(0, 1), "<");
}

TEST(Chunked, HeadsOfChunksAreHexadecimal) {
  EXPECT_EQ(chunk_head(26), "1a\r\n");
  EXPECT_EQ(unchunk(chunk_head(3) + "abc\r\n" + std::string(kLastChunk), 100), "abc|");
}

TEST(Headers, FindSetAddAndRemoveWithoutCase) {
  Headers h;
  h.add("A", "1");
  h.add("b", "2");
  h.add("a", "3");
  EXPECT_EQ(h.get("a"), "1");
  EXPECT_EQ(h.count("A"), 2u);
  h.set("a", h.get("b"));
  EXPECT_EQ(h.size(), 2u);
  EXPECT_EQ(h.begin()->value, "2");
  h.set("new", "4");
  EXPECT_EQ(h.get("NEW"), "4");
  h.remove("A");
  EXPECT_EQ(h.find("a"), nullptr);
  EXPECT_EQ(h.get("a"), "");
}

TEST(Headers, TokensOfLists) {
  Headers h;
  h.add("Connection", " keep-alive ,\tUpgrade");
  h.add("connection", "x");
  EXPECT_TRUE(h.has_token("Connection", "upgrade"));
  EXPECT_TRUE(h.has_token("Connection", "X"));
  EXPECT_FALSE(h.has_token("Connection", "keep"));
  EXPECT_FALSE(h.has_token("Connection", "keep-alive ,\tUpgrade"));
}

}  // namespace

}  // namespace zvm::http
