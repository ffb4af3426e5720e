#include "mezzo/net/http_server.h"

#include <atomic>
#include <chrono>
#include <future>
#include <map>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/net/testing/server_fixture.h"

namespace mezzo::net {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::RawClient;
using testing::RawResponse;
using testing::ServerTest;

TEST_F(ServerTest, AnswersAndKeepsTheConnection) {
  Start();
  RawClient client = Connect();

  for (int i = 0; i < 3; ++i) {
    const auto response = client.Exchange(Post("/echo", "hello " + std::to_string(i)));
    ASSERT_TRUE(response);
    EXPECT_EQ(response->status, 200);
    EXPECT_EQ(response->body, "hello " + std::to_string(i));
    EXPECT_THAT(response->head, HasSubstr("Date: "));
    EXPECT_THAT(response->head, Not(HasSubstr("Connection:")));
  }
  EXPECT_EQ(server().connections(), 1u);
}

TEST_F(ServerTest, AnswersPipelinedRequestsInOrder) {
  Start();
  RawClient client = Connect();
  std::string all;
  for (int i = 0; i < 200; ++i) all += Post(i % 3 == 0 ? "/later" : "/echo", std::to_string(i));

  client.Send(all);

  for (int i = 0; i < 200; ++i) {
    const auto response = client.Receive();
    ASSERT_TRUE(response) << i;
    EXPECT_EQ(response->body, std::to_string(i));
  }
}

TEST_F(ServerTest, ReadsARequestThatComesByteByByte) {
  Start();
  RawClient client = Connect();
  for (const char c : Post("/echo", "slow")) client.Send({&c, 1});
  EXPECT_EQ(client.Receive()->body, "slow");
}

TEST_F(ServerTest, ReadsLargeBodiesAlignedAsPlanned) {
  Start();
  RawClient client = Connect();
  const std::string body(3'000'000, 'b');
  for (const int offset : {0, 1, 37, 64}) {
    const auto response = client.Exchange(Post("/align?offset=" + std::to_string(offset), body));
    EXPECT_EQ(response->body, "0 3000000") << offset;
    EXPECT_EQ(client.Exchange(Post("/align?offset=" + std::to_string(offset), "small"))->body, "0 5");
  }
}

TEST_F(ServerTest, BodiesOutliveTheirRequest) {
  Start();
  RawClient client = Connect();
  client.Exchange(Post("/keep", "first"));
  client.Exchange(Post("/echo", "second"));
  EXPECT_EQ(handler().kept.text(), "first");
  EXPECT_GE(server().bytes_in_flight(), 5u);
  handler().kept = {};
  EXPECT_EQ(client.Exchange("GET /in-flight HTTP/1.1\r\nHost: a\r\n\r\n")->status, 404);
  EXPECT_EQ(server().bytes_in_flight(), 0u);
}

TEST_F(ServerTest, DecodesChunkedBodies) {
  Start();
  RawClient client = Connect();
  const std::string head = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

  EXPECT_EQ(client.Exchange(head + "5\r\nhello\r\n6;e=\"x\"\r\n world\r\n0\r\nTrailer: 1\r\n\r\n")->body,
            "hello world");

  const std::string big(100'000, 'c');
  std::string wire = head;
  for (int i = 0; i < 5; ++i) wire += "186A0\r\n" + big + "\r\n";
  EXPECT_EQ(client.Exchange(wire + "0\r\n\r\n" + Post("/echo", "next"))->body.size(), 500'000u);
  EXPECT_EQ(client.Receive()->body, "next");
}

TEST_F(ServerTest, KeepsHeaderViewsWhenTheBufferGrowsForChunks) {
  Start();
  RawClient client = Connect();
  const std::string mark(7000, 'm');
  const std::string head =
      "POST /header HTTP/1.1\r\nHost: a\r\nX-Mark: " + mark + "\r\nTransfer-Encoding: chunked\r\n\r\n";
  client.Send(head);
  std::string chunk(20'000, 'c');
  EXPECT_EQ(client.Exchange("4E20\r\n" + chunk + "\r\n0\r\n\r\n")->body, mark);
}

TEST_F(ServerTest, StreamsChunksAndEventsInOrder) {
  Start();
  RawClient client = Connect();
  const auto response = client.Exchange("GET /stream?count=5 HTTP/1.1\r\nHost: a\r\n\r\n");
  ASSERT_TRUE(response);
  EXPECT_THAT(response->head, HasSubstr("Content-Type: text/event-stream"));
  EXPECT_EQ(response->body, "data: 0\n\ndata: 1\n\ndata: 2\n\ndata: 3\n\ndata: 4\n\n");
  EXPECT_EQ(client.Exchange(Post("/echo", "after"))->body, "after");
}

TEST_F(ServerTest, AStreamOfAKnownSizeHasALengthAndKeepsTheConnection) {
  Start();
  for (const char* version : {"1.1", "1.0\r\nConnection: keep-alive"}) {
    RawClient client = Connect();
    const auto response =
        client.Exchange("GET /stream?count=3&size=27 HTTP/" + std::string(version) + "\r\nHost: a\r\n\r\n");
    ASSERT_TRUE(response) << version;
    EXPECT_THAT(response->head, HasSubstr("Content-Length: 27\r\n"));
    EXPECT_THAT(response->head, Not(HasSubstr("chunked")));
    EXPECT_EQ(response->body, "data: 0\n\ndata: 1\n\ndata: 2\n\n");
    EXPECT_EQ(client.Exchange(Post("/echo", "after"))->body, "after");
  }
  RawClient client = Connect();
  client.Send("HEAD /stream?count=3&size=27 HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_THAT(client.Receive(/*without_body=*/true)->head, HasSubstr("Content-Length: 27\r\n"));
  EXPECT_EQ(client.Exchange(Post("/echo", "after"))->body, "after");
}

TEST_F(ServerTest, AStreamThatDoesNotKeepItsSizeCutsTheConnection) {
  Start();
  for (const char* size : {"26", "28", "1", "100"}) {
    RawClient client = Connect();
    const std::string head = "GET /stream?count=3&size=" + std::string(size) + " HTTP/1.1\r\nHost: a\r\n\r\n";
    EXPECT_FALSE(client.Exchange(head)) << size;
    EXPECT_FALSE(client.Exchange(Post("/echo", "after"))) << size;
  }
}

TEST_F(ServerTest, ServesHttp10WithoutChunks) {
  Start();
  RawClient client = Connect();
  client.Send("GET /stream?count=2 HTTP/1.0\r\n\r\n");
  const auto response = client.Receive();
  EXPECT_THAT(response->head, Not(HasSubstr("chunked")));
  EXPECT_THAT(response->head, HasSubstr("Connection: close"));
  EXPECT_EQ(client.ReceiveBytes(1000), "data: 0\n\ndata: 1\n\n");

  RawClient kept = Connect();
  const auto alive =
      kept.Exchange("POST /echo HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\na");
  EXPECT_THAT(alive->head, HasSubstr("Connection: keep-alive"));
  EXPECT_EQ(kept.Exchange(Post("/echo", "b"))->body, "b");
}

TEST_F(ServerTest, HeadHasTheLengthButNoBody) {
  Start();
  RawClient client = Connect();
  client.Send("HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_THAT(client.Receive(true)->head, HasSubstr("Content-Length: 5\r\n"));
  EXPECT_EQ(client.Exchange(Post("/echo", "x"))->body, "x");
}

TEST_F(ServerTest, GathersTextAndPieces) {
  Start();
  EXPECT_EQ(Connect().Exchange("GET /pieces HTTP/1.1\r\nHost: a\r\n\r\n")->body,
            "head" + std::string(100, 'p') + std::string(200, 'q'));
}

TEST_F(ServerTest, ClosesWhenAskedAndAfterTheMostRequests) {
  Options().max_requests_per_connection = 2;
  Start();
  RawClient asked = Connect();
  const auto last = asked.Exchange("GET /hello HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n");
  EXPECT_THAT(last->head, HasSubstr("Connection: close"));
  EXPECT_TRUE(asked.AtEnd());

  RawClient counted = Connect();
  EXPECT_THAT(counted.Exchange(Post("/echo", "1"))->head, Not(HasSubstr("close")));
  EXPECT_THAT(counted.Exchange(Post("/echo", "2"))->head, HasSubstr("Connection: close"));
  EXPECT_TRUE(counted.AtEnd());
}

TEST_F(ServerTest, RefusesBeforeReadingTheBody) {
  Start();
  RawClient client = Connect();
  const auto refused =
      client.Exchange("POST /forbidden HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
  EXPECT_EQ(refused->status, 403);
  EXPECT_THAT(refused->head, HasSubstr("Connection: close"));
  EXPECT_TRUE(client.AtEnd());

  RawClient whole = Connect();  // With the body already here the connection lives on.
  EXPECT_EQ(whole.Exchange(Post("/forbidden", "abc"))->status, 403);
  EXPECT_EQ(whole.Exchange(Post("/echo", "on"))->body, "on");
}

TEST_F(ServerTest, RefusalReachesAClientThatIsStillSending) {
  Start();
  RawClient client = Connect();
  client.Send("POST /forbidden HTTP/1.1\r\nHost: a\r\nContent-Length: 4000000\r\n\r\n");
  client.Send(std::string(4'000'000, 'x'));
  EXPECT_EQ(client.Receive()->status, 403);
}

TEST_F(ServerTest, ContinuesOnlyWhenTheBodyIsWanted) {
  Start();
  RawClient client = Connect();
  client.Send("POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
  EXPECT_EQ(client.Receive()->status, 100);
  EXPECT_EQ(client.Exchange("abc")->body, "abc");

  const auto refused = client.Exchange(
      "POST /forbidden HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
  EXPECT_EQ(refused->status, 403);
}

TEST_F(ServerTest, PassesRequestIdAndTrace) {
  Start();
  RawClient client = Connect();
  const std::string trace = "4bf92f3577b34da6a3ce929d0e0e4736";
  const auto given =
      client.Exchange("GET /context HTTP/1.1\r\nHost: a\r\nX-Request-Id: my-id:7\r\ntraceparent: 00-" +
                      trace + "-00f067aa0ba902b7-01\r\n\r\n");
  EXPECT_EQ(given->body, "my-id:7 " + trace);
  const auto unsafe = client.Exchange("GET /context HTTP/1.1\r\nHost: a\r\nX-Request-Id: <b>\r\n\r\n");
  EXPECT_THAT(unsafe->body, Not(HasSubstr("<b>")));
  const auto next = client.Exchange("GET /context HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_NE(unsafe->body, next->body);
  EXPECT_EQ(next->body.find(' '), 15u);
}

TEST_F(ServerTest, ResponseHeadersCannotEndTheirLine) {
  Start();
  const auto response = Connect().Exchange("GET /inject HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_THAT(response->head, HasSubstr("X-Evil: a  Set-Cookie: b\r\n"));
}

TEST_F(ServerTest, ADisconnectCancelsTheRunningRequestQuickly) {
  Start();
  Duration best = std::chrono::hours(1);
  for (int i = 0; i < 5; ++i) {
    RawClient client = Connect();
    client.Send(Post("/hang", "x"));
    handler().WaitHanging();
    const auto left = steady_clock::now();
    client.Close();
    best = std::min<Duration>(best, handler().WaitCancelled() - left);
  }
  EXPECT_LT(best, milliseconds(5));
}

TEST_F(ServerTest, AHalfClosedClientIsADisconnect) {
  Start();
  RawClient client = Connect();
  client.Send(Post("/hang", "x"));
  handler().WaitHanging();
  client.CloseSending();
  handler().WaitCancelled();
  EXPECT_TRUE(client.AtEnd());
}

TEST_F(ServerTest, PipelinedBytesDoNotHideADisconnect) {
  Start();
  RawClient client = Connect();
  client.Send(Post("/hang", "x") + Post("/echo", "behind"));
  handler().WaitHanging();
  client.Send(std::string(100, '\r'));
  client.Close();
  handler().WaitCancelled();
}

TEST_F(ServerTest, ADisconnectBehindAFullBufferIsSeenByTheSweep) {
  Start();
  RawClient client = Connect();
  client.Send(Post("/hang", "x"));
  handler().WaitHanging();
  client.Send(Post("/echo", std::string(20'000, 'y')));
  client.Close();
  handler().WaitCancelled();
}

TEST_F(ServerTest, ASlowReaderSlowsTheProducer) {
  Start();
  RawClient client(port(), 4096);
  client.Send("GET /flood HTTP/1.1\r\nHost: a\r\n\r\n");
  client.ReceiveBytes(1000);

  std::uint64_t before = 0;
  for (std::uint64_t now = 1; now != before;) {  // Until nothing moves for 20 ms.
    before = now;
    std::this_thread::sleep_for(milliseconds(20));
    now = handler().flooded;
  }
  EXPECT_LT(before, 64u << 20);
  client.ReceiveBytes(before + (8 << 20));
  EXPECT_GT(handler().flooded, before);
}

TEST_F(ServerTest, AStreamThatNobodyReadsTimesOut) {
  Options().write_timeout = milliseconds(30);
  Start();
  RawClient client(port(), 4096);
  client.Send("GET /flood HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(handler().WaitFloodEnd(), "write_timeout");
}

TEST_F(ServerTest, DrainFinishesWhatRunsAndClosesWhatIdles) {
  Start();
  RawClient idle = Connect();
  idle.Exchange(Post("/echo", "x"));
  RawClient busy = Connect();
  busy.Send(Post("/wait", "x"));
  handler().WaitHanging();

  auto drained = std::async(std::launch::async, [this] { return server().Drain(std::chrono::seconds(10)); });
  EXPECT_TRUE(idle.AtEnd());
  handler().Release();
  const auto response = busy.Receive();

  ASSERT_TRUE(response);
  EXPECT_EQ(response->body, "released");
  EXPECT_THAT(response->head, HasSubstr("Connection: close"));
  EXPECT_TRUE(drained.get());
}

TEST_F(ServerTest, DrainGivesUpAndStopCancels) {
  Start();
  RawClient client = Connect();
  client.Send(Post("/hang", "x"));
  handler().WaitHanging();

  EXPECT_FALSE(server().Drain(milliseconds(5)));
  server().Stop();

  handler().WaitCancelled();
  EXPECT_EQ(server().connections(), 0u);
}

TEST_F(ServerTest, ServesAThousandConnections) {
  Start(2);
  std::vector<RawClient> clients;
  for (int i = 0; i < 1000; ++i) clients.push_back(Connect());
  for (auto& client : clients) client.Send(Post("/echo", "x"));
  for (auto& client : clients) ASSERT_EQ(client.Receive()->body, "x");
  EXPECT_EQ(server().connections(), 1000u);
}

TEST_F(ServerTest, RefusesAnAddressInUseAndBadOnes) {
  Start();
  observe::Registry registry;
  HttpServer other({}, handler(), threads(), registry);
  EXPECT_EQ(other.Listen("127.0.0.1", port()).error().reason(), "address_in_use");
  EXPECT_EQ(other.Listen("localhost", 0).error().reason(), "bad_address");
}

TEST_F(ServerTest, ListensOnIpv6) {
  Start();
  if (!server().Listen("::1", 0).ok()) GTEST_SKIP() << "no IPv6 here";
  EXPECT_NE(server().port(), 0);
}

TEST_F(ServerTest, HooksSeeTheWrite) {
  Start();
  Connect().Exchange("GET /hooks HTTP/1.1\r\nHost: a\r\n\r\n");
  const WriteReport report = handler().WaitReport();
  EXPECT_TRUE(report.complete);
  EXPECT_GT(report.bytes, 5u);
}

}  // namespace
}  // namespace mezzo::net
