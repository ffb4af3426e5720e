#include "mezzo/net/http_client.h"

#include <algorithm>
#include <chrono>
#include <span>
#include <string>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/net/testing/server_fixture.h"

namespace mezzo::net {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;
using testing::ServerTest;

class HttpClientTest : public ServerTest {
 protected:
  static HttpClient::Options Local() {
    HttpClient::Options options;
    options.reach = AddressGuard::Reach::kPrivate;
    options.allow_http = true;
    return options;
  }
  [[nodiscard]] ClientRequest To(const std::string& target, std::string method = "GET",
                                 std::string body = "") const {
    ClientRequest request;
    request.method = std::move(method);
    request.url = "http://127.0.0.1:" + std::to_string(port()) + target;
    request.body = std::move(body);
    return request;
  }
  [[nodiscard]] TimePoint In(Duration time) const { return clock_.Now() + time; }
  RealClock clock_;
};

TEST_F(HttpClientTest, SendsAndReusesTheConnection) {
  Start();
  HttpClient client(Local(), clock_);
  for (int i = 0; i < 5; ++i) {
    const auto response = client.Send(To("/echo", "POST", "body"), In(seconds(10)));
    ASSERT_TRUE(response.ok()) << response.error().ToString();
    EXPECT_EQ(response->status, 200);
    EXPECT_EQ(response->body, "body");
    EXPECT_EQ(response->Header("content-length"), "4");
  }
  EXPECT_EQ(server().connections(), 1u);
  EXPECT_EQ(client.Send(To("/nowhere"), In(seconds(10)))->status, 404);
  EXPECT_EQ(client.Send(To("/hello", "HEAD"), In(seconds(10)))->body, "");
}

TEST_F(HttpClientTest, SendsHeadersAndRefusesInjectedOnes) {
  Start();
  HttpClient client(Local(), clock_);
  ClientRequest request = To("/header");
  request.headers.emplace_back("X-Mark", "marked");
  EXPECT_EQ(client.Send(request, In(seconds(10)))->body, "marked");
  request.headers[0].second = "a\r\nX-Evil: b";
  EXPECT_EQ(client.Send(request, In(seconds(10))).error().reason(), "bad_header");
  request = To("/header", "GET / HTTP/1.1\r\n");
  EXPECT_EQ(client.Send(request, In(seconds(10))).error().reason(), "bad_header");
}

TEST_F(HttpClientTest, UsersNeverReachTheLoopback) {
  Start();
  HttpClient::Options options = Local();
  options.reach = AddressGuard::Reach::kPublic;
  HttpClient client(options, clock_);
  const std::string at = ":" + std::to_string(port()) + "/echo";
  // curl turns the numeric forms into addresses, so the guard sees what they mean.
  for (const std::string host : {"127.0.0.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "localhost",
                                 "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "0"}) {
    ClientRequest request;
    request.url = "http://" + host + at;
    const auto response = client.Send(request, In(seconds(10)));
    ASSERT_FALSE(response.ok()) << host;
    EXPECT_THAT(response.error().reason(), ::testing::AnyOf("address_not_allowed", "http_failed")) << host;
  }
  EXPECT_EQ(client.Send(To("/echo"), In(seconds(10))).error().code(), Code::kPermissionDenied);
  EXPECT_EQ(server().connections(), 0u);
}

TEST_F(HttpClientTest, RefusesOtherSchemesAndCredentials) {
  Start();
  HttpClient local(Local(), clock_);
  for (const std::string url :
       {"file:///etc/passwd", "ftp://example.org/", "gopher://example.org/", "http://", "",
        "http://user:pw@127.0.0.1/", "http://user@127.0.0.1/", "http://a b/", "/relative"}) {
    ClientRequest request;
    request.url = url;
    EXPECT_FALSE(local.Send(request, In(seconds(10))).ok()) << url;
  }
  HttpClient::Options strict = Local();
  strict.allow_http = false;
  EXPECT_THAT(HttpClient(strict, clock_).Send(To("/echo"), In(seconds(10))).error().message(),
              HasSubstr("scheme 'http'"));
}

TEST_F(HttpClientTest, StopsAtTheDeadlineAndAtTheSize) {
  Start();
  HttpClient::Options options = Local();
  options.max_response_bytes = 1000;
  HttpClient client(options, clock_);
  EXPECT_EQ(client.Send(To("/hang"), In(milliseconds(30))).error().reason(), "http_timeout");
  EXPECT_EQ(client.Send(To("/hang"), In(milliseconds(-1))).error().reason(), "http_timeout");
  EXPECT_EQ(client.Send(To("/flood"), In(seconds(10))).error().reason(), "response_too_large");
  EXPECT_EQ(client.Send(To("/echo", "POST", std::string(1000, 'x')), In(seconds(10)))->body.size(), 1000u);
}

/// Bytes that can be asked for again; fails at an offset when told to.
class TextSource final : public UploadSource {
 public:
  explicit TextSource(std::string text, std::size_t fails_at = SIZE_MAX)
      : text_(std::move(text)), fails_at_(fails_at) {}
  [[nodiscard]] ByteCount size() const override { return text_.size(); }
  Result<std::size_t> Read(ByteCount offset, std::span<std::byte> into) override {
    if (offset >= fails_at_) return Unavailable("source_failed", "the source failed");
    const std::string_view rest =
        std::string_view(text_).substr(offset, std::min<std::size_t>(into.size(), 10'000));
    std::copy(rest.begin(), rest.end(), reinterpret_cast<char*>(into.data()));
    return rest.size();
  }

 private:
  const std::string text_;
  const std::size_t fails_at_;
};

TEST_F(HttpClientTest, StreamsABodyFromItsSource) {
  Start();
  HttpClient client(Local(), clock_);
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{3'000'000}}) {
    std::string text(size, 'x');
    for (std::size_t i = 0; i < size; i += 7) text[i] = static_cast<char>('a' + i % 26);
    TextSource source(text);
    ClientRequest request = To("/echo", "PUT");
    request.upload = &source;
    const auto response = client.Send(request, In(seconds(10)));
    ASSERT_TRUE(response.ok()) << response.error().ToString();
    EXPECT_EQ(response->Header("content-length"), std::to_string(size));
    EXPECT_TRUE(response->body == text) << size;
  }
  EXPECT_EQ(server().connections(), 1u);
}

TEST_F(HttpClientTest, AnErrorOfTheSourceIsTheRequestsError) {
  Start();
  HttpClient client(Local(), clock_);
  TextSource source(std::string(3'000'000, 'x'), 100'000);
  ClientRequest request = To("/echo", "PUT");
  request.upload = &source;
  EXPECT_EQ(client.Send(request, In(seconds(10))).error().reason(), "source_failed");
  EXPECT_EQ(client.Send(To("/echo", "POST", "after"), In(seconds(10)))->body, "after");
}

TEST_F(HttpClientTest, AsksNobodyButItsHosts) {
  Start();
  HttpClient::Options options = Local();
  options.only_hosts = {"127.0.0.1:" + std::to_string(port())};
  HttpClient client(options, clock_);
  EXPECT_EQ(client.Send(To("/echo"), In(seconds(10)))->status, 200);
  const std::string at = ":" + std::to_string(port()) + "/echo";
  for (const std::string& url :
       {std::string("http://localhost") + at, std::string("http://127.0.0.2") + at,
        std::string("http://127.0.0.1/echo"), "http://127.0.0.1.evil.example" + at}) {
    ClientRequest request;
    request.url = url;
    EXPECT_EQ(client.Send(request, In(seconds(10))).error().reason(), "address_not_allowed") << url;
  }
  ClientRequest numeric;  // The same address in another form: curl makes it the one that is allowed.
  numeric.url = "http://2130706433" + at;
  EXPECT_EQ(client.Send(numeric, In(seconds(10)))->status, 200);
}

TEST_F(HttpClientTest, VerifiesNothingItCannotReach) {
  Start();
  HttpClient client(Local(), clock_);
  ClientRequest request;
  request.url = "https://127.0.0.1:" + std::to_string(port()) + "/";  // Plain text behind it.
  EXPECT_EQ(client.Send(request, In(seconds(10))).error().reason(), "http_failed");
}

}  // namespace
}  // namespace mezzo::net
