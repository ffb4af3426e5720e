#include "mezzo/tenancy/limit.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "mezzo/base/strings.h"
#include "mezzo/tenancy/identity.h"

namespace mezzo::tenancy {
namespace {

constexpr std::array<std::string_view, kLimitKindCount> kKinds = {
    "requests",   "cost",        "concurrency",      "queued",       "queue_share",  "daily_requests",
    "daily_cost", "daily_money", "monthly_requests", "monthly_cost", "monthly_money"};

Error Bad(const std::string& limit, const std::string& what) {
  return InvalidArgument("limit_invalid", "limit '" + Printable(limit, 64) + "': " + what);
}

bool IsIn(double value, double least, double most) {
  return std::isfinite(value) && value >= least && value <= most;
}

}  // namespace

std::string_view LimitKindName(LimitKind kind) { return kKinds.at(static_cast<std::size_t>(kind)); }

Result<LimitKind> ParseLimitKind(std::string_view name) {
  const auto at = std::find(kKinds.begin(), kKinds.end(), name);
  if (at != kKinds.end()) return static_cast<LimitKind>(at - kKinds.begin());
  return InvalidArgument(
      "limit_invalid",
      "'kind' must be requests, cost, concurrency, queued, queue_share, or daily_ or monthly_ and "
      "requests, cost or money, not '" +
          Printable(name, 64) + "'");
}

std::string LimitPerText(std::uint8_t per) {
  std::string text;
  for (std::size_t i = 0; i < kLimitPerNames.size(); ++i) {
    if ((per & (1U << i)) != 0) text += (text.empty() ? "" : ",") + std::string(kLimitPerNames.at(i));
  }
  return text;
}

Result<std::uint8_t> ParseLimitPer(std::string_view text) {
  std::uint8_t per = kPerAll;
  while (!text.empty()) {
    const std::size_t comma = std::min(text.find(','), text.size());
    const std::string_view word = text.substr(0, comma);
    const auto at = std::find(kLimitPerNames.begin(), kLimitPerNames.end(), word);
    if (at == kLimitPerNames.end()) {
      return InvalidArgument("limit_invalid", "'per' may have tenant, project, key and model, not '" +
                                                  Printable(word, 64) + "'");
    }
    per = static_cast<std::uint8_t>(per | (1U << static_cast<unsigned>(at - kLimitPerNames.begin())));
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return per;
}

Result<Limit> CheckLimit(Limit limit) {
  constexpr std::size_t kLongestText = 200;
  constexpr double kLeastRate = 1e-6;
  constexpr double kMostRate = 1e9;
  constexpr double kMost = 1e15;
  constexpr double kLongestFill = 366.0 * 24 * 3600;
  MEZZO_TRY_VOID(CheckId("limit", limit.name));
  for (const std::string* text :
       {&limit.tenant.str(), &limit.project.str(), &limit.key.str(), &limit.model.str()}) {
    if (text->size() > kLongestText) {
      return Bad(limit.name, "a matcher has " + std::to_string(text->size()) + " bytes; the limit is " +
                                 std::to_string(kLongestText));
    }
  }
  if (!limit.project.empty() && limit.tenant.empty()) {
    return Bad(limit.name, "'project' needs 'tenant': a project is within one");
  }
  if (!IsRate(limit.kind)) {
    if (limit.rate != 0 || limit.burst != 0) {
      return Bad(limit.name, "'rate' and 'burst' are of the kinds requests and cost; give 'amount'");
    }
    if (limit.kind == LimitKind::kQueueShare) {
      if (!IsIn(limit.amount, 0, 1)) return Bad(limit.name, "'amount' of queue_share must be in [0, 1]");
      if (limit.model.empty()) limit.per |= kPerModel;  // Each model has a queue of its own.
    }
    if (!IsIn(limit.amount, 0, kMost)) return Bad(limit.name, "'amount' must be in [0, 1e15]");
    return limit;
  }
  if (limit.amount != 0) return Bad(limit.name, "the kinds requests and cost have no 'amount': give 'rate'");
  if (!IsIn(limit.rate, kLeastRate, kMostRate)) return Bad(limit.name, "'rate' must be in [1e-6, 1e9]");
  if (limit.burst == 0) limit.burst = std::max(1.0, limit.rate);
  if (!IsIn(limit.burst, 1, kMost)) return Bad(limit.name, "'burst' must be in [1, 1e15]");
  if (limit.burst / limit.rate > kLongestFill) {
    return Bad(limit.name, "'burst' must come back within a year at 'rate'");
  }
  return limit;
}

}  // namespace mezzo::tenancy
