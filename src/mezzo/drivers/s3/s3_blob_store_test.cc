#include "mezzo/drivers/s3/s3_blob_store.h"

#include <atomic>
#include <memory>
#include <string>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/base/strings.h"
#include "mezzo/drivers/s3/internal/hour_marks.h"
#include "mezzo/drivers/s3/internal/s3_listing.h"
#include "mezzo/drivers/s3/internal/s3_transport.h"
#include "mezzo/drivers/s3/internal/xml.h"
#include "mezzo/drivers/s3/testing/minio_server.h"
#include "mezzo/storage/blob_io.h"
#include "mezzo/storage/testing/blob_store_suite.h"

namespace mezzo::drivers {

/// One for all tests of this process that leave it running.
testing::MinioServer& Minio() {
  static testing::MinioServer server;
  return server;
}

/// What anybody gets for a URL: the body, or "" for another status than 200.
net::ClientResponse FetchUrl(const std::string& url) {
  const RealClock clock;
  net::HttpClient::Options options;
  options.reach = net::AddressGuard::Reach::kPrivate;
  options.allow_http = true;
  net::HttpClient client(options, clock);
  net::ClientRequest request;
  request.url = url;
  auto response = client.Send(request, clock.Now() + std::chrono::seconds(10));
  EXPECT_TRUE(response.ok()) << response.error().ToString();
  return response.ok() ? *std::move(response) : net::ClientResponse{};
}

/// Small limits, so that the suite's larger objects are spooled to disk, sent in parts and read in pieces.
class MinioHarness {
 public:
  storage::BlobStore& store() { return *store_; }
  static std::string Fetch(const std::string& url) {
    const net::ClientResponse response = FetchUrl(url);
    return response.status == 200 ? response.body : "";
  }

 private:
  static S3Options Options() {
    S3Options options = Minio().Options();
    options.prefix = "suite/";
    options.multipart_threshold = ByteCount{6} << 20;
    options.read_bytes = std::size_t{3} << 20;
    options.spool_memory_bytes = std::size_t{1} << 20;
    return options;
  }
  const RealClock clock_;
  observe::Registry registry_;
  const std::unique_ptr<S3BlobStore> store_ = *S3BlobStore::Create(Options(), clock_, registry_);
};

namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using storage::BlobKey;
using storage::BlobPrefix;
using ::testing::HasSubstr;

/// The system's time, moved.
class ShiftedClock final : public Clock {
 public:
  explicit ShiftedClock(Duration shift) : shift_(shift) {}
  [[nodiscard]] TimePoint Now() const override { return real_.Now(); }
  [[nodiscard]] WallTime WallNow() const override { return real_.WallNow() + shift_; }

 private:
  const RealClock real_;
  const Duration shift_;
};

class S3BlobStoreTest : public ::testing::Test {
 protected:
  std::unique_ptr<S3BlobStore> Make(const S3Options& options) { return Make(options, clock_); }
  std::unique_ptr<S3BlobStore> Make(const S3Options& options, const Clock& clock) {
    auto store = S3BlobStore::Create(options, clock, registry_);
    EXPECT_TRUE(store.ok()) << store.error().ToString();
    return *std::move(store);
  }
  static S3Options Options() {
    S3Options options = Minio().Options();
    options.multipart_threshold = ByteCount{6} << 20;
    return options;
  }
  [[nodiscard]] TimePoint Soon() const { return clock_.Now() + seconds(30); }
  static BlobKey Key(const std::string& name) { return *BlobKey::Parse("acme/job-1/2/" + name); }
  std::string Reason(storage::BlobStore& store) {
    const auto facts = WriteBlob(store, Key("x"), AsBytes("x"), {}, Soon());
    return facts.ok() ? "" : facts.error().reason();
  }
  /// A request past the store, as another program's.
  void PutForeign(const std::string& key, const std::string& body) {
    const S3Options options = Options();
    internal::S3Transport transport(options, clock_, registry_);
    const internal::S3Request request{.operation = "put_object", .method = "PUT", .key = key, .body = body};
    const auto response = transport.Send(request, Soon());
    ASSERT_TRUE(response.ok()) << response.error().ToString();
  }

  const RealClock clock_;
  observe::Registry registry_;
};

TEST_F(S3BlobStoreTest, AnObjectInPartsHasItsPlainChecksumAndFacts) {
  const auto store = Make(Options());
  std::string content(13'000'000, 'a');
  content[12'999'999] = 'z';
  const auto facts = WriteBlob(*store, Key("parts"), AsBytes(content), {.content_type = "video/mp4"}, Soon());
  ASSERT_TRUE(facts.ok()) << facts.error().ToString();
  EXPECT_THAT(facts->etag, ::testing::EndsWith("-3")) << "three parts";
  const auto stat = store->Stat(Key("parts"), Soon());
  ASSERT_TRUE(stat.ok());
  EXPECT_EQ(stat->sha256, Sha256Hex(content));
  EXPECT_EQ(stat->etag, facts->etag);
  EXPECT_EQ(stat->content_type, "video/mp4");
  EXPECT_TRUE(*ReadBlob(*store, Key("parts"), 20'000'000, Soon()) == content);
}

TEST_F(S3BlobStoreTest, AnObjectAtTheThresholdGoesInOnePiece) {
  const auto store = Make(Options());
  const std::string content(6 << 20, 'a');
  const auto facts = WriteBlob(*store, Key("whole"), AsBytes(content), {}, Soon());
  ASSERT_TRUE(facts.ok()) << facts.error().ToString();
  EXPECT_EQ(facts->etag.find('-'), std::string::npos);
}

TEST_F(S3BlobStoreTest, TheTenantStandsAtTheFrontOfTheKey) {
  S3Options options = Options();
  options.prefix = "mezzo/prod/";
  const auto store = Make(options);
  ASSERT_TRUE(WriteBlob(*store, Key("a"), AsBytes("a"), {}, Soon()).ok());
  internal::S3Transport transport(options, clock_, registry_);
  const auto listed = internal::ListKeys(transport, "mezzo/prod/", "", 10, Soon());
  ASSERT_TRUE(listed.ok()) << listed.error().ToString();
  ASSERT_EQ(listed->keys.size(), 1U);
  EXPECT_EQ(listed->keys[0].key, "mezzo/prod/objects/acme/job-1/2/a");
}

TEST_F(S3BlobStoreTest, TheBucketCanBePartOfTheHostsName) {
  S3Options options = Options();
  options.endpoint =
      "http://localhost:" + std::to_string(Minio().port());  // Names below it are this host, too.
  options.path_style = false;
  const auto store = Make(options);
  ASSERT_TRUE(WriteBlob(*store, Key("v"), AsBytes("virtual"), {}, Soon()).ok());
  EXPECT_EQ(*ReadBlob(*store, Key("v"), 100, Soon()), "virtual");
  EXPECT_EQ(*ReadBlob(*Make(Options()), Key("v"), 100, Soon()), "virtual");
  ASSERT_TRUE(store->Archive(Key("v"), Soon()).ok());
}

TEST_F(S3BlobStoreTest, SaysExactlyWhatIsMisconfigured) {
  S3Options bucket = Options();
  bucket.bucket = "no-such-bucket";
  EXPECT_EQ(Reason(*Make(bucket)), "blob_store_misconfigured");
  S3Options region = Options();
  region.region = "eu-nowhere-1";
  EXPECT_EQ(Reason(*Make(region)), "blob_store_misconfigured");
  const ShiftedClock wrong(hours(2));
  EXPECT_EQ(Reason(*Make(Options(), wrong)), "blob_store_misconfigured");
  S3Options secret = Options();
  secret.credentials = [] {
    return Result<S3Credentials>(
        S3Credentials{.access_key = "mezzo", .secret_key = "wrong", .session_token = ""});
  };
  EXPECT_EQ(Reason(*Make(secret)), "blob_access_denied");
  S3Options none = Options();
  none.credentials = [] { return Result<S3Credentials>(FailedPrecondition("secret_missing", "no file")); };
  EXPECT_EQ(Reason(*Make(none)), "secret_missing");
  S3Options archive = Options();
  archive.archive_class = "NO_SUCH_CLASS";
  const auto store = Make(archive);
  ASSERT_EQ(Reason(*store), "");
  EXPECT_EQ(store->Archive(Key("x"), Soon()).error().reason(), "blob_store_misconfigured");
}

TEST_F(S3BlobStoreTest, ErrorsAndUrlsNeverShowTheSecret) {
  S3Options secret = Options();
  secret.credentials = [] {
    return Result<S3Credentials>(
        S3Credentials{.access_key = "mezzo", .secret_key = "wrong-secret-key", .session_token = ""});
  };
  const auto store = Make(secret);
  const auto failed = WriteBlob(*store, Key("x"), AsBytes("x"), {}, Soon());
  EXPECT_THAT(failed.error().ToString(), ::testing::Not(HasSubstr("wrong-secret-key")));
  EXPECT_THAT(*store->SignUrl(Key("x"), {}), ::testing::Not(HasSubstr("wrong-secret-key")));
}

TEST_F(S3BlobStoreTest, NewCredentialsAreUsedAtOnce) {
  S3Options options = Options();
  const auto wrong = std::make_shared<std::atomic<bool>>(true);  // Shared with the callback; no partner.
  options.credentials = [wrong] {
    return Result<S3Credentials>(S3Credentials{
        .access_key = "mezzo", .secret_key = *wrong ? "wrong" : "mezzo-secret", .session_token = ""});
  };
  const auto store = Make(options);
  EXPECT_EQ(Reason(*store), "blob_access_denied");
  *wrong = false;
  EXPECT_EQ(Reason(*store), "");
}

// SSRF: the client reaches the configured endpoint, and this host or private networks only when told so.
TEST_F(S3BlobStoreTest, APrivateEndpointNeedsThePermission) {
  S3Options options = Options();
  options.private_network = false;
  const auto facts = WriteBlob(*Make(options), Key("x"), AsBytes("x"), {}, Soon());
  ASSERT_FALSE(facts.ok());
  EXPECT_EQ(facts.error().reason(), "blob_store_misconfigured");
  EXPECT_THAT(facts.error().message(), HasSubstr("127.0.0.0/8"));
}

TEST_F(S3BlobStoreTest, RefusesOptionsThatCannotWork) {
  const auto refused = [&](const std::function<void(S3Options&)>& change) {
    S3Options options = Options();
    change(options);
    const auto store = S3BlobStore::Create(options, clock_, registry_);
    return !store.ok() && store.error().reason() == "blob_store_options_invalid";
  };
  for (const char* endpoint :
       {"", "ftp://a", "http://", "http://a/path", "http://a:0", "http://a:99999", "http://a:b",
        "http://user@host", "http://a b", "https://a?x", "file:///etc", "http://a#b"}) {
    EXPECT_TRUE(refused([&](S3Options& o) { o.endpoint = endpoint; })) << endpoint;
  }
  for (const char* bucket : {"", "ab", "../x", "Upper", "a/b", "-ab", "a..b"}) {
    EXPECT_TRUE(refused([&](S3Options& o) { o.bucket = bucket; })) << bucket;
  }
  for (const char* prefix : {"a", "/", "a//", "../", "a/../", "a b/"}) {
    EXPECT_TRUE(refused([&](S3Options& o) { o.prefix = prefix; })) << prefix;
  }
  EXPECT_TRUE(refused([](S3Options& o) { o.credentials = nullptr; }));
  EXPECT_TRUE(refused([](S3Options& o) { o.part_bytes = (5 << 20) - 1; }));
  EXPECT_TRUE(refused([](S3Options& o) { o.max_object_bytes = (ByteCount{5} << 30) + 1; }));
  EXPECT_TRUE(refused([](S3Options& o) { o.archive_class = "a\r\nx: y"; }));
  EXPECT_TRUE(refused([](S3Options& o) { o.max_attempts = 0; }));
}

TEST_F(S3BlobStoreTest, ObjectsOfOthersAreNeitherListedNorRead) {
  const auto store = Make(Options());
  PutForeign("objects/foreign/job/1/thing", "no facts");
  PutForeign("objects/foreign/not a key", "x");
  PutForeign("objects/foreign/a/b/c/d/e", "x");
  const BlobKey key = *BlobKey::Parse("foreign/job/1/thing");
  EXPECT_EQ(store->Stat(key, Soon()).error().reason(), "blob_corrupt");
  EXPECT_EQ(ReadBlob(*store, key, 100, Soon()).error().reason(), "blob_corrupt");
  for (const std::size_t limit : {1, 10}) {
    const auto page = store->List(*BlobPrefix::Of(TenantId("foreign")), "", limit, Soon());
    ASSERT_TRUE(page.ok()) << page.error().ToString();
    ASSERT_EQ(page->entries.size(), 1U);
    EXPECT_EQ(page->entries[0].key, key);
  }
}

TEST_F(S3BlobStoreTest, AnObjectReplacedWhileItIsReadIsNoticed) {
  S3Options options = Options();
  options.read_bytes = 1000;
  const auto store = Make(options);
  ASSERT_TRUE(WriteBlob(*store, Key("c"), AsBytes(std::string(5000, 'a')), {}, Soon()).ok());
  auto reader = *store->Read(Key("c"), {}, Soon());
  std::vector<std::byte> buffer(1000);
  ASSERT_EQ(*reader->Read(buffer, Soon()), 1000U);
  ASSERT_TRUE(WriteBlob(*store, Key("c"), AsBytes(std::string(5000, 'b')), {}, Soon()).ok());
  EXPECT_EQ(reader->Read(buffer, Soon()).error().reason(), "blob_changed");

  reader = *store->Read(Key("c"), {}, Soon());
  ASSERT_TRUE(reader->Read(buffer, Soon()).ok());
  ASSERT_TRUE(store->Delete(Key("c"), Soon()).ok());
  EXPECT_EQ(reader->Read(buffer, Soon()).error().reason(), "blob_changed");
}

TEST_F(S3BlobStoreTest, ASignedUrlNamesTheFileAndEndsAtItsTime) {
  const auto store = Make(Options());
  ASSERT_TRUE(
      WriteBlob(*store, Key("film.mp4"), AsBytes("film"), {.content_type = "video/mp4"}, Soon()).ok());
  const auto url =
      store->SignUrl(Key("film.mp4"), {.lifetime = minutes(1), .file_name = "Mein Film \xC3\xBC.mp4"});
  const net::ClientResponse good = FetchUrl(*url);
  EXPECT_EQ(good.status, 200);
  EXPECT_EQ(good.body, "film");
  EXPECT_EQ(good.Header("content-disposition"), "attachment; filename*=UTF-8''Mein%20Film%20%C3%BC.mp4");

  std::string changed = *url;
  changed.replace(changed.find("film.mp4"), 8, "film.mp3");
  EXPECT_EQ(FetchUrl(changed).status, 403);
  const ShiftedClock earlier(-hours(2));
  EXPECT_EQ(FetchUrl(*Make(Options(), earlier)->SignUrl(Key("film.mp4"), {.lifetime = hours(1)})).status,
            403);
}

TEST_F(S3BlobStoreTest, AUrlCanNameAnotherEndpoint) {
  S3Options options = Options();
  options.url_endpoint = "https://files.example.org";
  EXPECT_THAT(
      *Make(options)->SignUrl(Key("a"), {}),
      ::testing::StartsWith("https://files.example.org/bucket/objects/acme/job-1/2/a?X-Amz-Algorithm="));
  options.url_endpoint = "https://example.org";
  options.path_style = false;
  EXPECT_THAT(*Make(options)->SignUrl(Key("a"), {}),
              ::testing::StartsWith("https://bucket.example.org/objects/acme/job-1/2/a?X-Amz-Algorithm="));
}

TEST_F(S3BlobStoreTest, UploadsThatNobodyEndedAreEndedByTheSweep) {
  const S3Options options = Options();
  internal::S3Transport transport(options, clock_, registry_);
  internal::HourMarks uploads(transport, "uploads/");
  const internal::S3Request begin{.operation = "create_upload",
                                  .method = "POST",
                                  .key = "objects/acme/job/1/left",
                                  .query = {{"uploads", ""}}};
  const auto begun = transport.Send(begin, Soon());
  ASSERT_TRUE(begun.ok()) << begun.error().ToString();
  const std::string upload_id(internal::ParseXml(begun->body)->ChildText("UploadId"));
  ASSERT_TRUE(uploads.Put(clock_.WallNow(), "mark", begin.key + "\n" + upload_id, Soon()).ok());
  // An upload that is there takes parts, and one that has ended does not.
  const auto takes_parts = [&] {
    const internal::S3Request part{.operation = "upload_part",
                                   .method = "PUT",
                                   .key = begin.key,
                                   .query = {{"partNumber", "1"}, {"uploadId", upload_id}},
                                   .body = "part"};
    return transport.Send(part, Soon()).ok();
  };
  const auto store = Make(options);

  ASSERT_TRUE(store->SweepExpired(clock_.WallNow() + hours(23), 10, Soon()).ok());
  EXPECT_TRUE(takes_parts()) << "it is too young";
  ASSERT_TRUE(store->SweepExpired(clock_.WallNow() + hours(27), 10, Soon()).ok());

  EXPECT_FALSE(takes_parts());
  EXPECT_EQ(internal::ListKeys(transport, "uploads/", "", 10, Soon())->keys.size(), 0U);
}

TEST_F(S3BlobStoreTest, AnUploadInPartsLeavesNoMark) {
  const S3Options options = Options();
  ASSERT_TRUE(WriteBlob(*Make(options), Key("p"), AsBytes(std::string(7'000'000, 'p')), {}, Soon()).ok());
  internal::S3Transport transport(options, clock_, registry_);
  EXPECT_EQ(internal::ListKeys(transport, "uploads/", "", 10, Soon())->keys.size(), 0U);
}

TEST_F(S3BlobStoreTest, CountsItsCalls) {
  const auto store = Make(Options());
  ASSERT_TRUE(WriteBlob(*store, Key("m"), AsBytes("x"), {}, Soon()).ok());
  (void)store->Stat(Key("none"), Soon());
  auto& requests = registry_.NewCounterFamily(
      "mezzo_s3_requests_total", "Calls to the object store that ended.", {"operation", "outcome"}, 256);
  EXPECT_EQ(requests.With({"put_object", "ok"}).value(), 1U);
  EXPECT_EQ(requests.With({"head_object", "blob_missing"}).value(), 1U);
}

}  // namespace
}  // namespace mezzo::drivers

namespace mezzo::storage::testing {
MEZZO_BLOB_STORE_SUITE(Minio, drivers::MinioHarness);
}  // namespace mezzo::storage::testing
