// Many hot entries that were made together expire together: how many executions a second does the result
// cache let through? Simulated time: the real cache and tier under a clock that is set by hand. Executions
// take no time, all entries are asked for alike (--alpha 0) or by Zipf's law, at a fixed rate. Prints a line
// of JSON: the most executions of any window of --window seconds, and those of entries / ttl, which is what
// entries of mixed ages need. Usage: mezzo_bench_expiry [--entries N] [--alpha A] [--rate R] [--ttl S]
// [--stale S] [--lifetimes L] [--window S]

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <random>
#include <vector>

#include <CLI/CLI.hpp>

#include "mezzo/base/clock.h"
#include "mezzo/cache/memory_tier.h"
#include "mezzo/cache/result_cache.h"

namespace mezzo::bench {
namespace {

using cache::CacheKey;
using cache::KeyBuilder;
using cache::MemoryTier;
using cache::ResultCache;

struct Options {
  std::uint64_t entries = 10'000'000;
  double alpha = 0;
  double rate = 0;  // Requests a second; 0: three for each entry in a lifetime.
  double ttl = 300;
  double stale = 300;
  double lifetimes = 3;
  double window = 5;
};

class SteppedClock final : public Clock {
 public:
  [[nodiscard]] TimePoint Now() const override { return now_; }
  [[nodiscard]] WallTime WallNow() const override { return WallTime(now_.time_since_epoch()); }
  void SetTo(double seconds) { now_ = TimePoint(FromSeconds(seconds)); }

 private:
  TimePoint now_{};
};

class Tiny final : public cache::Cached {
 public:
  [[nodiscard]] ByteCount bytes() const override { return 8; }
};

/// Ranks below `count` by Zipf's law, approximately: the inverse of the integral of x^-alpha. Uniform for 0.
class Draws {
 public:
  Draws(double alpha, std::uint64_t count) : alpha_(alpha), count_(static_cast<double>(count)) {}
  std::uint64_t operator()() {
    const double draw = std::uniform_real_distribution<double>(0, 1)(random_);
    double rank = draw * count_;
    if (alpha_ == 1) {
      rank = std::pow(count_ + 1, draw) - 1;
    } else if (alpha_ > 0) {
      rank = std::pow(draw * (std::pow(count_ + 1, 1 - alpha_) - 1) + 1, 1 / (1 - alpha_)) - 1;
    }
    return std::min(static_cast<std::uint64_t>(rank), static_cast<std::uint64_t>(count_) - 1);
  }

 private:
  const double alpha_;
  const double count_;
  std::mt19937_64 random_{1};
};

CacheKey KeyOf(std::uint64_t n) { return KeyBuilder("e").Integer(static_cast<std::int64_t>(n)).Finish(); }

int Run(const Options& options) {
  SteppedClock clock;
  clock.SetTo(1);
  MemoryTier tier({.max_bytes = std::max<ByteCount>(options.entries * 640, ByteCount{1} << 20)}, clock);
  ResultCache cache({}, tier, clock);
  const auto model = cache.Model("m");
  const cache::Rules rules{.ttl = FromSeconds(options.ttl), .stale_for = FromSeconds(options.stale)};
  const auto value = std::make_shared<Tiny>();
  constexpr Duration kCost = std::chrono::milliseconds(20);
  for (std::uint64_t i = 0; i < options.entries; ++i) {
    auto outcome = cache.Begin(model, KeyOf(i), rules, clock.Now());
    if (outcome.ticket.has_value()) outcome.ticket->Fill(value, kCost);
  }
  const auto filled = cache.StatisticsOf(model).entries;

  const double rate =
      options.rate > 0 ? options.rate : 3 * static_cast<double>(options.entries) / options.ttl;
  const double end = options.lifetimes * options.ttl;
  const double steady = static_cast<double>(options.entries) / options.ttl;
  Draws draw(options.alpha, options.entries);
  std::vector<std::uint64_t> executions(static_cast<std::size_t>(end) + 1);  // Of each second.
  std::uint64_t leads = 0;
  const auto requests = static_cast<std::uint64_t>(rate * end);
  for (std::uint64_t i = 0; i < requests; ++i) {
    const double second = static_cast<double>(i) / rate;
    clock.SetTo(1 + second);
    auto outcome = cache.Begin(model, KeyOf(draw()), rules, clock.Now());
    if (!outcome.ticket.has_value()) continue;
    outcome.ticket->Fill(value, kCost);
    ++executions[static_cast<std::size_t>(second)];
    if (outcome.kind == ResultCache::Kind::kLead) ++leads;
  }

  const auto window = static_cast<std::size_t>(options.window);
  double most = 0;
  double total = 0;
  double sum = 0;
  for (std::size_t i = 0; i < executions.size(); ++i) {
    sum += static_cast<double>(executions[i]);
    total += static_cast<double>(executions[i]);
    if (i >= window) sum -= static_cast<double>(executions[i - window]);
    most = std::max(most, sum / options.window);
  }
  std::printf(
      R"({"entries": %llu, "requests": %llu, "steady": %.1f, "most": %.1f, "mean": %.1f, "unserved": %llu})"
      "\n",
      static_cast<unsigned long long>(filled), static_cast<unsigned long long>(requests), steady, most,
      total / end, static_cast<unsigned long long>(leads));
  return filled == options.entries ? 0 : 1;
}

}  // namespace
}  // namespace mezzo::bench

int main(int argc, char** argv) {
  CLI::App app("mezzo_bench_expiry");
  mezzo::bench::Options options;
  app.add_option("--entries", options.entries)->check(CLI::Range(1000, 100'000'000));
  app.add_option("--alpha", options.alpha)->check(CLI::Range(0.0, 2.0));
  app.add_option("--rate", options.rate)->check(CLI::NonNegativeNumber);
  app.add_option("--ttl", options.ttl)->check(CLI::Range(10.0, 1e6));
  app.add_option("--stale", options.stale)->check(CLI::NonNegativeNumber);
  app.add_option("--lifetimes", options.lifetimes)->check(CLI::Range(1.0, 100.0));
  app.add_option("--window", options.window)->check(CLI::Range(1.0, 1000.0));
  CLI11_PARSE(app, argc, argv);
  return mezzo::bench::Run(options);
}
