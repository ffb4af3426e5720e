#include "mezzo/lifecycle/artifact_manifest.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "mezzo/base/sha256.h"
#include "mezzo/base/strings.h"

namespace mezzo::lifecycle {
namespace {

constexpr std::size_t kShown = 200;

std::string Quoted(std::string_view path) { return "'" + Printable(path, kShown) + "'"; }

Error BadPath(std::string_view path, const std::string& why) {
  return InvalidArgument("manifest_path", "the path " + Quoted(path) + " " + why);
}

Result<void> CheckPath(std::string_view path, const ManifestLimits& limits) {
  if (path.empty()) return BadPath(path, "is empty");
  if (path.size() > limits.max_path) {
    return BadPath(path, "has " + std::to_string(path.size()) + " bytes; the limit is " +
                             std::to_string(limits.max_path));
  }
  if (path.front() == '/') return BadPath(path, "is absolute");
  for (const char c : path) {
    if (c == '\\') return BadPath(path, "has a backslash");
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return BadPath(path, "has a control character");
    // Two forms of one letter (NFC, NFD) would be two files here and one elsewhere.
    if (static_cast<unsigned char>(c) > 0x7f) return BadPath(path, "has a character outside ASCII");
  }
  const auto parts = Split(path, '/');
  if (parts.size() > limits.max_depth) {
    return BadPath(path, "has " + std::to_string(parts.size()) + " parts; the limit is " +
                             std::to_string(limits.max_depth));
  }
  for (const std::string_view part : parts) {
    if (part.empty()) return BadPath(path, "has an empty part");
    if (part == "." || part == "..") return BadPath(path, "has a part '.' or '..'");
    if (part.front() == '.') return BadPath(path, "has a part that begins with '.'");
    if (part.back() == ' ' || part.back() == '.') return BadPath(path, "has a part that ends in ' ' or '.'");
  }
  return {};
}

/// Files that would meet on a disk that ignores case, or where one is the other's folder.
Result<void> CheckMeetings(const std::vector<ManifestFile>& files) {
  std::map<std::string, const ManifestFile*> seen;
  for (const ManifestFile& file : files) {
    const auto [at, fresh] = seen.emplace(ToLower(file.path), &file);
    if (fresh) continue;
    const std::string& other = at->second->path;
    return InvalidArgument("manifest_duplicate",
                           other == file.path ? "the path " + Quoted(file.path) + " is there twice"
                                              : "the paths " + Quoted(other) + " and " + Quoted(file.path) +
                                                    " differ by letters' case alone");
  }
  std::map<std::string, std::string> folders;  // By their lower case, as written first.
  for (const ManifestFile& file : files) {
    for (std::size_t slash = file.path.find('/'); slash != std::string::npos;
         slash = file.path.find('/', slash + 1)) {
      const std::string folder = file.path.substr(0, slash);
      const std::string lower = ToLower(folder);
      if (seen.contains(lower)) {
        return InvalidArgument("manifest_duplicate",
                               "the path " + Quoted(folder) + " is both a file and a folder");
      }
      const auto [at, fresh] = folders.emplace(lower, folder);
      if (!fresh && at->second != folder) {
        return InvalidArgument("manifest_duplicate", "the folders " + Quoted(at->second) + " and " +
                                                         Quoted(folder) + " differ by letters' case alone");
      }
    }
  }
  return {};
}

}  // namespace

Result<Manifest> Manifest::Make(std::vector<ManifestFile> files, const ManifestLimits& limits) {
  if (files.empty()) return InvalidArgument("manifest_empty", "the manifest has no files");
  if (files.size() > limits.max_files) {
    return InvalidArgument("manifest_limits", "the manifest has " + std::to_string(files.size()) +
                                                  " files; the limit is " + std::to_string(limits.max_files));
  }
  ByteCount total = 0;
  std::map<std::string_view, ByteCount> sizes;
  for (const ManifestFile& file : files) {
    MEZZO_TRY_VOID(CheckPath(file.path, limits));
    if (!ParseSha256(file.sha256)) {
      return InvalidArgument("manifest_digest",
                             "the sha256 of " + Quoted(file.path) + " is not 64 lower-case hex digits");
    }
    if (file.bytes > limits.max_file_bytes) {
      return InvalidArgument("manifest_limits", Quoted(file.path) + " has " + std::to_string(file.bytes) +
                                                    " bytes; the limit is " +
                                                    std::to_string(limits.max_file_bytes));
    }
    total += file.bytes;  // At most max_files × max_file_bytes: no overflow with any limits that make sense.
    if (total > limits.max_bytes) {
      return InvalidArgument("manifest_limits", "the files have more than " +
                                                    std::to_string(limits.max_bytes) + " bytes together");
    }
    const auto [at, fresh] = sizes.emplace(file.sha256, file.bytes);
    if (!fresh && at->second != file.bytes) {
      return InvalidArgument("manifest_digest",
                             "the sha256 of " + Quoted(file.path) + " is there with two sizes");
    }
  }
  MEZZO_TRY_VOID(CheckMeetings(files));
  std::sort(files.begin(), files.end(),
            [](const ManifestFile& a, const ManifestFile& b) { return a.path < b.path; });
  return Manifest(std::move(files));
}

const ManifestFile* Manifest::Find(std::string_view path) const {
  const auto at =
      std::lower_bound(files_.begin(), files_.end(), path,
                       [](const ManifestFile& file, std::string_view p) { return file.path < p; });
  return at != files_.end() && at->path == path ? &*at : nullptr;
}

ByteCount Manifest::bytes() const {
  ByteCount total = 0;
  for (const ManifestFile& file : files_) total += file.bytes;
  return total;
}

std::string Manifest::CanonicalText() const {
  std::string text;
  for (const ManifestFile& file : files_) {
    text += file.sha256 + " " + std::to_string(file.bytes) + " " + file.path + "\n";
  }
  return text;
}

std::string Manifest::Digest() const { return Sha256Hex(CanonicalText()); }

}  // namespace mezzo::lifecycle
