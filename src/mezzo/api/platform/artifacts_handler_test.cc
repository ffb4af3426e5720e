#include "mezzo/api/platform/artifacts_handler.h"

#include <chrono>
#include <future>
#include <memory>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/api/gate.h"
#include "mezzo/api/platform/job_artifacts.h"
#include "mezzo/base/strings.h"
#include "mezzo/net/http_server.h"
#include "mezzo/net/testing/made_request.h"
#include "mezzo/net/testing/raw_client.h"
#include "mezzo/runtime/loop.h"
#include "mezzo/storage/blob_io.h"
#include "mezzo/storage/testing/signed_blob_store.h"
#include "mezzo/testing/manual_clock.h"

namespace mezzo::api::platform {
namespace {

using net::testing::RawClient;
using net::testing::RawResponse;
using std::chrono::hours;
using std::chrono::seconds;
using storage::BlobKey;
using storage::UrlSigner;
using ::testing::HasSubstr;
using ::testing::Not;

class ArtifactsHandlerTest : public ::testing::Test {
 protected:
  void SetUp() override { Start({}); }
  void Start(const BlobServer::Options& options) {
    server_.reset();
    blobs_ = std::make_unique<BlobServer>(
        options, BlobServer::Ports{.store = store_, .pool = pool_, .clock = clock_, .registry = registry_});
    handler_ = std::make_unique<ArtifactsHandler>(
        ArtifactsHandler::Ports{.blobs = *blobs_, .signer = *signer_, .clock = clock_});
    gate_ = std::make_unique<Gate>(
        std::vector<MountedProtocol>{{.protocol = handler_.get(), .prefixes = {ArtifactsHandler::kRoot}}},
        nobody_);
    server_ = std::make_unique<net::HttpServer>(net::HttpServer::Options{}, *gate_, loops_, server_registry_);
    ASSERT_TRUE(server_->Listen("127.0.0.1", 0).ok());
  }

  BlobKey Put(const std::string& name, const std::string& content, const std::string& type = "image/png") {
    const BlobKey key = *BlobKey::Parse("acme/job-1/2/" + name);
    EXPECT_TRUE(
        storage::WriteBlob(store_, key, AsBytes(content), {.content_type = type}, clock_.Now() + seconds(9))
            .ok());
    return key;
  }
  std::string Sign(const BlobKey& key, storage::BlobUrlOptions options = {}) {
    return *store_.SignUrl(key, options);
  }
  RawResponse Send(const std::string& method, const std::string& target, const std::string& headers = "") {
    RawClient client(server_->port());
    client.Send(method + " " + target + " HTTP/1.1\r\nHost: a\r\n" + headers + "\r\n");
    return client.Receive(method == "HEAD").value_or(RawResponse{});
  }
  RawResponse Get(const std::string& target, const std::string& headers = "") {
    return Send("GET", target, headers);
  }

  mezzo::testing::ManualClock clock_;
  observe::Registry registry_;
  observe::Registry server_registry_;
  const std::unique_ptr<UrlSigner> signer_ = *UrlSigner::Create(
      std::string(ArtifactsHandler::kRoot), {{.id = "k1", .secret = std::string(32, 's')}});
  storage::testing::SignedBlobStore store_{clock_, *signer_};
  runtime::BlockingPool pool_{{.name = "test", .threads = 2}};
  std::unique_ptr<BlobServer> blobs_;
  std::unique_ptr<ArtifactsHandler> handler_;
  const tenancy::Directory nobody_{{}, clock_};  // The URL's signature is what counts.
  std::unique_ptr<Gate> gate_;
  runtime::IoThreads loops_{1};
  std::unique_ptr<net::HttpServer> server_;  // Last: it ends before what it calls.
};

TEST_F(ArtifactsHandlerTest, ASignedUrlGivesTheWholeObjectWithItsLength) {
  std::string content(1'000'000, 'a');
  content.back() = 'z';
  const RawResponse response = Get(Sign(Put("a.png", content)));
  EXPECT_EQ(response.status, 200);
  EXPECT_TRUE(response.body == content);
  EXPECT_THAT(response.head, HasSubstr("Content-Length: 1000000\r\n"));
  EXPECT_THAT(response.head, HasSubstr("Content-Type: image/png\r\n"));
  EXPECT_THAT(response.head, HasSubstr("ETag: \"" + Sha256Hex(content) + "\"\r\n"));
  EXPECT_THAT(response.head, HasSubstr("Accept-Ranges: bytes\r\n"));
  EXPECT_THAT(response.head, HasSubstr("Cache-Control: private, max-age=3600\r\n"));
  EXPECT_THAT(response.head, Not(HasSubstr("Content-Disposition")));
  EXPECT_EQ(Get(Sign(Put("empty", ""))).body, "");
}

TEST_F(ArtifactsHandlerTest, ExpiredAndForgedUrlsAreRefusedAndSayWhich) {
  const BlobKey key = Put("a.png", "a");
  Put("b.png", "b");
  const std::string url = Sign(key, {.lifetime = hours(1)});
  std::string other = url;
  other.replace(other.find("a.png"), 5, "b.png");
  for (const std::string& forged :
       {other, url + "0", url + "&name=x", url.substr(0, url.find('?')), url.substr(0, url.size() - 1)}) {
    const RawResponse response = Get(forged);
    EXPECT_EQ(response.status, 403) << forged;
    EXPECT_THAT(response.body, HasSubstr("\"code\":\"blob_url_invalid\"")) << forged;
  }
  EXPECT_EQ(Get(url).status, 200);
  clock_.Advance(hours(1) + seconds(1));
  const RawResponse late = Get(url);
  EXPECT_EQ(late.status, 403);
  EXPECT_THAT(late.body, HasSubstr("\"code\":\"blob_url_expired\""));
}

TEST_F(ArtifactsHandlerTest, NoPathLeadsElsewhere) {
  const std::string query = "?expires=1700003600&key=k1&signature=" + std::string(64, '0');
  for (const char* path : {"/v1/artifacts", "/v1/artifacts/", "/v1/artifacts/a/b/1",
                           "/v1/artifacts/a/b/1/c/d", "/v1/artifacts/a/b/x/c"}) {
    EXPECT_EQ(Get(path + query).status, 404) << path;
  }
  for (const char* path :
       {"/v1/artifacts/a/b/1/..%2fc", "/v1/artifacts/a/../1/c", "/v1/artifacts/%2e%2e/b/1/c"}) {
    EXPECT_EQ(Get(path + query).status, 400) << path;
  }
  EXPECT_EQ(Get("/v1/artifacts/.a/b/1/c" + query).status, 403);
  const RawResponse post = Send("POST", Sign(Put("a.png", "a")), "Content-Length: 0\r\n");
  EXPECT_EQ(post.status, 405);
  EXPECT_THAT(post.head, HasSubstr("Allow: GET, HEAD\r\n"));
}

TEST_F(ArtifactsHandlerTest, HeadSaysWhatGetWouldAndSendsNothing) {
  const std::string url = Sign(Put("a.png", std::string(5000, 'a')));
  RawClient client(server_->port());
  client.Send("HEAD " + url + " HTTP/1.1\r\nHost: a\r\n\r\n");
  const auto response = client.Receive(/*without_body=*/true);
  EXPECT_THAT(response->head, HasSubstr("Content-Length: 5000\r\n"));
  EXPECT_THAT(response->head, HasSubstr("ETag: "));
  const auto next = client.Exchange("GET " + url + " HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(next->status, 200) << "the connection goes on behind it";
}

TEST_F(ArtifactsHandlerTest, AnswersByteRanges) {
  const std::string url = Sign(Put("film.mp4", "0123456789", "video/mp4"));
  const RawResponse part = Get(url, "Range: bytes=2-5\r\n");
  EXPECT_EQ(part.status, 206);
  EXPECT_EQ(part.body, "2345");
  EXPECT_THAT(part.head, HasSubstr("Content-Range: bytes 2-5/10\r\n"));
  EXPECT_THAT(part.head, HasSubstr("Content-Length: 4\r\n"));
  EXPECT_EQ(Get(url, "Range: bytes=-3\r\n").body, "789");
  EXPECT_EQ(Get(url, "Range: bytes=0-0,5-6\r\n").status, 200);

  const RawResponse behind = Get(url, "Range: bytes=10-\r\n");
  EXPECT_EQ(behind.status, 416);
  EXPECT_THAT(behind.head, HasSubstr("Content-Range: bytes */10\r\n"));
  EXPECT_THAT(behind.head, HasSubstr("Content-Type: application/problem+json\r\n"));
  EXPECT_THAT(behind.body, HasSubstr("\"status\":416"));
  EXPECT_THAT(behind.body, HasSubstr("\"code\":\"blob_range\""));
}

TEST_F(ArtifactsHandlerTest, ConditionsCompareTheContent) {
  const std::string url = Sign(Put("a.png", "0123456789"));
  const std::string etag = "\"" + Sha256Hex("0123456789") + "\"";
  EXPECT_EQ(Get(url, "If-None-Match: \"x\", W/" + etag + "\r\n").status, 304);
  EXPECT_EQ(Get(url, "If-None-Match: \"x\"\r\n").status, 200);
  EXPECT_EQ(Get(url, "Range: bytes=0-1\r\nIf-Range: " + etag + "\r\n").body, "01");
  EXPECT_EQ(Get(url, "Range: bytes=0-1\r\nIf-Range: \"old\"\r\n").body, "0123456789");
}

TEST_F(ArtifactsHandlerTest, NothingOfAnArtifactRunsInABrowser) {
  const RawResponse page = Get(Sign(Put("a.html", "<script>", "text/html")));
  EXPECT_EQ(page.status, 200);
  EXPECT_THAT(page.head, HasSubstr("Content-Disposition: attachment\r\n"));
  EXPECT_THAT(page.head, HasSubstr("X-Content-Type-Options: nosniff\r\n"));
  EXPECT_THAT(page.head, HasSubstr("Content-Security-Policy: default-src 'none'; sandbox\r\n"));
  EXPECT_THAT(Get(Sign(Put("a.svg", "<svg>", "image/svg+xml"))).head,
              HasSubstr("Content-Disposition: attachment"));
  const RawResponse named = Get(Sign(Put("a.png", "a"), {.file_name = "a\"b;c.png"}));
  EXPECT_THAT(named.head, HasSubstr("Content-Disposition: attachment; filename*=UTF-8''a%22b%3Bc.png\r\n"));
}

TEST_F(ArtifactsHandlerTest, AMissingObjectIsNotFound) {
  const RawResponse response = Get(Sign(*BlobKey::Parse("acme/job-1/2/none")));
  EXPECT_EQ(response.status, 404);
  EXPECT_THAT(response.body, HasSubstr("blob_missing"));
}

TEST_F(ArtifactsHandlerTest, MoreDownloadsThanAllowedAreToldToComeBack) {
  Start({.max_downloads = 1});
  const std::string url = Sign(Put("big", std::string(32 << 20, 'b')));
  RawClient slow(server_->port(), /*receive_buffer=*/4096);
  slow.Send("GET " + url + " HTTP/1.1\r\nHost: a\r\n\r\n");
  ASSERT_EQ(slow.ReceiveBytes(100).size(), 100U);  // It has begun, and can't end before it is read.
  const RawResponse refused = Get(url);
  EXPECT_EQ(refused.status, 503);
  EXPECT_THAT(refused.head, HasSubstr("Retry-After: 1\r\n"));
  slow.Close();

  const auto end = std::chrono::steady_clock::now() + seconds(10);
  int status = 0;
  while (status != 206 && std::chrono::steady_clock::now() < end)
    status = Get(url, "Range: bytes=0-1\r\n").status;
  EXPECT_EQ(status, 206) << "its place is free again";
}

TEST_F(ArtifactsHandlerTest, AListGivesUrlsThatWork) {
  Put("a.png", "first");
  Put("b.png", "second");
  cache::SignedUrls urls(store_, nullptr, clock_);
  const JobArtifacts artifacts({.url_lifetime = hours(2)},
                               {.store = store_, .urls = urls, .pool = pool_, .clock = clock_});
  net::testing::MadeRequest request("GET", "/", {{"Host", "example.org"}});
  const auto list = [&](const std::string& job, const std::string& after, std::size_t limit) {
    std::promise<Result<std::string>> promise;
    loops_.loop(0).Post([&] {
      runtime::Start(artifacts.List(TenantId("acme"), jobs::JobId(job), after, limit, request.get()),
                     [&](Result<std::string> json) { promise.set_value(std::move(json)); });
    });
    return promise.get_future().get();
  };
  const auto first = list("job-1", "", 1);
  ASSERT_TRUE(first.ok()) << first.error().ToString();
  EXPECT_THAT(*first, HasSubstr("\"has_more\":true"));
  const auto second = list("job-1", "acme/job-1/2/a.png", 1);
  EXPECT_THAT(*second, HasSubstr("\"has_more\":false"));
  EXPECT_THAT(*second, HasSubstr("\"attempt\":2,\"name\":\"b.png\",\"bytes\":6"));
  const std::string prefix = "\"url\":\"http://example.org";
  const std::size_t at = second->find(prefix) + prefix.size();
  EXPECT_EQ(Get(second->substr(at, second->find('"', at) - at)).body, "second");
  EXPECT_THAT(*list("job-2", "", 10), HasSubstr("\"data\":[]"));
  EXPECT_EQ(list("../x", "", 10).error().reason(), "blob_key_invalid");
}

}  // namespace
}  // namespace mezzo::api::platform
