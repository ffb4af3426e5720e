#include "mezzo/sched/overload_control.h"

#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "mezzo/sched/simulator.h"

namespace mezzo::sched {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::size_t kShed = static_cast<std::size_t>(Refusal::kOverloaded);

/// One model of 10 ms a call on two slots: 200 calls a second.
Simulation Host(std::uint64_t seed) {
  Simulation sim;
  sim.seed = seed;
  sim.duration = seconds(60);
  sim.scheduler.slots = 2;
  sim.scheduler.overload.enabled = true;
  SimulatedModel model;
  model.options.name = "m";
  model.options.max_concurrent = 2;
  model.base = milliseconds(10);
  model.noise = 0.1;
  sim.models = {model};
  return sim;
}

SimulatedFlow Calls(std::uint32_t tenant, Class cls, double rate, Duration from = Duration::zero(),
                    Duration until = Duration::max()) {
  SimulatedFlow flow;
  flow.tenant = TenantIndex{tenant};
  flow.cls = cls;
  flow.rate = rate;
  flow.from = from;
  flow.until = until;
  return flow;
}

double Part(std::uint64_t part, std::uint64_t of) {
  return of == 0 ? 1 : static_cast<double>(part) / static_cast<double>(of);
}

TEST(OverloadSimulation, SurgeOfFreeTierAndBulkCostsPaidCallsNothing) {
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    SCOPED_TRACE(seed);
    Simulation sim = Host(seed);
    sim.tenants = {{.name = "paid"}, {.name = "batch"}, {.name = "free", .free_tier = true}};
    // 5 times what the host can do for half a minute.
    const Duration from = seconds(10);
    const Duration until = seconds(40);
    sim.flows = {Calls(0, Class::kInteractive, 60), Calls(0, Class::kStandard, 20),
                 Calls(1, Class::kBulk, 320, from, until), Calls(2, Class::kInteractive, 600, from, until)};
    Simulation alone = sim;
    alone.flows.resize(2);

    const SimulationResult result = Simulate(sim);
    const SimulationResult quiet = Simulate(alone);

    for (const std::string& violation : result.violations) ADD_FAILURE() << violation;
    for (std::size_t paid : {0U, 1U}) {
      EXPECT_EQ(result.flows[paid].refusals(), 0u);
      EXPECT_GE(Part(result.flows[paid].completed, result.flows[paid].offered),
                0.99 * Part(quiet.flows[paid].completed, quiet.flows[paid].offered));
    }
    EXPECT_GT(result.flows[3].refused[kShed], 0u);
    EXPECT_GT(result.flows[2].refused[kShed], 0u);
    // The free tier gives way before class bulk of others.
    EXPECT_GT(Part(result.flows[2].completed, result.flows[2].offered),
              2 * Part(result.flows[3].completed, result.flows[3].offered));
    // The device stays busy: what is shed is what it could not have done.
    EXPECT_GE(Seconds(result.busy), 0.95 * 2 * 30);
  }
}

TEST(OverloadSimulation, TheFreeTierAloneIsShedWhileThatIsEnough) {
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    SCOPED_TRACE(seed);
    Simulation sim = Host(seed);
    sim.tenants = {{.name = "paid"}, {.name = "batch"}, {.name = "free", .free_tier = true}};
    sim.flows = {Calls(0, Class::kStandard, 60), Calls(1, Class::kBulk, 60),
                 Calls(2, Class::kInteractive, 400)};

    const SimulationResult result = Simulate(sim);

    EXPECT_EQ(result.flows[0].refusals(), 0u);
    EXPECT_LE(Part(result.flows[1].refusals(), result.flows[1].offered), 0.02);
    EXPECT_GT(result.flows[2].refused[kShed], 0u);
    EXPECT_GE(Seconds(result.busy), 0.9 * 2 * 60);
  }
}

TEST(OverloadSimulation, TheRestIsShedByWeightAndWhoAsksForLittleLosesNothing) {
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    SCOPED_TRACE(seed);
    Simulation sim = Host(seed);
    sim.measure_from = seconds(15);
    sim.tenants = {{.name = "one", .weight = 1},
                   {.name = "two", .weight = 2},
                   {.name = "four", .weight = 4},
                   {.name = "little", .weight = 1}};
    sim.flows = {Calls(0, Class::kStandard, 300), Calls(1, Class::kStandard, 300),
                 Calls(2, Class::kStandard, 300), Calls(3, Class::kStandard, 10)};

    const SimulationResult result = Simulate(sim);

    const double unit = static_cast<double>(result.flows[0].completed);
    EXPECT_NEAR(static_cast<double>(result.flows[1].completed) / unit, 2, 0.3);
    EXPECT_NEAR(static_cast<double>(result.flows[2].completed) / unit, 4, 0.6);
    EXPECT_LE(result.flows[3].refusals(), 2u);
    EXPECT_GE(Seconds(result.busy), 0.95 * 2 * 45);
  }
}

TEST(OverloadSimulation, WaitsStayNearTheTargetWhateverComes) {
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    SCOPED_TRACE(seed);
    Simulation sim = Host(seed);
    sim.measure_from = seconds(15);
    sim.scheduler.overload.target = milliseconds(200);
    sim.models[0].options.max_queued_items = 20000;
    sim.tenants = {{.name = "one"}, {.name = "two"}};
    sim.flows = {Calls(0, Class::kInteractive, 500), Calls(1, Class::kInteractive, 500)};

    const SimulationResult result = Simulate(sim);

    // 200 ms, and ten runs of 10 ms.
    EXPECT_LE(Seconds(result.flows[0].Latency(0.95)), 3 * 0.3);
    EXPECT_GE(Seconds(result.busy), 0.95 * 2 * 45);
  }
}

TEST(OverloadSimulation, RecoversWhenTheLoadDrops) {
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    SCOPED_TRACE(seed);
    Simulation sim = Host(seed);
    sim.tenants = {{.name = "paid"}, {.name = "free", .free_tier = true}};
    sim.flows = {Calls(0, Class::kStandard, 80), Calls(1, Class::kStandard, 900, seconds(5), seconds(30)),
                 Calls(1, Class::kStandard, 80, seconds(40))};

    const SimulationResult result = Simulate(sim);

    EXPECT_GT(result.flows[1].refused[kShed], 0u);
    EXPECT_EQ(result.flows[2].refusals(), 0u);
    EXPECT_EQ(result.flows[0].refusals(), 0u);
  }
}

TEST(OverloadSimulation, NothingIsShedBelowCapacity) {
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    SCOPED_TRACE(seed);
    Simulation sim = Host(seed);
    sim.tenants = {{.name = "paid"}, {.name = "free", .free_tier = true}};
    sim.flows = {Calls(0, Class::kInteractive, 100), Calls(1, Class::kBulk, 80)};

    const SimulationResult result = Simulate(sim);

    EXPECT_EQ(result.Total().refusals(), 0u);
  }
}

TEST(OverloadSimulation, ALongRunNowAndThenIsNoOverload) {
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    SCOPED_TRACE(seed);
    Simulation sim = Host(seed);
    sim.duration = seconds(120);
    sim.scheduler.slots = 1;
    SimulatedModel slow;
    slow.options.name = "slow";
    slow.base = seconds(6);
    slow.options.prior_cost = seconds(5);
    sim.models.push_back(slow);
    sim.tenants = {{.name = "paid"}, {.name = "free", .free_tier = true}};
    SimulatedFlow expensive = Calls(0, Class::kStandard, 0);
    expensive.model = ModelIndex{1};
    expensive.trace = {seconds(5), seconds(40), seconds(80)};
    sim.flows = {Calls(1, Class::kInteractive, 40), expensive};

    const SimulationResult result = Simulate(sim);

    EXPECT_EQ(result.Total().refusals(), 0u);
    EXPECT_EQ(result.flows[1].completed, 3u);
  }
}

TEST(OverloadSimulation, AModelShortOfInstancesIsNoOverloadOfTheDevice) {
  Simulation sim = Host(1);
  sim.scheduler.slots = 4;
  sim.models[0].options.max_concurrent = 1;
  sim.models[0].options.max_queued_items = 300;
  SimulatedModel other = sim.models[0];
  sim.models.push_back(other);
  sim.tenants = {{.name = "one", .free_tier = true}, {.name = "two", .free_tier = true}};
  SimulatedFlow elsewhere = Calls(1, Class::kStandard, 50);
  elsewhere.model = ModelIndex{1};
  sim.flows = {Calls(0, Class::kStandard, 300), elsewhere};

  const SimulationResult result = Simulate(sim);

  EXPECT_EQ(result.Total().refused[kShed], 0u);
  EXPECT_EQ(result.flows[1].refusals(), 0u);
}

TEST(OverloadSimulation, WorkThatWasLetInAsAWholeIsNeverShed) {
  Simulation sim = Host(1);
  sim.models[0].options.max_queued_items = 100000;
  sim.scheduler.max_queued_items = 100000;
  sim.tenants = {{.name = "job", .free_tier = true}, {.name = "free", .free_tier = true}};
  SimulatedFlow steps = Calls(0, Class::kBulk, 100);
  steps.may_shed = false;
  sim.flows = {steps, Calls(1, Class::kStandard, 800)};

  const SimulationResult result = Simulate(sim);

  EXPECT_EQ(result.flows[0].refusals(), 0u);
  EXPECT_GT(result.flows[1].refused[kShed], 0u);
}

TEST(OverloadSimulation, SwitchedOffNothingIsShed) {
  Simulation sim = Host(1);
  sim.scheduler.overload.enabled = false;
  sim.tenants = {{.name = "free", .free_tier = true}};
  sim.flows = {Calls(0, Class::kStandard, 900)};

  const SimulationResult result = Simulate(sim);

  EXPECT_EQ(result.Total().refused[kShed], 0u);
  EXPECT_GT(result.Total().refused[static_cast<std::size_t>(Refusal::kQueueFull)], 0u);
}

class OverloadControlTest : public ::testing::Test {
 protected:
  /// Items that waited `waited` before their run of 10 ms, one every 10 ms, for so long.
  void Start(Duration waited, Duration length) {
    for (const TimePoint end = now_ + length; now_ < end; now_ += milliseconds(10)) {
      control_.OnStart(Class::kInteractive, now_ - waited, milliseconds(10), milliseconds(10), now_);
      (void)Ask(ShedGroup::kFree);
    }
  }
  bool Ask(ShedGroup group) {
    return control_.Admit(
        {.flow = &flows_[static_cast<std::size_t>(group)], .group = group, .cost = milliseconds(10)}, now_);
  }

  OverloadControl control_{{.enabled = true, .target = milliseconds(100), .target_runs = 10}};
  std::array<OverloadControl::Flow, kShedGroupCount> flows_;
  TimePoint now_ = TimePoint(seconds(10));
};

TEST_F(OverloadControlTest, TheSignalIsTheWaitOverWhatIsFineForSuchARun) {
  Start(milliseconds(100), seconds(1));

  EXPECT_NEAR(control_.statistics().signal, 0.5, 0.01);  // 100 ms and ten runs of 10 ms are fine.
  EXPECT_EQ(control_.statistics().limit, 0);
}

TEST_F(OverloadControlTest, AShortPeakIsNotLimited) {
  Start(milliseconds(800), milliseconds(400));
  Start(Duration::zero(), seconds(1));

  EXPECT_EQ(control_.statistics().overloads, 0u);
}

TEST_F(OverloadControlTest, AMomentWithASlotToSpareEndsASignal) {
  for (int i = 0; i < 20; ++i) {
    Start(milliseconds(800), milliseconds(200));
    control_.OnIdle(now_);
  }

  EXPECT_EQ(control_.statistics().overloads, 0u);
}

TEST_F(OverloadControlTest, ALastingSignalLimitsToWhatIsServed) {
  Start(milliseconds(400), seconds(3));

  EXPECT_EQ(control_.statistics().overloads, 1u);
  // One run of 10 ms each 10 ms: a second of device time a second, and less while the wait is too long.
  EXPECT_GT(control_.statistics().limit, 0.6e9);
  EXPECT_LT(control_.statistics().limit, 1.0e9);
}

TEST_F(OverloadControlTest, TellsThoseWhoAreShedDifferentTimes) {
  Start(milliseconds(800), seconds(2));

  const Duration first = control_.RetryAfter();
  const Duration second = control_.RetryAfter();

  EXPECT_GE(first, seconds(1));
  EXPECT_LE(first, seconds(30));
  EXPECT_NE(first, second);
}

}  // namespace
}  // namespace mezzo::sched
