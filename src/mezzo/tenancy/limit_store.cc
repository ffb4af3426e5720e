#include "mezzo/tenancy/limit_store.h"

#include <optional>

#include "mezzo/base/strings.h"
#include "mezzo/tenancy/internal/identity_rows.h"

namespace mezzo::tenancy {
namespace {

using internal::CountUp;
using storage::SqlRows;
using storage::SqlSession;

Error NoLimit(const std::string& name) {
  return NotFound("limit_unknown", "there is no limit '" + Printable(name, 64) + "'");
}

}  // namespace

Result<Limit> LimitStore::Put(const Limit& limit, TimePoint deadline) {
  MEZZO_TRY(const Limit good, CheckLimit(limit));
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY_VOID(CountUp(session));
    MEZZO_TRY(const SqlRows others,
              session.Run("SELECT COUNT(*) FROM tenant_limits WHERE name <> $1", {good.name}));
    if (static_cast<std::size_t>(others.Int(0, 0)) >= options_.max_limits) {
      return ResourceExhausted("too_many_limits",
                               "there are " + std::to_string(options_.max_limits) + " limits already");
    }
    MEZZO_TRY_VOID(session.Run(
        "INSERT INTO tenant_limits (name, tenant, project, api_key, model, per, kind, rate, burst, amount, "
        "created_us) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (name) DO UPDATE SET "
        "tenant = excluded.tenant, project = excluded.project, api_key = excluded.api_key, "
        "model = excluded.model, per = excluded.per, kind = excluded.kind, rate = excluded.rate, "
        "burst = excluded.burst, amount = excluded.amount",
        {good.name, good.tenant.str(), good.project.str(), good.key.str(), good.model.str(),
         LimitPerText(good.per), std::string(LimitKindName(good.kind)), good.rate, good.burst, good.amount,
         internal::ToMicros(clock_.WallNow())}));
    return {};
  };
  MEZZO_TRY_VOID(db_.Transact(work, deadline));
  return good;
}

Result<void> LimitStore::Remove(const std::string& name, TimePoint deadline) {
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY_VOID(CountUp(session));
    MEZZO_TRY(const SqlRows rows, session.Run("DELETE FROM tenant_limits WHERE name = $1", {name}));
    if (rows.affected() == 0) return NoLimit(name);
    return {};
  };
  return db_.Transact(work, deadline);
}

Result<Limit> LimitStore::Get(const std::string& name, TimePoint deadline) {
  static const std::string sql =
      "SELECT " + std::string(internal::kLimitColumns) + " FROM tenant_limits WHERE name = $1";
  std::optional<Limit> found;
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(const SqlRows rows, session.Run(sql, {name}));
    if (!rows.empty()) found = internal::LimitAt(rows, 0);
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(work, deadline));
  if (!found) return NoLimit(name);
  return *std::move(found);
}

Result<std::vector<Limit>> LimitStore::List(const std::string& after, std::size_t limit, TimePoint deadline) {
  static const std::string sql = "SELECT " + std::string(internal::kLimitColumns) +
                                 " FROM tenant_limits WHERE name > $1 ORDER BY name LIMIT $2";
  std::vector<Limit> limits;
  const auto work = [&](SqlSession& session) -> Result<void> {
    limits.clear();
    MEZZO_TRY(const SqlRows rows, session.Run(sql, {after, static_cast<std::int64_t>(limit)}));
    for (std::size_t i = 0; i < rows.size(); ++i) {
      if (auto read = internal::LimitAt(rows, i)) limits.push_back(*std::move(read));
    }
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(work, deadline));
  return limits;
}

}  // namespace mezzo::tenancy
