#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/mutex.h"
#include "mezzo/base/result.h"
#include "mezzo/lifecycle/drift_store.h"
#include "mezzo/lifecycle/trigger_sink.h"
#include "mezzo/observe/log.h"
#include "mezzo/observe/metrics.h"
#include "mezzo/runtime/periodic_thread.h"
#include "mezzo/tensor/tensor.h"

namespace mezzo::lifecycle {

/// What sampled calls of one version had in their tensors since the last Take(). Of each tensor a few values;
/// of a version at most `max_tensors` tensors in each direction, the first that come. Thread-safe; a mutex,
/// for sampled calls only.
class DriftRecorder {
 public:
  struct Options {
    std::size_t values_per_call = 8;  ///< Few: values of one call resemble one another.
    std::size_t max_tensors = 16;     ///< In each direction.
    std::size_t max_values = 16'384;  ///< Of a tensor, between two Take(); further calls are left out.
  };
  explicit DriftRecorder(Options options) : options_(options) {}

  /// Takes a few values. Bounded: some microseconds, whatever the tensor's size.
  void Add(bool output, std::string_view name, const tensor::Tensor& tensor) EXCLUDES(mu_);
  void AddValues(bool output, std::string_view name, std::span<const double> values) EXCLUDES(mu_);

  struct Seen {
    std::uint64_t calls = 0;
    std::vector<double> values;
  };
  using Tensors = std::map<std::pair<bool, std::string>, Seen>;  ///< By direction (true: output) and name.
  Tensors Take() EXCLUDES(mu_);

 private:
  const Options options_;
  Mutex mu_;
  Tensors seen_ GUARDED_BY(mu_);
  std::size_t turn_ GUARDED_BY(mu_) = 0;
};

/// Watches versions for drift, together with all hosts: the first `reference_calls` sampled calls of a
/// version, on whichever host has them first, are its reference; what all hosts see later, in slots of time,
/// is added up and compared with it. A version whose PSI stays at its threshold or above for `sustain` is a
/// breach, which is logged and fired once.
///
/// A thread of its own flushes every `flush`. Metrics: mezzo_drift_psi, mezzo_drift_ks, mezzo_drift_breached.
/// Memory: `max_tensors` tensors on a host, of each some 16 KiB at most. Thread-safe.
class DriftMonitor {
 public:
  struct Options {
    std::string host;  ///< Names this process, and no other at the same time.
    DriftRecorder::Options recorder;
    std::size_t bins = 20;
    std::uint64_t reference_calls = 512;
    std::uint64_t min_calls = 512;  ///< Sampled, of all hosts in the window; fewer tell nothing.
    Duration window = std::chrono::minutes(10);
    std::size_t slots = 5;  ///< Of the window.
    Duration flush = std::chrono::seconds(5);
    double threshold = 0.25;  ///< Of PSI; a model's tag "drift.psi" says otherwise.
    Duration sustain = std::chrono::minutes(1);
    std::size_t max_tensors = 1024;  ///< Of all versions on this host; further ones are not watched.
    Duration database_timeout = std::chrono::seconds(10);
  };
  /// All outlive the monitor. `clock` is that of all hosts.
  struct Ports {
    DriftStore& store;
    const Clock& clock;
    observe::Logger& log;
    observe::Registry& metrics;
  };
  DriftMonitor(Options options, Ports ports);

  /// Whom a breach is told. Before Start(); outlives the monitor.
  void set_triggers(TriggerSink* triggers) { triggers_ = triggers; }
  /// Where calls of the version are recorded: one for all its loads.
  std::shared_ptr<DriftRecorder> RecorderOf(const std::string& model, std::int64_t version) EXCLUDES(mu_);

  /// Writes what was seen, reads what others saw, judges. Not thread-safe: the own thread, or a test without
  /// it.
  Result<void> Flush();
  void Start() { thread_.Start(); }
  /// Waits for the Flush() that runs.
  void Stop() { thread_.Stop(); }

  [[nodiscard]] const Options& options() const { return options_; }
  /// The first slot of the window that ends now.
  [[nodiscard]] std::int64_t FirstSlot() const { return SlotOf(ports_.clock.WallNow()) - Slots() + 1; }
  [[nodiscard]] double ThresholdOf(const std::map<std::string, double>& tags, const std::string& model) const;

 private:
  /// What is known of a tensor on this host.
  struct Track {
    std::vector<double> collected;  // Before there is a reference.
    std::uint64_t collected_calls = 0;
    std::optional<DriftReference> reference;
    DriftWindow window;  // Of the slot that runs.
    bool unsaved = false;
    observe::Series<observe::Gauge> psi, ks;
    bool shown = false;
  };

  void FlushAndLog();
  [[nodiscard]] std::int64_t Slots() const { return static_cast<std::int64_t>(options_.slots); }
  [[nodiscard]] std::int64_t SlotOf(WallTime at) const;
  void Collect();
  Result<void> LearnReferences(TimePoint deadline);
  Result<void> ProposeReferences(TimePoint deadline);
  void Begin(Track& track, const DriftReference& reference) const;
  Result<void> WriteWindows(TimePoint deadline);
  Result<void> Judge(TimePoint deadline);
  Result<void> JudgeVersion(const WatchedVersion& version, const std::vector<const DriftFinding*>& findings,
                            double threshold, TimePoint deadline);

  const Options options_;
  const Ports ports_;
  observe::Family<observe::Gauge>& psi_;
  observe::Family<observe::Gauge>& ks_;
  observe::Family<observe::Gauge>& breached_;
  observe::Counter& fired_;
  TriggerSink* triggers_ = nullptr;
  Mutex mu_;
  std::map<WatchedVersion, std::shared_ptr<DriftRecorder>> recorders_ GUARDED_BY(mu_);
  // Flush() only:
  std::map<WatchedTensor, Track> tracks_;
  std::map<WatchedTensor, DriftReference> references_;  // Of all versions, as of known_.
  std::map<WatchedVersion, bool> breaching_;            // What was found last; unknown at first.
  std::map<WatchedVersion, observe::Series<observe::Gauge>> breach_gauges_;
  std::int64_t known_ = 0;
  std::int64_t pruned_ = 0;
  runtime::PeriodicThread thread_;  // Last: uses everything above.
};

}  // namespace mezzo::lifecycle
