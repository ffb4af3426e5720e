#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/base/bytes.h"
#include "mezzo/base/result.h"

namespace mezzo::lifecycle {

/// One file of a version.
struct ManifestFile {
  std::string path;    ///< From the version's folder: "weights/data.bin".
  std::string sha256;  ///< 64 lower-case hex digits.
  ByteCount bytes = 0;

  friend bool operator==(const ManifestFile&, const ManifestFile&) = default;
};

struct ManifestLimits {
  std::size_t max_files = 2000;
  ByteCount max_file_bytes = ByteCount{64} << 30;
  ByteCount max_bytes = ByteCount{256} << 30;  ///< Of all files together.
  std::size_t max_path = 200;                  ///< Bytes.
  std::size_t max_depth = 8;                   ///< Parts of a path.
};

/// The files of a version, checked, by path. Immutable.
class Manifest {
 public:
  /// A manifest without files: of a version that is registered by its source alone.
  Manifest() = default;

  /// Errors, each naming the file: kInvalidArgument "manifest_path" (absolute, a backslash, a control
  /// character or one outside ASCII, an empty part, one that begins with '.' or ends in '.' or ' ', too long
  /// or too deep), "manifest_duplicate" (two that are the same, or that differ by case alone, or a file that
  /// is another's folder), "manifest_digest" (not 64 lower-case hex digits; two sizes for one),
  /// "manifest_limits" (too many files or bytes), "manifest_empty".
  static Result<Manifest> Make(std::vector<ManifestFile> files, const ManifestLimits& limits);

  [[nodiscard]] const std::vector<ManifestFile>& files() const { return files_; }
  [[nodiscard]] const ManifestFile* Find(std::string_view path) const;
  [[nodiscard]] ByteCount bytes() const;
  /// A line "sha256 bytes path\n" for each file, in the order of paths' bytes: the same for the same content,
  /// whoever brings it.
  [[nodiscard]] std::string CanonicalText() const;
  /// SHA-256 of the canonical text, in hex: the version's digest.
  [[nodiscard]] std::string Digest() const;

 private:
  explicit Manifest(std::vector<ManifestFile> files) : files_(std::move(files)) {}

  std::vector<ManifestFile> files_;
};

}  // namespace mezzo::lifecycle
