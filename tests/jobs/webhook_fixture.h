#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "databases.h"
#include <gtest/gtest.h>

#include "mezzo/jobs/job_store.h"
#include "mezzo/jobs/webhook_store.h"
#include "mezzo/storage/testing/temp_dir.h"
#include "mezzo/testing/manual_clock.h"

namespace mezzo::jobs {

/// An empty outbox on a database of its own, whose wall clock moves when told to.
class WebhookTest : public ::testing::Test {
 protected:
  explicit WebhookTest(storage::SqlDialect dialect) : db_(OpenEmptyQueue(dialect, folder_, real_)) {
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
};

}  // namespace mezzo::jobs
