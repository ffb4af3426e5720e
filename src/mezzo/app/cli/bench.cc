#include "mezzo/app/cli/bench.h"

#include <sys/resource.h>

#include <algorithm>
#include <map>
#include <memory>
#include <thread>
#include <utility>

#include "mezzo/app/cli/load_driver.h"
#include "mezzo/app/cli/payload.h"
#include "mezzo/base/mutex.h"
#include "mezzo/base/strings.h"
#include "mezzo/config/load.h"

namespace mezzo::app::cli {
namespace {

/// From the open connections to offset zero: the threads have to be there in time.
constexpr Duration kLeadIn = std::chrono::milliseconds(50);

/// A flow with everything that needs no clock: where it goes, what it sends, when.
struct PreparedFlow {
  FlowSpec spec;
  ServerOptions server;
  ServerAddress address;
  std::string key;
  std::vector<std::string> requests;
  std::vector<Duration> trace;
  std::uint64_t seed = 0;
};

/// The flows of one thread; `runs` in the order of the plan.
struct Worker {
  std::vector<std::unique_ptr<FlowRun>> runs;
  std::vector<std::unique_ptr<LoadDriver>> drivers;
};

Result<std::vector<std::string>> MakeRequests(const PreparedFlow& flow) {
  const FlowSpec& spec = flow.spec;
  const RequestFrame frame{.address = flow.address, .key = flow.key};
  if (spec.protocol == Protocol::kRaw) {
    std::string body;
    if (!spec.body_file.empty()) {
      MEZZO_TRY(body, ReadFile(spec.body_file));
    }
    return std::vector{HttpRawRequest(frame, spec, body)};
  }
  const auto encode = [&](const std::vector<NamedInput>& inputs) {
    return spec.protocol == Protocol::kGrpc ? GrpcInferRequest(spec, inputs)
                                            : HttpInferRequest(frame, spec, inputs);
  };
  if (!spec.input_file.empty()) {
    MEZZO_TRY(const std::string text, ReadFile(spec.input_file));
    MEZZO_TRY(const auto inputs, ParseInputs(text, spec.input_file));
    return std::vector{encode(inputs)};
  }
  MEZZO_TRY(const V2Client client, V2Client::Make(flow.server));
  MEZZO_TRY(const ModelSignature signature, client.Signature(spec.model, spec.version));
  std::vector<std::string> requests;
  for (std::size_t i = 0; i < spec.payloads; ++i) {
    MEZZO_TRY(const auto inputs, MakeInputs(signature, spec, flow.seed + i));
    requests.push_back(encode(inputs));
  }
  return requests;
}

Result<PreparedFlow> Prepare(const BenchPlan& plan, std::size_t index) {
  PreparedFlow flow;
  flow.spec = plan.flows[index];
  flow.server = plan.server;
  if (!flow.spec.url.empty()) flow.server.url = flow.spec.url;
  if (!flow.spec.grpc.empty()) flow.server.grpc = flow.spec.grpc;
  if (!flow.spec.key_env.empty()) flow.server.key_env = flow.spec.key_env;
  flow.seed = plan.seed * 1'000'003 + index * 8191;
  MEZZO_TRY(flow.address, ParseUrl(flow.server.url));
  MEZZO_TRY(flow.key, ReadKey(flow.server.key_env));
  if (flow.address.tls && flow.spec.protocol != Protocol::kGrpc) {
    return InvalidArgument("bad_url", "bench sends plain HTTP: '" + Printable(flow.server.url) +
                                          "' must be an http:// address (measure TLS by a proxy in front)");
  }
  if (!flow.spec.trace.empty()) {
    MEZZO_TRY(const std::string text, ReadFile(flow.spec.trace));
    MEZZO_TRY(flow.trace, ParseTrace(text, flow.spec.trace));
  }
  MEZZO_TRY(flow.requests, MakeRequests(flow));
  return flow;
}

std::unique_ptr<ArrivalSchedule> ScheduleOf(const PreparedFlow& flow, std::uint32_t part,
                                            std::uint32_t parts) {
  if (flow.spec.concurrency > 0) return nullptr;
  std::unique_ptr<ArrivalSchedule> whole;
  switch (flow.spec.arrivals) {
    case ArrivalKind::kPoisson:
      whole = PoissonArrivals(flow.spec.rate, flow.seed);
      break;
    case ArrivalKind::kUniform:
      whole = UniformArrivals(flow.spec.rate);
      break;
    case ArrivalKind::kTrace:
      whole = TraceArrivals(flow.trace, flow.spec.time_scale);
      break;
  }
  return PartOfArrivals(std::move(whole), part, parts);
}

/// Part number `part` of `total` things dealt out to `parts`.
std::size_t Share(std::size_t total, std::size_t part, std::size_t parts) {
  return total / parts + (part < total % parts ? 1 : 0);
}

std::size_t ConnectionsOf(const FlowSpec& spec) {
  if (spec.connections > 0) return spec.connections;
  if (spec.protocol == Protocol::kGrpc) return 4;
  if (spec.concurrency > 0) return spec.concurrency;
  // As many as are on their way when answers take a second.
  constexpr double kLeast = 8, kMost = 256;
  return static_cast<std::size_t>(spec.rate > 0 ? std::clamp(spec.rate, kLeast, kMost) : kMost);
}

/// The usual limit of 1024 open files is for programs that use select(); this one does not.
void AllowManyConnections() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

FlowRun::Options RunOptions(const BenchPlan& plan, const FlowSpec& spec, std::size_t part) {
  FlowRun::Options options;
  options.warmup = plan.warmup;
  options.duration = plan.duration;
  options.max_requests = Share(plan.requests, part, plan.threads);
  options.max_outstanding = std::max<std::size_t>(1, Share(spec.max_outstanding, part, plan.threads));
  options.concurrency = Share(spec.concurrency, part, plan.threads);
  options.deadline = spec.deadline;
  options.timeout = plan.server.timeout;
  return options;
}

Worker MakeWorker(const BenchPlan& plan, const std::vector<PreparedFlow>& flows, std::size_t part,
                  const Clock& clock) {
  Worker worker;
  std::vector<HttpFlow> http;
  std::vector<GrpcFlow> grpc;
  for (const PreparedFlow& flow : flows) {
    auto schedule =
        ScheduleOf(flow, static_cast<std::uint32_t>(part), static_cast<std::uint32_t>(plan.threads));
    worker.runs.push_back(std::make_unique<FlowRun>(RunOptions(plan, flow.spec, part), std::move(schedule)));
    FlowRun* run = worker.runs.back().get();
    const std::size_t connections =
        std::max<std::size_t>(1, Share(ConnectionsOf(flow.spec), part, plan.threads));
    if (flow.spec.protocol == Protocol::kGrpc) {
      grpc.push_back({.run = run,
                      .target = flow.server.grpc,
                      .channels = connections,
                      .authorization = flow.key.empty() ? "" : "Bearer " + flow.key,
                      .requests = flow.requests});
    } else {
      http.push_back({.run = run,
                      .host = flow.address.host,
                      .port = flow.address.port,
                      .connections = connections,
                      .requests = flow.requests});
    }
  }
  if (!http.empty()) worker.drivers.push_back(NewHttpLoad(std::move(http), clock));
  if (!grpc.empty()) worker.drivers.push_back(NewGrpcLoad(std::move(grpc), clock));
  return worker;
}

/// Statistics of the flows' models by (URL, model); models whose server has none are left out.
using StatisticsByModel = std::map<std::pair<std::string, std::string>, ServerStatistics>;

StatisticsByModel ReadStatistics(const std::vector<PreparedFlow>& flows) {
  StatisticsByModel all;
  for (const PreparedFlow& flow : flows) {
    const std::pair key(flow.server.url, flow.spec.model);
    if (flow.spec.protocol == Protocol::kRaw || all.contains(key)) continue;
    const auto client = V2Client::Make(flow.server);
    if (!client.ok()) continue;
    const auto read = client->Statistics(flow.spec.model);
    if (!read.ok() || read->empty()) continue;
    ServerStatistics sum;
    for (const ServerStatistics& version : *read) {
      if (!flow.spec.version.empty() && version.version != flow.spec.version) continue;
      sum.rows += version.rows;
      sum.batches += version.batches;
      sum.successes += version.successes;
      sum.queue_ns += version.queue_ns;
      sum.compute_ns += version.compute_ns;
    }
    all[key] = sum;
  }
  return all;
}

std::optional<ServerView> ViewOf(const PreparedFlow& flow, const StatisticsByModel& before,
                                 const StatisticsByModel& after) {
  const std::pair key(flow.server.url, flow.spec.model);
  const auto first = before.find(key);
  const auto last = after.find(key);
  if (first == before.end() || last == after.end()) return std::nullopt;
  const ServerStatistics& from = first->second;
  const ServerStatistics& to = last->second;
  // Counts that went back belong to a version that was loaded anew: there is no difference to speak of.
  if (to.batches <= from.batches || to.rows < from.rows || to.successes < from.successes) return std::nullopt;
  ServerView view{.rows = to.rows - from.rows,
                  .batches = to.batches - from.batches,
                  .mean_queue = {},
                  .mean_compute = {}};
  const std::uint64_t calls = std::max<std::uint64_t>(1, to.successes - from.successes);
  view.mean_queue =
      Duration(static_cast<std::int64_t>((to.queue_ns - std::min(to.queue_ns, from.queue_ns)) / calls));
  view.mean_compute =
      Duration(static_cast<std::int64_t>((to.compute_ns - std::min(to.compute_ns, from.compute_ns)) / calls));
  return view;
}

/// Makes samples of what happened since the last one.
class Sampler {
 public:
  Sampler(const std::vector<Worker>& workers, const BenchPlan& plan, TimePoint start, const Clock& clock)
      : workers_(workers), plan_(plan), start_(start), clock_(clock), last_at_(start) {}

  ProgressSample Take() {
    FlowTally now_tally;
    ProgressSample sample;
    for (const Worker& worker : workers_) {
      for (const auto& run : worker.runs) {
        now_tally.Add(run->Collect());
        sample.in_flight += run->in_flight();
      }
    }
    const TimePoint now = clock_.Now();
    const std::uint64_t answers = now_tally.ok + now_tally.refused;
    const LatencyHistogram lately = now_tally.latency.Since(last_.latency);
    sample.elapsed = std::max(now - start_, Duration::zero());
    sample.planned = plan_.requests > 0 ? Duration::zero() : plan_.warmup + plan_.duration;
    sample.warming_up = now < start_ + plan_.warmup;
    sample.rate =
        static_cast<double>(answers - (last_.ok + last_.refused)) / std::max(1e-3, Seconds(now - last_at_));
    sample.p50 = lately.Quantile(0.5);
    sample.p99 = lately.Quantile(0.99);
    sample.refused = now_tally.refused;
    sample.failed = now_tally.failed;
    sample.dropped = now_tally.dropped;
    last_ = std::move(now_tally);
    last_at_ = now;
    return sample;
  }

 private:
  const std::vector<Worker>& workers_;
  const BenchPlan& plan_;
  TimePoint start_;
  const Clock& clock_;
  FlowTally last_;
  TimePoint last_at_;
};

/// Runs every driver on a thread of its own and calls the observer meanwhile; true when the observer stopped
/// it.
bool Drive(std::vector<Worker>& workers, const BenchPlan& plan, const BenchObserver& observer,
           TimePoint start, const Clock& clock) {
  struct State {
    Mutex mu;
    CondVar changed;
    std::size_t running GUARDED_BY(mu) = 0;
  } state;
  std::vector<std::thread> threads;
  for (Worker& worker : workers) {
    for (auto& driver : worker.drivers) {
      {
        MutexLock lock(state.mu);
        ++state.running;
      }
      threads.emplace_back([&state, &driver = *driver] {
        driver.Run();
        MutexLock lock(state.mu);
        --state.running;
        state.changed.NotifyAll();
      });
    }
  }
  Sampler sampler(workers, plan, start, clock);
  bool stopped = false;
  const auto wait = [&state, &clock, &observer] {
    const TimePoint until = clock.Now() + observer.interval;
    MutexLock lock(state.mu);
    while (state.running > 0 && clock.Now() < until) state.changed.WaitUntil(state.mu, until);
    return state.running == 0;
  };
  while (!wait()) {
    if (!observer.tick || stopped) continue;
    stopped = observer.tick(observer.wants_samples ? sampler.Take() : ProgressSample{});
    if (!stopped) continue;
    for (Worker& worker : workers) {
      for (auto& driver : worker.drivers) driver->Stop();
    }
  }
  for (std::thread& thread : threads) thread.join();
  return stopped;
}

}  // namespace

Result<BenchPlan> PlanBench(const BenchOptions& options) {
  BenchPlan plan;
  plan.server = options.server;
  plan.threads = options.threads;
  Scenario scenario;
  if (!options.scenario_file.empty()) {
    MEZZO_TRY(const std::string text, ReadFile(options.scenario_file));
    MEZZO_TRY(scenario, config::ParseYaml<Scenario>(text, options.scenario_file));
  }
  plan.flows = std::move(scenario.flows);
  for (const std::string& text : options.flows) {
    MEZZO_TRY(FlowSpec flow, ParseFlow(text, options.defaults));
    plan.flows.push_back(std::move(flow));
  }
  if (plan.flows.empty()) plan.flows.push_back(options.defaults);
  for (FlowSpec& flow : plan.flows) {
    if (!flow.trace.empty()) flow.arrivals = ArrivalKind::kTrace;
    MEZZO_TRY_VOID(CheckFlow(flow));
    if (flow.concurrency > 0 && flow.concurrency < plan.threads) {
      return InvalidArgument("bad_flow", "flow '" + Printable(FlowName(flow)) + "' has a concurrency of " +
                                             std::to_string(flow.concurrency) + ", less than the threads (" +
                                             std::to_string(plan.threads) + ")");
    }
  }
  plan.requests = options.requests.value_or(scenario.requests.value_or(0));
  if (plan.requests > 0 && plan.requests < plan.threads) {
    return InvalidArgument("bad_flow", "--requests must be at least the number of threads");
  }
  // Counted requests end a run by themselves; a duration given beside them bounds it.
  const auto unbounded = plan.requests > 0 ? Duration(std::chrono::hours(24)) : plan.duration;
  plan.duration = options.duration.value_or(scenario.duration.value_or(unbounded));
  plan.warmup =
      options.warmup.value_or(scenario.warmup.value_or(plan.requests > 0 ? Duration::zero() : plan.warmup));
  plan.seed = options.seed.value_or(scenario.seed.value_or(plan.seed));
  return plan;
}

Result<BenchReport> RunBench(const BenchPlan& plan, const BenchObserver& observer, const Clock& clock) {
  std::vector<PreparedFlow> flows;
  for (std::size_t i = 0; i < plan.flows.size(); ++i) {
    MEZZO_TRY(PreparedFlow flow, Prepare(plan, i));
    flows.push_back(std::move(flow));
  }
  AllowManyConnections();
  std::vector<Worker> workers;
  for (std::size_t part = 0; part < plan.threads; ++part) {
    workers.push_back(MakeWorker(plan, flows, part, clock));
    for (auto& driver : workers.back().drivers) MEZZO_TRY_VOID(driver->Connect(plan.server.timeout));
  }
  const StatisticsByModel before = ReadStatistics(flows);
  BenchReport report;
  const TimePoint start = clock.Now() + kLeadIn;
  for (Worker& worker : workers) {
    for (auto& run : worker.runs) run->Begin(start);
  }
  report.started_at = clock.WallNow();
  report.seed = plan.seed;
  report.threads = plan.threads;
  report.warmup = plan.warmup;
  report.interrupted = Drive(workers, plan, observer, start, clock);
  const StatisticsByModel after = ReadStatistics(flows);
  for (std::size_t i = 0; i < flows.size(); ++i) {
    FlowReport line{
        .spec = flows[i].spec, .name = FlowName(flows[i].spec), .tally = {}, .window = {}, .server = {}};
    TimePoint end = start;
    for (const Worker& worker : workers) {
      line.tally.Add(worker.runs[i]->Collect());
      end = std::max(end, worker.runs[i]->window_end());
    }
    line.window = std::max(end - (start + plan.warmup), Duration::zero());
    line.server = ViewOf(flows[i], before, after);
    report.flows.push_back(std::move(line));
  }
  return report;
}

}  // namespace mezzo::app::cli
