#pragma once

#include <memory>
#include <string>

#include "databases.h"
#include <gtest/gtest.h>

#include "mezzo/jobs/job_reader.h"
#include "mezzo/jobs/job_store.h"
#include "mezzo/storage/testing/temp_dir.h"
#include "mezzo/testing/manual_clock.h"

namespace mezzo::jobs {

/// An empty queue on a database of its own, with a clock that moves when told to.
class QueueTest : public ::testing::TestWithParam<storage::SqlDialect> {
 protected:
  QueueTest() : db_(OpenEmptyQueue(GetParam(), folder_, real_)) {
    store_ = std::make_unique<JobStore>(JobStore::Options{}, *db_, clock_);
    reader_ = std::make_unique<JobReader>(*db_);
  }

  [[nodiscard]] TimePoint Soon() const { return real_.Now() + std::chrono::seconds(20); }

  static NewJob New(const std::string& tenant = "a", Tier tier = Tier::kFree, double cost = 1) {
    return {.tenant = TenantId(tenant),
            .kind = "test",
            .model = "m",
            .tier = tier,
            .cost = cost,
            .request = "{}"};
  }
  JobId Add(const NewJob& job) {
    const auto outcomes = store_->Enqueue({&job, 1}, Soon());
    EXPECT_TRUE(outcomes.ok()) << outcomes.error().ToString();
    EXPECT_TRUE((*outcomes)[0].ok());
    return (*outcomes)[0]->id;
  }
  std::vector<LeasedJob> Claim(std::size_t limit = 1, const std::string& host = "h1") {
    auto leased = store_->Claim({.host = HostId(host), .limit = limit, .only_host = true}, Soon());
    EXPECT_TRUE(leased.ok()) << leased.error().ToString();
    return std::move(*leased);
  }
  LeasedJob ClaimOne(const std::string& host = "h1") {
    auto leased = Claim(1, host);
    EXPECT_EQ(leased.size(), 1U);
    return leased.empty() ? LeasedJob() : leased[0];
  }
  bool End(RunEnd end) {
    const auto held = store_->End({&end, 1}, Soon());
    EXPECT_TRUE(held.ok()) << held.error().ToString();
    return held.ok() && (*held)[0];
  }
  bool Succeed(const Fence& fence) { return End({.fence = fence, .result = R"({"ok":true})"}); }
  JobStore::Swept Sweep() {
    const auto swept = store_->Sweep(100, Soon());
    EXPECT_TRUE(swept.ok()) << swept.error().ToString();
    return swept.ok() ? *swept : JobStore::Swept{};
  }
  Job Get(const JobId& id, const std::string& tenant = "a") {
    const auto job = reader_->Get(TenantId(tenant), id, Soon());
    EXPECT_TRUE(job.ok()) << job.error().ToString();
    return job.ok() ? *job : Job{};
  }
  /// Every row of a query, columns with '|' between.
  std::vector<std::string> Query(std::string_view sql) {
    std::vector<std::string> lines;
    const auto read = db_->Read(
        [&](storage::SqlSession& session) -> Result<void> {
          MEZZO_TRY(const storage::SqlRows rows, session.Run(sql, {}));
          for (std::size_t row = 0; row < rows.size(); ++row) {
            std::string line;
            for (std::size_t column = 0; column < rows.columns(); ++column) {
              if (column > 0) line += '|';
              if (rows.IsNull(row, column)) continue;
              const auto& value = rows.At(row, column);
              line += std::holds_alternative<std::int64_t>(value) ? std::to_string(rows.Int(row, column))
                                                                  : rows.Text(row, column);
            }
            lines.push_back(std::move(line));
          }
          return {};
        },
        Soon());
    EXPECT_TRUE(read.ok()) << read.error().ToString();
    return lines;
  }

  RealClock real_;
  mezzo::testing::ManualClock clock_;
  storage::testing::TempDir folder_;
  std::unique_ptr<storage::SqlDb> db_;
  std::unique_ptr<JobStore> store_;
  std::unique_ptr<JobReader> reader_;
};

}  // namespace mezzo::jobs
