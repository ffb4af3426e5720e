// Whole canary releases in virtual time, judged by the analysis that serves, with a look per second: how
// often an equal version is rolled back, how soon a worse one. Prints one JSON object.
//
//   mezzo_bench_release --scenario aa --releases 10000
//
// Calls are a Poisson process; each is drawn to an arm by itself; latencies are lognormal. Scenarios:
//   aa       both versions are the same: errors 0.1 %, median 20 ms
//   errors   the canary fails 2 % of its calls
//   slow     each of the canary's calls takes twice as long
//   tail     the canary's p99 is twice as long, its median the same
//   drift    both the same, while load, latency and errors swing by day and night (a day is 600 s)
// `bound_s` is the expected delay of the best test there is that knows both error rates (Wald's SPRT without
// overshoot): log(1/α) / KL(canary, stable) calls of the canary.

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <numbers>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <CLI/CLI.hpp>

#include "mezzo/releases/analysis.h"

namespace {

using namespace mezzo;            // NOLINT(*-build-using-namespace): a program of one file.
using namespace mezzo::releases;  // NOLINT(*-build-using-namespace)

struct Behaviour {
  double error_rate = 0.001;
  double median = 0.02;
  double spread = 0.4;
};

struct Setting {
  Behaviour canary;
  Behaviour stable;
  bool drifts = false;
  double rate = 200;
  int seconds = 300;
  int step_seconds = 60;
  bool steps = false;  // Goes on when promoted; otherwise stays at 5 %.
};

struct Ending {
  Action action = Action::kHold;
  int second = 0;
};

double SpreadOfDoubledP99(double spread) {
  constexpr double kNormalP99 = 2.3263478740408408;
  return spread + std::numbers::ln2 / kNormalP99;
}

void Calls(OutcomeSummary& arm, double mean, const Behaviour& behaviour, std::mt19937_64& random) {
  if (mean <= 0) return;
  const auto calls = std::poisson_distribution<std::uint64_t>(mean)(random);
  const auto errors = std::binomial_distribution<std::uint64_t>(calls, behaviour.error_rate)(random);
  std::lognormal_distribution<double> latency(std::log(behaviour.median), behaviour.spread);
  arm.calls += calls;
  arm.errors += errors;
  for (std::uint64_t i = errors; i < calls; ++i) {
    const double seconds = latency(random);
    arm.latency.Add(FromSeconds(seconds));
    arm.cost.Add(seconds / 4);
  }
}

Shares SharesAt(double canary) {
  const double baseline = std::min(canary, 1 - canary);
  return {.canary = canary, .baseline = baseline, .stable = std::max(1 - canary - baseline, 0.0)};
}

Ending Simulate(const Setting& setting, std::uint64_t seed) {
  constexpr double kSteps[] = {0.05, 0.25, 0.5, 1};
  std::mt19937_64 random(seed);
  Analysis analysis{AnalysisPolicy()};
  ArmTotals totals;
  std::size_t step = 0;
  int begun = 0;
  analysis.BeginStep(SharesAt(kSteps[0]));
  for (int second = 1; second <= setting.seconds; ++second) {
    double rate = setting.rate;
    Behaviour canary = setting.canary;
    Behaviour stable = setting.stable;
    if (setting.drifts) {
      const double swing = 1 + 0.8 * std::sin(second * 2 * std::numbers::pi / 600);
      rate *= swing;
      for (Behaviour* each : {&canary, &stable}) {
        each->median *= swing;
        each->error_rate *= swing * swing;
      }
    }
    const Shares shares = SharesAt(kSteps[step]);
    Calls(totals.canary, rate * shares.canary, canary, random);
    Calls(totals.baseline, rate * shares.baseline, stable, random);
    Calls(totals.stable, rate * shares.stable, stable, random);
    const StepProgress progress{.elapsed = std::chrono::seconds(second - begun),
                                .min_duration = std::chrono::seconds(setting.step_seconds),
                                .max_duration = std::chrono::hours(1),
                                .min_calls = 100};
    const auto verdict = analysis.Look(totals, progress);
    if (!verdict.ok()) std::abort();
    if (verdict->action == Action::kRollBack) return {.action = Action::kRollBack, .second = second};
    if (verdict->action == Action::kPause) return {.action = Action::kPause, .second = second};
    if (verdict->action != Action::kPromote || !setting.steps) continue;
    if (++step == 3) return {.action = Action::kPromote, .second = second};
    begun = second;
    analysis.BeginStep(SharesAt(kSteps[step]));
  }
  return {.action = Action::kHold, .second = setting.seconds};
}

double Kl(double p, double q) { return p * std::log(p / q) + (1 - p) * std::log((1 - p) / (1 - q)); }

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("mezzo_bench_release");
  std::string scenario = "aa";
  int releases = 100;
  std::uint64_t seed = 1;
  unsigned threads = 2;
  Setting setting;
  double canary_errors = 0.02;
  app.add_option("--scenario", scenario)->check(CLI::IsMember({"aa", "errors", "slow", "tail", "drift"}));
  app.add_option("--releases", releases, "How many")->check(CLI::Range(1, 1'000'000));
  app.add_option("--seed", seed, "The first; each release has one of its own");
  app.add_option("--rate", setting.rate, "Calls a second")->check(CLI::Range(0.01, 10'000.0));
  app.add_option("--seconds", setting.seconds, "The longest release")->check(CLI::Range(1, 100'000));
  app.add_option("--canary-errors", canary_errors, "Of scenario 'errors'")->check(CLI::Range(0.0001, 1.0));
  app.add_option("--threads", threads)->check(CLI::Range(1, 256));
  CLI11_PARSE(app, argc, argv);

  setting.steps = scenario == "aa" || scenario == "drift";
  if (scenario == "errors") setting.canary.error_rate = canary_errors;
  if (scenario == "slow") setting.canary.median *= 2;
  if (scenario == "tail") setting.canary.spread = SpreadOfDoubledP99(setting.canary.spread);
  setting.drifts = scenario == "drift";

  std::vector<Ending> endings(static_cast<std::size_t>(releases));
  std::atomic<std::size_t> next{0};  // The release to simulate; no partner.
  std::vector<std::thread> pool;
  for (unsigned t = 0; t < threads; ++t) {
    pool.emplace_back([&] {
      for (std::size_t i = next++; i < endings.size(); i = next++) endings[i] = Simulate(setting, seed + i);
    });
  }
  for (std::thread& thread : pool) thread.join();

  std::vector<int> delays;
  int rolled_back = 0;
  int paused = 0;
  int promoted = 0;
  for (const Ending& ending : endings) {
    rolled_back += ending.action == Action::kRollBack ? 1 : 0;
    paused += ending.action == Action::kPause ? 1 : 0;
    promoted += ending.action == Action::kPromote ? 1 : 0;
    delays.push_back(ending.action == Action::kRollBack ? ending.second : setting.seconds + 1);
  }
  std::sort(delays.begin(), delays.end());
  const auto at = [&](double share) {
    return delays[std::min(delays.size() - 1,
                           static_cast<std::size_t>(share * static_cast<double>(delays.size())))];
  };
  const double kl = setting.canary.error_rate == setting.stable.error_rate
                        ? 0
                        : Kl(setting.canary.error_rate, setting.stable.error_rate);
  const double bound = kl > 0 ? std::log(1 / AnalysisPolicy().alpha_per_set) / kl / (setting.rate * 0.05) : 0;
  std::printf(
      "{\"scenario\":\"%s\",\"releases\":%d,\"rolled_back\":%d,\"paused\":%d,\"promoted\":%d,"
      "\"delay_p10_s\":%d,\"delay_p50_s\":%d,\"delay_p90_s\":%d,\"delay_p99_s\":%d,\"bound_s\":%.2f}\n",
      scenario.c_str(), releases, rolled_back, paused, promoted, at(0.1), at(0.5), at(0.9), at(0.99), bound);
  return 0;
}
