#include "mezzo/lifecycle/version_uploads.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <optional>
#include <set>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "mezzo/base/check.h"
#include "mezzo/base/mutex.h"
#include "mezzo/base/sha256.h"
#include "mezzo/base/strings.h"
#include "mezzo/storage/blob_io.h"

namespace mezzo::lifecycle {
namespace {

using storage::BlobKey;

// No tenant can be called so (tenancy::CheckId), so no key of a job or an upload lies here.
constexpr const char* kPlace = "_registry";
constexpr std::uint32_t kWhole = 0;
constexpr std::uint32_t kPieces = 1;
/// Questions to the store that one upload has open.
constexpr std::size_t kStatsAtOnce = 16;
constexpr std::size_t kBuffer = std::size_t{1} << 20;

BlobKey Key(const std::string& sha256, std::uint32_t part, const std::string& name) {
  auto key = BlobKey::Make(TenantId(kPlace), sha256, part, name);
  MEZZO_CHECK(key.ok());  // The parts are safe names: the digest was checked.
  return *std::move(key);
}

Result<void> CheckDigest(const std::string& sha256) {
  if (ParseSha256(sha256)) return {};
  return InvalidArgument("registry_blob_digest", "a content is named by 64 lower-case hex digits");
}

Error OtherContent(const std::string& sha256, const Sha256Digest& got) {
  return InvalidArgument("registry_blob_digest",
                         "the content that was sent as " + sha256 + " has the SHA-256 " + HexEncode(got));
}

}  // namespace

BlobKey VersionUploads::KeyOf(const std::string& sha256) { return Key(sha256, kWhole, "content"); }

Result<bool> VersionUploads::IsThere(const std::string& sha256, TimePoint deadline) {
  const auto facts = ports_.contents.Stat(KeyOf(sha256), deadline);
  if (facts.ok()) return true;
  if (facts.error().code() == Code::kNotFound) return false;
  return facts.error();
}

Result<std::vector<std::string>> VersionUploads::MissingOf(const std::vector<ManifestFile>& files,
                                                           TimePoint deadline) {
  std::set<std::string> contents;
  for (const ManifestFile& file : files) contents.insert(file.sha256);
  const std::vector<std::string> all(contents.begin(), contents.end());
  std::vector<char> there(all.size());  // Each by the thread that has taken its index.
  std::atomic<std::size_t> next{0};
  Mutex mu;
  std::optional<Error> failed;
  // A store far away takes its time for each: they are asked for side by side.
  const auto ask = [&] {
    for (std::size_t i = next.fetch_add(1); i < all.size(); i = next.fetch_add(1)) {
      auto found = IsThere(all[i], deadline);
      if (found.ok()) {
        there[i] = *found ? 1 : 0;
        continue;
      }
      const MutexLock lock(mu);
      if (!failed) failed = std::move(found).error();
      next.store(all.size());
    }
  };
  std::vector<std::thread> others;
  for (std::size_t i = 1; i < std::min(kStatsAtOnce, all.size()); ++i) others.emplace_back(ask);
  ask();
  for (std::thread& other : others) other.join();
  if (failed) return *std::move(failed);
  std::vector<std::string> missing;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (there[i] == 0) missing.push_back(all[i]);
  }
  return missing;
}

Result<VersionUploads::Begun> VersionUploads::Begin(const std::string& model, const NewVersion& version,
                                                    const std::string& by, TimePoint deadline) {
  Begun begun;
  MEZZO_TRY(begun.version, ports_.registry.CreateVersion(model, version, by, deadline));
  // After the version is there: from now on no content of it is garbage.
  MEZZO_TRY(begun.missing, MissingOf(version.manifest.files(), deadline));
  return begun;
}

Result<std::vector<std::string>> VersionUploads::Missing(const std::string& model, std::int64_t version,
                                                         TimePoint deadline) {
  MEZZO_TRY(const auto files, ports_.registry.FilesOf(model, version, deadline));
  return MissingOf(files, deadline);
}

Result<VersionRecord> VersionUploads::Complete(const std::string& model, std::int64_t version,
                                               const std::string& by, TimePoint deadline) {
  MEZZO_TRY(VersionRecord now, ports_.registry.GetVersion(model, version, deadline));
  if (now.state != VersionState::kUploading) return now;
  MEZZO_TRY(const auto missing, Missing(model, version, deadline));
  if (!missing.empty()) {
    return FailedPrecondition("registry_blobs_missing",
                              "version " + std::to_string(version) + " of model '" + model + "' lacks " +
                                  std::to_string(missing.size()) + " contents, such as " + missing.front());
  }
  const StateChange change{.from = VersionState::kUploading,
                           .to = ports_.tester == nullptr ? VersionState::kReady : VersionState::kTesting,
                           .reason = ""};
  MEZZO_TRY(now, ports_.registry.SetState(model, version, change, by, deadline));
  if (ports_.tester != nullptr) MEZZO_TRY_VOID(ports_.tester->Begin(now));
  return now;
}

Result<VersionUploads::Pieces> VersionUploads::PiecesOf(const std::string& sha256, TimePoint deadline) {
  MEZZO_TRY(const auto prefix, storage::BlobPrefix::Of(TenantId(kPlace), sha256, kPieces));
  Pieces pieces;
  std::string after;
  constexpr std::size_t kPage = 1000;
  while (true) {
    MEZZO_TRY(const storage::BlobPage page, ports_.contents.List(prefix, after, kPage, deadline));
    for (const storage::BlobEntry& entry : page.entries) {
      pieces.all.push_back(entry.key);
      after = entry.key.text();
      // Pieces of another size may lie beneath, from somebody who sends the same content.
      if (entry.key.name() != fmt::format("{:020}", pieces.bytes)) continue;
      pieces.keys.push_back(entry.key);
      pieces.bytes += entry.size;
    }
    if (!page.more) return pieces;
  }
}

Result<VersionUploads::Progress> VersionUploads::StatusOf(const std::string& sha256, TimePoint deadline) {
  MEZZO_TRY_VOID(CheckDigest(sha256));
  const auto facts = ports_.contents.Stat(KeyOf(sha256), deadline);
  if (facts.ok()) return Progress{.received = facts->size, .bytes = facts->size, .complete = true};
  if (facts.error().code() != Code::kNotFound) return facts.error();
  MEZZO_TRY(const auto total, ports_.registry.ExpectContent(sha256, deadline));
  if (!total) {
    return NotFound("registry_blob_unknown", "the content " + sha256 + " is neither here nor waited for");
  }
  MEZZO_TRY(const Pieces pieces, PiecesOf(sha256, deadline));
  return Progress{.received = pieces.bytes, .bytes = *total, .complete = false};
}

Result<VersionUploads::Progress> VersionUploads::Put(const Piece& piece, TimePoint deadline) {
  MEZZO_TRY_VOID(CheckDigest(piece.sha256));
  MEZZO_TRY(const auto total, ports_.registry.ExpectContent(piece.sha256, deadline));
  if (!total) {
    return FailedPrecondition("registry_blob_unexpected",
                              "no version that is being uploaded has the content " + piece.sha256);
  }
  const Progress done{.received = *total, .bytes = *total, .complete = true};
  MEZZO_TRY(const bool there, IsThere(piece.sha256, deadline));
  if (there) return done;
  if (piece.total != *total) {
    return InvalidArgument("registry_blob_size", "the content " + piece.sha256 + " has " +
                                                     std::to_string(*total) + " bytes by the manifest, not " +
                                                     std::to_string(piece.total));
  }
  const ByteCount size = piece.bytes.size();
  if (piece.offset > *total || size > *total - piece.offset) {
    return Error(Code::kOutOfRange, "registry_blob_range",
                 "the piece ends behind the content's " + std::to_string(*total) + " bytes");
  }
  if (piece.offset == 0 && size == *total) {
    const Sha256Digest got = Sha256Of(piece.bytes);
    if (HexEncode(got) != piece.sha256) return OtherContent(piece.sha256, got);
    MEZZO_TRY_VOID(storage::WriteBlob(ports_.contents, KeyOf(piece.sha256), piece.bytes, {}, deadline));
    return done;
  }
  MEZZO_TRY(const Pieces pieces, PiecesOf(piece.sha256, deadline));
  ByteCount received = pieces.bytes;
  if (piece.offset > received || (piece.offset < received && piece.offset + size > received)) {
    return Error(Code::kOutOfRange, "registry_blob_range",
                 "the content " + piece.sha256 + " is here up to byte " + std::to_string(received) +
                     ": go on there, not at " + std::to_string(piece.offset));
  }
  if (piece.offset == received) {
    const bool last = received + size == *total;
    if (size == 0 || (!last && size < options_.min_piece)) {
      return InvalidArgument(
          "registry_blob_size",
          "a piece has at least " + std::to_string(options_.min_piece) + " bytes, but for the last one");
    }
    storage::BlobWriteOptions write;
    write.expires_at = ports_.clock.WallNow() + options_.lifetime;
    MEZZO_TRY_VOID(storage::WriteBlob(ports_.contents,
                                      Key(piece.sha256, kPieces, fmt::format("{:020}", received)),
                                      piece.bytes, std::move(write), deadline));
    received += size;
  }
  if (received < *total) return Progress{.received = received, .bytes = *total, .complete = false};
  MEZZO_TRY_VOID(Assemble(piece.sha256, *total, deadline));
  return done;
}

Result<void> VersionUploads::Assemble(const std::string& sha256, ByteCount total, TimePoint deadline) {
  MEZZO_TRY(const Pieces pieces, PiecesOf(sha256, deadline));
  if (pieces.bytes != total) {
    return Error(
        Code::kOutOfRange, "registry_blob_range",
        "the content " + sha256 + " is here up to byte " + std::to_string(pieces.bytes) + ": go on there");
  }
  MEZZO_TRY(const auto writer, ports_.contents.Write(KeyOf(sha256), {}, deadline));
  Sha256 hash;
  std::vector<std::byte> buffer(kBuffer);
  for (const BlobKey& key : pieces.keys) {
    MEZZO_TRY(const auto reader, ports_.contents.Read(key, {}, deadline));
    while (true) {
      MEZZO_TRY(const std::size_t got, reader->Read(buffer, deadline));
      if (got == 0) break;
      const BytesView bytes(buffer.data(), got);
      hash.Update(bytes);
      MEZZO_TRY_VOID(writer->Append(bytes, deadline));
    }
  }
  const Sha256Digest made = hash.Finish();
  const bool right = HexEncode(made) == sha256;
  if (right) MEZZO_TRY_VOID(writer->Commit(deadline));  // Else nothing of it is ever seen.
  // Those that stay, after a failure here, are swept when they expire.
  for (const BlobKey& key : pieces.all) MEZZO_TRY_VOID(ports_.contents.Delete(key, deadline));
  if (right) return {};
  return OtherContent(sha256, made);
}

Result<void> VersionUploads::Remove(const std::string& sha256, TimePoint deadline) {
  return ports_.contents.Delete(KeyOf(sha256), deadline);
}

}  // namespace mezzo::lifecycle
