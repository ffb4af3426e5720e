#include <algorithm>
#include <charconv>
#include <cmath>
#include <functional>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mezzo/base/check.h"
#include "mezzo/base/strings.h"
#include "mezzo/lifecycle/internal/tracking_rows.h"
#include "mezzo/lifecycle/internal/where.h"
#include "mezzo/lifecycle/tracking_store.h"

// Searches of runs and experiments. A page token has the values that the last row of its page was ordered by,
// so that the next page begins behind it, whatever comes and goes meanwhile.

namespace mezzo::lifecycle {
namespace {

using internal::Where;
using storage::SqlDialect;
using storage::SqlRows;
using storage::SqlSession;
using storage::SqlValue;
using Json = nlohmann::json;

/// A column that rows are ordered by; never NULL.
struct SortColumn {
  enum class Kind : std::uint8_t { kInt, kReal, kText };
  std::string sql;
  bool down = false;
  Kind kind = Kind::kInt;
};

Error BadToken(std::string_view token) {
  return InvalidArgument("tracking_page_token",
                         "'" + Printable(token, 64) + "' is not where a page of this search ends");
}

Result<void> CheckPatterns(const std::vector<TrackingCondition>& conditions) {
  for (const TrackingCondition& condition : conditions) {
    const bool like =
        condition.comparison == SearchComparison::kLike || condition.comparison == SearchComparison::kILike;
    if (like) MEZZO_TRY_VOID(internal::CheckPattern(true, condition.values.front()));
  }
  return {};
}

/// What tells a token of this order from one of another.
std::string MarkOf(const std::vector<TrackingOrder>& orders) {
  std::string all;
  for (const TrackingOrder& order : orders) {
    all +=
        fmt::format("{} {} {} {} ", static_cast<int>(order.field), order.down, order.key.size(), order.key);
  }
  constexpr std::size_t kLength = 8;
  return Sha256Hex(all).substr(0, kLength);
}

std::string TokenAt(const SqlRows& rows, std::size_t row, const std::vector<TrackingOrder>& orders,
                    const std::vector<SortColumn>& columns) {
  Json values = Json::array({MarkOf(orders)});
  const std::size_t first = rows.columns() - columns.size();
  for (std::size_t i = 0; i < columns.size(); ++i) {
    if (columns[i].kind == SortColumn::Kind::kInt) values.push_back(rows.Int(row, first + i));
    if (columns[i].kind == SortColumn::Kind::kText) values.push_back(rows.Text(row, first + i));
    // As a text: JSON has no infinity.
    if (columns[i].kind == SortColumn::Kind::kReal) {
      values.push_back(fmt::format("{}", rows.Real(row, first + i)));
    }
  }
  return Base64Encode(values.dump(-1, ' ', false, Json::error_handler_t::replace));
}

Result<std::vector<SqlValue>> ParseToken(const std::string& token, const std::vector<TrackingOrder>& orders,
                                         const std::vector<SortColumn>& columns) {
  const auto text = Base64Decode(token);
  if (!text.ok()) return BadToken(token);
  const Json values = Json::parse(*text, nullptr, /*allow_exceptions=*/false);
  if (!values.is_array() || values.size() != columns.size() + 1 || values[0] != MarkOf(orders)) {
    return BadToken(token);
  }
  std::vector<SqlValue> parsed;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const Json& value = values[i + 1];
    switch (columns[i].kind) {
      case SortColumn::Kind::kInt:
        if (!value.is_number_integer()) return BadToken(token);
        parsed.emplace_back(value.get<std::int64_t>());
        break;
      case SortColumn::Kind::kReal: {
        if (!value.is_string()) return BadToken(token);
        const auto& digits = value.get_ref<const std::string&>();
        double real = 0;
        const auto end = std::from_chars(digits.data(), digits.data() + digits.size(), real);
        if (end.ec != std::errc() || end.ptr != digits.data() + digits.size() || std::isnan(real)) {
          return BadToken(token);
        }
        parsed.emplace_back(real);
        break;
      }
      case SortColumn::Kind::kText:
        if (!value.is_string() || value.get_ref<const std::string&>().find('\0') != std::string::npos) {
          return BadToken(token);
        }
        parsed.emplace_back(value.get<std::string>());
        break;
    }
  }
  return parsed;
}

/// Rows behind the one with these values: a later first column, or the same and a later second one, ...
std::string Behind(Where& where, const std::vector<SortColumn>& columns, std::vector<SqlValue> values) {
  std::vector<std::string> names;
  names.reserve(values.size());
  for (SqlValue& value : values) names.push_back(where.Parameter(std::move(value)));
  std::string any;
  std::string same;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const std::string later = columns[i].sql + (columns[i].down ? " < " : " > ") + names[i];
    any += (i == 0 ? "(" : " OR (") + same + later + ")";
    same += columns[i].sql + " = " + names[i] + " AND ";
  }
  // The first by itself: an index can begin there.
  return columns.front().sql + (columns.front().down ? " <= " : " >= ") + names.front() + " AND (" + any +
         ")";
}

std::string OrderText(const std::vector<SortColumn>& columns) {
  std::string text;
  for (const SortColumn& column : columns) {
    text += (text.empty() ? " ORDER BY " : ", ") + column.sql + (column.down ? " DESC" : "");
  }
  return text;
}
std::string SelectText(const std::vector<SortColumn>& columns) {
  std::string text;
  for (const SortColumn& column : columns) text += ", " + column.sql;
  return text;
}

/// A number or a time that may be NULL.
std::string ComparedNumber(Where& where, const std::string& column, const TrackingCondition& condition) {
  SqlValue value =
      condition.field == TrackingField::kMetric ? SqlValue(condition.real) : SqlValue(condition.number);
  return column + " " + Where::Sign(condition.comparison) + " " + where.Parameter(std::move(value));
}

/// A parameter or a tag of `owner`, a column. Looked up row by row, on PostgreSQL too: OFFSET forbids a join
/// over all facts.
std::string HasFact(Where& where, const std::string& owner, const std::string& kind,
                    const TrackingCondition& condition) {
  const bool absent = condition.comparison == SearchComparison::kAbsent;
  std::string text = std::string(absent ? "NOT " : "") +
                     "EXISTS (SELECT 1 FROM tracking_facts f WHERE f.owner = " + owner + " AND f.kind = '" +
                     kind + "' AND f.fact_key = " + where.Parameter(condition.key);
  if (!absent && condition.comparison != SearchComparison::kPresent) {
    text += " AND " + where.Compared("f.fact_value", condition.comparison, condition.values);
  }
  return text + (where.dialect() == SqlDialect::kPostgres ? " OFFSET 0)" : ")");
}

/// A statement about runs that is being put together.
class RunSearch {
 public:
  RunSearch(SqlDialect dialect, const TenantId& tenant, const RunQuery& query) : where_(dialect) {
    tenant_ = where_.Parameter(tenant.str());
    // An index has the order of one experiment.
    experiments_ = query.experiments.size() == 1 ? " = " + where_.Parameter(query.experiments.front())
                                                 : where_.IsAmong("", query.experiments);
    where_.And("r.tenant = " + tenant_);
    where_.And("r.experiment" + experiments_);
    if (query.view == TrackingView::kActive) where_.And("r.deleted_us = 0");
    if (query.view == TrackingView::kDeleted) where_.And("r.deleted_us > 0");
    for (const TrackingCondition& condition : query.conditions) Add(condition);
    for (const TrackingOrder& order : query.order) Add(order);
    columns_.push_back({.sql = "r.started_ms", .down = true});
    columns_.push_back({.sql = "r.id", .kind = SortColumn::Kind::kText});
  }

  void After(std::vector<SqlValue> values) { where_.And(Behind(where_, columns_, std::move(values))); }

  [[nodiscard]] const std::vector<SortColumn>& columns() const { return columns_; }
  [[nodiscard]] std::string Text(std::size_t limit) const {
    return "SELECT " + std::string(internal::kTrackedRunColumns) + SelectText(columns_) +
           " FROM tracking_runs r" + joins_ + where_.text() + OrderText(columns_) +
           internal::LimitText(limit);
  }
  [[nodiscard]] std::vector<SqlValue> TakeParams() { return where_.TakeParams(); }

 private:
  [[nodiscard]] bool IsPostgres() const { return where_.dialect() == SqlDialect::kPostgres; }

  void Add(const TrackingCondition& condition) {
    switch (condition.field) {
      case TrackingField::kMetric:
        return where_.And(HasMetric(condition));
      case TrackingField::kParam:
        return where_.And(HasFact(where_, "r.id", internal::kParam, condition));
      case TrackingField::kTag:
        return where_.And(HasFact(where_, "r.id", internal::kTag, condition));
      case TrackingField::kStarted:
        return where_.And(ComparedNumber(where_, "r.started_ms", condition));
      case TrackingField::kEnded:
        return where_.And(ComparedNumber(where_, "r.ended_ms", condition));
      default:
        return where_.And(where_.Compared(Column(condition.field), condition.comparison, condition.values));
    }
  }

  static std::string Column(TrackingField field) {
    switch (field) {
      case TrackingField::kRunId:
        return "r.id";
      case TrackingField::kStatus:
        return "r.status";
      case TrackingField::kUser:
        return "r.user_name";
      case TrackingField::kName:
        return "r.name";
      default:
        break;
    }
    CheckFailed("runs are not searched by this", __FILE__, __LINE__);
  }

  /// Those that the index has, looked up once. PostgreSQL does so whatever it knows of the table when the
  /// comparison is no join: behind IS TRUE.
  std::string HasMetric(const TrackingCondition& condition) {
    const std::string key = where_.Parameter(condition.key);
    std::string number = ComparedNumber(where_, "l.metric_number", condition);
    if (condition.comparison == SearchComparison::kDiffers) {
      number = "(" + number + " OR l.metric_number IS NULL)";
    }
    return "(r.id IN (SELECT l.run_id FROM tracking_latest l WHERE l.tenant = " + tenant_ +
           " AND l.experiment" + experiments_ + " AND l.metric = " + key + " AND " + number + "))" +
           (IsPostgres() ? " IS TRUE" : "");
  }

  void Add(const TrackingOrder& order) {
    using Kind = SortColumn::Kind;
    const std::string name = "o" + std::to_string(columns_.size());
    switch (order.field) {
      case TrackingField::kMetric: {
        const std::string key = where_.Parameter(order.key);
        Join(name, "tracking_latest", "k.run_id, k.metric_number",
             [&](const std::string& t) { return t + ".run_id = r.id AND " + t + ".metric = " + key; });
        columns_.push_back({.sql = "CASE WHEN " + name + ".run_id IS NULL THEN 2 WHEN " + name +
                                   ".metric_number IS NULL THEN 1 ELSE 0 END"});
        columns_.push_back(
            {.sql = "COALESCE(" + name + ".metric_number, 0.0)", .down = order.down, .kind = Kind::kReal});
        return;
      }
      case TrackingField::kParam:
      case TrackingField::kTag: {
        const std::string kind = order.field == TrackingField::kParam ? internal::kParam : internal::kTag;
        const std::string key = where_.Parameter(order.key);
        Join(name, "tracking_facts", "k.fact_value", [&](const std::string& t) {
          return t + ".owner = r.id AND " + t + ".kind = '" + kind + "' AND " + t + ".fact_key = " + key;
        });
        columns_.push_back({.sql = "CASE WHEN " + name + ".fact_value IS NULL THEN 1 ELSE 0 END"});
        columns_.push_back(
            {.sql = "COALESCE(" + name + ".fact_value, '')", .down = order.down, .kind = Kind::kText});
        return;
      }
      case TrackingField::kEnded:
        columns_.push_back({.sql = "CASE WHEN r.ended_ms IS NULL THEN 1 ELSE 0 END"});
        columns_.push_back({.sql = "COALESCE(r.ended_ms, 0)", .down = order.down});
        return;
      case TrackingField::kStarted:
        columns_.push_back({.sql = "r.started_ms", .down = order.down});
        return;
      default:
        columns_.push_back({.sql = Column(order.field), .down = order.down, .kind = Kind::kText});
    }
  }

  /// At most one row of `table` under `name` beside each run. On PostgreSQL looked up run by run: OFFSET
  /// forbids a join over all of the table, which it would choose without statistics.
  void Join(const std::string& name, const std::string& table, const std::string& columns,
            const std::function<std::string(const std::string&)>& on) {
    if (IsPostgres()) {
      joins_ += " LEFT JOIN LATERAL (SELECT " + columns + " FROM " + table + " k WHERE " + on("k") +
                " OFFSET 0) " + name + " ON TRUE";
    } else {
      joins_ += " LEFT JOIN " + table + " " + name + " ON " + on(name);
    }
  }

  Where where_;
  std::string tenant_;
  std::string experiments_;
  std::string joins_;
  std::vector<SortColumn> columns_;
};

/// A statement about experiments. The default one, which is no row, is one of them.
class ExperimentSearch {
 public:
  ExperimentSearch(SqlDialect dialect, const TenantId& tenant, const ExperimentQuery& query)
      : where_(dialect) {
    tenant_ = where_.Parameter(tenant.str());
    if (query.view == TrackingView::kActive) where_.And("e.deleted_us = 0");
    if (query.view == TrackingView::kDeleted) where_.And("e.deleted_us > 0");
    for (const TrackingCondition& condition : query.conditions) Add(condition);
    if (query.order.empty()) columns_.push_back({.sql = "e.created_us", .down = true});
    bool by_id = false;
    for (const TrackingOrder& order : query.order) {
      const bool text = order.field == TrackingField::kName;
      by_id = by_id || order.field == TrackingField::kExperimentId;
      columns_.push_back({.sql = order.field == TrackingField::kExperimentId ? "e.id" : Column(order.field),
                          .down = order.down,
                          .kind = text ? SortColumn::Kind::kText : SortColumn::Kind::kInt});
    }
    if (!by_id) columns_.push_back({.sql = "e.id", .down = true});
  }

  void After(std::vector<SqlValue> values) { where_.And(Behind(where_, columns_, std::move(values))); }

  [[nodiscard]] const std::vector<SortColumn>& columns() const { return columns_; }
  [[nodiscard]] std::string Text(std::size_t limit) const {
    return "SELECT " + std::string(internal::kExperimentColumns) + SelectText(columns_) +
           " FROM (SELECT id, name, created_us, updated_us, deleted_us, 'e' || CAST(id AS TEXT) AS owner "
           "FROM "
           "tracking_experiments WHERE tenant = " +
           tenant_ + " UNION ALL SELECT 0, '" + internal::kDefaultName + "', 0, 0, 0, 'e0/' || " + tenant_ +
           ") e" + where_.text() + OrderText(columns_) + internal::LimitText(limit);
  }
  [[nodiscard]] std::vector<SqlValue> TakeParams() { return where_.TakeParams(); }

 private:
  /// Times as they are shown, in milliseconds.
  static std::string Column(TrackingField field) {
    switch (field) {
      case TrackingField::kName:
        return "e.name";
      case TrackingField::kExperimentId:
        return "CAST(e.id AS TEXT)";
      case TrackingField::kCreated:
        return "e.created_us / 1000";
      case TrackingField::kUpdated:
        return "e.updated_us / 1000";
      default:
        break;
    }
    CheckFailed("experiments are not searched by this", __FILE__, __LINE__);
  }

  void Add(const TrackingCondition& condition) {
    switch (condition.field) {
      case TrackingField::kCreated:
      case TrackingField::kUpdated:
        return where_.And(ComparedNumber(where_, Column(condition.field), condition));
      case TrackingField::kTag:
        return where_.And(HasFact(where_, "e.owner", internal::kTag, condition));
      default:
        return where_.And(where_.Compared(Column(condition.field), condition.comparison, condition.values));
    }
  }

  Where where_;
  std::string tenant_;
  std::vector<SortColumn> columns_;
};

}  // namespace

Result<RegistryPage<RunRecord>> TrackingStore::SearchRuns(const TenantId& tenant, const RunQuery& query,
                                                          const std::string& token, std::size_t limit,
                                                          TimePoint deadline) {
  MEZZO_TRY_VOID(CheckPatterns(query.conditions));
  RegistryPage<RunRecord> page;
  if (query.experiments.empty()) return page;
  RunSearch search(db_.dialect(), tenant, query);
  if (!token.empty()) {
    MEZZO_TRY(auto values, ParseToken(token, query.order, search.columns()));
    search.After(std::move(values));
  }
  const std::string sql = search.Text(limit);
  const std::vector<SqlValue> params = search.TakeParams();
  const auto work = [&](SqlSession& session) -> Result<void> {
    page = {};
    MEZZO_TRY(const SqlRows rows, session.Run(sql, params));
    for (std::size_t row = 0; row < std::min(rows.size(), limit); ++row) {
      page.records.push_back(internal::TrackedRunAt(rows, row));
    }
    if (rows.size() > limit) {
      page.next = TokenAt(rows, limit - 1, query.order, search.columns());
    }
    return Complete(session, page.records);
  };
  MEZZO_TRY_VOID(db_.Read(work, deadline));
  return page;
}

Result<RegistryPage<ExperimentRecord>> TrackingStore::SearchExperiments(const TenantId& tenant,
                                                                        const ExperimentQuery& query,
                                                                        const std::string& token,
                                                                        std::size_t limit,
                                                                        TimePoint deadline) {
  MEZZO_TRY_VOID(CheckPatterns(query.conditions));
  ExperimentSearch search(db_.dialect(), tenant, query);
  if (!token.empty()) {
    MEZZO_TRY(auto values, ParseToken(token, query.order, search.columns()));
    search.After(std::move(values));
  }
  const std::string sql = search.Text(limit);
  const std::vector<SqlValue> params = search.TakeParams();
  RegistryPage<ExperimentRecord> page;
  const auto work = [&](SqlSession& session) -> Result<void> {
    page = {};
    MEZZO_TRY(const SqlRows rows, session.Run(sql, params));
    for (std::size_t row = 0; row < std::min(rows.size(), limit); ++row) {
      page.records.push_back(internal::ExperimentAt(rows, row));
    }
    if (rows.size() > limit) {
      page.next = TokenAt(rows, limit - 1, query.order, search.columns());
    }
    return Complete(session, tenant, page.records);
  };
  MEZZO_TRY_VOID(db_.Read(work, deadline));
  return page;
}

}  // namespace mezzo::lifecycle
