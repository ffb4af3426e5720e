#include "mezzo/generation/pipeline_store.h"

#include <utility>

#include "mezzo/generation/internal/clip_vocabulary.h"
#include "mezzo/models/repository.h"

namespace mezzo::generation {
namespace {

constexpr const char* kUnet = "/unet";

std::string KeyOf(const models::ModelVersion& unet) { return unet.name.str() + "@" + unet.version_text; }

/// Reads below the pipeline's folder, which is the one above its network's.
PipelineFileReader ReaderAbove(const models::ModelVersion& unet, std::size_t max_bytes) {
  const std::string folder = unet.folder.substr(0, unet.folder.rfind('/'));
  return
      [folder, max_bytes](std::string_view path) { return models::ReadFileBelow(folder, path, max_bytes); };
}

/// A file that need not be there.
Result<std::string> ReadOptional(const PipelineFileReader& read, const std::string& path) {
  auto text = read(path);
  if (!text.ok() && text.error().code() == Code::kNotFound) return std::string();
  return text;
}

Result<PromptTokenizer> ReadClip(const PipelineFileReader& read, const TextEncoderConfig& encoder) {
  const std::string folder = encoder.tokenizer + "/";
  MEZZO_TRY(const std::string vocabulary, read(folder + "vocab.json"));
  MEZZO_TRY(const std::string merges, read(folder + "merges.txt"));
  MEZZO_TRY(const std::string config, read(folder + "tokenizer_config.json"));
  MEZZO_TRY(const std::string specials, ReadOptional(read, folder + "special_tokens_map.json"));
  MEZZO_TRY(ClipTokenizer clip, ClipTokenizer::Parse({.vocab_json = vocabulary,
                                                      .merges_txt = merges,
                                                      .tokenizer_config_json = config,
                                                      .special_tokens_map_json = specials},
                                                     encoder.rules));
  return PromptTokenizer(std::move(clip));
}

Result<PromptTokenizer> ReadWordPiece(const models::ModelVersion& served) {
  MEZZO_TRY(const std::string vocabulary,
            models::ReadFileBelow(served.folder, "vocab.txt", text::WordPiece::kMaxVocabularyBytes));
  MEZZO_TRY(text::WordPiece pieces, text::WordPiece::Parse(vocabulary));
  return PromptTokenizer(std::move(pieces));
}

}  // namespace

runtime::Task<Result<models::VersionRef>> PipelineStore::Load(runtime::Context ctx, std::string name,
                                                              std::string version) {
  auto found = catalog_.Acquire(name, version);
  if (found.ok() || found.error().reason() != "model_on_disk") co_return found;
  ModelName model(std::move(name));
  co_return co_await catalog_.AcquireLoaded(ctx, std::move(model), std::move(version));
}

PipelineStore::DefinitionRef PipelineStore::Find(const models::VersionRef& unet) const {
  MutexLock lock(mu_);
  const auto it = definitions_.find(KeyOf(*unet));
  return it != definitions_.end() && it->second->unet.lock() == unet ? it->second : nullptr;
}

void PipelineStore::Keep(const models::VersionRef& unet, const DefinitionRef& definition) {
  MutexLock lock(mu_);
  std::erase_if(definitions_, [](const auto& entry) { return entry.second->unet.expired(); });
  // Only operators add pipelines; beyond the bound a definition is read again for each request.
  if (definitions_.size() < kMaxKept) definitions_[KeyOf(*unet)] = definition;
}

runtime::Task<Result<PipelineStore::DefinitionRef>> PipelineStore::Define(runtime::Context ctx,
                                                                          models::VersionRef unet) {
  if (DefinitionRef known = Find(unet); known != nullptr) co_return known;
  auto read_config = [&unet] { return ReadPipelineConfig(ReaderAbove(*unet, std::size_t{1} << 20)); };
  MEZZO_CO_TRY(PipelineConfig config, co_await runtime::Offload(pool_, read_config));
  auto made = std::make_shared<Definition>();
  made->unet = unet;
  for (const TextEncoderConfig& encoder : config.text_encoders) {
    models::VersionRef served;
    if (!encoder.served_model.empty()) {
      MEZZO_CO_TRY(served, co_await Load(ctx, encoder.served_model, ""));
    }
    auto read_tokenizer = [&unet, &encoder, &served] {
      return served != nullptr ? ReadWordPiece(*served)
                               : ReadClip(ReaderAbove(*unet, internal::kMaxTokenizerFileBytes), encoder);
    };
    MEZZO_CO_TRY(PromptTokenizer tokenizer, co_await runtime::Offload(pool_, read_tokenizer));
    made->tokenizers.push_back(std::make_shared<const PromptTokenizer>(std::move(tokenizer)));
  }
  made->config = std::make_shared<const PipelineConfig>(std::move(config));
  const DefinitionRef definition = std::move(made);
  Keep(unet, definition);
  co_return definition;
}

runtime::Task<Result<PipelineRef>> PipelineStore::Open(runtime::Context ctx, ModelName name,
                                                       std::string version, bool with_encoder) {
  auto pipeline = std::make_shared<Pipeline>();
  MEZZO_CO_TRY(pipeline->unet, co_await Load(ctx, name.str() + kUnet, version));
  // All parts of the version that was chosen, also when a newer one comes meanwhile.
  pipeline->version = pipeline->unet->version_text;
  MEZZO_CO_TRY(const DefinitionRef definition, co_await Define(ctx, pipeline->unet));
  pipeline->config = *definition->config;
  for (std::size_t i = 0; i < pipeline->config.text_encoders.size(); ++i) {
    const TextEncoderConfig& config = pipeline->config.text_encoders[i];
    const bool served = !config.served_model.empty();
    std::string part = served ? config.served_model : name.str() + "/" + config.part;
    std::string part_version = served ? std::string() : pipeline->version;
    MEZZO_CO_TRY(models::VersionRef model, co_await Load(ctx, std::move(part), std::move(part_version)));
    pipeline->text_encoders.push_back(
        {.config = config, .tokenizer = definition->tokenizers[i], .model = std::move(model)});
  }
  MEZZO_CO_TRY(pipeline->vae_decoder, co_await Load(ctx, name.str() + "/vae_decoder", pipeline->version));
  if (with_encoder) {
    MEZZO_CO_TRY(pipeline->vae_encoder, co_await Load(ctx, name.str() + "/vae_encoder", pipeline->version));
  }
  pipeline->name = std::move(name);
  MEZZO_CO_TRY_VOID(CheckParts(*pipeline));
  co_return PipelineRef(std::move(pipeline));
}

std::shared_ptr<const PipelineConfig> PipelineStore::Known(const ModelName& name) const {
  MutexLock lock(mu_);
  const std::string prefix = name.str() + kUnet + "@";
  const auto it = definitions_.lower_bound(prefix);
  return it != definitions_.end() && it->first.starts_with(prefix) ? it->second->config : nullptr;
}

Result<void> PipelineStore::Exists(const ModelName& name, const std::string& version) {
  auto config = catalog_.ConfigOf(name.str() + kUnet, version);
  if (config.ok()) return {};
  if (config.error().reason() != "model_unknown") return std::move(config).error();
  return NotFound("model_unknown",
                  "Request for unknown model: '" + name.str() + "' is not found among the image pipelines");
}

}  // namespace mezzo::generation
