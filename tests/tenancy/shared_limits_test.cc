// Limits over three hosts and a real Redis, in real time: the exact bounds are shared_limits_test's of the
// module, under a clock of its own; here they are wide enough for a busy machine.

#include "mezzo/tenancy/shared_limits.h"

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "mezzo/drivers/redis/redis_store.h"
#include "mezzo/observe/log.h"
#include "mezzo/runtime/loop.h"
#include "mezzo/runtime/scope.h"
#include "mezzo/storage/testing/redis_server.h"

namespace mezzo::tenancy {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr double kRate = 1000;

/// A host with its own connection, its rounds on its own loop, and callers who ask `per_ms` times a
/// millisecond on average.
class Host {
 public:
  Host(const std::string& name, const std::string& url, double per_ms)
      : store_(drivers::RedisStore::Open({.url = url}, clock_).value()),
        sharing_({}, name, limiter_, clock_) {
    limiter_.Replace(
        {CheckLimit({.name = "all", .kind = LimitKind::kRequests, .rate = kRate, .burst = 100}).value()});
    scope_.Spawn(loops_.loop(0), runtime::Context(), [this](runtime::Context ctx) {
      return sharing_.Run(std::move(ctx), {.store = store_.get(), .log = &log_});
    });
    callers_ = std::jthread([this, per_ms](const std::stop_token& stop) { Call(stop, per_ms); });
  }
  ~Host() {
    callers_.request_stop();
    callers_.join();
    scope_.Stop(seconds(10));
    loops_.Stop();
  }

  [[nodiscard]] std::uint64_t passed() const { return passed_.load(); }
  [[nodiscard]] const SharedLimits& sharing() const { return sharing_; }

 private:
  void Call(const std::stop_token& stop, double per_ms) {
    auto tenant = std::make_shared<Tenant>();
    tenant->id = TenantId("acme");
    Caller caller;
    caller.tenant = std::move(tenant);
    const TimePoint start = clock_.Now();
    double made = 0;
    while (!stop.stop_requested()) {
      std::this_thread::sleep_for(milliseconds(1));
      const double due = Seconds(clock_.Now() - start) * 1000 * per_ms;
      for (; made < due; ++made) {
        if (limiter_.Admit({.caller = caller, .model = "m"}).ok()) passed_.fetch_add(1);
      }
    }
  }

  RealClock clock_;
  observe::Logger log_{{}, clock_};
  std::unique_ptr<drivers::RedisStore> store_;
  Limiter limiter_{{}, clock_};
  SharedLimits sharing_;
  std::atomic<std::uint64_t> passed_{0};
  runtime::IoThreads loops_{1};
  runtime::Scope scope_;
  std::jthread callers_;
};

class SharedLimitsOnRedis : public ::testing::Test {
 protected:
  [[nodiscard]] bool AwaitMode(SharingMode mode) const {
    for (int i = 0; i < 1500; ++i) {
      std::size_t there = 0;
      for (const auto& host : hosts_) there += host->sharing().mode() == mode ? 1 : 0;
      if (there == hosts_.size()) return true;
      std::this_thread::sleep_for(milliseconds(10));
    }
    return false;
  }
  [[nodiscard]] std::uint64_t Passed() const {
    std::uint64_t all = 0;
    for (const auto& host : hosts_) all += host->passed();
    return all;
  }
  /// What passes a second from now on, and the least in any of the seconds.
  std::pair<double, double> Measure(int for_seconds) const {
    double least = 1e18;
    const TimePoint start = clock_.Now();
    const std::uint64_t first = Passed();
    for (int i = 0; i < for_seconds; ++i) {
      const std::uint64_t before = Passed();
      std::this_thread::sleep_for(seconds(1));
      least = std::min(least, static_cast<double>(Passed() - before));
    }
    return {static_cast<double>(Passed() - first) / Seconds(clock_.Now() - start), least};
  }

  RealClock clock_;
  storage::testing::RedisServer redis_;
  std::vector<std::unique_ptr<Host>> hosts_;
};

TEST_F(SharedLimitsOnRedis, TheRateHoldsWithRedisWithoutItAndWhenItIsBack) {
  for (const double per_ms : {2.5, 0.6, 0.1}) {
    hosts_.push_back(std::make_unique<Host>("h" + std::to_string(hosts_.size()), redis_.Url(), per_ms));
  }
  ASSERT_TRUE(AwaitMode(SharingMode::kShared));
  std::this_thread::sleep_for(seconds(4));  // Until what was said while they started is forgotten.
  for (const auto& host : hosts_) EXPECT_EQ(host->sharing().hosts(), 3);
  const auto [shared, shared_least] = Measure(3);
  redis_.Kill();
  const auto [alone, alone_least] = Measure(4);
  for (const auto& host : hosts_) EXPECT_EQ(host->sharing().mode(), SharingMode::kAlone);
  redis_.Start();
  const auto [back, back_least] = Measure(4);
  EXPECT_TRUE(AwaitMode(SharingMode::kShared));
  for (const auto& [name, value] : {std::pair{"shared", shared}, {"alone", alone}, {"back", back}}) {
    RecordProperty(name, std::to_string(value));
    std::cout << name << ": " << value << " a second\n";
  }
  EXPECT_GE(shared, 0.85 * kRate);
  EXPECT_LE(shared, 1.15 * kRate);
  EXPECT_GE(alone, 0.6 * kRate);
  EXPECT_LE(alone, 1.3 * kRate);
  EXPECT_GT(alone_least, 0.2 * kRate);
  EXPECT_GE(back, 0.6 * kRate);
  EXPECT_LE(back, 1.3 * kRate);
  EXPECT_GT(std::min(shared_least, back_least), 0.2 * kRate);
}

}  // namespace
}  // namespace mezzo::tenancy
