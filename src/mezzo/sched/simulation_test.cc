// Properties of the scheduler, each over several seeds of simulated traffic.

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "mezzo/sched/simulator.h"

namespace mezzo::sched {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

SimulatedModel ModelOf(Duration base, Duration per_row, std::uint32_t max_batch_rows,
                       std::uint32_t instances = 1, double noise = 0.05) {
  SimulatedModel model;
  model.options.name = "m";
  model.options.max_batch_rows = max_batch_rows;
  model.options.max_concurrent = instances;
  model.base = base;
  model.per_row = per_row;
  model.noise = noise;
  return model;
}

SimulatedFlow Poisson(std::uint32_t tenant, std::uint32_t model, double rate) {
  SimulatedFlow flow;
  flow.tenant = TenantIndex{tenant};
  flow.model = ModelIndex{model};
  flow.rate = rate;
  return flow;
}

SimulatedFlow Closed(std::uint32_t tenant, std::uint32_t model, std::uint32_t clients) {
  SimulatedFlow flow;
  flow.tenant = TenantIndex{tenant};
  flow.model = ModelIndex{model};
  flow.clients = clients;
  return flow;
}

void ExpectKept(const SimulationResult& result) {
  for (const std::string& violation : result.violations) ADD_FAILURE() << violation;
}

double Share(const SimulationResult& result, std::size_t flow) {
  return Seconds(result.flows[flow].service) / Seconds(result.busy);
}

/// Random everything: models, instances, slots, weights, classes, deadlines, keys, cancellations, failures,
/// hangs.
Simulation Chaos(std::uint64_t seed) {
  Random random(seed);
  Simulation sim;
  sim.seed = seed;
  sim.duration = milliseconds(400);
  sim.scheduler.slots = static_cast<std::uint32_t>(1 + random.Below(4));
  sim.scheduler.max_queued_items = 20 + random.Below(400);
  sim.scheduler.max_idle_flows = 4;
  if (random.Below(8) == 0) sim.scheduler.policy = Scheduler::Policy::kFifo;
  const std::size_t models = 1 + random.Below(5);
  for (std::size_t i = 0; i < models; ++i) {
    SimulatedModel model = ModelOf(microseconds(random.Below(2000)), microseconds(10 + random.Below(1000)),
                                   static_cast<std::uint32_t>(1 + random.Below(16)),
                                   static_cast<std::uint32_t>(1 + random.Below(3)), 0.3);
    model.options.max_queued_items = 5 + random.Below(100);
    model.options.weight = 0.5 + random.Uniform();
    if (random.Below(3) == 0) model.options.max_queue_delay = milliseconds(2);
    if (random.Below(4) == 0) model.failure_rate = 0.3;
    if (random.Below(4) == 0) model.hang_rate = 0.01;
    model.hang = milliseconds(300);
    model.options.watchdog_floor = milliseconds(50);
    model.options.breaker.first_cooldown = milliseconds(5);
    sim.models.push_back(model);
  }
  const std::size_t tenants = 1 + random.Below(6);
  for (std::size_t i = 0; i < tenants; ++i)
    sim.tenants.push_back({.name = "t", .weight = 0.2 + 3 * random.Uniform()});
  const std::size_t flows = 1 + random.Below(20);
  for (std::size_t i = 0; i < flows; ++i) {
    SimulatedFlow flow = Poisson(static_cast<std::uint32_t>(random.Below(tenants)),
                                 static_cast<std::uint32_t>(random.Below(models)), 0);
    if (random.Below(3) == 0) {
      flow.clients = static_cast<std::uint32_t>(1 + random.Below(20));
    } else {
      flow.rate = 10 + 3000 * random.Uniform();
    }
    flow.cls = static_cast<Class>(random.Below(kClassCount));
    flow.batch_key = random.Below(3);
    flow.rows = static_cast<std::uint32_t>(1 + random.Below(3));
    if (random.Below(2) == 0) flow.deadline = microseconds(500 + random.Below(50000));
    if (random.Below(2) == 0) flow.cancel_rate = 0.3;
    sim.flows.push_back(flow);
  }
  return sim;
}

TEST(Simulation, EveryItemEndsOnceNoSlotIdlesBesideWorkAndQueuesStayBounded) {
  for (std::uint64_t seed = 1; seed <= 150; ++seed) {
    SCOPED_TRACE(seed);
    const SimulationResult result = Simulate(Chaos(seed));

    ExpectKept(result);
    const FlowResult total = result.Total();
    EXPECT_GT(total.offered, 0u);
    EXPECT_EQ(total.offered, total.completed + total.cancelled + total.refusals());
    if (::testing::Test::HasFailure()) return;
  }
}

TEST(Simulation, TheSameSeedGivesTheSameSchedule) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    EXPECT_EQ(Simulate(Chaos(seed)).schedule_hash, Simulate(Chaos(seed)).schedule_hash) << seed;
  }
  Simulation other = Chaos(7);
  other.seed = 8;
  EXPECT_NE(Simulate(Chaos(7)).schedule_hash, Simulate(other).schedule_hash);
}

TEST(Simulation, ServiceFollowsWeightsWithinFivePercent) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    for (const std::uint32_t batch : {1U, 8U}) {
      Simulation sim;
      sim.seed = seed;
      sim.duration = seconds(4);
      sim.scheduler.slots = 2;
      sim.models = {ModelOf(microseconds(200), microseconds(400), batch, 2, 0.2),
                    ModelOf(milliseconds(1), milliseconds(2), batch, 2, 0.2)};
      sim.tenants = {
          {.name = "one", .weight = 1}, {.name = "two", .weight = 2}, {.name = "three", .weight = 3}};
      // Different costs per item: shares are of device time, not of items.
      sim.flows = {Closed(0, 0, 40), Closed(1, 1, 40), Closed(2, 0, 20), Closed(2, 1, 20)};

      const SimulationResult result = Simulate(sim);

      ExpectKept(result);
      EXPECT_NEAR(Share(result, 0), 1.0 / 6, 0.05 / 6) << "batch " << batch << " seed " << seed;
      EXPECT_NEAR(Share(result, 1), 2.0 / 6, 2 * 0.05 / 6) << "batch " << batch << " seed " << seed;
      EXPECT_NEAR(Share(result, 2) + Share(result, 3), 3.0 / 6, 3 * 0.05 / 6) << "batch " << batch;
    }
  }
}

TEST(Simulation, ATenantGetsNoMoreByUsingMoreModels) {
  Simulation sim;
  sim.duration = seconds(3);
  for (int i = 0; i < 10; ++i) sim.models.push_back(ModelOf({}, milliseconds(1), 1));
  sim.tenants = {{.name = "one"}, {.name = "many"}};
  sim.flows = {Closed(0, 0, 10)};
  for (std::uint32_t m = 0; m < 10; ++m) sim.flows.push_back(Closed(1, m, 10));

  const SimulationResult result = Simulate(sim);

  ExpectKept(result);
  EXPECT_NEAR(Share(result, 0), 0.5, 0.025);
  for (std::size_t m = 1; m <= 10; ++m) EXPECT_NEAR(Share(result, m), 0.05, 0.01) << "its models take turns";
}

TEST(Simulation, BackloggedTenantsNeverDriftApartByMoreThanTheirLargestRuns) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    Simulation sim;
    sim.seed = seed;
    sim.duration = seconds(2);
    sim.models = {ModelOf({}, microseconds(300), 1, 1, 0.4), ModelOf({}, milliseconds(3), 1, 1, 0.4)};
    sim.tenants = {{.name = "a", .weight = 1}, {.name = "b", .weight = 2}};
    sim.flows = {Closed(0, 0, 50), Closed(1, 1, 50)};
    double lead = 0;
    double most = 0;
    double least = 0;
    double longest_a = 0;
    double longest_b = 0;
    const TimePoint end = TimePoint(seconds(1)) + sim.duration;  // Then they drain, and not at the same time.
    sim.on_run = [&](const SimulatedRun& run) {
      if (run.end >= end) return;
      const double spent = Seconds(run.end - run.start);
      if (run.batch->items[0]->tenant == TenantIndex{0}) {
        lead += spent;
        longest_a = std::max(longest_a, spent);
      } else {
        lead -= spent / 2;
        longest_b = std::max(longest_b, spent / 2);
      }
      most = std::max(most, lead);
      least = std::min(least, lead);
    };

    ExpectKept(Simulate(sim));

    // SFQ: |W_a/r_a − W_b/r_b| ≤ l_a/r_a + l_b/r_b over any interval, here with lengths known only
    // afterwards.
    EXPECT_LE(most - least, longest_a + longest_b + 1e-9) << "seed " << seed;
    EXPECT_GT(longest_a, 0);
    EXPECT_GT(longest_b, 0);
  }
}

TEST(Simulation, CreditIsNotBankedWhileIdle) {
  Simulation sim;
  sim.duration = seconds(4);
  sim.models = {ModelOf({}, milliseconds(1), 1)};
  sim.tenants = {{.name = "busy"}, {.name = "returning"}};
  sim.flows = {Closed(0, 0, 20), Closed(1, 0, 20)};
  sim.flows[1].from = seconds(3);
  std::vector<int> first;
  sim.on_run = [&](const SimulatedRun& run) {
    if (run.start < TimePoint(seconds(4)) || first.size() >= 200) return;
    first.push_back(run.batch->items[0]->tenant == TenantIndex{1} ? 1 : 0);
  };

  ExpectKept(Simulate(sim));

  ASSERT_EQ(first.size(), 200u);
  const auto returned = std::count(first.begin(), first.end(), 1);
  EXPECT_NEAR(static_cast<double>(returned), 100, 5) << "half from its return on, not all of it to catch up";
}

TEST(Simulation, AFloodOfInteractiveWorkStarvesNobody) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    Simulation sim;
    sim.seed = seed;
    sim.duration = seconds(5);
    sim.models = {ModelOf(microseconds(500), microseconds(500), 4, 1, 0.1)};
    sim.tenants = {{.name = "a"}};
    sim.flows = {Poisson(0, 0, 8000), Closed(0, 0, 16), Closed(0, 0, 16)};
    for (std::size_t i = 0; i < 3; ++i) sim.flows[i].cls = static_cast<Class>(i);

    const SimulationResult result = Simulate(sim);

    ExpectKept(result);
    EXPECT_NEAR(Share(result, 0), 0.6, 0.03) << "seed " << seed;
    EXPECT_NEAR(Share(result, 1), 0.3, 0.03) << "seed " << seed;
    EXPECT_NEAR(Share(result, 2), 0.1, 0.02) << "seed " << seed;
  }
}

TEST(Simulation, UnusedShareGoesToWhoeverHasWork) {
  Simulation sim;
  sim.duration = seconds(3);
  sim.models = {ModelOf({}, milliseconds(1), 1)};
  sim.tenants = {{.name = "a"}};
  sim.flows = {Closed(0, 0, 16)};
  sim.flows[0].cls = Class::kBulk;

  const SimulationResult alone = Simulate(sim);
  sim.flows.push_back(Poisson(0, 0, 50));
  sim.flows[1].cls = Class::kInteractive;
  const SimulationResult beside = Simulate(sim);

  ExpectKept(alone);
  ExpectKept(beside);
  EXPECT_GT(Seconds(alone.busy), 0.99 * 3);
  EXPECT_GT(Seconds(beside.busy), 0.99 * 3);
  EXPECT_LT(beside.flows[1].Latency(0.99), milliseconds(4))
      << "inside its share, interactive work waits for one run";
}

/// Of who returns at `back`, as flow 1: how many batches of the other start after that and before its first
/// one, and its part of the device in the quarter of a second from its first batch on.
struct Return {
  int batches_before = 0;
  double part = 0;
};
Return ReturnOf(Simulation sim, Duration back) {
  sim.flows[1].from = back;
  Return found;
  Duration own{};
  Duration all{};
  TimePoint first = kNever;
  const TimePoint arrival = TimePoint(seconds(1)) + back;  // Simulations begin at one second.
  sim.on_run = [&](const SimulatedRun& run) {
    if (run.start < arrival) return;
    const auto mine = static_cast<std::uint32_t>(
        std::count_if(run.batch->items.begin(), run.batch->items.end(), [&](const WorkItem* item) {
          return item->tenant == sim.flows[1].tenant && item->cls == sim.flows[1].cls;
        }));
    if (mine > 0) first = std::min(first, run.start);
    if (first == kNever) ++found.batches_before;
    if (first == kNever || run.start > first + milliseconds(250)) return;
    all += run.end - run.start;
    own += (run.end - run.start) * mine / run.batch->rows;
  };
  ExpectKept(Simulate(sim));
  found.part = Seconds(own) / Seconds(all);
  return found;
}

TEST(Simulation, ALentGuaranteeComesBackWithTheNextBatch) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    Simulation sim;
    sim.seed = seed;
    sim.duration = seconds(2);
    sim.models = {ModelOf(milliseconds(1), milliseconds(1), 8), ModelOf(milliseconds(1), milliseconds(1), 8)};
    sim.tenants = {{.name = "lender's"}, {.name = "borrower's"}};
    sim.flows = {Closed(1, 0, 32), Closed(0, 1, 32)};
    const Duration back = milliseconds(900 + 7 * static_cast<int>(seed));
    sim.flows[0].cls = Class::kBulk;
    sim.flows[1].cls = Class::kInteractive;

    const Return of_class = ReturnOf(sim, back);
    sim.flows[0].cls = sim.flows[1].cls = Class::kStandard;
    sim.tenants[0].weight = 3;
    const Return of_tenant = ReturnOf(sim, back);

    EXPECT_EQ(of_class.batches_before, 0) << "only the batch that runs goes before";
    EXPECT_GE(of_class.part, 0.6);
    EXPECT_EQ(of_tenant.batches_before, 0);
    EXPECT_NEAR(of_tenant.part, 0.75, 0.08);
  }
}

TEST(Simulation, ManyTenantsOfABusyModelDoNotHoldUpOthers) {
  Simulation sim;
  sim.duration = seconds(1);
  sim.scheduler.slots = 2;
  sim.models = {ModelOf({}, milliseconds(2), 1), ModelOf({}, milliseconds(1), 1)};
  for (std::uint32_t t = 0; t < 200; ++t) {
    sim.tenants.push_back({.name = "t"});
    sim.flows.push_back(Closed(t, 0, 2));
  }
  sim.tenants.push_back({.name = "other"});
  sim.flows.push_back(Closed(200, 1, 2));

  const SimulationResult result = Simulate(sim);

  ExpectKept(result);
  EXPECT_GT(Seconds(result.flows[200].service), 0.98) << "it has the second slot to itself";
  std::uint64_t least = UINT64_MAX;
  std::uint64_t most = 0;
  for (std::size_t t = 0; t < 200; ++t) {
    least = std::min(least, result.flows[t].completed);
    most = std::max(most, result.flows[t].completed);
  }
  EXPECT_LE(most - least, 1u) << "and the others take turns on theirs";
}

TEST(Simulation, ALightTenantBesideAHeavyOneWaitsForOneRun) {
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    for (const std::uint32_t slots : {1U, 2U}) {
      SCOPED_TRACE(testing::Message() << "seed " << seed << " slots " << slots);
      Simulation sim;
      sim.seed = seed;
      sim.duration = seconds(20);
      sim.measure_from = seconds(1);
      sim.scheduler.slots = slots;
      sim.models = {ModelOf(milliseconds(1), microseconds(250), 8, slots)};
      const Duration batch_time = milliseconds(3);
      const double capacity = slots * 8 / Seconds(batch_time);
      sim.tenants = {{.name = "light"}, {.name = "heavy"}};
      sim.flows = {Poisson(0, 0, 0.05 * capacity)};
      const Duration alone = Simulate(sim).flows[0].Latency(0.99);
      sim.flows.push_back(Poisson(1, 0, 20 * 0.05 * capacity));
      sim.flows.push_back(Poisson(1, 0, capacity));

      const SimulationResult fair = Simulate(sim);
      sim.scheduler.policy = Scheduler::Policy::kFifo;
      const SimulationResult fifo = Simulate(sim);

      ExpectKept(fair);
      EXPECT_LE(fair.flows[0].Latency(0.99), alone + batch_time * 3 / 2);
      EXPECT_EQ(fair.flows[0].refusals(), 0u);
      EXPECT_GT(fifo.flows[0].Latency(0.99), 10 * fair.flows[0].Latency(0.99));
    }
  }
}

TEST(Simulation, ALightTenantWithDeadlinesFindsRoomBesideAFloodWithDeadlines) {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    Simulation sim;
    sim.seed = seed;
    sim.duration = seconds(8);
    sim.measure_from = seconds(1);
    sim.models = {ModelOf(milliseconds(1), microseconds(250), 8)};
    sim.tenants = {{.name = "light"}, {.name = "heavy"}};
    sim.flows = {Poisson(0, 0, 133), Poisson(1, 0, 5333)};
    for (SimulatedFlow& flow : sim.flows) flow.deadline = microseconds(7500);

    const SimulationResult result = Simulate(sim);

    ExpectKept(result);
    const FlowResult& light = result.flows[0];
    const FlowResult& heavy = result.flows[1];
    EXPECT_GE(static_cast<double>(light.accepted), 0.9 * static_cast<double>(light.offered))
        << "seed " << seed;
    EXPECT_LE(static_cast<double>(heavy.accepted), 0.6 * static_cast<double>(heavy.offered))
        << "seed " << seed;
    EXPECT_GE(static_cast<double>(light.in_time), 0.99 * static_cast<double>(light.accepted))
        << "seed " << seed;
    EXPECT_GE(static_cast<double>(heavy.in_time), 0.99 * static_cast<double>(heavy.accepted))
        << "seed " << seed;
    EXPECT_GE(Seconds(result.busy), 0.95 * 7) << "seed " << seed;
  }
}

/// Three models of very different cost, each offered two thirds of the device: twice what it can do.
Simulation Overload(std::uint64_t seed, std::uint32_t slots, std::uint32_t tenants, Duration base) {
  Simulation sim;
  sim.seed = seed;
  sim.duration = seconds(6);
  sim.measure_from = seconds(1);
  sim.scheduler.slots = slots;
  for (std::uint32_t t = 0; t < tenants; ++t) sim.tenants.push_back({.name = "t"});
  for (std::uint32_t m = 0; m < 3; ++m) {
    sim.models.push_back(ModelOf(base * (1 << m), microseconds(500) * (1 << m), 8, slots));
    const double solo = Seconds(sim.models[m].base + sim.models[m].per_row);
    for (std::uint32_t t = 0; t < tenants; ++t) {
      SimulatedFlow flow = Poisson(t, m, 2.0 * slots / 3 / tenants / solo);
      flow.deadline = FromSeconds(3 * solo);
      sim.flows.push_back(flow);
    }
  }
  return sim;
}

/// Work in time, in solo runs, over what the slots could have done one by one.
double Goodput(const Simulation& sim, const SimulationResult& result) {
  double work = 0;
  for (std::size_t i = 0; i < sim.flows.size(); ++i) {
    const SimulatedModel& model = sim.models[static_cast<std::size_t>(sim.flows[i].model)];
    work += static_cast<double>(result.flows[i].in_time) * Seconds(model.base + model.per_row);
  }
  return work / (Seconds(sim.duration - sim.measure_from) * sim.scheduler.slots);
}

TEST(Simulation, AtTwiceTheCapacityWhatIsAcceptedIsInTimeAndTheDeviceIsUsed) {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    for (const std::uint32_t slots : {1U, 2U}) {
      for (const std::uint32_t tenants : {1U, 4U}) {
        for (const Duration base : {Duration(0), Duration(microseconds(500))}) {
          SCOPED_TRACE(testing::Message() << "seed " << seed << " slots " << slots << " tenants " << tenants
                                          << " base " << Seconds(base));
          Simulation sim = Overload(seed, slots, tenants, base);

          const SimulationResult fair = Simulate(sim);
          const double fair_goodput = Goodput(sim, fair);
          sim.scheduler.policy = Scheduler::Policy::kFifo;
          const double fifo_goodput = Goodput(sim, Simulate(sim));

          ExpectKept(fair);
          const FlowResult total = fair.Total();
          EXPECT_GE(static_cast<double>(total.in_time), 0.99 * static_cast<double>(total.accepted));
          EXPECT_GE(fair_goodput, 0.9);
          EXPECT_GE(fair_goodput, 2 * fifo_goodput);
        }
      }
    }
  }
}

TEST(Simulation, RefusedClientsThatWaitAsToldDoNotOverwhelmTheQueue) {
  Simulation sim;
  sim.duration = seconds(3);
  sim.models = {ModelOf({}, milliseconds(1), 4)};
  sim.models[0].options.max_queued_items = 16;
  sim.tenants = {{.name = "a"}};
  sim.flows = {Closed(0, 0, 64)};

  const SimulationResult result = Simulate(sim);

  ExpectKept(result);
  EXPECT_LE(result.most_queued, 16u);
  EXPECT_GT(Seconds(result.busy), 0.98 * 3);
  EXPECT_LT(result.flows[0].refusals(), 6 * result.flows[0].completed);
}

TEST(Simulation, AFailingModelIsLeftAloneAndComesBack) {
  Simulation sim;
  sim.duration = seconds(4);
  sim.models = {ModelOf({}, milliseconds(1), 1), ModelOf({}, milliseconds(1), 1)};
  sim.models[0].failure_rate = 1;
  sim.models[0].options.breaker.first_cooldown = milliseconds(50);
  sim.tenants = {{.name = "a"}, {.name = "b"}};
  sim.flows = {Poisson(0, 0, 500), Closed(1, 1, 8)};

  const SimulationResult result = Simulate(sim);

  ExpectKept(result);
  const FlowResult& failing = result.flows[0];
  EXPECT_GT(failing.refused[static_cast<std::size_t>(Refusal::kBreakerOpen)], failing.offered * 9 / 10);
  EXPECT_GE(failing.completed, 8u) << "five to open it, then probes";
  EXPECT_GT(Share(result, 1), 0.98);
}

}  // namespace
}  // namespace mezzo::sched
