#include "mezzo/app/cli/bench_command.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>

#include <CLI/CLI.hpp>

#include "mezzo/app/cli/bench.h"
#include "mezzo/app/cli/internal/signals.h"
#include "mezzo/base/strings.h"

namespace mezzo::app::cli {
namespace {

constexpr const char* kAbout = "Sends inference requests at a given pace and measures the answers";
constexpr const char* kMore =
    R"(Open loop (--rate, --trace): requests are sent when the schedule says, whether or not earlier ones were
answered, and latency counts from the time the schedule intended.
Closed loop (--concurrency): so many requests are always on their way.

Several flows in one run:
  mezzo bench --flow model=minilm,rate=50,deadline=100ms,shape=input_ids:1x32 \
              --flow model=mlp,concurrency=8,protocol=grpc,tenant=batch,key-env=BATCH_KEY
Keys of --flow are the options above without dashes, and name, tenant, url, grpc, path, body-file.
docs/guides/bench.md explains every figure.)";

template <typename T>
CLI::Option* AddOptional(CLI::App& command, const std::string& name, std::optional<T>& to,
                         const std::string& help) {
  return command.add_option_function<T>(name, [&to](const T& value) { to = value; }, help);
}

CLI::Option* AddOptionalDuration(CLI::App& command, const std::string& name, std::optional<Duration>& to,
                                 const std::string& help) {
  const auto parse = [&to, name](const std::string& text) {
    const auto duration = config::ParseDuration(text);
    if (!duration.ok())
      throw CLI::ValidationError(name, "'" + Printable(text) + "' must be " + duration.error().message());
    to = *duration;
  };
  return command.add_option_function<std::string>(name, parse, help)->type_name("DURATION");
}

template <typename E>
CLI::Option* AddChoice(CLI::App& command, const std::string& name, E& to, const std::string& help) {
  std::vector<std::string> names;
  for (const auto& entry : config::EnumNames<E>::kNames) names.emplace_back(entry.name);
  const auto parse = [&to](const std::string& text) {
    for (const auto& entry : config::EnumNames<E>::kNames) {
      if (entry.name == text) to = entry.value;
    }
  };
  return command.add_option_function<std::string>(name, parse, help)->check(CLI::IsMember(names));
}

void AddTrafficOptions(CLI::App& command, BenchOptions& options) {
  FlowSpec& flow = options.defaults;
  const char* group = "Traffic";
  command.add_option("-m,--model", flow.model, "Model to call")->group(group);
  command.add_option("--model-version", flow.version, "Its version (default: the server chooses)")
      ->group(group);
  AddChoice(command, "-p,--protocol", flow.protocol, "http sends binary tensors")->group(group);
  command.add_option("-r,--rate", flow.rate, "Open loop: requests per second")
      ->check(CLI::Range(0.0, 1e7))
      ->group(group);
  command.add_option("-c,--concurrency", flow.concurrency, "Closed loop: requests always on their way")
      ->check(CLI::Range(0, 100000))
      ->group(group);
  const auto arrivals = [&flow](const std::string& text) {
    constexpr std::string_view kTrace = "trace:";
    if (text == "poisson" || text == "uniform") {
      flow.arrivals = text == "poisson" ? ArrivalKind::kPoisson : ArrivalKind::kUniform;
    } else if (text.starts_with(kTrace) && text.size() > kTrace.size()) {
      flow.arrivals = ArrivalKind::kTrace;
      flow.trace = text.substr(kTrace.size());
    } else {
      throw CLI::ValidationError("--arrivals",
                                 "'" + Printable(text) + "' must be poisson, uniform or trace:FILE");
    }
  };
  command
      .add_option_function<std::string>("--arrivals", arrivals, "poisson (default), uniform or trace:FILE")
      ->type_name("KIND")
      ->group(group);
  command.add_option("--time-scale", flow.time_scale, "Play a trace this many times as fast")
      ->check(CLI::Range(1e-6, 1e6))
      ->group(group);
  AddOptionalDuration(command, "--deadline", flow.deadline, "Sent with each request; later answers are late")
      ->group(group);
  command.add_option("--priority", flow.priority, "1 is the highest (default: the model's)")
      ->check(CLI::Range(0, 1000))
      ->group(group);
  command.add_option("--flow", options.flows, "A flow of its own; may be repeated")
      ->type_name("KEY=VALUE,...")
      ->expected(1)
      ->take_all()
      ->group(group);
  command.add_option("--scenario", options.scenario_file, "YAML file with flows")
      ->type_name("FILE")
      ->group(group);
}

void AddDataOptions(CLI::App& command, BenchOptions& options) {
  FlowSpec& flow = options.defaults;
  const char* group = "Input data";
  command.add_option("--shape", flow.shapes, "Shape of an input with variable dimensions; may be repeated")
      ->type_name("INPUT:1x32")
      ->expected(1)
      ->take_all()
      ->group(group);
  command.add_option("--range", flow.ranges, "Values of an input; may be repeated")
      ->type_name("INPUT:LOW..HIGH")
      ->expected(1)
      ->take_all()
      ->group(group);
  AddChoice(command, "--fill", flow.fill, "What inputs hold (default: random)")->group(group);
  command.add_option("--input-file", flow.input_file, "JSON file with \"inputs\" as in a request")
      ->type_name("FILE")
      ->group(group);
  command.add_option("--payloads", flow.payloads, "Different requests to make, sent in turn")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str()
      ->group(group);
  AddOptional(command, "--seed", options.seed, "Seed of arrivals and data (default: 1)")->group(group);
}

void AddRunOptions(CLI::App& command, BenchOptions& options) {
  const char* group = "Run";
  AddOptionalDuration(command, "-d,--duration", options.duration, "How long to measure (default: 10s)")
      ->group(group);
  AddOptionalDuration(command, "--warmup", options.warmup, "Time before that, not measured (default: 1s)")
      ->group(group);
  AddOptional(command, "-n,--requests", options.requests, "Stop each flow after so many measured requests")
      ->group(group);
  command
      .add_option("--connections", options.defaults.connections,
                  "Connections of a flow (default: the concurrency; open loop: 8 to 256 by rate; gRPC: 4)")
      ->check(CLI::Range(0, 100000))
      ->group(group);
  command
      .add_option("--max-outstanding", options.defaults.max_outstanding,
                  "Open loop: requests sent or waiting; more are dropped")
      ->check(CLI::Range(1, 10000000))
      ->capture_default_str()
      ->group(group);
  command.add_option("--threads", options.threads, "Threads that send")
      ->check(CLI::Range(1, 64))
      ->capture_default_str()
      ->group(group);
  command.add_option("--json", options.json_file, "Write the report as JSON too; - is standard output")
      ->type_name("FILE")
      ->group(group);
  command.add_flag("-q,--quiet", options.quiet, "No progress line")->group(group);
}

std::size_t TerminalWidth() {
  winsize size{};
  return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

void PrintProgress(const ProgressSample& sample) {
  const std::string line = "\r" + ProgressLine(sample, TerminalWidth() - 1) + "\x1b[K";
  std::fputs(line.c_str(), stderr);
  std::fflush(stderr);
}

}  // namespace

CLI::App* AddBenchCommand(CLI::App& app, BenchOptions& options) {
  CLI::App* command = app.add_subcommand("bench", kAbout);
  command->footer(kMore);
  AddServerOptions(*command, options.server);
  command->add_option("--grpc", options.server.grpc, "The server's gRPC address")
      ->capture_default_str()
      ->type_name("HOST:PORT");
  AddTrafficOptions(*command, options);
  AddDataOptions(*command, options);
  AddRunOptions(*command, options);
  return command;
}

int RunBenchCommand(const BenchOptions& options) {
  const auto plan = PlanBench(options);
  if (!plan.ok()) return FailWith("bench", plan.error());
  SignalCatcher interrupts({SIGINT, SIGTERM});
  BenchObserver observer;
  observer.wants_samples = !options.quiet && ::isatty(STDERR_FILENO) == 1;
  observer.tick = [&](const ProgressSample& sample) {
    if (observer.wants_samples) PrintProgress(sample);
    return interrupts.Poll() != 0;
  };
  const RealClock clock;
  const auto report = RunBench(*plan, observer, clock);
  if (observer.wants_samples) std::fputs("\r\x1b[K", stderr);
  if (!report.ok()) return FailWith("bench", report.error());
  const std::string text = ReportText(*report);
  std::fputs(text.c_str(), options.json_file == "-" ? stderr : stdout);
  if (!options.json_file.empty()) {
    if (const auto written = WriteFile(options.json_file, ReportJson(*report)); !written.ok()) {
      return FailWith("bench", written.error());
    }
  }
  const FlowReport total = report->Total();
  if (total.tally.ok > 0) return static_cast<int>(ExitCode::kOk);
  return static_cast<int>(total.tally.refused > 0 || total.tally.failed == 0 ? ExitCode::kRefused
                                                                             : ExitCode::kUnreachable);
}

}  // namespace mezzo::app::cli
