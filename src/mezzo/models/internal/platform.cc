#include "mezzo/models/internal/platform.h"

#include <sys/stat.h>

#include <string>
#include <string_view>

namespace mezzo::models::internal {
namespace {

constexpr std::string_view kPythonFile = "model.py";
constexpr std::string_view kOnnxFile = "model.onnx";

bool Has(const std::string& folder, std::string_view file) {
  struct stat s{};
  return ::lstat((folder + "/" + std::string(file)).c_str(), &s) == 0;
}

/// The Python file in `folder`, or the index of a pipeline that is run by Python; empty when there is none.
std::string_view FindPythonFile(const std::string& folder) {
  if (Has(folder, kPythonFile)) return kPythonFile;
  return Has(folder, kPipelineFile) ? kPipelineFile : std::string_view();
}

}  // namespace

void CompletePlatform(ModelConfig& config, ModelFolder& folder, bool foreign) {
  const std::string newest = folder.versions.empty() ? folder.path : folder.versions.back().path;
  const std::string_view python =
      foreign || !folder.pipeline.empty() ? std::string_view() : FindPythonFile(newest);
  if (foreign) config.platform = kOnnxPlatform;
  if (config.platform.empty()) {
    const bool is_python = !python.empty() && config.file.empty() && !Has(newest, kOnnxFile);
    config.platform = !config.upstream.url.empty() ? kRemotePlatform
                      : is_python                  ? kPythonPlatform
                                                   : kOnnxPlatform;
  }
  if (config.platform == kOnnxPlatform) {
    if (config.file.empty()) config.file = kOnnxFile;
    return;
  }
  // What such a model makes of zeros is its own business, and what that costs the operator's.
  config.automatic_warmup = false;
  if (config.platform == kPythonPlatform && config.file.empty()) {
    config.file = python.empty() ? kPythonFile : python;
  }
  if (folder.versions.empty() && !folder.problem.has_value()) {
    folder.versions.push_back({.version = 1, .path = folder.path, .bytes = 0, .stamp = folder.config_stamp});
  }
}

}  // namespace mezzo::models::internal
