#include "mezzo/api/platform/overview_handler.h"

#include <algorithm>
#include <array>
#include <limits>
#include <string>
#include <utility>

#include "mezzo/base/strings.h"
#include "mezzo/runtime/loop.h"

namespace mezzo::api::platform {
namespace {

enum RouteId : int { kNow, kEvents };

constexpr ByteCount kIgnoredBody = 1024;
constexpr std::array<Route, 2> kRoutes = {
    Route{net::Method::kGet, "/v1/overview", tenancy::Scope::kObserve, kIgnoredBody, kNow},
    Route{net::Method::kGet, "/v1/overview/events", tenancy::Scope::kObserve, kIgnoredBody, kEvents}};

std::string EventText(const OverviewSample& sample) {
  return "id: " + std::to_string(sample.number) + "\nevent: overview\ndata: " + SampleJson(sample) + "\n\n";
}

}  // namespace

std::span<const Route> OverviewHandler::routes() const { return kRoutes; }

runtime::Task<net::HttpResponse> OverviewHandler::Handle(runtime::Context /*ctx*/, RoutedCall call) {
  if (call.route == kNow) {
    const auto latest = ports_.feed.Latest();
    auto response = net::HttpResponse::Json(200, OverviewJson(latest.get(), ports_.feed.History()));
    response.headers.emplace_back("Cache-Control", "no-store");
    response.compressible = true;
    co_return response;
  }
  auto answer = Events(call);
  co_return ResponseOf(std::move(answer));
}

Result<net::HttpResponse> OverviewHandler::Events(const RoutedCall& call) const {
  std::uint64_t count = std::numeric_limits<std::uint64_t>::max();
  if (const auto text = call.request->QueryValue("count")) {
    const auto asked = ParseUint(*text);
    if (!asked || *asked < 1 || *asked > options_.max_count) {
      return InvalidArgument("query_value", "query parameter 'count' must be in [1, " +
                                                std::to_string(options_.max_count) + "], got '" +
                                                Printable(*text, 64) + "'");
    }
    count = *asked;
  }
  MEZZO_TRY(OverviewFeed::Watch watch, ports_.feed.Enter());
  net::HttpResponse response;
  response.content_type = "text/event-stream; charset=utf-8";
  response.headers.emplace_back("Cache-Control", "no-store");
  response.headers.emplace_back("X-Accel-Buffering", "no");
  response.stream = [this, count, watch = std::move(watch)](runtime::Context ctx, net::BodyWriter* out) {
    return Stream(std::move(ctx), out, count, watch);
  };
  return response;
}

runtime::Task<Result<void>> OverviewHandler::Stream(runtime::Context ctx, net::BodyWriter* out,
                                                    std::uint64_t count,
                                                    OverviewFeed::Watch /*watch*/) const {
  const TimePoint end = AddSaturating(ports_.clock.Now(), options_.longest_stream);
  std::uint64_t seen = 0;
  while (count > 0 && !(ports_.ending && ports_.ending()) && ports_.clock.Now() < end) {
    const auto latest = ports_.feed.Latest();
    if (latest != nullptr && latest->number > seen) {
      seen = latest->number;
      --count;
      std::string text = EventText(*latest);
      MEZZO_CO_TRY_VOID(co_await out->WriteText(std::move(text)));
      continue;
    }
    TimePoint look = ports_.clock.Now() + options_.look;
    if (latest != nullptr) look = std::max(look, latest->taken + options_.period);
    MEZZO_CO_TRY_VOID(co_await runtime::SleepUntil(ctx, look));
  }
  co_return Result<void>();
}

}  // namespace mezzo::api::platform
