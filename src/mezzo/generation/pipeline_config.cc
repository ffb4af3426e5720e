#include "mezzo/generation/pipeline_config.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <utility>

#include <nlohmann/json.hpp>

#include "mezzo/base/strings.h"
#include "mezzo/generation/internal/clip_vocabulary.h"

namespace mezzo::generation {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kMaxConfigBytes = std::size_t{1} << 20;
constexpr std::size_t kMaxChannels = 1024;
constexpr std::size_t kMaxSide = 16'384;
constexpr std::size_t kMaxVaeBlocks = 8;

Error Invalid(std::string message) { return InvalidArgument("pipeline_invalid", std::move(message)); }

/// The class of a folder that Diffusers' older exporter wrote.
bool IsOldExport(const std::string& class_name) { return class_name.starts_with("Onnx"); }

/// One of the JSON files, with its name for messages.
class ConfigFile {
 public:
  static Result<ConfigFile> Read(const PipelineFileReader& read, const std::string& path) {
    auto text = read(path);
    if (!text.ok() && text.error().code() == Code::kNotFound) return Invalid("'" + path + "' is missing");
    MEZZO_TRY(const std::string content, std::move(text));
    if (content.size() > kMaxConfigBytes) {
      return Invalid("'" + path + "' has " + std::to_string(content.size()) + " bytes; the limit is " +
                     std::to_string(kMaxConfigBytes));
    }
    Json json = Json::parse(content, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object()) return Invalid("'" + path + "' is no JSON object");
    return ConfigFile(path, std::move(json));
  }

  /// The value of `key`, or null where it is missing or null.
  [[nodiscard]] const Json* Find(std::string_view key) const {
    const auto it = json_.find(key);
    return it == json_.end() || it->is_null() ? nullptr : &*it;
  }
  [[nodiscard]] Error Wrong(std::string_view key, std::string_view wanted) const {
    const Json* value = Find(key);
    const std::string shown = value == nullptr ? "missing" : Printable(value->dump(), 64);
    return Invalid("'" + path_ + "': '" + std::string(key) + "' is " + shown + "; it has to be " +
                   std::string(wanted));
  }
  [[nodiscard]] Result<std::string> Text(std::string_view key) const {
    const Json* value = Find(key);
    if (value == nullptr || !value->is_string()) return Wrong(key, "a string");
    return value->get<std::string>();
  }
  [[nodiscard]] Result<std::size_t> Count(std::string_view key, std::optional<std::size_t> otherwise,
                                          std::size_t most) const {
    const Json* value = Find(key);
    if (value == nullptr && otherwise.has_value()) return *otherwise;
    if (value == nullptr || !value->is_number_unsigned() || value->get<std::uint64_t>() == 0 ||
        value->get<std::uint64_t>() > most) {
      return Wrong(key, "a whole number from 1 to " + std::to_string(most));
    }
    return value->get<std::size_t>();
  }
  [[nodiscard]] Result<bool> Switch(std::string_view key) const {
    const Json* value = Find(key);
    if (value == nullptr) return false;
    if (!value->is_boolean()) return Wrong(key, "true or false");
    return value->get<bool>();
  }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  ConfigFile(std::string path, Json json) : path_(std::move(path)), json_(std::move(json)) {}

  std::string path_;
  Json json_;
};

/// A component of model_index.json: library and class; nothing when it is absent or [null, null].
struct Component {
  std::string library;
  std::string class_name;
};

Result<std::optional<Component>> FindComponent(const ConfigFile& index, std::string_view name) {
  const Json* value = index.Find(name);
  if (value == nullptr) return std::optional<Component>();
  const bool pair = value->is_array() && value->size() == 2;
  if (pair && (*value)[0].is_null() && (*value)[1].is_null()) return std::optional<Component>();
  if (!pair || !(*value)[0].is_string() || !(*value)[1].is_string())
    return index.Wrong(name, "a library and a class");
  return std::optional<Component>(Component{(*value)[0].get<std::string>(), (*value)[1].get<std::string>()});
}

Result<PipelineFamily> FamilyOf(const std::string& class_name) {
  struct Known {
    std::string_view name;
    PipelineFamily family;
  };
  static constexpr std::array kKnown = {
      Known{"StableDiffusionPipeline", PipelineFamily::kStableDiffusion},
      Known{"StableDiffusionImg2ImgPipeline", PipelineFamily::kStableDiffusion},
      Known{"StableDiffusionInpaintPipeline", PipelineFamily::kStableDiffusion},
      Known{"LatentConsistencyModelPipeline", PipelineFamily::kLatentConsistency},
      Known{"LatentConsistencyModelImg2ImgPipeline", PipelineFamily::kLatentConsistency},
      Known{"StableDiffusionXLPipeline", PipelineFamily::kStableDiffusionXl},
      Known{"StableDiffusionXLImg2ImgPipeline", PipelineFamily::kStableDiffusionXl},
      Known{"StableDiffusionXLInpaintPipeline", PipelineFamily::kStableDiffusionXl}};
  // Exporters put their own names before Diffusers'.
  std::string_view plain = class_name;
  for (const std::string_view prefix : {"ORT", "OnnxRuntime", "Onnx", "OV"}) {
    if (plain.starts_with(prefix)) {
      plain.remove_prefix(prefix.size());
      break;
    }
  }
  for (const Known& known : kKnown) {
    if (plain == known.name) return known.family;
  }
  return Unimplemented("pipeline_unsupported", "'model_index.json': the class '" + Printable(class_name) +
                                                   "' is not built; Stable Diffusion 1.x, 2.x, XL and latent "
                                                   "consistency pipelines are");
}

Result<TextEncoderConfig> ReadServedEncoder(const PipelineFileReader& read, const std::string& part) {
  MEZZO_TRY(const ConfigFile file, ConfigFile::Read(read, part + "/config.json"));
  TextEncoderConfig encoder;
  encoder.part = part;
  MEZZO_TRY(encoder.served_model, file.Text("model"));
  MEZZO_TRY(encoder.output, file.Text("output"));
  MEZZO_TRY(encoder.max_tokens, file.Count("max_tokens", std::nullopt, internal::kMaxClipLength));
  MEZZO_TRY(encoder.zero_padding, file.Switch("zero_padding"));
  if (!IsSafeName(encoder.served_model)) return file.Wrong("model", "the name of a served model");
  if (encoder.max_tokens < 2) return file.Wrong("max_tokens", "at least 2");
  return encoder;
}

Result<TextEncoderConfig> ReadTextEncoder(const PipelineFileReader& read, const ConfigFile& index,
                                          const std::string& suffix) {
  const std::string part = "text_encoder" + suffix;
  MEZZO_TRY(const std::optional<Component> component, FindComponent(index, part));
  if (!component) return index.Wrong(part, "there");
  if (component->library == "mezzo") return ReadServedEncoder(read, part);

  TextEncoderConfig encoder;
  encoder.part = part;
  encoder.tokenizer = "tokenizer" + suffix;
  MEZZO_TRY(const std::optional<Component> tokenizer, FindComponent(index, encoder.tokenizer));
  if (!tokenizer) return index.Wrong(encoder.tokenizer, "there");
  if (tokenizer->class_name == "CLIPTokenizerFast") {
    encoder.rules = ClipTokenizer::Rules::kFast;
  } else if (tokenizer->class_name != "CLIPTokenizer") {
    return Unimplemented("pipeline_unsupported", "'model_index.json': '" + encoder.tokenizer + "' is a '" +
                                                     Printable(tokenizer->class_name) +
                                                     "', not a CLIPTokenizer");
  }
  return encoder;
}

Result<void> ReadTextEncoders(const PipelineFileReader& read, const ConfigFile& index,
                              PipelineConfig& config) {
  MEZZO_TRY(const auto first, FindComponent(index, "text_encoder"));
  const bool xl = config.family == PipelineFamily::kStableDiffusionXl;
  if (!first && xl) {
    return Unimplemented("pipeline_unsupported",
                         "'model_index.json': an SDXL pipeline without a "
                         "'text_encoder' is a refiner, which is not built");
  }
  for (const char* suffix : {"", "_2"}) {
    if (*suffix != '\0' && !xl) break;
    MEZZO_TRY(TextEncoderConfig encoder, ReadTextEncoder(read, index, suffix));
    config.text_encoders.push_back(std::move(encoder));
  }
  if (xl) {
    MEZZO_TRY(const bool aesthetics, index.Switch("requires_aesthetics_score"));
    if (aesthetics) {
      return Unimplemented(
          "pipeline_unsupported",
          "'model_index.json': 'requires_aesthetics_score' marks a refiner, which is not built");
    }
    const Json* zeros = index.Find("force_zeros_for_empty_prompt");
    config.zero_for_empty_prompt = zeros == nullptr || (zeros->is_boolean() && zeros->get<bool>());
  }
  return {};
}

/// True when the part has no configuration and need not have one.
bool HasNoConfig(const PipelineFileReader& read, const PipelineConfig& config, const std::string& part) {
  if (!IsOldExport(config.class_name)) return false;
  const auto text = read(part + "/config.json");
  return !text.ok() && text.error().code() == Code::kNotFound;
}

Result<void> ReadVae(const PipelineFileReader& read, PipelineConfig& config) {
  if (HasNoConfig(read, config, "vae_decoder")) return {};
  MEZZO_TRY(const ConfigFile file, ConfigFile::Read(read, "vae_decoder/config.json"));
  MEZZO_TRY(config.latent_channels, file.Count("latent_channels", 4, kMaxChannels));
  const Json* blocks = file.Find("block_out_channels");
  if (blocks == nullptr || !blocks->is_array() || blocks->empty() || blocks->size() > kMaxVaeBlocks)
    return file.Wrong("block_out_channels", "a list of 1 to " + std::to_string(kMaxVaeBlocks) + " numbers");
  config.vae_factor = std::size_t{1} << (blocks->size() - 1);
  if (const Json* scaling = file.Find("scaling_factor"); scaling != nullptr) {
    if (!scaling->is_number()) return file.Wrong("scaling_factor", "a number above 0");
    config.scaling_factor = scaling->get<float>();
    if (!std::isfinite(config.scaling_factor) || config.scaling_factor <= 0)
      return file.Wrong("scaling_factor", "a number above 0");
  }
  for (const char* key : {"shift_factor", "latents_mean"}) {
    if (file.Find(key) != nullptr)
      return Unimplemented("pipeline_unsupported", "'" + file.path() + "': '" + key + "' is not built");
  }
  return {};
}

Result<void> ReadUnet(const PipelineFileReader& read, PipelineConfig& config) {
  if (HasNoConfig(read, config, "unet")) return {};
  MEZZO_TRY(const ConfigFile file, ConfigFile::Read(read, "unet/config.json"));
  MEZZO_TRY(config.unet_channels, file.Count("in_channels", 4, kMaxChannels));
  const std::size_t inpainting = 2 * config.latent_channels + 1;
  if (config.unet_channels != config.latent_channels && config.unet_channels != inpainting) {
    return file.Wrong("in_channels", std::to_string(config.latent_channels) +
                                         ", as many as latents have, or " + std::to_string(inpainting) +
                                         " for inpainting");
  }
  const std::size_t most = kMaxSide / config.vae_factor;
  MEZZO_TRY(const std::size_t side, file.Count("sample_size", 64, most));
  config.default_side = side * config.vae_factor;
  if (file.Find("time_cond_proj_dim") != nullptr) {
    MEZZO_TRY(config.guidance_embedding, file.Count("time_cond_proj_dim", std::nullopt, kMaxChannels));
    if (config.guidance_embedding < 4) return file.Wrong("time_cond_proj_dim", "at least 4");
  }
  return {};
}

}  // namespace

Result<PipelineConfig> ReadPipelineConfig(const PipelineFileReader& read) {
  MEZZO_TRY(const ConfigFile index, ConfigFile::Read(read, "model_index.json"));
  PipelineConfig config;
  MEZZO_TRY(config.class_name, index.Text("_class_name"));
  MEZZO_TRY(config.family, FamilyOf(config.class_name));
  MEZZO_TRY_VOID(ReadTextEncoders(read, index, config));
  MEZZO_TRY_VOID(ReadVae(read, config));
  MEZZO_TRY_VOID(ReadUnet(read, config));
  auto scheduler = read("scheduler/scheduler_config.json");
  if (!scheduler.ok() && scheduler.error().code() == Code::kNotFound)
    return Invalid("'scheduler/scheduler_config.json' is missing");
  MEZZO_TRY(const std::string text, std::move(scheduler));
  MEZZO_TRY(config.scheduler, ParseSchedulerConfig(text));
  return config;
}

}  // namespace mezzo::generation
