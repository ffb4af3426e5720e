#include "mezzo/lifecycle/pipeline_worker.h"

#include <algorithm>
#include <optional>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mezzo/base/strings.h"
#include "mezzo/base/uuid.h"
#include "mezzo/lifecycle/command_runner.h"

namespace mezzo::lifecycle {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kPiece = std::size_t{4} << 20;

std::string Dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

struct Made {
  std::string part;
  std::vector<ManifestFile> files;
};

/// What the stage `train` that came last before `stage` has made.
Result<std::optional<Made>> MadeBefore(const PipelineRun& run, std::size_t stage) {
  for (std::size_t i = stage; i-- > 0;) {
    if (run.spec->stages[i].kind != StageKind::kTrain) continue;
    const Json json = Json::parse(run.stages[i].output, nullptr, /*allow_exceptions=*/false);
    Made made;
    if (!json.is_object() || !json.contains("files") || !json["files"].is_array())
      return std::optional<Made>();
    made.part = json.value("part", "");
    for (const Json& file : json["files"]) {
      if (!file.is_object()) continue;
      made.files.push_back({.path = file.value("path", ""),
                            .sha256 = file.value("sha256", ""),
                            .bytes = file.value("bytes", ByteCount{0})});
    }
    return std::optional(std::move(made));
  }
  return std::optional<Made>();
}

std::map<std::string, double> MetricsOf(const PipelineRun& run) {
  std::map<std::string, double> all;
  for (const StageRun& stage : run.stages) {
    for (const auto& [name, value] : stage.metrics) all[name] = value;
  }
  return all;
}

std::string NameOf(const PipelineRun& run) { return "pipeline " + run.pipeline; }

}  // namespace

Result<std::string> PipelineWorker::Work(const Task& task) {
  MEZZO_TRY(const PipelineRun run, ports_.store.Load(task.job.run, Soon()));
  if (!MayWork(run, task.job.stage, task.job.attempt, task.id)) {
    return FailedPrecondition("pipeline_stage_stale",
                              fmt::format("run '{}' has gone on without attempt {} of its stage {}", run.id,
                                          task.job.attempt, task.job.stage));
  }
  TimePoint next = AddSaturating(ports_.clock.Now(), options_.check);
  bool gone = false;
  const auto stop = [&]() {
    if (gone || task.cancelled()) return true;
    if (ports_.clock.Now() < next) return false;
    next = AddSaturating(ports_.clock.Now(), options_.check);
    const auto now = ports_.store.Load(task.job.run, Soon());
    // While the database does not answer the work goes on: the job's lease decides then.
    if (now.ok()) gone = !MayWork(*now, task.job.stage, task.job.attempt, task.id);
    if (!now.ok() && now.error().code() == Code::kNotFound) gone = true;
    return gone;
  };
  const Attempt attempt{.run = run, .stage = run.spec->stages[task.job.stage], .task = task, .stop = stop};
  StageResult result;
  switch (attempt.stage.kind) {
    case StageKind::kTrain:
    case StageKind::kEvaluate: {
      MEZZO_TRY(result, Command(attempt));
      break;
    }
    case StageKind::kRegister: {
      MEZZO_TRY(result, Register(attempt));
      break;
    }
    case StageKind::kTest: {
      MEZZO_TRY(const std::int64_t version, VersionOf(attempt));
      result.watch = Outside{.kind = Outside::Kind::kVersion, .id = std::to_string(version)};
      result.output = Dump({{"version", version}});
      break;
    }
    case StageKind::kRelease: {
      MEZZO_TRY(result, Release(attempt));
      break;
    }
    case StageKind::kRetire: {
      MEZZO_TRY(result, Retire(attempt));
      break;
    }
  }
  return result.ToJson();
}

Result<StageResult> PipelineWorker::Command(const Attempt& attempt) {
  StageCommand command{.run = attempt.run,
                       .stage = attempt.stage,
                       .index = attempt.task.job.stage,
                       .attempt = attempt.task.job.attempt};
  MEZZO_TRY(std::optional<Made> made, MadeBefore(attempt.run, command.index));
  if (made && !made->files.empty()) {
    // As it was kept; checked again before its paths become files.
    MEZZO_TRY(const Manifest manifest, Manifest::Make(made->files, options_.files));
    command.inputs = manifest.files();
    command.inputs_key = made->part;
  }
  MEZZO_TRY(StageOutcome outcome, ports_.runner.Run(command, attempt.stop));
  StageResult result{.metrics = std::move(outcome.metrics)};
  Json files = Json::array();
  ByteCount bytes = 0;
  for (const ManifestFile& file : outcome.files) {
    files.push_back({{"path", file.path}, {"sha256", file.sha256}, {"bytes", file.bytes}});
    bytes += file.bytes;
  }
  result.output = Dump({{"part", CommandRunner::PartOf(command.index, command.attempt)},
                        {"files", std::move(files)},
                        {"bytes", bytes},
                        {"confined", outcome.confined},
                        {"log", outcome.log}});
  return result;
}

Result<void> PipelineWorker::Upload(const Attempt& attempt, const std::string& part,
                                    const ManifestFile& file) {
  const TimePoint deadline = AddSaturating(ports_.clock.Now(), options_.transfer);
  MEZZO_TRY(const VersionUploads::Progress at, ports_.uploads.StatusOf(file.sha256, deadline));
  if (at.complete) return {};
  MEZZO_TRY(const storage::BlobKey key, CommandRunner::KeyOf(attempt.run.id, part, file.sha256));
  ByteCount offset = at.received;
  MEZZO_TRY(const auto reader, ports_.blobs.Read(key, {.offset = offset}, deadline));
  std::vector<std::byte> piece(
      static_cast<std::size_t>(std::min<ByteCount>(kPiece, std::max<ByteCount>(file.bytes, 1))));
  while (true) {
    std::size_t size = 0;
    while (size < piece.size()) {
      MEZZO_TRY(const std::size_t got, reader->Read(std::span(piece).subspan(size), deadline));
      if (got == 0) break;
      size += got;
    }
    if (size == 0 && offset > 0) break;
    if (attempt.stop()) return Cancelled("pipeline_stopped", "the upload was stopped");
    MEZZO_TRY(const VersionUploads::Progress put, ports_.uploads.Put({.sha256 = file.sha256,
                                                                      .offset = offset,
                                                                      .total = file.bytes,
                                                                      .bytes = BytesView(piece.data(), size)},
                                                                     deadline));
    offset += size;
    if (put.complete) return {};
    if (size == 0) break;
  }
  return FailedPrecondition("pipeline_files_missing",
                            "what was kept of '" + file.path + "' is shorter than it was");
}

Result<StageResult> PipelineWorker::Register(const Attempt& attempt) {
  const PipelineRun& run = attempt.run;
  MEZZO_TRY(std::optional<Made> made, MadeBefore(run, attempt.task.job.stage));
  if (!made || made->files.empty()) {
    return FailedPrecondition("pipeline_files_missing", "the stage 'train' has left no files in out/");
  }
  MEZZO_TRY(const Manifest manifest, Manifest::Make(made->files, options_.files));
  const std::string by = NameOf(run);
  const auto known = ports_.registry.GetModel(run.model, Soon());
  if (!known.ok() && known.error().code() == Code::kNotFound) {
    const auto created = ports_.registry.CreateModel({.name = run.model}, by, Soon());
    if (!created.ok() && created.error().code() != Code::kAlreadyExists) return created.error();
  } else if (!known.ok()) {
    return known.error();
  }
  // Of this run and this content there is one version, however often the job is begun.
  VersionQuery query{
      .match = NameMatch::kEquals, .model = run.model, .run_id = run.id, .digest = manifest.Digest()};
  MEZZO_TRY(const RegistryPage<VersionRecord> page, ports_.registry.ListVersions(query, "", 10, Soon()));
  VersionRecord version;
  std::vector<std::string> missing;
  if (page.records.empty()) {
    // A version that is served from a folder is none of the registry's.
    std::optional<std::int64_t> parent = run.parent;
    if (parent) {
      const auto served = ports_.registry.GetVersion(run.model, *parent, Soon());
      if (!served.ok() && served.error().code() != Code::kNotFound) return served.error();
      if (!served.ok()) parent.reset();
    }
    NewVersion fresh{
        .manifest = manifest, .description = attempt.stage.description, .stage = attempt.stage.label};
    fresh.lineage = {.data = attempt.stage.data,
                     .code = attempt.stage.code,
                     .metrics = Json(MetricsOf(run)).dump(),
                     .parent = parent,
                     .run_id = run.id};
    if (fresh.description.empty()) fresh.description = "By " + by;
    MEZZO_TRY(VersionUploads::Begun begun, ports_.uploads.Begin(run.model, fresh, by, Soon()));
    version = std::move(begun.version);
    missing = std::move(begun.missing);
  } else {
    version = page.records.front();
    if (version.state == VersionState::kUploading) {
      MEZZO_TRY(missing, ports_.uploads.Missing(run.model, version.version, Soon()));
    }
  }
  for (const ManifestFile& file : manifest.files()) {
    if (std::find(missing.begin(), missing.end(), file.sha256) == missing.end()) continue;
    MEZZO_TRY_VOID(Upload(attempt, made->part, file));
  }
  if (version.state == VersionState::kUploading) {
    MEZZO_TRY(version, ports_.uploads.Complete(run.model, version.version, by, Soon()));
  }
  StageResult result{.version = version.version};
  result.output = Dump(
      {{"version", version.version}, {"digest", version.digest}, {"state", VersionStateName(version.state)}});
  return result;
}

Result<std::int64_t> PipelineWorker::VersionOf(const Attempt& attempt) {
  const PipelineRun& run = attempt.run;
  const std::string& named = attempt.stage.version;
  if (named == "run" || named == "parent") {
    const auto version = named == "run" ? run.version : run.parent;
    if (version) return *version;
    return FailedPrecondition("pipeline_version_missing",
                              named == "run" ? "this run has registered no version"
                                             : "no version of '" + run.model + "' served when the run began");
  }
  MEZZO_TRY(const VersionRecord found, ports_.registry.Resolve(run.model, named, Soon()));
  return found.version;
}

Result<StageResult> PipelineWorker::Release(const Attempt& attempt) {
  MEZZO_TRY(const std::int64_t version, VersionOf(attempt));
  // The release's id is kept before it begins, so that a crash leaves no second one.
  std::string id = attempt.task.checkpoint;
  if (id.empty()) {
    id = NewUuidV7(ports_.clock.WallNow());
    MEZZO_TRY_VOID(attempt.task.keep(id));
  }
  StageResult result;
  MEZZO_TRY(result.watch, ports_.world.Release(id, attempt.run, attempt.stage, version,
                                               AddSaturating(ports_.clock.Now(), options_.transfer)));
  Json output = {{"version", version}};
  if (result.watch) {
    result.release = id;
    output["release"] = id;
  } else {
    output["first"] = true;  // Nothing served before: it serves at once.
  }
  result.output = Dump(output);
  return result;
}

Result<StageResult> PipelineWorker::Retire(const Attempt& attempt) {
  StageResult result;
  if (attempt.stage.version == "parent" && !attempt.run.parent) {
    result.output = Dump({{"version", nullptr}});  // Nothing served before: nothing to retire.
    return result;
  }
  MEZZO_TRY(const std::int64_t version, VersionOf(attempt));
  MEZZO_TRY_VOID(ports_.retirer.Begin(attempt.run.model, version, NameOf(attempt.run), Soon()));
  result.output = Dump({{"version", version}});
  return result;
}

}  // namespace mezzo::lifecycle
