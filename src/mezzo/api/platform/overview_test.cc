#include "mezzo/api/platform/overview.h"

#include <atomic>
#include <chrono>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "mezzo/api/gate.h"
#include "mezzo/api/platform/overview_handler.h"
#include "mezzo/net/http_server.h"
#include "mezzo/net/testing/made_request.h"
#include "mezzo/net/testing/raw_client.h"
#include "mezzo/observe/instruments.h"
#include "mezzo/observe/metrics.h"
#include "mezzo/runtime/loop.h"
#include "mezzo/testing/manual_clock.h"

namespace mezzo::api::platform {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Model = OverviewCounts::Model;

/// `count` calls that took between 20 and 35 ms.
std::vector<std::uint64_t> Calls(std::uint64_t count) {
  std::vector<std::uint64_t> buckets(observe::Histogram::Bounds().size() + 1);
  const auto bounds = observe::Histogram::Bounds();
  for (std::size_t i = 0; i < bounds.size(); ++i) {
    if (bounds[i] > 0.020 && bounds[i] <= 0.035) buckets[i] = count;
  }
  return buckets;
}

OverviewCounts Counts(std::vector<Model> models, std::uint32_t slots = 2) {
  return {.models = std::move(models),
          .devices = {{.name = "cpu", .slots = slots, .busy_slots = 1, .queued = 3}}};
}

class OverviewFeedTest : public ::testing::Test {
 protected:
  std::shared_ptr<const OverviewSample> Next(OverviewCounts counts, Duration after = seconds(1)) {
    clock_.Advance(after);
    feed_.Add(std::move(counts));
    return feed_.Latest();
  }
  mezzo::testing::ManualClock clock_;
  OverviewFeed feed_{{.history = 5, .quantile_counts = 3, .max_models = 2, .max_watchers = 2}, clock_};
};

TEST_F(OverviewFeedTest, OneCountAloneIsNoSample) {
  feed_.Add(Counts({{.name = "m", .version = "1", .requests = 1000}}));
  EXPECT_EQ(feed_.Latest(), nullptr);
  EXPECT_THAT(feed_.History(), IsEmpty());
}

TEST_F(OverviewFeedTest, RatesAreOverTheTimeThatHasGone) {
  feed_.Add(Counts({{.name = "m", .version = "1", .requests = 1000, .failed = 10, .device_seconds = 5}}));
  const auto sample =
      Next(Counts({{.name = "m", .version = "1", .requests = 1100, .failed = 12, .device_seconds = 7}}),
           seconds(2));
  ASSERT_NE(sample, nullptr);
  EXPECT_EQ(sample->number, 1U);
  EXPECT_DOUBLE_EQ(sample->requests, 50);
  EXPECT_DOUBLE_EQ(sample->failed, 1);
  EXPECT_DOUBLE_EQ(sample->utilisation, 0.5);
  EXPECT_EQ(sample->queued, 3U);
  ASSERT_THAT(sample->models, SizeIs(1));
  EXPECT_DOUBLE_EQ(sample->models[0].requests, 50);
}

TEST_F(OverviewFeedTest, QuantilesAreOfTheLastCallsAndGoWhenThereAreNone) {
  feed_.Add(Counts({{.name = "m", .version = "1", .latency = Calls(5)}}));
  auto sample = Next(Counts({{.name = "m", .version = "1", .latency = Calls(5)}}));
  EXPECT_EQ(sample->p99, std::nullopt) << "the five calls had ended before";
  sample = Next(Counts({{.name = "m", .version = "1", .requests = 4, .latency = Calls(9)}}));
  ASSERT_TRUE(sample->p99.has_value());
  EXPECT_GT(*sample->p99, 0.020);
  EXPECT_LE(*sample->p99, 0.035);
  EXPECT_EQ(sample->models[0].p99, sample->p99);
  for (int i = 0; i < 3; ++i)
    sample = Next(Counts({{.name = "m", .version = "1", .requests = 4, .latency = Calls(9)}}));
  EXPECT_EQ(sample->p99, std::nullopt) << "three counts later nothing of it is left";
}

TEST_F(OverviewFeedTest, AModelThatIsLoadedAnewBeginsAtZero) {
  feed_.Add(Counts(
      {{.name = "m", .version = "1", .requests = 1000, .device_seconds = 50, .latency = Calls(1000)}}));
  auto sample =
      Next(Counts({{.name = "m", .version = "1", .requests = 7, .device_seconds = 1, .latency = Calls(7)}}));
  EXPECT_DOUBLE_EQ(sample->requests, 7);
  EXPECT_DOUBLE_EQ(sample->models[0].device_seconds, 1);
  EXPECT_TRUE(sample->p99.has_value());
  sample = Next(Counts({{.name = "n", .version = "1", .requests = 3}}));
  EXPECT_DOUBLE_EQ(sample->requests, 3) << "a model that was not there before";
}

TEST_F(OverviewFeedTest, TheBusiestModelsAreShownAndAllAreCounted) {
  feed_.Add(Counts({}));
  const auto sample = Next(Counts({{.name = "a", .version = "1", .requests = 1},
                                   {.name = "b", .version = "1", .requests = 30},
                                   {.name = "c", .version = "2", .requests = 20}}));
  EXPECT_EQ(sample->all_models, 3U);
  ASSERT_THAT(sample->models, SizeIs(2));
  EXPECT_EQ(sample->models[0].name, "b");
  EXPECT_EQ(sample->models[1].name, "c");
  EXPECT_DOUBLE_EQ(sample->requests, 51);
}

TEST_F(OverviewFeedTest, HistoryIsBoundedAndInOrder) {
  feed_.Add(Counts({}));
  for (std::uint64_t i = 1; i <= 8; ++i) Next(Counts({{.name = "m", .version = "1", .requests = i}}));
  const auto history = feed_.History();
  ASSERT_THAT(history, SizeIs(5));
  for (std::size_t i = 0; i < history.size(); ++i) {
    EXPECT_EQ(history[i].number, i + 4);
    EXPECT_THAT(history[i].models, IsEmpty());
  }
}

TEST_F(OverviewFeedTest, WhateverIsCountedNothingIsNegative) {
  std::mt19937 random(7);
  const auto any = [&](std::uint64_t most) {
    return std::uniform_int_distribution<std::uint64_t>(0, most)(random);
  };
  for (int round = 0; round < 500; ++round) {
    std::vector<Model> models;
    for (const char* name : {"a", "b", "c"}) {
      if (any(3) == 0) continue;
      const std::uint64_t requests = any(100);
      models.push_back({.name = name,
                        .version = "1",
                        .requests = requests,
                        .failed = any(requests),
                        .device_seconds = static_cast<double>(any(10)),
                        .latency = Calls(requests)});
    }
    const auto sample = Next(Counts(std::move(models)), milliseconds(any(2000)));
    if (sample == nullptr) continue;
    EXPECT_GE(sample->requests, 0);
    EXPECT_GE(sample->failed, 0);
    EXPECT_GE(sample->utilisation, 0);
    EXPECT_LE(sample->utilisation, 1);
    double requests = 0;
    if (sample->all_models <= 2) {
      for (const auto& model : sample->models) requests += model.requests;
      EXPECT_NEAR(requests, sample->requests, 1e-6 * (1 + requests));
    }
  }
}

TEST_F(OverviewFeedTest, WatchersAreBoundedAndComeBack) {
  auto first = feed_.Enter();
  auto second = feed_.Enter();
  ASSERT_TRUE(first.ok());
  ASSERT_TRUE(second.ok());
  const auto third = feed_.Enter();
  ASSERT_FALSE(third.ok());
  EXPECT_EQ(third.error().reason(), "overview_busy");
  EXPECT_EQ(feed_.watchers(), 2U);
  *second = nullptr;
  EXPECT_TRUE(feed_.Enter().ok());
}

TEST_F(OverviewFeedTest, JsonSaysWhatTheSampleSays) {
  feed_.Add(Counts({}));
  const auto sample = Next(Counts({{.name = "m\xff", .version = "1", .requests = 4, .latency = Calls(4)}}));
  const auto event = nlohmann::json::parse(SampleJson(*sample));
  EXPECT_EQ(event["models"][0]["requests_per_second"], 4.0);
  EXPECT_GT(event["p99_ms"].get<double>(), 20.0);
  EXPECT_EQ(event["devices"][0]["name"], "cpu");
  const auto empty = nlohmann::json::parse(OverviewJson(nullptr, {}));
  EXPECT_TRUE(empty["latest"].is_null());
  EXPECT_TRUE(empty["history"].empty());
  const auto whole = nlohmann::json::parse(OverviewJson(sample.get(), feed_.History()));
  EXPECT_EQ(whole["history"].size(), 1U);
  EXPECT_FALSE(whole["history"][0].contains("models"));
}

/// The handler behind a server, with everybody let in.
class OverviewHandlerTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(server_.Listen("127.0.0.1", 0).ok()); }
  net::testing::RawResponse Get(const std::string& target) {
    net::testing::RawClient client(server_.port());
    return client.Exchange("GET " + target + " HTTP/1.1\r\nHost: a\r\n\r\n")
        .value_or(net::testing::RawResponse{});
  }
  static tenancy::Directory::Contents Everybody() {
    tenancy::Directory::Contents contents;
    auto tenant = std::make_shared<tenancy::Tenant>();
    tenant->id = TenantId("anonymous");
    tenant->platform = true;
    contents.tenants = {tenant};
    contents.anonymous = std::make_shared<const tenancy::Caller>(
        tenancy::Caller{.tenant = tenant, .scopes = {tenancy::Scope::kAdmin, tenancy::Scope::kOperate}});
    return contents;
  }

  RealClock clock_;
  std::atomic<bool> ending_{false};
  observe::Registry registry_;
  OverviewFeed feed_{{.max_watchers = 1}, clock_};
  OverviewHandler handler_{{.period = milliseconds(10), .look = milliseconds(5)},
                           {.feed = feed_, .clock = clock_, .ending = [this] { return ending_.load(); }}};
  const tenancy::Directory directory_{Everybody(), clock_};
  Gate gate_{{{.protocol = &handler_, .prefixes = {OverviewHandler::kRoot}}}, directory_};
  runtime::IoThreads loops_{1};
  net::HttpServer server_{net::HttpServer::Options{}, gate_, loops_, registry_};
};

TEST_F(OverviewHandlerTest, AStreamEndsAfterAsManyEventsAsAreAskedFor) {
  feed_.Add(Counts({}));
  feed_.Add(Counts({{.name = "m", .version = "1", .requests = 4}}));
  const auto answer = Get("/v1/overview/events?count=1");
  EXPECT_EQ(answer.status, 200);
  EXPECT_THAT(answer.head, HasSubstr("text/event-stream"));
  EXPECT_THAT(answer.body, HasSubstr("id: 1\nevent: overview\ndata: {"));
  EXPECT_EQ(Get("/v1/overview").status, 200);
}

TEST_F(OverviewHandlerTest, WrongCountsAreRefusedByName) {
  for (const char* count : {"0", "-1", "x", "3601", ""}) {
    const auto answer = Get(std::string("/v1/overview/events?count=") + count);
    EXPECT_EQ(answer.status, 400) << count;
    EXPECT_THAT(answer.body, HasSubstr("query_value"));
  }
}

TEST_F(OverviewHandlerTest, StreamsEndWhenTheServerDoes) {
  net::testing::RawClient client(server_.port());
  feed_.Add(Counts({}));
  feed_.Add(Counts({}));
  client.Send("GET /v1/overview/events HTTP/1.1\r\nHost: a\r\n\r\n");
  while (feed_.watchers() == 0) std::this_thread::sleep_for(milliseconds(1));
  EXPECT_EQ(Get("/v1/overview/events?count=1").status, 503) << "the only place is taken";
  ending_ = true;
  const auto answer = client.Receive();
  ASSERT_TRUE(answer.has_value()) << "a whole body: its last chunk is there";
  while (feed_.watchers() != 0) std::this_thread::sleep_for(milliseconds(1));
}

}  // namespace
}  // namespace mezzo::api::platform
