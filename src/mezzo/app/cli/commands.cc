#include "mezzo/app/cli/commands.h"

#include <memory>

#include <CLI/CLI.hpp>

#include "mezzo/app/cli/bench_command.h"
#include "mezzo/app/cli/cache_command.h"
#include "mezzo/app/cli/check_version_command.h"
#include "mezzo/app/cli/decode_picture_command.h"
#include "mezzo/app/cli/generate_command.h"
#include "mezzo/app/cli/infer_command.h"
#include "mezzo/app/cli/job_command.h"
#include "mezzo/app/cli/limit_command.h"
#include "mezzo/app/cli/model_check_command.h"
#include "mezzo/app/cli/model_command.h"
#include "mezzo/app/cli/models_command.h"
#include "mezzo/app/cli/pipeline_command.h"
#include "mezzo/app/cli/release_command.h"
#include "mezzo/app/cli/route_command.h"
#include "mezzo/app/cli/run_stage_command.h"
#include "mezzo/app/cli/tenant_command.h"
#include "mezzo/app/cli/top_command.h"
#include "mezzo/app/cli/usage_command.h"

namespace mezzo::app::cli {
namespace {

/// Of `model`, with options of its own: AddModelCheckCommand().
constexpr const char* kCheckSubcommand = "check";

/// Registers one command; its options live as long as the app that may run it.
template <typename Options>
void Add(CLI::App& app, int& exit_code, CLI::App* (*add)(CLI::App&, Options&), int (*run)(const Options&)) {
  auto options = std::make_shared<Options>();
  CLI::App* const command = add(app, *options);
  command->final_callback([options, run, &exit_code, command] {
    // Others' subcommands have run by themselves.
    for (const CLI::App* sub : command->get_subcommands()) {
      if (sub->get_name() == kCheckSubcommand) return;
    }
    exit_code = run(*options);
  });
}

}  // namespace

void AddCommands(CLI::App& app, int& exit_code) {
  Add<BenchOptions>(app, exit_code, AddBenchCommand, RunBenchCommand);
  Add<TopOptions>(app, exit_code, AddTopCommand, RunTopCommand);
  Add<JobOptions>(app, exit_code, AddJobCommand, RunJobCommand);
  Add<TenantOptions>(app, exit_code, AddTenantCommand, RunTenantCommand);
  Add<TenantOptions>(app, exit_code, AddKeyCommand, RunKeyCommand);
  Add<CacheOptions>(app, exit_code, AddCacheCommand, RunCacheCommand);
  Add<LimitOptions>(app, exit_code, AddLimitCommand, RunLimitCommand);
  Add<PipelineOptions>(app, exit_code, AddPipelineCommand, RunPipelineCommand);
  Add<ReleaseOptions>(app, exit_code, AddReleaseCommand, RunReleaseCommand);
  Add<RouteOptions>(app, exit_code, AddRouteCommand, RunRouteCommand);
  Add<UsageOptions>(app, exit_code, AddUsageCommand, RunUsageCommand);
  Add<GenerateOptions>(app, exit_code, AddGenerateCommand, RunGenerateCommand);
  Add<ModelOptions>(app, exit_code, AddModelCommand, RunModelCommand);
  Add<ModelsOptions>(app, exit_code, AddModelsCommand, RunModelsCommand);
  Add<InferOptions>(app, exit_code, AddInferCommand, RunInferCommand);
  Add<ModelCheckOptions>(app, exit_code, AddModelCheckCommand, RunModelCheckCommand);
  Add<CheckVersionOptions>(app, exit_code, AddCheckVersionCommand, RunCheckVersionCommand);
  Add<RunStageOptions>(app, exit_code, AddRunStageCommand, RunRunStageCommand);
  Add<DecodePictureOptions>(app, exit_code, AddDecodePictureCommand, RunDecodePictureCommand);
}

}  // namespace mezzo::app::cli
