#include "mezzo/app/overview_sampler.h"

#include <algorithm>
#include <array>
#include <map>
#include <numeric>
#include <string>
#include <utility>

#include "mezzo/observe/series_reader.h"

namespace mezzo::app {
namespace {

using api::platform::OverviewCounts;

/// Where the labels `model`, `version` and `outcome` stand in the families of InferenceMetrics.
constexpr std::size_t kModel = 0;
constexpr std::size_t kVersion = 1;
constexpr std::size_t kOutcome = 3;

}  // namespace

OverviewSampler::OverviewSampler(Ports ports)
    : ports_(ports),
      feed_({}, ports.clock),
      handler_({.period = period_},
               {.feed = feed_, .clock = ports.clock, .ending = [this] { return ports_.health.draining(); }}),
      pool_({.name = "overview", .threads = 1, .max_queued = 1, .background = true}),
      watchers_(ports.registry.NewCallbackGauge("mezzo_api_overview_watchers", "Streams of the overview.",
                                                [this] { return static_cast<double>(feed_.watchers()); })) {}

void OverviewSampler::Start(runtime::Scope& scope, runtime::Loop& loop) {
  scope.Spawn(loop, runtime::Context(), [this](runtime::Context ctx) { return Run(std::move(ctx)); });
}

runtime::Task<Result<void>> OverviewSampler::Run(runtime::Context ctx) {
  while (true) {
    auto read = [this]() -> Result<OverviewCounts> { return Read(); };
    auto counts = co_await runtime::Offload(pool_, std::move(read));
    if (counts.ok()) feed_.Add(*std::move(counts));
    MEZZO_CO_TRY_VOID(co_await runtime::SleepUntil(ctx, ports_.clock.Now() + period_));
  }
}

OverviewCounts OverviewSampler::Read() const {
  std::map<std::pair<std::string, std::string>, OverviewCounts::Model> models;
  const auto model_of = [&](const observe::SeriesValue& series) -> OverviewCounts::Model& {
    auto& model = models[{series.labels.at(kModel), series.labels.at(kVersion)}];
    if (model.name.empty()) {
      model.name = series.labels.at(kModel);
      model.version = series.labels.at(kVersion);
    }
    return model;
  };
  for (const auto& series : observe::ReadSeries(ports_.metrics.requests)) {
    auto& model = model_of(series);
    const auto count = static_cast<std::uint64_t>(series.value);
    model.requests += count;
    if (series.labels.at(kOutcome) == "failure") model.failed += count;
  }
  for (const auto& series : observe::ReadSeries(ports_.metrics.request_time)) {
    auto& latency = model_of(series).latency;
    const auto& buckets = series.histogram.buckets;
    if (latency.size() < buckets.size()) latency.resize(buckets.size());
    for (std::size_t i = 0; i < buckets.size(); ++i) latency[i] += buckets[i];
  }
  for (const auto& series : observe::ReadSeries(ports_.metrics.device_time))
    model_of(series).device_seconds += series.value;
  for (const auto& series : observe::ReadSeries(ports_.metrics.queued))
    model_of(series).queued += static_cast<std::uint64_t>(std::max(0.0, series.value));

  OverviewCounts counts;
  counts.models.reserve(models.size());
  for (auto& [key, model] : models) counts.models.push_back(std::move(model));
  const auto totals = ports_.executor.totals();
  const auto slots = static_cast<std::uint32_t>(ports_.executor.options().scheduler.slots);
  counts.devices.push_back({.name = ports_.executor.options().name,
                            .slots = slots,
                            .busy_slots = slots - std::min(slots, totals.free_slots),
                            .queued = totals.queued_items,
                            .overload = ports_.executor.overload().signal});
  const auto refusals = ports_.limiter.refusals();
  counts.limited = std::accumulate(refusals.begin(), refusals.end(), std::uint64_t{0});
  return counts;
}

}  // namespace mezzo::app
