// What happens to calls, leases and listeners when Redis or the network fails.

#include <chrono>
#include <functional>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/drivers/redis/redis_store.h"
#include "mezzo/storage/testing/redis_server.h"
#include "mezzo/storage/testing/sql_db_fixture.h"
#include "mezzo/storage/testing/tcp_proxy.h"

namespace mezzo::drivers {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using storage::KvStore;
using storage::testing::Inbox;
using storage::testing::Reason;
using storage::testing::RedisServer;
using storage::testing::TcpProxy;
using ::testing::AnyOf;
using ::testing::Contains;
using ::testing::HasSubstr;

class RedisFaultsTest : public ::testing::Test {
 protected:
  std::unique_ptr<RedisStore> Open(std::uint16_t port) {
    return *RedisStore::Open({.url = server_.Url(port),
                              .connect_timeout = milliseconds(500),
                              .command_timeout = milliseconds(250),
                              .ping_every = milliseconds(200)},
                             clock_);
  }
  std::string Set(const std::string& value = "1") {
    return Reason(runtime::SyncWait(store_->Set(runtime::Context(), "k", value, minutes(1))));
  }
  /// Until it is `wanted`, for 20 seconds.
  static bool Becomes(const std::function<bool()>& wanted) {
    for (int i = 0; i < 2000; ++i) {
      if (wanted()) return true;
      std::this_thread::sleep_for(milliseconds(10));
    }
    return false;
  }
  bool Recovers() {
    return Becomes([this] { return Set().empty(); });
  }

  const RealClock clock_;
  RedisServer server_;
  TcpProxy proxy_{server_.port()};
  std::unique_ptr<RedisStore> store_ = Open(proxy_.port());
};

TEST_F(RedisFaultsTest, ADeadRedisCostsMicrosecondsAndComesBackByItself) {
  ASSERT_TRUE(Recovers());
  server_.Kill();
  ASSERT_TRUE(Becomes([this] { return !store_->healthy(); }));

  const TimePoint begun = clock_.Now();
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(Set(), "kv_unavailable");
  EXPECT_LT(clock_.Now() - begun, milliseconds(500)) << "of 1,000 calls";

  server_.Start();
  EXPECT_TRUE(Recovers());
  EXPECT_TRUE(store_->healthy());
}

TEST_F(RedisFaultsTest, AStuckRedisHoldsNobodyBeyondTheTimeoutAndThenNobody) {
  ASSERT_TRUE(Recovers());
  server_.Pause();
  for (int i = 0; i < 8; ++i) {
    const TimePoint begun = clock_.Now();
    EXPECT_THAT(Set(), AnyOf("kv_timeout", "kv_unavailable"));
    EXPECT_LT(clock_.Now() - begun, milliseconds(1500));
  }
  EXPECT_TRUE(Becomes([this] { return !store_->healthy(); }));
  server_.Continue();
  EXPECT_TRUE(Recovers());
}

TEST_F(RedisFaultsTest, TheCallersDeadlineEndsACallAndTheNextAnswerIsItsOwn) {
  ASSERT_TRUE(Recovers());
  proxy_.Delay(milliseconds(60));
  const auto soon = runtime::Context().WithDeadline(clock_.Now() + milliseconds(20));
  EXPECT_EQ(Reason(runtime::SyncWait(store_->Get(soon, {"k", "none"}))), "kv_timeout");
  // In the queue behind the answer that nobody waits for.
  const auto got = runtime::SyncWait(store_->Get(runtime::Context(), {"k"}));
  ASSERT_EQ(Reason(got), "");
  EXPECT_EQ(got->size(), 1U);
  EXPECT_EQ(got->front(), "1");
}

TEST_F(RedisFaultsTest, ACutFailsWhatIsInFlightAndNotWhatFollows) {
  ASSERT_TRUE(Recovers());
  proxy_.LoseAnswerTo("lose-me");
  EXPECT_THAT(Set("lose-me"), AnyOf("kv_unavailable", "kv_timeout"));
  EXPECT_TRUE(Recovers());
  for (int i = 0; i < 5; ++i) {
    proxy_.Cut();
    EXPECT_TRUE(Recovers());
  }
}

TEST_F(RedisFaultsTest, SubscribersAreGreetedAgainAfterEveryBreak) {
  ASSERT_TRUE(Recovers());
  Inbox inbox;
  const auto subscription = store_->Subscribe("news", inbox.Listener());
  ASSERT_THAT(inbox.Until(""), Contains(""));
  const auto publish = [this](const std::string& payload) {
    return Becomes(
        [&] { return runtime::SyncWait(store_->Publish(runtime::Context(), "news", payload)).ok(); });
  };
  const std::vector<std::function<void()>> breaks = {[this] { proxy_.Cut(); },
                                                     [this] {
                                                       server_.Kill();
                                                       server_.Start();
                                                     },
                                                     [this] {
                                                       proxy_.Hold(true);
                                                       std::this_thread::sleep_for(milliseconds(600));
                                                       proxy_.Hold(false);
                                                     }};
  for (std::size_t i = 0; i < breaks.size(); ++i) {
    inbox.Clear();
    breaks[i]();
    ASSERT_THAT(inbox.Until(""), Contains("")) << i;
    const std::string payload = "after " + std::to_string(i);
    ASSERT_TRUE(publish(payload));
    EXPECT_THAT(inbox.Until(payload), Contains(payload));
  }
}

TEST_F(RedisFaultsTest, NoTwoHoldersEverHaveOneFence) {
  const auto other = Open(server_.port());
  std::set<std::uint64_t> fences;
  std::uint64_t last = 0;
  const TimePoint limit = clock_.Now() + std::chrono::seconds(60);
  for (int i = 0; (i < 60 || fences.size() < 20) && clock_.Now() < limit; ++i) {
    std::this_thread::sleep_for(milliseconds(2));
    if (i % 3 == 1) server_.FlushAll();
    if (i % 20 == 10) proxy_.Cut();
    if (i == 30) {
      server_.Kill();
      server_.Start();
    }
    KvStore& asked = i % 2 == 0 ? static_cast<KvStore&>(*store_) : *other;
    const auto lease =
        runtime::SyncWait(asked.Acquire(runtime::Context(), "l", "o" + std::to_string(i), milliseconds(5)));
    if (!lease.ok()) continue;
    if (lease->held) {
      EXPECT_TRUE(fences.insert(lease->fence).second);
      EXPECT_GT(lease->fence, last);
      last = lease->fence;
    }
  }
  EXPECT_GE(fences.size(), 20U);
}

/// Changes answers at random, as a broken proxy or a server of another kind would.
TEST_F(RedisFaultsTest, NonsenseIsAnErrorNeverACrashAndTheStoreRecovers) {
  std::mt19937_64 random(3);
  const std::vector<std::string> lies = {"*-7\r\n",
                                         "$99999999999\r\n",
                                         "*2000000000\r\n",
                                         ":abc\r\n",
                                         "$-1\r\n",
                                         "*3\r\n:1\r\n:2\r\n:3\r\n",
                                         "+OK\r\n+OK\r\n",
                                         "-ERR what\r\n",
                                         "hello\r\n",
                                         "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n",
                                         ":-9223372036854775808\r\n",
                                         "$3\r\nab",
                                         "\r\n",
                                         "*0\r\n"};
  for (int round = 0; round < 40; ++round) {
    ASSERT_TRUE(Recovers()) << round;
    proxy_.Garble([&](std::string& piece) {
      if (round % 2 == 0) {
        piece = lies[random() % lies.size()];
      } else if (!piece.empty()) {
        piece[random() % piece.size()] = static_cast<char>(random());
      }
    });
    const auto late = runtime::Context().WithDeadline(clock_.Now() + milliseconds(100));
    (void)runtime::SyncWait(store_->Get(late, {"a", "b"}));
    (void)runtime::SyncWait(store_->Acquire(late, "l", "o", seconds(1)));
    const auto tokens =
        runtime::SyncWait(store_->TakeTokens(late, {{.key = "t", .want = 3, .per_second = 1, .burst = 5}}));
    if (tokens.ok()) EXPECT_LE(tokens->front().granted, 3);
    const auto permits = runtime::SyncWait(
        store_->HoldPermits(late, {{.key = "p", .host = "h", .hold = 2, .limit = 4}}, seconds(1)));
    if (permits.ok()) EXPECT_LE(permits->front().held, 2);
    proxy_.Garble(nullptr);
  }
  EXPECT_TRUE(Recovers());
}

TEST_F(RedisFaultsTest, AnAnswerOfAWrongShapeIsNamedAndDropsTheConnection) {
  ASSERT_TRUE(Recovers());
  proxy_.Garble([](std::string& piece) { piece = "*3\r\n:1\r\n:2\r\n:3\r\n"; });
  const std::uint64_t before = store_->connects();
  EXPECT_EQ(Reason(runtime::SyncWait(store_->Get(runtime::Context(), {"a"}))), "kv_failed");
  proxy_.Garble(nullptr);
  EXPECT_TRUE(Becomes([&] { return store_->connects() > before; }));
  EXPECT_TRUE(Recovers());
}

}  // namespace
}  // namespace mezzo::drivers
