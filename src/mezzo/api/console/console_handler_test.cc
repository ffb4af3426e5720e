#include "mezzo/api/console/console_handler.h"

#include <algorithm>
#include <array>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/api/gate.h"
#include "mezzo/net/testing/exchange.h"
#include "mezzo/testing/manual_clock.h"

namespace mezzo::api::console {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using Headers = std::vector<std::pair<std::string, std::string>>;

const std::array<ConsoleAsset, 3> kAssets = {ConsoleAsset{.path = "/console/",
                                                          .content_type = "text/html; charset=utf-8",
                                                          .etag = "\"page\"",
                                                          .plain = AsBytes("<html>"),
                                                          .gzip = {}},
                                             ConsoleAsset{.path = "/console/assets/index-1.js",
                                                          .content_type = "text/javascript; charset=utf-8",
                                                          .etag = "\"script\"",
                                                          .plain = AsBytes("alert(1)"),
                                                          .gzip = AsBytes("packed")},
                                             ConsoleAsset{.path = "/console/icon.svg",
                                                          .content_type = "image/svg+xml",
                                                          .etag = "\"icon\"",
                                                          .plain = AsBytes("<svg/>"),
                                                          .gzip = {}}};

class ConsoleHandlerTest : public ::testing::Test {
 protected:
  net::HttpResponse Send(const std::string& method, const std::string& target, const Headers& headers = {}) {
    net::testing::MadeRequest request(method, target, headers);
    return net::testing::Exchange(gate_, request);
  }
  net::HttpResponse Get(const std::string& target, const Headers& headers = {}) {
    return Send("GET", target, headers);
  }
  static std::string HeaderOf(const net::HttpResponse& response, const std::string& name) {
    for (const auto& [have, value] : response.headers) {
      if (have == name) return value;
    }
    return "none";
  }
  static std::string BodyOf(const net::HttpResponse& response) {
    std::string body = response.text;
    for (const auto& piece : response.pieces) body += piece.text();
    return body;
  }

  mezzo::testing::ManualClock clock_;
  ConsoleHandler handler_{
      {.version = "1.2.3",
       .issuers = {{.url = "https://id.example/realms/main", .client_id = "console", .scope = "openid"}},
       .media_origins = {"https://bucket.example"}},
      kAssets};
  const tenancy::Directory nobody_{{}, clock_};  // The console is open to everybody.
  Gate gate_{{{.protocol = &handler_, .prefixes = {ConsoleHandler::kRoot}}}, nobody_};
};

TEST_F(ConsoleHandlerTest, ThePageIsServedToEverybodyAndAlwaysAskedForAgain) {
  for (const char* path : {"/console", "/console/", "/console/?a=b"}) {
    const auto response = Get(path);
    EXPECT_EQ(response.status, 200) << path;
    EXPECT_EQ(BodyOf(response), "<html>");
    EXPECT_EQ(HeaderOf(response, "Cache-Control"), "no-cache");
    EXPECT_EQ(HeaderOf(response, "ETag"), "\"page\"");
    EXPECT_EQ(response.content_type, "text/html; charset=utf-8");
  }
}

TEST_F(ConsoleHandlerTest, NothingInlineRunsAndNobodyFramesIt) {
  for (const char* path :
       {"/console", "/console/assets/index-1.js", "/console/nothing", "/console/sign-in.json"}) {
    const auto policy = HeaderOf(Get(path), "Content-Security-Policy");
    EXPECT_THAT(policy, HasSubstr("default-src 'none'")) << path;
    EXPECT_THAT(policy, HasSubstr("script-src 'self';"));
    EXPECT_THAT(policy, HasSubstr("frame-ancestors 'none'"));
    EXPECT_THAT(policy, HasSubstr("connect-src 'self' https://id.example;"));
    EXPECT_THAT(policy, HasSubstr("img-src 'self' blob: data: https://bucket.example;"));
    EXPECT_THAT(policy, Not(HasSubstr("unsafe")));
    EXPECT_EQ(HeaderOf(Get(path), "X-Content-Type-Options"), "nosniff");
  }
}

TEST_F(ConsoleHandlerTest, FilesWithAHashInTheirNameAreKeptForGood) {
  const auto plain = Get("/console/assets/index-1.js");
  EXPECT_EQ(BodyOf(plain), "alert(1)");
  EXPECT_EQ(HeaderOf(plain, "Cache-Control"), "public, max-age=31536000, immutable");
  EXPECT_EQ(HeaderOf(plain, "Content-Encoding"), "none");
  const auto packed = Get("/console/assets/index-1.js", {{"Accept-Encoding", "br;q=1, gzip;q=0.8"}});
  EXPECT_EQ(BodyOf(packed), "packed");
  EXPECT_EQ(HeaderOf(packed, "Content-Encoding"), "gzip");
  EXPECT_EQ(HeaderOf(packed, "Vary"), "Accept-Encoding");
  EXPECT_EQ(BodyOf(Get("/console/icon.svg", {{"Accept-Encoding", "gzip"}})), "<svg/>")
      << "there is no smaller form";
}

TEST_F(ConsoleHandlerTest, WhoHasItIsToldSo) {
  const auto same = Get("/console/", {{"If-None-Match", "\"other\", W/\"page\""}});
  EXPECT_EQ(same.status, 304);
  EXPECT_EQ(BodyOf(same), "");
  EXPECT_EQ(HeaderOf(same, "ETag"), "\"page\"");
  EXPECT_EQ(Get("/console/", {{"If-None-Match", "\"other\""}}).status, 200);
}

TEST_F(ConsoleHandlerTest, WhatIsNotInTheListIsNotThere) {
  for (const char* path :
       {"/console/x", "/console/assets/", "/console/assets/index-1.js/x", "/console/assets/%2e%2e%5cpasswd",
        "/console/assets", "/console/assets/index-1.JS", "/consolex"}) {
    EXPECT_EQ(Get(path).status, 404) << path;
  }
  const auto post = Send("POST", "/console");
  EXPECT_EQ(post.status, 405);
  EXPECT_EQ(HeaderOf(post, "Allow"), "GET, HEAD");
}

TEST_F(ConsoleHandlerTest, TheSignInSaysHowPeopleMay) {
  const auto response = Get("/console/sign-in.json");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(HeaderOf(response, "Cache-Control"), "no-store");
  EXPECT_EQ(BodyOf(response),
            R"({"object":"sign_in","version":"1.2.3","issuers":[{"issuer":"https://id.example/realms/main",)"
            R"("client_id":"console","scope":"openid"}]})");
}

TEST(OriginOf, TakesTheOriginAlone) {
  EXPECT_EQ(OriginOf("https://id.example/realms/main"), "https://id.example");
  EXPECT_EQ(OriginOf("http://127.0.0.1:9000"), "http://127.0.0.1:9000");
  EXPECT_EQ(OriginOf("https://[::1]:8443/x?y"), "https://[::1]:8443");
  for (const char* url :
       {"", "https://", "ftp://a", "https://a;script-src *", "https://a b", "javascript:alert(1)"}) {
    EXPECT_EQ(OriginOf(url), "") << url;
  }
}

TEST(AcceptsGzip, HeedsQualities) {
  for (const char* yes : {"gzip", "deflate, gzip", "GZIP;q=0.5", "*", "*;q=0, gzip"})
    EXPECT_TRUE(AcceptsGzip(yes)) << yes;
  for (const char* no : {"", "deflate", "gzip;q=0", "gzip; q=0.000", "*;q=0", "gzip;q=0, *", "identity"}) {
    EXPECT_FALSE(AcceptsGzip(no)) << no;
  }
}

TEST(ConsoleAssets, AreAWholeConsoleOrNone) {
  const auto assets = ConsoleAssets();
  if (assets.empty()) GTEST_SKIP() << "built without the console";
  EXPECT_TRUE(std::is_sorted(assets.begin(), assets.end(),
                             [](const auto& a, const auto& b) { return a.path < b.path; }));
  const auto page =
      std::find_if(assets.begin(), assets.end(), [](const auto& a) { return a.path == "/console/"; });
  ASSERT_NE(page, assets.end());
  EXPECT_THAT(std::string(AsText(page->plain)), HasSubstr("/console/assets/"));
  for (const auto& asset : assets) {
    EXPECT_FALSE(asset.plain.empty()) << asset.path;
    EXPECT_GE(asset.etag.size(), 34U) << asset.path;
    if (!asset.gzip.empty()) {
      EXPECT_LT(asset.gzip.size(), asset.plain.size());
      EXPECT_EQ(static_cast<unsigned char>(asset.gzip[0]), 0x1f);
    }
  }
}

}  // namespace
}  // namespace mezzo::api::console
