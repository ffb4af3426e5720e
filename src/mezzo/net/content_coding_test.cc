#include "mezzo/net/internal/content_coding.h"

#include <zlib.h>

#include <random>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/net/testing/server_fixture.h"
#include "mezzo/runtime/pool.h"

namespace mezzo::net {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using testing::RawClient;
using testing::ServerTest;

/// Bytes that don't compress, the same in every run.
std::string Noise(std::size_t size) {
  std::string noise;
  std::minstd_rand random(1);
  while (noise.size() < size) noise += static_cast<char>(random() >> 8);
  return noise;
}

std::string RawDeflate(const std::string& text) {
  z_stream stream{};
  deflateInit2(&stream, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY);
  std::string out(text.size() + 100, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string Decoded(ContentCoding coding, const std::string& encoded) {
  BodyBuffer out(std::make_shared<ByteBudget>(100 << 20), 0);
  const auto failure = Inflate(coding, AsBytes(encoded), {.max_size = 64 << 20, .max_ratio = 2000}, &out);
  if (failure) return std::to_string(failure->status) + " " + failure->message;
  return std::string(out.Take().text());
}

TEST(ContentCoding, RoundTripsTextAndPieces) {
  const std::string noise = Noise(300'000);
  const std::vector<SharedBytes> pieces = {SharedBytes::FromString(noise), SharedBytes::FromString("end")};
  for (const ContentCoding coding : {ContentCoding::kGzip, ContentCoding::kDeflate}) {
    EXPECT_EQ(Decoded(coding, Compress(coding, "head", pieces)), "head" + noise + "end");
    EXPECT_EQ(Decoded(coding, Compress(coding, "", {})), "");
  }
  EXPECT_EQ(Decoded(ContentCoding::kDeflate, RawDeflate("no zlib header")), "no zlib header");
}

TEST(ContentCoding, RefusesDamagedBodies) {
  const std::string good = Compress(ContentCoding::kGzip, std::string(1000, 'a'), {});
  EXPECT_THAT(Decoded(ContentCoding::kGzip, good.substr(0, good.size() - 3)),
              HasSubstr("400 request body is not valid gzip"));
  EXPECT_THAT(Decoded(ContentCoding::kGzip, good + "x"), HasSubstr("400 request body has bytes after"));
  EXPECT_THAT(Decoded(ContentCoding::kGzip, "hello"), HasSubstr("400"));
  EXPECT_THAT(Decoded(ContentCoding::kGzip, ""), HasSubstr("400"));
  std::string flipped = good;
  flipped[good.size() - 6] = static_cast<char>(~flipped[good.size() - 6]);
  EXPECT_THAT(Decoded(ContentCoding::kGzip, flipped), HasSubstr("400"));
}

TEST(ContentCoding, StopsBombsBySizeAndByRatio) {
  const auto budget = std::make_shared<ByteBudget>(100 << 20);
  const std::string bomb = Compress(ContentCoding::kGzip, std::string(20 << 20, '\0'), {});
  {
    BodyBuffer out(budget, 0);
    const auto failure =
        Inflate(ContentCoding::kGzip, AsBytes(bomb), {.max_size = 3'000'000, .max_ratio = 100'000}, &out);
    EXPECT_EQ(failure->message, "decoded request body exceeds the limit of 3000000 bytes");
    EXPECT_LE(budget->used(), 6'000'000u);
  }
  BodyBuffer out(budget, 0);
  EXPECT_THAT(
      Inflate(ContentCoding::kGzip, AsBytes(bomb), {.max_size = 64 << 20, .max_ratio = 100}, &out)->message,
      HasSubstr("exceeds 100 times its encoded size"));
  EXPECT_LT(out.size(), bomb.size() * 101 + (64u << 10));
}

TEST(ContentCoding, ABodyOfExactlyTheLimitIsAccepted) {
  BodyBuffer out(std::make_shared<ByteBudget>(1 << 20), 0);
  const std::string encoded = Compress(ContentCoding::kGzip, std::string(5000, 'x'), {});
  EXPECT_FALSE(Inflate(ContentCoding::kGzip, AsBytes(encoded), {.max_size = 5000}, &out));
  BodyBuffer small(std::make_shared<ByteBudget>(1 << 20), 0);
  EXPECT_EQ(Inflate(ContentCoding::kGzip, AsBytes(encoded), {.max_size = 4999}, &small)->status, 413);
}

TEST(ContentCoding, ChoosesByQuality) {
  const auto name = [](std::string_view header) { return CodingName(ChooseCoding(header)); };
  EXPECT_EQ(name(""), "");
  EXPECT_EQ(name("gzip, deflate, br"), "gzip");
  EXPECT_EQ(name("deflate"), "deflate");
  EXPECT_EQ(name("gzip;q=0.5, deflate;q=0.8"), "deflate");
  EXPECT_EQ(name("gzip;q=0"), "");
  EXPECT_EQ(name("gzip; q=0.000, *;q=0"), "");
  EXPECT_EQ(name("*"), "gzip");
  EXPECT_EQ(name("identity"), "");
  EXPECT_EQ(name("GZIP;q=1.0"), "gzip");
}

class CodingServerTest : public ServerTest {};

TEST_F(CodingServerTest, DecodesRequestsAndKeepsTheAlignment) {
  runtime::BlockingPool pool({.name = "codec"});
  Options().codec_pool = &pool;
  Start();
  RawClient client = Connect();
  const std::string small = Compress(ContentCoding::kGzip, "small body", {});
  EXPECT_EQ(client.Exchange(Post("/echo", small, "Content-Encoding: gzip\r\n"))->body, "small body");
  const std::string noise = Noise(100'000);
  const std::string large = Compress(ContentCoding::kDeflate, noise, {});
  ASSERT_GT(large.size(), 16u << 10);
  EXPECT_EQ(client.Exchange(Post("/echo", large, "Content-Encoding: deflate\r\n"))->body, noise);
  EXPECT_EQ(client.Exchange(Post("/align?offset=37", large, "Content-Encoding: deflate\r\n"))->body,
            "0 100000");
  server().Stop();
}

TEST_F(CodingServerTest, RefusesABombWithItsSize) {
  Start();
  const std::string bomb = Compress(ContentCoding::kGzip, std::string(20 << 20, '\0'), {});
  const auto response = Connect().Exchange(Post("/echo", bomb, "Content-Encoding: gzip\r\n"));
  EXPECT_EQ(response->status, 413);
  EXPECT_EQ(Connect().Exchange(Post("/echo", "junk", "Content-Encoding: gzip\r\n"))->status, 400);
  const auto unknown = Connect().Exchange(Post("/echo", "junk", "Content-Encoding: zstd\r\n"));
  EXPECT_EQ(unknown->status, 415);
  EXPECT_THAT(unknown->head, HasSubstr("Accept-Encoding: gzip, deflate"));
}

TEST_F(CodingServerTest, CompressesWhatTheClientAccepts) {
  Start();
  RawClient client = Connect();
  const auto zipped = client.Exchange("GET /text HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
  EXPECT_THAT(zipped->head, HasSubstr("Content-Encoding: gzip"));
  EXPECT_THAT(zipped->head, HasSubstr("Vary: Accept-Encoding"));
  EXPECT_EQ(Decoded(ContentCoding::kGzip, zipped->body), std::string(50'000, 't'));
  const auto plain = client.Exchange("GET /text HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_THAT(plain->head, Not(HasSubstr("Content-Encoding")));
  EXPECT_EQ(plain->body.size(), 50'000u);
}

}  // namespace
}  // namespace mezzo::net
