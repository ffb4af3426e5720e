#include "mezzo/generation/pipeline.h"

#include <algorithm>

#include "mezzo/generation/internal/number_tensor.h"

namespace mezzo::generation {
namespace {

using models::ModelVersion;
using models::TensorConfig;

const TensorConfig* Find(const std::vector<TensorConfig>& tensors, std::string_view name) {
  const auto it =
      std::find_if(tensors.begin(), tensors.end(), [name](const TensorConfig& t) { return t.name == name; });
  return it == tensors.end() ? nullptr : &*it;
}

std::string Names(const std::vector<TensorConfig>& tensors) {
  std::string names;
  for (const TensorConfig& tensor : tensors) names += (names.empty() ? "'" : ", '") + tensor.name + "'";
  return names;
}

Error Wrong(const ModelVersion& part, const std::string& what) {
  return InvalidArgument("pipeline_invalid", "'" + part.name.str() + "': " + what);
}

Result<void> NeedInput(const ModelVersion& part, std::string_view name) {
  const TensorConfig* input = FindInput(part, name);
  if (input == nullptr) {
    return Wrong(part,
                 "the input '" + std::string(name) + "' is missing; it has " + Names(part.config->inputs));
  }
  if (internal::IsNumberType(input->dtype)) return {};
  return Wrong(part, "the input '" + std::string(name) + "' is " +
                         std::string(tensor::DTypeName(input->dtype)) +
                         "; FP16, FP32, FP64, INT32 and INT64 are built");
}

Result<void> NeedOutput(const ModelVersion& part, std::string_view name) {
  if (FindOutput(part, name) != nullptr) return {};
  return Wrong(part,
               "the output '" + std::string(name) + "' is missing; it has " + Names(part.config->outputs));
}

Result<void> CheckUnet(const Pipeline& pipeline) {
  const ModelVersion& unet = *pipeline.unet;
  for (const char* input : {"sample", "timestep", "encoder_hidden_states"})
    MEZZO_TRY_VOID(NeedInput(unet, input));
  if (pipeline.config.family == PipelineFamily::kStableDiffusionXl) {
    for (const char* input : {"text_embeds", "time_ids"}) MEZZO_TRY_VOID(NeedInput(unet, input));
  }
  if (pipeline.config.guidance_embedding > 0) MEZZO_TRY_VOID(NeedInput(unet, "timestep_cond"));
  const TensorConfig& sample = *FindInput(unet, "sample");
  if (sample.shape.rank() != 4) {
    return Wrong(unet, "the input 'sample' has the shape " + sample.shape.ToString() +
                           "; [rows, channels, height, width] is expected");
  }
  if (FindInput(unet, "timestep")->shape.rank() > 1)
    return Wrong(unet, "the input 'timestep' is neither a number nor a list of them");
  return NeedOutput(unet, "out_sample");
}

}  // namespace

const TensorConfig* FindInput(const ModelVersion& part, std::string_view name) {
  return Find(part.config->inputs, name);
}

const TensorConfig* FindOutput(const ModelVersion& part, std::string_view name) {
  return Find(part.config->outputs, name);
}

Result<void> CheckParts(const Pipeline& pipeline) {
  for (const TextEncoder& encoder : pipeline.text_encoders) {
    MEZZO_TRY_VOID(NeedInput(*encoder.model, "input_ids"));
    const std::string& served = encoder.config.output;
    MEZZO_TRY_VOID(NeedOutput(*encoder.model, served.empty() ? "last_hidden_state" : served));
  }
  MEZZO_TRY_VOID(CheckUnet(pipeline));
  MEZZO_TRY_VOID(NeedInput(*pipeline.vae_decoder, "latent_sample"));
  MEZZO_TRY_VOID(NeedOutput(*pipeline.vae_decoder, "sample"));
  if (pipeline.vae_encoder == nullptr) return {};
  MEZZO_TRY_VOID(NeedInput(*pipeline.vae_encoder, "sample"));
  return {};
}

}  // namespace mezzo::generation
