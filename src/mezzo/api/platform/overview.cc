#include "mezzo/api/platform/overview.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include <nlohmann/json.hpp>

#include "mezzo/api/platform/job_json.h"
#include "mezzo/observe/instruments.h"

namespace mezzo::api::platform {
namespace {

using Json = nlohmann::ordered_json;

/// What has been added since `before`; a count that went down began again at zero.
std::uint64_t Grown(std::uint64_t now, std::uint64_t before) { return now >= before ? now - before : now; }
double Grown(double now, double before) { return now >= before ? now - before : now; }

const OverviewCounts::Model* FindModel(const OverviewCounts& counts, const OverviewCounts::Model& model) {
  const auto key = [](const OverviewCounts::Model& m) { return std::tie(m.name, m.version); };
  const auto at = std::lower_bound(counts.models.begin(), counts.models.end(), model,
                                   [&](const auto& a, const auto& b) { return key(a) < key(b); });
  return at != counts.models.end() && key(*at) == key(model) ? &*at : nullptr;
}

/// Calls that ended since `before` (null: since the start), by bucket.
observe::HistogramSnapshot Ended(const OverviewCounts::Model& now, const OverviewCounts::Model* before) {
  observe::HistogramSnapshot ended;
  ended.buckets = now.latency;
  // Began again: its buckets say nothing about the ones before.
  const bool goes_on = before != nullptr && before->requests <= now.requests;
  for (std::size_t i = 0; i < ended.buckets.size(); ++i) {
    if (goes_on && i < before->latency.size()) ended.buckets[i] = Grown(ended.buckets[i], before->latency[i]);
    ended.count += ended.buckets[i];
  }
  return ended;
}

std::optional<double> QuantileOf(const observe::HistogramSnapshot& ended, double q) {
  if (ended.count == 0) return std::nullopt;
  return ended.Quantile(q, observe::Histogram::Bounds());
}

void AddTo(observe::HistogramSnapshot& sum, const observe::HistogramSnapshot& part) {
  if (sum.buckets.size() < part.buckets.size()) sum.buckets.resize(part.buckets.size());
  for (std::size_t i = 0; i < part.buckets.size(); ++i) sum.buckets[i] += part.buckets[i];
  sum.count += part.count;
}

Json Milliseconds(const std::optional<double>& seconds) {
  return seconds ? Json(*seconds * 1e3) : Json(nullptr);
}

Json ToJson(const OverviewSample& sample) {
  return {{"number", sample.number},
          {"at", TimeText(sample.at)},
          {"requests_per_second", sample.requests},
          {"failed_per_second", sample.failed},
          {"limited_per_second", sample.limited},
          {"p50_ms", Milliseconds(sample.p50)},
          {"p99_ms", Milliseconds(sample.p99)},
          {"queued", sample.queued},
          {"utilisation", sample.utilisation}};
}

Json WithModels(const OverviewSample& sample) {
  Json json = ToJson(sample);
  Json devices = Json::array();
  for (const auto& device : sample.devices) {
    devices.push_back({{"name", device.name},
                       {"slots", device.slots},
                       {"busy_slots", device.busy_slots},
                       {"queued", device.queued},
                       {"overload", device.overload}});
  }
  Json models = Json::array();
  for (const auto& model : sample.models) {
    models.push_back({{"model", model.name},
                      {"version", model.version},
                      {"requests_per_second", model.requests},
                      {"failed_per_second", model.failed},
                      {"p50_ms", Milliseconds(model.p50)},
                      {"p99_ms", Milliseconds(model.p99)},
                      {"queued", model.queued},
                      {"device_seconds_per_second", model.device_seconds}});
  }
  json["devices"] = std::move(devices);
  json["models"] = std::move(models);
  json["all_models"] = sample.all_models;
  return json;
}

std::string Dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

}  // namespace

void OverviewFeed::Add(OverviewCounts counts) {
  const MutexLock lock(mu_);
  taken_.push_back({.at = clock_.Now(), .counts = std::move(counts)});
  if (taken_.size() > options_.quantile_counts + 1) taken_.pop_front();
  if (taken_.size() < 2) return;
  OverviewSample sample = Compare(taken_.back(), taken_[taken_.size() - 2], taken_.front());
  sample.number = next_++;
  OverviewSample kept = sample;
  kept.models.clear();
  kept.devices.clear();
  history_.push_back(std::move(kept));
  if (history_.size() > options_.history) history_.pop_front();
  latest_ = std::make_shared<const OverviewSample>(std::move(sample));
}

OverviewSample OverviewFeed::Compare(const Taken& now, const Taken& before, const Taken& oldest) const {
  OverviewSample sample{.at = clock_.WallNow(), .taken = now.at};
  const double seconds = std::max(Seconds(now.at - before.at), 1e-3);
  observe::HistogramSnapshot ended;
  double device_seconds = 0;
  for (const OverviewCounts::Model& model : now.counts.models) {
    const OverviewCounts::Model* last = FindModel(before.counts, model);
    const OverviewCounts::Model none;
    const OverviewCounts::Model& from = last != nullptr ? *last : none;
    const observe::HistogramSnapshot of_model = Ended(model, FindModel(oldest.counts, model));
    AddTo(ended, of_model);
    OverviewSample::Model made{
        .name = model.name,
        .version = model.version,
        .requests = static_cast<double>(Grown(model.requests, from.requests)) / seconds,
        .failed = static_cast<double>(Grown(model.failed, from.failed)) / seconds,
        .device_seconds = Grown(model.device_seconds, from.device_seconds) / seconds,
        .queued = model.queued,
        .p50 = QuantileOf(of_model, 0.5),
        .p99 = QuantileOf(of_model, 0.99)};
    sample.requests += made.requests;
    sample.failed += made.failed;
    device_seconds += made.device_seconds;
    sample.models.push_back(std::move(made));
  }
  sample.limited = static_cast<double>(Grown(now.counts.limited, before.counts.limited)) / seconds;
  sample.p50 = QuantileOf(ended, 0.5);
  sample.p99 = QuantileOf(ended, 0.99);
  std::uint32_t slots = 0;
  for (const auto& device : now.counts.devices) {
    slots += device.slots;
    sample.queued += device.queued;
  }
  sample.utilisation = slots > 0 ? std::min(1.0, device_seconds / slots) : 0;
  sample.devices = now.counts.devices;
  sample.all_models = sample.models.size();
  std::sort(sample.models.begin(), sample.models.end(), [](const auto& a, const auto& b) {
    return std::tie(b.requests, a.name, a.version) < std::tie(a.requests, b.name, b.version);
  });
  if (sample.models.size() > options_.max_models) sample.models.resize(options_.max_models);
  return sample;
}

std::shared_ptr<const OverviewSample> OverviewFeed::Latest() const {
  const MutexLock lock(mu_);
  return latest_;
}

std::vector<OverviewSample> OverviewFeed::History() const {
  const MutexLock lock(mu_);
  return {history_.begin(), history_.end()};
}

Result<OverviewFeed::Watch> OverviewFeed::Enter() {
  if (watchers_->fetch_add(1) >= options_.max_watchers) {
    watchers_->fetch_sub(1);
    return Unavailable("overview_busy", "this host shows its overview to " +
                                            std::to_string(options_.max_watchers) +
                                            " watchers already, which is the limit");
  }
  return Watch(nullptr, [count = watchers_](void* /*nothing*/) { count->fetch_sub(1); });
}

std::string SampleJson(const OverviewSample& sample) { return Dump(WithModels(sample)); }

std::string OverviewJson(const OverviewSample* latest, const std::vector<OverviewSample>& history) {
  Json samples = Json::array();
  for (const OverviewSample& sample : history) samples.push_back(ToJson(sample));
  return Dump({{"object", "overview"},
               {"latest", latest != nullptr ? WithModels(*latest) : Json(nullptr)},
               {"history", std::move(samples)}});
}

}  // namespace mezzo::api::platform
