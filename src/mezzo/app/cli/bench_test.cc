#include "mezzo/app/cli/bench.h"

#include <atomic>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/app/cli/internal/fake_server.h"
#include "mezzo/app/cli/internal/grpc_headers.h"

namespace mezzo::app::cli {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

constexpr const char* kMetadata = R"({"name":"m","versions":["1"],"platform":"p",
  "inputs":[{"name":"x","datatype":"FP32","shape":[-1,4]}],"outputs":[]})";

/// A v2 server of one model whose infer calls are answered by `infer`; every call counts as a batch of two
/// rows.
class ModelServer {
 public:
  explicit ModelServer(FakeServer::Handler infer)
      : infer_(std::move(infer)),
        server_([this](const FakeServer::Request& request) { return Route(request); }) {}
  [[nodiscard]] std::string url() const { return server_.url(); }

 private:
  FakeServer::Answer Route(const FakeServer::Request& request) {
    const std::string target(request.target());
    if (target == "/v2/models/m") return {.body = kMetadata};
    if (target == "/v2/models/m/infer") {
      ++batches_;
      return infer_(request);
    }
    if (target == "/v2/models/m/stats") {
      const std::string n = std::to_string(batches_.load());
      return {.body = R"({"model_stats":[{"name":"m","version":"1","inference_count":)" +
                      std::to_string(2 * batches_) + R"(,"execution_count":)" + n +
                      R"(,"inference_stats":{"success":{"count":)" + n + R"(,"ns":0}}}]})"};
    }
    return {.status = 404, .body = R"({"error":"no such thing"})"};
  }

  std::atomic<std::uint64_t> batches_{0};  // Counted by the server's threads; no partner.
  FakeServer::Handler infer_;
  FakeServer server_;
};

BenchPlan Plan(const std::string& url, const std::string& flow) {
  BenchPlan plan;
  plan.server.url = url;
  plan.server.timeout = seconds(5);
  plan.duration = seconds(30);
  plan.warmup = Duration::zero();
  plan.requests = 200;
  plan.flows = {*ParseFlow(flow, {})};
  return plan;
}

FlowReport Measure(const BenchPlan& plan) {
  const RealClock clock;
  const auto report = RunBench(plan, {}, clock);
  EXPECT_TRUE(report.ok()) << report.error().message();
  return report.ok() ? report->flows.front() : FlowReport{};
}

TEST(RunBench, ClosedLoopOverHttpCountsEveryAnswerAndAsksTheServerForItsBatches) {
  ModelServer server([](const auto& request) {
    EXPECT_EQ(request["Inference-Header-Content-Length"].empty(), false);
    EXPECT_EQ(request.body().substr(request.body().size() - 16).size(), 16u);
    return FakeServer::Answer{};
  });

  const FlowReport flow = Measure(Plan(server.url(), "model=m,concurrency=4"));

  EXPECT_EQ(flow.tally.intended, 200u);
  EXPECT_EQ(flow.tally.ok, 200u);
  EXPECT_GT(flow.tally.sent_bytes, 200u * 100);
  EXPECT_GT(flow.PerSecond(flow.tally.answers_in_window), 0);
  ASSERT_TRUE(flow.server.has_value());
  EXPECT_EQ(flow.server->batches, 200u);
  EXPECT_DOUBLE_EQ(flow.server->mean_batch(), 2);
}

TEST(RunBench, OpenLoopOnSeveralThreadsSendsTheWholeSchedule) {
  ModelServer server([](const auto&) { return FakeServer::Answer{.chunked = true}; });
  BenchPlan plan = Plan(server.url(), "model=m,rate=2000,protocol=http-json,connections=8");
  plan.threads = 2;

  const FlowReport flow = Measure(plan);

  EXPECT_EQ(flow.tally.ok, 200u);
  EXPECT_EQ(flow.tally.send_lag.count(), 200u);
}

TEST(RunBench, RefusalsKeepStatusAndReason) {
  std::atomic<int> calls = 0;
  ModelServer server([&](const auto&) {
    if (calls++ % 2 == 0) return FakeServer::Answer{};
    return FakeServer::Answer{.status = 503, .headers = {{"X-Mezzo-Reason", "queue_full"}}};
  });

  const FlowReport flow = Measure(Plan(server.url(), "model=m,concurrency=2"));

  EXPECT_EQ(flow.tally.ok, 100u);
  EXPECT_THAT(flow.tally.refusals, ElementsAre(Pair("503 queue_full", 100)));
}

TEST(RunBench, ConnectionsThatTheServerClosesAreOpenedAgainWithoutLosingRequests) {
  std::atomic<int> calls = 0;
  ModelServer server([&](const auto&) { return FakeServer::Answer{.close = calls++ % 10 == 9}; });

  const FlowReport flow = Measure(Plan(server.url(), "model=m,concurrency=3"));

  EXPECT_EQ(flow.tally.ok, 200u);
  EXPECT_EQ(flow.tally.failed, 0u);
}

TEST(RunBench, ARequestThatLosesItsConnectionTwiceHasFailed) {
  std::atomic<int> calls = 0;
  ModelServer server([&](const auto&) { return FakeServer::Answer{.hang_up = calls++ >= 50}; });
  BenchPlan plan = Plan(server.url(), "model=m,concurrency=1");
  plan.requests = 52;

  const FlowReport flow = Measure(plan);

  EXPECT_EQ(flow.tally.ok, 50u);
  EXPECT_EQ(flow.tally.failed, 2u);
  EXPECT_THAT(flow.tally.failures.begin()->first, HasSubstr("read: "));
}

TEST(RunBench, AnAnswerThatDoesNotComeIsATimeout) {
  std::atomic<bool> released = false;
  ModelServer server([&](const auto&) {
    while (!released) std::this_thread::sleep_for(milliseconds(5));
    return FakeServer::Answer{};
  });
  BenchPlan plan = Plan(server.url(), "model=m,concurrency=1");
  plan.requests = 1;
  plan.server.timeout = milliseconds(150);

  const FlowReport flow = Measure(plan);
  released = true;

  EXPECT_THAT(flow.tally.failures, ElementsAre(Pair("timeout", 1)));
}

TEST(RunBench, TheObserverStopsItEarly) {
  ModelServer server([](const auto&) { return FakeServer::Answer{}; });
  BenchPlan plan = Plan(server.url(), "model=m,rate=100");
  plan.requests = 0;
  int ticks = 0;
  ProgressSample last;
  const BenchObserver observer{
      .interval = milliseconds(50), .wants_samples = true, .tick = [&](const ProgressSample& sample) {
        last = sample;
        return ++ticks == 4;
      }};
  const RealClock clock;

  const auto report = RunBench(plan, observer, clock);

  ASSERT_TRUE(report.ok());
  EXPECT_TRUE(report->interrupted);
  EXPECT_LT(report->flows[0].window, seconds(20));
  EXPECT_EQ(report->flows[0].tally.intended, report->flows[0].tally.ok);
  EXPECT_GT(last.elapsed, Duration::zero());
}

TEST(RunBench, AServerThatIsNotThereIsUnreachable) {
  const RealClock clock;
  BenchPlan plan = Plan("http://127.0.0.1:1", "protocol=raw,path=/,concurrency=1");
  plan.server.timeout = milliseconds(200);

  const auto report = RunBench(plan, {}, clock);

  ASSERT_FALSE(report.ok());
  EXPECT_EQ(ExitCodeOf(report.error()), ExitCode::kUnreachable);
  EXPECT_THAT(report.error().message(), HasSubstr("127.0.0.1:1"));
}

TEST(RunBench, AnUnknownModelIsTheServersRefusal) {
  ModelServer server([](const auto&) { return FakeServer::Answer{}; });
  const RealClock clock;

  const auto report = RunBench(Plan(server.url(), "model=other,rate=1"), {}, clock);

  ASSERT_FALSE(report.ok());
  EXPECT_EQ(ExitCodeOf(report.error()), ExitCode::kRefused);
  EXPECT_EQ(report.error().message(), "the server answered 404: no such thing");
}

class GrpcModel final : public inference::GRPCInferenceService::Service {
 public:
  grpc::Status ModelInfer(grpc::ServerContext* context, const inference::ModelInferRequest* request,
                          inference::ModelInferResponse* response) override {
    EXPECT_EQ(request->inputs(0).name(), "x");
    EXPECT_EQ(request->raw_input_contents(0).size(), 16u);
    response->set_model_name(request->model_name());
    if (calls_++ % 4 != 3) return grpc::Status::OK;
    context->AddTrailingMetadata("x-mezzo-reason", "queue_full");
    return {grpc::StatusCode::UNAVAILABLE, "full"};
  }

 private:
  std::atomic<int> calls_{0};  // Counted by the server's threads; no partner.
};

TEST(RunBench, GrpcFlowsCountAnswersAndRefusals) {
  ModelServer http([](const auto&) { return FakeServer::Answer{}; });
  GrpcModel model;
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&model);
  const auto server = builder.BuildAndStart();
  for (const std::string pace : {"concurrency=4", "rate=1000"}) {
    BenchPlan plan = Plan(http.url(), "model=m,protocol=grpc," + pace);
    plan.server.grpc = "127.0.0.1:" + std::to_string(port);

    const FlowReport flow = Measure(plan);

    EXPECT_EQ(flow.tally.intended, 200u) << pace;
    EXPECT_EQ(flow.tally.ok, 150u) << pace;
    EXPECT_THAT(flow.tally.refusals, ElementsAre(Pair("UNAVAILABLE queue_full", 50))) << pace;
  }
}

TEST(PlanBench, FlagsWinOverTheScenario) {
  const std::string path = ::testing::TempDir() + "/mezzo_scenario.yaml";
  std::ofstream(path) << "duration: 3s\nwarmup: 2s\nseed: 9\nflows:\n  - {model: a, rate: 5}\n";
  BenchOptions options;
  options.scenario_file = path;
  options.seed = 4;
  options.flows = {"model=b,concurrency=2"};

  const auto plan = PlanBench(options);

  ASSERT_TRUE(plan.ok()) << plan.error().message();
  EXPECT_EQ(plan->duration, seconds(3));
  EXPECT_EQ(plan->warmup, seconds(2));
  EXPECT_EQ(plan->seed, 4u);
  ASSERT_EQ(plan->flows.size(), 2u);
  EXPECT_EQ(plan->flows[0].model, "a");
  EXPECT_EQ(plan->flows[1].model, "b");
}

TEST(PlanBench, CountedRequestsNeedNoDurationAndNoWarmup) {
  BenchOptions options;
  options.defaults = *ParseFlow("model=m,rate=5", {});
  options.requests = 10;

  const auto plan = PlanBench(options);

  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->warmup, Duration::zero());
  EXPECT_GE(plan->duration, std::chrono::hours(1));
}

TEST(PlanBench, RefusesWhatCannotRun) {
  BenchOptions options;
  EXPECT_THAT(PlanBench(options).error().message(), HasSubstr("needs a rate"));
  options.defaults = *ParseFlow("model=m,concurrency=1", {});
  options.threads = 2;
  EXPECT_THAT(PlanBench(options).error().message(), HasSubstr("less than the threads (2)"));
  options.scenario_file = "/nowhere/s.yaml";
  EXPECT_THAT(PlanBench(options).error().message(), HasSubstr("cannot read '/nowhere/s.yaml'"));
}

}  // namespace
}  // namespace mezzo::app::cli
