#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mezzo/base/mutex.h"
#include "mezzo/base/result.h"
#include "mezzo/observe/instruments.h"

namespace mezzo::observe {

namespace internal {
class ExpositionWriter;
}

enum class MetricType : std::uint8_t { kCounter, kGauge, kLatencyHistogram, kSizeHistogram };

/// Says what is wrong with a metric's name: `mezzo_[a-z0-9_]+`, base units only (`_seconds`, `_bytes`),
/// counters and only they end in `_total`, latency histograms end in `_seconds`, size histograms don't.
Result<void> CheckMetricName(std::string_view name, MetricType type);

/// What a golden list of metrics shows.
struct MetricDescription {
  std::string name;
  MetricType type = MetricType::kCounter;
  std::string help;
  std::vector<std::string> labels;
};

namespace internal {

using LabelSet = std::vector<std::string>;  ///< Values, in the order of the family's label names.

/// What all families share. Immutable but for the series that subclasses hold.
class AnyFamily {
 public:
  AnyFamily(MetricDescription description, std::size_t max_series, Counter* dropped);
  virtual ~AnyFamily() = default;
  AnyFamily(const AnyFamily&) = delete;
  AnyFamily& operator=(const AnyFamily&) = delete;

  [[nodiscard]] const MetricDescription& description() const { return description_; }
  virtual void Write(ExpositionWriter& out) const = 0;

 protected:
  /// As label values are shown: UTF-8, at most 128 bytes. Aborts when there are not as many as label names.
  [[nodiscard]] LabelSet Clean(std::span<const std::string_view> values) const;
  [[nodiscard]] std::size_t max_series() const { return max_series_; }
  void CountDropped() const;

 private:
  const MetricDescription description_;
  const std::size_t max_series_;
  Counter* const dropped_;  // Null only in the family that holds these counters.
};

template <typename T>
struct SeriesEntry {
  std::unique_ptr<T> instrument = std::make_unique<T>();
  std::size_t leases = 0;
  bool pinned = false;  ///< Someone holds a bare reference: stays for good.
};

}  // namespace internal

template <typename T>
class Family;

/// A series that is exposed for as long as a lease on it lives; for things that come and go, such as loaded
/// models. Move-only. Must not outlive the registry. Empty after a move.
template <typename T>
class Series {
 public:
  Series() = default;
  Series(Series&& other) noexcept : family_(std::exchange(other.family_, nullptr)), entry_(other.entry_) {}
  Series& operator=(Series&& other) noexcept {
    std::swap(family_, other.family_);
    std::swap(entry_, other.entry_);
    return *this;
  }
  ~Series() {
    if (family_ != nullptr) family_->Release(entry_);
  }

  T& operator*() const { return *entry_->second.instrument; }
  T* operator->() const { return entry_->second.instrument.get(); }

 private:
  friend class Family<T>;
  using Entry = typename std::map<internal::LabelSet, internal::SeriesEntry<T>>::iterator;
  Series(Family<T>* family, Entry entry) : family_(family), entry_(entry) {}

  Family<T>* family_ = nullptr;
  Entry entry_{};
};

/// One metric name with its series, one for each set of label values, at most `max_series` of them. Past
/// that, every new set of values shares the series whose labels all say "other", and
/// `mezzo_observe_series_dropped_total` counts.
///
/// Thread-safe. With() and Lease() take a lock: look a series up once and keep the handle.
template <typename T>
class Family final : public internal::AnyFamily {
 public:
  using internal::AnyFamily::AnyFamily;

  /// The series with these label values, one for each label name. The reference holds until the registry
  /// dies.
  T& With(std::span<const std::string_view> values) EXCLUDES(mu_);
  T& With(std::initializer_list<std::string_view> values) EXCLUDES(mu_) {
    return With(std::span(values.begin(), values.size()));
  }
  /// The same, but the series disappears when its last lease does, unless With() was asked for it too.
  [[nodiscard]] Series<T> Lease(std::span<const std::string_view> values) EXCLUDES(mu_);
  [[nodiscard]] Series<T> Lease(std::initializer_list<std::string_view> values) EXCLUDES(mu_) {
    return Lease(std::span(values.begin(), values.size()));
  }
  [[nodiscard]] std::size_t size() const EXCLUDES(mu_);

  void Write(internal::ExpositionWriter& out) const override EXCLUDES(mu_);

 private:
  friend class Series<T>;
  using Map = std::map<internal::LabelSet, internal::SeriesEntry<T>>;

  typename Map::iterator Find(internal::LabelSet values) REQUIRES(mu_);
  void Release(typename Map::iterator entry) EXCLUDES(mu_);

  mutable Mutex mu_;
  Map series_ GUARDED_BY(mu_);  // Sorted: exposition is deterministic.
};

extern template class Family<Counter>;
extern template class Family<Gauge>;
extern template class Family<Histogram>;
extern template class Family<SizeHistogram>;

class CallbackFamily;

/// Keeps a callback registered. Destroying it waits until a running evaluation ends, so whatever the callback
/// reads may die next; don't destroy it under a lock that the callback takes. Must not outlive the registry.
class [[nodiscard]] Callback {
 public:
  Callback() = default;
  Callback(Callback&& other) noexcept : family_(std::exchange(other.family_, nullptr)), id_(other.id_) {}
  Callback& operator=(Callback&& other) noexcept {
    std::swap(family_, other.family_);
    std::swap(id_, other.id_);
    return *this;
  }
  ~Callback();

 private:
  friend class CallbackFamily;
  Callback(CallbackFamily* family, std::uint64_t id) : family_(family), id_(id) {}

  CallbackFamily* family_ = nullptr;
  std::uint64_t id_ = 0;
};

/// Values read when a scrape asks for them. Of several callbacks with equal labels the newest is shown, so
/// that a new instance may register before the old one is gone. Past `max_series` a callback is not
/// registered, but counted. Thread-safe.
class CallbackFamily final : public internal::AnyFamily {
 public:
  using Function = std::function<double()>;
  using internal::AnyFamily::AnyFamily;

  /// `read` runs on the scraping thread; it must be quick and must not use the registry.
  Callback Add(std::span<const std::string_view> values, Function read) EXCLUDES(mu_);
  Callback Add(std::initializer_list<std::string_view> values, Function read) EXCLUDES(mu_) {
    return Add(std::span(values.begin(), values.size()), std::move(read));
  }

  void Write(internal::ExpositionWriter& out) const override EXCLUDES(mu_);

 private:
  friend class Callback;
  struct Registered {
    std::uint64_t id;
    internal::LabelSet values;
    Function read;
  };

  void Remove(std::uint64_t id) EXCLUDES(mu_);

  mutable Mutex mu_;
  std::uint64_t next_id_ GUARDED_BY(mu_) = 1;
  std::vector<Registered> callbacks_ GUARDED_BY(mu_);
};

/// All metrics of one server. Families live as long as the registry and have stable addresses.
///
/// Asking again for a name gives the same family; with another type or other labels, or with a bad name
/// (CheckMetricName), it aborts: names are written in code. Thread-safe.
class Registry {
 public:
  static constexpr std::size_t kDefaultMaxSeries = 1024;
  using Names = std::initializer_list<std::string_view>;
  using Labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;

  Registry();

  Family<Counter>& NewCounterFamily(std::string_view name, std::string_view help, Names labels,
                                    std::size_t max_series = kDefaultMaxSeries);
  Family<Gauge>& NewGaugeFamily(std::string_view name, std::string_view help, Names labels,
                                std::size_t max_series = kDefaultMaxSeries);
  Family<Histogram>& NewHistogramFamily(std::string_view name, std::string_view help, Names labels,
                                        std::size_t max_series = kDefaultMaxSeries);
  Family<SizeHistogram>& NewSizeHistogramFamily(std::string_view name, std::string_view help, Names labels,
                                                std::size_t max_series = kDefaultMaxSeries);
  /// `type` is kCounter or kGauge. A counter's callback must never go down.
  CallbackFamily& NewCallbackFamily(std::string_view name, std::string_view help, MetricType type,
                                    Names labels, std::size_t max_series = kDefaultMaxSeries);

  /// One series with fixed labels, there for good.
  Counter& NewCounter(std::string_view name, std::string_view help, Labels labels = {});
  Gauge& NewGauge(std::string_view name, std::string_view help, Labels labels = {});
  Histogram& NewHistogram(std::string_view name, std::string_view help, Labels labels = {});
  SizeHistogram& NewSizeHistogram(std::string_view name, std::string_view help, Labels labels = {});
  Callback NewCallbackGauge(std::string_view name, std::string_view help, CallbackFamily::Function read);
  Callback NewCallbackCounter(std::string_view name, std::string_view help, CallbackFamily::Function read);

  /// Every family, by name.
  [[nodiscard]] std::vector<MetricDescription> Describe() const EXCLUDES(mu_);
  /// Writes every family, by name. Used by Render() (exposition.h).
  void Write(internal::ExpositionWriter& out) const EXCLUDES(mu_);

 private:
  template <typename F>
  F& Get(MetricDescription description, std::size_t max_series) EXCLUDES(mu_);
  template <typename T>
  T& GetSingle(std::string_view name, MetricType type, std::string_view help, Labels labels);
  [[nodiscard]] std::vector<const internal::AnyFamily*> Families() const EXCLUDES(mu_);

  mutable Mutex mu_;
  std::map<std::string, std::unique_ptr<internal::AnyFamily>, std::less<>> families_ GUARDED_BY(mu_);
  Family<Counter>* dropped_ = nullptr;  // Set once by the constructor; owned by families_.
};

}  // namespace mezzo::observe
