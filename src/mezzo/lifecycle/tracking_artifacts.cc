#include <utility>

#include "mezzo/base/strings.h"
#include "mezzo/lifecycle/internal/registry_rows.h"
#include "mezzo/lifecycle/internal/tracking_rows.h"
#include "mezzo/lifecycle/tracking_store.h"

namespace mezzo::lifecycle {
namespace {

using internal::ToMicros;
using storage::SqlDialect;
using storage::SqlRows;
using storage::SqlSession;

Error NoArtifact(const ArtifactPlace& place) {
  return NotFound("tracking_artifact_unknown", "'" + Printable(place.owner, 64) + "' has no artifact '" +
                                                   Printable(place.path, 200) + "'");
}

/// Of a folder's content: behind "folder/", and before "folder0", for '0' is the character after '/'.
struct Below {
  std::string from;
  std::string to;
};
Below BelowOf(const std::string& path) { return {.from = path + "/", .to = path + "0"}; }

/// No file is another's folder.
Result<void> CheckNesting(SqlSession& session, SqlDialect dialect, const ArtifactPlace& place) {
  std::vector<std::string> folders;
  for (std::size_t slash = place.path.find('/'); slash != std::string::npos;
       slash = place.path.find('/', slash + 1)) {
    folders.push_back(place.path.substr(0, slash));
  }
  static const std::string sql[] = {
      "SELECT path FROM tracking_artifacts WHERE owner = $1 AND (path IN (SELECT value FROM json_each($2)) "
      "OR SUBSTR(path, 1, CAST($3 AS INTEGER)) = $4) LIMIT 1",
      "SELECT path FROM tracking_artifacts WHERE owner = $1 AND (path = ANY($2::text[]) "
      "OR SUBSTR(path, 1, CAST($3 AS INTEGER)) = $4) LIMIT 1"};
  const std::string below = place.path + "/";
  MEZZO_TRY(const SqlRows rows,
            session.Run(sql[dialect == SqlDialect::kPostgres ? 1 : 0],
                        {place.owner, folders, static_cast<std::int64_t>(below.size()), below}));
  if (rows.empty()) return {};
  const bool is_folder = rows.Text(0, 0).size() > place.path.size();
  return InvalidArgument("manifest_duplicate", "the path '" +
                                                   Printable(is_folder ? place.path : rows.Text(0, 0), 200) +
                                                   "' is both a file and a folder");
}

}  // namespace

Result<void> TrackingStore::CheckOwner(SqlSession& session, const TenantId& tenant,
                                       const std::string& owner) const {
  MEZZO_TRY(const SqlRows rows,
            session.Run("SELECT 1 FROM tracking_runs WHERE id = $1 AND tenant = $2 UNION ALL "
                        "SELECT 1 FROM tracking_models WHERE id = $1 AND tenant = $2",
                        {owner, tenant.str()}));
  if (!rows.empty()) return {};
  return NotFound("tracking_run_unknown",
                  "there is no run and no logged model '" + Printable(owner, 64) + "'");
}

Result<void> TrackingStore::BeginArtifact(const ArtifactPlace& place, const ManifestFile& content,
                                          TimePoint deadline) {
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY_VOID(CheckOwner(session, place.tenant, place.owner));
    // Room is asked for now and taken when the content is there.
    const auto bytes = static_cast<std::int64_t>(content.bytes);
    MEZZO_TRY_VOID(Grow(session, place.tenant, {.files = 1, .bytes = bytes}));
    MEZZO_TRY_VOID(Grow(session, place.tenant, {.files = -1, .bytes = -bytes}));
    // As CreateVersion(): who collects garbage holds this row's lock, and is waited for.
    MEZZO_TRY_VOID(session.Run("DELETE FROM registry_garbage WHERE sha256 = $1", {content.sha256}));
    MEZZO_TRY_VOID(CheckNesting(session, db_.dialect(), place));
    MEZZO_TRY(const SqlRows before,
              session.Run("SELECT next_sha256 FROM tracking_artifacts WHERE owner = $1 AND path = $2",
                          {place.owner, place.path}));
    if (before.empty()) {
      MEZZO_TRY(const SqlRows count,
                session.Run("SELECT COUNT(*) FROM tracking_artifacts WHERE owner = $1", {place.owner}));
      if (static_cast<std::size_t>(count.Int(0, 0)) >= options_.max_files) {
        return ResourceExhausted("tracking_full", "'" + Printable(place.owner, 64) +
                                                      "' has all the files that it may have: " +
                                                      std::to_string(options_.max_files));
      }
    } else if (!before.Text(0, 0).empty() && before.Text(0, 0) != content.sha256) {
      MEZZO_TRY_VOID(Discard(session, before.Text(0, 0)));
    }
    MEZZO_TRY_VOID(
        session.Run("INSERT INTO tracking_artifacts (owner, path, tenant, sha256, bytes, next_sha256, "
                    "next_bytes, touched_us) VALUES ($1, $2, $3, '', 0, $4, $5, $6) "
                    "ON CONFLICT (owner, path) DO UPDATE SET next_sha256 = excluded.next_sha256, "
                    "next_bytes = excluded.next_bytes, touched_us = excluded.touched_us",
                    {place.owner, place.path, place.tenant.str(), content.sha256, bytes, NowMicros()}));
    return {};
  };
  return db_.Transact(work, deadline);
}

/// Nobody may need the content any more: CollectGarbage() looks.
Result<void> TrackingStore::Discard(SqlSession& session, const std::string& sha256) const {
  if (sha256.empty()) return {};
  MEZZO_TRY_VOID(
      session.Run("INSERT INTO registry_garbage (sha256, since_us) VALUES ($1, $2) "
                  "ON CONFLICT (sha256) DO UPDATE SET since_us = excluded.since_us",
                  {sha256, NowMicros()}));
  return {};
}

Result<void> TrackingStore::CommitArtifact(const ArtifactPlace& place, const ManifestFile& content,
                                           TimePoint deadline) {
  const auto work = [&](SqlSession& session) -> Result<void> {
    // The tenant's row first, always: no two wait for each other.
    MEZZO_TRY_VOID(Grow(session, place.tenant, {}));
    MEZZO_TRY(const SqlRows now,
              session.Run("SELECT sha256, bytes, next_sha256 FROM tracking_artifacts WHERE "
                          "owner = $1 AND path = $2",
                          {place.owner, place.path}));
    if (now.empty() || now.Text(0, 2) != content.sha256) {
      return FailedPrecondition("tracking_artifact_conflict", "'" + Printable(place.path, 200) +
                                                                  "' was brought or deleted by another call");
    }
    const bool fresh = now.Text(0, 0).empty();
    MEZZO_TRY_VOID(
        Grow(session, place.tenant,
             {.files = fresh ? 1 : 0, .bytes = static_cast<std::int64_t>(content.bytes) - now.Int(0, 1)}));
    if (now.Text(0, 0) != content.sha256) MEZZO_TRY_VOID(Discard(session, now.Text(0, 0)));
    MEZZO_TRY_VOID(session.Run(
        "UPDATE tracking_artifacts SET sha256 = $3, bytes = $4, next_sha256 = '', "
        "next_bytes = 0, touched_us = $5 WHERE owner = $1 AND path = $2",
        {place.owner, place.path, content.sha256, static_cast<std::int64_t>(content.bytes), NowMicros()}));
    return {};
  };
  return db_.Transact(work, deadline);
}

Result<ManifestFile> TrackingStore::FindArtifact(const ArtifactPlace& place, TimePoint deadline) {
  ManifestFile found;
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY_VOID(CheckOwner(session, place.tenant, place.owner));
    MEZZO_TRY(const SqlRows rows, session.Run("SELECT sha256, bytes FROM tracking_artifacts WHERE owner = $1 "
                                              "AND path = $2 AND sha256 <> ''",
                                              {place.owner, place.path}));
    if (rows.empty()) return NoArtifact(place);
    found = {.path = place.path, .sha256 = rows.Text(0, 0), .bytes = static_cast<ByteCount>(rows.Int(0, 1))};
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(work, deadline));
  return found;
}

Result<std::vector<ManifestFile>> TrackingStore::ArtifactsBelow(const ArtifactPlace& place,
                                                                TimePoint deadline) {
  std::vector<ManifestFile> files;
  const Below below = BelowOf(place.path);
  const auto work = [&](SqlSession& session) -> Result<void> {
    files.clear();
    MEZZO_TRY_VOID(CheckOwner(session, place.tenant, place.owner));
    MEZZO_TRY(const SqlRows rows,
              session.Run("SELECT path, sha256, bytes FROM tracking_artifacts WHERE owner = $1 AND "
                          "sha256 <> '' ORDER BY path",
                          {place.owner}));
    for (std::size_t row = 0; row < rows.size(); ++row) {
      const std::string& path = rows.Text(row, 0);
      // Compared here: PostgreSQL's order of texts is the database's collation.
      const bool in = place.path.empty() || path == place.path || (path > below.from && path < below.to);
      if (!in) continue;
      files.push_back(
          {.path = path, .sha256 = rows.Text(row, 1), .bytes = static_cast<ByteCount>(rows.Int(row, 2))});
    }
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(work, deadline));
  return files;
}

Result<void> TrackingStore::RemoveFile(SqlSession& session, const std::string& owner, const std::string& path,
                                       const TenantId& tenant) const {
  MEZZO_TRY(const SqlRows gone, session.Run("DELETE FROM tracking_artifacts WHERE owner = $1 AND path = $2 "
                                            "RETURNING sha256, bytes, next_sha256",
                                            {owner, path}));
  if (gone.empty()) return {};
  MEZZO_TRY_VOID(Discard(session, gone.Text(0, 0)));
  MEZZO_TRY_VOID(Discard(session, gone.Text(0, 2)));
  if (gone.Text(0, 0).empty()) return {};
  return Grow(session, tenant, {.files = -1, .bytes = -gone.Int(0, 1)});
}

Result<std::size_t> TrackingStore::DeleteArtifacts(const ArtifactPlace& place, TimePoint deadline) {
  MEZZO_TRY(const std::vector<ManifestFile> files, ArtifactsBelow(place, deadline));
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY_VOID(Grow(session, place.tenant, {}));
    for (const ManifestFile& file : files) {
      MEZZO_TRY_VOID(RemoveFile(session, place.owner, file.path, place.tenant));
    }
    return {};
  };
  if (!files.empty()) MEZZO_TRY_VOID(db_.Transact(work, deadline));
  return files.size();
}

Result<std::size_t> TrackingStore::ExpireArtifacts(WallTime before, std::size_t limit, TimePoint deadline) {
  struct Old {
    std::string owner;
    std::string path;
    std::string tenant;
  };
  std::vector<Old> old;
  const auto look = [&](SqlSession& session) -> Result<void> {
    old.clear();
    MEZZO_TRY(const SqlRows rows,
              session.Run("SELECT owner, path, tenant FROM tracking_artifacts a WHERE a.touched_us < $1 AND "
                          "NOT EXISTS (SELECT 1 FROM registry_files f WHERE f.sha256 = a.sha256) "
                          "ORDER BY a.touched_us LIMIT $2",
                          {ToMicros(before), static_cast<std::int64_t>(limit)}));
    for (std::size_t row = 0; row < rows.size(); ++row) {
      old.push_back({.owner = rows.Text(row, 0), .path = rows.Text(row, 1), .tenant = rows.Text(row, 2)});
    }
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(look, deadline));
  std::size_t removed = 0;
  for (const Old& one : old) {
    bool gone = false;
    const auto work = [&](SqlSession& session) -> Result<void> {
      gone = false;
      const TenantId tenant(one.tenant);
      MEZZO_TRY_VOID(Grow(session, tenant, {}));
      // Whoever has touched or registered it meanwhile keeps it.
      MEZZO_TRY(const SqlRows still,
                session.Run("SELECT 1 FROM tracking_artifacts a WHERE a.owner = $1 AND a.path = $2 AND "
                            "a.touched_us < $3 AND NOT EXISTS (SELECT 1 FROM registry_files f WHERE "
                            "f.sha256 = a.sha256)",
                            {one.owner, one.path, ToMicros(before)}));
      if (still.empty()) return {};
      gone = true;
      return RemoveFile(session, one.owner, one.path, tenant);
    };
    MEZZO_TRY_VOID(db_.Transact(work, deadline));
    if (gone) ++removed;
  }
  return removed;
}

// --- Files in parts

Result<void> TrackingStore::BeginUpload(const ArtifactUpload& upload, TimePoint deadline) {
  const auto work = [&](SqlSession& session) -> Result<void> {
    const std::string& tenant = upload.place.tenant.str();
    MEZZO_TRY_VOID(CheckOwner(session, upload.place.tenant, upload.place.owner));
    MEZZO_TRY_VOID(Grow(session, upload.place.tenant, {}));
    MEZZO_TRY(const SqlRows count,
              session.Run("SELECT COUNT(*) FROM tracking_uploads WHERE tenant = $1", {tenant}));
    if (static_cast<std::size_t>(count.Int(0, 0)) >= options_.max_uploads) {
      return ResourceExhausted("tracking_full",
                               "the tenant has all the files that may come in parts at the same time: " +
                                   std::to_string(options_.max_uploads));
    }
    MEZZO_TRY_VOID(
        session.Run("INSERT INTO tracking_uploads (id, tenant, owner, path, parts, bytes, created_us) "
                    "VALUES ($1, $2, $3, $4, $5, 0, $6)",
                    {upload.id, tenant, upload.place.owner, upload.place.path,
                     static_cast<std::int64_t>(upload.parts), NowMicros()}));
    return {};
  };
  return db_.Transact(work, deadline);
}

Result<ArtifactUpload> TrackingStore::GoOnWithUpload(const TenantId& tenant, const std::string& id,
                                                     ByteCount more, TimePoint deadline) {
  ArtifactUpload upload;
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(const SqlRows rows,
              session.Run("UPDATE tracking_uploads SET bytes = bytes + $3 WHERE id = $1 AND tenant = $2 "
                          "RETURNING owner, path, parts",
                          {id, tenant.str(), static_cast<std::int64_t>(more)}));
    if (rows.empty()) {
      return NotFound("tracking_upload_unknown", "there is no upload '" + Printable(id, 64) + "'");
    }
    upload = {.id = id,
              .place = {.tenant = tenant, .owner = rows.Text(0, 0), .path = rows.Text(0, 1)},
              .parts = static_cast<std::uint32_t>(rows.Int(0, 2))};
    if (more == 0) return {};
    MEZZO_TRY(const SqlRows total,
              session.Run("SELECT COALESCE((SELECT CAST(SUM(bytes) AS BIGINT) FROM tracking_uploads WHERE "
                          "tenant = $1), 0) + "
                          "COALESCE((SELECT bytes FROM tracking_tenants WHERE tenant = $1), 0)",
                          {tenant.str()}));
    if (static_cast<ByteCount>(total.Int(0, 0)) > options_.max_bytes) {
      return ResourceExhausted("tracking_full",
                               "the tenant has all the bytes of artifacts that it may have: " +
                                   std::to_string(options_.max_bytes));
    }
    return {};
  };
  MEZZO_TRY_VOID(db_.Transact(work, deadline));
  return upload;
}

Result<bool> TrackingStore::EndUpload(const TenantId& tenant, const std::string& id, TimePoint deadline) {
  bool there = false;
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(const SqlRows gone,
              session.Run("DELETE FROM tracking_uploads WHERE id = $1 AND tenant = $2", {id, tenant.str()}));
    there = gone.affected() > 0;
    return {};
  };
  MEZZO_TRY_VOID(db_.Transact(work, deadline));
  return there;
}

Result<std::size_t> TrackingStore::ExpireUploads(WallTime before, std::size_t limit, TimePoint deadline) {
  std::size_t removed = 0;
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(const SqlRows gone,
              session.Run("DELETE FROM tracking_uploads WHERE id IN (SELECT id FROM tracking_uploads WHERE "
                          "created_us < $1 ORDER BY created_us LIMIT $2)",
                          {ToMicros(before), static_cast<std::int64_t>(limit)}));
    removed = static_cast<std::size_t>(gone.affected());
    return {};
  };
  MEZZO_TRY_VOID(db_.Transact(work, deadline));
  return removed;
}

}  // namespace mezzo::lifecycle
