#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/base/result.h"
#include "mezzo/generation/clip_tokenizer.h"
#include "mezzo/generation/scheduler_config.h"

namespace mezzo::generation {

/// How a pipeline reads prompts and is conditioned.
enum class PipelineFamily : std::uint8_t {
  kStableDiffusion,    ///< 1.x, 2.x, Turbo.
  kLatentConsistency,  ///< The same networks, distilled for few steps by LCM.
  kStableDiffusionXl,  ///< Two text encoders, sizes as conditions.
};

/// Where the states of a prompt come from.
struct TextEncoderConfig {
  std::string part;       ///< "text_encoder": a folder of the pipeline.
  std::string tokenizer;  ///< "tokenizer": the folder of its files. Empty with a served model.
  ClipTokenizer::Rules rules = ClipTokenizer::Rules::kBasic;

  /// Not empty: another model of this server, whose folder has the WordPiece vocabulary ("vocab.txt").
  std::string served_model;
  std::string output;          ///< Of the served model: the states of tokens, [rows, tokens, width].
  std::size_t max_tokens = 0;  ///< Of a prompt, for the served model.
  bool zero_padding = false;   ///< States behind the last token are made 0.
};

/// What a Diffusers folder says about itself, apart from its ONNX models.
struct PipelineConfig {
  std::string class_name;  ///< As in model_index.json: "StableDiffusionPipeline".
  PipelineFamily family = PipelineFamily::kStableDiffusion;
  std::vector<TextEncoderConfig> text_encoders;  ///< One, or two of SDXL.
  SchedulerConfig scheduler;

  std::size_t unet_channels = 4;    ///< Of the input: 4, or 9 when it was trained to inpaint.
  std::size_t latent_channels = 4;  ///< Of the latents.
  std::size_t vae_factor = 8;       ///< Pixels along one side of a latent.
  float scaling_factor = 0.18215F;  ///< Latents are what the encoder gives times this.
  std::size_t default_side = 512;   ///< Of a picture, in pixels.
  /// Width of the embedded guidance scale (LCM); 0: guidance is by a second, unconditional prediction.
  std::size_t guidance_embedding = 0;
  bool zero_for_empty_prompt = false;  ///< SDXL: no negative prompt is zeros, not the state of "".
};

/// Gives a file of the pipeline's folder ("unet/config.json"); kNotFound when there is none.
using PipelineFileReader = std::function<Result<std::string>(std::string_view path)>;

/// Reads model_index.json and the configurations of the parts: the layout of Diffusers and of Optimum's ONNX
/// export. The layout of Diffusers' older exporter, whose classes begin with "Onnx", has no config.json in
/// the parts: what is missing is then that of Stable Diffusion 1.x. A text encoder of library "mezzo" names a
/// served model in its config.json: "model", "output", "max_tokens", "zero_padding".
///
/// Errors, naming file and key: "pipeline_invalid" (kInvalidArgument) for what can't be read,
/// "pipeline_unsupported" (kUnimplemented) for pipelines that are not built (SD3, FLUX, refiners), and those
/// of ParseSchedulerConfig().
Result<PipelineConfig> ReadPipelineConfig(const PipelineFileReader& read);

}  // namespace mezzo::generation
