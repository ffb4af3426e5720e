// Retirement on real databases: from the warning to the archive, and back.

#include "mezzo/lifecycle/retirement.h"

#include "registry_fixture.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/lifecycle/version_uploads.h"
#include "mezzo/storage/blob_io.h"
#include "mezzo/storage/testing/memory_blob_store.h"

namespace mezzo::lifecycle {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

constexpr Duration kDay = hours(24);

/// Needs what the test says.
class FakeUses final : public VersionUses {
 public:
  Result<std::string> UserOf(storage::SqlSession&, const std::string& model,
                             std::optional<std::int64_t> version) override {
    return version && used.contains({model, *version}) ? std::string("the route of model 'm'")
                                                       : std::string();
  }
  Result<std::string> AliasUserOf(storage::SqlSession&, const std::string&,
                                  const std::string& alias) override {
    return alias == "routed" ? std::string("the route of model 'm'") : std::string();
  }
  Result<void> AliasMoved(storage::SqlSession&, const std::string&, const std::string& alias) override {
    moved.push_back(alias);
    return {};
  }
  std::set<std::pair<std::string, std::int64_t>> used;
  std::vector<std::string> moved;
};

class RetirementTest : public RegistryFixture {
 protected:
  RetirementTest() {
    const auto migrated =
        storage::Migrate(*database_->db, "retirement", RetirementMigrations(), Soon(), real_);
    EXPECT_TRUE(migrated.ok()) << migrated.error().ToString();
    store_.set_uses(&uses_);
    MakeModel("m");
    Open({.after = 30 * kDay, .warning = 7 * kDay, .drain = minutes(2)});
  }
  void Open(RetirePolicy policy, std::size_t batch = 1000) {
    retirement_ = std::make_unique<Retirement>(
        Retirement::Options{.policy = policy, .batch = batch},
        Retirement::Ports{.registry = store_,
                          .contents = contents_,
                          .clock = clock_,
                          .log = log_,
                          .metrics = *(metrics_ = std::make_unique<observe::Registry>()),
                          .traffic = [this] { return traffic_; }});
  }
  std::int64_t Push(const std::string& content) {
    EXPECT_TRUE(
        storage::WriteBlob(contents_, VersionUploads::KeyOf(Sha256Hex(content)), AsBytes(content), {}, Soon())
            .ok());
    return MakeReady("m", {{"model.onnx", content}, {"model.yaml", "shared"}});
  }
  void PutShared() {
    ASSERT_TRUE(storage::WriteBlob(contents_, VersionUploads::KeyOf(Sha256Hex("shared")),
                                   AsBytes(std::string_view("shared")), {}, Soon())
                    .ok());
  }
  Retirement::Round Run() {
    const auto round = retirement_->RunOnce();
    EXPECT_TRUE(round.ok()) << round.error().ToString();
    return round.ok() ? *round : Retirement::Round();
  }
  RetireStage StageOf(std::int64_t version) { return store_.RetirementOf("m", version, Soon()).value(); }
  VersionState StateOf(std::int64_t version) { return store_.GetVersion("m", version, Soon())->state; }
  bool IsAway(const std::string& content) {
    return contents_.Stat(VersionUploads::KeyOf(Sha256Hex(content)), Soon())->archived;
  }

  FakeUses uses_;
  storage::testing::MemoryBlobStore contents_{clock_};
  observe::Logger log_{{}, clock_};
  std::vector<Retirement::Served> traffic_;
  std::unique_ptr<observe::Registry> metrics_;
  std::unique_ptr<Retirement> retirement_;
};

TEST_P(RetirementTest, WhatNobodyCallsIsWarnedDrainedArchivedAndComesBackWhole) {
  PutShared();
  Push("old");
  Push("new");
  traffic_ = {{.model = "m", .version = 2, .calls = 1}};
  clock_.Advance(29 * kDay);
  Run();
  EXPECT_EQ(StageOf(1), RetireStage::kServing);
  traffic_[0].calls = 2;
  clock_.Advance(kDay);
  EXPECT_EQ(Run().warned, 1U);
  EXPECT_EQ(StageOf(1), RetireStage::kWarned);
  EXPECT_EQ(StageOf(2), RetireStage::kServing) << "it has calls";
  EXPECT_EQ(StateOf(1), VersionState::kReady) << "it is served all the same";
  traffic_[0].calls = 3;
  clock_.Advance(7 * kDay);
  EXPECT_EQ(Run().drained, 1U);
  EXPECT_THAT(retirement_->Draining(Soon()).value(), UnorderedElementsAre(Pair("m", 1)));
  clock_.Advance(minutes(1));
  Run();
  EXPECT_EQ(StageOf(1), RetireStage::kDraining);
  clock_.Advance(minutes(1));
  Run();
  EXPECT_EQ(StateOf(1), VersionState::kArchived);
  EXPECT_EQ(Run().archived, 1U) << "the files, in the next round";
  EXPECT_EQ(StageOf(1), RetireStage::kArchived);
  EXPECT_TRUE(IsAway("old"));
  EXPECT_FALSE(IsAway("shared")) << "version 2 has it, too";
  EXPECT_FALSE(IsAway("new"));

  const auto restored = retirement_->Restore("m", 1, "ann", Soon());
  ASSERT_TRUE(restored.ok()) << restored.error().ToString();
  EXPECT_EQ(restored->state, VersionState::kReady);
  clock_.Advance(29 * kDay);
  Run();
  EXPECT_EQ(StageOf(1), RetireStage::kServing) << "it has its whole time again";
  std::vector<std::string> steps;
  const auto history = store_.History("m", {.version = 1}, 100, Soon());
  ASSERT_TRUE(history.ok());
  for (const auto& event : *history) {
    if (event.kind == "version_retirement") steps.push_back(event.after);
  }
  EXPECT_THAT(steps, ::testing::ElementsAre("archived", "archiving", "draining", "warned")) << "newest first";
}

TEST_P(RetirementTest, WhatIsLeavingIsListedByItsLastStep) {
  PutShared();
  for (const char* content : {"one", "two", "three", "four"}) Push(content);
  Open({});
  const auto listed = [this](const std::optional<TenantId>& tenant, std::size_t limit) {
    std::vector<std::pair<std::int64_t, RetireStage>> found;
    const auto all = store_.Retirements(tenant, limit, Soon());
    EXPECT_TRUE(all.ok()) << all.error().ToString();
    if (all.ok())
      for (const auto& one : *all) found.emplace_back(one.version, one.stage);
    return found;
  };
  EXPECT_THAT(listed(std::nullopt, 10), IsEmpty());
  ASSERT_TRUE(retirement_->Begin("m", 1, "ann", Soon()).ok());
  traffic_ = {{.model = "m", .version = 1, .calls = 1}};
  Run();
  const auto first = store_.Retirements(std::nullopt, 10, Soon());
  ASSERT_TRUE(first.ok());
  ASSERT_EQ(first->size(), 1U);
  EXPECT_EQ(first->front().model, "m");
  EXPECT_TRUE(first->front().by_hand);
  EXPECT_EQ(first->front().since, clock_.WallNow());
  EXPECT_EQ(first->front().last_call, clock_.WallNow());
  clock_.Advance(minutes(3));
  ASSERT_TRUE(retirement_->Begin("m", 2, "ann", Soon()).ok());
  EXPECT_THAT(listed(std::nullopt, 10),
              ::testing::ElementsAre(Pair(2, RetireStage::kDraining), Pair(1, RetireStage::kDraining)));
  clock_.Advance(minutes(2));
  Run();
  Run();
  EXPECT_THAT(listed(std::nullopt, 10),
              UnorderedElementsAre(Pair(2, RetireStage::kArchived), Pair(1, RetireStage::kArchived)));
  EXPECT_EQ(listed(std::nullopt, 1).size(), 1U);
  EXPECT_EQ(listed(TenantId("acme"), 10).size(), 2U) << "the model is nobody's, so everybody's";
  ASSERT_TRUE(retirement_->Restore("m", 1, "ann", Soon()).ok());
  EXPECT_THAT(listed(std::nullopt, 10), ::testing::ElementsAre(Pair(2, RetireStage::kArchived)));
}

TEST_P(RetirementTest, EveryStageCanBeUndone) {
  PutShared();
  Push("one");
  Push("two");
  for (const RetireStage until : {RetireStage::kWarned, RetireStage::kDraining, RetireStage::kArchiving}) {
    clock_.Advance(31 * kDay);
    uses_.used = {{"m", 2}};
    Run();
    if (until >= RetireStage::kDraining) clock_.Advance(8 * kDay), Run();
    if (until >= RetireStage::kArchiving) clock_.Advance(minutes(3)), Run();
    ASSERT_EQ(StageOf(1), until);
    ASSERT_TRUE(retirement_->Restore("m", 1, "ann", Soon()).ok());
    EXPECT_EQ(StageOf(1), RetireStage::kServing);
    EXPECT_EQ(StateOf(1), VersionState::kReady);
    Run();
    EXPECT_EQ(StageOf(1), RetireStage::kServing) << "and stays so";
  }
}

TEST_P(RetirementTest, CallsAndRoutesEndAWarning) {
  Push("one");
  Push("two");
  uses_.used = {{"m", 2}};
  clock_.Advance(31 * kDay);
  ASSERT_EQ(Run().warned, 1U);
  traffic_ = {{.model = "m", .version = 1, .calls = 5}};
  clock_.Advance(minutes(1));
  EXPECT_EQ(Run().undone, 1U);
  clock_.Advance(31 * kDay);
  ASSERT_EQ(Run().warned, 1U) << "no new calls";
  uses_.used = {{"m", 1}, {"m", 2}};
  EXPECT_EQ(Run().undone, 1U);
  EXPECT_EQ(StageOf(1), RetireStage::kServing);
}

TEST_P(RetirementTest, NeverWhatIsNeededAndNeverTheLastOne) {
  Push("one");
  clock_.Advance(999 * kDay);
  Run();
  EXPECT_EQ(StageOf(1), RetireStage::kServing) << "the only one";
  Push("two");
  ASSERT_TRUE(store_.SetAlias("m", "prod", 1, {}, "ann", Soon()).ok());
  clock_.Advance(999 * kDay);
  Run();
  EXPECT_EQ(StageOf(1), RetireStage::kServing) << "an alias points at it";
  EXPECT_EQ(StageOf(2), RetireStage::kWarned);
  EXPECT_EQ(Reason(retirement_->Begin("m", 1, "ann", Soon())), "version_in_use");
  uses_.used = {{"m", 2}};
  const auto used = retirement_->Begin("m", 2, "ann", Soon());
  EXPECT_EQ(Reason(used), "version_in_use");
  EXPECT_THAT(used.error().message(), HasSubstr("the route of model 'm'"));
  EXPECT_EQ(StageOf(2), RetireStage::kWarned) << "a refusal changes nothing";
  EXPECT_EQ(Reason(retirement_->Begin("m", 9, "ann", Soon())), "registry_version_unknown");
  ASSERT_TRUE(store_.CreateVersion("m", {.manifest = ManifestOf({{"f", "x"}})}, "ann", Soon()).ok());
  EXPECT_EQ(Reason(retirement_->Begin("m", 3, "ann", Soon())), "registry_version_state");
  EXPECT_EQ(Reason(retirement_->Restore("m", 3, "ann", Soon())), "registry_version_state");
}

// Versions of models that nobody may retire stand in front, more of them than a round looks at.
TEST_P(RetirementTest, WhatCannotGoDoesNotKeepOthersFromGoing) {
  PutShared();
  MakeModel("kept");
  std::int64_t last = 0;
  for (int i = 0; i < 7; ++i) last = MakeReady("kept");
  for (std::int64_t version = 1; version <= last; ++version) uses_.used.insert({"kept", version});
  clock_.Advance(kDay);
  Push("old");
  Push("new");
  uses_.used.insert({"m", 2});
  clock_.Advance(31 * kDay);
  Open({.after = 30 * kDay, .warning = 7 * kDay, .drain = minutes(2)}, /*batch=*/3);
  std::size_t warned = 0;
  for (int round = 0; round < 3; ++round) warned += Run().warned;
  EXPECT_EQ(warned, 1U);
  EXPECT_EQ(StageOf(1), RetireStage::kWarned);

  // Those that wait out their warning do not hold up what is further, either.
  ASSERT_TRUE(store_.SetTag("kept", {}, "retire.after", "1h", "ann", Soon()).ok());
  uses_.used = {{"m", 2}, {"kept", last}};
  clock_.Advance(minutes(1));
  for (int round = 0; round < 4; ++round) Run();
  for (std::int64_t version = 1; version < last; ++version) {
    EXPECT_EQ(store_.RetirementOf("kept", version, Soon()).value(), RetireStage::kWarned) << version;
  }
  ASSERT_TRUE(retirement_->Begin("kept", last - 1, "ann", Soon()).ok());
  clock_.Advance(minutes(3));
  for (int round = 0; round < 6; ++round) Run();
  EXPECT_EQ(store_.RetirementOf("kept", last - 1, Soon()).value(), RetireStage::kArchived);
  EXPECT_EQ(StageOf(1), RetireStage::kWarned);
}

TEST_P(RetirementTest, WhatSomebodyNamesIsDrainedAtOnceAndBeginningTwiceIsOnce) {
  PutShared();
  Push("one");
  Open({});  // No policy.
  ASSERT_TRUE(retirement_->Begin("m", 1, "ann", Soon()).ok());
  ASSERT_TRUE(retirement_->Begin("m", 1, "ann", Soon()).ok());
  EXPECT_EQ(StageOf(1), RetireStage::kDraining);
  traffic_ = {{.model = "m", .version = 1, .calls = 1}};
  clock_.Advance(minutes(3));
  Run();
  EXPECT_EQ(StageOf(1), RetireStage::kDraining) << "a call was under way";
  clock_.Advance(minutes(3));
  Run();
  Run();
  EXPECT_EQ(StageOf(1), RetireStage::kArchived);
  ASSERT_TRUE(retirement_->Begin("m", 1, "ann", Soon()).ok());
  EXPECT_TRUE(IsAway("one"));
}

TEST_P(RetirementTest, WhatIsNotWholeInTheStoreStaysArchived) {
  PutShared();
  Push("one");
  Open({});
  ASSERT_TRUE(retirement_->Begin("m", 1, "ann", Soon()).ok());
  clock_.Advance(minutes(3));
  Run();
  Run();
  ASSERT_EQ(StageOf(1), RetireStage::kArchived);
  ASSERT_TRUE(storage::WriteBlob(contents_, VersionUploads::KeyOf(Sha256Hex("one")),
                                 AsBytes(std::string_view("bad")), {}, Soon())
                  .ok());
  const auto bad = retirement_->Restore("m", 1, "ann", Soon());
  EXPECT_EQ(Reason(bad), "version_corrupt");
  EXPECT_THAT(bad.error().message(), HasSubstr("'model.onnx'"));
  ASSERT_TRUE(contents_.Delete(VersionUploads::KeyOf(Sha256Hex("one")), Soon()).ok());
  EXPECT_EQ(Reason(retirement_->Restore("m", 1, "ann", Soon())), "version_corrupt");
  EXPECT_EQ(StateOf(1), VersionState::kArchived);
}

TEST_P(RetirementTest, TagsSayOtherwiseForAModel) {
  Push("one");
  Push("two");
  uses_.used = {{"m", 2}};
  ASSERT_TRUE(store_.SetTag("m", {}, "retire.after", "never", "ann", Soon()).ok());
  clock_.Advance(999 * kDay);
  Run();
  EXPECT_EQ(StageOf(1), RetireStage::kServing);
  Open({});
  ASSERT_TRUE(store_.SetTag("m", {}, "retire.after", "soon", "ann", Soon()).ok());
  Run();
  EXPECT_EQ(StageOf(1), RetireStage::kServing) << "no time";
  ASSERT_TRUE(store_.SetTag("m", {}, "retire.after", "48h", "ann", Soon()).ok());
  EXPECT_EQ(Run().warned, 1U) << "without a policy of the configuration";
}

TEST_P(RetirementTest, WhatIsDeletedIsForgottenAndWhatIsNotRegisteredIsNotKept) {
  Push("one");
  Push("two");
  traffic_ = {{.model = "m", .version = 2, .calls = 1}, {.model = "folder", .version = 1, .calls = 1}};
  ASSERT_TRUE(retirement_->Begin("m", 2, "ann", Soon()).ok());
  Run();
  const auto rows = [&](std::string_view sql) {
    std::int64_t count = -1;
    const auto work = [&](storage::SqlSession& session) -> Result<void> {
      MEZZO_TRY(const auto found, session.Run(sql, {}));
      count = found.Int(0, 0);
      return {};
    };
    EXPECT_TRUE(database_->db->Read(work, Soon()).ok());
    return count;
  };
  EXPECT_EQ(rows("SELECT COUNT(*) FROM version_traffic"), 1);
  EXPECT_EQ(rows("SELECT COUNT(*) FROM version_retirements"), 1);
  ASSERT_TRUE(store_.DeleteVersion("m", 2, "ann", Soon()).ok());
  Run();
  EXPECT_EQ(rows("SELECT COUNT(*) FROM version_traffic"), 0);
  EXPECT_EQ(rows("SELECT COUNT(*) FROM version_retirements"), 0);
}

TEST_P(RetirementTest, TwoHostsMakeEachStepOnce) {
  Push("one");
  Push("two");
  uses_.used = {{"m", 2}};
  observe::Registry metrics;
  Retirement other({.policy = {.after = 30 * kDay, .warning = 7 * kDay, .drain = minutes(2)}},
                   {.registry = store_,
                    .contents = contents_,
                    .clock = clock_,
                    .log = log_,
                    .metrics = metrics,
                    .traffic = [] { return std::vector<Retirement::Served>(); }});
  for (const Duration pause : {31 * kDay, 8 * kDay, Duration(minutes(3)), Duration(minutes(1))}) {
    clock_.Advance(pause);
    Run();
    ASSERT_TRUE(other.RunOnce().ok());
  }
  EXPECT_EQ(StateOf(1), VersionState::kArchived);
  std::size_t steps = 0;
  const auto history = store_.History("m", {.version = 1}, 100, Soon());
  ASSERT_TRUE(history.ok());
  for (const auto& event : *history) {
    steps += event.kind == "version_retirement" ? 1 : 0;
  }
  EXPECT_EQ(steps, 4U);
}

TEST_P(RetirementTest, TheRegistryAsksWhoNeedsWhatItIsToLose) {
  Push("one");
  Push("two");
  uses_.used = {{"m", 1}};
  EXPECT_EQ(Reason(store_.DeleteVersion("m", 1, "ann", Soon())), "version_in_use");
  const StateChange archive{.from = VersionState::kReady, .to = VersionState::kArchived, .reason = ""};
  EXPECT_EQ(Reason(store_.SetState("m", 1, archive, "ann", Soon())), "version_in_use");
  ASSERT_TRUE(store_.SetAlias("m", "routed", 1, {}, "ann", Soon()).ok());
  ASSERT_TRUE(store_.SetAlias("m", "routed", 2, {}, "ann", Soon()).ok());
  ASSERT_TRUE(store_.SetAlias("m", "routed", 2, {}, "ann", Soon()).ok());
  EXPECT_THAT(uses_.moved, ::testing::SizeIs(2)) << "the third time it was there";
  EXPECT_EQ(Reason(store_.DeleteAlias("m", "routed", "ann", Soon())), "registry_alias_in_use");
  EXPECT_EQ(store_.Resolve("m", "routed", Soon())->version, 2);
  ASSERT_TRUE(store_.SetAlias("m", "free", 2, {}, "ann", Soon()).ok());
  EXPECT_TRUE(store_.DeleteAlias("m", "free", "ann", Soon()).ok());
}

INSTANTIATE_TEST_SUITE_P(Databases, RetirementTest, tenancy::BothDatabases(), tenancy::DatabaseName);

}  // namespace
}  // namespace mezzo::lifecycle
