#include "mezzo/generation/internal/storyboard_manifest.h"

#include <nlohmann/json.hpp>

namespace mezzo::generation::internal {

using Json = nlohmann::ordered_json;

std::string StoryboardManifest::ToJson() const {
  Json list = Json::array();
  for (const ShotRecord& shot : shots)
    list.push_back({{"artifact", shot.artifact}, {"painted", shot.painted}, {"seed", shot.seed}});
  return Json{{"version", version},
              {"model", model},
              {"model_version", model_version},
              {"painted_by", painted_by},
              {"storyboard", Json::parse(storyboard)},
              {"painting", internal::ToJson(painting)},
              {"shots", std::move(list)}}
      .dump();
}

Result<StoryboardManifest> StoryboardManifest::Parse(const std::string& json) {
  StoryboardManifest out;
  try {
    const Json value = Json::parse(json);
    out.version = value.at("version").get<std::uint32_t>();
    out.model = value.at("model").get<std::string>();
    out.model_version = value.at("model_version").get<std::string>();
    out.painted_by = value.value("painted_by", "");  // Records of earlier versions have none.
    out.storyboard = value.at("storyboard").dump();
    MEZZO_TRY(out.painting, ParsePainting(value.at("painting")));
    for (const Json& shot : value.at("shots")) {
      out.shots.push_back({shot.at("artifact").get<std::string>(), shot.at("painted").get<bool>(),
                           shot.at("seed").get<std::uint64_t>()});
    }
  } catch (const Json::exception& e) {
    return Error(Code::kDataLoss, "storyboard_manifest_invalid",
                 std::string("the record of a finished video is damaged: ") + e.what());
  }
  return out;
}

}  // namespace mezzo::generation::internal
