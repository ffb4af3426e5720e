#include "mezzo/drivers/localfs/local_blob_store.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <functional>
#include <utility>

#include "mezzo/base/fd.h"
#include "mezzo/base/mutex.h"
#include "mezzo/base/strings.h"
#include "mezzo/drivers/localfs/internal/disk.h"
#include "mezzo/drivers/localfs/internal/expiry_index.h"
#include "mezzo/drivers/localfs/internal/object_file.h"
#include "mezzo/drivers/localfs/internal/object_tree.h"
#include "mezzo/drivers/localfs/internal/temp_folder.h"
#include "mezzo/storage/blob_checks.h"

namespace mezzo::drivers {

using internal::Disk;
using internal::ExpiryIndex;
using internal::kTrailerBytes;
using internal::ObjectTree;
using internal::TempFolder;
using storage::BlobFacts;
using storage::BlobKey;
using storage::BlobMissing;
using storage::BlobReader;
using storage::BlobWriter;
using storage::ByteSpan;
using storage::CheckDeadline;

namespace {

constexpr int kFolder = O_RDONLY | O_DIRECTORY;
constexpr std::size_t kLocks = 64;
/// How much a writer may write between two looks at the free space.
constexpr ByteCount kFreeCheckBytes = ByteCount{16} << 20;

bool IsMissing(const Error& error) { return error.code() == Code::kNotFound; }

/// Opens a folder of the store, which is made when missing.
Result<Fd> OpenPart(Disk& disk, int root, const std::string& name) {
  MEZZO_TRY_VOID(disk.MakeFolder(root, name));
  MEZZO_TRY_VOID(disk.Sync(root));
  return disk.Open(root, name, kFolder);
}

Result<Fd> OpenRoot(Disk& disk, const std::string& root) {
  MEZZO_TRY_VOID(disk.MakeFolder(AT_FDCWD, root));
  // The operator may reach the root itself through links: its path is configuration.
  Fd fd(::open(root.c_str(), kFolder | O_CLOEXEC));
  if (!fd.ok()) return internal::DiskError("can't open the folder", root, errno);
  struct ::stat facts{};
  if (::fstat(fd.get(), &facts) != 0) return internal::DiskError("can't look at", root, errno);
  if ((facts.st_mode & S_IWOTH) != 0) {
    return FailedPrecondition("blob_folder_unsafe",
                              "everybody may write to the folder '" + Printable(root, 256) + "'");
  }
  return fd;
}

struct OpenObject {
  Fd file;
  BlobFacts facts;
};

Result<OpenObject> OpenIn(Disk& disk, const ObjectTree& tree, const BlobKey& key) {
  MEZZO_TRY(const Fd folder, tree.OpenFolder(key));
  // O_NONBLOCK: a pipe in the place of the file must not make the caller wait.
  MEZZO_TRY(Fd file, disk.Open(folder.get(), std::string(key.name()), O_RDONLY | O_NONBLOCK));
  struct ::stat status{};
  if (::fstat(file.get(), &status) != 0) return internal::DiskError("can't look at", key.text(), errno);
  if (!S_ISREG(status.st_mode) || status.st_nlink > 1) {
    return FailedPrecondition("blob_folder_unsafe",
                              "'" + key.text() + "' is no regular file, or has a second link");
  }
  const auto size = static_cast<ByteCount>(status.st_size);
  if (size < kTrailerBytes) return storage::BlobCorrupt(key, "its file is too short");
  std::string trailer(kTrailerBytes, '\0');
  const std::span<std::byte> into(reinterpret_cast<std::byte*>(trailer.data()), trailer.size());
  MEZZO_TRY_VOID(disk.ReadAt(file.get(), into, size - kTrailerBytes));
  MEZZO_TRY(BlobFacts facts, internal::DecodeTrailer(key, trailer));
  if (facts.size != size - kTrailerBytes) return storage::BlobCorrupt(key, "its file does not have its size");
  return OpenObject{.file = std::move(file), .facts = std::move(facts)};
}

}  // namespace

class LocalBlobStore::State {
 public:
  struct Folders {
    Fd objects;
    Fd archive;
    Fd expiry;
  };
  State(Options options, const storage::UrlSigner& signer, const Clock& clock, std::unique_ptr<Disk> disk,
        Folders folders, std::unique_ptr<TempFolder> temp)
      : options_(std::move(options)),
        signer_(signer),
        clock_(clock),
        disk_(std::move(disk)),
        objects_(*disk_, std::move(folders.objects)),
        archive_(*disk_, std::move(folders.archive)),
        expiry_(*disk_, std::move(folders.expiry)),
        temp_(std::move(temp)) {}

  [[nodiscard]] const Options& options() const { return options_; }
  [[nodiscard]] const storage::UrlSigner& signer() const { return signer_; }
  [[nodiscard]] const Clock& clock() const { return clock_; }
  [[nodiscard]] Disk& disk() { return *disk_; }
  [[nodiscard]] ObjectTree& objects() { return objects_; }
  [[nodiscard]] ObjectTree& archive() { return archive_; }
  [[nodiscard]] ExpiryIndex& expiry() { return expiry_; }
  [[nodiscard]] TempFolder& temp() { return *temp_; }
  /// Held while an object is replaced, moved or removed: what was read in it still holds. Over some calls to
  /// the disk, so there are many.
  [[nodiscard]] Mutex& LockOf(const BlobKey& key) {
    return locks_[std::hash<std::string>()(key.text()) % kLocks];
  }

  /// A new object shadows an archived one of the same key.
  [[nodiscard]] Result<OpenObject> Find(const BlobKey& key) {
    Result<OpenObject> found = OpenIn(*disk_, objects_, key);
    if (found.ok() || !IsMissing(found.error())) return found;
    found = OpenIn(*disk_, archive_, key);
    if (!found.ok()) return IsMissing(found.error()) ? BlobMissing(key) : std::move(found).error();
    found->facts.archived = true;
    return found;
  }

  Result<void> Remove(const BlobKey& key) {
    // The archive first, so that an old object never comes to light; and again, for an Archive() in between.
    MEZZO_TRY_VOID(archive_.Remove(key));
    MEZZO_TRY_VOID(objects_.Remove(key));
    MEZZO_TRY_VOID(archive_.Remove(key));
    objects_.RemoveEmptyFolders(key);
    archive_.RemoveEmptyFolders(key);
    return {};
  }

 private:
  const Options options_;
  const storage::UrlSigner& signer_;
  const Clock& clock_;
  const std::unique_ptr<Disk> disk_;
  ObjectTree objects_;
  ObjectTree archive_;
  ExpiryIndex expiry_;
  const std::unique_ptr<TempFolder> temp_;
  std::array<Mutex, kLocks> locks_;
};

class LocalBlobStore::Writer final : public BlobWriter {
 public:
  Writer(State& state, BlobKey key, storage::BlobWriteOptions options, std::string name, Fd file)
      : state_(state),
        key_(std::move(key)),
        options_(std::move(options)),
        name_(std::move(name)),
        file_(std::move(file)) {}
  ~Writer() override {
    if (!moved_) (void)state_.disk().Remove(state_.temp().fd(), name_);  // Else the next start removes it.
  }

  Result<void> Append(BytesView bytes, TimePoint deadline) override {
    if (std::exchange(closed_, true)) return storage::BlobWriterClosed();
    MEZZO_TRY_VOID(CheckDeadline(state_.clock(), deadline));
    const ByteCount limit = state_.options().max_object_bytes;
    if (bytes.size() > limit - size_) return storage::BlobTooLarge(key_, limit);
    MEZZO_TRY_VOID(ReserveSpace(bytes.size()));
    MEZZO_TRY_VOID(state_.disk().Write(file_.get(), bytes));
    sha_.Update(bytes);
    size_ += bytes.size();
    closed_ = false;
    return {};
  }

  Result<BlobFacts> Commit(TimePoint deadline) override {
    if (std::exchange(closed_, true)) return storage::BlobWriterClosed();
    MEZZO_TRY_VOID(CheckDeadline(state_.clock(), deadline));
    const std::string sha256 = HexEncode(sha_.Finish());
    BlobFacts facts{.key = key_,
                    .size = size_,
                    .sha256 = sha256,
                    .content_type = std::move(options_.content_type),
                    .etag = sha256,
                    .stored_at = options_.stored_at.value_or(state_.clock().WallNow()),
                    .expires_at = options_.expires_at};
    MEZZO_TRY_VOID(state_.disk().Write(file_.get(), AsBytes(internal::EncodeTrailer(facts))));
    MEZZO_TRY_VOID(state_.disk().Sync(file_.get()));
    // A mark without an object costs one look of a sweep; an object without a mark would stay for ever.
    if (facts.expires_at) MEZZO_TRY_VOID(state_.expiry().Mark(key_, *facts.expires_at));
    const auto done = [&] {
      MutexLock lock(state_.LockOf(key_));
      return state_.objects().MoveIn(state_.temp().fd(), name_, key_);
    }();
    if (!done.ok()) {
      state_.objects().RemoveEmptyFolders(key_);
      return done.error();
    }
    moved_ = true;
    return facts;
  }

 private:
  Result<void> ReserveSpace(ByteCount bytes) {
    if (bytes > reserved_) {
      MEZZO_TRY(const ByteCount free, state_.disk().FreeBytes(file_.get()));
      const ByteCount floor = state_.options().min_free_bytes;
      if (free < floor || free - floor < bytes) {
        return ResourceExhausted("blob_disk_full", "the disk has " + FormatBytes(free) + " free, of which " +
                                                       FormatBytes(floor) + " stay free");
      }
      reserved_ = std::min(free - floor, bytes + kFreeCheckBytes);
    }
    reserved_ -= bytes;
    return {};
  }

  State& state_;
  const BlobKey key_;
  storage::BlobWriteOptions options_;
  const std::string name_;  ///< In the temporary folder.
  const Fd file_;
  Sha256 sha_;
  ByteCount size_ = 0;
  ByteCount reserved_ = 0;
  bool closed_ = false;
  bool moved_ = false;
};

class LocalBlobStore::Reader final : public BlobReader {
 public:
  Reader(State& state, OpenObject object, ByteSpan span)
      : state_(state), object_(std::move(object)), span_(span), verifier_(object_.facts, span) {}

  [[nodiscard]] const BlobFacts& facts() const override { return object_.facts; }

  Result<std::size_t> Read(std::span<std::byte> into, TimePoint deadline) override {
    MEZZO_TRY_VOID(CheckDeadline(state_.clock(), deadline));
    const auto wanted = static_cast<std::size_t>(std::min<ByteCount>(into.size(), span_.length - done_));
    if (wanted == 0) {
      if (done_ == span_.length && !std::exchange(verified_, true)) {
        MEZZO_TRY_VOID(verifier_.Finish(object_.facts));
      }
      return std::size_t{0};
    }
    MEZZO_TRY(const std::size_t got,
              state_.disk().ReadAt(object_.file.get(), into.first(wanted), span_.offset + done_));
    if (got != wanted) return storage::BlobCorrupt(object_.facts.key, "its file became shorter");
    verifier_.Update(into.first(got));
    done_ += got;
    return got;
  }

 private:
  State& state_;
  const OpenObject object_;
  const ByteSpan span_;
  storage::ContentVerifier verifier_;
  ByteCount done_ = 0;
  bool verified_ = false;
};

LocalBlobStore::LocalBlobStore(std::unique_ptr<State> state) : state_(std::move(state)) {}
LocalBlobStore::~LocalBlobStore() = default;

Result<std::unique_ptr<LocalBlobStore>> LocalBlobStore::Open(Options options,
                                                             const storage::UrlSigner& signer,
                                                             const Clock& clock) {
  return Open(std::move(options), signer, clock, std::make_unique<Disk>());
}

Result<std::unique_ptr<LocalBlobStore>> LocalBlobStore::Open(Options options,
                                                             const storage::UrlSigner& signer,
                                                             const Clock& clock, std::unique_ptr<Disk> disk) {
  MEZZO_TRY(const Fd root, OpenRoot(*disk, options.root));
  MEZZO_TRY(Fd objects, OpenPart(*disk, root.get(), "objects"));
  MEZZO_TRY(Fd archive, OpenPart(*disk, root.get(), "archive"));
  MEZZO_TRY(Fd expiry, OpenPart(*disk, root.get(), "expiry"));
  MEZZO_TRY(const Fd temps, OpenPart(*disk, root.get(), "temp"));
  MEZZO_TRY(auto temp, TempFolder::Create(*disk, temps.get()));
  State::Folders folders{
      .objects = std::move(objects), .archive = std::move(archive), .expiry = std::move(expiry)};
  auto state = std::make_unique<State>(std::move(options), signer, clock, std::move(disk), std::move(folders),
                                       std::move(temp));
  return std::unique_ptr<LocalBlobStore>(new LocalBlobStore(std::move(state)));  // A private constructor.
}

Result<std::unique_ptr<BlobWriter>> LocalBlobStore::Write(const BlobKey& key,
                                                          storage::BlobWriteOptions options,
                                                          TimePoint deadline) {
  MEZZO_TRY_VOID(CheckDeadline(state_->clock(), deadline));
  MEZZO_TRY_VOID(storage::CheckContentType(options.content_type));
  std::string name = state_->temp().NewName();
  MEZZO_TRY(Fd file, state_->disk().Open(state_->temp().fd(), name, O_WRONLY | O_CREAT | O_EXCL));
  return std::unique_ptr<BlobWriter>(
      std::make_unique<Writer>(*state_, key, std::move(options), std::move(name), std::move(file)));
}

Result<std::unique_ptr<BlobReader>> LocalBlobStore::Read(const BlobKey& key, storage::ByteRange range,
                                                         TimePoint deadline) {
  MEZZO_TRY_VOID(CheckDeadline(state_->clock(), deadline));
  MEZZO_TRY(OpenObject object, state_->Find(key));
  MEZZO_TRY(const ByteSpan span, storage::ResolveRange(key, range, object.facts.size));
  return std::unique_ptr<BlobReader>(std::make_unique<Reader>(*state_, std::move(object), span));
}

Result<BlobFacts> LocalBlobStore::Stat(const BlobKey& key, TimePoint deadline) {
  MEZZO_TRY_VOID(CheckDeadline(state_->clock(), deadline));
  MEZZO_TRY(OpenObject object, state_->Find(key));
  return std::move(object.facts);
}

Result<void> LocalBlobStore::Delete(const BlobKey& key, TimePoint deadline) {
  MEZZO_TRY_VOID(CheckDeadline(state_->clock(), deadline));
  MutexLock lock(state_->LockOf(key));
  return state_->Remove(key);
}

Result<storage::BlobPage> LocalBlobStore::List(const storage::BlobPrefix& prefix, const std::string& after,
                                               std::size_t limit, TimePoint deadline) {
  MEZZO_TRY_VOID(storage::CheckListArguments(after, limit));
  internal::ObjectLister lister(state_->disk(), {&state_->objects(), &state_->archive()}, state_->clock(),
                                deadline);
  return lister.List(prefix, after, limit);
}

Result<std::string> LocalBlobStore::SignUrl(const BlobKey& key, const storage::BlobUrlOptions& options) {
  return state_->signer().Sign(key, options, state_->clock().WallNow());
}

Result<void> LocalBlobStore::Archive(const BlobKey& key, TimePoint deadline) {
  MEZZO_TRY_VOID(CheckDeadline(state_->clock(), deadline));
  MutexLock lock(state_->LockOf(key));
  MEZZO_TRY(const OpenObject object, state_->Find(key));
  if (object.facts.archived) return {};
  MEZZO_TRY(const Fd folder, state_->objects().OpenFolder(key));
  MEZZO_TRY_VOID(state_->archive().MoveIn(folder.get(), std::string(key.name()), key));
  MEZZO_TRY_VOID(state_->disk().Sync(folder.get()));
  state_->objects().RemoveEmptyFolders(key);
  return {};
}

Result<storage::BlobSweep> LocalBlobStore::SweepExpired(WallTime now, std::size_t limit, TimePoint deadline) {
  storage::BlobSweep sweep;
  const auto visit = [&](const BlobKey& key) -> Result<ExpiryIndex::Outcome> {
    MEZZO_TRY_VOID(CheckDeadline(state_->clock(), deadline));
    if (sweep.removed >= std::max<std::size_t>(1, limit)) return ExpiryIndex::Outcome::kFull;
    MutexLock lock(state_->LockOf(key));
    const Result<OpenObject> object = state_->Find(key);
    const bool unreadable =
        !object.ok() && (IsMissing(object.error()) || object.error().code() == Code::kDataLoss);
    if (unreadable) return ExpiryIndex::Outcome::kNotNow;
    if (!object.ok()) return object.error();
    const auto& expires_at = object->facts.expires_at;
    if (!expires_at || *expires_at > now) return ExpiryIndex::Outcome::kNotNow;
    MEZZO_TRY_VOID(state_->Remove(key));
    ++sweep.removed;
    return ExpiryIndex::Outcome::kDone;
  };
  MEZZO_TRY_VOID(CheckDeadline(state_->clock(), deadline));
  MEZZO_TRY(const bool all, state_->expiry().ForEachDue(now, visit));
  sweep.more = !all;
  return sweep;
}

}  // namespace mezzo::drivers
