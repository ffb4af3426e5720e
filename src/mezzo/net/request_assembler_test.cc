#include "mezzo/net/internal/request_assembler.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/net/internal/chunk_decoder.h"
#include "mezzo/net/testing/made_request.h"

namespace mezzo::net {
namespace {

using ::testing::HasSubstr;

struct Outcome {
  int status = 0;  // 0: accepted.
  std::string message;
};

Outcome Parse(std::string_view head, RequestAssembler::Limits limits = {}) {
  RequestAssembler assembler(limits);
  HttpRequest request;
  const bool good =
      assembler.FindHead(head) && assembler.Assemble(head.substr(0, assembler.head_size()), &request);
  if (good) return {};
  if (!assembler.error()) return {-1, "incomplete"};
  return {assembler.error()->status, assembler.error()->message};
}

Outcome ParseWith(std::string_view header_lines) {
  return Parse("POST / HTTP/1.1\r\nHost: a\r\n" + std::string(header_lines) + "\r\n");
}

TEST(RequestAssembler, FindsMethodPathQueryAndHeaders) {
  testing::MadeRequest request("POST", "/v2/models/a%20b/infer?x=1&y=a%2Bb+c&z",
                               {{"X-One", " 1 "}, {"x-ONE", "2"}});

  EXPECT_EQ(request->method(), Method::kPost);
  EXPECT_EQ(request->path(), "/v2/models/a b/infer");
  EXPECT_EQ(request->QueryValue("y"), "a+b c");
  EXPECT_EQ(request->QueryValue("z"), "");
  EXPECT_EQ(request->QueryValue("w"), std::nullopt);
  EXPECT_EQ(request->Header("x-one"), "1");
  EXPECT_EQ(request->headers().size(), 3u);
}

TEST(RequestAssembler, SeesTheSameHeadAtEverySplit) {
  const std::string head = "GET /a HTTP/1.1\r\nHost: h\r\nX: 1\r\n\r\n";
  for (std::size_t cut = 0; cut < head.size(); ++cut) {
    RequestAssembler assembler({});
    ASSERT_FALSE(assembler.FindHead(std::string_view(head).substr(0, cut))) << cut;
    ASSERT_TRUE(assembler.FindHead(head)) << cut;
    EXPECT_EQ(assembler.head_size(), head.size());
  }
}

TEST(RequestAssembler, AcceptsAbsoluteTargetsAndOptionsOfAll) {
  EXPECT_EQ(testing::MadeRequest("GET", "http://host:1/p?q=1")->path(), "/p");
  EXPECT_EQ(testing::MadeRequest("GET", "http://host")->path(), "/");
  EXPECT_EQ(testing::MadeRequest("OPTIONS", "*")->path(), "*");
}

TEST(RequestAssembler, RefusesBadTargets) {
  for (const std::string target : {"/a%", "/a%2", "/%zz", "/a%00b", "/../a", "/a/..", "/a/%2e%2e/b", "/./a",
                                   "/a%2fb", "/a%2Fb", "/a%0ab", "a", "*", "/a#b", "/?a=%g0"}) {
    EXPECT_EQ(Parse("GET " + target + " HTTP/1.1\r\nHost: a\r\n\r\n").status, 400) << target;
  }
  EXPECT_EQ(Parse("GET /a..b/...%2e HTTP/1.1\r\nHost: a\r\n\r\n").status, 0);
  EXPECT_EQ(testing::MadeRequest("GET", "/%252e%252e/")->path(), "/%2e%2e/");  // Decoded once, never twice.
}

TEST(RequestAssembler, RefusesWhatProxiesReadDifferently) {
  struct Case {
    std::string lines;
    int status;
    std::string message;
  };
  const std::vector<Case> cases = {
      {"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400, ""},
      {"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", 400, ""},
      {"Content-Length: 5\r\nContent-Length: 6\r\n", 400, "Content-Length"},
      {"Content-Length: 5, 5\r\n", 400, "bad Content-Length '5, 5'"},
      {"Content-Length: +5\r\n", 400, "bad Content-Length"},
      {"Content-Length: -1\r\n", 400, "bad Content-Length"},
      {"Content-Length: 0x5\r\n", 400, "bad Content-Length"},
      {"Content-Length: \r\n", 400, "bad Content-Length"},
      {"Content-Length: 99999999999999999999\r\n", 400, "bad Content-Length"},
      {"Content-Length : 5\r\n", 400, "bad header name"},
      {" X: 5\r\n", 400, ""},
      {"X: 1\r\n folded\r\n", 400, "folded"},
      {"X:\r\n folded\r\n", 400, "folded"},
      {"X: 1\r\n \r\n", 400, "folded"},
      {"X: 1\nY: 2\r\n", 400, "line ending"},
      {"X: 1\rY: 2\r\n", 400, ""},
      {std::string("X: 1\0\r\n", 7), 400, "header value"},
      {": 1\r\n", 400, "bad header name"},
      {"No colon\r\n", 400, "bad header name"},
      {"Transfer-Encoding: gzip, chunked\r\n", 501, "gzip, chunked"},
      {"Transfer-Encoding: identity\r\n", 501, "identity"},
      {"Transfer-Encoding: xchunked\r\n", 501, "xchunked"},
      {"Transfer-Encoding: gzip\r\nContent-Length: 5\r\n", 501, "gzip"},
      {"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400, ""},
      {"Host: b\r\n", 400, "more than one Host"},
      {"Expect: nothing\r\n", 417, "nothing"},
      {"Content-Encoding: br\r\n", 415, "'br'"},
  };
  for (const Case& c : cases) {
    const Outcome outcome = ParseWith(c.lines);
    EXPECT_EQ(outcome.status, c.status) << c.lines;
    EXPECT_THAT(outcome.message, HasSubstr(c.message)) << c.lines;
  }
  EXPECT_EQ(ParseWith("Content-Length: 5\r\nContent-Length: 5\r\n").status, 0);
  EXPECT_EQ(ParseWith("transfer-encoding: Chunked\r\n").status, 0);
  EXPECT_EQ(ParseWith("X:\r\nY: \t v \t\r\n").status, 0);
}

TEST(RequestAssembler, NamesTheRequestLineThatIsWrong) {
  EXPECT_EQ(Parse("GET / HTTP/2.0\r\n\r\n").status, 505);
  EXPECT_THAT(Parse("GET / HTTP/2.0\r\n\r\n").message, HasSubstr("'HTTP/2.0'"));
  EXPECT_EQ(Parse("GET / HTTP/1.2\r\n\r\n").status, 505);
  EXPECT_EQ(Parse("GET / HTTX/1.1\r\n\r\n").status, 400);
  EXPECT_EQ(Parse("GET /\r\n\r\n").status, 400);
  EXPECT_EQ(Parse("G@T / HTTP/1.1\r\n\r\n").status, 400);
  EXPECT_THAT(Parse("G@T / HTTP/1.1\r\n\r\n").message, HasSubstr("'G@T / HTTP/1.1'"));
  EXPECT_EQ(Parse("GET / HTTP/1.1\r\n\r\n").status, 400);  // No Host.
  EXPECT_EQ(Parse("GET / HTTP/1.0\r\n\r\n").status, 0);
  EXPECT_EQ(Parse("GET / HTTP/1.1\n\n").status, 400);
}

TEST(RequestAssembler, KeepsItsLimits) {
  const RequestAssembler::Limits limits{.max_header_bytes = 256, .max_headers = 4, .max_request_line = 64};
  const auto get = [](std::size_t target, const std::string& headers) {
    return "GET /" + std::string(target, 'a') + " HTTP/1.1\r\nHost: a\r\n" + headers + "\r\n";
  };
  EXPECT_EQ(Parse(get(50, ""), limits).status, 0);  // 64 bytes of request line.
  EXPECT_EQ(Parse(get(51, ""), limits).status, 414);
  EXPECT_EQ(Parse(std::string(70, 'a'), limits).status, 414);  // Before its end is seen.
  EXPECT_EQ(Parse(get(1, "A: 1\r\nB: 1\r\nC: 1\r\n"), limits).status, 0);
  EXPECT_EQ(Parse(get(1, "A: 1\r\nB: 1\r\nC: 1\r\nD: 1\r\n"), limits).status, 431);
  EXPECT_EQ(Parse(get(1, "A: " + std::string(300, 'x') + "\r\n"), limits).status, 431);
  EXPECT_EQ(Parse(get(1, "A: " + std::string(190, 'x')).substr(0, 200), limits).status, -1);
}

class ChunkDecoderTest : public ::testing::Test {
 protected:
  std::optional<HttpError> Decode(std::string_view in, ChunkDecoder::Limits limits, std::size_t step) {
    ChunkDecoder decoder(limits, &body_);
    std::string pending;
    while (!decoder.done() && !decoder.error() && !in.empty()) {
      pending += in.substr(0, step);
      in.remove_prefix(std::min(step, in.size()));
      pending.erase(0, decoder.Decode(pending));
    }
    done_ = decoder.done();
    return decoder.error();
  }
  std::shared_ptr<ByteBudget> budget_ = std::make_shared<ByteBudget>(1 << 20);
  BodyBuffer body_{budget_, 0};
  bool done_ = false;
};

TEST_F(ChunkDecoderTest, DecodesAtEveryStepSize) {
  const std::string wire = "5;x=1\r\nhello\r\n1\r\n \r\nA\r\n0123456789\r\n0\r\nT: 1\r\n\r\n";
  for (std::size_t step = 1; step <= wire.size(); ++step) {
    EXPECT_FALSE(Decode(wire, {.max_body = 100, .max_chunks = 10}, step)) << step;
    EXPECT_TRUE(done_);
    EXPECT_EQ(body_.Take().text(), "hello 0123456789");
  }
}

TEST_F(ChunkDecoderTest, RefusesBadChunksAndLimits) {
  const ChunkDecoder::Limits limits{.max_body = 8, .max_chunks = 2};
  EXPECT_EQ(Decode("x\r\n", limits, 100).value().status, 400);
  EXPECT_EQ(Decode("5\r\nhelloXXXX", limits, 100).value().status, 400);
  EXPECT_EQ(Decode("fffffffffffffffff\r\n", limits, 100).value().status, 400);
  EXPECT_EQ(Decode("9\r\n", limits, 100).value().status, 413);
  EXPECT_EQ(Decode("ffffffffffffffff\r\n", limits, 100).value().status, 413);
  body_ = BodyBuffer(budget_, 0);
  EXPECT_THAT(Decode("1\r\na\r\n1\r\nb\r\n1\r\nc\r\n", limits, 100).value().message,
              HasSubstr("limit of 2 chunks"));
}

TEST(BodyBuffer, AlignsTheAskedForByteAndGivesTheBudgetBack) {
  const auto budget = std::make_shared<ByteBudget>(10'000);
  for (const std::size_t offset : {0, 1, 63, 64, 100}) {
    BodyBuffer buffer(budget, offset);
    const std::string text(5000, 'x');
    ASSERT_TRUE(buffer.Append(text.data(), text.size(), 8000));
    SharedBytes bytes = buffer.Take();
    EXPECT_EQ((reinterpret_cast<std::uintptr_t>(bytes.data()) + offset) % 64, 0u) << offset;
    const SharedBytes slice = bytes.Slice(10, 10);
    bytes = {};
    EXPECT_GE(budget->used(), 5000u);
  }
  EXPECT_EQ(budget->used(), 0u);
  BodyBuffer buffer(budget, 0);
  EXPECT_FALSE(buffer.Reserve(10'001));
  EXPECT_TRUE(buffer.Reserve(10'000));
}

}  // namespace
}  // namespace mezzo::net
