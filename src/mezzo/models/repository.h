#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/base/bytes.h"
#include "mezzo/base/result.h"

namespace mezzo::models {

/// One version of a model on disk: `<root>/<model>/<version>/`.
struct VersionFolder {
  std::int64_t version = 0;
  std::string path;
  ByteCount bytes{};        ///< Of all files in it.
  std::uint64_t stamp = 0;  ///< Changes when a file's name, inode, size or modification time does.
};

/// One model on disk: `<root>/<model>/`, or a part of a pipeline: `<root>/<pipeline>/<part>/`.
struct ModelFolder {
  std::string name;      ///< "minilm"; of a part "emoji/unet".
  std::string pipeline;  ///< Of a part: the pipeline's name; else empty.
  std::string root;
  std::string path;
  std::uint64_t config_stamp = 0;  ///< The same for the files beside the versions: configuration, labels.
  std::vector<VersionFolder> versions;  ///< Ascending.
  std::optional<Error> problem;         ///< Why it can't be served: a symbolic link, too many files.

  [[nodiscard]] const VersionFolder* Find(std::int64_t version) const;
  /// Of the configuration and all versions.
  [[nodiscard]] std::uint64_t Stamp() const;
};

/// Model folders below some roots. Looks, never writes. Names that are not safe (IsSafeName) and folders
/// whose name is not a version ([1-9][0-9]{0,17}) are ignored; symbolic links below a root are not followed:
/// a model that is or holds one has a problem. A root itself may be a link. Of equal names the first root
/// wins.
///
/// A folder with a model_index.json, or one whose versions have one, is a pipeline in Diffusers' layout. It
/// is no model itself: each folder in it that holds a model.onnx is, by the name "<pipeline>/<part>" and with
/// the versions of the pipeline (1 when it has none). Without such a part it is one model, which Python runs.
///
/// Thread-safe; blocks on the disk.
class Repository {
 public:
  static constexpr std::size_t kMaxFilesPerModel = 10'000;
  static constexpr int kMaxDepth = 8;

  explicit Repository(std::vector<std::string> roots) : roots_(std::move(roots)) {}

  /// Every model and every part of a pipeline, by name. Fails with "repository_unreadable" when a root can't
  /// be read.
  [[nodiscard]] Result<std::vector<ModelFolder>> Scan() const;
  /// One model. Fails with kNotFound "model_unknown" when no root has it.
  [[nodiscard]] Result<ModelFolder> Look(std::string_view name) const;
  /// The names of the parts of a pipeline; none when there is no pipeline of this name.
  [[nodiscard]] Result<std::vector<std::string>> PartsOf(std::string_view pipeline) const;

  [[nodiscard]] const std::vector<std::string>& roots() const { return roots_; }

 private:
  /// What a folder of this name below the first root that has one serves: itself, or its parts.
  [[nodiscard]] Result<std::vector<ModelFolder>> LookAt(const std::string& folder) const;

  std::vector<std::string> roots_;
};

/// What model_index.json makes of a folder: see Repository.
inline constexpr std::string_view kPipelineFile = "model_index.json";
/// A safe name, or two with a slash between them: a part of a pipeline.
bool IsModelName(std::string_view name);

/// "12" → 12; nothing for anything but [1-9][0-9]{0,17}.
std::optional<std::int64_t> ParseVersion(std::string_view text);

/// The content of `relative` ("labels/en.txt") below `folder`, never through a symbolic link and never above.
/// Fails with kNotFound "file_missing", kInvalidArgument "file_unsafe", "file_too_large".
Result<std::string> ReadFileBelow(const std::string& folder, std::string_view relative,
                                  std::size_t max_bytes);

/// The path of a version's model file: `file` in the version's folder, or, when that is a folder,
/// "model.onnx" in it (beside the data files it refers to). Fails with kNotFound "model_file_missing" or
/// "file_unsafe".
Result<std::string> FindModelFile(const VersionFolder& folder, std::string_view file);

}  // namespace mezzo::models
