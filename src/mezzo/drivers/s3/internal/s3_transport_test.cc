#include "mezzo/drivers/s3/internal/s3_transport.h"

#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/base/strings.h"
#include "mezzo/drivers/s3/internal/s3_listing.h"
#include "mezzo/drivers/s3/s3_blob_store.h"
#include "mezzo/drivers/s3/testing/scripted_s3.h"
#include "mezzo/storage/blob_io.h"

namespace mezzo::drivers::internal {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using storage::BlobKey;
using ::testing::HasSubstr;
using testing::ScriptedS3;

class S3TransportTest : public ::testing::Test {
 protected:
  [[nodiscard]] TimePoint Soon() const { return clock_.Now() + seconds(20); }
  /// The outcome of one request: "" or the error's reason.
  std::string Send(std::vector<ScriptedS3::Answer> answers, const std::string& operation = "head_object") {
    server_.Script(std::move(answers));
    const S3Request request{.operation = operation, .method = "GET", .key = "objects/a/b/1/c"};
    const auto response = transport_->Send(request, Soon());
    return response.ok() ? "" : response.error().reason();
  }
  void Restart(const S3Options& options) {
    options_ = options;
    transport_ = std::make_unique<S3Transport>(options_, clock_, registry_);
  }

  const RealClock clock_;
  observe::Registry registry_;
  ScriptedS3 server_;
  S3Options options_ = server_.Options();
  std::unique_ptr<S3Transport> transport_ = std::make_unique<S3Transport>(options_, clock_, registry_);
};

TEST_F(S3TransportTest, TriesAgainWhatMayPass) {
  std::vector<ScriptedS3::Answer> passing;
  for (const int status : {429, 500, 502, 503, 504}) passing.push_back({.status = status});
  for (const char* code : {"SlowDown", "InternalError", "ServiceUnavailable", "OperationAborted"}) {
    passing.push_back({.status = 503, .body = ScriptedS3::ErrorBody(code)});
  }
  passing.push_back({.status = 400, .body = ScriptedS3::ErrorBody("RequestTimeout")});
  passing.push_back({.status = 400, .body = ScriptedS3::ErrorBody("XAmzContentSHA256Mismatch")});
  for (const ScriptedS3::Answer& answer : passing) {
    Restart(server_.Options());
    EXPECT_EQ(Send({answer, answer, answer}), "") << answer.status << answer.body;
    EXPECT_EQ(server_.seen().size(), 4U);
  }
}

TEST_F(S3TransportTest, DoesNotRepeatWhatStays) {
  struct Case {
    int status;
    const char* code;
    const char* reason;
  };
  for (const Case& c : std::vector<Case>{{403, "AccessDenied", "blob_access_denied"},
                                         {403, "SignatureDoesNotMatch", "blob_access_denied"},
                                         {403, "", "blob_access_denied"},
                                         {403, "RequestTimeTooSkewed", "blob_store_misconfigured"},
                                         {403, "InvalidObjectState", "blob_store_misconfigured"},
                                         {404, "NoSuchKey", "blob_missing"},
                                         {404, "", "blob_missing"},
                                         {404, "NoSuchBucket", "blob_store_misconfigured"},
                                         {301, "PermanentRedirect", "blob_store_misconfigured"},
                                         {307, "", "blob_store_misconfigured"},
                                         {400, "AuthorizationHeaderMalformed", "blob_store_misconfigured"},
                                         {400, "InvalidStorageClass", "blob_store_misconfigured"},
                                         {400, "EntityTooLarge", "blob_too_large"},
                                         {400, "SomethingElse", "blob_answer_invalid"},
                                         {409, "", "blob_changed"},
                                         {412, "PreconditionFailed", "blob_changed"},
                                         {416, "InvalidRange", "blob_range"},
                                         {507, "XMinioStorageFull", "blob_store_full"},
                                         {501, "NotImplemented", "blob_answer_invalid"}}) {
    const std::string body = *c.code == '\0' ? "" : ScriptedS3::ErrorBody(c.code);
    EXPECT_EQ(Send({{.status = c.status, .body = body}}), c.reason) << c.status << c.code;
    EXPECT_EQ(server_.seen().size(), 1U) << c.status << c.code;
  }
}

TEST_F(S3TransportTest, GivesUpAfterItsAttemptsWithTheLastError) {
  EXPECT_EQ(
      Send(std::vector<ScriptedS3::Answer>(10, {.status = 503, .body = ScriptedS3::ErrorBody("SlowDown")})),
      "blob_store_unavailable");
  EXPECT_EQ(server_.seen().size(), 4U);
}

TEST_F(S3TransportTest, AnOutageIsNotMultipliedByRetries) {
  S3Options options = server_.Options();
  options.retry_budget = {.per_call = 0.1, .max_tokens = 3};
  Restart(options);
  std::size_t requests = 0;
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(Send(std::vector<ScriptedS3::Answer>(4, {.status = 503})), "blob_store_unavailable");
    requests += server_.seen().size();
  }
  EXPECT_LE(requests, 20U + 3U + 2U) << "a call each, the bucket, and a tenth of the calls";
}

TEST_F(S3TransportTest, AnAttemptThatHangsIsGivenUpAndRepeated) {
  S3Options options = server_.Options();
  options.answer_timeout = milliseconds(100);
  Restart(options);
  EXPECT_EQ(Send({{.delay = seconds(10)}}), "");
  EXPECT_EQ(server_.seen().size(), 2U);
}

TEST_F(S3TransportTest, TheDeadlineEndsEverything) {
  server_.Script(std::vector<ScriptedS3::Answer>(10, {.delay = seconds(10)}));
  const TimePoint start = clock_.Now();
  const S3Request request{.operation = "head_object", .method = "GET", .key = "x"};
  EXPECT_EQ(transport_->Send(request, start + milliseconds(200)).error().reason(), "blob_timeout");
  EXPECT_LT(clock_.Now() - start, seconds(2));
}

TEST_F(S3TransportTest, AnErrorInA200IsAnError) {
  for (const char* operation : {"copy_object", "complete_upload"}) {
    Restart(server_.Options());
    EXPECT_EQ(
        Send({{.body = ScriptedS3::ErrorBody("InternalError")}, {.body = "<CopyObjectResult/>"}}, operation),
        "");
    EXPECT_EQ(server_.seen().size(), 2U);
    EXPECT_EQ(Send({{.body = ScriptedS3::ErrorBody("AccessDenied")},
                    {.body = "not XML"},
                    {.body = ScriptedS3::ErrorBody("InternalError")},
                    {.body = "<Result/>"}},
                   operation),
              "")
        << "whatever it is, it is not done";
  }
}

TEST_F(S3TransportTest, FollowsNoRedirect) {
  ScriptedS3 other;
  EXPECT_EQ(Send({{.status = 307, .headers = {{"Location", other.Options().endpoint + "/steal"}}}}),
            "blob_store_misconfigured");
  EXPECT_EQ(other.seen().size(), 0U);
}

TEST_F(S3TransportTest, AHostileErrorBodyIsHarmless) {
  const std::string bomb = "<!DOCTYPE a [<!ENTITY b \"bbbb\">]><Error><Code>&b;</Code></Error>";
  EXPECT_EQ(Send({{.status = 403, .body = bomb}}), "blob_access_denied") << "the status decides";
  const std::string loud =
      "<Error><Code>AccessDenied</Code><Message>" + std::string(100'000, 'x') + "\x1b[2J</Message></Error>";
  server_.Script({{.status = 403, .body = loud}});
  const S3Request request{.operation = "head_object", .method = "GET", .key = "x"};
  const auto response = transport_->Send(request, Soon());
  EXPECT_LT(response.error().message().size(), 600U);
  server_.Script({{.status = 403, .body = "<Error><Code>A\x1b[2J</Code></Error>"}});
  EXPECT_THAT(transport_->Send(request, Soon()).error().message(), HasSubstr("\\x1b"));
}

TEST_F(S3TransportTest, SignsEveryAttempt) {
  EXPECT_EQ(Send({{.status = 500}}), "");
  for (const auto& seen : server_.seen()) {
    EXPECT_EQ(seen.target, "/bucket/objects/a/b/1/c");
    EXPECT_THAT(seen.headers.at("authorization"), HasSubstr("Credential=access/"));
    EXPECT_EQ(seen.headers.at("x-amz-content-sha256"), Sha256Hex(""));
  }
}

TEST_F(S3TransportTest, RefusesListsThatCannotBe) {
  const auto list = [](const std::string& inner) {
    return "<ListBucketResult><IsTruncated>" + inner + "</ListBucketResult>";
  };
  const auto entry = [](const std::string& key) {
    return "<Contents><Key>" + key + "</Key><Size>1</Size></Contents>";
  };
  const std::vector<std::string> bad = {
      list("false</IsTruncated>" + entry("outside/a")),
      list("false</IsTruncated>" + entry("p/b") + entry("p/a")),
      list("false</IsTruncated>" + entry("p/a") + entry("p/a")),
      list("false</IsTruncated>" + entry("p/0")),  // Not behind the cursor.
      list("true</IsTruncated>"),
      list("false</IsTruncated><Contents><Key>p/a</Key><Size>-1</Size></Contents>"),
      list("false</IsTruncated><Contents><Key>p/a</Key></Contents>"),
      "<Other/>",
      "<!DOCTYPE a [<!ENTITY b SYSTEM \"file:///etc/passwd\">]><ListBucketResult>&b;</ListBucketResult>",
      "",
      "{}"};
  for (const std::string& body : bad) {
    server_.Script({{.body = body}});
    const auto listed = ListKeys(*transport_, "p/", "p/9", 10, Soon());
    ASSERT_FALSE(listed.ok()) << body;
    EXPECT_EQ(listed.error().reason(), "blob_answer_invalid") << body;
  }
  server_.Script({{.body = list("true</IsTruncated>" + entry("p/a") + entry("p/b"))}});
  const auto good = ListKeys(*transport_, "p/", "p/9", 10, Soon());
  ASSERT_TRUE(good.ok()) << good.error().ToString();
  EXPECT_EQ(good->keys.size(), 2U);
  EXPECT_TRUE(good->more);
  EXPECT_THAT(server_.seen()[0].target, HasSubstr("list-type=2&max-keys=10&prefix=p%2F&start-after=p%2F9"));
}

TEST(ParseEndpoint, TakesHostsAndPortsOnly) {
  const auto secure = ParseEndpoint("https://S3.example.org");
  ASSERT_TRUE(secure.ok());
  EXPECT_EQ(secure->host_and_port, "s3.example.org:443");
  EXPECT_EQ(secure->header, "s3.example.org");
  const auto plain = ParseEndpoint("http://[::1]:9000");
  ASSERT_TRUE(plain.ok());
  EXPECT_EQ(plain->host_and_port, "[::1]:9000");
  EXPECT_EQ(plain->header, "[::1]:9000");
  EXPECT_EQ(ParseEndpoint("http://a:80")->header, "a");
}

/// What a store makes of answers that S3 does not give.
class OddAnswersTest : public S3TransportTest {
 protected:
  std::unique_ptr<S3BlobStore> Store(std::size_t read_bytes = 4) {
    S3Options options = server_.Options();
    options.read_bytes = read_bytes;
    return *S3BlobStore::Create(options, clock_, registry_);
  }
  static ScriptedS3::Answer Part(const std::string& body, const std::string& range) {
    return {.status = 206,
            .body = body,
            .headers = {{"Content-Range", range},
                        {"ETag", "\"e\""},
                        {"x-amz-meta-mezzo-sha256", Sha256Hex("12345678")},
                        {"x-amz-meta-mezzo-stored", "1"}}};
  }
  std::string Read(std::vector<ScriptedS3::Answer> answers) {
    server_.Script(std::move(answers));
    const auto content = ReadBlob(*Store(), *BlobKey::Parse("a/b/1/c"), 100, Soon());
    return content.ok() ? *content : "[" + content.error().reason() + "]";
  }
};

TEST_F(OddAnswersTest, AreNeverTakenForContent) {
  EXPECT_EQ(Read({Part("1234", "bytes 0-3/8"), Part("5678", "bytes 4-7/8")}), "12345678");
  EXPECT_EQ(server_.seen()[1].headers.at("if-match"), "\"e\"");
  EXPECT_EQ(Read({Part("1234", "bytes 0-3/8"), Part("5679", "bytes 4-7/8")}), "[blob_corrupt]");
  EXPECT_EQ(Read({Part("1234", "bytes 0-3/8"), Part("56", "bytes 4-5/8")}), "[blob_corrupt]");
  EXPECT_EQ(Read({Part("12", "bytes 0-1/8")}), "[blob_corrupt]");
  EXPECT_EQ(Read({Part("1234", "bytes 0-3/*")}), "[blob_answer_invalid]");
  EXPECT_EQ(Read({Part("1234", "")}), "[blob_answer_invalid]");
  EXPECT_EQ(Read({{.status = 200, .body = "12345678"}}), "[blob_answer_invalid]");
  EXPECT_EQ(Read({{.status = 206, .body = "1234", .headers = {{"Content-Range", "bytes 0-3/8"}}}}),
            "[blob_corrupt]");
  EXPECT_EQ(Read({Part("1234", "bytes 0-3/8"), {.status = 412}}), "[blob_changed]");
}

}  // namespace
}  // namespace mezzo::drivers::internal
