#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "mezzo/api/openai/media_members.h"
#include "mezzo/base/result.h"
#include "mezzo/jobs/job.h"

namespace mezzo::api::openai {

/// What POST /v1/images/generations and /v1/images/edits ask for.
struct ImageRequest {
  std::string model;
  std::string prompt;
  std::string negative_prompt;
  std::size_t n = 1;
  std::string size;  ///< "WxH"; empty: the model's own.
  std::optional<std::uint64_t> steps;
  std::optional<double> guidance;
  std::optional<double> step_cache;
  std::optional<std::uint64_t> seed;
  std::string sampler;             ///< Empty: the model's own.
  std::optional<double> strength;  ///< Of edits: how far to leave the picture.
  std::string output_format;       ///< "png", "jpeg" or "webp".
  std::optional<std::uint64_t> output_compression;
  bool as_url = false;  ///< Instead of base64 in the answer.
  bool stream = false;
  std::size_t partial_images = 0;
  jobs::Tier tier = jobs::Tier::kFree;
  std::optional<jobs::WebhookTarget> webhook;
};

/// Errors: those of MediaMembers; its param() names the member.
Result<ImageRequest> ReadImageRequest(MediaMembers& members, const std::string& default_model);

/// The request of a job of kind "image": {"model", "version", "input": {…}}, where `picture` and `mask` are
/// keys of artifacts, or empty.
std::string ImageJobRequest(const ImageRequest& request, const std::string& picture, const std::string& mask);

}  // namespace mezzo::api::openai
