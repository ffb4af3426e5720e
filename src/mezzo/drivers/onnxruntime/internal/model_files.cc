#include "mezzo/drivers/onnxruntime/internal/model_files.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "mezzo/base/strings.h"

namespace mezzo::drivers {
namespace {

/// Protobuf can't hold more in one message.
constexpr ByteCount kMaxModelFile = (ByteCount{2} << 30U) - 1;

std::string ErrnoText(int error) { return std::generic_category().message(error); }

Error Unreadable(std::string_view what, int error) {
  const std::string text = std::string(what) + " can't be opened: " + ErrnoText(error);
  if (error == ENOENT || error == ENOTDIR) return NotFound("model_file_missing", text);
  return InvalidArgument("model_invalid", text);
}

Result<FileDescriptor> OpenFolder(const std::string& path, std::string_view what) {
  FileDescriptor folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.ok()) return Unreadable(what, errno);
  return folder;
}

/// Opens `location` below `folder`, part by part, following no symbolic link.
Result<FileDescriptor> OpenBelow(const FileDescriptor& folder, std::string_view location,
                                 std::string_view what) {
  FileDescriptor at(::dup(folder.get()));
  if (!at.ok()) return Unreadable(what, errno);
  std::vector<std::string> parts;
  for (const std::string_view part : Split(location, '/')) {
    if (!part.empty() && part != ".") parts.emplace_back(part);
  }
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const bool last = i + 1 == parts.size();
    // Non-blocking: opening a FIFO must not wait for its writer.
    const int flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | (last ? 0 : O_DIRECTORY);
    FileDescriptor next(::openat(at.get(), parts[i].c_str(), flags));
    if (!next.ok()) {
      const int error = errno;
      struct ::stat found{};
      if ((error == ELOOP || error == ENOTDIR) &&
          ::fstatat(at.get(), parts[i].c_str(), &found, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(found.st_mode)) {
        return InvalidArgument("model_invalid", std::string(what) + " is reached through a symbolic link");
      }
      return Unreadable(what, error);
    }
    at = std::move(next);
  }
  return at;
}

Result<struct ::stat> RegularFile(const FileDescriptor& file, std::string_view what) {
  struct ::stat found{};
  if (::fstat(file.get(), &found) != 0) return Unreadable(what, errno);
  if (!S_ISREG(found.st_mode))
    return InvalidArgument("model_invalid", std::string(what) + " is not a regular file");
  return found;
}

bool SameTime(const struct ::timespec& a, const struct ::timespec& b) {
  return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

/// `st_ctim` changes with every write, link and rename, and can't be set back.
bool SameContent(const struct ::stat& a, const struct ::stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino && a.st_size == b.st_size &&
         SameTime(a.st_mtim, b.st_mtim) && SameTime(a.st_ctim, b.st_ctim);
}

class FileSource final : public ByteSource {
 public:
  FileSource(const FileDescriptor& file, std::uint64_t size) : file_(file), size_(size) {}
  [[nodiscard]] std::uint64_t size() const override { return size_; }
  Result<void> Read(std::uint64_t offset, std::span<std::byte> out) override {
    while (!out.empty()) {
      const ssize_t got = ::pread(file_.get(), out.data(), out.size(), static_cast<off_t>(offset));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0)
        return InvalidArgument("model_invalid", "the model file can't be read: " + ErrnoText(errno));
      if (got == 0) return Unavailable("model_changed", "the model file became shorter while it was read");
      out = out.subspan(static_cast<std::size_t>(got));
      offset += static_cast<std::uint64_t>(got);
    }
    return {};
  }

 private:
  const FileDescriptor& file_;
  std::uint64_t size_;
};

}  // namespace

FileDescriptor::~FileDescriptor() {
  if (fd_ >= 0) ::close(fd_);
}

Result<ModelFiles> ModelFiles::Open(const std::string& model_path, SecondNames second_names) {
  const std::size_t slash = model_path.rfind('/');
  const std::string folder = slash == std::string::npos ? "."
                             : slash == 0               ? "/"
                                                        : model_path.substr(0, slash);
  const std::string name = slash == std::string::npos ? model_path : model_path.substr(slash + 1);
  const std::string what = "the model file '" + Printable(name) + "'";
  if (name.empty() || name == "." || name == ".." || model_path.find('\0') != std::string::npos) {
    return InvalidArgument("model_invalid", "the model path names no file");
  }

  ModelFiles files;
  files.folder_path_ = folder;
  MEZZO_TRY(const FileDescriptor below, OpenFolder(folder, what));
  MEZZO_TRY(const FileDescriptor model, OpenBelow(below, name, what));
  MEZZO_TRY(const struct ::stat found, RegularFile(model, what));
  files.model_size_ = static_cast<ByteCount>(found.st_size);
  if (files.model_size_ > kMaxModelFile) {
    return InvalidArgument("model_invalid", what + " has " + std::to_string(files.model_size_) +
                                                " bytes; an ONNX file holds at most " +
                                                std::to_string(kMaxModelFile) +
                                                " (put weights in external data)");
  }
  files.stamps_.push_back({name, found});
  FileSource source(model, files.model_size_);
  MEZZO_TRY(files.scan_, ScanModel(source));
  for (const ExternalFile& file : files.scan_.external) {
    MEZZO_TRY_VOID(files.AddExternal(below, file, second_names));
  }
  return files;
}

Result<void> ModelFiles::AddExternal(const FileDescriptor& folder, const ExternalFile& file,
                                     SecondNames second_names) {
  const std::string what =
      "the external data file '" + Printable(file.location) + "' of tensor '" + Printable(file.tensor) + "'";
  MEZZO_TRY(const FileDescriptor opened, OpenBelow(folder, file.location, what));
  MEZZO_TRY(const struct ::stat found, RegularFile(opened, what));
  if (found.st_nlink != 1 && second_names == SecondNames::kRefused) {
    return InvalidArgument("model_invalid", what + " has more than one name (a hard link); copy it instead");
  }
  if (static_cast<ByteCount>(found.st_size) < file.min_size) {
    return InvalidArgument("model_invalid", what + " has " + std::to_string(found.st_size) +
                                                " bytes, but the model's tensors reach to " +
                                                std::to_string(file.min_size));
  }
  stamps_.push_back({file.location, found});
  return {};
}

Result<void> ModelFiles::Unchanged() const {
  // Through the path, as the engine did: a folder that was exchanged shows too.
  MEZZO_TRY(const FileDescriptor folder, OpenFolder(folder_path_, "the model's folder"));
  for (const Stamp& stamp : stamps_) {
    const std::string what = "the file '" + Printable(stamp.location) + "'";
    const auto opened = OpenBelow(folder, stamp.location, what);
    struct ::stat now{};
    if (!opened.ok() || ::fstat(opened->get(), &now) != 0 || !SameContent(stamp.stat, now)) {
      return Unavailable("model_changed", what + " changed while the model was loaded; load it again");
    }
  }
  return {};
}

Result<ModelScan> ScanModelFile(const std::string& model_path, SecondNames second_names) {
  MEZZO_TRY(const ModelFiles files, ModelFiles::Open(model_path, second_names));
  return files.scan();
}

}  // namespace mezzo::drivers
