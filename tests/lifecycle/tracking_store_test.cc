// What MLflow's clients track, on both databases.

#include "mezzo/lifecycle/tracking_store.h"

#include <cmath>
#include <limits>
#include <map>
#include <random>

#include "registry_fixture.h"
#include <gmock/gmock.h>

#include "mezzo/lifecycle/tracking_schema.h"

namespace mezzo::lifecycle {
namespace {

class TrackingStoreTest : public RegistryFixture {
 protected:
  void MigrateTracking() {
    const auto migrated = storage::Migrate(*database_->db, "tracking", TrackingMigrations(), Soon(), real_);
    ASSERT_TRUE(migrated.ok()) << migrated.error().ToString();
  }
  std::int64_t MakeExperiment(const std::string& name) {
    const auto made = tracking_.CreateExperiment(tenant_, name, {{"team", "a"}}, Soon());
    EXPECT_TRUE(made.ok()) << made.error().ToString();
    return made.ok() ? made->id : -1;
  }
  std::string MakeRun(std::int64_t experiment) {
    const auto made = tracking_.CreateRun(tenant_, {.experiment = experiment, .name = "r"}, Soon());
    EXPECT_TRUE(made.ok()) << made.error().ToString();
    return made.ok() ? made->id : "";
  }
  std::vector<std::string> Found(std::int64_t experiment, std::vector<TrackingCondition> conditions) {
    const RunQuery query{.experiments = {experiment}, .conditions = std::move(conditions)};
    const auto page = tracking_.SearchRuns(tenant_, query, "", 1000, Soon());
    EXPECT_TRUE(page.ok()) << page.error().ToString();
    std::vector<std::string> ids;
    if (page.ok()) {
      for (const RunRecord& run : page->records) ids.push_back(run.id);
    }
    return ids;
  }
  static TrackingCondition Metric(const std::string& key, SearchComparison comparison, double value) {
    return {.field = TrackingField::kMetric, .key = key, .comparison = comparison, .real = value};
  }

  const TenantId tenant_{"acme"};
  TrackingStore tracking_{{.max_experiments = 2}, *database_->db, clock_};
};

TEST_P(TrackingStoreTest, WhatWasMeasuredBeforeSearchesCameIsFound) {
  const auto old = TrackingMigrations().first(1);
  ASSERT_TRUE(storage::Migrate(*database_->db, "tracking", old, Soon(), real_).ok());
  const auto fill = [&](storage::SqlSession& session) -> Result<void> {
    for (const char* id : {"r1", "r2"}) {
      MEZZO_TRY_VOID(session.Run(
          "INSERT INTO tracking_runs (id, tenant, experiment, name, user_name, status, started_ms, "
          "deleted_us, facts, points, created_us) VALUES ($1, 'acme', 0, 'n', '', 'RUNNING', 0, 0, 0, 0, 0)",
          {std::string(id)}));
    }
    const std::tuple<const char*, const char*, const char*, std::int64_t> points[] = {
        {"r1", "acc", "0.1", 0},   {"r1", "acc", "0.30000000000000004", 2},
        {"r1", "acc", "0.2", 1},   {"r1", "up", "inf", 0},
        {"r1", "down", "-inf", 0}, {"r1", "none", "nan", 0},
        {"r2", "acc", "0.5", 3},   {"r2", "acc", "0.25", 3}};
    for (const auto& [run, metric, value, step] : points) {
      MEZZO_TRY_VOID(
          session.Run("INSERT INTO tracking_points (run_id, metric, metric_value, at_ms, step, "
                      "model_id) VALUES ($1, $2, $3, 7, $4, '')",
                      {std::string(run), std::string(metric), std::string(value), step}));
    }
    return {};
  };
  ASSERT_TRUE(database_->db->Transact(fill, Soon()).ok());

  MigrateTracking();

  const auto run = tracking_.GetRun(tenant_, "r1", Soon());
  ASSERT_TRUE(run.ok()) << run.error().ToString();
  EXPECT_EQ(run->metrics.at("acc").value, 0.30000000000000004);
  EXPECT_EQ(run->metrics.at("acc").step, 2);
  EXPECT_EQ(run->metrics.at("up").value, std::numeric_limits<double>::infinity());
  EXPECT_EQ(run->metrics.at("down").value, -std::numeric_limits<double>::infinity());
  EXPECT_TRUE(std::isnan(run->metrics.at("none").value));
  EXPECT_THAT(Found(0, {Metric("acc", SearchComparison::kLess, 0.3)}), testing::ElementsAre("r2"));
  EXPECT_THAT(Found(0, {Metric("up", SearchComparison::kGreater, 1e308)}), testing::ElementsAre("r1"));
  EXPECT_THAT(Found(0, {Metric("none", SearchComparison::kDiffers, 0)}), testing::ElementsAre("r1"));
  EXPECT_THAT(Found(0, {Metric("none", SearchComparison::kEquals, 0)}), testing::IsEmpty());
}

TEST_P(TrackingStoreTest, OfEachMetricTheLastStepCountsOverSeeds) {
  MigrateTracking();
  const std::int64_t experiment = MakeExperiment("seeds");
  for (unsigned seed = 0; seed < 4; ++seed) {
    std::minstd_rand random(seed + 1);
    const std::string run = MakeRun(experiment);
    std::map<std::string, MetricPoint> last;
    for (int batch = 0; batch < 15; ++batch) {
      TrackingStore::RunNotes notes;
      for (unsigned i = random() % 8; i > 0; --i) {
        const MetricPoint point{.key = "m" + std::to_string(random() % 3),
                                .value = static_cast<double>(random() % 1000) / 8,
                                .at_ms = static_cast<std::int64_t>(random() % 4),
                                .step = static_cast<std::int64_t>(random() % 6)};
        notes.metrics.push_back(point);
        MetricPoint& known = last.try_emplace(point.key, point).first->second;
        if (std::pair(point.step, point.at_ms) >= std::pair(known.step, known.at_ms)) known = point;
      }
      ASSERT_TRUE(tracking_.Note(tenant_, run, notes, Soon()).ok());
    }
    const auto found = tracking_.GetRun(tenant_, run, Soon());
    ASSERT_TRUE(found.ok());
    ASSERT_EQ(found->metrics.size(), last.size());
    for (const auto& [key, point] : last) {
      EXPECT_EQ(found->metrics.at(key).value, point.value) << "seed " << seed << " " << key;
      EXPECT_EQ(found->metrics.at(key).step, point.step);
      const auto same = Found(experiment, {Metric(key, SearchComparison::kEquals, point.value)});
      EXPECT_THAT(same, testing::Contains(run));
    }
  }
}

TEST_P(TrackingStoreTest, ADeletedExperimentGoesWithAllItHasAndFreesItsRoom) {
  MigrateTracking();
  const std::int64_t gone = MakeExperiment("gone");
  MakeExperiment("kept");
  const std::string run = MakeRun(gone);
  ASSERT_TRUE(tracking_.Note(tenant_, run, {.metrics = {{.key = "m", .value = 1}}}, Soon()).ok());
  const auto model = tracking_.CreateLoggedModel(tenant_, {.experiment = gone, .name = "m"}, "ann", Soon());
  ASSERT_TRUE(model.ok());
  EXPECT_EQ(Reason(tracking_.CreateExperiment(tenant_, "third", {}, Soon())), "tracking_full");
  ASSERT_TRUE(tracking_.DeleteExperiment(tenant_, gone, Soon()).ok());
  const WallTime before = clock_.WallNow();
  clock_.Advance(std::chrono::hours(1));

  // Not yet: it was deleted at `before`, and then its runs are still there.
  EXPECT_EQ(tracking_.ExpireExperiments(before, 10, Soon()).value(), 0U);
  EXPECT_EQ(tracking_.ExpireExperiments(clock_.WallNow(), 10, Soon()).value(), 0U);
  EXPECT_EQ(Reason(tracking_.GetExperiment(tenant_, gone, Soon())), "ok");
  EXPECT_EQ(tracking_.ExpireRuns(clock_.WallNow(), 10, Soon()).value(), 1U);
  EXPECT_EQ(tracking_.ExpireExperiments(clock_.WallNow(), 10, Soon()).value(), 1U);

  EXPECT_EQ(Reason(tracking_.GetExperiment(tenant_, gone, Soon())), "tracking_experiment_unknown");
  EXPECT_EQ(Reason(tracking_.GetLoggedModel(tenant_, model->id, Soon())), "tracking_model_unknown");
  EXPECT_EQ(Reason(tracking_.GetRun(tenant_, run, Soon())), "tracking_run_unknown");
  EXPECT_EQ(Reason(tracking_.CreateExperiment(tenant_, "gone", {}, Soon())), "ok");
  const auto left = [&](storage::SqlSession& session) -> Result<void> {
    MEZZO_TRY(const auto rows, session.Run("SELECT COUNT(*) FROM tracking_latest", {}));
    EXPECT_EQ(rows.Int(0, 0), 0);
    return {};
  };
  EXPECT_TRUE(database_->db->Read(left, Soon()).ok());
}

TEST_P(TrackingStoreTest, OnlyWhatWentWithAnExperimentComesBackWithIt) {
  MigrateTracking();
  const std::int64_t experiment = MakeExperiment("e");
  const std::string early = MakeRun(experiment);
  const std::string late = MakeRun(experiment);
  ASSERT_TRUE(tracking_.ChangeRun(tenant_, early, {.deleted = true}, Soon()).ok());
  clock_.Advance(std::chrono::seconds(1));
  ASSERT_TRUE(tracking_.DeleteExperiment(tenant_, experiment, Soon()).ok());
  EXPECT_EQ(Reason(tracking_.ChangeRun(tenant_, late, {.deleted = false}, Soon())),
            "tracking_experiment_deleted");
  EXPECT_EQ(Reason(tracking_.CreateRun(tenant_, {.experiment = experiment}, Soon())),
            "tracking_experiment_deleted");

  // What no change is: a deletion again, and changes that are refused.
  ASSERT_TRUE(tracking_.ChangeRun(tenant_, late, {.deleted = true}, Soon()).ok());
  for (const TrackingStore::RunChange& change :
       {TrackingStore::RunChange{.name = "x"}, TrackingStore::RunChange{.status = "FAILED"},
        TrackingStore::RunChange{.ended_ms = 1}}) {
    EXPECT_EQ(Reason(tracking_.ChangeRun(tenant_, late, change, Soon())), "tracking_run_deleted");
  }
  EXPECT_EQ(Reason(tracking_.DeleteRunTag(tenant_, late, "a", Soon())), "tracking_run_deleted");

  ASSERT_TRUE(tracking_.RestoreExperiment(tenant_, experiment, Soon()).ok());

  EXPECT_EQ(tracking_.GetRun(tenant_, late, Soon())->status, "RUNNING");
  EXPECT_THAT(Found(experiment, {}), testing::ElementsAre(late));
  EXPECT_TRUE(tracking_.GetRun(tenant_, early, Soon())->deleted);
  EXPECT_EQ(Reason(tracking_.RestoreExperiment(tenant_, experiment, Soon())), "tracking_experiment_active");
}

INSTANTIATE_TEST_SUITE_P(Databases, TrackingStoreTest, tenancy::BothDatabases(), tenancy::DatabaseName);

}  // namespace
}  // namespace mezzo::lifecycle
