#include "mezzo/jobs/webhook_store.h"

#include <set>
#include <string>
#include <thread>
#include <vector>

#include "webhook_fixture.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mezzo::jobs {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using storage::SqlDialect;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

constexpr WebhookSchedule::Decision kDelivered = {.verdict = WebhookVerdict::kDelivered};
constexpr WebhookSchedule::Decision kIn5s = {.verdict = WebhookVerdict::kRetry, .delay = seconds(5)};
constexpr WebhookSchedule::Decision kFailed = {.verdict = WebhookVerdict::kFailed};
constexpr WebhookSchedule::Decision kGone = {.verdict = WebhookVerdict::kGone};

class WebhookStoreTest : public WebhookTest, public ::testing::WithParamInterface<SqlDialect> {
 protected:
  WebhookStoreTest() : WebhookTest(GetParam()) {}

  WebhookStore::Claimed Claim(const WebhookSlots& slots = WebhookSlots({})) {
    auto claimed = store_->Claim(HostId("h1"), slots, Soon());
    EXPECT_TRUE(claimed.ok()) << claimed.error().ToString();
    return std::move(*claimed);
  }
  DueWebhook ClaimOne() {
    const auto claimed = Claim();
    EXPECT_THAT(claimed.due, SizeIs(1));
    return claimed.due.empty() ? DueWebhook{} : claimed.due[0];
  }
  bool Mark(const DueWebhook& due, const WebhookSchedule::Decision& decision,
            const std::string& answer = "HTTP 200") {
    const auto held = store_->Mark(due.fence, decision, answer, Soon());
    EXPECT_TRUE(held.ok()) << held.error().ToString();
    return held.ok() && *held;
  }
  static std::vector<std::string> UrlsOf(const WebhookStore::Claimed& claimed) {
    std::vector<std::string> urls;
    for (const DueWebhook& due : claimed.due) urls.push_back(due.url);
    return urls;
  }
  void Replay(const WebhookId& id, const std::string& tenant = "ann") {
    const auto replayed = store_->Replay(TenantId(tenant), id, Soon());
    EXPECT_TRUE(replayed.ok()) << replayed.error().ToString();
  }
};

INSTANTIATE_TEST_SUITE_P(On, WebhookStoreTest, BothDatabases(), DatabaseName);

TEST_P(WebhookStoreTest, AnEventIsClaimedOnceAndIsDelivered) {
  const WebhookId id = Add("https://a/hook", "ann", "whsec_x");
  const DueWebhook due = ClaimOne();
  EXPECT_EQ(due.fence.id, id);
  EXPECT_EQ(due.round_tries(), 1);
  EXPECT_EQ(due.tenant, TenantId("ann"));
  EXPECT_EQ(due.url, "https://a/hook");
  EXPECT_EQ(due.secret, "whsec_x");
  EXPECT_THAT(due.body, ::testing::StartsWith(R"({"type":"job.cancelled")"));
  EXPECT_THAT(Claim().due, IsEmpty());

  EXPECT_TRUE(Mark(due, kDelivered));
  clock_.Advance(hours(1));
  EXPECT_THAT(Claim().due, IsEmpty());
  EXPECT_EQ(Get(id).state, WebhookState::kDelivered);
  EXPECT_EQ(Get(id).last_answer, "HTTP 200");
  EXPECT_EQ(Get(id).due, std::nullopt);
}

TEST_P(WebhookStoreTest, AFailedTryIsMadeAgainWhenItIsDueAndNotBefore) {
  const WebhookId id = Add("https://a/hook");
  EXPECT_TRUE(Mark(ClaimOne(), kIn5s, "HTTP 503"));
  EXPECT_EQ(Get(id).last_answer, "HTTP 503");
  EXPECT_EQ(Get(id).due, clock_.WallNow() + seconds(5));

  clock_.Advance(seconds(4));
  EXPECT_THAT(Claim().due, IsEmpty());
  clock_.Advance(seconds(1));
  const DueWebhook second = ClaimOne();
  EXPECT_EQ(second.fence.id, id);
  EXPECT_EQ(second.round_tries(), 2);
}

TEST_P(WebhookStoreTest, WhatItsSenderLeftIsSentAgainAndThatSenderCountsNoMore) {
  Add("https://a/hook");
  const DueWebhook lost = ClaimOne();
  clock_.Advance(seconds(59));
  EXPECT_THAT(Claim().due, IsEmpty());
  clock_.Advance(seconds(1));
  const DueWebhook held = ClaimOne();
  EXPECT_EQ(held.fence.id, lost.fence.id);

  EXPECT_FALSE(Mark(lost, kFailed));
  EXPECT_EQ(Get(held.fence.id).state, WebhookState::kPending);
  EXPECT_TRUE(Mark(held, kDelivered));
  EXPECT_FALSE(Mark(lost, kFailed));
  EXPECT_EQ(Get(held.fence.id).state, WebhookState::kDelivered);
}

TEST_P(WebhookStoreTest, AClaimFindsWhatStandsBehindABusyEndpointAndLeavesAClosedOne) {
  for (int i = 0; i < 20; ++i) {
    Add("https://busy/" + std::to_string(i));
    clock_.Advance(std::chrono::milliseconds(1));
  }
  clock_.Advance(seconds(1));
  Add("https://quick/hook");
  WebhookSlots slots({.total = 6, .per_endpoint = 2, .per_tenant = 6});

  const auto first = Claim(slots);
  EXPECT_THAT(UrlsOf(first), UnorderedElementsAre("https://busy/0", "https://busy/1", "https://quick/hook"));
  EXPECT_TRUE(first.more);
  for (const DueWebhook& due : first.due) EXPECT_TRUE(slots.TryTake(due.tenant, due.url));

  Add("https://quick/again");
  const auto second = Claim(slots);
  EXPECT_THAT(UrlsOf(second), ElementsAre("https://quick/again"));
  EXPECT_FALSE(second.more);
}

TEST_P(WebhookStoreTest, EndpointsTakeTurnsByWhoHasWaitedLongest) {
  for (const std::string endpoint : {"https://zebra/", "https://ape/"}) {
    for (int i = 0; i < 5; ++i) {
      Add(endpoint + std::to_string(i));
      clock_.Advance(std::chrono::milliseconds(1));
    }
  }

  const auto claimed = Claim(WebhookSlots({.total = 3, .per_endpoint = 2, .per_tenant = 3}));

  EXPECT_THAT(UrlsOf(claimed), UnorderedElementsAre("https://zebra/0", "https://zebra/1", "https://ape/0"));
  EXPECT_TRUE(claimed.more);
}

TEST_P(WebhookStoreTest, AClosedTenantDoesNotCloseOneWhoseNameBeginsAlike) {
  Add("https://a/hook", "ann");
  const WebhookId other = Add("https://a/hook", "anna");
  WebhookSlots slots({.total = 4, .per_endpoint = 1, .per_tenant = 1});
  ASSERT_TRUE(slots.TryTake(TenantId("ann"), "https://x"));

  const auto claimed = Claim(slots);

  ASSERT_THAT(claimed.due, SizeIs(1));
  EXPECT_EQ(claimed.due[0].fence.id, other);
}

TEST_P(WebhookStoreTest, NothingMoreIsSentToAUrlOfATenantThatIsGone) {
  const WebhookId asked = Add("https://a/hook");
  EXPECT_TRUE(Mark(ClaimOne(), kGone, "HTTP 410"));
  const WebhookId late = Add("https://a/hook");
  const WebhookId elsewhere = Add("https://a/other");
  const WebhookId other = Add("https://a/hook", "bob");

  const auto claimed = Claim();

  EXPECT_THAT(claimed.gone, ElementsAre(late));
  std::set<WebhookId> due;
  for (const DueWebhook& one : claimed.due) due.insert(one.fence.id);
  EXPECT_EQ(due, (std::set{elsewhere, other}));
  EXPECT_EQ(Get(asked).state, WebhookState::kGone);
  EXPECT_EQ(Get(late).state, WebhookState::kGone);
  EXPECT_EQ(Get(late).tries, 0);
}

TEST_P(WebhookStoreTest, AReplayOpensAGoneUrlAndKeepsTheId) {
  const WebhookId id = Add("https://a/hook");
  EXPECT_TRUE(Mark(ClaimOne(), kGone, "HTTP 410"));

  Replay(id);

  const DueWebhook again = ClaimOne();
  EXPECT_EQ(again.fence.id, id);
  EXPECT_EQ(again.round_tries(), 1);
  EXPECT_EQ(again.fence.tries, 2);
  EXPECT_TRUE(Mark(again, kDelivered));
  Add("https://a/hook");
  EXPECT_THAT(Claim().due, SizeIs(1));
}

TEST_P(WebhookStoreTest, AReplayDuringATryIsNotUndoneByItsOutcome) {
  const WebhookId id = Add("https://a/hook");
  const DueWebhook running = ClaimOne();
  Replay(id);

  EXPECT_FALSE(Mark(running, kFailed));

  EXPECT_EQ(ClaimOne().fence.id, id);
}

TEST_P(WebhookStoreTest, OtherTenantsSeeAndReplayNothing) {
  const WebhookId id = Add("https://a/hook", "ann");
  const auto replayed = store_->Replay(TenantId("bob"), id, Soon());
  ASSERT_FALSE(replayed.ok());
  EXPECT_EQ(replayed.error().reason(), "webhook_unknown");
  EXPECT_THAT(store_->List({.tenant = TenantId("bob")}, Soon())->events, IsEmpty());
}

TEST_P(WebhookStoreTest, ListsNewestFirstByPageStateAndJob) {
  std::vector<WebhookId> ids;
  for (int i = 0; i < 3; ++i) {
    ids.push_back(Add("https://a/" + std::to_string(i)));
    clock_.Advance(std::chrono::milliseconds(2));
  }
  const auto claimed = Claim();
  ASSERT_THAT(claimed.due, SizeIs(3));
  EXPECT_TRUE(Mark(claimed.due[0], kFailed, "HTTP 400"));

  const auto first = store_->List({.tenant = TenantId("ann"), .limit = 2}, Soon());
  ASSERT_THAT(first->events, SizeIs(2));
  EXPECT_TRUE(first->has_more);
  EXPECT_EQ(first->events[0].id, ids[2]);
  const auto second =
      store_->List({.tenant = TenantId("ann"), .after = first->events[1].id, .limit = 2}, Soon());
  ASSERT_THAT(second->events, SizeIs(1));
  EXPECT_FALSE(second->has_more);
  EXPECT_EQ(second->events[0].id, ids[0]);

  const auto failed = store_->List({.tenant = TenantId("ann"), .state = WebhookState::kFailed}, Soon());
  ASSERT_THAT(failed->events, SizeIs(1));
  EXPECT_EQ(failed->events[0].id, claimed.due[0].fence.id);
  const auto of_job = store_->List({.tenant = TenantId("ann"), .job = claimed.due[1].job}, Soon());
  ASSERT_THAT(of_job->events, SizeIs(1));
  EXPECT_EQ(of_job->events[0].id, claimed.due[1].fence.id);
  EXPECT_EQ(of_job->events[0].type, "job.cancelled");
}

TEST_P(WebhookStoreTest, PruningDeletesWhatEndedLongAgoAndNothingThatWaits) {
  const WebhookId ended = Add("https://a/1");
  EXPECT_TRUE(Mark(ClaimOne(), kGone));
  const WebhookId waiting = Add("https://a/2");
  clock_.Advance(hours(49));
  const WebhookId fresh = Add("https://a/3");
  const auto claimed = Claim();
  for (const DueWebhook& due : claimed.due) {
    if (due.fence.id == fresh) EXPECT_TRUE(Mark(due, kDelivered));
  }

  const auto pruned = store_->Prune(hours(48), 100, Soon());

  ASSERT_TRUE(pruned.ok()) << pruned.error().ToString();
  EXPECT_EQ(*pruned, 1U);
  EXPECT_EQ(Get(waiting).state, WebhookState::kPending);
  EXPECT_EQ(Get(fresh).state, WebhookState::kDelivered);
  EXPECT_EQ(store_->Replay(TenantId("ann"), ended, Soon()).error().reason(), "webhook_unknown");
  Add("https://a/1");
  EXPECT_THAT(Claim().gone, IsEmpty()) << "a URL that was gone long ago gets another chance";
}

TEST_P(WebhookStoreTest, TheBacklogCountsWhatWaitsForASender) {
  EXPECT_EQ(store_->Due(100, Soon())->due, 0U);
  EXPECT_EQ(store_->Due(100, Soon())->oldest_wait, Duration::zero());
  Add("https://a/1");
  EXPECT_TRUE(Mark(ClaimOne(), kIn5s));
  EXPECT_EQ(store_->Due(100, Soon())->due, 0U);
  clock_.Advance(seconds(7));
  Add("https://a/2");

  const auto backlog = store_->Due(100, Soon());

  EXPECT_EQ(backlog->due, 2U);
  EXPECT_EQ(backlog->oldest_wait, seconds(2));
}

TEST_P(WebhookStoreTest, HostsThatClaimAtOnceShareTheEventsOut) {
  constexpr std::size_t kEvents = 120;
  for (std::size_t i = 0; i < kEvents; ++i)
    Add("https://a/" + std::to_string(i), "t" + std::to_string(i % 10));
  std::vector<std::vector<WebhookId>> taken(4);
  std::vector<std::thread> hosts;
  for (std::size_t host = 0; host < taken.size(); ++host) {
    hosts.emplace_back([this, host, &taken] {
      // A claim may find all it looked at locked by others: then it comes again.
      for (int i = 0; i < 60; ++i) {
        const auto claimed =
            store_->Claim(HostId("h" + std::to_string(host)), WebhookSlots({.total = 8}), Soon());
        ASSERT_TRUE(claimed.ok()) << claimed.error().ToString();
        for (const DueWebhook& due : claimed->due) taken[host].push_back(due.fence.id);
      }
    });
  }
  for (std::thread& host : hosts) host.join();

  std::set<WebhookId> distinct;
  std::size_t count = 0;
  for (const auto& ids : taken) {
    distinct.insert(ids.begin(), ids.end());
    count += ids.size();
  }
  EXPECT_EQ(distinct.size(), kEvents);
  EXPECT_EQ(count, kEvents);
}

TEST(WebhookState, HasTheNamesOfTheDatabase) {
  for (const auto* name : {"pending", "delivered", "failed", "gone"})
    EXPECT_EQ(WebhookStateName(*ParseWebhookState(name)), name);
  EXPECT_EQ(ParseWebhookState("lost").error().reason(), "webhook_state_unknown");
}

}  // namespace
}  // namespace mezzo::jobs
