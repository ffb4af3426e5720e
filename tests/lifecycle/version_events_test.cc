// What the outside is told of versions' drift and retirement, on real databases: each thing once, whenever a
// host ends.

#include "mezzo/lifecycle/version_events.h"

#include <random>

#include "crashing_db.h"
#include "registry_fixture.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "mezzo/base/uuid.h"
#include "mezzo/jobs/schema.h"
#include "mezzo/jobs/webhook_events.h"
#include "mezzo/lifecycle/drift_monitor.h"
#include "mezzo/lifecycle/retirement.h"
#include "mezzo/lifecycle/version_uploads.h"
#include "mezzo/storage/blob_io.h"
#include "mezzo/storage/testing/memory_blob_store.h"

namespace mezzo::lifecycle {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr Duration kDay = hours(24);

class AliasUses final : public VersionUses {
 public:
  Result<std::string> UserOf(storage::SqlSession&, const std::string&,
                             std::optional<std::int64_t> version) override {
    return version == used ? std::string("the route of model 'm'") : std::string();
  }
  Result<std::string> AliasUserOf(storage::SqlSession&, const std::string&, const std::string&) override {
    return std::string();
  }
  Result<void> AliasMoved(storage::SqlSession&, const std::string&, const std::string&) override {
    return {};
  }
  std::int64_t used = 0;
};

class VersionEventsTest : public RegistryFixture {
 protected:
  VersionEventsTest() {
    for (const auto& [module, migrations] :
         {std::pair("jobs", jobs::Migrations()), std::pair("retirement", RetirementMigrations()),
          std::pair("drift", DriftMigrations())}) {
      const auto migrated = storage::Migrate(*database_->db, module, migrations, Soon(), real_);
      EXPECT_TRUE(migrated.ok()) << migrated.error().ToString();
    }
    MakeModel("m");
  }
  /// As the server puts events into the outbox.
  static Result<void> Put(storage::SqlSession& session, const VersionEvent& event) {
    return jobs::AddWebhookEvents(session,
                                  {{.id = "evt_" + NewUuidV7(event.at),
                                    .subject = event.model,
                                    .tenant = TenantId("t"),
                                    .type = event.type,
                                    .body = event.Body(),
                                    .url = "https://example.com/hook"}},
                                  event.at);
  }
  struct Sent {
    std::string type;
    nlohmann::json body;
  };
  std::vector<Sent> Outbox() {
    std::vector<Sent> sent;
    const auto work = [&](storage::SqlSession& session) -> Result<void> {
      sent.clear();
      MEZZO_TRY(const auto rows,
                session.Run("SELECT event, body FROM job_outbox ORDER BY created_us, id", {}));
      for (std::size_t row = 0; row < rows.size(); ++row)
        sent.push_back({.type = rows.Text(row, 0), .body = nlohmann::json::parse(rows.Text(row, 1))});
      return {};
    };
    EXPECT_TRUE(database_->db->Read(work, Soon()).ok());
    return sent;
  }
  std::vector<std::string> Types() {
    std::vector<std::string> types;
    for (const Sent& one : Outbox()) types.push_back(one.type);
    return types;
  }
  void Forget() {
    const auto work = [](storage::SqlSession& session) -> Result<void> {
      MEZZO_TRY_VOID(session.Run("DELETE FROM job_outbox", {}));
      return {};
    };
    ASSERT_TRUE(database_->db->Transact(work, Soon()).ok());
  }

  // --- Retirement

  std::int64_t Push(const std::string& content) {
    EXPECT_TRUE(
        storage::WriteBlob(contents_, VersionUploads::KeyOf(Sha256Hex(content)), AsBytes(content), {}, Soon())
            .ok());
    return MakeReady("m", {{"model.onnx", content}});
  }
  /// One host, from its start to a crash.
  struct Retiring {
    explicit Retiring(VersionEventsTest& test)
        : store({}, test.crashing_, test.clock_),
          log({}, test.clock_),
          retirement({.policy = {.after = 30 * kDay, .warning = 7 * kDay, .drain = minutes(2)}},
                     {.registry = store,
                      .contents = test.contents_,
                      .clock = test.clock_,
                      .log = log,
                      .metrics = metrics,
                      .traffic = [] { return std::vector<Retirement::Served>(); }}) {
      store.set_uses(&test.uses_);
      store.set_outbox(Put);
    }
    RegistryStore store;
    observe::Logger log;
    observe::Registry metrics;
    Retirement retirement;
  };

  // --- Drift

  class Silent final : public TriggerSink {
   public:
    Result<void> Fire(const TriggerEvent& event, TimePoint) override {
      keys.insert(event.key);
      return {};
    }
    std::set<std::string> keys;
  };
  struct Watching {
    explicit Watching(VersionEventsTest& test)
        : store({}, test.crashing_, test.clock_),
          log({}, test.clock_),
          monitor({.host = NewUuidV7(test.clock_.WallNow()),
                   .reference_calls = 64,
                   .min_calls = 64,
                   .window = minutes(10),
                   .threshold = 1.0,
                   .sustain = minutes(1),
                   .max_tensors = 4},
                  {.store = store, .clock = test.clock_, .log = log, .metrics = metrics}) {
      store.set_outbox(Put);
      monitor.set_triggers(&test.triggers_);
    }
    DriftStore store;
    observe::Logger log;
    observe::Registry metrics;
    DriftMonitor monitor;
  };
  void Call(Watching& host, int calls, double mean) {
    const auto recorder = host.monitor.RecorderOf("m", 1);
    std::normal_distribution<double> distribution(mean, 1);
    for (int i = 0; i < calls; ++i) {
      std::vector<double> values(8);
      for (double& value : values) value = distribution(random_);
      recorder->AddValues(false, "x", values);
    }
  }

  CrashingDb crashing_{*database_->db};
  AliasUses uses_;
  storage::testing::MemoryBlobStore contents_{clock_};
  Silent triggers_;
  std::mt19937_64 random_{7};
};

TEST_P(VersionEventsTest, ABodyIsOneOfStandardWebhooks) {
  const VersionEvent event{.type = "version.drift.began",
                           .model = "m",
                           .version = 3,
                           .data = R"({"threshold": 0.25})",
                           .at = clock_.WallNow()};
  EXPECT_EQ(event.Body(), R"({"type":"version.drift.began","timestamp":"2023-11-14T22:13:20.000Z",)"
                          R"("data":{"model":"m","version":3,"threshold":0.25}})");
}

TEST_P(VersionEventsTest, EachStepOfARetirementIsToldAndWhatIsRefusedToo) {
  Push("one");
  Push("two");
  uses_.used = 2;
  Retiring host(*this);
  const auto run = [&](Duration pause) {
    clock_.Advance(pause);
    ASSERT_TRUE(host.retirement.RunOnce().ok());
  };
  run(31 * kDay);
  run(8 * kDay);
  run(minutes(3));
  run(seconds(1));
  run(seconds(1));
  EXPECT_THAT(Types(), ElementsAre("version.retirement.warned", "version.retirement.draining",
                                   "version.retirement.archiving", "version.retirement.archived"));
  for (const Sent& one : Outbox()) {
    EXPECT_EQ(one.body["data"]["model"], "m");
    EXPECT_EQ(one.body["data"]["version"], 1);
    EXPECT_EQ(one.body["type"], one.type);
  }
  Forget();
  ASSERT_TRUE(host.retirement.Restore("m", 1, "ann", Soon()).ok());
  ASSERT_THAT(Types(), ElementsAre("version.retirement.undone"));
  EXPECT_EQ(Outbox()[0].body["data"]["from"], "archived");
  EXPECT_EQ(Outbox()[0].body["data"]["who"], "ann");
  ASSERT_TRUE(host.retirement.Restore("m", 1, "ann", Soon()).ok());
  EXPECT_THAT(Outbox(), SizeIs(1)) << "there was nothing to undo";
  Forget();

  const auto before = host.store.History("m", {.version = 2}, 100, Soon());
  EXPECT_EQ(Reason(host.retirement.Begin("m", 2, "ann", Soon())), "version_in_use");
  ASSERT_THAT(Types(), ElementsAre("version.retirement.refused"));
  EXPECT_THAT(Outbox()[0].body["data"]["reason"].get<std::string>(), HasSubstr("the route of model 'm'"));
  EXPECT_EQ(host.store.RetirementOf("m", 2, Soon()).value(), RetireStage::kServing);
  EXPECT_EQ(host.store.History("m", {.version = 2}, 100, Soon())->size(), before->size())
      << "a refusal changes nothing";
  EXPECT_EQ(Reason(host.retirement.Begin("m", 9, "ann", Soon())), "registry_version_unknown");
  EXPECT_THAT(Outbox(), SizeIs(1)) << "what is not there is nobody's news";
}

TEST_P(VersionEventsTest, AVersionOnItsWayToTheArchiveComesBackInOneStep) {
  Push("one");
  Push("two");
  uses_.used = 2;
  Retiring host(*this);
  ASSERT_TRUE(host.retirement.Begin("m", 1, "ann", Soon()).ok());
  clock_.Advance(minutes(3));
  ASSERT_TRUE(host.retirement.RunOnce().ok());
  ASSERT_EQ(host.store.RetirementOf("m", 1, Soon()).value(), RetireStage::kArchiving);
  Forget();
  crashing_.Arm(1, /*after_commit=*/true);
  EXPECT_EQ(Reason(host.retirement.Restore("m", 1, "ann", Soon())), "sql_unavailable");
  crashing_.Arm(0, false);
  Retiring next(*this);
  ASSERT_TRUE(next.retirement.RunOnce().ok());
  EXPECT_EQ(next.store.RetirementOf("m", 1, Soon()).value(), RetireStage::kServing);
  EXPECT_EQ(next.store.GetVersion("m", 1, Soon())->state, VersionState::kReady);
  EXPECT_THAT(Types(), ElementsAre("version.retirement.undone")) << "and nobody says that it is archived";
}

TEST_P(VersionEventsTest, ARetirementIsToldOnceWhereverAHostEnds) {
  Push("one");
  Push("two");
  uses_.used = 2;
  // The last ones: what a crash has delayed is done then.
  const std::vector<Duration> pauses = {31 * kDay,  8 * kDay,   minutes(3), seconds(1),
                                        minutes(3), minutes(3), minutes(3), minutes(3)};
  bool crashed = true;
  int crashes = 0;
  for (int at = 1; crashed; ++at) {
    crashed = false;
    for (const bool after : {false, true}) {
      Forget();
      auto host = std::make_unique<Retiring>(*this);
      crashing_.Arm(at, after);
      for (const Duration pause : pauses) {
        clock_.Advance(pause);
        const auto round = host->retirement.RunOnce();
        if (round.ok()) continue;
        ASSERT_TRUE(crashing_.crashed());
        crashed = true;
        ++crashes;
        crashing_.Arm(0, false);
        host = std::make_unique<Retiring>(*this);
        ASSERT_TRUE(host->retirement.RunOnce().ok());
      }
      EXPECT_THAT(Types(), ElementsAre("version.retirement.warned", "version.retirement.draining",
                                       "version.retirement.archiving", "version.retirement.archived"))
          << "crash at " << at << (after ? " after" : " before");
      crashing_.Arm(0, false);
      ASSERT_TRUE(host->retirement.Restore("m", 1, "ann", Soon()).ok());
    }
  }
  EXPECT_GE(crashes, 8) << "each step has its crashes";
}

TEST_P(VersionEventsTest, ADriftIsToldOnceAndSoIsItsEndWhereverAHostEnds) {
  {
    Watching first(*this);
    Call(first, 64, 0);
    ASSERT_TRUE(first.monitor.Flush().ok());
  }
  bool crashed = true;
  int crashes = 0;
  for (int at = 1; crashed; ++at) {
    ASSERT_LT(at, 100);
    crashed = false;
    for (const bool after : {false, true}) {
      Forget();
      clock_.Advance(minutes(30));
      auto host = std::make_unique<Watching>(*this);
      crashing_.Arm(at, after);
      // Shifted for a while, then as it was: what a host lost when it ended comes again with further calls.
      for (const double mean : {4.0, 0.0}) {
        for (int round = 0; round < 4; ++round) {
          Call(*host, 1, mean);  // The first flush of a host learns of the reference.
          auto flushed = host->monitor.Flush();
          if (flushed.ok()) {
            Call(*host, 80, mean);
            flushed = host->monitor.Flush();
          }
          if (!flushed.ok()) {
            ASSERT_TRUE(crashing_.crashed()) << flushed.error().ToString();
            crashed = true;
            ++crashes;
            crashing_.Arm(0, false);
            host = std::make_unique<Watching>(*this);
          }
          clock_.Advance(seconds(61));
        }
        clock_.Advance(minutes(20));
      }
      crashing_.Arm(0, false);
      EXPECT_THAT(Types(), ElementsAre("version.drift.began", "version.drift.ended"))
          << "crash at " << at << (after ? " after" : " before");
      const auto sent = Outbox();
      ASSERT_THAT(sent, SizeIs(2));
      EXPECT_EQ(sent[0].body["data"]["tensors"][0]["tensor"], "x");
      EXPECT_EQ(sent[0].body["data"]["since"], sent[1].body["data"]["since"]) << "one breach";
    }
  }
  EXPECT_GE(crashes, 8);
}

TEST_P(VersionEventsTest, ABreachThatNobodyHasHeardOfEndsInSilenceAndANewReferenceEndsOne) {
  const WatchedVersion version{.model = "m", .version = 1};
  DriftStore store({}, *database_->db, clock_);
  store.set_outbox(Put);
  ASSERT_TRUE(store.NoteBreach(version, Soon()).ok());
  EXPECT_TRUE(store.EndBreach(version, Soon()).value());
  EXPECT_THAT(Outbox(), IsEmpty());

  Watching host(*this);
  Call(host, 64, 0);
  ASSERT_TRUE(host.monitor.Flush().ok());
  const auto breach = store.NoteBreach(version, Soon());
  ASSERT_TRUE(store.MarkFired(version, breach->since_us, "{}", Soon()).value());
  EXPECT_FALSE(store.MarkFired(version, breach->since_us, "{}", Soon()).value());
  ASSERT_TRUE(store.Reset(version, {}, Soon()).ok());
  ASSERT_THAT(Types(), ElementsAre("version.drift.began", "version.drift.ended"));
  EXPECT_EQ(Outbox()[1].body["data"]["reason"], "it has another reference");
}

TEST_P(VersionEventsTest, ADriftEndsWithItsVersion) {
  DriftStore store({}, *database_->db, clock_);
  store.set_outbox(Put);
  Push("one");
  Push("two");
  Push("three");
  for (const std::int64_t version : {1, 2, 3}) {
    const WatchedVersion watched{.model = "m", .version = version};
    const auto breach = store.NoteBreach(watched, Soon());
    ASSERT_TRUE(store.MarkFired(watched, breach->since_us, "{}", Soon()).value());
  }
  // One of a folder, which the registry does not know.
  ASSERT_TRUE(store.NoteBreach({.model = "folder", .version = 1}, Soon()).ok());
  Forget();
  const StateChange archive{.from = VersionState::kReady, .to = VersionState::kArchived, .reason = ""};
  ASSERT_TRUE(store_.SetState("m", 1, archive, "ann", Soon()).ok());
  ASSERT_TRUE(store_.DeleteVersion("m", 3, "ann", Soon()).ok());
  ASSERT_TRUE(store.Prune(0, Soon()).ok());
  ASSERT_TRUE(store.Prune(0, Soon()).ok());
  ASSERT_THAT(Types(), ElementsAre("version.drift.ended", "version.drift.ended"));
  EXPECT_EQ(Outbox()[0].body["data"]["reason"], "the version is out of service");
  const auto left = store.Breaches(Soon()).value();
  EXPECT_THAT(left, SizeIs(2));
  EXPECT_TRUE(left.contains({.model = "m", .version = 2}));
  EXPECT_TRUE(left.contains({.model = "folder", .version = 1}));
}

INSTANTIATE_TEST_SUITE_P(Databases, VersionEventsTest, tenancy::BothDatabases(), tenancy::DatabaseName);

}  // namespace
}  // namespace mezzo::lifecycle
