#pragma once

#include <map>
#include <memory>
#include <string>

#include "mezzo/base/mutex.h"
#include "mezzo/base/result.h"
#include "mezzo/generation/pipeline.h"
#include "mezzo/models/catalog.h"
#include "mezzo/runtime/context.h"
#include "mezzo/runtime/pool.h"
#include "mezzo/runtime/task.h"

namespace mezzo::generation {

/// The pipelines of a catalog: a Diffusers folder "sdxl" is the models "sdxl/unet", "sdxl/vae_decoder" and so
/// on, each loaded, counted and evicted by itself. Keeps what it read of the other files (configurations,
/// vocabularies) as long as the denoising network stays loaded, and for `kMaxKept` pipelines. Thread-safe.
class PipelineStore {
 public:
  static constexpr std::size_t kMaxKept = 64;

  /// Both outlive the store; `pool` reads files.
  PipelineStore(models::Catalog& catalog, runtime::BlockingPool& pool) : catalog_(catalog), pool_(pool) {}

  /// The pipeline with its parts in memory, loaded first where they are not. `version` empty: the newest.
  /// On a loop's thread. Errors: those of Catalog::AcquireLoaded() and ReadPipelineConfig();
  /// kInvalidArgument "pipeline_invalid" and those of the tokenizers for files that do not fit together.
  runtime::Task<Result<PipelineRef>> Open(runtime::Context ctx, ModelName name, std::string version,
                                          bool with_encoder);

  /// What is known of the pipeline without loading or reading anything; null when it is not in memory.
  [[nodiscard]] std::shared_ptr<const PipelineConfig> Known(const ModelName& name) const EXCLUDES(mu_);
  /// Fails with kNotFound "model_unknown" when the catalog has no such pipeline.
  Result<void> Exists(const ModelName& name, const std::string& version);

 private:
  /// What the files beside the models say.
  struct Definition {
    std::weak_ptr<const models::ModelVersion> unet;  ///< Of which it was read.
    std::shared_ptr<const PipelineConfig> config;
    std::vector<std::shared_ptr<const PromptTokenizer>> tokenizers;
  };
  using DefinitionRef = std::shared_ptr<const Definition>;

  runtime::Task<Result<models::VersionRef>> Load(runtime::Context ctx, std::string name, std::string version);
  runtime::Task<Result<DefinitionRef>> Define(runtime::Context ctx, models::VersionRef unet);
  [[nodiscard]] DefinitionRef Find(const models::VersionRef& unet) const EXCLUDES(mu_);
  void Keep(const models::VersionRef& unet, const DefinitionRef& definition) EXCLUDES(mu_);

  models::Catalog& catalog_;
  runtime::BlockingPool& pool_;
  mutable Mutex mu_;
  std::map<std::string, DefinitionRef> definitions_ GUARDED_BY(mu_);  // By the network's name and version.
};

}  // namespace mezzo::generation
