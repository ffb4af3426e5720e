#include "mezzo/generation/file_fetcher.h"

#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/net/http_server.h"
#include "mezzo/observe/metrics.h"
#include "mezzo/runtime/loop.h"

namespace mezzo::generation {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::StartsWith;

/// Somebody's server of pictures: /<status> answers with that status, /slow not at all.
class Pictures final : public net::HttpHandler {
 public:
  Pictures() { EXPECT_TRUE(server_.Listen("127.0.0.1", 0).ok()); }

  [[nodiscard]] std::string Url(const std::string& path) const {
    return "http://127.0.0.1:" + std::to_string(server_.port()) + path;
  }
  [[nodiscard]] net::BodyPlan PlanBody(const net::HttpRequest& /*head*/) const override { return {}; }
  runtime::Task<net::HttpResponse> Handle(runtime::Context ctx, net::HttpRequest* request) override {
    const std::string path(request->path());
    if (path == "/slow") (void)co_await runtime::SleepUntil(ctx, RealClock().Now() + seconds(20));
    net::HttpResponse response;
    response.status = path == "/slow" ? 200 : std::stoi(path.substr(1));
    if (response.status == 302) response.headers.emplace_back("Location", Url("/200"));
    response.text = std::string(1000, 'x');
    co_return response;
  }

 private:
  runtime::IoThreads loops_{1};
  observe::Registry registry_;
  net::HttpServer server_{net::HttpServer::Options{}, *this, loops_, registry_};
};

class FileFetcherTest : public ::testing::Test {
 protected:
  static FileFetcher::Options Local() {
    return {
        .reach = net::AddressGuard::Reach::kPrivate, .allow_http = true, .max_bytes = 4000, .ca_file = {}};
  }
  std::string ErrorOf(const std::string& url, FileFetcher::Options options = Local(),
                      ByteCount max_bytes = 2000) {
    FileFetcher files(std::move(options), clock_);
    const auto file = files.Fetch(runtime::Context(), url, max_bytes);
    return file.ok() ? "it was read" : file.error().ToString();
  }

  const RealClock clock_;
  Pictures pictures_;
};

TEST_F(FileFetcherTest, ReadsAFile) {
  FileFetcher files(Local(), clock_);
  const auto file = files.Fetch(runtime::Context(), pictures_.Url("/200"), 1000);
  ASSERT_TRUE(file.ok()) << file.error().ToString();
  EXPECT_EQ(*file, std::string(1000, 'x'));
}

TEST_F(FileFetcherTest, SaysWhatIsWrongAndWhatMayPass) {
  EXPECT_THAT(ErrorOf(pictures_.Url("/404?key=secret")),
              AllOf(StartsWith("INVALID_ARGUMENT fetch_refused"), HasSubstr("/404' answered HTTP 404")));
  EXPECT_THAT(ErrorOf(pictures_.Url("/302")), HasSubstr("answered HTTP 302")) << "no redirect is followed";
  EXPECT_THAT(ErrorOf(pictures_.Url("/204")), HasSubstr("answered HTTP 204"));
  EXPECT_THAT(ErrorOf(pictures_.Url("/503")), StartsWith("UNAVAILABLE fetch_failed"));
  EXPECT_THAT(ErrorOf(pictures_.Url("/429")), StartsWith("UNAVAILABLE fetch_failed"));
  EXPECT_THAT(ErrorOf("http://127.0.0.1:1/a.png"), StartsWith("UNAVAILABLE fetch_failed"));
}

TEST_F(FileFetcherTest, LimitsAreExact) {
  EXPECT_EQ(ErrorOf(pictures_.Url("/200"), Local(), 1000), "it was read");
  EXPECT_THAT(ErrorOf(pictures_.Url("/200"), Local(), 999),
              AllOf(StartsWith("INVALID_ARGUMENT fetch_refused"), HasSubstr("is larger than 999")));
  FileFetcher::Options small = Local();
  small.max_bytes = 999;
  EXPECT_THAT(ErrorOf(pictures_.Url("/200"), small), HasSubstr("is larger than 999"));
  const std::string longest = pictures_.Url("/200?") + std::string(FileFetcher::kMaxUrlBytes, 'q');
  EXPECT_EQ(ErrorOf(longest.substr(0, FileFetcher::kMaxUrlBytes)), "it was read");
  EXPECT_THAT(ErrorOf(longest.substr(0, FileFetcher::kMaxUrlBytes + 1)), HasSubstr("has 2049 bytes"));
}

TEST_F(FileFetcherTest, ReachesNothingPrivateUnlessConfigured) {
  FileFetcher::Options options = Local();
  options.reach = net::AddressGuard::Reach::kPublic;
  for (const std::string host :
       {"127.0.0.1", "localhost", "[::1]", "169.254.169.254", "10.0.0.1", "2130706433"}) {
    EXPECT_THAT(ErrorOf("http://" + host + ":80/a.png", options), HasSubstr("address_not_allowed")) << host;
  }
  options.allow_http = false;
  EXPECT_THAT(ErrorOf(pictures_.Url("/200"), options), HasSubstr("bad_url"));
}

TEST_F(FileFetcherTest, EndsInTimeAndWhenItsJobIsCancelled) {
  FileFetcher::Options options = Local();
  options.timeout = milliseconds(200);
  EXPECT_THAT(ErrorOf(pictures_.Url("/slow"), options), StartsWith("UNAVAILABLE fetch_failed"));

  FileFetcher files(Local(), clock_);
  const runtime::Context ctx;
  std::thread cancel([&ctx] {
    std::this_thread::sleep_for(milliseconds(100));
    ctx.Cancel();
  });
  const TimePoint start = clock_.Now();
  const auto file = files.Fetch(ctx, pictures_.Url("/slow"), 1000);
  cancel.join();
  ASSERT_FALSE(file.ok());
  EXPECT_EQ(file.error().code(), Code::kCancelled);
  EXPECT_LT(clock_.Now() - start, seconds(5));
}

TEST(FileFetcherUrlTest, KeysAreNoAddresses) {
  EXPECT_TRUE(FileFetcher::IsUrl("https://example.com/a.png"));
  EXPECT_TRUE(FileFetcher::IsUrl("http://example.com/a.png"));
  EXPECT_FALSE(FileFetcher::IsUrl("shop/job/1/a.png"));
  EXPECT_FALSE(FileFetcher::IsUrl("file:///etc/passwd"));
  EXPECT_FALSE(FileFetcher::IsUrl("HTTPS//x"));
}

}  // namespace
}  // namespace mezzo::generation
