// Drift of versions as hosts find it together, on real databases.

#include "mezzo/lifecycle/drift_monitor.h"

#include <random>

#include "registry_fixture.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mezzo::lifecycle {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class FakeTriggers final : public TriggerSink {
 public:
  Result<void> Fire(const TriggerEvent& event, TimePoint) override {
    ++tries;
    if (away) return Unavailable("sql_unavailable", "the test's database is away");
    fired.push_back(event);
    return {};
  }
  bool away = false;
  int tries = 0;
  std::vector<TriggerEvent> fired;
};

class DriftMonitorTest : public RegistryFixture {
 protected:
  DriftMonitorTest() {
    const auto migrated = storage::Migrate(*database_->db, "drift", DriftMigrations(), Soon(), real_);
    EXPECT_TRUE(migrated.ok()) << migrated.error().ToString();
  }

  struct Host {
    Host(DriftMonitorTest& test, const std::string& name, FakeTriggers* triggers = nullptr)
        : log({}, test.clock_),
          monitor({.host = name,
                   .reference_calls = 512,
                   .min_calls = 512,
                   .window = minutes(10),
                   .threshold = 0.25,
                   .sustain = minutes(1),
                   .max_tensors = 4},
                  {.store = test.drift_, .clock = test.clock_, .log = log, .metrics = metrics}) {
      monitor.set_triggers(triggers);
    }
    observe::Logger log;
    observe::Registry metrics;
    DriftMonitor monitor;
  };

  /// `calls` calls of eight equal values each: as alike as values of a call can be.
  void Call(Host& host, int calls, double mean, const std::string& tensor = "x", std::int64_t version = 1) {
    const auto recorder = host.monitor.RecorderOf("m", version);
    std::normal_distribution<double> distribution(mean, 1);
    for (int i = 0; i < calls; ++i) {
      recorder->AddValues(false, tensor, std::vector<double>(8, distribution(random_)));
    }
  }
  static void Flush(Host& host) {
    const auto done = host.monitor.Flush();
    ASSERT_TRUE(done.ok()) << done.error().ToString();
  }
  std::vector<DriftFinding> Findings(Host& host) {
    return CompareWindows(drift_.Load(0, Soon()).value()->all,
                          drift_.Windows("m", host.monitor.FirstSlot(), Soon()).value(), 512);
  }

  std::mt19937_64 random_{7};
  DriftStore drift_{{}, *database_->db, clock_};
};

TEST_P(DriftMonitorTest, AShiftIsNoticedAndToldOnceWhenItLasts) {
  FakeTriggers triggers;
  Host host(*this, "a", &triggers);
  Call(host, 512, 0);
  Flush(host);
  ASSERT_THAT(Findings(host), SizeIs(1));
  EXPECT_EQ(Findings(host)[0].reference.calls, 512U);
  Call(host, 600, 0);
  Flush(host);
  EXPECT_LT(*Findings(host)[0].psi, 0.25);

  clock_.Advance(minutes(20));  // What was is out of the window.
  Call(host, 511, 1);
  Flush(host);
  EXPECT_FALSE(Findings(host)[0].psi.has_value()) << "too few calls tell nothing";
  Call(host, 100, 1);
  Flush(host);
  EXPECT_GT(*Findings(host)[0].psi, 0.25);
  EXPECT_GT(Findings(host)[0].ks->statistic, 0.2);
  EXPECT_THAT(triggers.fired, IsEmpty()) << "it has not lasted";

  clock_.Advance(seconds(61));
  triggers.away = true;
  EXPECT_EQ(Reason(host.monitor.Flush()), "sql_unavailable");
  triggers.away = false;
  Flush(host);
  Flush(host);
  ASSERT_THAT(triggers.fired, SizeIs(1)) << "once, though the first try failed";
  const TriggerEvent& event = triggers.fired[0];
  EXPECT_EQ(event.kind, "drift");
  EXPECT_EQ(event.model, "m");
  EXPECT_EQ(event.version, 1);
  EXPECT_THAT(event.key, HasSubstr("m/1/"));
  EXPECT_THAT(event.detail, HasSubstr("\"tensor\":\"x\""));

  clock_.Advance(minutes(20));
  Call(host, 600, 0);
  Flush(host);
  EXPECT_THAT(drift_.Breaches(Soon()).value(), IsEmpty()) << "it is over";
  clock_.Advance(minutes(20));
  Call(host, 600, 1);
  Flush(host);
  clock_.Advance(seconds(61));
  Flush(host);
  ASSERT_THAT(triggers.fired, SizeIs(2)) << "another breach";
  EXPECT_NE(triggers.fired[0].key, triggers.fired[1].key);
}

TEST_P(DriftMonitorTest, WhereNothingChangesNothingIsTold) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    random_.seed(seed);
    FakeTriggers triggers;
    Host host(*this, "a", &triggers);
    const auto version = static_cast<std::int64_t>(seed);
    Call(host, 512, 0, "x", version);
    Flush(host);
    for (int round = 0; round < 6; ++round) {
      Call(host, 520, 0, "x", version);
      Flush(host);
      clock_.Advance(minutes(11));
    }
    EXPECT_THAT(triggers.fired, IsEmpty()) << seed;
    EXPECT_THAT(drift_.Breaches(Soon()).value(), IsEmpty()) << seed;
  }
}

TEST_P(DriftMonitorTest, TwoHostsTogetherAreOneHost) {
  Host a(*this, "a");
  Host b(*this, "b");
  Call(a, 512, 0);
  Call(b, 300, 5);  // Of no avail: the first one that has enough says what the reference is.
  Flush(a);
  Flush(b);
  Host alone(*this, "alone");
  const DriftReference reference = Findings(a)[0].reference;
  std::vector<double> all;
  std::normal_distribution<double> distribution(0.3, 1);
  for (int i = 0; i < 700; ++i) {
    const std::vector<double> values(8, distribution(random_));
    (i % 3 == 0 ? a : b).monitor.RecorderOf("m", 1)->AddValues(false, "x", values);
    all.insert(all.end(), values.begin(), values.end());
    if (i % 100 == 0) {
      Flush(a);
      Flush(b);
    }
    if (i % 150 == 0) clock_.Advance(minutes(1));  // Several slots.
  }
  Flush(a);
  Flush(b);
  DriftHistogram one = reference.histogram.Empty();
  for (const double value : all) one.Add(value);

  const auto found = Findings(a);
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(found[0].calls, 700U);
  EXPECT_EQ(found[0].now, one);
  EXPECT_EQ(*found[0].psi, *PopulationStability(reference.histogram, one));
  EXPECT_EQ(Findings(b)[0].psi, found[0].psi);
}

TEST_P(DriftMonitorTest, OneBreachOfTwoHostsIsToldOnce) {
  FakeTriggers triggers;
  Host a(*this, "a", &triggers);
  Host b(*this, "b", &triggers);
  Call(a, 512, 0);
  Flush(a);
  Call(b, 1, 0);
  Flush(b);
  clock_.Advance(minutes(20));
  Call(a, 400, 2);
  Call(b, 400, 2);
  Flush(a);
  Flush(b);
  Flush(a);
  clock_.Advance(seconds(61));
  Flush(a);
  Flush(b);
  Flush(a);
  EXPECT_THAT(triggers.fired, SizeIs(1));
}

TEST_P(DriftMonitorTest, ReferencesSurviveAndBeginAnewWhenAskedTo) {
  {
    Host before(*this, "a");
    Call(before, 512, 0);
    Flush(before);
  }
  Host host(*this, "a");
  clock_.Advance(minutes(20));
  Call(host, 1, 3);
  Flush(host);  // Learns of the reference.
  Call(host, 600, 3);
  Flush(host);
  ASSERT_GT(*Findings(host)[0].psi, 0.25) << "compared with what was before the restart";

  ASSERT_TRUE(drift_.Reset({.model = "m", .version = 1}, {}, Soon()).ok());
  Flush(host);
  EXPECT_THAT(Findings(host), IsEmpty());
  Call(host, 512, 3);
  Flush(host);
  Call(host, 600, 3);
  Flush(host);
  ASSERT_THAT(Findings(host), SizeIs(1));
  EXPECT_LT(*Findings(host)[0].psi, 0.25) << "what it is now is what it shall be";

  ASSERT_TRUE(drift_.Reset({.model = "m", .version = 2}, 1, Soon()).ok());
  Call(host, 1, 0, "x", 2);
  Flush(host);
  Call(host, 600, 0, "x", 2);
  Flush(host);
  const auto found = Findings(host);
  ASSERT_THAT(found, SizeIs(2));
  EXPECT_EQ(found[1].reference.source, "version 1");
  EXPECT_GT(*found[1].psi, 0.25) << "version 2 against the reference of version 1";
  EXPECT_EQ(Reason(drift_.Reset({.model = "m", .version = 9}, {}, Soon())), "drift_unknown");
  EXPECT_EQ(Reason(drift_.Reset({.model = "m", .version = 1}, 9, Soon())), "drift_unknown");
  EXPECT_THAT(Findings(host), SizeIs(2)) << "a refusal changes nothing";
}

TEST_P(DriftMonitorTest, TagsSayWhatIsTooMuchForAModel) {
  MakeModel("m");
  FakeTriggers triggers;
  Host host(*this, "a", &triggers);
  ASSERT_TRUE(store_.SetTag("m", {}, "drift.psi", "50", "ann", Soon()).ok());
  Call(host, 512, 0);
  Flush(host);
  Call(host, 600, 2);
  Flush(host);
  EXPECT_THAT(drift_.Breaches(Soon()).value(), IsEmpty());
  ASSERT_TRUE(store_.SetTag("m", {}, "drift.psi", "0.2", "ann", Soon()).ok());
  Flush(host);
  EXPECT_THAT(drift_.Breaches(Soon()).value(), SizeIs(1));
  ASSERT_TRUE(store_.SetTag("m", {}, "drift.psi", "much", "ann", Soon()).ok());
  EXPECT_THAT(drift_.Thresholds(Soon()).value(), IsEmpty()) << "no number: the configuration's holds";
}

TEST_P(DriftMonitorTest, TensorsAndValuesAreBounded) {
  Host host(*this, "a");
  for (int tensor = 0; tensor < 40; ++tensor) Call(host, 1, 0, "t" + std::to_string(tensor));
  EXPECT_THAT(host.monitor.RecorderOf("m", 1)->Take(), SizeIs(16));
  Call(host, 5000, 0, "t0");
  EXPECT_LE(host.monitor.RecorderOf("m", 1)->Take()[std::pair(false, std::string("t0"))].values.size(),
            16'384U);
  for (int version = 1; version < 9; ++version) Call(host, 600, 0, "x", version);
  Flush(host);
  EXPECT_LE(drift_.Load(0, Soon()).value()->all.size(), 4U);
}

INSTANTIATE_TEST_SUITE_P(Databases, DriftMonitorTest, tenancy::BothDatabases(), tenancy::DatabaseName);

}  // namespace
}  // namespace mezzo::lifecycle
