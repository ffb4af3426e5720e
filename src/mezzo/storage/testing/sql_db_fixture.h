#pragma once

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/base/clock.h"
#include "mezzo/base/mutex.h"
#include "mezzo/storage/sql_db.h"

namespace mezzo::storage::testing {

/// The reason of a failure, "" of a success.
template <typename T>
std::string Reason(const Result<T>& result) {
  return result.ok() ? "" : result.error().reason();
}
template <typename T>
std::string Message(const Result<T>& result) {
  return result.ok() ? "" : result.error().message();
}

/// Payloads that a listener got; an empty one is a greeting.
class Inbox {
 public:
  SqlDb::Listener Listener() {
    return [this](std::string_view payload) {
      MutexLock lock(mu_);
      payloads_.emplace_back(payload);
      changed_.NotifyAll();
    };
  }
  /// What came once `payload` has come, or after 20 seconds.
  std::vector<std::string> Until(std::string_view payload) {
    const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    MutexLock lock(mu_);
    while (std::find(payloads_.begin(), payloads_.end(), payload) == payloads_.end()) {
      if (!changed_.WaitUntil(mu_, limit)) break;
    }
    return payloads_;
  }
  std::vector<std::string> Now() {
    MutexLock lock(mu_);
    return payloads_;
  }
  void Clear() {
    MutexLock lock(mu_);
    payloads_.clear();
  }

 private:
  Mutex mu_;
  CondVar changed_;
  std::vector<std::string> payloads_ GUARDED_BY(mu_);
};

/// What the suites of SqlDb share; see sql_db_suite.h.
template <typename Harness>
class SqlDbFixture : public ::testing::Test {
 protected:
  SqlDb& db() { return harness_.db(); }
  Harness& harness() { return harness_; }
  [[nodiscard]] bool postgres() { return db().dialect() == SqlDialect::kPostgres; }
  [[nodiscard]] TimePoint In(Duration time) const { return clock_.Now() + time; }
  [[nodiscard]] TimePoint Soon() const { return In(std::chrono::seconds(30)); }

  Result<void> Script(std::string_view script) {
    return db().Transact([&](SqlSession& session) { return session.RunScript(script); }, Soon());
  }
  /// One statement in a transaction of its own.
  Result<SqlRows> Run(std::string_view sql, const std::vector<SqlValue>& params = {}) {
    SqlRows rows;
    const SqlDb::Work work = [&](SqlSession& session) -> Result<void> {
      MEZZO_TRY(rows, session.Run(sql, params));
      return {};
    };
    MEZZO_TRY_VOID(db().Transact(work, Soon()));
    return rows;
  }
  /// The rows of a query that must succeed.
  SqlRows Query(std::string_view sql, const std::vector<SqlValue>& params = {}) {
    SqlRows rows;
    const SqlDb::Work work = [&](SqlSession& session) -> Result<void> {
      MEZZO_TRY(rows, session.Run(sql, params));
      return {};
    };
    const auto read = db().Read(work, Soon());
    EXPECT_TRUE(read.ok()) << read.error().ToString();
    return rows;
  }
  std::int64_t Count(const std::string& table) { return Query("SELECT count(*) FROM " + table).Int(0, 0); }

  RealClock clock_;

 private:
  Harness harness_;
};

}  // namespace mezzo::storage::testing
