#include "mezzo/tenancy/ledger/usage_report.h"

#include <limits>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/tenancy/ledger/price_book.h"

namespace mezzo::tenancy {
namespace {

using ::testing::HasSubstr;

std::vector<Price> Prices() {
  return {{.model = "*", .unit = PriceUnit::kRequest, .amount_micros = 10, .currency = "EUR"},
          {.model = "*", .unit = PriceUnit::kDeviceSecond, .amount_micros = 1'000'000, .currency = "EUR"},
          {.model = "sdxl", .unit = PriceUnit::kImage, .amount_micros = 50'000, .currency = "EUR"},
          {.model = "sdxl",
           .unit = PriceUnit::kImage,
           .amount_micros = 40'000,
           .currency = "EUR",
           .valid_from_us = 1000},
          {.model = "sdxl", .unit = PriceUnit::kRequest, .amount_micros = 0, .currency = "EUR"}};
}

TEST(Account, CountsWhatManyThreadsAdd) {
  Account account({.tenant = "t"});
  EXPECT_FALSE(account.TakeChanged());
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&account] {
      for (int i = 0; i < 10'000; ++i) account.Add({.requests = 1, .device_ns = 3});
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_TRUE(account.TakeChanged());
  EXPECT_EQ(account.Total(), (Usage{.requests = 80'000, .device_ns = 240'000}));
}

TEST(PriceBook, TakesTheModelsOwnPriceOfTheTime) {
  const auto book = PriceBook::Make(Prices());
  ASSERT_TRUE(book.ok()) << book.error().ToString();
  EXPECT_EQ(book->currency(), "EUR");
  const Usage usage{.requests = 3, .failed = 1, .device_ns = 1'500'000'000, .images = 2};
  EXPECT_EQ(book->Cost("resnet", usage, 0), 2 * 10 + 1'500'000) << "failed requests cost their device time";
  EXPECT_EQ(book->Cost("sdxl", usage, 0), 1'500'000 + 100'000);
  EXPECT_EQ(book->Cost("sdxl", usage, 999), 1'500'000 + 100'000);
  EXPECT_EQ(book->Cost("sdxl", usage, 1000), 1'500'000 + 80'000);
  EXPECT_EQ(PriceBook().Cost("sdxl", usage, 0), 0);
}

TEST(PriceBook, RoundsToTheNearestAndSaturates) {
  const auto book = PriceBook::Make(
      {{.model = "*",
        .unit = PriceUnit::kDeviceSecond,
        .amount_micros = 1'000'000'000'000,
        .currency = "USD"},
       {.model = "cheap", .unit = PriceUnit::kDeviceSecond, .amount_micros = 1, .currency = "USD"}});
  ASSERT_TRUE(book.ok());
  EXPECT_EQ(book->Cost("cheap", {.device_ns = 499'999'999}, 0), 0);
  EXPECT_EQ(book->Cost("cheap", {.device_ns = 500'000'000}, 0), 1);
  constexpr auto kMost = std::numeric_limits<std::int64_t>::max();
  EXPECT_EQ(book->Cost("m", {.device_ns = kMost}, 0), kMost);
}

TEST(PriceBook, RefusesTablesThatSayTwoThings) {
  const auto reason = [](std::vector<Price> prices) {
    const auto book = PriceBook::Make(std::move(prices));
    return book.ok() ? std::string("made") : book.error().reason();
  };
  auto prices = Prices();
  prices.push_back(prices.front());
  EXPECT_EQ(reason(prices), "price_twice");
  prices = Prices();
  prices[1].currency = "USD";
  EXPECT_EQ(reason(prices), "price_currency");
  EXPECT_EQ(reason({{.model = "*", .currency = "eur"}}), "price_currency");
  EXPECT_EQ(reason({{.model = "*", .amount_micros = -1, .currency = "EUR"}}), "price_amount");
  EXPECT_EQ(reason({{.model = "", .currency = "EUR"}}), "price_model");
  EXPECT_EQ(reason({}), "made");
}

TEST(ReportCsv, QuotesAndDisarmsTexts) {
  UsageReport report;
  report.group = {0, 1, 3};
  report.currency = "EUR";
  UsageReport::Row row;
  row.sum.start_us = 1'700'000'000'000'000;
  row.sum.key = {.tenant = "=HYPERLINK(\"http://x\")", .project = "a,b", .model = "-1+1"};
  row.sum.usage = {.requests = 2, .device_ns = 1'500'000};
  row.cost_micros = 1'234'567;
  report.rows.push_back(row);
  EXPECT_EQ(
      ReportCsv(report),
      "start,tenant,project,model,requests,failed,device_ms,images,video_seconds,bytes_in,bytes_out,"
      "cache_hits,saved_ms,cost,currency\r\n"
      "2023-11-14T22:13:20Z,\"'=HYPERLINK(\"\"http://x\"\")\",\"a,b\",'-1+1,2,0,1.500,0,0.000,0,0,0,0.000,"
      "1.234567,EUR\r\n");
}

TEST(ParseTime, ReadsDatesAndTimes) {
  EXPECT_EQ(ParseTime("1970-01-02").value(), kDayUs);
  EXPECT_EQ(ParseTime("1970-01-01T01").value(), kHourUs);
  EXPECT_EQ(ParseTime("1970-01-01T01:00Z").value(), kHourUs);
  EXPECT_EQ(TimeText(ParseTime("2026-11-22T21:05:30Z").value()), "2026-11-22T21:05:30Z");
  for (const char* bad : {"", "2026", "2026-13-01", "2026-02-30", "2026-01-01T24", "2026-01-01T10:61",
                          "1969-12-31", "2026-01-01 10:00", "2026-01-01T10:00:00Zx", "-026-01-01"}) {
    EXPECT_EQ(ParseTime(bad).error().reason(), "time_invalid") << bad;
  }
}

TEST(StartOf, IsWhenTheSpanBegan) {
  EXPECT_EQ(StartOf(kHourUs + 1, kHourUs), kHourUs);
  EXPECT_EQ(StartOf(kHourUs, kHourUs), kHourUs);
  EXPECT_EQ(StartOf(-1, kHourUs), -kHourUs);
}

}  // namespace
}  // namespace mezzo::tenancy
