#include "mezzo/lifecycle/cron.h"

#include <chrono>
#include <random>
#include <string>

#include <gtest/gtest.h>

namespace mezzo::lifecycle {
namespace {

using std::chrono::days;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

WallTime At(int year, unsigned month, unsigned day, int hour = 0, int minute = 0, int second = 0) {
  const std::chrono::sys_days date =
      std::chrono::year(year) / std::chrono::month(month) / std::chrono::day(day);
  return WallTime(date + hours(hour) + minutes(minute) + seconds(second));
}

WallTime Next(const char* text, WallTime time) {
  const auto cron = Cron::Parse(text);
  EXPECT_TRUE(cron.ok()) << text << ": " << cron.error().ToString();
  return cron.ok() ? cron->Next(time) : WallTime();
}

TEST(Cron, TheNextTimeIsTheFirstMinuteThatFits) {
  EXPECT_EQ(Next("* * * * *", At(2026, 11, 23, 7, 30, 0)), At(2026, 11, 23, 7, 31));
  EXPECT_EQ(Next("* * * * *", At(2026, 11, 23, 7, 30, 59)), At(2026, 11, 23, 7, 31));
  EXPECT_EQ(Next("0 3 * * *", At(2026, 11, 23, 3, 0)), At(2026, 11, 24, 3, 0));
  EXPECT_EQ(Next("0 3 * * *", At(2026, 11, 23, 2, 59, 59)), At(2026, 11, 23, 3, 0));
  EXPECT_EQ(Next("*/15 8-10 * * *", At(2026, 11, 23, 8, 15)), At(2026, 11, 23, 8, 30));
  EXPECT_EQ(Next("*/15 8-10 * * *", At(2026, 11, 23, 10, 45)), At(2026, 11, 24, 8, 0));
  EXPECT_EQ(Next("5,35 0-23/6 * * *", At(2026, 11, 23, 6, 6)), At(2026, 11, 23, 6, 35));
  EXPECT_EQ(Next("59 23 31 12 *", At(2026, 12, 31, 23, 59)), At(2027, 12, 31, 23, 59));
}

TEST(Cron, MonthsHaveTheirDaysAndLeapYearsCome) {
  EXPECT_EQ(Next("0 0 31 * *", At(2026, 4, 1)), At(2026, 5, 31));
  EXPECT_EQ(Next("0 0 29 2 *", At(2026, 1, 1)), At(2028, 2, 29));
  EXPECT_EQ(Next("0 0 29 2 *", At(2096, 3, 1)), At(2104, 2, 29));  // 2100 is no leap year.
  EXPECT_EQ(Next("0 0 1 1 *", At(2026, 12, 31, 23, 59)), At(2027, 1, 1));
}

TEST(Cron, DaysOfTheWeekCountFromSundayWhichIsAlsoSeven) {
  // The 23rd of November 2026 is a Monday.
  EXPECT_EQ(Next("0 0 * * 1", At(2026, 11, 23)), At(2026, 11, 30));
  EXPECT_EQ(Next("0 0 * * 0", At(2026, 11, 23)), At(2026, 11, 29));
  EXPECT_EQ(Next("0 0 * * 7", At(2026, 11, 23)), At(2026, 11, 29));
  EXPECT_EQ(Next("0 0 * * 5-7", At(2026, 11, 28)), At(2026, 11, 29));
  EXPECT_EQ(Next("0 0 * * 1-5", At(2026, 11, 27)), At(2026, 11, 30));
}

TEST(Cron, WithBothDaysEitherIsEnoughUnlessOneIsAStar) {
  EXPECT_EQ(Next("0 0 13 * 5", At(2026, 11, 23)), At(2026, 11, 27));   // A Friday.
  EXPECT_EQ(Next("0 0 13 * 5", At(2026, 12, 11)), At(2026, 12, 13));   // The 13th.
  EXPECT_EQ(Next("0 0 */2 * 5", At(2026, 11, 23)), At(2026, 11, 27));  // Begins with a star: both.
  EXPECT_EQ(Next("0 0 13 * *", At(2026, 11, 23)), At(2026, 12, 13));
}

TEST(Cron, NextFitsAndNothingBetweenDoes) {
  for (unsigned seed = 0; seed < 200; ++seed) {
    std::minstd_rand random(seed);
    const auto pick = [&](unsigned from, unsigned to) { return from + random() % (to - from + 1); };
    const std::string text = std::to_string(pick(0, 59)) + " " + std::to_string(pick(0, 23)) + " " +
                             (pick(0, 1) != 0 ? "*" : std::to_string(pick(1, 28))) + " * " +
                             (pick(0, 1) != 0 ? "*" : std::to_string(pick(0, 6)));
    const auto cron = Cron::Parse(text);
    ASSERT_TRUE(cron.ok()) << text;
    const WallTime from = At(2026, 1, 1) + minutes(pick(0, 500'000));
    const WallTime next = cron->Next(from);
    EXPECT_GT(next, from) << text;
    // From anywhere before it, it is the next one: nothing lies between.
    for (int i = 0; i < 20; ++i) {
      const auto between = from + (next - from) * pick(0, 99) / 100;
      EXPECT_EQ(cron->Next(between), next) << text;
    }
  }
}

TEST(Cron, WhatIsWrongIsNamed) {
  for (const char* text : {"",
                           "* * * *",
                           "* * * * * *",
                           "60 * * * *",
                           "* 24 * * *",
                           "* * 0 * *",
                           "* * 32 * *",
                           "* * * 13 *",
                           "* * * 0 *",
                           "* * * * 8",
                           "-1 * * * *",
                           "a * * * *",
                           "5-3 * * * *",
                           "*/0 * * * *",
                           "*/61 * * * *",
                           "1/2 * * * *",
                           "1,,2 * * * *",
                           "1- * * * *",
                           "@daily",
                           "0 0 30 2 *",
                           "0 0 31 4,6 *"}) {
    const auto cron = Cron::Parse(text);
    ASSERT_FALSE(cron.ok()) << text;
    EXPECT_EQ(cron.error().reason(), "pipeline_schedule") << text;
  }
  EXPECT_EQ(Cron::Parse("0 25 * * *").error().message(),
            "the schedule '0 25 * * *' has a bad hour '25': it must be from 0 to 23");
  EXPECT_EQ(Cron::Parse("0 0 30 2 *").error().message(), "the schedule '0 0 30 2 *' never comes");
}

}  // namespace
}  // namespace mezzo::lifecycle
