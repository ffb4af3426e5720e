#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "mezzo/base/result.h"
#include "mezzo/base/strong_id.h"
#include "mezzo/generation/clip_tokenizer.h"
#include "mezzo/generation/pipeline_config.h"
#include "mezzo/models/catalog.h"
#include "mezzo/text/wordpiece.h"

namespace mezzo::generation {

/// What turns a prompt into the ids of a text encoder.
using PromptTokenizer = std::variant<ClipTokenizer, text::WordPiece>;

/// A text encoder with its tokenizer.
struct TextEncoder {
  TextEncoderConfig config;
  std::shared_ptr<const PromptTokenizer> tokenizer;
  models::VersionRef model;
};

/// A pipeline whose parts are loaded. Immutable; shared by the pictures that are being made, and keeps the
/// parts in memory as long as they are.
struct Pipeline {
  ModelName name;       ///< "sdxl"; its parts are "sdxl/unet" and so on.
  std::string version;  ///< "1".
  PipelineConfig config;
  std::vector<TextEncoder> text_encoders;
  models::VersionRef unet;
  models::VersionRef vae_decoder;
  models::VersionRef vae_encoder;  ///< Null where nobody asked for it.
};
using PipelineRef = std::shared_ptr<const Pipeline>;

/// The input of a part by its name, or null.
const models::TensorConfig* FindInput(const models::ModelVersion& part, std::string_view name);
/// The same for an output.
const models::TensorConfig* FindOutput(const models::ModelVersion& part, std::string_view name);

/// Whether the parts have the inputs and outputs that Optimum's exports have, in types that are built. Fails
/// with kInvalidArgument "pipeline_invalid", naming part and tensor.
Result<void> CheckParts(const Pipeline& pipeline);

}  // namespace mezzo::generation
