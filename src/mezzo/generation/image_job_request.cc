#include "mezzo/generation/image_job_request.h"

#include <algorithm>
#include <array>
#include <limits>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

#include "mezzo/base/strings.h"
#include "mezzo/generation/file_fetcher.h"

namespace mezzo::generation {
namespace {

using Json = nlohmann::json;

Error Wrong(std::string message) { return InvalidArgument("image_request", std::move(message)); }

/// The members of one JSON object. Every reader says what a member has to be when it is something else; what
/// nobody read is unknown.
class Members {
 public:
  Members(const Json& object, std::string_view where) : object_(object), where_(where) {}

  const Json* Find(std::string_view key) {
    seen_.push_back(key);
    const auto it = object_.find(key);
    return it == object_.end() || it->is_null() ? nullptr : &*it;
  }
  Result<void> Text(std::string_view key, std::string& to) {
    const Json* value = Find(key);
    if (value == nullptr) return {};
    if (!value->is_string()) return Bad(key, *value, "a string");
    to = value->get<std::string>();
    return {};
  }
  template <typename Count>
  Result<bool> Whole(std::string_view key, Count& to) {
    const Json* value = Find(key);
    if (value == nullptr) return false;
    if (!value->is_number_unsigned() || value->get<std::uint64_t>() > std::numeric_limits<Count>::max())
      return Bad(key, *value, "a whole number from 0");
    to = value->get<Count>();
    return true;
  }
  Result<bool> Number(std::string_view key, double& to) {
    const Json* value = Find(key);
    if (value == nullptr) return false;
    if (!value->is_number()) return Bad(key, *value, "a number");
    to = value->get<double>();
    return true;
  }
  [[nodiscard]] Result<void> NoOthers() const {
    for (const auto& [key, value] : object_.items()) {
      if (std::find(seen_.begin(), seen_.end(), key) == seen_.end())
        return Wrong("'" + where_ + Printable(key) + "' is not known here");
    }
    return {};
  }
  [[nodiscard]] Error Bad(std::string_view key, const Json& value, std::string_view wanted) const {
    return Wrong("'" + where_ + std::string(key) + "' is " + Printable(value.dump(), 64) + "; it has to be " +
                 std::string(wanted));
  }

 private:
  const Json& object_;
  const std::string where_;
  std::vector<std::string_view> seen_;
};

/// "640x480".
Result<media::FrameSize> ParseSize(const std::string& text) {
  const std::size_t x = text.find('x');
  const auto number = [](std::string_view digits) { return ParseUint(digits).value_or(0); };
  if (x != std::string::npos) {
    const std::uint64_t width = number(std::string_view(text).substr(0, x));
    const std::uint64_t height = number(std::string_view(text).substr(x + 1));
    constexpr std::uint64_t kMost = std::numeric_limits<int>::max();
    if (width > 0 && height > 0 && width <= kMost && height <= kMost)
      return media::FrameSize{.width = static_cast<int>(width), .height = static_cast<int>(height)};
  }
  return Wrong("'size' is '" + Printable(text, 64) + "'; it has to be WIDTHxHEIGHT, as 512x512");
}

Result<media::PictureFormat> ParseFormat(const std::string& text) {
  if (text == "png") return media::PictureFormat::kPng;
  if (text == "jpeg") return media::PictureFormat::kJpeg;
  if (text == "webp") return media::PictureFormat::kWebp;
  return Wrong("'output_format' is '" + Printable(text, 64) + "'; there are png, jpeg and webp");
}

Result<std::optional<PictureSource>> ReadSource(Members& input, std::string_view key,
                                                const TenantId& tenant) {
  const Json* value = input.Find(key);
  if (value == nullptr) return std::optional<PictureSource>();
  constexpr std::string_view kForms = R"({"artifact": key}, {"url": address} or {"base64": file})";
  if (!value->is_object() || value->size() != 1) return input.Bad(key, *value, kForms);
  Members members(*value, std::string(key) + ".");
  std::string artifact;
  std::string url;
  std::string base64;
  MEZZO_TRY_VOID(members.Text("artifact", artifact));
  MEZZO_TRY_VOID(members.Text("url", url));
  MEZZO_TRY_VOID(members.Text("base64", base64));
  MEZZO_TRY_VOID(members.NoOthers());
  PictureSource source;
  if (!artifact.empty()) {
    MEZZO_TRY(const storage::BlobKey blob, storage::BlobKey::Parse(artifact));
    if (blob.tenant() != tenant.str())
      return Wrong("'" + std::string(key) + ".artifact' is not an artifact of this tenant");
    source.blob = blob;
  } else if (!url.empty()) {
    if (!FileFetcher::IsUrl(url) || url.size() > FileFetcher::kMaxUrlBytes) {
      return members.Bad(
          "url", Json(url),
          "an http or https address of at most " + std::to_string(FileFetcher::kMaxUrlBytes) + " bytes");
    }
    source.url = url;
  } else {
    MEZZO_TRY(source.bytes, Base64Decode(base64));
    if (source.bytes.empty()) return input.Bad(key, *value, kForms);
  }
  return std::optional<PictureSource>(std::move(source));
}

Result<void> ReadNumbers(Members& input, ImageJobRequest& job) {
  ImageRequest& request = job.request;
  std::size_t steps = 0;
  double guidance = 0;
  MEZZO_TRY_VOID(input.Whole("n", request.images));
  MEZZO_TRY(const bool has_steps, input.Whole("steps", steps));
  if (has_steps) request.steps = steps;
  MEZZO_TRY(const bool has_guidance, input.Number("guidance", guidance));
  if (has_guidance) request.guidance = guidance;
  MEZZO_TRY(job.has_seed, input.Whole("seed", request.seed));
  MEZZO_TRY_VOID(input.Whole("partial_images", request.previews));
  MEZZO_TRY_VOID(input.Number("eta", request.eta));
  MEZZO_TRY_VOID(input.Number("step_cache", request.step_cache));
  MEZZO_TRY_VOID(input.Number("strength", request.strength));
  std::uint32_t quality = static_cast<std::uint32_t>(job.quality);
  MEZZO_TRY_VOID(input.Whole("quality", quality));
  if (quality < 1 || quality > 100)
    return Wrong("'quality' is " + std::to_string(quality) + "; it has to be 1 to 100");
  job.quality = static_cast<int>(quality);
  return {};
}

Result<void> ReadTexts(Members& input, ImageJobRequest& job, std::string& model) {
  ImageRequest& request = job.request;
  const Json* prompt = input.Find("prompt");
  if (prompt == nullptr || !prompt->is_string()) return Wrong("'prompt' is missing, or no string");
  request.prompt = prompt->get<std::string>();
  std::string negative;
  std::string size;
  std::string format = "png";
  std::string own_model;
  MEZZO_TRY_VOID(input.Text("negative_prompt", negative));
  if (!negative.empty()) request.negative_prompt = negative;
  MEZZO_TRY_VOID(input.Text("sampler", request.sampler));
  MEZZO_TRY_VOID(input.Text("size", size));
  if (!size.empty()) {
    MEZZO_TRY(request.size, ParseSize(size));
  }
  MEZZO_TRY_VOID(input.Text("output_format", format));
  MEZZO_TRY(job.format, ParseFormat(format));
  MEZZO_TRY_VOID(input.Text("model", own_model));
  if (model.empty()) model = own_model;
  if (!own_model.empty() && own_model != model)
    return Wrong("'model' is '" + Printable(model) + "', but 'input.model' is '" + Printable(own_model) +
                 "'");
  if (!IsSafeName(model))
    return Wrong("'model' is '" + Printable(model) + "'; an image job names a pipeline");
  return {};
}

}  // namespace

Result<ImageJobRequest> ParseImageJob(const TenantId& tenant, const std::string& json) {
  const Json object = Json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) return Wrong("the request of an image job is no JSON object");
  Members members(object, "");
  ImageJobRequest job;
  std::string model;
  MEZZO_TRY_VOID(members.Text("model", model));
  MEZZO_TRY_VOID(members.Text("version", job.version));
  const Json* body = members.Find("input");
  if (body == nullptr || !body->is_object()) return Wrong("'input' is missing, or no object");
  MEZZO_TRY_VOID(members.NoOthers());

  Members input(*body, "input.");
  MEZZO_TRY_VOID(ReadTexts(input, job, model));
  MEZZO_TRY_VOID(ReadNumbers(input, job));
  MEZZO_TRY(job.picture, ReadSource(input, "image", tenant));
  MEZZO_TRY(job.mask, ReadSource(input, "mask", tenant));
  MEZZO_TRY_VOID(input.NoOthers());
  if (job.mask.has_value() && !job.picture.has_value())
    return Wrong("'input.mask' is given without an 'input.image' to paint in");
  job.model = ModelName(std::move(model));
  return job;
}

}  // namespace mezzo::generation
