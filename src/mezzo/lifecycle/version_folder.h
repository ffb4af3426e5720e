#pragma once

#include <string>
#include <vector>

#include "mezzo/base/bytes.h"
#include "mezzo/base/result.h"
#include "mezzo/models/declared_config.h"

namespace mezzo::lifecycle {

/// A model, or one part of a pipeline, in a version's folder.
struct VersionPart {
  std::string name;        ///< "unet"; of a model empty.
  std::string model_path;  ///< Its ONNX file.
  models::DeclaredConfig declared;
};

/// What lies in the folder of a version.
struct VersionFolderContent {
  std::size_t files = 0;
  ByteCount bytes{};
  std::vector<VersionPart> parts;  ///< At least one.
};

inline constexpr std::size_t kMaxVersionFiles = 10'000;
inline constexpr int kMaxVersionDepth = 8;

/// Looks at a version's folder: a model.onnx (or the file that its configuration names) with its model.yaml
/// or config.pbtxt in it, or beside it as in a model repository when the folder's name is a number; or a
/// pipeline with model_index.json, whose parts are the folders that hold a model.onnx.
///
/// Fails with kInvalidArgument "version_files": a link, a special file, too many files or folders in folders;
/// "version_platform": nothing that can be tested in a process of its own (Python, a remote model); the
/// errors of the configuration, kNotFound "model_file_missing" and kInvalidArgument "file_unsafe". Blocks.
Result<VersionFolderContent> ReadVersionFolder(const std::string& folder);

}  // namespace mezzo::lifecycle
