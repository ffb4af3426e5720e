#include "mezzo/storage/compressed_kv_store.h"

#include <map>
#include <random>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/base/clock.h"
#include "mezzo/storage/metered_kv_store.h"

namespace mezzo::storage {
namespace {

using ::testing::ElementsAre;

/// Keeps what it is given, or fails as it is told to.
class PlainStore final : public KvStore {
 public:
  using Values = std::vector<std::optional<std::string>>;
  runtime::Task<Result<Values>> Get(runtime::Context, std::vector<std::string> keys) override {
    if (failure) co_return *failure;
    Values found;
    for (const auto& key : keys) {
      found.push_back(values.contains(key) ? std::optional(values[key]) : std::nullopt);
    }
    co_return found;
  }
  runtime::Task<Result<void>> Set(runtime::Context, std::string key, std::string value, Duration) override {
    values[key] = std::move(value);
    co_return Result<void>();
  }
  runtime::Task<Result<std::int64_t>> Erase(runtime::Context, std::vector<std::string>) override {
    co_return std::int64_t{0};
  }
  runtime::Task<Result<Lease>> Acquire(runtime::Context, std::string, std::string, Duration) override {
    co_return Lease{};
  }
  runtime::Task<Result<bool>> SetAndRelease(runtime::Context, std::string key, std::string value, Duration,
                                            std::string, std::uint64_t) override {
    values[key] = std::move(value);
    co_return true;
  }
  runtime::Task<Result<bool>> Release(runtime::Context, std::string, std::uint64_t) override {
    co_return false;
  }
  runtime::Task<Result<void>> Publish(runtime::Context, std::string, std::string) override {
    co_return Result<void>();
  }
  std::shared_ptr<void> Subscribe(std::string, Listener) override { return nullptr; }

  std::map<std::string, std::string> values;
  std::optional<Error> failure;
};

std::string Noise(std::size_t size) {
  std::mt19937_64 random(7);
  std::string bytes(size, '\0');
  for (char& c : bytes) c = static_cast<char>(random());
  return bytes;
}

class CompressedKvStoreTest : public ::testing::Test {
 protected:
  std::optional<std::string> Get(const std::string& key) {
    return runtime::SyncWait(store_.Get(runtime::Context(), {key}))->front();
  }
  void Set(const std::string& key, const std::string& value) {
    EXPECT_TRUE(runtime::SyncWait(store_.Set(runtime::Context(), key, value, std::chrono::minutes(1))).ok());
  }

  runtime::BlockingPool pool_{{.name = "pack"}};
  PlainStore plain_;
  CompressedKvStore store_{{.max_value_bytes = 1U << 20}, plain_, pool_};
};

TEST_F(CompressedKvStoreTest, SmallAndIncompressibleValuesStayAsTheyAre) {
  const std::string noise = Noise(50'000);
  for (const std::string& value : {std::string(), std::string(4095, 'a'), noise}) {
    Set("k", value);
    EXPECT_EQ(plain_.values["k"], std::string(1, '\0') + value);
    EXPECT_EQ(Get("k"), value);
  }
}

TEST_F(CompressedKvStoreTest, LargeValuesTakeLessAndComeBackWhole) {
  for (const std::size_t size : {4096U, 16'383U, 16'384U, 1U << 20}) {
    const std::string value = Noise(size / 4) + std::string(size - size / 4, 'b');
    Set("k", value);
    EXPECT_LT(plain_.values["k"].size(), size / 2);
    EXPECT_EQ(plain_.values["k"].front(), 1);
    EXPECT_EQ(Get("k"), value);
  }
  const std::string value(100'000, 'c');
  EXPECT_TRUE(*runtime::SyncWait(
      store_.SetAndRelease(runtime::Context(), "v", value, std::chrono::minutes(1), "l", 1)));
  EXPECT_LT(plain_.values["v"].size(), 1000U);
  EXPECT_EQ(Get("v"), value);
}

TEST_F(CompressedKvStoreTest, RefusesTooLargeValues) {
  EXPECT_EQ(runtime::SyncWait(store_.Set(runtime::Context(), "k", std::string((1U << 20) + 1, 'a'),
                                         std::chrono::minutes(1)))
                .error()
                .reason(),
            "kv_too_large");
}

TEST_F(CompressedKvStoreTest, AnyDamageIsAbsenceNeverAnotherValue) {
  const std::string value = Noise(2000) + std::string(30'000, 'b');
  const std::string whole = PackKvValue(value, 4096);
  ASSERT_EQ(UnpackKvValue(whole, 1U << 20), value);
  std::mt19937_64 random(11);
  int absent = 0;
  for (int i = 0; i < 2000; ++i) {
    std::string damaged = whole;
    if (i % 3 == 0) {
      damaged.resize(random() % whole.size());
    } else {
      // Past the two bytes of zlib's header, some of whose bits decide nothing.
      damaged[11 + random() % (whole.size() - 11)] ^= static_cast<char>(1 + random() % 255);
    }
    // There is more than one way to say the same, so that some changes do no damage.
    const auto read = UnpackKvValue(damaged, 1U << 20);
    if (read) EXPECT_EQ(read, value);
    absent += read ? 0 : 1;
  }
  EXPECT_GT(absent, 1900);
  EXPECT_EQ(UnpackKvValue("\2of a later version", 100), std::nullopt);
  EXPECT_EQ(UnpackKvValue("", 100), std::nullopt);
  EXPECT_EQ(UnpackKvValue(std::string("\1\xff\xff\xff\x7f____xx", 11), SIZE_MAX), std::nullopt)
      << "a lie on size";

  plain_.values = {{"bad", whole.substr(0, 900)}, {"empty", ""}};
  EXPECT_EQ(Get("bad"), std::nullopt);
  EXPECT_EQ(Get("empty"), std::nullopt);
}

TEST_F(CompressedKvStoreTest, CallsAreCountedByOutcome) {
  observe::Registry registry;
  const RealClock clock;
  KvMetrics metrics(registry, clock);
  MeteredKvStore metered(store_, metrics);
  auto& calls = registry.NewCounterFamily("mezzo_kv_calls_total", "", {"op", "outcome"});
  EXPECT_TRUE(runtime::SyncWait(metered.Get(runtime::Context(), {"a"})).ok());
  plain_.failure = Unavailable("kv_unavailable", "gone");
  EXPECT_FALSE(runtime::SyncWait(metered.Get(runtime::Context(), {"a"})).ok());
  EXPECT_EQ(calls.With({"get", "ok"}).value(), 1U);
  EXPECT_EQ(calls.With({"get", "kv_unavailable"}).value(), 1U);
  EXPECT_EQ(calls.With({"set", "ok"}).value(), 0U);
}

}  // namespace
}  // namespace mezzo::storage
