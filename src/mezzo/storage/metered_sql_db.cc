#include "mezzo/storage/metered_sql_db.h"

#include <utility>

namespace mezzo::storage {

MeteredSqlDb::MeteredSqlDb(SqlDb& inner, observe::Registry& registry, const Clock& clock)
    : inner_(inner),
      clock_(clock),
      calls_(registry.NewCounterFamily("mezzo_storage_sql_calls_total", "Transactions, by kind and outcome.",
                                       {"kind", "outcome"})),
      seconds_(registry.NewHistogramFamily("mezzo_storage_sql_seconds",
                                           "Time of a transaction with its waits and tries.", {"kind"})),
      running_(registry.NewGauge("mezzo_storage_sql_running", "Transactions that run or wait to.")),
      transact_(MakeKind("transact")),
      transact_all_(MakeKind("transact_all")),
      read_(MakeKind("read")) {}

MeteredSqlDb::Kind MeteredSqlDb::MakeKind(std::string_view name) {
  return {.name = name, .ok = calls_.With({name, "ok"}), .seconds = seconds_.With({name})};
}

template <typename Call>
auto MeteredSqlDb::Measure(const Kind& kind, Call call) {
  running_.Add(1);
  const TimePoint begun = clock_.Now();
  auto result = call();
  kind.seconds.Observe(clock_.Now() - begun);
  running_.Add(-1);
  if (result.ok()) {
    kind.ok.Add();
  } else {
    // A work's own reasons are no closed set for a label.
    const std::string_view reason = result.error().reason();
    calls_.With({kind.name, reason.starts_with("sql_") ? reason : "rolled_back"}).Add();
  }
  return result;
}

Result<void> MeteredSqlDb::Transact(const Work& work, TimePoint deadline) {
  return Measure(transact_, [&] { return inner_.Transact(work, deadline); });
}

Result<std::vector<SqlRows>> MeteredSqlDb::TransactAll(std::span<const SqlStatement> statements,
                                                       std::span<const SqlNotification> notifications,
                                                       TimePoint deadline) {
  return Measure(transact_all_, [&] { return inner_.TransactAll(statements, notifications, deadline); });
}

Result<void> MeteredSqlDb::Read(const Work& work, TimePoint deadline) {
  return Measure(read_, [&] { return inner_.Read(work, deadline); });
}

}  // namespace mezzo::storage
