#include "mezzo/app/cli/top_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/app/cli/internal/text_table.h"
#include "mezzo/base/strings.h"

namespace mezzo::app::cli {
namespace {

using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::Not;

std::string Scrape(int calls, double device_seconds) {
  const std::string n = std::to_string(calls);
  const std::string labels = R"(model="minilm",version="1",tenant="a")";
  return "# TYPE mezzo_inference_requests counter\n"
         "mezzo_inference_requests_total{" +
         labels + R"(,outcome="success"} )" + n + "\n" + "mezzo_inference_requests_total{" + labels +
         R"(,outcome="failure"} 0)" + "\n" + "mezzo_inference_request_seconds_bucket{" + labels +
         R"(,le="0.01"} 0)" + "\n" + "mezzo_inference_request_seconds_bucket{" + labels + R"(,le="0.02"} )" +
         n + R"( # {trace_id="ab"} 0.015 1.5)" + "\n" + "mezzo_inference_request_seconds_bucket{" + labels +
         R"(,le="+Inf"} )" + n + "\n" + "mezzo_inference_batch_rows_sum{model=\"minilm\",version=\"1\"} " +
         n + "\n" + "mezzo_inference_batch_rows_count{model=\"minilm\",version=\"1\"} " +
         std::to_string(calls / 4) + "\n" +
         "mezzo_inference_refused_total{model=\"minilm\",reason=\"queue_full\"} " +
         std::to_string(calls / 10) + "\n" +
         "mezzo_inference_device_nanoseconds_total{model=\"minilm\",version=\"1\"} " +
         std::to_string(static_cast<long>(device_seconds * 1e9)) + "\n" +
         "mezzo_sched_charged_seconds_total{tenant=\"a\",class=\"standard\"} " +
         std::to_string(device_seconds) + "\n" +
         "mezzo_sched_slots 2\nmezzo_sched_queued_items 12\nmezzo_process_resident_memory_bytes "
         "1.048576e+08\n"
         "# EOF\n";
}

TopSample SampleAt(seconds at, const std::string& scrape) {
  TopSample sample;
  sample.at = TimePoint(at);
  sample.metrics = *MetricsText::Parse(scrape);
  sample.index = {{.name = "minilm", .version = "1", .state = "READY", .reason = ""},
                  {.name = "idle", .version = "", .state = "", .reason = ""}};
  sample.statistics = {{.model = "minilm", .version = "1", .memory_bytes = 90 << 20}};
  return sample;
}

TopView TwoSecondsOfWork() {
  TopView view =
      CompareSamples(SampleAt(seconds(10), Scrape(1000, 5)), SampleAt(seconds(12), Scrape(1400, 6)));
  view.url = "http://h:1";
  return view;
}

TEST(CompareSamples, FiguresAreOfTheTimeBetween) {
  const TopView view = TwoSecondsOfWork();

  ASSERT_EQ(view.models.size(), 2u);
  const TopRow& row = view.models[0];
  EXPECT_EQ(row.name, "minilm");
  EXPECT_DOUBLE_EQ(row.rate, 200);
  EXPECT_NEAR(row.p50, 0.015, 1e-9);
  EXPECT_NEAR(row.p99, 0.0199, 1e-9);
  EXPECT_DOUBLE_EQ(row.batch, 4);
  EXPECT_DOUBLE_EQ(row.device, 0.25);  // One second in two, of two slots.
  EXPECT_DOUBLE_EQ(row.refusals, 20);
  EXPECT_EQ(row.memory_bytes, 90u << 20);
  EXPECT_DOUBLE_EQ(view.busy, 0.5);
  ASSERT_EQ(view.tenants.size(), 1u);
  EXPECT_DOUBLE_EQ(view.tenants[0].rate, 200);
  EXPECT_NEAR(view.tenants[0].device, 0.25, 1e-6);
}

TEST(CompareSamples, ARestartedServerHasNoNegativeRates) {
  const TopView view =
      CompareSamples(SampleAt(seconds(10), Scrape(1000, 5)), SampleAt(seconds(12), Scrape(8, 0)));
  EXPECT_DOUBLE_EQ(view.models[0].rate, 0);
  EXPECT_DOUBLE_EQ(view.busy, 0);
}

TEST(RenderTop, ShowsModelsTenantsDeviceAndProcess) {
  EXPECT_EQ(RenderTop(TwoSecondsOfWork(), 120, 40, false),
            "mezzo top  http://h:1  200 req/s, 12 queued\n"
            "device 0.5 of 2 slots busy, models -\n"
            "process 0.00 cores, 100 MiB resident, 0 connections, 0 threads, 0 loop stalls\n"
            "\n"
            "MODEL       STATE  REQ/S     P50     P99  QUEUE  BATCH  DEVICE  FAIL/S  REFUSE/S  MEMORY\n"
            "minilm:1    ready    200  15.0ms  19.9ms    0.0    4.0     25%       0        20  90 MiB\n"
            "idle      on disk      0       -       -    0.0      -      0%       0         0       -\n"
            "\n"
            "TENANT  REQ/S     P50     P99  QUEUE  DEVICE  FAIL/S\n"
            "a         200  15.0ms  19.9ms      0     25%       0\n");
}

TEST(RenderTop, NarrowTerminalsLoseTheLeastImportantColumns) {
  const std::string frame = RenderTop(TwoSecondsOfWork(), 40, 40, false);

  EXPECT_THAT(frame, HasSubstr("REQ/S"));
  EXPECT_THAT(frame, HasSubstr("P99"));
  EXPECT_THAT(frame, Not(HasSubstr("MEMORY")));
  for (const auto line : Split(frame, '\n')) EXPECT_LE(ColumnsOf(line), 40u) << line;
}

TEST(RenderTop, NeverExceedsTheScreenAtAnySize) {
  TopView view = TwoSecondsOfWork();
  view.models.resize(100, view.models[0]);
  view.tenants.resize(50, view.tenants[0]);
  for (std::size_t width = 1; width < 130; width += 3) {
    for (std::size_t height = 1; height < 60; height += 7) {
      const std::string frame = RenderTop(view, width, height, false);
      EXPECT_LE(static_cast<std::size_t>(std::count(frame.begin(), frame.end(), '\n')), height);
      for (const auto line : Split(frame, '\n')) EXPECT_LE(ColumnsOf(line), width);
    }
  }
}

TEST(RenderTop, ColourOnlyWhenAsked) {
  EXPECT_THAT(RenderTop(TwoSecondsOfWork(), 80, 24, false), Not(HasSubstr("\x1b")));
  EXPECT_THAT(RenderTop(TwoSecondsOfWork(), 80, 24, true), HasSubstr("\x1b[7mMODEL"));
}

TEST(MetricsText, ReadsLabelsWithEscapes) {
  const auto metrics =
      MetricsText::Parse("a_total{m=\"x\\\"y\\\\z\\n\",n=\"1\"} 3 1700000000\na_total{m=\"b\",n=\"1\"} 4\n");
  ASSERT_TRUE(metrics.ok());
  EXPECT_EQ(metrics->Sum("a_total"), 7);
  EXPECT_EQ(metrics->Sum("a_total", {{"m", "x\"y\\z\n"}}), 3);
  EXPECT_THAT(metrics->Values("a_total", "m", {{"n", "1"}}), ::testing::ElementsAre("b", "x\"y\\z\n"));
  EXPECT_EQ(metrics->Sum("absent"), 0);
}

TEST(MetricsText, NamesTheLineThatIsNoSample) {
  for (const char* text : {"a 1\nb\n", "a 1\nb{x=\"1\" 2\n", "a 1\n{} 2\n", "a 1\nb{x} 2\n", "a 1\nb x\n"}) {
    const auto metrics = MetricsText::Parse(text);
    ASSERT_FALSE(metrics.ok()) << text;
    EXPECT_THAT(metrics.error().message(), HasSubstr("line 2"));
  }
}

TEST(QuantileBetween, BeyondTheLastBoundIsTheLastBound) {
  const std::map<double, double> before{{1, 0}, {2, 0}, {HUGE_VAL, 0}};
  const std::map<double, double> after{{1, 0}, {2, 1}, {HUGE_VAL, 10}};
  EXPECT_EQ(QuantileBetween(before, after, 0.99), 2);
  EXPECT_LT(QuantileBetween(after, after, 0.5), 0);
}

}  // namespace
}  // namespace mezzo::app::cli
