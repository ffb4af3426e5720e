#include "mezzo/app/cli/arrivals.h"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mezzo::app::cli {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<double> Gaps(ArrivalSchedule& schedule, int count) {
  std::vector<double> gaps;
  Duration before{};
  for (int i = 0; i < count; ++i) {
    const Duration at = schedule.Next();
    gaps.push_back(Seconds(at - before));
    before = at;
  }
  return gaps;
}

TEST(PoissonArrivals, GapsAreExponentialWithTheRate) {
  constexpr int kCount = 200'000;
  const auto schedule = PoissonArrivals(500, 42);
  const auto gaps = Gaps(*schedule, kCount);

  double sum = 0, squares = 0;
  int beyond_mean = 0;
  for (const double gap : gaps) {
    ASSERT_GE(gap, 0);
    sum += gap;
    squares += gap * gap;
    beyond_mean += gap > 1.0 / 500 ? 1 : 0;
  }
  const double mean = sum / kCount;
  const double deviation = std::sqrt(squares / kCount - mean * mean);
  EXPECT_NEAR(mean, 1.0 / 500, 0.01 / 500);
  EXPECT_NEAR(deviation / mean, 1.0, 0.02);                                    // Exponential: they are equal.
  EXPECT_NEAR(static_cast<double>(beyond_mean) / kCount, std::exp(-1), 0.01);  // Its distribution function.
}

TEST(PoissonArrivals, CountsInWindowsHaveVarianceEqualToTheirMean) {
  const auto schedule = PoissonArrivals(1000, 9);
  std::vector<double> counts(2000);  // Windows of 20 ms.
  for (Duration at = schedule->Next(); at < seconds(40); at = schedule->Next()) {
    ++counts[static_cast<std::size_t>(at / milliseconds(20))];
  }

  double mean = 0, variance = 0;
  for (const double count : counts) mean += count / 2000;
  for (const double count : counts) variance += (count - mean) * (count - mean) / 2000;
  EXPECT_NEAR(mean, 20, 0.3);
  EXPECT_NEAR(variance / mean, 1.0, 0.12);
}

TEST(PoissonArrivals, SeedDecidesTheSchedule) {
  EXPECT_EQ(Gaps(*PoissonArrivals(10, 1), 50), Gaps(*PoissonArrivals(10, 1), 50));
  EXPECT_NE(Gaps(*PoissonArrivals(10, 1), 50), Gaps(*PoissonArrivals(10, 2), 50));
}

TEST(UniformArrivals, DoesNotDrift) {
  const auto schedule = UniformArrivals(3);
  Duration last{};
  for (int i = 0; i <= 3'000'000; ++i) last = schedule->Next();
  EXPECT_EQ(last, seconds(1'000'000));
}

TEST(TraceArrivals, PlaysOnceAtTheScale) {
  const auto schedule = TraceArrivals({milliseconds(0), milliseconds(100), milliseconds(400)}, 2);
  EXPECT_EQ(schedule->Next(), milliseconds(0));
  EXPECT_EQ(schedule->Next(), milliseconds(50));
  EXPECT_EQ(schedule->Next(), milliseconds(200));
  EXPECT_EQ(schedule->Next(), ArrivalSchedule::kEnd);
  EXPECT_EQ(schedule->Next(), ArrivalSchedule::kEnd);
}

TEST(PartOfArrivals, PartsTogetherAreTheWhole) {
  const auto whole = PoissonArrivals(100, 5);
  const auto even = PartOfArrivals(PoissonArrivals(100, 5), 0, 2);
  const auto odd = PartOfArrivals(PoissonArrivals(100, 5), 1, 2);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(whole->Next(), (i % 2 == 0 ? even : odd)->Next()) << i;
}

TEST(ParseTrace, ReadsSecondsOfAnyOriginAndSortsThem) {
  const auto trace = ParseTrace("# recorded\r\narrival,size\r\n1000.5,7\n\n1000.25\n\"1002\",x\n", "t.csv");
  ASSERT_TRUE(trace.ok()) << trace.error().message();
  EXPECT_THAT(*trace, ElementsAre(milliseconds(0), milliseconds(250), milliseconds(1750)));
}

TEST(ParseTrace, ReadsTimestamps) {
  const auto trace =
      ParseTrace("TIMESTAMP,Tokens\n2023-12-31 23:59:59.5,1\n2024-01-01T00:00:01Z,2\n", "t.csv");
  ASSERT_TRUE(trace.ok()) << trace.error().message();
  EXPECT_THAT(*trace, ElementsAre(milliseconds(0), milliseconds(1500)));
}

TEST(ParseTrace, NamesTheLineThatIsNoTime) {
  EXPECT_THAT(ParseTrace("0.5\nsoon,1\n", "t.csv").error().message(),
              HasSubstr("t.csv:2: 'soon' is neither"));
  EXPECT_THAT(ParseTrace("a\nb\n", "t.csv").error().message(), HasSubstr("t.csv:2: 'b'"));
  EXPECT_THAT(ParseTrace("2024-13-01 00:00:00\n2024-13-01 00:00:00\n", "t").error().message(),
              HasSubstr("t:2"));
  EXPECT_THAT(ParseTrace("# nothing\n", "t.csv").error().message(), HasSubstr("holds no arrival"));
  EXPECT_THAT(ParseTrace("0\n1e300\n", "t.csv").error().message(), HasSubstr("spans more than"));
}

}  // namespace
}  // namespace mezzo::app::cli
