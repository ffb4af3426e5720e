#include "mezzo/storage/url_signer.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/base/strings.h"
#include "mezzo/storage/blob_checks.h"

namespace mezzo::storage {
namespace {

using net::Method;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::StartsWith;

const WallTime kNow{seconds(1'700'000'000)};

/// A URL taken apart as the HTTP server would.
struct Request {
  std::string key;
  std::vector<net::QueryParameter> query;
};

std::string Decode(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%') {
      out += static_cast<char>(std::stoi(std::string(text.substr(i + 1, 2)), nullptr, 16));
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

Request Take(const std::string& url, const std::string& base) {
  const std::size_t question = url.find('?');
  Request request{.key = url.substr(base.size() + 1, question - base.size() - 1), .query = {}};
  const std::string query = url.substr(question + 1);
  for (const std::string_view pair : Split(query, '&')) {
    const std::size_t equals = pair.find('=');
    request.query.push_back({std::string(pair.substr(0, equals)), Decode(pair.substr(equals + 1))});
  }
  return request;
}

class UrlSignerTest : public ::testing::Test {
 protected:
  static UrlSigner::Secret Secret(const std::string& id, char fill = 's') {
    return {.id = id, .secret = std::string(32, fill)};
  }
  Request Signed(const BlobUrlOptions& options = {}) {
    return Take(*signer_->Sign(key_, options, kNow), kBase);
  }
  /// "" for a grant, otherwise the reason.
  std::string Outcome(const Request& request, WallTime now = kNow, Method method = Method::kGet) {
    const auto grant = signer_->Verify(method, request.key, request.query, now);
    return grant.ok() ? "" : grant.error().reason();
  }

  const std::string kBase = "https://files.example.org/v1/artifacts";
  const BlobKey key_ = *BlobKey::Parse("acme/job-1/2/film.mp4");
  std::unique_ptr<UrlSigner> signer_ = *UrlSigner::Create(kBase, {Secret("k1")});
};

TEST_F(UrlSignerTest, GrantsWhatItSigned) {
  const auto url = signer_->Sign(key_, {.lifetime = minutes(5), .file_name = "Film \xC3\xBC+1&2.mp4"}, kNow);
  ASSERT_TRUE(url.ok()) << url.error().ToString();
  EXPECT_THAT(
      *url,
      StartsWith(kBase + "/acme/job-1/2/film.mp4?expires=1700000300&key=k1&name=Film%20%C3%BC%2B1%262.mp4"));

  const Request request = Take(*url, kBase);
  const auto grant = signer_->Verify(Method::kGet, request.key, request.query, kNow);
  ASSERT_TRUE(grant.ok()) << grant.error().ToString();
  EXPECT_EQ(grant->key, key_);
  EXPECT_EQ(grant->file_name, "Film \xC3\xBC+1&2.mp4");
  EXPECT_EQ(grant->expires_at, kNow + minutes(5));
}

TEST_F(UrlSignerTest, EndsAtItsTime) {
  const Request request = Signed({.lifetime = minutes(5), .file_name = ""});
  EXPECT_EQ(Outcome(request, kNow + minutes(5) - seconds(1)), "");
  EXPECT_EQ(Outcome(request, kNow + minutes(5)), "blob_url_expired");
}

TEST_F(UrlSignerTest, AllowsGetOnly) {
  for (const Method method : {Method::kHead, Method::kPost, Method::kPut, Method::kDelete, Method::kPatch,
                              Method::kOptions, Method::kOther}) {
    EXPECT_EQ(Outcome(Signed(), kNow, method), "blob_url_invalid");
  }
}

TEST_F(UrlSignerTest, RefusesEveryChangeOfASignedUrl) {
  for (const std::string& key : {"acme/job-1/2/other.mp4", "acme/job-1/3/film.mp4", "other/job-1/2/film.mp4",
                                 "acme/job-1/2/../../../etc/passwd", "", "/acme/job-1/2/film.mp4"}) {
    Request request = Signed();
    request.key = key;
    EXPECT_EQ(Outcome(request), "blob_url_invalid") << key;
  }
  const Request good = Signed({.lifetime = hours(1), .file_name = "a.mp4"});
  ASSERT_EQ(good.query.size(), 4U);
  for (std::size_t i = 0; i < good.query.size(); ++i) {
    Request changed = good;
    changed.query[i].value.back() = changed.query[i].value.back() == '0' ? '1' : '0';
    EXPECT_EQ(Outcome(changed), "blob_url_invalid") << changed.query[i].name;
    Request missing = good;
    missing.query.erase(missing.query.begin() + static_cast<std::ptrdiff_t>(i));
    EXPECT_EQ(Outcome(missing), "blob_url_invalid") << good.query[i].name;
    Request twice = good;
    twice.query.push_back(good.query[i]);
    EXPECT_EQ(Outcome(twice), "blob_url_invalid") << good.query[i].name;
  }
  Request more = good;
  more.query.push_back({"extra", "1"});
  EXPECT_EQ(Outcome(more), "blob_url_invalid");
}

TEST_F(UrlSignerTest, ATimeThatIsNoNumberIsRefusedEvenWithARightSignature) {
  // Signed by hand with the same secret: the check of the number is not left to the signature.
  for (const std::string expires : {"-1", "1e9", "99999999999999", "", "0x7fffffff"}) {
    const std::string text = "mezzo-blob-url/1\nGET\n" + key_.text() + "\n" + expires + "\nk1\n\n";
    const Request request{.key = key_.text(),
                          .query = {{"expires", expires},
                                    {"key", "k1"},
                                    {"signature", HexEncode(HmacSha256(std::string(32, 's'), text))}}};
    EXPECT_EQ(Outcome(request), "blob_url_invalid") << expires;
  }
}

TEST_F(UrlSignerTest, RotationKeepsOldUrlsUntilTheirSecretIsGone) {
  const Request old = Signed();
  ASSERT_TRUE(signer_->Rotate({Secret("k2", 'n'), Secret("k1")}).ok());
  EXPECT_EQ(Outcome(old), "");
  EXPECT_EQ(Outcome(Signed()), "");
  EXPECT_EQ(Signed().query[1].value, "k2");

  ASSERT_TRUE(signer_->Rotate({Secret("k2", 'n')}).ok());
  EXPECT_EQ(Outcome(old), "blob_url_invalid");
}

TEST_F(UrlSignerTest, AnotherSecretOfTheSameIdRefuses) {
  const Request old = Signed();
  ASSERT_TRUE(signer_->Rotate({Secret("k1", 'x')}).ok());
  EXPECT_EQ(Outcome(old), "blob_url_invalid");
}

TEST_F(UrlSignerTest, RefusesWeakAndAmbiguousSecretsAndKeepsTheOldOnes) {
  const std::vector<std::vector<UrlSigner::Secret>> bad = {{},
                                                           {{.id = "k1", .secret = std::string(31, 's')}},
                                                           {{.id = "", .secret = std::string(32, 's')}},
                                                           {{.id = "a&b", .secret = std::string(32, 's')}},
                                                           {Secret("k1"), Secret("k1", 'x')},
                                                           std::vector<UrlSigner::Secret>(9, Secret("k1"))};
  const Request before = Signed();
  for (const auto& secrets : bad) {
    EXPECT_EQ(signer_->Rotate(secrets).error().reason(), "blob_url_secret_invalid");
    EXPECT_FALSE(UrlSigner::Create(kBase, secrets).ok());
  }
  EXPECT_EQ(Outcome(before), "");
}

TEST_F(UrlSignerTest, RefusesBadOptions) {
  const std::vector<BlobUrlOptions> bad = {{.lifetime = Duration::zero(), .file_name = ""},
                                           {.lifetime = hours(24 * 7) + seconds(1), .file_name = ""},
                                           {.lifetime = hours(1), .file_name = "a\r\nSet-Cookie: b"},
                                           {.lifetime = hours(1), .file_name = "../a"},
                                           {.lifetime = hours(1), .file_name = "a\\b"},
                                           {.lifetime = hours(1), .file_name = "\xC0\x80"},
                                           {.lifetime = hours(1), .file_name = std::string(201, 'n')}};
  for (const BlobUrlOptions& options : bad) {
    EXPECT_EQ(signer_->Sign(key_, options, kNow).error().reason(), "blob_url_options_invalid")
        << Printable(options.file_name);
  }
}

TEST(ContentDisposition, CannotBreakOutOfItsHeader) {
  EXPECT_EQ(ContentDisposition("a\"b\r\nX: \xE4.mp4"),
            "attachment; filename*=UTF-8''a%22b%0D%0AX%3A%20%E4.mp4");
}

TEST(CheckContentType, TakesMediaTypesOnly) {
  for (const char* good :
       {"image/webp", "video/mp4", "text/plain; charset=utf-8", "application/vnd.a+json"}) {
    EXPECT_TRUE(CheckContentType(good).ok()) << good;
  }
  for (const std::string& bad :
       {std::string("image"), std::string(""), std::string("/png"), std::string("image/"),
        std::string("a b/c"), std::string("image/png\r\nX-Evil: 1"), std::string("image/png; a=\n"),
        std::string("image/p\xC3\xA4"), "a/" + std::string(99, 'b'), std::string("image/png;\0", 11)}) {
    EXPECT_EQ(CheckContentType(bad).error().reason(), "blob_content_type_invalid") << Printable(bad);
  }
}

}  // namespace
}  // namespace mezzo::storage
