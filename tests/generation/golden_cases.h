#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "mezzo/generation/image_request.h"
#include "mezzo/generation/internal/golden_files.h"

// What python/golden/make_pipeline_golden.py wrote: see tests/golden/generation/pipelines/README.md.
namespace mezzo::generation {

/// A file of tensors: JSON header, then data.
class Safetensors {
 public:
  explicit Safetensors(const std::string& name)
      : file_(internal::ReadWholeFile(internal::GoldenPath("pipelines/" + name + ".safetensors"))) {
    std::uint64_t length = 0;
    std::memcpy(&length, file_.data(), sizeof(length));
    header_ = nlohmann::json::parse(file_.substr(sizeof(length), length));
    data_ = sizeof(length) + length;
  }
  [[nodiscard]] std::vector<float> Floats(const std::string& tensor) const {
    const std::string_view bytes = Bytes(tensor, "F32");
    std::vector<float> values(bytes.size() / sizeof(float));
    std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
  }
  [[nodiscard]] std::string_view Bytes(const std::string& tensor, const std::string& type) const {
    const auto& entry = header_.at(tensor);
    MEZZO_CHECK(entry.at("dtype") == type);
    const auto begin = entry.at("data_offsets").at(0).get<std::size_t>();
    const auto end = entry.at("data_offsets").at(1).get<std::size_t>();
    return std::string_view(file_).substr(data_ + begin, end - begin);
  }

 private:
  std::string file_;
  nlohmann::json header_;
  std::size_t data_ = 0;
};

/// What Diffusers was asked for, and what it drew.
struct GoldenCase {
  std::string name;
  ImageRequest request;
  std::vector<float> latents;
  std::vector<float> pixels;  ///< Empty where only the latents were kept.
  double tolerance = 0;       ///< Of latents, relative to the largest.
};

/// The picture (or the mask, grey) that image-to-image cases start from.
inline media::RgbaPicture GoldenInput(const char* name, std::size_t channels) {
  constexpr int kSide = 64;
  const Safetensors inputs("inputs");
  const std::string_view bytes = inputs.Bytes(name, "U8");
  media::RgbaPicture picture({.width = kSide, .height = kSide});
  for (std::size_t i = 0; i < static_cast<std::size_t>(kSide) * kSide; ++i) {
    std::uint8_t* pixel =
        picture.row(static_cast<int>(i) / kSide) + i % kSide * media::RgbaPicture::kChannels;
    for (std::size_t c = 0; c < 3; ++c)
      pixel[c] = static_cast<std::uint8_t>(bytes[i * channels + (channels == 1 ? 0 : c)]);
    pixel[3] = 255;
  }
  return picture;
}

inline std::vector<GoldenCase> ReadGoldenCases(const std::string& folder) {
  const Safetensors tensors(folder);
  std::vector<GoldenCase> cases;
  for (const auto& json : internal::ReadGolden("pipelines/" + folder + ".json")) {
    GoldenCase made;
    made.name = folder + "/" + json.at("name").get<std::string>();
    const auto text = [&](const char* key) {
      return json.at(key).is_null() ? "" : json.at(key).get<std::string>();
    };
    ImageRequest& request = made.request;
    request.prompt = text("prompt");
    if (!json.at("negative_prompt").is_null()) request.negative_prompt = text("negative_prompt");
    request.sampler = text("sampler");
    request.steps = json.at("steps").get<std::size_t>();
    request.guidance = json.at("guidance").get<double>();
    request.seed = json.at("seeds").at(0).get<std::uint64_t>();
    request.images = json.at("seeds").size();
    request.size = {.width = json.at("width").get<int>(), .height = json.at("height").get<int>()};
    if (json.at("task") != "text_to_image") {
      request.picture = GoldenInput("picture", 3);
      request.strength = json.at("strength").get<double>();
    }
    if (json.at("task") == "inpaint") request.mask = GoldenInput("mask", 1);
    const std::string key = json.at("name").get<std::string>();
    made.latents = tensors.Floats(key + ".latents");
    if (json.at("has_picture").get<bool>()) made.pixels = tensors.Floats(key + ".picture");
    cases.push_back(std::move(made));
  }
  return cases;
}

}  // namespace mezzo::generation
