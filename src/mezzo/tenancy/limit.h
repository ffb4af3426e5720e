#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/base/strong_id.h"

namespace mezzo::tenancy {

/// What a limit counts. Cost is device time in milliseconds: predicted at admission, measured afterwards.
/// Days and months are those of UTC.
enum class LimitKind : std::uint8_t {
  kRequests,     ///< Per second, with a burst.
  kCost,         ///< Milliseconds per second, with a burst.
  kConcurrency,  ///< Calls that run now. Jobs do not count: their queue is bounded by other means.
  kQueued,       ///< Calls that wait in this host's queues, each until its run starts.
  kQueueShare,   ///< The same, as part of a model's queue: apart for each model. Calls only.
  kDailyRequests,
  kDailyCost,
  kDailyMoney,  ///< What the ledger says (Limiter::RaiseUsed()).
  kMonthlyRequests,
  kMonthlyCost,
  kMonthlyMoney,
};
inline constexpr std::size_t kLimitKindCount = 11;

constexpr bool IsRate(LimitKind kind) { return kind <= LimitKind::kCost; }
constexpr bool IsQueue(LimitKind kind) {
  return kind == LimitKind::kQueued || kind == LimitKind::kQueueShare;
}
constexpr bool IsQuota(LimitKind kind) { return kind >= LimitKind::kDailyRequests; }
constexpr bool IsMonthly(LimitKind kind) { return kind >= LimitKind::kMonthlyRequests; }
/// "requests", "cost", "concurrency", "queued", "queue_share", "daily_requests" and so on.
std::string_view LimitKindName(LimitKind kind);
/// kInvalidArgument "limit_invalid".
Result<LimitKind> ParseLimitKind(std::string_view name);

/// Whether all that a limit matches shares one bucket, or each distinct value has its own. Bits.
enum LimitPer : std::uint8_t {
  kPerAll = 0,
  kPerTenant = 1,
  kPerProject = 2,  ///< Includes the tenant: a project is within one.
  kPerKey = 4,
  kPerModel = 8,
};
inline constexpr std::array<std::string_view, 4> kLimitPerNames = {"tenant", "project", "key", "model"};
/// "tenant,model"; "" of kPerAll.
std::string LimitPerText(std::uint8_t per);
/// The reverse. kInvalidArgument "limit_invalid".
Result<std::uint8_t> ParseLimitPer(std::string_view text);

/// One limit. An empty matcher matches everything.
struct Limit {
  std::string name;
  TenantId tenant;
  ProjectId project;  ///< Needs `tenant`.
  KeyId key;
  ModelName model;
  std::uint8_t per = kPerAll;  ///< LimitPer.
  LimitKind kind = LimitKind::kRequests;
  double rate = 0;    ///< Of rates: units per second.
  double burst = 0;   ///< Of rates: units at once, before `rate` holds; 0: a second's worth, at least one.
  double amount = 0;  ///< Of the others, of queue_share a part of 1; zero shuts.

  friend bool operator==(const Limit&, const Limit&) = default;
};

/// A limit that can hold, with its burst filled in. kInvalidArgument "limit_invalid", naming limit, value and
/// bound; "id_invalid" for its name.
Result<Limit> CheckLimit(Limit limit);

/// What a call has met: the limit that refused it, or of those that let it through the one with the least
/// left.
struct LimitState {
  std::string name;  ///< Empty: none.
  LimitKind kind = LimitKind::kRequests;
  double amount = 0;     ///< The burst of a rate.
  Duration window{};     ///< In which `amount` comes back; zero: none.
  double remaining = 0;  ///< Of `amount`.
  Duration reset{};      ///< Refused: when to come back; otherwise: until all of it is there again.
  bool refused = false;

  [[nodiscard]] bool met() const { return !name.empty(); }
};

}  // namespace mezzo::tenancy
