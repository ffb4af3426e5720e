#include "mezzo/releases/outcomes.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <optional>
#include <utility>

#include "mezzo/base/published.h"
#include "mezzo/base/uuid.h"

namespace mezzo::releases {
namespace {

constexpr std::uint8_t kFormat = 1;

Error Invalid(std::string_view what) {
  return InvalidArgument("release_outcomes_invalid", "a summary of outcomes " + std::string(what));
}

void PutNumber(std::string& out, std::uint64_t value) {
  while (value >= 0x80) {
    out.push_back(static_cast<char>((value & 0x7f) | 0x80));
    value >>= 7;
  }
  out.push_back(static_cast<char>(value));
}
void PutReal(std::string& out, double value) {
  const auto bits = std::bit_cast<std::uint64_t>(value);
  for (int shift = 0; shift < 64; shift += 8) out.push_back(static_cast<char>((bits >> shift) & 0xff));
}
void PutMoments(std::string& out, const Moments& moments) {
  PutNumber(out, moments.count);
  if (moments.count == 0) return;
  PutReal(out, moments.sum);
  PutReal(out, moments.squares);
}

/// Reads what Put...() wrote; nothing once the bytes make no sense.
class Source {
 public:
  explicit Source(std::string_view bytes) : bytes_(bytes) {}

  std::optional<std::uint64_t> Number() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (at_ == bytes_.size()) return std::nullopt;
      const auto byte = static_cast<std::uint8_t>(bytes_[at_++]);
      if (shift == 63 && byte > 1) return std::nullopt;
      value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      if ((byte & 0x80) == 0) return value;
    }
    return std::nullopt;
  }
  std::optional<double> Real() {
    if (bytes_.size() - at_ < 8) return std::nullopt;
    std::uint64_t bits = 0;
    for (int shift = 0; shift < 64; shift += 8) {
      bits |= static_cast<std::uint64_t>(static_cast<std::uint8_t>(bytes_[at_++])) << shift;
    }
    const auto value = std::bit_cast<double>(bits);
    if (!std::isfinite(value)) return std::nullopt;
    return value;
  }
  std::optional<Moments> ReadMoments() {
    Moments moments;
    const auto count = Number();
    if (!count) return std::nullopt;
    moments.count = *count;
    if (moments.count == 0) return moments;
    const auto sum = Real();
    const auto squares = Real();
    if (!sum || !squares || *squares < 0) return std::nullopt;
    moments.sum = *sum;
    moments.squares = *squares;
    return moments;
  }
  [[nodiscard]] bool AtEnd() const { return at_ == bytes_.size(); }

 private:
  std::string_view bytes_;
  std::size_t at_ = 0;
};

/// False when there is less than there was.
bool Subtract(std::uint64_t& from, std::uint64_t what) {
  if (from < what) return false;
  from -= what;
  return true;
}
bool Subtract(Moments& from, const Moments& what) {
  if (!Subtract(from.count, what.count)) return false;
  from.sum -= what.sum;
  from.squares = std::max(from.squares - what.squares, 0.0);
  if (from.count == 0) from = Moments();
  return true;
}

}  // namespace

std::size_t LikenessBucket(double likeness) {
  if (!(likeness > 0)) return 0;  // Not a number is not alike.
  // A value on an edge is at least that much alike, whatever its last bit says.
  const double place = likeness * static_cast<double>(kLikenessBuckets) + 1e-9;
  return std::min(static_cast<std::size_t>(place), kLikenessBuckets - 1);
}

Moments& Moments::operator+=(const Moments& other) {
  count += other.count;
  sum += other.sum;
  squares += other.squares;
  return *this;
}

double Moments::variance() const {
  if (count < 2) return 0;
  const auto n = static_cast<double>(count);
  return std::max((squares - sum * sum / n) / (n - 1), 0.0);
}

OutcomeSummary& OutcomeSummary::operator+=(const OutcomeSummary& other) {
  calls += other.calls;
  errors += other.errors;
  retried += other.retried;
  late += other.late;
  kept += other.kept;
  cost += other.cost;
  for (std::size_t i = 0; i < kCustomMetrics; ++i) custom[i] += other.custom[i];
  for (std::size_t i = 0; i < LatencyHistogram::kBuckets; ++i) latency[i] += other.latency[i];
  for (std::size_t i = 0; i < kLikenessBuckets; ++i) likeness[i] += other.likeness[i];
  return *this;
}

Result<OutcomeSummary> OutcomeSummary::Since(const OutcomeSummary& earlier) const {
  OutcomeSummary rest = *this;
  bool grown = Subtract(rest.calls, earlier.calls) && Subtract(rest.errors, earlier.errors) &&
               Subtract(rest.retried, earlier.retried) && Subtract(rest.late, earlier.late) &&
               Subtract(rest.kept, earlier.kept) && Subtract(rest.cost, earlier.cost);
  for (std::size_t i = 0; grown && i < kCustomMetrics; ++i) {
    grown = Subtract(rest.custom[i], earlier.custom[i]);
  }
  for (std::size_t i = 0; grown && i < LatencyHistogram::kBuckets; ++i) {
    grown = Subtract(rest.latency[i], earlier.latency[i]);
  }
  for (std::size_t i = 0; grown && i < kLikenessBuckets; ++i) {
    grown = Subtract(rest.likeness[i], earlier.likeness[i]);
  }
  if (!grown) return Invalid("has fewer calls than an earlier one of the same arm");
  return rest;
}

std::string OutcomeSummary::Serialise() const {
  std::string out;
  out.push_back(static_cast<char>(kFormat));
  for (const std::uint64_t number : {calls, errors, retried, late}) PutNumber(out, number);
  PutMoments(out, cost);
  for (const Moments& moments : custom) PutMoments(out, moments);
  std::uint64_t used = 0;
  for (std::size_t i = 0; i < LatencyHistogram::kBuckets; ++i) used += latency[i] > 0 ? 1 : 0;
  PutNumber(out, used);
  std::size_t next = 0;
  for (std::size_t i = 0; i < LatencyHistogram::kBuckets; ++i) {
    if (latency[i] == 0) continue;
    PutNumber(out, i - next);
    PutNumber(out, latency[i]);
    next = i + 1;
  }
  // Only where there is some of it: hosts of an earlier version read all other summaries.
  const auto some = [](std::uint64_t count) { return count > 0; };
  if (kept > 0 || std::any_of(likeness.begin(), likeness.end(), some)) {
    PutNumber(out, kept);
    for (const std::uint64_t count : likeness) PutNumber(out, count);
  }
  return out;
}

Result<OutcomeSummary> OutcomeSummary::Parse(std::string_view bytes) {
  if (bytes.size() > kMaxBytes)
    return Invalid("has " + std::to_string(bytes.size()) + " bytes; the limit is 32 KiB");
  if (bytes.empty() || static_cast<std::uint8_t>(bytes[0]) != kFormat)
    return Invalid("has an unknown format");
  Source source(bytes.substr(1));
  OutcomeSummary summary;
  for (std::uint64_t* number : {&summary.calls, &summary.errors, &summary.retried, &summary.late}) {
    const auto value = source.Number();
    if (!value) return Invalid("ends early");
    *number = *value;
  }
  const auto cost = source.ReadMoments();
  if (!cost) return Invalid("has no valid cost");
  summary.cost = *cost;
  for (Moments& moments : summary.custom) {
    const auto read = source.ReadMoments();
    if (!read) return Invalid("has no valid custom metric");
    moments = *read;
  }
  const auto used = source.Number();
  if (!used || *used > LatencyHistogram::kBuckets) return Invalid("has no valid histogram");
  std::uint64_t next = 0;
  for (std::uint64_t i = 0; i < *used; ++i) {
    const auto gap = source.Number();
    const auto count = source.Number();
    if (!gap || !count || *count == 0 || *gap >= LatencyHistogram::kBuckets - next) {
      return Invalid("has no valid histogram");
    }
    next += *gap;
    summary.latency[next] = *count;
    ++next;
    if (next == LatencyHistogram::kBuckets && i + 1 < *used) return Invalid("has no valid histogram");
  }
  if (!source.AtEnd()) {
    const auto kept = source.Number();
    if (!kept) return Invalid("ends early");
    summary.kept = *kept;
    for (std::uint64_t& count : summary.likeness) {
      const auto read = source.Number();
      if (!read) return Invalid("has no valid likeness");
      count = *read;
    }
  }
  if (!source.AtEnd()) return Invalid("goes on behind its end");
  if (summary.errors > summary.calls || summary.retried > summary.calls || summary.late > summary.calls) {
    return Invalid("has more of something than it has calls");
  }
  return summary;
}

void ArmRecorder::Record(const ArmOutcome& outcome) {
  Stripe& stripe = stripes_[ThreadStripe<kStripes>()];
  if (outcome.kept) {
    stripe.kept.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  stripe.calls.fetch_add(1, std::memory_order_relaxed);
  if (outcome.failed) {
    stripe.errors.fetch_add(1, std::memory_order_release);
  } else {
    latency_[LatencyHistogram::IndexOf(outcome.latency)].fetch_add(1, std::memory_order_relaxed);
  }
  if (outcome.likeness) {
    likeness_[LikenessBucket(*outcome.likeness)].fetch_add(1, std::memory_order_relaxed);
  }
  if (outcome.retried) stripe.retried.fetch_add(1, std::memory_order_release);
  if (outcome.late) stripe.late.fetch_add(1, std::memory_order_release);
  stripe.cost.fetch_add(outcome.cost, std::memory_order_relaxed);
  stripe.cost_squares.fetch_add(outcome.cost * outcome.cost, std::memory_order_relaxed);
}

void ArmRecorder::RecordCustom(std::size_t index, double value) {
  if (index >= kCustomMetrics || !std::isfinite(value)) return;
  MutexLock lock(custom_mu_);
  custom_[index].Add(value);
}

OutcomeSummary ArmRecorder::Read() const {
  OutcomeSummary summary;
  for (const Stripe& stripe : stripes_) {
    summary.errors += stripe.errors.load(std::memory_order_acquire);
    summary.retried += stripe.retried.load(std::memory_order_acquire);
    summary.late += stripe.late.load(std::memory_order_acquire);
    summary.kept += stripe.kept.load(std::memory_order_relaxed);
    summary.cost.sum += stripe.cost.load(std::memory_order_relaxed);
    summary.cost.squares += stripe.cost_squares.load(std::memory_order_relaxed);
  }
  for (std::size_t i = 0; i < LatencyHistogram::kBuckets; ++i) {
    summary.latency[i] = latency_[i].load(std::memory_order_relaxed);
  }
  for (std::size_t i = 0; i < kLikenessBuckets; ++i) {
    summary.likeness[i] = likeness_[i].load(std::memory_order_relaxed);
  }
  summary.calls = calls();
  summary.cost.count = summary.calls;
  MutexLock lock(custom_mu_);
  summary.custom = custom_;
  return summary;
}

std::uint64_t ArmRecorder::calls() const {
  std::uint64_t sum = 0;
  for (const Stripe& stripe : stripes_) sum += stripe.calls.load(std::memory_order_relaxed);
  return sum;
}

std::shared_ptr<ArmRecorder> OutcomeBoard::Arm(const ArmKey& key, WallTime now) {
  MutexLock lock(mu_);
  if (const auto found = arms_.find(key); found != arms_.end()) return found->second;
  if (arms_.size() >= options_.max_arms) {
    refused_.fetch_add(1, std::memory_order_relaxed);
    return nullptr;
  }
  auto recorder = std::make_shared<ArmRecorder>(NewUuidV7(now));
  arms_.emplace(key, recorder);
  return recorder;
}

std::vector<OutcomeBoard::Entry> OutcomeBoard::Entries() const {
  MutexLock lock(mu_);
  std::vector<Entry> entries;
  entries.reserve(arms_.size());
  for (const auto& [key, recorder] : arms_) entries.push_back({.key = key, .recorder = recorder});
  return entries;
}

void OutcomeBoard::Forget(const ArmKey& key) {
  MutexLock lock(mu_);
  const auto found = arms_.find(key);
  // A router that keeps it may still record, so what it has is not all there will be.
  if (found != arms_.end() && found->second.use_count() == 1) arms_.erase(found);
}

}  // namespace mezzo::releases
