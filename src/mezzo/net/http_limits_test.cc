#include <chrono>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/net/testing/server_fixture.h"
#include "mezzo/observe/exposition.h"

namespace mezzo::net {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;
using testing::RawClient;
using testing::ServerTest;

class LimitsTest : public ServerTest {};

TEST_F(LimitsTest, ErrorsNameTheSizeAndTheLimit) {
  Start();
  const auto sized = Connect().Exchange("POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n");
  EXPECT_EQ(sized->status, 413);
  EXPECT_EQ(sized->body, R"({"error":"request body of 11 bytes exceeds the limit of 10 bytes"})");
  EXPECT_THAT(sized->head, HasSubstr("Content-Type: application/json"));

  const std::string chunked = " HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
  EXPECT_EQ(Connect().Exchange("POST /small" + chunked + "b\r\n01234567890\r\n0\r\n\r\n")->status, 413);
  EXPECT_EQ(Connect().Exchange("POST /small" + chunked + "a\r\n0123456789\r\n0\r\n\r\n")->status, 200);
  EXPECT_EQ(Connect().Exchange("POST /sized" + chunked + "1\r\na\r\n0\r\n\r\n")->status, 411);
}

TEST_F(LimitsTest, ProtocolErrorsAreAnsweredAndClose) {
  Options().max_header_bytes = 2000;
  Options().max_request_line = 1000;
  Start();
  struct Case {
    std::string request;
    int status;
  };
  const std::vector<Case> cases = {
      {"GET /" + std::string(1500, 'a'), 414},
      {"GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(3000, 'a'), 431},
      {"GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\nHost: a\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nTransfer-Encoding: gzip\r\nHost: a\r\n\r\n", 501},
      {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
      {"GET / HTTP/1.1\nHost: a\n\n", 400},
      {"GET /%2e%2e/etc HTTP/1.1\r\nHost: a\r\n\r\n", 400},
  };
  for (const Case& c : cases) {
    RawClient client = Connect();
    const auto response = client.Exchange(c.request);
    ASSERT_TRUE(response) << c.request.substr(0, 40);
    EXPECT_EQ(response->status, c.status) << c.request.substr(0, 40);
    EXPECT_THAT(response->body, HasSubstr("{\"error\":\""));
    EXPECT_TRUE(client.AtEnd());
  }
}

TEST_F(LimitsTest, AHeaderBombIsCutAtTheLimit) {
  Start();
  RawClient client = Connect();
  client.Send("GET / HTTP/1.1\r\nHost: a\r\n");
  for (int i = 0; i < 200; ++i) client.Send("X-" + std::to_string(i) + ": 1\r\n");
  const auto response = client.Receive();
  EXPECT_EQ(response->status, 431);
  EXPECT_THAT(response->body, HasSubstr("more than 100 request headers"));
}

TEST_F(LimitsTest, TooManyChunksAreRefused) {
  Options().max_chunks = 1000;
  Start();
  std::string wire = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (int i = 0; i < 1000; ++i) wire += "1\r\nx\r\n";
  EXPECT_EQ(Connect().Exchange(wire + "0\r\n\r\n")->body.size(), 1000u);
  EXPECT_EQ(Connect().Exchange(wire + "1\r\nx\r\n0\r\n\r\n")->status, 413);
}

TEST_F(LimitsTest, AnEndlessChunkHeaderIsRefused) {
  Start();
  RawClient client = Connect();
  client.Send("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;x=");
  client.Send(std::string(100'000, 'a'));
  EXPECT_EQ(client.Receive()->status, 400);
}

TEST_F(LimitsTest, ASlowHeadIsAnswered408) {
  Options().header_timeout = milliseconds(20);
  Start();
  RawClient client = Connect();
  client.Send("GET / HTTP/1.1\r\nHo");
  EXPECT_EQ(client.Receive()->status, 408);
  EXPECT_TRUE(client.AtEnd());
}

TEST_F(LimitsTest, ASlowBodyIsAnswered408) {
  Options().body_grace = milliseconds(20);
  Options().min_body_rate = 1 << 20;
  Start();
  RawClient client = Connect();
  const auto response =
      client.Exchange("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nabc");
  EXPECT_EQ(response->status, 408);
  EXPECT_THAT(response->body, HasSubstr("3 of 100000 bytes"));

  RawClient chunked = Connect();
  EXPECT_EQ(
      chunked.Exchange("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab")->status,
      408);
}

TEST_F(LimitsTest, AnIdleConnectionIsClosedSilently) {
  Options().idle_timeout = milliseconds(20);
  Start();
  RawClient fresh = Connect();
  EXPECT_TRUE(fresh.AtEnd());
  RawClient used = Connect();
  EXPECT_EQ(used.Exchange(Post("/echo", "x"))->status, 200);
  EXPECT_TRUE(used.AtEnd());
}

TEST_F(LimitsTest, BodiesInMemoryAreBounded) {
  Options().max_bytes_in_flight = 100'000;
  Start();
  RawClient holder = Connect();
  holder.Send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 90000\r\n\r\nx");
  while (server().bytes_in_flight() < 90'000) std::this_thread::yield();

  const auto refused = Connect().Exchange(Post("/echo", std::string(20'000, 'x')));
  EXPECT_EQ(refused->status, 503);
  EXPECT_THAT(refused->head, HasSubstr("Retry-After: 1"));
  EXPECT_THAT(refused->body, HasSubstr("limit of 100000 bytes"));

  holder.Close();
  while (server().bytes_in_flight() > 0) std::this_thread::yield();
  EXPECT_EQ(Connect().Exchange(Post("/echo", std::string(20'000, 'x')))->status, 200);
}

TEST_F(LimitsTest, ConnectionsAreBounded) {
  Options().max_connections = 2;
  Start();
  RawClient a = Connect();
  RawClient b = Connect();
  a.Exchange(Post("/echo", "x"));
  b.Exchange(Post("/echo", "x"));

  RawClient c = Connect();
  EXPECT_EQ(c.Receive()->status, 503);
  EXPECT_TRUE(c.AtEnd());

  a.Close();
  while (server().connections() == 2) std::this_thread::yield();
  EXPECT_EQ(Connect().Exchange(Post("/echo", "x"))->status, 200);
}

TEST_F(LimitsTest, ThePeerLimitSparesLoopback) {
  Options().max_connections_per_peer = 1;
  Start();
  RawClient a = Connect();
  RawClient b = Connect();
  EXPECT_EQ(a.Exchange(Post("/echo", "x"))->status, 200);
  EXPECT_EQ(b.Exchange(Post("/echo", "x"))->status, 200);
}

TEST_F(LimitsTest, MetricsCountWhatHappened) {
  Start();
  RawClient client = Connect();
  client.Exchange(Post("/echo", "12345"));
  client.Exchange("GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n");
  Connect().Exchange("bad\n");

  server().Stop();
  const std::string text = observe::Render(registry(), observe::ExpositionFormat::kOpenMetrics);
  EXPECT_THAT(text, HasSubstr("mezzo_net_connections_accepted_total{listener=\"http\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("mezzo_net_connections{listener=\"http\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("mezzo_net_responses_total{listener=\"http\",class=\"2xx\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("mezzo_net_responses_total{listener=\"http\",class=\"4xx\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("mezzo_net_refusals_total{listener=\"http\",reason=\"protocol\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("mezzo_net_request_read_seconds_count{listener=\"http\"} 2\n"));
}

}  // namespace
}  // namespace mezzo::net
