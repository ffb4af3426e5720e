// What each of many tenants gets of a saturated device: the scheduler that serves, in virtual time. Tenants
// have the weights 1, 2 and 4 in turn and ask one of three models whose runs cost 1 : 4 : 20, with clients
// that always wait for something. Prints {"worst_share_error", "jain", "vtc_worst", "vtc_bound", "runs",
// "violations"}.
//
// Jain's index is that of shares over weights (R. Jain et al., DEC-TR-301, 1984). `vtc_worst` is the largest
// difference of service over weight between two tenants over any interval that was looked at, in milliseconds
// of a unit weight; the bound is that of Y. Sheng et al., "Fairness in Serving Large Language Models",
// OSDI'24, for requests that run whole: twice the dearest batch, which at most `slots` can be running.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "mezzo/sched/simulator.h"

namespace {

using namespace mezzo;  // NOLINT(*-build-using-namespace): a program of one file.
using namespace mezzo::sched;

double Millis(Duration time) { return std::chrono::duration<double, std::milli>(time).count(); }

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("mezzo_bench_fairness");
  std::uint32_t tenants = 1000;
  std::uint64_t seed = 1;
  std::int64_t seconds = 2000;
  app.add_option("--tenants", tenants, "How many")->check(CLI::Range(3, 10'000));
  app.add_option("--seed", seed, "Of the noise of run times");
  app.add_option("--seconds", seconds, "Of virtual time")->check(CLI::Range(10, 100'000));
  CLI11_PARSE(app, argc, argv);

  constexpr std::uint32_t kSlots = 2;
  constexpr std::uint32_t kBatch = 4;
  const std::vector<int> costs_us = {250, 1000, 5000};
  Simulation simulation;
  simulation.seed = seed;
  simulation.duration = std::chrono::seconds(seconds);
  simulation.scheduler.slots = kSlots;
  simulation.scheduler.max_queued_items = std::size_t{1} << 20;
  for (const int cost : costs_us) {
    SimulatedModel model;
    model.options.name = "cost-" + std::to_string(cost);
    model.options.max_batch_rows = kBatch;
    model.options.max_queued_items = std::size_t{1} << 20;
    model.options.max_concurrent = kSlots;
    model.base = std::chrono::microseconds(cost / 5);
    model.per_row = std::chrono::microseconds(cost);
    model.noise = 0.1;
    simulation.models.push_back(model);
  }
  std::vector<double> weights;
  for (std::uint32_t i = 0; i < tenants; ++i) {
    weights.push_back(static_cast<double>(1U << (i % 3)));
    simulation.tenants.push_back({.name = "t" + std::to_string(i), .weight = weights.back()});
    SimulatedFlow flow;
    flow.tenant = TenantIndex{i};
    flow.model = ModelIndex{(i / 3) % 3};
    flow.clients = 2 * kBatch;
    simulation.flows.push_back(flow);
  }

  // Service over weight by tenant since the start, looked at every virtual second: for any two tenants and
  // any two such moments the difference of what they got between them.
  std::vector<double> served(tenants, 0.0);
  std::vector<double> highest(tenants, 0.0);
  std::vector<double> lowest(tenants, 0.0);
  double vtc_worst = 0;
  double dearest = 0;
  TimePoint next{};
  const auto warm = std::chrono::seconds(seconds / 8);
  TimePoint first{};
  simulation.measure_from = warm;
  simulation.on_run = [&](const SimulatedRun& run) {
    if (first == TimePoint{}) first = run.start;
    if (run.end - first < warm) return;
    std::uint32_t rows = 0;
    for (const WorkItem* item : run.batch->items) rows += item->rows;
    const double whole = Millis(run.end - run.start);
    dearest = std::max(dearest, whole);
    for (const WorkItem* item : run.batch->items) {
      const auto who = static_cast<std::uint32_t>(item->tenant);
      served[who] += whole * item->rows / rows / weights[who];
    }
    if (run.end < next) return;
    next = run.end + std::chrono::seconds(1);
    // Against the mean: two tenants differ by at most the sum of their distances, between any two moments.
    double mean = 0;
    for (const double one : served) mean += one;
    mean /= tenants;
    double up = 0;
    double down = 0;
    for (std::uint32_t i = 0; i < tenants; ++i) {
      const double lead = served[i] - mean;
      highest[i] = std::max(highest[i], lead);
      lowest[i] = std::min(lowest[i], lead);
      up = std::max(up, lead - lowest[i]);
      down = std::max(down, highest[i] - lead);
    }
    vtc_worst = std::max(vtc_worst, up + down);
  };
  const SimulationResult result = Simulate(simulation);

  double all = 0;
  double weight_sum = 0;
  for (std::uint32_t i = 0; i < tenants; ++i) {
    all += Millis(result.flows[i].service);
    weight_sum += weights[i];
  }
  double worst = 0;
  double sum = 0;
  double squares = 0;
  for (std::uint32_t i = 0; i < tenants; ++i) {
    const double share = Millis(result.flows[i].service) / all;
    const double fair = weights[i] / weight_sum;
    worst = std::max(worst, std::abs(share / fair - 1));
    sum += share / weights[i];
    squares += share / weights[i] * (share / weights[i]);
  }
  std::printf(
      "{\"worst_share_error\": %.5f, \"jain\": %.6f, \"vtc_worst\": %.3f, \"vtc_bound\": %.3f, \"runs\": "
      "%llu, "
      "\"violations\": %zu}\n",
      worst, sum * sum / (tenants * squares), vtc_worst, 2 * kSlots * dearest,
      static_cast<unsigned long long>(result.batches), result.violations.size());
  return result.violations.empty() ? 0 : 1;
}
