#include "mezzo/storage/change_feed.h"

#include <functional>
#include <thread>

#include <gtest/gtest.h>

#include "mezzo/testing/manual_clock.h"

namespace mezzo::storage {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

/// Tells listeners, and does nothing else.
class TellingDb final : public SqlDb {
 public:
  [[nodiscard]] SqlDialect dialect() const override { return SqlDialect::kSqlite; }
  Result<void> Transact(const Work&, TimePoint) override { return Unimplemented("test", "not here"); }
  Result<void> Read(const Work&, TimePoint) override { return Unimplemented("test", "not here"); }
  std::shared_ptr<void> Listen(std::string name, Listener listener) override {
    channel = std::move(name);
    listener_ = std::move(listener);
    return std::make_shared<int>(0);
  }
  void Tell() { listener_("x"); }

  std::string channel;

 private:
  Listener listener_;
};

class ChangeFeedTest : public ::testing::Test {
 protected:
  ChangeFeed::Ports Ports(SqlDb* db) {
    return {.db = db, .clock = clock_, .log = log_, .read = [this](TimePoint) -> Result<void> {
              ++reads_;
              if (fails_) return Unavailable("test", "cut");
              taken_ = value_.load();
              return {};
            }};
  }
  static ChangeFeed::Options Options(Duration poll) {
    return {.thread = "test",
            .channel = "c",
            .poll = poll,
            .trusted = seconds(5),
            .failed = "f",
            .recovered = "r"};
  }
  static bool Await(const std::function<bool()>& condition) {
    const auto limit = std::chrono::steady_clock::now() + seconds(30);
    while (!condition() && std::chrono::steady_clock::now() < limit)
      std::this_thread::sleep_for(milliseconds(1));
    return condition();
  }

  testing::ManualClock clock_;
  observe::Logger log_{{.level = observe::LogLevel::kOff}, clock_};
  // No partners: each is polled by itself.
  std::atomic<int> value_{1};
  std::atomic<int> taken_{0};
  std::atomic<int> reads_{0};
  std::atomic<bool> fails_{false};
  TellingDb db_;
};

TEST_F(ChangeFeedTest, ReadsAtOnceAndWhenItIsToldAndWhenItIsAsked) {
  ChangeFeed feed(Options(hours(1)), Ports(&db_));
  feed.Start();
  EXPECT_EQ(db_.channel, "c");
  EXPECT_TRUE(Await([&] { return taken_ == 1; }));
  value_ = 2;
  db_.Tell();
  EXPECT_TRUE(Await([&] { return taken_ == 2; }));
  value_ = 3;
  EXPECT_TRUE(feed.CatchUp(seconds(30)));
  EXPECT_EQ(taken_, 3);
}

TEST_F(ChangeFeedTest, WithoutNotificationsThePollFindsChanges) {
  ChangeFeed feed(Options(milliseconds(5)), Ports(nullptr));
  feed.Start();
  EXPECT_TRUE(Await([&] { return taken_ == 1; }));
  value_ = 2;
  EXPECT_TRUE(Await([&] { return taken_ == 2; }));
}

TEST_F(ChangeFeedTest, IsFreshByTheClockAloneFromTheReadingsBeginning) {
  ChangeFeed feed(Options(hours(1)), Ports(&db_));
  EXPECT_FALSE(feed.IsFresh(clock_.Now()));
  feed.Start();
  ASSERT_TRUE(feed.CatchUp(seconds(30)));
  EXPECT_TRUE(feed.IsFresh(clock_.Now() + seconds(5)));
  EXPECT_FALSE(feed.IsFresh(clock_.Now() + seconds(5) + milliseconds(1)));
}

TEST_F(ChangeFeedTest, AFailedReadingCatchesNobodyUpAndIsTriedAgainAtThePollsPace) {
  fails_ = true;
  ChangeFeed feed(Options(milliseconds(100)), Ports(&db_));
  feed.Start();
  EXPECT_FALSE(feed.CatchUp(milliseconds(20)));
  EXPECT_FALSE(feed.IsFresh(clock_.Now()));
  for (int i = 0; i < 1000; ++i) db_.Tell();
  EXPECT_LT(reads_, 500) << "whatever is told meanwhile";
  fails_ = false;
  EXPECT_TRUE(feed.CatchUp(seconds(30)));
  EXPECT_EQ(taken_, 1);
}

TEST_F(ChangeFeedTest, StopEndsAWaitThatNothingWouldEnd) {
  fails_ = true;
  ChangeFeed feed(Options(hours(1)), Ports(&db_));
  feed.Start();
  EXPECT_TRUE(Await([&] { return reads_ == 1; }));
  std::thread waiting([&] { EXPECT_FALSE(feed.CatchUp(hours(1))); });
  feed.Stop();
  waiting.join();
  feed.Stop();
}

}  // namespace
}  // namespace mezzo::storage
