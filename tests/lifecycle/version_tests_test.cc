#include <atomic>
#include <deque>
#include <memory>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/drivers/postgres/postgres_db.h"
#include "mezzo/drivers/sqlite/sqlite_db.h"
#include "mezzo/lifecycle/registry_schema.h"
#include "mezzo/lifecycle/registry_store.h"
#include "mezzo/lifecycle/version_test_runner.h"
#include "mezzo/lifecycle/version_test_store.h"
#include "mezzo/storage/migrations.h"
#include "mezzo/storage/testing/postgres_server.h"
#include "mezzo/storage/testing/temp_dir.h"

namespace mezzo::lifecycle {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

/// An empty database with the registry's tables and those of tests.
class VersionTests : public ::testing::TestWithParam<storage::SqlDialect> {
 protected:
  VersionTests() {
    if (GetParam() == storage::SqlDialect::kSqlite) {
      auto opened = drivers::SqliteDb::Open({.path = folder_.path() + "/mezzo.db"}, clock_);
      EXPECT_TRUE(opened.ok()) << opened.error().ToString();
      db_ = std::move(*opened);
    } else {
      static storage::testing::PostgresServer server;
      auto opened = drivers::PostgresDb::Open({.connection = server.Url()}, clock_);
      EXPECT_TRUE(opened.ok()) << opened.error().ToString();
      db_ = std::move(*opened);
      const auto emptied = db_->Transact(
          [](storage::SqlSession& session) {
            return session.RunScript("DROP SCHEMA public CASCADE; CREATE SCHEMA public;");
          },
          Soon());
      EXPECT_TRUE(emptied.ok()) << emptied.error().ToString();
    }
    EXPECT_TRUE(storage::Migrate(*db_, "registry", RegistryMigrations(), Soon(), clock_).ok());
    EXPECT_TRUE(storage::Migrate(*db_, "version_tests", VersionTestMigrations(), Soon(), clock_).ok());
    registry_ = std::make_unique<RegistryStore>(RegistryStore::Options{}, *db_, clock_);
    tests_ = std::make_unique<VersionTestStore>(*db_, clock_);
  }

  TimePoint Soon() const { return clock_.Now() + seconds(60); }

  /// A version of the model "m" that waits for its test.
  std::int64_t Arrive() {
    if (!registry_->GetModel("m", Soon()).ok()) {
      EXPECT_TRUE(registry_->CreateModel({.name = "m"}, "test", Soon()).ok());
    }
    auto manifest = Manifest::Make(
        {{.path = "model.onnx", .sha256 = std::string(63, 'a') + std::to_string(++arrived_), .bytes = 1}},
        {});
    EXPECT_TRUE(manifest.ok()) << manifest.error().ToString();
    const auto version = registry_->CreateVersion("m", {.manifest = *std::move(manifest)}, "test", Soon());
    EXPECT_TRUE(version.ok()) << version.error().ToString();
    const auto testing =
        registry_->SetState("m", version->version,
                            {.from = VersionState::kUploading, .to = VersionState::kTesting}, "test", Soon());
    EXPECT_TRUE(testing.ok()) << testing.error().ToString();
    return version->version;
  }
  VersionRecord Version(std::int64_t version) {
    const auto record = registry_->GetVersion("m", version, Soon());
    EXPECT_TRUE(record.ok()) << record.error().ToString();
    return record.ok() ? *record : VersionRecord();
  }
  VersionTestStore::Subject SubjectOf(std::int64_t version) {
    return {.model_id = registry_->GetModel("m", Soon())->id, .version = version};
  }

  /// What the tester says, in this order; passed afterwards.
  std::deque<Result<CompatibilityReport>> answers_;
  std::vector<std::string> tested_;  ///< "4 against 3".
  std::function<void()> during_test_ = [] {};

  std::unique_ptr<VersionTestRunner> Runner(const std::string& host, Duration pause = Duration::zero()) {
    VersionTestRunner::Options options;
    options.host = host;
    options.pause = pause;
    options.poll = milliseconds(20);
    return std::make_unique<VersionTestRunner>(
        options, VersionTestRunner::Ports{
                     .registry = *registry_,
                     .tests = *tests_,
                     .fetch = [this](const Manifest& manifest, TimePoint) -> Result<VersionFetcher::Pin> {
                       fetched_.push_back(manifest.files().front().sha256.substr(63));
                       if (fetch_error_) return *fetch_error_;
                       return VersionFetcher::Pin();
                     },
                     .test = [this](const CompatibilityPlan&,
                                    const std::function<bool()>& stop) -> Result<CompatibilityReport> {
                       during_test_();
                       if (stop()) return Cancelled("child_stopped", "stopped");
                       if (answers_.empty()) return Passed();
                       auto answer = std::move(answers_.front());
                       answers_.pop_front();
                       return answer;
                     },
                     .clock = clock_,
                     .log = log_,
                     .metrics = metrics_});
  }
  static CompatibilityReport Passed() { return {.checks = {{.name = "load"}}}; }
  static CompatibilityReport Failed(std::string reason) {
    return {.checks = {{.name = "load", .outcome = CheckOutcome::kFailed, .reason = std::move(reason)}}};
  }

  const RealClock clock_;
  storage::testing::TempDir folder_;
  std::unique_ptr<storage::SqlDb> db_;
  std::unique_ptr<RegistryStore> registry_;
  std::unique_ptr<VersionTestStore> tests_;
  observe::Registry metrics_registry_;
  VersionTestMetrics metrics_{metrics_registry_};
  observe::Logger log_{{.level = observe::LogLevel::kOff}, clock_};
  std::vector<std::string> fetched_;
  std::optional<Error> fetch_error_;
  int arrived_ = 0;
};

TEST_P(VersionTests, ATestIsHeldByOneHostUntilItsLeaseEnds) {
  const auto subject = SubjectOf(Arrive());

  const auto first = tests_->Claim(subject, "a", seconds(60), Soon());
  ASSERT_TRUE(first.ok() && *first) << first.error().ToString();
  EXPECT_EQ((*first)->attempt, 1);
  EXPECT_FALSE(tests_->Claim(subject, "b", seconds(60), Soon())->has_value());
  EXPECT_TRUE(*tests_->Renew(**first, Duration::zero(), Soon()));
  std::this_thread::sleep_for(milliseconds(2));
  const auto second = tests_->Claim(subject, "b", seconds(60), Soon());
  ASSERT_TRUE(second.ok() && *second);
  EXPECT_EQ((*second)->attempt, 2);

  EXPECT_FALSE(*tests_->Renew(**first, seconds(60), Soon())) << "the lease is lost";
  EXPECT_FALSE(*tests_->Finish(**first, "late", Soon()));
  EXPECT_TRUE(*tests_->Finish(**second, "report", Soon()));
  EXPECT_EQ(tests_->ReportOf(subject, Soon())->value_or(""), "report");
}

TEST_P(VersionTests, GivingATestBackCostsNoAttemptAndANewTestBeginsAtOne) {
  const auto subject = SubjectOf(Arrive());
  const auto claim = [&] { return **tests_->Claim(subject, "a", seconds(60), Soon()); };

  ASSERT_TRUE(tests_->Release(claim(), Duration::zero(), Soon()).ok());
  std::this_thread::sleep_for(milliseconds(2));
  const auto again = claim();
  EXPECT_EQ(again.attempt, 1);
  EXPECT_TRUE(*tests_->Finish(again, "one", Soon()));
  const auto anew = claim();
  EXPECT_EQ(anew.attempt, 1);
  EXPECT_EQ(tests_->ReportOf(subject, Soon())->value_or(""), "one") << "until there is another";
}

TEST_P(VersionTests, TestsOfVersionsThatAreGoneAreForgotten) {
  const std::int64_t version = Arrive();
  const auto subject = SubjectOf(version);
  ASSERT_TRUE(tests_->Claim(subject, "a", seconds(60), Soon()).ok());

  EXPECT_EQ(*tests_->Prune(Soon()), 0);
  ASSERT_TRUE(registry_->DeleteVersion("m", version, "test", Soon()).ok());
  EXPECT_EQ(*tests_->Prune(Soon()), 1);
}

TEST_P(VersionTests, AGoodVersionGetsReadyAndABadOneIsRejectedWithTheReason) {
  const std::int64_t good = Arrive();
  const auto runner = Runner("a");
  ASSERT_EQ(*runner->RunOnce(), 1U);
  EXPECT_EQ(Version(good).state, VersionState::kReady);

  const std::int64_t bad = Arrive();
  answers_.push_back(Failed("crashed: signal 11 (SIGSEGV) while loading"));
  ASSERT_EQ(*runner->RunOnce(), 1U);

  EXPECT_EQ(Version(bad).state, VersionState::kRejected);
  EXPECT_EQ(Version(bad).reason, "load: crashed: signal 11 (SIGSEGV) while loading");
  EXPECT_EQ(registry_->GetModel("m", Soon())->latest, good) << "nothing else has changed";
  const auto report = CompatibilityReport::FromJson(tests_->ReportOf(SubjectOf(bad), Soon())->value_or(""));
  ASSERT_TRUE(report.ok()) << report.error().ToString();
  EXPECT_EQ(report->Reason(), Version(bad).reason);
  EXPECT_EQ(*runner->RunOnce(), 0U) << "there is nothing left to test";
}

TEST_P(VersionTests, IsComparedWithTheNewestReadyOneBelow) {
  const auto runner = Runner("a");
  Arrive();
  ASSERT_EQ(*runner->RunOnce(), 1U);
  Arrive();
  answers_.push_back(Failed("bad"));
  ASSERT_EQ(*runner->RunOnce(), 1U);
  Arrive();
  fetched_.clear();

  ASSERT_EQ(*runner->RunOnce(), 1U);

  EXPECT_THAT(fetched_, ElementsAre("3", "1"));
}

TEST_P(VersionTests, WhatIsNotTheVersionsFaultIsTriedAgain) {
  const std::int64_t version = Arrive();
  const std::int64_t before = Version(version).revision;
  const auto runner = Runner("a");
  for (int i = 0; i < 5; ++i) {
    answers_.push_back(Internal("child_failed", "no memory for a process"));
    EXPECT_EQ(*runner->RunOnce(), 0U);
    EXPECT_EQ(Version(version).state, VersionState::kTesting);
    EXPECT_EQ(Version(version).reason, "could not be tested yet: no memory for a process");
    std::this_thread::sleep_for(milliseconds(2));
  }
  EXPECT_EQ(Version(version).revision, before + 1) << "said once, not at every attempt";
  fetch_error_ = Unavailable("sql_unavailable", "the store is away");
  EXPECT_EQ(*runner->RunOnce(), 0U);
  std::this_thread::sleep_for(milliseconds(2));
  EXPECT_EQ(Version(version).reason, "could not be tested yet: the store is away");
  fetch_error_.reset();

  EXPECT_EQ(*runner->RunOnce(), 1U);
  EXPECT_EQ(Version(version).state, VersionState::kReady);
  EXPECT_EQ(Version(version).reason, "");
}

TEST_P(VersionTests, FilesThatAreNotWhatWasSentAreTheVersionsFault) {
  const std::int64_t version = Arrive();
  fetch_error_ = Error(Code::kDataLoss, "version_corrupt", "'model.onnx' is not what the manifest says");

  EXPECT_EQ(*Runner("a")->RunOnce(), 1U);

  EXPECT_EQ(Version(version).reason, "files: 'model.onnx' is not what the manifest says");
}

TEST_P(VersionTests, AVersionWhoseHostsVanishIsRejectedInTheEnd) {
  const std::int64_t version = Arrive();
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(tests_->Claim(SubjectOf(version), "gone" + std::to_string(i), Duration::zero(), Soon()).ok());
    std::this_thread::sleep_for(milliseconds(2));
  }

  EXPECT_EQ(*Runner("a")->RunOnce(), 1U);

  EXPECT_EQ(Version(version).state, VersionState::kRejected);
  EXPECT_EQ(Version(version).reason, "load: its test ended with its host 3 times");
}

TEST_P(VersionTests, ATestThatAHostLeftIsMadeByAnother) {
  const std::int64_t version = Arrive();
  ASSERT_TRUE(tests_->Claim(SubjectOf(version), "crashed", milliseconds(300), Soon()).ok());
  const auto runner = Runner("b");
  EXPECT_EQ(*runner->RunOnce(), 0U) << "its lease still holds";

  const TimePoint end = Soon();
  while (Version(version).state == VersionState::kTesting && clock_.Now() < end) {
    ASSERT_TRUE(runner->RunOnce().ok());
    std::this_thread::sleep_for(milliseconds(20));
  }

  EXPECT_EQ(Version(version).state, VersionState::kReady);
}

TEST_P(VersionTests, StoppingGivesTheTestBack) {
  const std::int64_t version = Arrive();
  std::atomic<bool> testing{false};
  std::atomic<bool> go{false};
  during_test_ = [&] {
    testing = true;
    while (!go) std::this_thread::sleep_for(milliseconds(1));
  };
  const auto runner = Runner("a");
  runner->Start();
  while (!testing) std::this_thread::sleep_for(milliseconds(1));
  std::thread stopper([&] { runner->Stop(); });
  std::this_thread::sleep_for(milliseconds(50));
  go = true;
  stopper.join();

  EXPECT_EQ(Version(version).state, VersionState::kTesting);
  during_test_ = [] {};
  EXPECT_EQ(*Runner("b")->RunOnce(), 1U);
  EXPECT_EQ(Version(version).state, VersionState::kReady);
}

TEST_P(VersionTests, AnArrivalWakesTheThread) {
  const auto runner = Runner("a");
  runner->Start();
  const std::int64_t version = Arrive();
  ASSERT_TRUE(runner->Begin(Version(version)).ok());

  const TimePoint end = Soon();
  while (Version(version).state == VersionState::kTesting && clock_.Now() < end) {
    std::this_thread::sleep_for(milliseconds(10));
  }

  EXPECT_EQ(Version(version).state, VersionState::kReady);
  runner->Stop();
}

INSTANTIATE_TEST_SUITE_P(On, VersionTests,
                         ::testing::Values(storage::SqlDialect::kSqlite, storage::SqlDialect::kPostgres),
                         [](const auto& info) {
                           return info.param == storage::SqlDialect::kSqlite ? "Sqlite" : "Postgres";
                         });

}  // namespace
}  // namespace mezzo::lifecycle
