#include "mezzo/observe/metrics.h"

#include <algorithm>
#include <type_traits>

#include "mezzo/base/check.h"
#include "mezzo/base/strings.h"
#include "mezzo/base/utf8.h"
#include "mezzo/observe/internal/writer.h"

namespace mezzo::observe {
namespace {

constexpr std::size_t kMaxLabelBytes = 128;
constexpr std::size_t kMaxNameBytes = 100;
constexpr std::string_view kOther = "other";

Result<void> BadName(std::string_view name, std::string_view why) {
  return InvalidArgument("invalid_metric_name", "metric name '" + Printable(name) + "' " + std::string(why));
}

bool IsLabelName(std::string_view name) {
  const auto allowed = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; };
  return !name.empty() && name[0] >= 'a' && name[0] <= 'z' && std::ranges::all_of(name, allowed) &&
         name != "le" && name != "quantile";
}

MetricDescription Described(std::string_view name, MetricType type, std::string_view help,
                            Registry::Names labels) {
  return {.name = std::string(name),
          .type = type,
          .help = std::string(help),
          .labels = std::vector<std::string>(labels.begin(), labels.end())};
}

}  // namespace

Result<void> CheckMetricName(std::string_view name, MetricType type) {
  const auto allowed = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; };
  if (!name.starts_with("mezzo_") || name.size() == 6 || !std::ranges::all_of(name, allowed)) {
    return BadName(name, "must have the form mezzo_[a-z0-9_]+");
  }
  if (name.size() > kMaxNameBytes) return BadName(name, "is longer than 100 bytes");
  if (name.ends_with('_') || name.find("__") != std::string_view::npos)
    return BadName(name, "has an empty word");
  const bool total = name.ends_with("_total");
  if (total != (type == MetricType::kCounter)) {
    return BadName(name, total ? "ends in _total but is no counter" : "must end in _total: it is a counter");
  }
  const std::string_view stem = total ? name.substr(0, name.size() - 6) : name;
  for (const std::string_view suffix : {"_bucket", "_sum", "_count", "_created", "_total"}) {
    if (stem.ends_with(suffix))
      return BadName(name, "ends in " + std::string(suffix) + ", which the format reserves");
  }
  for (const std::string_view unit :
       {"_ms", "_us", "_ns", "_milliseconds", "_microseconds", "_nanoseconds", "_minutes", "_hours", "_kb",
        "_mb", "_gb", "_kib", "_mib", "_percent"}) {
    if (stem.ends_with(unit)) return BadName(name, "must use a base unit (_seconds, _bytes, _ratio)");
  }
  const bool seconds = stem.ends_with("_seconds");
  if (type == MetricType::kLatencyHistogram && !seconds)
    return BadName(name, "must end in _seconds: it is a latency");
  if (type == MetricType::kSizeHistogram && seconds)
    return BadName(name, "ends in _seconds but counts sizes");
  return {};
}

namespace internal {

AnyFamily::AnyFamily(MetricDescription description, std::size_t max_series, Counter* dropped)
    : description_(std::move(description)), max_series_(max_series), dropped_(dropped) {}

LabelSet AnyFamily::Clean(std::span<const std::string_view> values) const {
  MEZZO_CHECK(values.size() == description_.labels.size());
  LabelSet clean;
  clean.reserve(values.size());
  for (const std::string_view value : values) clean.push_back(ToUtf8(value, kMaxLabelBytes));
  return clean;
}

void AnyFamily::CountDropped() const {
  if (dropped_ != nullptr) dropped_->Add();
}

}  // namespace internal

template <typename T>
typename Family<T>::Map::iterator Family<T>::Find(internal::LabelSet values) {
  const auto found = series_.find(values);
  if (found != series_.end()) return found;
  if (series_.size() < max_series() || values.empty()) return series_.try_emplace(std::move(values)).first;

  // Pinned and beyond the bound: there is always room for this one.
  CountDropped();
  const auto other = series_.try_emplace(internal::LabelSet(values.size(), std::string(kOther))).first;
  other->second.pinned = true;
  return other;
}

template <typename T>
T& Family<T>::With(std::span<const std::string_view> values) {
  internal::LabelSet clean = Clean(values);
  const MutexLock lock(mu_);
  const auto entry = Find(std::move(clean));
  entry->second.pinned = true;
  return *entry->second.instrument;
}

template <typename T>
Series<T> Family<T>::Lease(std::span<const std::string_view> values) {
  internal::LabelSet clean = Clean(values);
  const MutexLock lock(mu_);
  const auto entry = Find(std::move(clean));
  ++entry->second.leases;
  return Series<T>(this, entry);
}

template <typename T>
void Family<T>::Release(typename Map::iterator entry) {
  const MutexLock lock(mu_);
  if (--entry->second.leases == 0 && !entry->second.pinned) series_.erase(entry);
}

template <typename T>
std::size_t Family<T>::size() const {
  const MutexLock lock(mu_);
  return series_.size();
}

template <typename T>
void Family<T>::Write(internal::ExpositionWriter& out) const {
  const MutexLock lock(mu_);
  if (series_.empty()) return;
  out.BeginFamily(description());
  for (const auto& [values, entry] : series_) {
    if constexpr (std::is_same_v<T, Counter> || std::is_same_v<T, Gauge>) {
      out.Value(values, entry.instrument->value());
    } else {
      out.Histogram(values, entry.instrument->Snapshot(), T::Bounds());
    }
  }
}

template class Family<Counter>;
template class Family<Gauge>;
template class Family<Histogram>;
template class Family<SizeHistogram>;

Callback::~Callback() {
  if (family_ != nullptr) family_->Remove(id_);
}

Callback CallbackFamily::Add(std::span<const std::string_view> values, Function read) {
  internal::LabelSet clean = Clean(values);
  const MutexLock lock(mu_);
  if (callbacks_.size() >= max_series()) {
    CountDropped();
    return {};
  }
  const std::uint64_t id = next_id_++;
  callbacks_.push_back({.id = id, .values = std::move(clean), .read = std::move(read)});
  return {this, id};
}

void CallbackFamily::Remove(std::uint64_t id) {
  const MutexLock lock(mu_);
  std::erase_if(callbacks_, [id](const Registered& registered) { return registered.id == id; });
}

void CallbackFamily::Write(internal::ExpositionWriter& out) const {
  const MutexLock lock(mu_);
  if (callbacks_.empty()) return;
  std::map<internal::LabelSet, const Function*> newest;
  for (const Registered& registered : callbacks_) newest[registered.values] = &registered.read;
  out.BeginFamily(description());
  for (const auto& [values, read] : newest) out.Value(values, (*read)());
}

Registry::Registry() {
  constexpr std::string_view kName = "mezzo_observe_series_dropped_total";
  const MutexLock lock(mu_);
  auto description =
      Described(kName, MetricType::kCounter,
                "Lookups answered with the series 'other' because a metric had too many series, by metric.",
                {"metric"});
  auto family = std::make_unique<Family<Counter>>(std::move(description), kDefaultMaxSeries, nullptr);
  dropped_ = family.get();
  families_.emplace(kName, std::move(family));
}

template <typename F>
F& Registry::Get(MetricDescription description, std::size_t max_series) {
  MEZZO_CHECK(CheckMetricName(description.name, description.type).ok());
  MEZZO_CHECK(std::ranges::all_of(description.labels, IsLabelName));
  Counter* dropped = description.labels.empty() ? nullptr : &dropped_->With({description.name});
  const MutexLock lock(mu_);
  auto& slot = families_[description.name];
  if (slot == nullptr) {
    slot = std::make_unique<F>(std::move(description), max_series, dropped);
    return static_cast<F&>(*slot);
  }
  F* const same = dynamic_cast<F*>(slot.get());
  MEZZO_CHECK(same != nullptr && same->description().type == description.type &&
              same->description().labels == description.labels);
  return *same;
}

Family<Counter>& Registry::NewCounterFamily(std::string_view name, std::string_view help, Names labels,
                                            std::size_t max_series) {
  return Get<Family<Counter>>(Described(name, MetricType::kCounter, help, labels), max_series);
}

Family<Gauge>& Registry::NewGaugeFamily(std::string_view name, std::string_view help, Names labels,
                                        std::size_t max_series) {
  return Get<Family<Gauge>>(Described(name, MetricType::kGauge, help, labels), max_series);
}

Family<Histogram>& Registry::NewHistogramFamily(std::string_view name, std::string_view help, Names labels,
                                                std::size_t max_series) {
  return Get<Family<Histogram>>(Described(name, MetricType::kLatencyHistogram, help, labels), max_series);
}

Family<SizeHistogram>& Registry::NewSizeHistogramFamily(std::string_view name, std::string_view help,
                                                        Names labels, std::size_t max_series) {
  return Get<Family<SizeHistogram>>(Described(name, MetricType::kSizeHistogram, help, labels), max_series);
}

CallbackFamily& Registry::NewCallbackFamily(std::string_view name, std::string_view help, MetricType type,
                                            Names labels, std::size_t max_series) {
  MEZZO_CHECK(type == MetricType::kCounter || type == MetricType::kGauge);
  return Get<CallbackFamily>(Described(name, type, help, labels), max_series);
}

template <typename T>
T& Registry::GetSingle(std::string_view name, MetricType type, std::string_view help, Labels labels) {
  MetricDescription description = Described(name, type, help, {});
  std::vector<std::string_view> values;
  for (const auto& [label, value] : labels) {
    description.labels.emplace_back(label);
    values.push_back(value);
  }
  return Get<Family<T>>(std::move(description), kDefaultMaxSeries)
      .With(std::span<const std::string_view>(values));
}

Counter& Registry::NewCounter(std::string_view name, std::string_view help, Labels labels) {
  return GetSingle<Counter>(name, MetricType::kCounter, help, labels);
}
Gauge& Registry::NewGauge(std::string_view name, std::string_view help, Labels labels) {
  return GetSingle<Gauge>(name, MetricType::kGauge, help, labels);
}
Histogram& Registry::NewHistogram(std::string_view name, std::string_view help, Labels labels) {
  return GetSingle<Histogram>(name, MetricType::kLatencyHistogram, help, labels);
}
SizeHistogram& Registry::NewSizeHistogram(std::string_view name, std::string_view help, Labels labels) {
  return GetSingle<SizeHistogram>(name, MetricType::kSizeHistogram, help, labels);
}

Callback Registry::NewCallbackGauge(std::string_view name, std::string_view help,
                                    CallbackFamily::Function read) {
  return NewCallbackFamily(name, help, MetricType::kGauge, {}).Add({}, std::move(read));
}

Callback Registry::NewCallbackCounter(std::string_view name, std::string_view help,
                                      CallbackFamily::Function read) {
  return NewCallbackFamily(name, help, MetricType::kCounter, {}).Add({}, std::move(read));
}

std::vector<const internal::AnyFamily*> Registry::Families() const {
  // Families never go away, so writing them needs no lock on the registry.
  const MutexLock lock(mu_);
  std::vector<const internal::AnyFamily*> families;
  families.reserve(families_.size());
  for (const auto& [name, family] : families_) families.push_back(family.get());
  return families;
}

std::vector<MetricDescription> Registry::Describe() const {
  const std::vector<const internal::AnyFamily*> families = Families();
  std::vector<MetricDescription> descriptions;
  descriptions.reserve(families.size());
  for (const internal::AnyFamily* family : families) descriptions.push_back(family->description());
  return descriptions;
}

void Registry::Write(internal::ExpositionWriter& out) const {
  for (const internal::AnyFamily* family : Families()) family->Write(out);
}

}  // namespace mezzo::observe
