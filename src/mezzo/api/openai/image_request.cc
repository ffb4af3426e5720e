#include "mezzo/api/openai/image_request.h"

#include <algorithm>
#include <utility>

#include <nlohmann/json.hpp>

namespace mezzo::api::openai {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kMaxPrompt = 32'000;
constexpr std::size_t kMaxName = 256;
constexpr std::uint64_t kMaxImages = 10;
constexpr std::uint64_t kMaxPartialImages = 3;
constexpr std::uint64_t kMaxSteps = 1000;
constexpr double kMaxGuidance = 100;
/// Seeds count up from image to image, and JSON's readers keep integers up to here.
constexpr std::uint64_t kMaxSeed = (std::uint64_t{1} << 53) - kMaxImages;

}  // namespace

Result<ImageRequest> ReadImageRequest(MediaMembers& members, const std::string& default_model) {
  ImageRequest image;
  MEZZO_TRY(image.prompt, members.Text("prompt", kMaxPrompt));
  if (image.prompt.empty()) return members.Bad("prompt", "'prompt' is missing");
  MEZZO_TRY(image.model, members.Text("model", kMaxName));
  if (image.model.empty()) image.model = default_model;
  if (image.model.empty()) return members.Bad("model", "'model' is missing");
  MEZZO_TRY(image.negative_prompt, members.Text("negative_prompt", kMaxPrompt));
  MEZZO_TRY(const auto n, members.Integer("n", 1, kMaxImages));
  image.n = static_cast<std::size_t>(n.value_or(1));
  MEZZO_TRY(image.size, ReadSize(members));
  MEZZO_TRY(image.steps, members.Integer("steps", 1, kMaxSteps));
  MEZZO_TRY(image.guidance, members.Number("guidance", 0, kMaxGuidance));
  MEZZO_TRY(image.step_cache, members.Number("step_cache", 0, 1));
  MEZZO_TRY(image.seed, members.Integer("seed", 0, kMaxSeed));
  MEZZO_TRY(image.sampler, members.Text("sampler", kMaxName));
  MEZZO_TRY(image.strength, members.Number("strength", 0, 1));
  MEZZO_TRY(image.output_format, members.OneOf("output_format", {"png", "jpeg", "webp"}));
  MEZZO_TRY(image.output_compression, members.Integer("output_compression", 0, 100));
  if (image.output_compression && image.output_format == "png") {
    return members.Bad("output_compression", "'output_compression' is for the formats jpeg and webp");
  }
  MEZZO_TRY(const std::string response_format, members.OneOf("response_format", {"b64_json", "url"}));
  image.as_url = response_format == "url";
  MEZZO_TRY(const std::string background, members.OneOf("background", {"auto", "opaque", "transparent"}));
  if (background == "transparent") {
    return members.Bad("background", "the models that are served here make opaque pictures");
  }
  MEZZO_TRY(image.stream, members.Flag("stream"));
  if (image.stream && image.as_url) {
    return members.Bad("response_format", "a stream carries its pictures itself: response_format b64_json");
  }
  MEZZO_TRY(const auto partial, members.Integer("partial_images", 0, kMaxPartialImages));
  image.partial_images = image.stream ? static_cast<std::size_t>(partial.value_or(0)) : 0;
  MEZZO_TRY(image.tier, members.Tier());
  MEZZO_TRY(image.webhook, members.Webhook());
  return image;
}

std::string ImageJobRequest(const ImageRequest& request, const std::string& picture,
                            const std::string& mask) {
  Json input = {{"prompt", request.prompt}, {"n", request.n}, {"output_format", request.output_format}};
  const auto add = [&input](const char* name, const std::string& value) {
    if (!value.empty()) input[name] = value;
  };
  add("negative_prompt", request.negative_prompt);
  add("size", request.size);
  add("sampler", request.sampler);
  if (!picture.empty()) input["image"] = {{"artifact", picture}};
  if (!mask.empty()) input["mask"] = {{"artifact", mask}};
  if (request.steps) input["steps"] = *request.steps;
  if (request.guidance) input["guidance"] = *request.guidance;
  if (request.step_cache) input["step_cache"] = *request.step_cache;
  if (request.seed) input["seed"] = *request.seed;
  if (request.strength) input["strength"] = *request.strength;
  // OpenAI counts from 0, encoders from 1.
  if (request.output_compression) input["quality"] = std::max<std::uint64_t>(1, *request.output_compression);
  if (request.partial_images > 0) input["partial_images"] = request.partial_images;
  return Json({{"model", request.model}, {"version", ""}, {"input", std::move(input)}}).dump();
}

}  // namespace mezzo::api::openai
