#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "mezzo/storage/testing/sql_db_fixture.h"

namespace mezzo::storage::testing {

/// Who is told what, and when.
template <typename Harness>
class SqlNotifySuite : public SqlDbFixture<Harness> {
 protected:
  /// Listens and waits until listening has begun.
  std::shared_ptr<void> Listen(const std::string& channel, Inbox& inbox) {
    auto subscription = this->db().Listen(channel, inbox.Listener());
    EXPECT_THAT(inbox.Until(""), ::testing::Contains(""));
    inbox.Clear();
    return subscription;
  }
  Result<void> Notify(const std::string& channel, const std::string& payload) {
    return this->db().Transact([&](SqlSession& session) { return session.Notify({channel, payload}); },
                               this->Soon());
  }
};
TYPED_TEST_SUITE_P(SqlNotifySuite);

TYPED_TEST_P(SqlNotifySuite, TellsAfterTheCommitInOrder) {
  Inbox inbox;
  const auto subscription = this->Listen("jobs", inbox);
  for (const std::string payload : {"one", "two", "grüße 🎈"}) {
    EXPECT_EQ(Reason(this->Notify("jobs", payload)), "");
  }
  EXPECT_THAT(inbox.Until("grüße 🎈"), ::testing::ElementsAre("one", "two", "grüße 🎈"));
}

TYPED_TEST_P(SqlNotifySuite, TellsNobodyBeforeTheCommitOrAfterARollback) {
  Inbox inbox;
  const auto subscription = this->Listen("jobs", inbox);
  const auto failed = this->db().Transact(
      [&](SqlSession& session) -> Result<void> {
        MEZZO_TRY_VOID(session.Notify({"jobs", "never"}));
        return NotFound("model_unknown", "rolls back");
      },
      this->Soon());
  EXPECT_EQ(Reason(failed), "model_unknown");
  std::vector<std::string> early;
  EXPECT_EQ(Reason(this->db().Transact(
                [&](SqlSession& session) -> Result<void> {
                  MEZZO_TRY_VOID(session.Notify({"jobs", "kept"}));
                  std::this_thread::sleep_for(std::chrono::milliseconds(50));
                  early = inbox.Now();
                  return {};
                },
                this->Soon())),
            "");
  EXPECT_THAT(early, ::testing::IsEmpty());
  EXPECT_THAT(inbox.Until("kept"), ::testing::ElementsAre("kept"));
}

TYPED_TEST_P(SqlNotifySuite, TransactAllNotifiesWithItsCommit) {
  ASSERT_EQ(Reason(this->Script("CREATE TABLE item (id BIGINT PRIMARY KEY);")), "");
  Inbox inbox;
  const auto subscription = this->Listen("jobs", inbox);
  const std::vector<SqlStatement> insert = {{"INSERT INTO item (id) VALUES ($1)", {1}}};
  const std::vector<SqlNotification> wake = {{"jobs", "first"}, {"jobs", "second"}};
  EXPECT_EQ(Reason(this->db().TransactAll(insert, wake, this->Soon())), "");
  EXPECT_THAT(inbox.Until("second"), ::testing::ElementsAre("first", "second"));

  const std::vector<SqlNotification> in_vain = {{"jobs", "of a failure"}};
  EXPECT_EQ(Reason(this->db().TransactAll(insert, in_vain, this->Soon())), "sql_unique");
  EXPECT_EQ(Reason(this->Notify("jobs", "last")), "");
  EXPECT_THAT(inbox.Until("last"), ::testing::ElementsAre("first", "second", "last"));
}

TYPED_TEST_P(SqlNotifySuite, ChannelsAndListenersAreApart) {
  Inbox jobs;
  Inbox jobs_too;
  Inbox models;
  const auto first = this->Listen("jobs", jobs);
  const auto second = this->Listen("jobs", jobs_too);
  const auto third = this->Listen("models", models);
  EXPECT_EQ(Reason(this->Notify("jobs", "j")), "");
  EXPECT_EQ(Reason(this->Notify("models", "m")), "");
  EXPECT_THAT(jobs.Until("j"), ::testing::ElementsAre("j"));
  EXPECT_THAT(jobs_too.Until("j"), ::testing::ElementsAre("j"));
  EXPECT_THAT(models.Until("m"), ::testing::ElementsAre("m"));
}

TYPED_TEST_P(SqlNotifySuite, EndedSubscriptionHearsNothing) {
  Inbox ended;
  Inbox other;
  auto subscription = this->Listen("jobs", ended);
  const auto other_subscription = this->Listen("jobs", other);
  subscription.reset();
  EXPECT_EQ(Reason(this->Notify("jobs", "x")), "");
  EXPECT_THAT(other.Until("x"), ::testing::ElementsAre("x"));
  EXPECT_THAT(ended.Now(), ::testing::IsEmpty());
}

TYPED_TEST_P(SqlNotifySuite, EndingWaitsForTheRunningCall) {
  std::atomic<bool> entered{false};
  std::atomic<bool> left{false};
  auto subscription = this->db().Listen("jobs", [&](std::string_view) {
    entered = true;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    left = true;
  });
  while (!entered) std::this_thread::yield();
  subscription.reset();
  EXPECT_TRUE(left);
}

TYPED_TEST_P(SqlNotifySuite, SubscriptionMayEndInItsOwnCall) {
  std::shared_ptr<void> subscription;
  Mutex mu;  // Orders the assignment and the reset.
  Inbox done;
  {
    MutexLock lock(mu);
    subscription = this->db().Listen("jobs", [&, tell = done.Listener()](std::string_view) {
      {
        MutexLock lock_again(mu);
        subscription.reset();
      }
      tell("ended");
    });
  }
  EXPECT_THAT(done.Until("ended"), ::testing::ElementsAre("ended"));
}

TYPED_TEST_P(SqlNotifySuite, RefusesBadChannelsAndPayloads) {
  for (const std::string& channel : {std::string(), std::string("Jobs"), std::string("9jobs"),
                                     std::string("a b"), std::string("jobs;"), std::string(64, 'x')}) {
    EXPECT_EQ(Reason(this->Notify(channel, "x")), "sql_bad_notification") << channel;
  }
  EXPECT_EQ(Reason(this->Notify("jobs", std::string(4001, 'x'))), "sql_bad_notification");
  EXPECT_EQ(Reason(this->Notify("jobs", "\xff")), "sql_bad_notification");
  EXPECT_EQ(Reason(this->Notify(std::string(63, 'x'), std::string(4000, 'x'))), "");
}

REGISTER_TYPED_TEST_SUITE_P(SqlNotifySuite, TellsAfterTheCommitInOrder,
                            TellsNobodyBeforeTheCommitOrAfterARollback, TransactAllNotifiesWithItsCommit,
                            ChannelsAndListenersAreApart, EndedSubscriptionHearsNothing,
                            EndingWaitsForTheRunningCall, SubscriptionMayEndInItsOwnCall,
                            RefusesBadChannelsAndPayloads);

}  // namespace mezzo::storage::testing
