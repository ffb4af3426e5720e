#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/sched/scheduler.h"

namespace mezzo::sched {

/// A small deterministic generator (SplitMix64) with the distributions simulations need, equal on every
/// platform's standard library.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t Next();
  /// In [0, 1).
  double Uniform();
  /// With mean 1.
  double Exponential();
  /// With mean 0 and deviation 1.
  double Normal();
  std::uint64_t Below(std::uint64_t bound) { return Next() % bound; }

 private:
  std::uint64_t state_;
};

struct SimulatedModel {
  Scheduler::ModelOptions options;
  Duration base{};  ///< True run time: (base + per_row · rows) times noise.
  Duration per_row{};
  double noise = 0;  ///< Deviation of the logarithm.
  double failure_rate = 0;
  double hang_rate = 0;  ///< Of runs that take `hang` instead.
  Duration hang = std::chrono::seconds(60);
};

struct SimulatedFlow {
  TenantIndex tenant{};
  ModelIndex model{};
  Class cls = Class::kStandard;
  /// Open loop: Poisson arrivals per second. 0: none.
  double rate = 0;
  /// Closed loop: so many clients, each waiting for its answer before it asks again (after a refusal: after
  /// the time it was told).
  std::uint32_t clients = 0;
  /// Arrival times since the start, ascending; for traces.
  std::vector<Duration> trace;
  Duration from{};                   ///< Poisson and closed loop begin here …
  Duration until = Duration::max();  ///< … and end here.
  std::uint32_t rows = 1;
  std::uint64_t batch_key = 0;
  bool may_shed = true;                                  ///< When the scheduler protects the device.
  Duration deadline{};                                   ///< After arrival; zero: none.
  double cancel_rate = 0;                                ///< Part of the items cancelled …
  Duration cancel_after = std::chrono::milliseconds(1);  ///< … after an exponential time of this mean.
};

/// One batch as it ran, for observers.
struct SimulatedRun {
  TimePoint start{};
  TimePoint end{};
  const Batch* batch = nullptr;
  std::size_t queued = 0;  ///< Items left behind when it started.
};

struct Simulation {
  Scheduler::Options scheduler;
  std::vector<SimulatedModel> models;
  std::vector<Scheduler::TenantOptions> tenants;
  std::vector<SimulatedFlow> flows;
  Duration duration = std::chrono::seconds(1);
  Duration
      measure_from{};  ///< What arrives or starts earlier, or after `duration`, is not counted in results.
  std::uint64_t seed = 1;
  std::function<void(const SimulatedRun&)> on_run;  ///< When a batch has ended, before its items return.
};

struct FlowResult {
  std::uint64_t offered = 0;
  std::uint64_t accepted = 0;
  std::uint64_t completed = 0;  ///< Ran, in time or not, and was not cancelled.
  std::uint64_t in_time = 0;    ///< Ran and met its deadline, or had none.
  std::uint64_t cancelled = 0;
  std::array<std::uint64_t, kRefusalCount> refused{};
  Duration service{};               ///< True device time of runs that were counted, by rows.
  std::vector<Duration> latencies;  ///< From arrival to the end of the run, of `completed`.

  [[nodiscard]] std::uint64_t refusals() const;
  /// Of latencies, 0 ≤ `quantile` ≤ 1; zero when there are none.
  [[nodiscard]] Duration Latency(double quantile) const;
};

struct SimulationResult {
  std::vector<FlowResult> flows;
  std::uint64_t batches = 0;
  std::uint64_t rows = 0;
  Duration busy{};  ///< Slot time of runs that were counted.
  std::size_t most_queued = 0;
  std::uint64_t schedule_hash = 0;  ///< Of every dispatch: equal for equal schedules.
  /// Broken promises: a slot idle beside work that could run, an item that ended twice or never, a queue over
  /// its limit. At most a few are kept; empty is right.
  std::vector<std::string> violations;

  [[nodiscard]] FlowResult Total() const;
};

/// Drives a real Scheduler in virtual time; the same simulation gives the same result, to the bit.
SimulationResult Simulate(const Simulation& simulation);

}  // namespace mezzo::sched
