#pragma once

#include <array>
#include <atomic>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/mutex.h"
#include "mezzo/base/result.h"
#include "mezzo/releases/latency_histogram.h"
#include "mezzo/releases/outcome_sink.h"

namespace mezzo::releases {

/// Count, sum and sum of squares: what a mean and its error need.
struct Moments {
  std::uint64_t count = 0;
  double sum = 0;
  double squares = 0;

  void Add(double value) {
    ++count;
    sum += value;
    squares += value * value;
  }
  Moments& operator+=(const Moments& other);
  [[nodiscard]] double mean() const { return count == 0 ? 0 : sum / static_cast<double>(count); }
  /// Of the sample, with n - 1; 0 below two values.
  [[nodiscard]] double variance() const;
  friend bool operator==(const Moments&, const Moments&) = default;
};

inline constexpr std::size_t kCustomMetrics = 4;  ///< Of a release, in the order its policy names them.

/// Of SSIM from 0 to 1, in steps of 0.05.
inline constexpr std::size_t kLikenessBuckets = 20;
std::size_t LikenessBucket(double likeness);

/// What calls of an arm came to, all together. Sums of summaries are summaries.
struct OutcomeSummary {
  std::uint64_t calls = 0;
  std::uint64_t errors = 0;
  std::uint64_t retried = 0;
  std::uint64_t late = 0;
  std::uint64_t kept = 0;  ///< Answered from the cache, and none of `calls`.
  Moments cost;
  std::array<Moments, kCustomMetrics> custom;
  LatencyHistogram latency;  ///< Of the calls that did not fail.
  /// Of shadows' pictures, by LikenessBucket().
  std::array<std::uint64_t, kLikenessBuckets> likeness{};

  OutcomeSummary& operator+=(const OutcomeSummary& other);
  /// What came after `earlier`, a summary of the same calls at an earlier time. Fails with kInvalidArgument
  /// "release_outcomes_invalid" when it is no such summary.
  [[nodiscard]] Result<OutcomeSummary> Since(const OutcomeSummary& earlier) const;

  /// Some 40 bytes and two or three for each histogram bucket in use; at most kMaxBytes.
  [[nodiscard]] std::string Serialise() const;
  /// Of Serialise()'s bytes only. Fails with kInvalidArgument "release_outcomes_invalid".
  static Result<OutcomeSummary> Parse(std::string_view bytes);
  static constexpr std::size_t kMaxBytes = std::size_t{1} << 15;

  friend bool operator==(const OutcomeSummary&, const OutcomeSummary&) = default;
};

/// Counts the outcomes of one arm in this process. Thread-safe; Record() takes no lock, allocates nothing and
/// costs some ten nanoseconds: counters are striped over threads, the histogram's buckets are not (calls
/// spread over them by themselves).
class ArmRecorder final : public ArmOutcomes {
 public:
  explicit ArmRecorder(std::string id) : id_(std::move(id)) {}
  ArmRecorder(const ArmRecorder&) = delete;
  ArmRecorder& operator=(const ArmRecorder&) = delete;

  void Record(const ArmOutcome& outcome) override;
  /// One value of the custom metric `index` (below kCustomMetrics; others are dropped).
  void RecordCustom(std::size_t index, double value);

  /// Everything so far. A call that is being recorded may be in one number and not yet in another, but never
  /// in `errors`, `retried` or `late` without being in `calls`.
  [[nodiscard]] OutcomeSummary Read() const;
  [[nodiscard]] std::uint64_t calls() const;
  /// Unique over all processes and times: counts of two recorders are of different calls.
  [[nodiscard]] const std::string& id() const { return id_; }

 private:
  static constexpr std::size_t kStripes = 8;
  /// All relaxed but the flags, whose release pairs with Read()'s acquire: a failed call's `calls` is seen.
  struct alignas(64) Stripe {
    std::atomic<std::uint64_t> calls{0};
    std::atomic<std::uint64_t> errors{0};
    std::atomic<std::uint64_t> retried{0};
    std::atomic<std::uint64_t> late{0};
    std::atomic<std::uint64_t> kept{0};
    std::atomic<double> cost{0};
    std::atomic<double> cost_squares{0};
  };

  const std::string id_;
  std::array<Stripe, kStripes> stripes_;
  std::array<std::atomic<std::uint64_t>, LatencyHistogram::kBuckets> latency_{};
  std::array<std::atomic<std::uint64_t>, kLikenessBuckets> likeness_{};
  mutable Mutex custom_mu_;
  std::array<Moments, kCustomMetrics> custom_ GUARDED_BY(custom_mu_);
};

/// Whose outcomes they are. `series` is the split's salt, which each release draws anew, so that a version's
/// second release starts from zero.
struct ArmKey {
  std::string model;
  std::string series;
  std::string arm;
  friend auto operator<=>(const ArmKey&, const ArmKey&) = default;
};

/// The recorders of this process. Whoever routes asks once for each arm of a route and keeps the recorder.
/// Thread-safe.
class OutcomeBoard {
 public:
  struct Options {
    std::size_t max_arms = 8192;  ///< Some 13 KiB each.
  };
  struct Entry {
    ArmKey key;
    std::shared_ptr<const ArmRecorder> recorder;
  };
  explicit OutcomeBoard(Options options) : options_(options) {}

  /// The arm's recorder, the same one as long as anybody keeps it. Null when there are `max_arms` in use:
  /// calls are then served and not counted.
  [[nodiscard]] std::shared_ptr<ArmRecorder> Arm(const ArmKey& key, WallTime now) EXCLUDES(mu_);
  [[nodiscard]] std::vector<Entry> Entries() const EXCLUDES(mu_);
  /// Lets go of a recorder whose counts are safe elsewhere, if nobody else has kept it. A later Arm() makes
  /// a new one, with another id.
  void Forget(const ArmKey& key) EXCLUDES(mu_);
  /// Arms that were not counted because of the limit.
  [[nodiscard]] std::uint64_t refused() const { return refused_.load(std::memory_order_relaxed); }

 private:
  const Options options_;
  std::atomic<std::uint64_t> refused_{0};  // A count; no partner.
  mutable Mutex mu_;
  std::map<ArmKey, std::shared_ptr<ArmRecorder>> arms_ GUARDED_BY(mu_);
};

}  // namespace mezzo::releases
