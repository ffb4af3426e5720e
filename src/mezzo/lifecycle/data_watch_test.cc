#include "mezzo/lifecycle/data_watch.h"

#include <map>
#include <random>

#include <gtest/gtest.h>

#include "mezzo/testing/manual_clock.h"

namespace mezzo::lifecycle {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

DataSight Sight(const std::string& digest, std::uint64_t files, int newest) {
  return {.digest = digest, .files = files, .bytes = files * 10, .newest = WallTime(seconds(newest))};
}

class DataWatchTest : public ::testing::Test {
 protected:
  bool See(const DataSight& sight) {
    const DataStep step = Watch(watch_, sight, seconds(30), clock_.WallNow());
    // What is kept is all that counts: another host goes on with it.
    const auto read = DataWatch::FromJson(step.next.ToJson());
    EXPECT_TRUE(read.ok());
    watch_ = *read;
    return step.fire;
  }
  testing::ManualClock clock_;
  DataWatch watch_;
};

TEST_F(DataWatchTest, WhatIsThereAtFirstIsNotNew) {
  EXPECT_FALSE(See(Sight("a", 2, 5)));
  clock_.Advance(seconds(1000));
  EXPECT_FALSE(See(Sight("a", 2, 5)));
  EXPECT_EQ(watch_.runs, 0);
}

TEST_F(DataWatchTest, WhatComesBeginsARunOnceWhenItHasSettled) {
  See(Sight("a", 2, 5));
  EXPECT_FALSE(See(Sight("b", 3, 9))) << "it has not lasted";
  clock_.Advance(milliseconds(29'999));
  EXPECT_FALSE(See(Sight("b", 3, 9)));
  clock_.Advance(milliseconds(1));
  EXPECT_TRUE(See(Sight("b", 3, 9)));
  clock_.Advance(seconds(100));
  EXPECT_FALSE(See(Sight("b", 3, 9))) << "once";
  EXPECT_EQ(watch_.runs, 1);
}

TEST_F(DataWatchTest, WhatIsStillWrittenWaits) {
  See(Sight("a", 2, 5));
  for (int i = 0; i < 20; ++i) {
    EXPECT_FALSE(See(Sight("half " + std::to_string(i), 3, 10 + i)));
    clock_.Advance(seconds(20));
  }
  EXPECT_FALSE(See(Sight("half 19", 3, 29)));
  clock_.Advance(seconds(10));
  EXPECT_TRUE(See(Sight("half 19", 3, 29)));
}

TEST_F(DataWatchTest, WhatGoesBeginsNothingAndWhatComesBackDoes) {
  See(Sight("abc", 3, 9));
  See(Sight("ab", 2, 9));
  clock_.Advance(seconds(30));
  EXPECT_FALSE(See(Sight("ab", 2, 9))) << "gone";
  EXPECT_FALSE(See(Sight("abc", 3, 9)));
  clock_.Advance(seconds(30));
  EXPECT_TRUE(See(Sight("abc", 3, 9))) << "a third file is more than two";
  EXPECT_FALSE(See(Sight("", 0, 0)));
  clock_.Advance(seconds(30));
  EXPECT_FALSE(See(Sight("", 0, 0))) << "all gone";
}

TEST_F(DataWatchTest, AFileSystemsFinerTimeIsNoNews) {
  DataSight two = Sight("ab", 2, 9);
  two.newest += std::chrono::nanoseconds(123);
  See(two);
  DataSight one = two;
  one.digest = "a";
  one.files = 1;
  See(one);
  clock_.Advance(seconds(30));
  EXPECT_FALSE(See(one)) << "what is left is as old as before";
}

TEST_F(DataWatchTest, AChangeThatIsTakenBackInTimeIsNone) {
  See(Sight("a", 2, 5));
  See(Sight("b", 3, 9));
  clock_.Advance(seconds(29));
  EXPECT_FALSE(See(Sight("a", 2, 5)));
  clock_.Advance(seconds(29));
  EXPECT_FALSE(See(Sight("b", 3, 9))) << "its time begins anew";
  clock_.Advance(seconds(29));
  EXPECT_FALSE(See(Sight("b", 3, 9)));
  clock_.Advance(seconds(1));
  EXPECT_TRUE(See(Sight("b", 3, 9)));
}

TEST_F(DataWatchTest, AClockThatGoesBackOnlyWaitsLonger) {
  clock_.Advance(seconds(1000));
  See(Sight("a", 2, 5));
  See(Sight("b", 3, 9));
  const WallTime earlier = clock_.WallNow() - seconds(900);
  const DataStep back = Watch(watch_, Sight("b", 3, 9), seconds(30), earlier);
  EXPECT_FALSE(back.fire);
  EXPECT_FALSE(Watch(back.next, Sight("b", 3, 9), seconds(30), earlier + seconds(29)).fire);
  EXPECT_TRUE(Watch(back.next, Sight("b", 3, 9), seconds(30), earlier + seconds(30)).fire);
}

/// A folder under a random writer, looked at at random: every run begins with files that had looked the same
/// for the whole of `settle`, no two with the same ones, and in the end everything that came has been in a
/// run.
TEST_F(DataWatchTest, EverythingThatComesIsInARunAndNothingHalfWrittenIs) {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    std::mt19937_64 random(seed);
    const auto below = [&](std::uint64_t n) { return random() % n; };
    watch_ = DataWatch();
    std::map<int, std::pair<int, WallTime>> files;  // Size, time of change.
    WallTime changed = clock_.WallNow();
    std::string looked;
    bool news = false;  // Since the last run, or the first look.
    const auto look = [&] {
      DataSight sight;
      for (const auto& [name, file] : files) {
        sight.digest += std::to_string(name) + ":" + std::to_string(file.first) + " ";
        sight.bytes += static_cast<std::uint64_t>(file.first);
        sight.newest = std::max(sight.newest, file.second);
      }
      sight.files = files.size();
      // What came and went between two looks nobody has seen.
      if (sight.digest != looked) changed = clock_.WallNow();
      looked = sight.digest;
      if (!See(sight)) return;
      EXPECT_GE(clock_.WallNow() - changed, seconds(30)) << seed;
      EXPECT_TRUE(news) << seed;
      news = false;
    };
    look();
    std::int64_t last_runs = 0;
    int next_name = 0;
    for (int step = 0; step < 200; ++step) {
      clock_.Advance(milliseconds(1 + below(20'000)));
      if (below(3) == 0) {
        if (files.empty() || below(2) == 0) {
          files[next_name++] = {1, clock_.WallNow()};
          news = true;
        } else if (below(2) == 0) {
          auto& file = std::next(files.begin(), static_cast<long>(below(files.size())))->second;
          file = {file.first + 1, clock_.WallNow()};
          news = true;
        } else {
          files.erase(std::next(files.begin(), static_cast<long>(below(files.size()))));
        }
      }
      if (below(2) == 0) look();
      EXPECT_LE(watch_.runs, last_runs + 1) << seed;
      last_runs = watch_.runs;
    }
    files[next_name++] = {1, clock_.WallNow()};
    news = true;
    look();
    clock_.Advance(seconds(31));
    look();
    EXPECT_FALSE(news) << seed << ": what came last has begun a run";
  }
}

TEST(DataWatch, WhatCanNotBeReadIsSaidSo) {
  for (const char* text : {"", "[]", "{}", R"({"taken": 1, "pending": null, "since_us": 0, "runs": 0})",
                           R"({"taken": null, "pending": null, "since_us": "x", "runs": 0})"}) {
    const auto read = DataWatch::FromJson(text);
    ASSERT_FALSE(read.ok()) << text;
    EXPECT_EQ(read.error().reason(), "pipeline_run_invalid");
  }
}

}  // namespace
}  // namespace mezzo::lifecycle
