#include "mezzo/api/limit_headers.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

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

/// Text of a header, put together in place: every answer within a limit has two of them.
class FieldText {
 public:
  FieldText& Put(std::string_view text) {
    text_ += text;
    return *this;
  }
  FieldText& Put(std::int64_t number) {
    std::array<char, 20> digits;  // NOLINT(*-member-init): to_chars() writes what is read.
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
    text_.append(digits.data(), end);
    return *this;
  }
  std::string Take() { return std::move(text_); }

 private:
  std::string text_;
};

}  // namespace

LimitTexts TextsOf(const tenancy::LimitState& limit) {
  if (!limit.met()) return {};
  FieldText state;
  state.Put("\"").Put(limit.name).Put("\";r=").Put(Whole(limit.remaining));
  state.Put(";t=").Put(Whole(std::ceil(Seconds(limit.reset))));
  FieldText policy;
  policy.Put("\"").Put(limit.name).Put("\";q=").Put(Whole(limit.amount));
  policy.Put(";qu=\"").Put(UnitOf(limit.kind)).Put("\"");
  if (limit.window > Duration::zero()) {
    policy.Put(";w=").Put(std::max<std::int64_t>(1, Whole(std::ceil(Seconds(limit.window)))));
  }
  return {.state = state.Take(), .policy = policy.Take()};
}

void AddLimitHeaders(const tenancy::LimitState& limit, net::HttpResponse* response) {
  LimitTexts texts = TextsOf(limit);
  if (texts.state.empty()) return;
  response->headers.reserve(response->headers.size() + 3);  // And one for the request's id.
  response->headers.emplace_back("RateLimit", std::move(texts.state));
  response->headers.emplace_back("RateLimit-Policy", std::move(texts.policy));
}

}  // namespace mezzo::api
