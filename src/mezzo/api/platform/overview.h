#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/mutex.h"
#include "mezzo/base/result.h"

namespace mezzo::api::platform {

/// What a host has counted since its start, and what is there now.
struct OverviewCounts {
  struct Model {
    std::string name;
    std::string version;
    std::uint64_t requests = 0;  ///< Ended, well or not.
    std::uint64_t failed = 0;    ///< Those of them that ended with an error.
    double device_seconds = 0;
    std::uint64_t queued = 0;            ///< Now.
    std::vector<std::uint64_t> latency;  ///< Ended calls by bucket of observe::Histogram; empty: none yet.
  };
  struct Device {
    std::string name;
    std::uint32_t slots = 0;
    std::uint32_t busy_slots = 0;  ///< Now.
    std::uint64_t queued = 0;      ///< Now.
    double overload = 0;           ///< Waiting times over what is fine; above 1 is too much.
  };
  std::vector<Model> models;  ///< Sorted by name and version, each once.
  std::vector<Device> devices;
  std::uint64_t limited = 0;  ///< Calls that a limit of a tenant refused.
};

/// One second of a host: rates are over the time since the sample before; quantiles over the last few, so
/// that they don't jump.
struct OverviewSample {
  struct Model {
    std::string name;
    std::string version;
    double requests = 0;        ///< A second.
    double failed = 0;          ///< A second.
    double device_seconds = 0;  ///< A second.
    std::uint64_t queued = 0;
    std::optional<double> p50, p99;  ///< Seconds; nothing when no call has ended.
  };
  std::uint64_t number = 0;  ///< Counts up by one.
  WallTime at;
  TimePoint taken{};
  double requests = 0;       ///< A second.
  double failed = 0;         ///< A second.
  double limited = 0;        ///< A second.
  double utilisation = 0;    ///< Device seconds a second over all slots; at most 1.
  std::uint64_t queued = 0;  ///< For all devices.
  std::optional<double> p50, p99;
  std::vector<OverviewCounts::Device> devices;
  std::vector<Model> models;  ///< The busiest, as many as are asked for.
  std::size_t all_models = 0;
};

/// Makes samples of counts, and keeps the last minutes of them without their models. Thread-safe.
class OverviewFeed {
 public:
  struct Options {
    std::size_t history = 300;         ///< Samples.
    std::size_t quantile_counts = 10;  ///< Quantiles are over the calls since this many counts ago.
    std::size_t max_models = 100;      ///< Of a sample.
    std::size_t max_watchers = 64;
  };
  /// `clock` outlives the feed.
  OverviewFeed(Options options, const Clock& clock) : options_(options), clock_(clock) {}

  /// What there is to count just now. The first counts make no sample: there is nothing to compare with. A
  /// count that has gone down began again at zero (its model was loaded anew).
  void Add(OverviewCounts counts) EXCLUDES(mu_);

  /// Null before the second Add().
  [[nodiscard]] std::shared_ptr<const OverviewSample> Latest() const EXCLUDES(mu_);
  /// Oldest first; without models.
  [[nodiscard]] std::vector<OverviewSample> History() const EXCLUDES(mu_);

  /// A place among those who watch, until the last copy goes.
  using Watch = std::shared_ptr<void>;
  /// kUnavailable "overview_busy" when there are `max_watchers`.
  Result<Watch> Enter() EXCLUDES(mu_);
  [[nodiscard]] std::size_t watchers() const { return static_cast<std::size_t>(*watchers_); }

 private:
  struct Taken {
    TimePoint at;
    OverviewCounts counts;
  };
  [[nodiscard]] OverviewSample Compare(const Taken& now, const Taken& before, const Taken& oldest) const;

  const Options options_;
  const Clock& clock_;
  /// Shared with watches, which may outlive the feed by a moment. Stands alone, no partner.
  const std::shared_ptr<std::atomic<std::size_t>> watchers_ = std::make_shared<std::atomic<std::size_t>>(0);
  mutable Mutex mu_;
  std::uint64_t next_ GUARDED_BY(mu_) = 1;
  std::deque<Taken> taken_ GUARDED_BY(mu_);
  std::deque<OverviewSample> history_ GUARDED_BY(mu_);
  std::shared_ptr<const OverviewSample> latest_ GUARDED_BY(mu_);
};

/// The data of an event of GET /v1/overview/events: one sample, with its models.
[[nodiscard]] std::string SampleJson(const OverviewSample& sample);
/// The answer of GET /v1/overview: the newest sample and the history; `latest` may be null.
[[nodiscard]] std::string OverviewJson(const OverviewSample* latest,
                                       const std::vector<OverviewSample>& history);

}  // namespace mezzo::api::platform
