#include "mezzo/app/cli/flow_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/config/load.h"

namespace mezzo::app::cli {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string Fault(std::string_view text) {
  const auto flow = ParseFlow(text, {});
  if (!flow.ok()) return flow.error().message();
  const auto checked = CheckFlow(*flow);
  return checked.ok() ? "(fine)" : checked.error().message();
}

TEST(ParseFlow, ReadsEveryKindOfValue) {
  const auto flow = ParseFlow(
      "model=minilm, "
      "tenant=a,key-env=KEY_A,rate=50.5,deadline=100ms,priority=1,shape=ids:1x32,shape=mask:1x32,"
      "range=ids:0..9,protocol=grpc,arrivals=uniform,max-outstanding=7",
      {});

  ASSERT_TRUE(flow.ok()) << flow.error().message();
  EXPECT_EQ(flow->model, "minilm");
  EXPECT_EQ(flow->tenant, "a");
  EXPECT_EQ(flow->key_env, "KEY_A");
  EXPECT_EQ(flow->rate, 50.5);
  EXPECT_EQ(flow->deadline, milliseconds(100));
  EXPECT_EQ(flow->priority, 1u);
  EXPECT_THAT(flow->shapes, ElementsAre("ids:1x32", "mask:1x32"));
  EXPECT_THAT(flow->ranges, ElementsAre("ids:0..9"));
  EXPECT_EQ(flow->protocol, Protocol::kGrpc);
  EXPECT_EQ(flow->arrivals, ArrivalKind::kUniform);
  EXPECT_EQ(flow->max_outstanding, 7u);
  EXPECT_EQ(FlowName(*flow), "minilm/a (grpc)");
}

TEST(ParseFlow, ItsPaceReplacesTheInheritedOne) {
  FlowSpec defaults;
  defaults.model = "m";
  defaults.rate = 100;
  const auto closed = ParseFlow("concurrency=4", defaults);
  ASSERT_TRUE(closed.ok());
  EXPECT_EQ(closed->rate, 0);
  EXPECT_TRUE(CheckFlow(*closed).ok());

  EXPECT_EQ(ParseFlow("tenant=b", defaults)->rate, 100);
}

TEST(ParseFlow, ATraceImpliesItsArrivals) {
  const auto flow = ParseFlow("model=m,trace=a.csv", {});
  ASSERT_TRUE(flow.ok());
  EXPECT_EQ(flow->arrivals, ArrivalKind::kTrace);
  EXPECT_TRUE(CheckFlow(*flow).ok());
}

TEST(ParseFlow, NamesWhatIsWrong) {
  EXPECT_EQ(Fault("model=m,ratee=5"), "unknown key 'ratee' in --flow; did you mean 'rate'?");
  EXPECT_EQ(Fault("model"), "'model' in --flow must be key=value");
  EXPECT_EQ(Fault("rate=-1"), "rate in --flow must be a number from 0 to 10000000, not '-1'");
  EXPECT_EQ(Fault("rate=nan"), "rate in --flow must be a number from 0 to 10000000, not 'nan'");
  EXPECT_EQ(Fault("deadline=fast"), "deadline in --flow must be a duration from 1us to 24h, not 'fast'");
  EXPECT_EQ(Fault("protocol=http2"), "protocol in --flow must be http, http-json, grpc or raw, not 'http2'");
  EXPECT_EQ(Fault("payloads=0"), "payloads in --flow must be a whole number from 1 to 4096, not '0'");
}

TEST(CheckFlow, WantsExactlyOnePaceAndATarget) {
  EXPECT_EQ(Fault("model=m"), "flow 'm' needs a rate, a trace (open loop) or a concurrency (closed loop)");
  EXPECT_EQ(Fault("model=m,rate=1,concurrency=1"),
            "flow 'm' may have only one of rate, trace and concurrency");
  EXPECT_EQ(Fault("model=m,arrivals=trace"), "flow 'm' has arrivals from a trace but names no trace file");
  EXPECT_THAT(Fault("rate=1"), HasSubstr("needs a model"));
  EXPECT_THAT(Fault("model=m,rate=1,path=/x"), HasSubstr("only with protocol raw"));
  EXPECT_THAT(Fault("protocol=raw,rate=1,path=x"), HasSubstr("needs a path that starts with '/'"));
  EXPECT_THAT(Fault("protocol=raw,rate=1,path=/a b"), HasSubstr("white space"));
  EXPECT_EQ(Fault("protocol=raw,rate=1,path=/x"), "(fine)");
}

TEST(Scenario, SchemaIsSound) { EXPECT_TRUE(config::CheckSchema<Scenario>().ok()); }

TEST(Scenario, ReadsFlowsWithTheFieldsOfTheFlag) {
  const auto scenario = config::ParseYaml<Scenario>(R"(
duration: 3s
seed: 9
flows:
  - {model: minilm, tenant: a, rate: 50, deadline: 100ms, shapes: ["input_ids:1x32"]}
  - {model: mlp, protocol: http-json, concurrency: 8}
)",
                                                    "s.yaml");
  ASSERT_TRUE(scenario.ok()) << scenario.error().message();
  ASSERT_EQ(scenario->flows.size(), 2u);
  EXPECT_EQ(scenario->flows[0].deadline, milliseconds(100));
  EXPECT_EQ(scenario->flows[1].protocol, Protocol::kHttpJson);
  EXPECT_EQ(scenario->seed, 9u);
  EXPECT_FALSE(scenario->warmup.has_value());
}

TEST(Scenario, UnknownKeysAreNamedWithTheirPlace) {
  const auto scenario = config::ParseYaml<Scenario>("flows:\n  - {model: m, rat: 5}\n", "s.yaml");
  ASSERT_FALSE(scenario.ok());
  EXPECT_THAT(scenario.error().message(), HasSubstr("s.yaml:2"));
  EXPECT_THAT(scenario.error().message(), HasSubstr("did you mean 'rate'"));
}

}  // namespace
}  // namespace mezzo::app::cli
