#pragma once

#include <optional>
#include <string>

#include "mezzo/base/bytes.h"
#include "mezzo/base/result.h"
#include "mezzo/base/strong_id.h"
#include "mezzo/generation/image_request.h"
#include "mezzo/media/picture_header.h"
#include "mezzo/storage/blob_key.h"

namespace mezzo::generation {

/// A picture file that a job brings: an object of the store, an address, or its bytes.
struct PictureSource {
  std::optional<storage::BlobKey> blob;
  std::string url;
  std::string bytes;
};

/// A stored request of kind "image", decoded; the pictures are not read yet.
struct ImageJobRequest {
  ModelName model;
  std::string version;
  ImageRequest request;
  bool has_seed = false;
  std::optional<PictureSource> picture;
  std::optional<PictureSource> mask;
  media::PictureFormat format = media::PictureFormat::kPng;
  int quality = 90;  ///< Of JPEG and WebP, 1 to 100.
};

/// Reads {"model", "version", "input": {"prompt", "negative_prompt", "n", "size", "steps", "guidance",
/// "seed", "sampler", "eta", "strength", "image", "mask", "output_format", "quality",
/// "partial_images"}}. `image` and `mask` are {"artifact": key} of the tenant's own, {"url": address} or
/// {"base64": file}; "model" may stand in the input instead.
///
/// Fails with kInvalidArgument "image_request", naming the member, its value and what it has to be; unknown
/// members are errors.
Result<ImageJobRequest> ParseImageJob(const TenantId& tenant, const std::string& json);

}  // namespace mezzo::generation
