#include "mezzo/app/shared_state.h"

#include <chrono>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mezzo::app {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class SharedStateTest : public ::testing::Test {
 protected:
  RealClock clock_;
  observe::Logger log_{{.level = observe::LogLevel::kOff}, clock_};
  observe::Registry registry_;
  observe::Health health_;
  const SharedState::Ports ports_{.clock = clock_, .log = log_, .registry = registry_, .health = health_};
};

TEST_F(SharedStateTest, WithoutAUrlItIsTheMemoryOfThisProcess) {
  const auto state = SharedState::Open({}, ports_);
  ASSERT_TRUE(state.ok());
  storage::KvStore& kv = (*state)->kv();
  EXPECT_TRUE(runtime::SyncWait(kv.Set(runtime::Context(), "k", "v", std::chrono::minutes(1))).ok());
  EXPECT_EQ(runtime::SyncWait(kv.Get(runtime::Context(), {"k"}))->front(), "v");
  EXPECT_FALSE((*state)->is_shared());
  EXPECT_TRUE(health_.Report().empty());
}

TEST_F(SharedStateTest, AnAbsentRedisIsDegradedNotUnready) {
  RedisConfig config;
  config.url = config::Secret("env:R", "redis://:hush@127.0.0.1:1");  // Nobody listens there.
  const auto state = SharedState::Open(config, ports_);
  ASSERT_TRUE(state.ok());
  const auto got = runtime::SyncWait((*state)->kv().Get(runtime::Context(), {"k"}));
  ASSERT_FALSE(got.ok());
  EXPECT_EQ(got.error().reason(), "kv_unavailable");
  EXPECT_THAT(got.error().message(), Not(HasSubstr("hush")));
  for (int i = 0; i < 1000 && health_.Report().front().reason != "Redis can't be reached, or fails too often";
       ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_FALSE(health_.Report().front().ok);
  EXPECT_TRUE(health_.ready());
}

TEST(CheckRedis, NamesTheSectionAndShowsNothingOfTheUrl) {
  RedisConfig config;
  EXPECT_TRUE(CheckRedis(config).ok());
  config.url = config::Secret("env:R", "rediss://:hush@h");
  const auto checked = CheckRedis(config);
  ASSERT_FALSE(checked.ok());
  EXPECT_EQ(checked.error().reason(), "config_invalid_value");
  EXPECT_THAT(checked.error().message(), HasSubstr("redis: "));
  EXPECT_THAT(checked.error().message(), Not(HasSubstr("hush")));
}

}  // namespace
}  // namespace mezzo::app
