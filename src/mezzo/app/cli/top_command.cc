#include "mezzo/app/cli/top_command.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <thread>
#include <utility>

#include <CLI/CLI.hpp>

#include "mezzo/app/cli/internal/signals.h"
#include "mezzo/app/cli/terminal.h"
#include "mezzo/app/cli/top_view.h"

namespace mezzo::app::cli {
namespace {

Result<TopSample> TakeSample(const V2Client& client, const Clock& clock) {
  TopSample sample;
  MEZZO_TRY(const HttpReply metrics, client.CallOk("GET", "/metrics"));
  sample.at = clock.Now();
  MEZZO_TRY(sample.metrics, MetricsText::Parse(metrics.body));
  MEZZO_TRY(sample.statistics, client.Statistics(""));
  MEZZO_TRY(const HttpReply index, client.CallOk("POST", "/v2/repository/index", "{}"));
  MEZZO_TRY(sample.index, ParseIndex(index.body));
  return sample;
}

/// One frame of plain text, of as many lines as it takes.
Result<std::string> OneFrame(const V2Client& client, const TopOptions& options, const Clock& clock) {
  constexpr std::size_t kAllLines = 10'000;
  MEZZO_TRY(const TopSample before, TakeSample(client, clock));
  std::this_thread::sleep_for(options.interval);
  MEZZO_TRY(const TopSample after, TakeSample(client, clock));
  TopView view = CompareSamples(before, after);
  view.url = options.server.url;
  return RenderTop(view, std::max<std::size_t>(SizeOfTerminal().columns, 80), kAllLines, /*colour=*/false);
}

/// Redraws until told to stop. A server that goes away is shown as such, and as itself when it is back.
void Watch(const V2Client& client, const TopOptions& options, TopSample before, const Clock& clock) {
  SignalCatcher signals({SIGINT, SIGTERM, SIGHUP});
  FullScreen screen;
  TopView view = CompareSamples(before, before);
  view.url = options.server.url;
  std::string trouble;
  TimePoint next = before.at + options.interval;
  while (signals.Poll() == 0) {
    const TerminalSize size = SizeOfTerminal();
    std::string frame;
    if (!trouble.empty()) frame = trouble.substr(0, size.columns) + "\n";
    frame += RenderTop(view, size.columns,
                       size.lines - std::min<std::size_t>(size.lines, trouble.empty() ? 0 : 1), true);
    screen.Show(frame);
    constexpr Duration kMostWait = std::chrono::milliseconds(200);  // A resize shows within this.
    const auto key = screen.WaitForKey(std::clamp(next - clock.Now(), Duration::zero(), kMostWait));
    if (key == 'q' || key == 'Q') return;
    if (clock.Now() < next) continue;
    next = clock.Now() + options.interval;
    auto after = TakeSample(client, clock);
    if (!after.ok()) {
      trouble = after.error().message();
      continue;
    }
    trouble.clear();
    view = CompareSamples(before, *after);
    view.url = options.server.url;
    before = *std::move(after);
  }
}

}  // namespace

CLI::App* AddTopCommand(CLI::App& app, TopOptions& options) {
  CLI::App* command =
      app.add_subcommand("top", "Shows models, queues, batches and tenants of a server, live; q quits");
  command->footer(
      "DEVICE is the share of the device's slots, QUEUE the requests that wait, BATCH the mean rows of a "
      "batch.");
  AddServerOptions(*command, options.server);
  AddDurationOption(*command, "-i,--interval", options.interval, "Time between two looks");
  command->add_flag("--once", options.once, "Print one frame over one interval and end");
  return command;
}

int RunTopCommand(const TopOptions& options) {
  constexpr std::string_view kName = "top";
  if (options.interval < std::chrono::milliseconds(100) || options.interval > std::chrono::minutes(1)) {
    return FailWith(kName, InvalidArgument("bad_interval", "--interval must be from 100ms to 1m"));
  }
  const auto client = V2Client::Make(options.server);
  if (!client.ok()) return FailWith(kName, client.error());
  const RealClock clock;
  if (options.once) {
    const auto frame = OneFrame(*client, options, clock);
    if (!frame.ok()) return FailWith(kName, frame.error());
    std::fputs(frame->c_str(), stdout);
    return static_cast<int>(ExitCode::kOk);
  }
  if (::isatty(STDOUT_FILENO) != 1 || ::isatty(STDIN_FILENO) != 1) {
    return FailWith(kName,
                    InvalidArgument("no_terminal", "needs a terminal; --once prints one frame anywhere"));
  }
  auto first = TakeSample(*client, clock);
  if (!first.ok()) return FailWith(kName, first.error());
  Watch(*client, options, *std::move(first), clock);
  return static_cast<int>(ExitCode::kOk);
}

}  // namespace mezzo::app::cli
