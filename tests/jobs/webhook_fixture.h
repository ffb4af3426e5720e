#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "mezzo/drivers/postgres/postgres_db.h"
#include "mezzo/drivers/sqlite/sqlite_db.h"
#include "mezzo/jobs/job_store.h"
#include "mezzo/jobs/schema.h"
#include "mezzo/jobs/webhook_store.h"
#include "mezzo/storage/testing/postgres_server.h"
#include "mezzo/storage/testing/temp_dir.h"
#include "mezzo/testing/manual_clock.h"

namespace mezzo::jobs {

/// An empty outbox on a database of its own, whose wall clock moves when told to.
class WebhookTest : public ::testing::Test {
 protected:
  explicit WebhookTest(storage::SqlDialect dialect) : db_(Open(dialect)) {
    const auto migrated = storage::Migrate(*db_, "jobs", Migrations(), Soon(), real_);
    EXPECT_TRUE(migrated.ok()) << migrated.error().ToString();
    jobs_ = std::make_unique<JobStore>(JobStore::Options{}, *db_, clock_);
    store_ = std::make_unique<WebhookStore>(WebhookStore::Options{}, *db_, clock_);
  }

  [[nodiscard]] TimePoint Soon() const { return real_.Now() + std::chrono::seconds(20); }

  /// The event of a job that was cancelled before it ran.
  WebhookId Add(const std::string& url, const std::string& tenant = "ann", const std::string& secret = "") {
    NewJob job{.tenant = TenantId(tenant), .kind = "test", .model = "m", .request = "{}"};
    job.webhook = WebhookTarget{.url = url, .secret = secret};
    const auto added = jobs_->Enqueue({&job, 1}, Soon());
    EXPECT_TRUE(added.ok()) << added.error().ToString();
    const JobId id = (*added)[0]->id;
    EXPECT_TRUE(jobs_->Cancel(job.tenant, id, Soon()).ok());
    return WebhookId("evt_" + id.str() + "_cancelled");
  }
  WebhookEvent Get(const WebhookId& id, const std::string& tenant = "ann") {
    const auto page = store_->List({.tenant = TenantId(tenant), .limit = 1000}, Soon());
    EXPECT_TRUE(page.ok()) << page.error().ToString();
    for (const WebhookEvent& event : page->events) {
      if (event.id == id) return event;
    }
    ADD_FAILURE() << "there is no event " << id.str();
    return {};
  }

  const RealClock real_;
  mezzo::testing::ManualClock clock_;
  storage::testing::TempDir folder_;
  std::unique_ptr<storage::SqlDb> db_;
  std::unique_ptr<JobStore> jobs_;
  std::unique_ptr<WebhookStore> store_;

 private:
  std::unique_ptr<storage::SqlDb> Open(storage::SqlDialect dialect) {
    if (dialect == storage::SqlDialect::kSqlite) {
      auto opened = drivers::SqliteDb::Open({.path = folder_.path() + "/mezzo.db"}, real_);
      EXPECT_TRUE(opened.ok()) << opened.error().ToString();
      return std::move(*opened);
    }
    static storage::testing::PostgresServer server;  // For all tests of this process.
    auto opened = drivers::PostgresDb::Open({.connection = server.Url()}, real_);
    EXPECT_TRUE(opened.ok()) << opened.error().ToString();
    const auto emptied = (*opened)->Transact(
        [](storage::SqlSession& session) {
          return session.RunScript("DROP SCHEMA public CASCADE; CREATE SCHEMA public;");
        },
        Soon());
    EXPECT_TRUE(emptied.ok()) << emptied.error().ToString();
    return std::move(*opened);
  }
};

}  // namespace mezzo::jobs
