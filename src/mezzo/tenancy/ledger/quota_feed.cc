#include "mezzo/tenancy/ledger/quota_feed.h"

#include <algorithm>
#include <map>
#include <memory>
#include <utility>

namespace mezzo::tenancy {
namespace {

constexpr std::size_t kTenant = 0;
constexpr std::size_t kProject = 1;
constexpr std::size_t kKey = 2;
constexpr std::size_t kModel = 3;

bool IsMoney(LimitKind kind) { return kind == LimitKind::kDailyMoney || kind == LimitKind::kMonthlyMoney; }
bool IsRequests(LimitKind kind) {
  return kind == LimitKind::kDailyRequests || kind == LimitKind::kMonthlyRequests;
}

bool Matches(const Limit& limit, const UsageKey& key) {
  return (limit.tenant.empty() || limit.tenant.str() == key.tenant) &&
         (limit.project.empty() || limit.project.str() == key.project) &&
         (limit.key.empty() || limit.key.str() == key.key_id) &&
         (limit.model.empty() || limit.model.str() == key.model);
}

double UnitsOf(LimitKind kind, const UsageReport::Row& row) {
  constexpr double kMicros = 1e6;
  if (IsMoney(kind)) return static_cast<double>(row.cost_micros) / kMicros;
  if (IsRequests(kind)) return static_cast<double>(row.sum.usage.requests - row.sum.usage.failed);
  return static_cast<double>(row.sum.usage.device_ns) / kMicros;
}

std::int64_t BeginOf(bool monthly, WallTime now) {
  const auto today = std::chrono::floor<std::chrono::days>(now);
  const std::chrono::year_month_day date(today);
  const auto begin = monthly ? std::chrono::sys_days(date.year() / date.month() / 1) : today;
  return std::chrono::duration_cast<std::chrono::microseconds>(begin.time_since_epoch()).count();
}

}  // namespace

std::vector<QuotaUse> UsedOf(const Limit& limit, const std::vector<UsageReport::Row>& rows) {
  std::map<std::array<std::string, 4>, double> buckets;
  for (const auto& row : rows) {
    const UsageKey& key = row.sum.key;
    if (!Matches(limit, key)) continue;
    const bool by_project = (limit.per & kPerProject) != 0;
    std::array<std::string, 4> bucket;
    if ((limit.per & kPerTenant) != 0 || by_project) bucket[kTenant] = key.tenant;
    if (by_project) bucket[kProject] = key.project;
    if ((limit.per & kPerKey) != 0) bucket[kKey] = key.key_id;
    if ((limit.per & kPerModel) != 0) bucket[kModel] = key.model;
    buckets[bucket] += UnitsOf(limit.kind, row);
  }
  std::vector<QuotaUse> uses;
  uses.reserve(buckets.size());
  for (const auto& [bucket, used] : buckets) {
    uses.push_back({.tenant = bucket[kTenant],
                    .project = bucket[kProject],
                    .key_id = bucket[kKey],
                    .model = bucket[kModel],
                    .used = used});
  }
  return uses;
}

QuotaFeed::QuotaFeed(Options options, Ports ports)
    : options_(options),
      ports_(ports),
      feed_({.thread = "quotas",
             .channel = "",
             .poll = options_.poll,
             .failed = "usage can't be read: quotas hold by what this host counts",
             .recovered = "usage is read again for quotas"},
            {.clock = ports_.clock, .log = ports_.log, .read = [this](TimePoint) { return Refresh(); }}) {}

void QuotaFeed::Tell(const Limit& limit, const QuotaUse& use) {
  Caller caller;
  if ((limit.per & kPerKey) != 0) {
    const auto found = ports_.directory.FindKey(KeyId(use.key_id));
    if (!found.ok()) return;  // Revoked, or none: nobody will ask with it.
    caller = **found;
  } else if (!use.tenant.empty()) {
    auto found = ports_.directory.Find(TenantId(use.tenant));
    if (!found.ok()) return;
    caller.tenant = *std::move(found);
    caller.project = ProjectId(use.project);
  } else {
    caller.tenant = std::make_shared<const Tenant>();
  }
  // Replaced meanwhile: the next reading goes by the new limits.
  (void)ports_.limiter.RaiseUsed(limit.name, caller, use.model, use.used);
}

Result<void> QuotaFeed::RefreshPeriod(const std::vector<Limit>& limits, bool monthly) {
  const auto of_period = [monthly](const Limit& limit) {
    return IsQuota(limit.kind) && IsMonthly(limit.kind) == monthly;
  };
  if (std::none_of(limits.begin(), limits.end(), of_period)) return {};
  const WallTime now = ports_.clock.WallNow();
  const std::int64_t begin = BeginOf(monthly, now);
  constexpr std::int64_t kDay = 86'400'000'000;
  constexpr std::int64_t kLongest = 31 * kDay;
  const UsageQuery query{.from_us = begin,
                         .to_us = begin + (monthly ? kLongest : kDay),
                         .group = {kTenant, kProject, kKey, kModel}};
  const TimePoint deadline = AddSaturating(ports_.clock.Now(), options_.database_timeout);
  MEZZO_TRY(const UsageReport report, MakeReport(ports_.reader, ports_.prices, query, deadline));
  if (BeginOf(monthly, ports_.clock.WallNow()) != begin) return {};  // A new period has begun meanwhile.
  for (const Limit& limit : limits) {
    if (!of_period(limit)) continue;
    for (const QuotaUse& use : UsedOf(limit, report.rows)) Tell(limit, use);
  }
  return {};
}

Result<void> QuotaFeed::Refresh() {
  const std::vector<Limit> limits = ports_.limiter.limits();
  if (std::none_of(limits.begin(), limits.end(), [](const Limit& limit) { return IsQuota(limit.kind); })) {
    return {};
  }
  MEZZO_TRY_VOID(ports_.ledger.Settle(AddSaturating(ports_.clock.Now(), options_.database_timeout)));
  MEZZO_TRY_VOID(RefreshPeriod(limits, /*monthly=*/false));
  return RefreshPeriod(limits, /*monthly=*/true);
}

}  // namespace mezzo::tenancy
