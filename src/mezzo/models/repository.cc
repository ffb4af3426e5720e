#include "mezzo/models/repository.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <memory>
#include <set>

#include "mezzo/base/fd.h"
#include "mezzo/base/strings.h"

namespace mezzo::models {
namespace {

std::string ErrnoText() { return std::strerror(errno); }

/// An order-independent sum over files is not enough to notice renames, so each file is hashed with its name.
class StampHash {
 public:
  void Add(std::uint64_t value) {
    // The finalizer of splitmix64: every input bit reaches every output bit.
    std::uint64_t z = state_ + value + 0x9e3779b97f4a7c15U;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    state_ = z ^ (z >> 31);
  }
  void Add(std::string_view text) { Add(std::hash<std::string_view>{}(text)); }
  void Add(const struct stat& s) {
    Add(static_cast<std::uint64_t>(s.st_dev));
    Add(static_cast<std::uint64_t>(s.st_ino));
    Add(static_cast<std::uint64_t>(s.st_size));
    Add(static_cast<std::uint64_t>(s.st_mtim.tv_sec));
    Add(static_cast<std::uint64_t>(s.st_mtim.tv_nsec));
  }
  [[nodiscard]] std::uint64_t value() const { return state_; }

 private:
  std::uint64_t state_ = 0;
};

Error Problem(const std::string& path, const std::string& what) {
  return InvalidArgument("repository_folder", "'" + Printable(path, 256) + "' " + what);
}

struct DirCloser {
  void operator()(DIR* dir) const { ::closedir(dir); }
};

/// The sorted names in an open folder.
Result<std::vector<std::string>> ListNames(int folder, const std::string& path) {
  Fd copy(::openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!copy.ok()) return Problem(path, "can't be read: " + ErrnoText());
  const std::unique_ptr<DIR, DirCloser> dir(::fdopendir(copy.Release()));
  if (dir == nullptr) return Problem(path, "can't be read: " + ErrnoText());
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(dir.get())) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  if (errno != 0) return Problem(path, "can't be read: " + ErrnoText());
  std::sort(names.begin(), names.end());
  return names;
}

/// Walks one model's folder; `problem` is the first thing wrong with it.
class FolderWalk {
 public:
  explicit FolderWalk(ModelFolder& model) : model_(model) {}

  void Walk(int root_fd) {
    const Fd folder(::openat(root_fd, model_.name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!folder.ok()) {
      Complain(model_.name, errno == ELOOP || errno == ENOTDIR ? "is a symbolic link, which is not followed"
                                                               : "can't be read: " + ErrnoText());
      return;
    }
    const auto names = ListNames(folder.get(), model_.name);
    if (!names.ok()) {
      model_.problem = names.error();
      return;
    }
    StampHash config;
    for (const std::string& name : *names) Visit(folder.get(), name, config);
    model_.config_stamp = config.value();
    std::sort(model_.versions.begin(), model_.versions.end(),
              [](const VersionFolder& a, const VersionFolder& b) { return a.version < b.version; });
  }

  /// Adds the folder `name` in `folder` as a version, and as the place of the model's configuration.
  void AddVersion(int folder, const std::string& name, const std::string& path, std::int64_t version) {
    model_.path = path;
    VersionFolder found{.version = version, .path = path, .bytes = 0, .stamp = 0};
    StampHash stamp;
    SumFolder(folder, name, path, 1, stamp, found.bytes);
    found.stamp = stamp.value();
    model_.versions.push_back(std::move(found));
  }

 private:
  void Visit(int folder, const std::string& name, StampHash& config) {
    const auto version = ParseVersion(name);
    if (!version.has_value()) {
      ByteCount ignored{};
      // Folders beside the versions may hold labels; hidden files are editors' and copiers' droppings.
      if (name.front() != '.') Sum(folder, name, model_.path + "/" + name, 1, config, ignored);
      return;
    }
    struct stat s{};
    if (::fstatat(folder, name.c_str(), &s, AT_SYMLINK_NOFOLLOW) != 0) return;
    if (S_ISLNK(s.st_mode)) {
      Complain(model_.name + "/" + name, "is a symbolic link, which is not followed");
      return;
    }
    if (!S_ISDIR(s.st_mode)) return;
    VersionFolder found{.version = *version, .path = model_.path + "/" + name, .bytes = 0, .stamp = 0};
    StampHash stamp;
    SumFolder(folder, name, found.path, 1, stamp, found.bytes);
    found.stamp = stamp.value();
    model_.versions.push_back(std::move(found));
  }

  /// For messages, which leave this host: below the repository, not where that lies.
  [[nodiscard]] std::string Shown(const std::string& path) const {
    return path.starts_with(model_.path) ? model_.name + path.substr(model_.path.size()) : model_.name;
  }

  /// Adds a file, or all files below a folder, to the stamp and the bytes.
  void Sum(int folder, const std::string& name, const std::string& path, int depth, StampHash& stamp,
           ByteCount& bytes) {
    struct stat s{};
    if (::fstatat(folder, name.c_str(), &s, AT_SYMLINK_NOFOLLOW) != 0) return;  // Gone since it was listed.
    if (++files_ > Repository::kMaxFilesPerModel) {
      Complain(model_.name, "holds more than " + std::to_string(Repository::kMaxFilesPerModel) + " files");
      return;
    }
    if (S_ISLNK(s.st_mode)) {
      Complain(Shown(path), "is a symbolic link, which is not followed");
    } else if (S_ISDIR(s.st_mode)) {
      SumFolder(folder, name, path, depth + 1, stamp, bytes);
    } else if (S_ISREG(s.st_mode)) {
      stamp.Add(path);
      stamp.Add(s);
      bytes += static_cast<ByteCount>(s.st_size);
    }
  }

  void SumFolder(int folder, const std::string& name, const std::string& path, int depth, StampHash& stamp,
                 ByteCount& bytes) {
    if (depth > Repository::kMaxDepth) {
      Complain(Shown(path), "is nested deeper than " + std::to_string(Repository::kMaxDepth) + " folders");
      return;
    }
    const Fd inner(::openat(folder, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!inner.ok()) {
      if (errno != ENOENT) Complain(Shown(path), "can't be read: " + ErrnoText());
      return;
    }
    stamp.Add(path);
    const auto names = ListNames(inner.get(), Shown(path));
    if (!names.ok()) {
      if (!model_.problem.has_value()) model_.problem = names.error();
      return;
    }
    for (const std::string& child : *names) {
      if (files_ > Repository::kMaxFilesPerModel) return;
      if (child.front() != '.')
        Sum(inner.get(), child, std::string(path).append("/").append(child), depth, stamp, bytes);
    }
  }

  void Complain(const std::string& path, const std::string& what) {
    if (!model_.problem.has_value()) model_.problem = Problem(path, what);
  }

  ModelFolder& model_;
  std::size_t files_ = 0;
};

bool HasFile(int folder, const std::string& path) {
  struct stat s{};
  return ::fstatat(folder, path.c_str(), &s, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(s.st_mode);
}

/// Adds the parts in `base` ("emoji" or "emoji/1", below the root) to those of other versions.
void AddParts(int root_fd, const ModelFolder& pipeline, const std::string& base, std::int64_t version,
              std::map<std::string, ModelFolder>& parts) {
  const Fd folder(::openat(root_fd, base.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!folder.ok()) return;
  const auto names = ListNames(folder.get(), base);
  if (!names.ok()) return;
  const std::string path = pipeline.root + "/" + base;
  for (const std::string& name : *names) {
    if (!IsSafeName(name) || !HasFile(folder.get(), name + "/model.onnx")) continue;
    ModelFolder& part = parts[pipeline.name + "/" + name];
    part.name = std::string(pipeline.name).append("/").append(name);
    part.pipeline = pipeline.name;
    part.root = pipeline.root;
    // A change of what the parts share, such as the scheduler's configuration, is one of every part.
    part.config_stamp = pipeline.Stamp();
    part.problem = pipeline.problem;
    FolderWalk(part).AddVersion(folder.get(), name, std::string(path).append("/").append(name), version);
  }
}

/// A model, or the parts of a pipeline.
std::vector<ModelFolder> LookInto(int root_fd, const std::string& root, const std::string& name) {
  ModelFolder model;
  model.name = name;
  model.root = root;
  model.path = root + "/" + name;
  FolderWalk(model).Walk(root_fd);

  const std::string file = std::string(kPipelineFile);
  std::map<std::string, ModelFolder> parts;
  if (HasFile(root_fd, name + "/" + file)) {
    AddParts(root_fd, model, name, 1, parts);
  } else {
    for (const VersionFolder& version : model.versions) {
      const std::string base = std::string(name).append("/").append(std::to_string(version.version));
      if (HasFile(root_fd, std::string(base).append("/").append(file)))
        AddParts(root_fd, model, base, version.version, parts);
    }
  }
  if (parts.empty()) return {std::move(model)};
  std::vector<ModelFolder> out;
  out.reserve(parts.size());
  for (auto& [part, folder] : parts) out.push_back(std::move(folder));
  return out;
}

Result<Fd> OpenRoot(const std::string& root) {
  Fd fd(::open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.ok()) return fd;
  return Unavailable("repository_unreadable",
                     "the model repository '" + Printable(root, 256) + "' can't be read: " + ErrnoText());
}

/// Folders, and links (which are then refused with a reason instead of being overlooked).
bool MayBeModel(int root_fd, const std::string& name) {
  struct stat s{};
  if (!IsSafeName(name) || ::fstatat(root_fd, name.c_str(), &s, AT_SYMLINK_NOFOLLOW) != 0) return false;
  if (S_ISDIR(s.st_mode)) return true;
  if (!S_ISLNK(s.st_mode)) return false;
  return ::fstatat(root_fd, name.c_str(), &s, 0) == 0 && S_ISDIR(s.st_mode);
}

/// Opens `relative` below `folder`, component by component, never through a link.
Result<Fd> OpenBelow(const std::string& folder, std::string_view relative) {
  Fd at(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  const auto parts = Split(relative, '/');
  for (std::size_t i = 0; at.ok() && i < parts.size(); ++i) {
    if (!IsSafeName(parts[i])) {
      return InvalidArgument("file_unsafe", "'" + Printable(relative) + "' is not a path of plain names");
    }
    const int kind = i + 1 < parts.size() ? O_DIRECTORY : O_NONBLOCK;  // Never waits for a pipe's writer.
    at = Fd(::openat(at.get(), std::string(parts[i]).c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | kind));
  }
  if (at.ok()) return at;
  const std::string path = Printable(relative, 256);
  if (errno == ELOOP)
    return InvalidArgument("file_unsafe", "'" + path + "' is a symbolic link, which is not followed");
  return NotFound("file_missing", "'" + path + "' can't be opened: " + ErrnoText());
}

}  // namespace

const VersionFolder* ModelFolder::Find(std::int64_t version) const {
  for (const VersionFolder& folder : versions) {
    if (folder.version == version) return &folder;
  }
  return nullptr;
}

std::uint64_t ModelFolder::Stamp() const {
  StampHash stamp;
  stamp.Add(path);
  stamp.Add(config_stamp);
  for (const VersionFolder& folder : versions) stamp.Add(folder.stamp);
  return stamp.value();
}

std::optional<std::int64_t> ParseVersion(std::string_view text) {
  if (text.empty() || text.size() > 18 || text.front() == '0') return std::nullopt;
  const auto value = ParseUint(text);
  if (!value.has_value()) return std::nullopt;
  return static_cast<std::int64_t>(*value);
}

Result<std::vector<ModelFolder>> Repository::Scan() const {
  std::map<std::string, ModelFolder> found;
  std::set<std::string> seen;
  for (const std::string& root : roots_) {
    MEZZO_TRY(const Fd fd, OpenRoot(root));
    MEZZO_TRY(const std::vector<std::string> names, ListNames(fd.get(), root));
    for (const std::string& name : names) {
      if (!seen.insert(name).second || !MayBeModel(fd.get(), name)) continue;
      for (ModelFolder& model : LookInto(fd.get(), root, name)) {
        const std::string key = model.name;
        found.emplace(key, std::move(model));
      }
    }
  }
  std::vector<ModelFolder> models;
  models.reserve(found.size());
  for (auto& [name, model] : found) models.push_back(std::move(model));
  return models;
}

Result<std::vector<ModelFolder>> Repository::LookAt(const std::string& folder) const {
  for (const std::string& root : roots_) {
    MEZZO_TRY(const Fd fd, OpenRoot(root));
    if (MayBeModel(fd.get(), folder)) return LookInto(fd.get(), root, folder);
  }
  return std::vector<ModelFolder>();
}

Result<ModelFolder> Repository::Look(std::string_view name) const {
  if (IsModelName(name)) {
    MEZZO_TRY(std::vector<ModelFolder> found, LookAt(std::string(name.substr(0, name.find('/')))));
    for (ModelFolder& model : found) {
      if (model.name == name) return std::move(model);
    }
  }
  return NotFound("model_unknown", "the repository has no model '" + Printable(name) + "'");
}

Result<std::vector<std::string>> Repository::PartsOf(std::string_view pipeline) const {
  std::vector<std::string> parts;
  if (!IsSafeName(pipeline)) return parts;
  MEZZO_TRY(const std::vector<ModelFolder> found, LookAt(std::string(pipeline)));
  for (const ModelFolder& model : found) {
    if (!model.pipeline.empty()) parts.push_back(model.name);
  }
  return parts;
}

bool IsModelName(std::string_view name) {
  const std::size_t slash = name.find('/');
  if (slash == std::string_view::npos) return IsSafeName(name);
  return IsSafeName(name.substr(0, slash)) && IsSafeName(name.substr(slash + 1));
}

Result<std::string> ReadFileBelow(const std::string& folder, std::string_view relative,
                                  std::size_t max_bytes) {
  MEZZO_TRY(const Fd file, OpenBelow(folder, relative));
  const std::string path = Printable(folder + "/" + std::string(relative), 256);
  struct stat s{};
  if (::fstat(file.get(), &s) != 0 || !S_ISREG(s.st_mode)) {
    return InvalidArgument("file_unsafe", "'" + path + "' is not a regular file");
  }
  std::string content;
  // One byte more than allowed tells "too large" from "exactly as large", also when the file grows meanwhile.
  content.resize(std::min<std::size_t>(static_cast<std::size_t>(s.st_size), max_bytes) + 1);
  std::size_t have = 0;
  while (have < content.size()) {
    const ssize_t n = ::read(file.get(), content.data() + have, content.size() - have);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Unavailable("file_unreadable", "'" + path + "' can't be read: " + ErrnoText());
    if (n == 0) break;
    have += static_cast<std::size_t>(n);
  }
  if (have > max_bytes) {
    return InvalidArgument("file_too_large",
                           "'" + path + "' is larger than the limit of " + FormatBytes(max_bytes));
  }
  content.resize(have);
  return content;
}

Result<std::string> FindModelFile(const VersionFolder& folder, std::string_view file) {
  const auto missing = [&folder](std::string_view name) {
    return NotFound("model_file_missing",
                    "'" + Printable(folder.path + "/" + std::string(name), 256) + "' does not exist");
  };
  std::string relative(file);
  for (int depth = 0; depth < 2; ++depth) {
    auto opened = OpenBelow(folder.path, relative);
    if (!opened.ok()) {
      if (opened.error().code() == Code::kNotFound) return missing(relative);
      return std::move(opened).error();
    }
    struct stat s{};
    if (::fstat(opened->get(), &s) != 0) return missing(relative);
    if (S_ISREG(s.st_mode)) return folder.path + "/" + relative;
    if (!S_ISDIR(s.st_mode)) break;
    // A folder of that name holds the model and the data files it refers to.
    relative += "/model.onnx";
  }
  return InvalidArgument("file_unsafe",
                         "'" + Printable(folder.path + "/" + relative, 256) + "' is not a regular file");
}

}  // namespace mezzo::models
