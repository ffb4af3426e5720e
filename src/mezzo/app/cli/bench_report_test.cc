#include "mezzo/app/cli/bench_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace mezzo::app::cli {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::Not;

BenchReport TwoFlows() {
  BenchReport report;
  report.seed = 5;
  FlowReport light;
  light.name = "minilm/\"a\"";
  light.spec.model = "minilm";
  light.spec.rate = 50;
  light.spec.deadline = milliseconds(100);
  light.window = seconds(10);
  light.tally.intended = 500;
  light.tally.ok = 480;
  light.tally.late = 3;
  light.tally.refused = 15;
  light.tally.failed = 5;
  light.tally.answers_in_window = 470;
  light.tally.good_in_window = 460;
  light.tally.refusals["503 queue_full"] = 15;
  light.tally.failures["timeout"] = 5;
  light.tally.latency.Record(milliseconds(10), 479);
  light.tally.latency.Record(milliseconds(120));
  light.server =
      ServerView{.rows = 100, .batches = 40, .mean_queue = milliseconds(2), .mean_compute = milliseconds(8)};
  FlowReport heavy;
  heavy.name = "mlp";
  heavy.spec.concurrency = 8;
  heavy.window = seconds(9);
  heavy.tally.intended = heavy.tally.ok = 9000;
  heavy.tally.answers_in_window = heavy.tally.good_in_window = 9000;
  heavy.tally.latency.Record(microseconds(100), 9000);
  report.flows = {light, heavy};
  return report;
}

TEST(ReportJson, HasTheStableFields) {
  const auto json = nlohmann::json::parse(ReportJson(TwoFlows()));

  EXPECT_EQ(json["schema"], "mezzo.bench/1");
  ASSERT_EQ(json["flows"].size(), 2u);
  const auto& flow = json["flows"][0];
  EXPECT_EQ(flow["name"], "minilm/\"a\"");
  EXPECT_EQ(flow["loop"], "open");
  EXPECT_EQ(flow["deadline_s"], 0.1);
  EXPECT_EQ(flow["intended"], 500);
  EXPECT_EQ(flow["refusals"]["503 queue_full"], 15);
  EXPECT_EQ(flow["failures"]["timeout"], 5);
  EXPECT_EQ(flow["goodput_per_s"], 46.0);
  EXPECT_EQ(flow["throughput_per_s"], 47.0);
  EXPECT_EQ(flow["server"]["mean_batch"], 2.5);
  EXPECT_NEAR(flow["latency_s"]["p50"].get<double>(), 0.010, 0.0001);
  EXPECT_EQ(flow["latency_s"]["max"], 0.12);
  EXPECT_TRUE(json["flows"][1]["server"].is_null());
  EXPECT_EQ(json["flows"][1]["loop"], "closed");
  EXPECT_EQ(json["total"]["intended"], 9500);
  EXPECT_EQ(json["total"]["window_s"], 10.0);
}

TEST(ReportJson, BucketsHoldEveryRecordedLatency) {
  const auto json = nlohmann::json::parse(ReportJson(TwoFlows()));

  std::uint64_t sum = 0;
  for (const auto& bucket : json["total"]["latency_s"]["buckets_ns"]) {
    EXPECT_LT(bucket[0].get<std::int64_t>(), bucket[1].get<std::int64_t>());
    sum += bucket[2].get<std::uint64_t>();
  }
  EXPECT_EQ(sum, 9480u);
  EXPECT_EQ(json["total"]["latency_s"]["count"], 9480);
}

TEST(ReportText, ShowsEveryFlowTheTotalAndWhyRequestsWereRefused) {
  const std::string text = ReportText(TwoFlows());

  EXPECT_THAT(text, HasSubstr("minilm/\"a\""));
  EXPECT_THAT(text, HasSubstr("total"));
  EXPECT_THAT(text, HasSubstr("15 refused: 503 queue_full"));
  EXPECT_THAT(text, HasSubstr("5 failed: timeout"));
  EXPECT_THAT(text, HasSubstr("latency of all successes"));
  EXPECT_THAT(text, Not(HasSubstr("remarks")));
}

TEST(ReportText, SaysWhenTheClientWasTheBottleneck) {
  BenchReport report = TwoFlows();
  report.flows[0].tally.dropped = 40;
  report.flows[1].tally.waited = 900;
  report.interrupted = true;

  const std::string text = ReportText(report);

  EXPECT_THAT(text, HasSubstr("40 requests were never sent"));
  EXPECT_THAT(text, HasSubstr("mlp: 900 requests were sent over 1 ms late"));
  EXPECT_THAT(text, HasSubstr("interrupted"));
}

TEST(ReportText, SurvivesARunWithoutAnyAnswer) {
  BenchReport report;
  report.flows.emplace_back();
  EXPECT_THAT(ReportText(report), HasSubstr("intended"));
  EXPECT_TRUE(nlohmann::json::accept(ReportJson(report)));
}

TEST(ProgressLine, FitsTheTerminalAndNamesTroubles) {
  ProgressSample sample{.elapsed = seconds(5),
                        .planned = seconds(10),
                        .warming_up = false,
                        .rate = 1234,
                        .in_flight = 7,
                        .p50 = microseconds(950),
                        .p99 = milliseconds(12),
                        .refused = 3,
                        .failed = 0,
                        .dropped = 0};

  EXPECT_EQ(ProgressLine(sample, 200),
            "[==========          ] 5s 1.23k/s, 7 in flight, p50 950us p99 12.0ms, 3 refused");
  EXPECT_EQ(ProgressLine(sample, 30).size(), 30u);
}

TEST(ShortDuration, HasThreeDigits) {
  EXPECT_EQ(ShortDuration(Duration(0)), "0");
  EXPECT_EQ(ShortDuration(Duration(999)), "999ns");
  EXPECT_EQ(ShortDuration(Duration(1000)), "1.00us");
  EXPECT_EQ(ShortDuration(microseconds(12'345)), "12.3ms");
  EXPECT_EQ(ShortDuration(Duration(999'999)), "1.00ms");
  EXPECT_EQ(ShortDuration(seconds(90)), "90.0s");
}

TEST(ShortCount, HasThreeDigits) {
  EXPECT_EQ(ShortCount(0), "0");
  EXPECT_EQ(ShortCount(950), "950");
  EXPECT_EQ(ShortCount(12'345), "12.3k");
  EXPECT_EQ(ShortCount(999'999), "1.00M");
}

}  // namespace
}  // namespace mezzo::app::cli
