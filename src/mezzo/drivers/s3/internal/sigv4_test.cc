#include "mezzo/drivers/s3/internal/sigv4.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/base/strings.h"

namespace mezzo::drivers::internal {
namespace {

using std::chrono::hours;
using std::chrono::seconds;
using ::testing::EndsWith;
using ::testing::HasSubstr;

// The examples of "Signature Calculations for the Authorization Header" and "Authenticating Requests: Using
// Query Parameters" in the Amazon S3 API Reference: their keys, their time, their signatures.
const SigningKeys kKeys{.access_key = "AKIAIOSFODNN7EXAMPLE",
                        .secret_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
                        .session_token = ""};
const WallTime kTime{seconds(1'369'353'600)};  // 2013-05-24T00:00:00Z
constexpr const char* kHost = "examplebucket.s3.amazonaws.com";

std::string Authorization(SignedParts parts) {
  SignRequest(parts, kKeys, "us-east-1", kTime);
  for (const auto& [name, value] : parts.headers) {
    if (name == "authorization") return value;
  }
  return "";
}

TEST(SigV4, SignsThePublishedGetObject) {
  EXPECT_EQ(Authorization({.method = "GET",
                           .host = kHost,
                           .path = "/test.txt",
                           .query = {},
                           .headers = {{"range", "bytes=0-9"}},
                           .payload = Sha256Hex("")}),
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
            "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,"
            "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
}

TEST(SigV4, SignsThePublishedPutObject) {
  EXPECT_THAT(Authorization({.method = "PUT",
                             .host = kHost,
                             .path = EncodePath("/test$file.text"),
                             .query = {},
                             .headers = {{"date", "Fri, 24 May 2013 00:00:00 GMT"},
                                         {"x-amz-storage-class", "REDUCED_REDUNDANCY"}},
                             .payload = Sha256Hex("Welcome to Amazon S3.")}),
              EndsWith("Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"));
}

TEST(SigV4, SignsThePublishedQueriesWithAndWithoutValues) {
  EXPECT_THAT(Authorization({.method = "GET",
                             .host = kHost,
                             .path = "/",
                             .query = {{"lifecycle", ""}},
                             .headers = {},
                             .payload = Sha256Hex("")}),
              EndsWith("Signature=fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"));
  EXPECT_THAT(Authorization({.method = "GET",
                             .host = kHost,
                             .path = "/",
                             .query = {{"prefix", "J"}, {"max-keys", "2"}},
                             .headers = {},
                             .payload = Sha256Hex("")}),
              EndsWith("Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"));
}

TEST(SigV4, PresignsThePublishedUrl) {
  const SignedParts parts{
      .method = "GET", .host = kHost, .path = "/test.txt", .query = {}, .headers = {}, .payload = ""};
  EXPECT_EQ(PresignedQuery(parts, kKeys, "us-east-1", kTime, hours(24)),
            "X-Amz-Algorithm=AWS4-HMAC-SHA256"
            "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
            "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
            "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
}

TEST(SigV4, TemporaryCredentialsCarryTheirToken) {
  SigningKeys keys = kKeys;
  keys.session_token = "a/token+=";
  SignedParts parts{
      .method = "GET", .host = kHost, .path = "/a", .query = {}, .headers = {}, .payload = Sha256Hex("")};
  EXPECT_THAT(PresignedQuery(parts, keys, "us-east-1", kTime, hours(1)),
              HasSubstr("&X-Amz-Security-Token=a%2Ftoken%2B%3D&"));
  SignRequest(parts, keys, "us-east-1", kTime);
  EXPECT_THAT(parts.headers,
              ::testing::Contains(std::make_pair(std::string("x-amz-security-token"), keys.session_token)));
  EXPECT_THAT(parts.headers.back().second, HasSubstr("x-amz-date;x-amz-security-token,"));
}

TEST(SigV4, EncodesPathsAndQueries) {
  EXPECT_EQ(EncodePath("/a b/c+d/"), "/a%20b/c%2Bd/");
  EXPECT_EQ(EncodePath("/"), "/");
  EXPECT_EQ(EncodeQuery({{"b", "2"}, {"a", "x y"}, {"a-", ""}}), "a=x%20y&a-=&b=2");
}

}  // namespace
}  // namespace mezzo::drivers::internal
