#include "mezzo/api/openai/video_request.h"

#include <algorithm>
#include <array>
#include <utility>

#include <nlohmann/json.hpp>

#include "mezzo/base/strings.h"

namespace mezzo::api::openai {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kMaxPrompt = 32'000;
constexpr std::size_t kMaxName = 256;
constexpr std::uint64_t kDefaultSeconds = 15;
constexpr std::uint64_t kLongestSeconds = 3600;
constexpr std::uint64_t kShotSeconds = 5;
constexpr std::uint64_t kMaxSteps = 1000;
constexpr double kMaxGuidance = 100;
constexpr std::uint64_t kMaxSeed = (std::uint64_t{1} << 53) - 1;  // What JSON's numbers hold exactly.

/// A frame as storyboards name it.
struct Frame {
  std::string_view size;
  std::string_view resolution;
  std::string_view aspect;
};
constexpr std::array<Frame, 6> kFrames = {{{"720x1280", "720p", "portrait"},
                                           {"1280x720", "720p", "landscape"},
                                           {"720x720", "720p", "square"},
                                           {"1080x1920", "1080p", "portrait"},
                                           {"1920x1080", "1080p", "landscape"},
                                           {"1080x1080", "1080p", "square"}}};

const Frame& FrameOf(std::string_view size) {
  return *std::find_if(kFrames.begin(), kFrames.end(),
                       [size](const Frame& frame) { return frame.size == size; });
}

std::string TextOf(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::optional<std::uint64_t> NumberOf(const Json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end() || !found->is_number_unsigned()) return std::nullopt;
  return found->get<std::uint64_t>();
}

}  // namespace

Result<VideoRequest> ReadVideoRequest(MediaMembers& members, const std::string& default_model) {
  VideoRequest video;
  MEZZO_TRY(video.prompt, members.Text("prompt", kMaxPrompt));
  if (video.prompt.empty()) return members.Bad("prompt", "'prompt' is missing");
  MEZZO_TRY(video.model, members.Text("model", kMaxName));
  if (video.model.empty()) video.model = default_model;
  if (video.model.empty()) return members.Bad("model", "'model' is missing: the one that paints the shots");
  MEZZO_TRY(const auto seconds, members.IntegerOrText("seconds", 1, kLongestSeconds));
  video.seconds = seconds.value_or(kDefaultSeconds);
  MEZZO_TRY(video.size, members.OneOf("size", {kFrames[0].size, kFrames[1].size, kFrames[2].size,
                                               kFrames[3].size, kFrames[4].size, kFrames[5].size}));
  MEZZO_TRY(video.style, members.Text("style", kMaxName));
  MEZZO_TRY(video.seed, members.Integer("seed", 0, kMaxSeed));
  MEZZO_TRY(video.steps, members.Integer("steps", 1, kMaxSteps));
  MEZZO_TRY(video.guidance, members.Number("guidance", 0, kMaxGuidance));
  MEZZO_TRY(video.tier, members.Tier());
  MEZZO_TRY(video.webhook, members.Webhook());
  return video;
}

std::string StoryboardJobRequest(const VideoRequest& request) {
  const Frame& frame = FrameOf(request.size);
  Json input = {{"resolution", frame.resolution}, {"aspect", frame.aspect}, {"shots", Json::array()}};
  if (!request.style.empty()) input["style"] = request.style;
  const std::uint64_t count = std::max<std::uint64_t>(1, (request.seconds + kShotSeconds / 2) / kShotSeconds);
  for (std::uint64_t i = 0; i < count; ++i) {
    Json shot = {{"duration", static_cast<double>(request.seconds) / static_cast<double>(count)}};
    const bool shown = i == 0 && !request.reference.empty();
    shot[shown ? "picture" : "prompt"] = shown ? request.reference : request.prompt;
    input["shots"].push_back(std::move(shot));
  }
  Json painting = Json::object();
  if (request.seed) painting["seed"] = *request.seed;
  if (request.steps) painting["steps"] = *request.steps;
  if (request.guidance) painting["guidance"] = *request.guidance;
  if (!painting.empty()) input["painting"] = painting;
  const Json video = {{"prompt", request.prompt},       {"seconds", request.seconds},
                      {"size", request.size},           {"style", request.style},
                      {"model", request.model},         {"painting", painting},
                      {"reference", request.reference}, {"remixed_from", request.remixed_from}};
  return Json({{"model", request.model}, {"version", ""}, {"input", std::move(input)}, {"video", video}})
      .dump();
}

std::optional<VideoRequest> VideoRequestOf(const std::string& job_request) {
  const Json json = Json::parse(job_request, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("video") || !json["video"].is_object()) return std::nullopt;
  const Json& kept = json["video"];
  VideoRequest video{.model = TextOf(kept, "model"),
                     .prompt = TextOf(kept, "prompt"),
                     .seconds = NumberOf(kept, "seconds").value_or(0),
                     .size = TextOf(kept, "size"),
                     .style = TextOf(kept, "style"),
                     .reference = TextOf(kept, "reference"),
                     .remixed_from = TextOf(kept, "remixed_from")};
  const auto known = [&video](const Frame& frame) { return frame.size == video.size; };
  if (video.seconds == 0 || std::none_of(kFrames.begin(), kFrames.end(), known)) return std::nullopt;
  if (const auto painting = kept.find("painting"); painting != kept.end() && painting->is_object()) {
    video.seed = NumberOf(*painting, "seed");
    video.steps = NumberOf(*painting, "steps");
    const auto guidance = painting->find("guidance");
    if (guidance != painting->end() && guidance->is_number()) video.guidance = guidance->get<double>();
  }
  return video;
}

}  // namespace mezzo::api::openai
