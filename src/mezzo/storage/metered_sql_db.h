#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/observe/metrics.h"
#include "mezzo/storage/sql_db.h"

namespace mezzo::storage {

/// A SqlDb that counts: calls by kind ("transact", "transact_all", "read") and outcome ("ok", "rolled_back"
/// when the work failed by itself, or one of SqlDb's reasons), how long they took, and how many run.
/// Thread-safe.
class MeteredSqlDb final : public SqlDb {
 public:
  /// All must outlive this object.
  MeteredSqlDb(SqlDb& inner, observe::Registry& registry, const Clock& clock);

  [[nodiscard]] SqlDialect dialect() const override { return inner_.dialect(); }
  Result<void> Transact(const Work& work, TimePoint deadline) override;
  Result<std::vector<SqlRows>> TransactAll(std::span<const SqlStatement> statements,
                                           std::span<const SqlNotification> notifications,
                                           TimePoint deadline) override;
  Result<void> Read(const Work& work, TimePoint deadline) override;
  [[nodiscard]] std::shared_ptr<void> Listen(std::string channel, Listener listener) override {
    return inner_.Listen(std::move(channel), std::move(listener));
  }

 private:
  struct Kind {
    std::string_view name;
    observe::Counter& ok;
    observe::Histogram& seconds;
  };
  [[nodiscard]] Kind MakeKind(std::string_view name);
  template <typename Call>
  auto Measure(const Kind& kind, Call call);

  SqlDb& inner_;
  const Clock& clock_;
  observe::Family<observe::Counter>& calls_;
  observe::Family<observe::Histogram>& seconds_;
  observe::Gauge& running_;
  const Kind transact_;
  const Kind transact_all_;
  const Kind read_;
};

}  // namespace mezzo::storage
