#include "mezzo/app/serve_command.h"

#include <signal.h>
#include <sys/prctl.h>

#include <cstdio>
#include <memory>

#include <CLI/CLI.hpp>

#include "mezzo/app/config_source.h"
#include "mezzo/app/server.h"
#include "mezzo/app/server_schema.h"
#include "mezzo/config/report.h"

namespace mezzo::app {
namespace {

constexpr int kOk = 0;
constexpr int kFailed = 1;
constexpr int kBadUsage = 2;

int Report(const Error& error, int code) {
  std::fprintf(stderr, "mezzo: %s\n", error.message().c_str());
  return code;
}

sigset_t WatchedSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, number);
  return signals;
}

/// Lets a second signal end the process at once, in the way signals do.
void StopWatching() {
  const sigset_t signals = WatchedSignals();
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
}

int Serve(const ConfigSource& source) {
  // Blocked before any thread starts, so that every thread inherits it and only sigwait() below sees them.
  const sigset_t signals = WatchedSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);  // A file at its size limit is an error of that write, not the end of the server.

  auto config = ReadConfig(source, /*resolve_secrets=*/true, nullptr);
  if (!config.ok()) return Report(config.error(), kBadUsage);
  auto server = Server::Start(*config);
  if (!server.ok()) return Report(server.error(), kFailed);
  if (const auto key = (*server)->first_admin_key()) {
    std::fprintf(stderr, "mezzo: first start: the admin key is %s (it is not shown again)\n", key->c_str());
  }

  while (true) {
    int number = 0;
    if (sigwait(&signals, &number) != 0) continue;
    if (number != SIGHUP) break;
    auto changed = ReadConfig(source, /*resolve_secrets=*/true, nullptr);
    if (changed.ok()) {
      (*server)->Reload(*changed);
    } else {
      Report(changed.error(), kBadUsage);  // The running configuration stays.
    }
  }
  StopWatching();
  return (*server)->Shutdown() ? kOk : kFailed;
}

int CheckConfig(const ConfigSource& source) {
  const auto config = ReadConfig(source, /*resolve_secrets=*/false, nullptr);
  if (!config.ok()) return Report(config.error(), kBadUsage);
  // Where the secrets can be read as well, so can be what they must look like.
  const auto resolved = ReadConfig(source, /*resolve_secrets=*/true, nullptr);
  if (!resolved.ok() && resolved.error().message().starts_with("redis: ")) {
    return Report(resolved.error(), kBadUsage);
  }
  std::puts("the configuration is valid");
  return kOk;
}

int ShowConfig(const ConfigSource& source) {
  config::Provenance provenance;
  const auto config = ReadConfig(source, /*resolve_secrets=*/false, &provenance);
  if (!config.ok()) return Report(config.error(), kBadUsage);
  std::fputs(config::EffectiveYaml(*config, &provenance).c_str(), stdout);
  return kOk;
}

}  // namespace

void AddServeCommand(CLI::App& app, int& exit_code) {
  CLI::App* command = app.add_subcommand("serve", "Run a server until SIGTERM");
  const auto source = std::make_shared<ConfigSource>();
  AddConfigFlags(*command, *source);
  command->callback([source, &exit_code] { exit_code = Serve(*source); });
}

void AddConfigCommand(CLI::App& app, int& exit_code) {
  CLI::App* command = app.add_subcommand("config", "Check or print the configuration");
  command->require_subcommand(1);
  const auto source = std::make_shared<ConfigSource>();
  CLI::App* check = command->add_subcommand("check", "Validate without starting anything");
  AddConfigFlags(*check, *source);
  check->callback([source, &exit_code] { exit_code = CheckConfig(*source); });
  CLI::App* show = command->add_subcommand("show", "Print what holds, with where each value came from");
  AddConfigFlags(*show, *source);
  const auto effective = std::make_shared<bool>(true);
  show->add_flag("--effective", *effective, "Print every key (the default)");
  show->callback([source, effective, &exit_code] { exit_code = ShowConfig(*source); });
  CLI::App* reference =
      command->add_subcommand("reference", "Print the documentation of every key as Markdown");
  reference->callback([&exit_code] {
    std::fputs(config::Reference<ServerConfig>().c_str(), stdout);
    exit_code = kOk;
  });
}

}  // namespace mezzo::app
