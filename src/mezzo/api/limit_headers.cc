#include "mezzo/api/limit_headers.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace mezzo::api {
namespace {

using tenancy::LimitKind;

std::string_view UnitOf(LimitKind kind) {
  switch (kind) {
    case LimitKind::kRequests:
    case LimitKind::kDailyRequests:
    case LimitKind::kMonthlyRequests:
      return "requests";
    case LimitKind::kConcurrency:
      return "concurrent-requests";
    case LimitKind::kQueued:
    case LimitKind::kQueueShare:
      return "queued-requests";
    case LimitKind::kCost:
    case LimitKind::kDailyCost:
    case LimitKind::kMonthlyCost:
      return "device-milliseconds";
    case LimitKind::kDailyMoney:
    case LimitKind::kMonthlyMoney:
      return "money";
  }
  return "requests";
}

/// Structured fields have integers of 15 digits (RFC 8941 section 3.3.1).
std::int64_t Whole(double value) {
  constexpr double kMost = 999'999'999'999'999;
  return static_cast<std::int64_t>(std::clamp(std::floor(value), 0.0, kMost));
}

}  // namespace

LimitTexts TextsOf(const tenancy::LimitState& limit) {
  if (!limit.met()) return {};
  const std::int64_t reset = Whole(std::ceil(Seconds(limit.reset)));
  LimitTexts texts{
      .state = fmt::format("\"{}\";r={};t={}", limit.name, Whole(limit.remaining), reset),
      .policy = fmt::format("\"{}\";q={};qu=\"{}\"", limit.name, Whole(limit.amount), UnitOf(limit.kind))};
  if (limit.window > Duration::zero()) {
    texts.policy += fmt::format(";w={}", std::max<std::int64_t>(1, Whole(std::ceil(Seconds(limit.window)))));
  }
  return texts;
}

void AddLimitHeaders(const tenancy::LimitState& limit, net::HttpResponse* response) {
  LimitTexts texts = TextsOf(limit);
  if (texts.state.empty()) return;
  response->headers.emplace_back("RateLimit", std::move(texts.state));
  response->headers.emplace_back("RateLimit-Policy", std::move(texts.policy));
}

}  // namespace mezzo::api
