#include "mezzo/jobs/job_store.h"

#include <map>
#include <string>
#include <vector>

#include "queue_fixture.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mezzo::jobs {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

class JobStoreTest : public QueueTest {};

TEST_P(JobStoreTest, AJobIsClaimedOnceAndEndsWithItsResult) {
  const JobId id = Add(New());
  EXPECT_EQ(Get(id).state, JobState::kQueued);

  const LeasedJob leased = ClaimOne();
  EXPECT_EQ(leased.fence.id, id);
  EXPECT_EQ(leased.fence.attempt, 1);
  EXPECT_THAT(Claim(), IsEmpty());
  EXPECT_EQ(Get(id).state, JobState::kRunning);

  EXPECT_TRUE(Succeed(leased.fence));
  const Job job = Get(id);
  EXPECT_EQ(job.state, JobState::kSucceeded);
  EXPECT_EQ(job.result, R"({"ok":true})");
  EXPECT_EQ(job.progress, 1);
  EXPECT_TRUE(job.finished.has_value());
}

TEST_P(JobStoreTest, TerminalStatesNeverChange) {
  const JobId id = Add(New());
  const LeasedJob leased = ClaimOne();
  ASSERT_TRUE(Succeed(leased.fence));
  const std::int64_t version = Get(id).version;

  EXPECT_FALSE(Succeed(leased.fence));
  EXPECT_FALSE(End({.fence = leased.fence, .kind = RunEnd::Kind::kFailed, .error = {"x", "late"}}));
  EXPECT_FALSE(*store_->Report(leased.fence, 0.5, "late", Soon()));
  EXPECT_FALSE(*store_->SaveCheckpoint(leased.fence, "{}", Soon()));
  EXPECT_EQ(*store_->Cancel(TenantId("a"), id, Soon()), JobState::kSucceeded);
  clock_.Advance(minutes(60));
  Sweep();

  EXPECT_EQ(Get(id).state, JobState::kSucceeded);
  EXPECT_EQ(Get(id).version, version);
}

TEST_P(JobStoreTest, WritesOfAnAttemptThatLostItsLeaseChangeNothing) {
  const JobId id = Add(New());
  const LeasedJob lost = ClaimOne("h1");
  clock_.Advance(seconds(31));
  EXPECT_EQ(Sweep().rescued, 1U);
  const LeasedJob held = ClaimOne("h2");
  EXPECT_EQ(held.fence.attempt, 2);

  EXPECT_FALSE(*store_->Report(lost.fence, 0.9, "late", Soon()));
  EXPECT_FALSE(Succeed(lost.fence));
  EXPECT_THAT(*store_->Renew(HostId("h1"), {{lost.fence}}, Soon()), IsEmpty());
  EXPECT_EQ(Get(id).state, JobState::kRunning);
  EXPECT_EQ(Get(id).progress, 0);

  EXPECT_TRUE(Succeed(held.fence));
  EXPECT_EQ(Get(id).crashes, 1);
}

TEST_P(JobStoreTest, RenewedLeasesAreNotRescued) {
  Add(New());
  const LeasedJob leased = ClaimOne();
  for (int i = 0; i < 10; ++i) {
    clock_.Advance(seconds(10));
    EXPECT_THAT(*store_->Renew(HostId("h1"), {{leased.fence}}, Soon()), SizeIs(1));
    EXPECT_EQ(Sweep().rescued, 0U);
  }
  EXPECT_TRUE(Succeed(leased.fence));
}

TEST_P(JobStoreTest, AJobThatKillsTwoHostsIsQuarantined) {
  NewJob job = New();
  job.webhook = WebhookTarget{.url = "https://example.com/hook", .secret = "whsec_x"};
  const JobId id = Add(job);
  ClaimOne("h1");
  clock_.Advance(seconds(31));
  EXPECT_EQ(Sweep().rescued, 1U);
  ClaimOne("h2");
  clock_.Advance(seconds(31));

  EXPECT_EQ(Sweep().quarantined, 1U);

  EXPECT_EQ(Get(id).state, JobState::kFailed);
  EXPECT_EQ(Get(id).error->reason, "job_quarantined");
  EXPECT_THAT(Claim(), IsEmpty());
  EXPECT_THAT(Query("SELECT event FROM job_outbox"), ElementsAre("job.failed"));
}

TEST_P(JobStoreTest, ARetryWaitsAndKeepsTheCrashBudget) {
  const JobId id = Add(New());
  const LeasedJob first = ClaimOne();
  EXPECT_TRUE(End({.fence = first.fence,
                   .kind = RunEnd::Kind::kRetry,
                   .error = {"engine_busy", "busy"},
                   .run_after = clock_.WallNow() + seconds(1)}));
  EXPECT_EQ(Get(id).state, JobState::kScheduled);
  EXPECT_EQ(Get(id).error->message, "busy");
  EXPECT_THAT(Claim(), IsEmpty());
  EXPECT_EQ(Sweep().due, 0U);

  clock_.Advance(seconds(1));
  EXPECT_EQ(Sweep().due, 1U);
  const LeasedJob second = ClaimOne();

  EXPECT_EQ(second.fence.attempt, 2);
  EXPECT_EQ(second.errors, 1);
  EXPECT_EQ(Get(id).crashes, 0);
}

TEST_P(JobStoreTest, AStoppingHostGivesItsJobsBackUncounted) {
  const JobId id = Add(New());
  EXPECT_TRUE(End({.fence = ClaimOne().fence, .kind = RunEnd::Kind::kReleased}));
  EXPECT_EQ(ClaimOne("h2").fence.attempt, 2);
  EXPECT_EQ(Get(id).errors, 0);
  EXPECT_EQ(Get(id).crashes, 0);
}

TEST_P(JobStoreTest, ACheckpointIsThereForTheNextAttempt) {
  Add(New());
  const LeasedJob first = ClaimOne();
  EXPECT_TRUE(*store_->SaveCheckpoint(first.fence, R"({"shots":[1,2]})", Soon()));
  clock_.Advance(seconds(31));
  Sweep();
  EXPECT_EQ(ClaimOne("h2").checkpoint, R"({"shots":[1,2]})");
}

TEST_P(JobStoreTest, CancellingAWaitingJobEndsItAtOnce) {
  NewJob job = New();
  job.webhook = WebhookTarget{.url = "https://example.com/hook", .secret = ""};
  const JobId id = Add(job);

  EXPECT_EQ(*store_->Cancel(TenantId("a"), id, Soon()), JobState::kCancelled);

  EXPECT_THAT(Claim(), IsEmpty());
  EXPECT_THAT(Query("SELECT event, url FROM job_outbox"),
              ElementsAre("job.cancelled|https://example.com/hook"));
}

TEST_P(JobStoreTest, CancellingARunningJobIsToldWithTheLease) {
  const JobId id = Add(New());
  const LeasedJob leased = ClaimOne();

  EXPECT_EQ(*store_->Cancel(TenantId("a"), id, Soon()), JobState::kRunning);
  const auto renewed = store_->Renew(HostId("h1"), {{leased.fence}}, Soon());
  ASSERT_THAT(*renewed, SizeIs(1));
  EXPECT_TRUE((*renewed)[0].cancel_requested);

  EXPECT_TRUE(End({.fence = leased.fence, .kind = RunEnd::Kind::kCancelled}));
  EXPECT_EQ(Get(id).state, JobState::kCancelled);
}

TEST_P(JobStoreTest, ACancelledJobWhoseHostVanishedIsCancelledNotRunAgain) {
  const JobId id = Add(New());
  ClaimOne();
  ASSERT_TRUE(store_->Cancel(TenantId("a"), id, Soon()).ok());
  clock_.Advance(seconds(31));
  Sweep();
  EXPECT_EQ(Get(id).state, JobState::kCancelled);
}

TEST_P(JobStoreTest, OtherTenantsSeeAndChangeNothing) {
  const JobId id = Add(New("a"));
  EXPECT_EQ(store_->Cancel(TenantId("b"), id, Soon()).error().reason(), "job_unknown");
  EXPECT_EQ(store_->Retry(TenantId("b"), id, Soon()).error().reason(), "job_unknown");
  EXPECT_EQ(reader_->Get(TenantId("b"), id, Soon()).error().reason(), "job_unknown");
  EXPECT_THAT(reader_->List({.tenant = TenantId("b")}, Soon())->jobs, IsEmpty());
  EXPECT_EQ(Get(id).state, JobState::kQueued);
}

TEST_P(JobStoreTest, WhatWaitedPastItsDeadlineFails) {
  NewJob job = New();
  job.deadline = clock_.WallNow() + seconds(5);
  const JobId id = Add(job);
  clock_.Advance(seconds(4));
  EXPECT_EQ(Sweep().expired, 0U);
  clock_.Advance(seconds(1));
  EXPECT_EQ(Sweep().expired, 1U);
  EXPECT_EQ(Get(id).error->reason, "deadline_exceeded");
}

TEST_P(JobStoreTest, AKeyThatComesAgainGivesTheSameJob) {
  NewJob job = New();
  job.idempotency_key = "k";
  job.fingerprint = "f1";
  const std::vector<NewJob> twice = {job, job};
  const auto first = store_->Enqueue(twice, Soon());
  ASSERT_TRUE(first.ok());
  EXPECT_FALSE((*first)[0]->replayed);
  EXPECT_TRUE((*first)[1]->replayed);
  EXPECT_EQ((*first)[0]->id, (*first)[1]->id);

  const auto again = store_->Enqueue({&job, 1}, Soon());
  EXPECT_EQ((*again)[0]->id, (*first)[0]->id);
  EXPECT_TRUE((*again)[0]->replayed);
  EXPECT_THAT(Claim(10), SizeIs(1));

  job.tenant = TenantId("b");
  EXPECT_FALSE((*store_->Enqueue({&job, 1}, Soon()))[0]->replayed) << "keys are the tenant's own";
}

TEST_P(JobStoreTest, AKeyWithAnotherRequestIsRefusedUntilItExpires) {
  NewJob job = New();
  job.idempotency_key = "k";
  job.fingerprint = "f1";
  Add(job);
  job.fingerprint = "f2";

  const auto other = store_->Enqueue({&job, 1}, Soon());
  EXPECT_EQ((*other)[0].error().reason(), "idempotency_mismatch");
  EXPECT_THAT((*other)[0].error().message(), HasSubstr("'k'"));

  clock_.Advance(std::chrono::hours(25));
  EXPECT_FALSE((*store_->Enqueue({&job, 1}, Soon()))[0]->replayed);
}

TEST_P(JobStoreTest, TheNextJobsAreFoundWithoutSortingTheQueue) {
  ASSERT_TRUE(store_->Enqueue(std::vector<NewJob>(2000, New()), Soon()).ok());
  const bool postgres = GetParam() == storage::SqlDialect::kPostgres;
  const std::string explain = postgres ? "EXPLAIN " : "EXPLAIN QUERY PLAN ";

  std::string plan;
  for (const std::string& line :
       Query(explain + "SELECT id FROM jobs WHERE state = 'queued' ORDER BY lane, start_tag, id LIMIT 10"))
    plan += line + "\n";

  EXPECT_THAT(plan,
              HasSubstr(postgres ? "using jobs_default_lane_start_tag_id_idx" : "USING INDEX jobs_queued"));
  EXPECT_THAT(plan, Not(AnyOf(HasSubstr("Sort"), HasSubstr("TEMP B-TREE"))));
}

TEST_P(JobStoreTest, HigherTiersGoFirst) {
  const JobId free = Add(New("a", Tier::kFree));
  const JobId urgent = Add(New("a", Tier::kUrgent));
  const JobId paid = Add(New("a", Tier::kPaid));

  EXPECT_EQ(ClaimOne().fence.id, paid);
  EXPECT_EQ(ClaimOne().fence.id, urgent);
  EXPECT_EQ(ClaimOne().fence.id, free);
}

TEST_P(JobStoreTest, WaitingLongMovesUpATierAtATime) {
  const JobId old = Add(New("a", Tier::kFree));
  clock_.Advance(minutes(5));
  EXPECT_EQ(Sweep().promoted, 1U);
  const JobId urgent = Add(New("b", Tier::kUrgent));
  const JobId paid = Add(New("b", Tier::kPaid));

  EXPECT_EQ(ClaimOne().fence.id, paid);
  EXPECT_EQ(ClaimOne().fence.id, old) << "level with urgent ones, and there before";
  EXPECT_EQ(ClaimOne().fence.id, urgent);
  EXPECT_EQ(Get(old).tier, Tier::kFree) << "what was paid for does not change";
}

TEST_P(JobStoreTest, TenantsShareATierByWeightAndCost) {
  std::vector<NewJob> jobs;
  for (int i = 0; i < 90; ++i) jobs.push_back(New("heavy", Tier::kPaid, 2));
  for (int i = 0; i < 90; ++i) jobs.push_back(New("light", Tier::kPaid, 1));
  NewJob weighty = New("weighty", Tier::kPaid, 1);
  weighty.weight = 2;
  for (int i = 0; i < 90; ++i) jobs.push_back(weighty);
  ASSERT_TRUE(store_->Enqueue(jobs, Soon()).ok());

  std::map<std::string, int> taken;
  for (int i = 0; i < 70; ++i) ++taken[ClaimOne().tenant.str()];

  EXPECT_NEAR(taken["heavy"], 10, 1);
  EXPECT_NEAR(taken["light"], 20, 1);
  EXPECT_NEAR(taken["weighty"], 40, 1);
}

TEST_P(JobStoreTest, ATenantThatComesBackStartsLevelNotAhead) {
  for (int i = 0; i < 20; ++i) Add(New("busy"));
  Claim(10);
  for (int i = 0; i < 10; ++i) Add(New("back"));

  std::map<std::string, int> taken;
  for (const LeasedJob& job : Claim(10)) ++taken[job.tenant.str()];

  EXPECT_NEAR(taken["back"], 5, 1);
  EXPECT_NEAR(taken["busy"], 5, 1);
}

TEST_P(JobStoreTest, AHostLeavesJobsOfColdModelsToOthersForAWhile) {
  NewJob cold = New();
  cold.model = "cold";
  const JobId waits = Add(cold);
  NewJob warm = New();
  warm.model = "warm";
  const JobId taken = Add(warm);
  const JobStore::ClaimRequest request = {.host = HostId("h1"), .limit = 2, .warm_models = {"warm"}};

  const auto first = store_->Claim(request, Soon());
  ASSERT_THAT(*first, SizeIs(1));
  EXPECT_EQ((*first)[0].fence.id, taken);

  clock_.Advance(seconds(3));
  const auto second = store_->Claim(request, Soon());
  ASSERT_THAT(*second, SizeIs(1));
  EXPECT_EQ((*second)[0].fence.id, waits);
}

TEST_P(JobStoreTest, ResultUsageAndWebhookAreWrittenTogetherOnce) {
  NewJob job = New();
  job.webhook = WebhookTarget{.url = "https://example.com/hook", .secret = "whsec_x"};
  const JobId id = Add(job);
  const LeasedJob leased = ClaimOne();
  RunEnd end{.fence = leased.fence, .result = R"({"n":1})", .device_time = std::chrono::milliseconds(1500)};

  EXPECT_TRUE(End(end));
  EXPECT_FALSE(End(end));

  EXPECT_THAT(Query("SELECT job_id, attempt, device_us FROM job_usage"),
              ElementsAre(id.str() + "|1|1500000"));
  const auto outbox = Query("SELECT id, event, body FROM job_outbox");
  ASSERT_THAT(outbox, SizeIs(1));
  EXPECT_THAT(outbox[0],
              HasSubstr("evt_" + id.str() + "_succeeded|job.succeeded|{\"type\":\"job.succeeded\""));
  EXPECT_THAT(outbox[0], HasSubstr(R"("result":{"n":1})"));
}

TEST_P(JobStoreTest, AJobKnowsWhoseKeyQueuedIt) {
  NewJob job = New();
  job.project = ProjectId("shop");
  job.key = KeyId("k1");
  const JobId id = Add(job);
  ASSERT_TRUE(store_->Cancel(TenantId("a"), id, Soon()).ok());
  Add(New());

  const LeasedJob nobodys = ClaimOne();
  EXPECT_EQ(nobodys.project.str() + nobodys.key.str(), "");

  ASSERT_TRUE(store_->Retry(TenantId("a"), id, Soon()).ok());
  const LeasedJob same = ClaimOne();
  EXPECT_EQ(same.project.str() + "/" + same.key.str(), "shop/k1");

  const tenancy::Caller other{.project = ProjectId("lab"), .key = KeyId("k2")};
  ASSERT_TRUE(store_->Retry(TenantId("a"), id, Soon(), &other).ok());
  const LeasedJob others = ClaimOne();
  EXPECT_EQ(others.project.str() + "/" + others.key.str(), "lab/k2");
}

TEST_P(JobStoreTest, EndsWithoutARunAreToldOnce) {
  std::vector<std::string> told;
  JobStore::Options options;
  options.retry.max_crashes = 1;
  options.on_runless_end = [&told](const RunlessEnd& end) {
    told.push_back(end.tenant.str() + "/" + end.project.str() + "/" + end.key.str() + "/" + end.model + " " +
                   std::string(StateName(end.state)));
  };
  store_ = std::make_unique<JobStore>(options, *db_, clock_);
  NewJob job = New();
  job.project = ProjectId("shop");
  job.key = KeyId("k1");

  const JobId waiting = Add(job);
  ASSERT_TRUE(store_->Cancel(TenantId("a"), waiting, Soon()).ok());
  ASSERT_TRUE(store_->Cancel(TenantId("a"), waiting, Soon()).ok());
  EXPECT_THAT(told, ElementsAre("a/shop/k1/m cancelled"));
  told.clear();

  NewJob late = job;
  late.deadline = clock_.WallNow() + seconds(5);
  Add(late);
  clock_.Advance(seconds(6));
  Sweep();
  Sweep();
  EXPECT_THAT(told, ElementsAre("a/shop/k1/m failed"));
  told.clear();

  Add(job);
  const LeasedJob lost = ClaimOne();
  clock_.Advance(seconds(60));
  EXPECT_EQ(Sweep().quarantined, 1U);
  EXPECT_FALSE(Succeed(lost.fence));
  EXPECT_THAT(told, ElementsAre("a/shop/k1/m failed"));
  told.clear();

  Add(job);
  EXPECT_TRUE(Succeed(ClaimOne().fence));
  EXPECT_THAT(told, IsEmpty()) << "its run is charged with it";
}

TEST_P(JobStoreTest, OnlyEndedJobsCanBeRetriedAndAsNewOnes) {
  const JobId id = Add(New());
  EXPECT_EQ(store_->Retry(TenantId("a"), id, Soon()).error().reason(), "job_not_ended");
  ASSERT_TRUE(store_->Cancel(TenantId("a"), id, Soon()).ok());

  const auto again = store_->Retry(TenantId("a"), id, Soon());

  ASSERT_TRUE(again.ok());
  EXPECT_NE(*again, id);
  EXPECT_EQ(ClaimOne().fence.id, *again);
  EXPECT_EQ(Get(id).state, JobState::kCancelled);
}

TEST_P(JobStoreTest, ListsByCursorInBothDirections) {
  std::vector<std::string> ids;
  for (int i = 0; i < 5; ++i) {
    ids.push_back(Add(New()).str());
    clock_.Advance(std::chrono::milliseconds(2));
  }
  Add(New("other"));

  std::vector<std::string> newest;
  JobReader::ListRequest request = {.tenant = TenantId("a"), .limit = 2};
  for (bool more = true; more;) {
    const auto page = reader_->List(request, Soon());
    ASSERT_TRUE(page.ok());
    for (const Job& job : page->jobs) newest.push_back(job.id.str());
    more = page->has_more;
    request.after = page->jobs.back().id;
  }
  EXPECT_THAT(newest, ElementsAre(ids[4], ids[3], ids[2], ids[1], ids[0]));

  const auto oldest = reader_->List({.tenant = TenantId("a"), .limit = 1, .newest_first = false}, Soon());
  EXPECT_EQ(oldest->jobs[0].id.str(), ids[0]);
  EXPECT_TRUE(oldest->has_more);
  EXPECT_THAT(reader_->List({.tenant = TenantId("a"), .state = JobState::kRunning}, Soon())->jobs, IsEmpty());
}

TEST_P(JobStoreTest, DepthsCountWhatWaitsByLane) {
  Add(New("a", Tier::kPaid));
  Add(New("a", Tier::kFree));
  Add(New("a", Tier::kFree));

  const auto depths = reader_->Depths(1000, Soon());

  ASSERT_THAT(*depths, SizeIs(3));
  EXPECT_EQ((*depths)[0].queued, 1U);
  EXPECT_EQ((*depths)[1].queued, 0U);
  EXPECT_EQ((*depths)[2].queued, 2U);
  EXPECT_TRUE((*depths)[2].oldest.has_value());
  EXPECT_FALSE((*depths)[1].oldest.has_value());
}

TEST_P(JobStoreTest, WhatWaitsIsCountedByTenantAndModel) {
  Add(New("a"));
  Add(New("a"));
  Add(New("b"));
  NewJob other = New("b");
  other.model = "n";
  Add(other);
  NewJob later = New("c");
  later.run_after = clock_.WallNow() + std::chrono::hours(1);
  Add(later);
  const LeasedJob running = ClaimOne();

  const auto waiting = reader_->WaitingByTenant(Soon());

  std::vector<std::string> found;
  for (const auto& row : *waiting)
    found.push_back(row.tenant.str() + " " + row.model + " " + std::to_string(row.queued));
  const std::string of_a = running.tenant.str() == "a" ? "a m 1" : "a m 2";
  EXPECT_THAT(found, ::testing::UnorderedElementsAre(of_a, "b m 1", "b n 1"));
}

TEST_P(JobStoreTest, OnlyEndedJobsOfTheTenantCanBeForgotten) {
  const JobId waiting = Add(New());
  const JobId ended = Add(New());
  ASSERT_TRUE(store_->Cancel(TenantId("a"), ended, Soon()).ok());

  EXPECT_EQ(store_->Delete(TenantId("a"), waiting, Soon()).error().reason(), "job_not_ended");
  EXPECT_EQ(store_->Delete(TenantId("b"), ended, Soon()).error().reason(), "job_unknown");
  EXPECT_TRUE(store_->Delete(TenantId("a"), ended, Soon()).ok());
  EXPECT_EQ(store_->Delete(TenantId("a"), ended, Soon()).error().reason(), "job_unknown");
  EXPECT_EQ(Get(waiting).state, JobState::kQueued);
}

INSTANTIATE_TEST_SUITE_P(Databases, JobStoreTest, BothDatabases(), DatabaseName);

}  // namespace
}  // namespace mezzo::jobs
