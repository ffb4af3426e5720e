#include "mezzo/cache/correction_store.h"

#include "mezzo/base/strings.h"
#include "mezzo/cache/epoch_store.h"

namespace mezzo::cache {
namespace {

using storage::SqlBlob;
using storage::SqlRows;
using storage::SqlSession;

/// Read at a time; each may be as large as one may be.
constexpr std::int64_t kPiece = 16;

Result<CorrectionFacts> FactsOf(const SqlRows& rows, std::size_t row) {
  const auto content = ParseSha256(rows.Text(row, 4));
  if (!content) {
    return Internal("correction_row", "correction '" + Printable(rows.Text(row, 0)) + "' has a broken row");
  }
  return CorrectionFacts{.id = rows.Text(row, 0),
                         .model = rows.Text(row, 1),
                         .version = rows.Text(row, 2),
                         .tenant = rows.Text(row, 3),
                         .content = *content,
                         .bytes = static_cast<ByteCount>(rows.Int(row, 5)),
                         .created_us = rows.Int(row, 6),
                         .created_by = rows.Text(row, 7),
                         .revision = rows.Int(row, 8)};
}

Error Full(std::string what) {
  return ResourceExhausted("corrections_full", std::move(what) + ": remove one first");
}

}  // namespace

Result<void> CorrectionStore::Put(const Correction& correction, TimePoint deadline) {
  const CorrectionFacts& facts = correction.facts;
  const auto bytes = static_cast<ByteCount>(correction.key_text.size() + correction.answer.size());
  if (bytes > limits_.bytes_each) {
    return InvalidArgument("correction_too_large", "question and answer have " + FormatBytes(bytes) +
                                                       "; the limit is " + FormatBytes(limits_.bytes_each));
  }
  const std::string key = HexEncode(correction.key);
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY_VOID(EpochStore::CountChange(session));  // Its lock makes changes come one after the other.
    MEZZO_TRY_VOID(session.Run("DELETE FROM cache_corrections WHERE key_digest = $1", {key}));
    MEZZO_TRY(const SqlRows held, session.Run("SELECT COUNT(*), COALESCE(SUM(bytes), 0), "
                                              "COALESCE(SUM(CASE WHEN model = $1 THEN 1 ELSE 0 END), 0), "
                                              "COALESCE(SUM(CASE WHEN tenant = $2 THEN 1 ELSE 0 END), 0), "
                                              "COALESCE(SUM(CASE WHEN tenant = $2 THEN bytes ELSE 0 END), 0) "
                                              "FROM cache_corrections",
                                              {facts.model, facts.tenant}));
    if (held.Int(0, 0) >= limits_.in_all || held.Int(0, 1) + bytes > limits_.bytes_in_all) {
      return Full("there are " + std::to_string(held.Int(0, 0)) + " corrections with " +
                  FormatBytes(held.Int(0, 1)));
    }
    if (held.Int(0, 2) >= limits_.per_model) {
      return Full("model '" + facts.model + "' has " + std::to_string(held.Int(0, 2)) + " corrections");
    }
    if (held.Int(0, 3) >= limits_.per_tenant || held.Int(0, 4) + bytes > limits_.bytes_per_tenant) {
      return Full("the tenant has " + std::to_string(held.Int(0, 3)) + " corrections with " +
                  FormatBytes(held.Int(0, 4)));
    }
    MEZZO_TRY_VOID(session.Run(
        "INSERT INTO cache_corrections (id, model, version, tenant, content, bytes, created_us, created_by, "
        "key_digest, key_text, answer, revision) SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, "
        "revision "
        "FROM cache_revision WHERE one = 1",
        {facts.id, facts.model, facts.version, facts.tenant, HexEncode(facts.content),
         static_cast<std::int64_t>(bytes), facts.created_us, facts.created_by, key,
         SqlBlob{correction.key_text}, SqlBlob{correction.answer}}));
    return session.Notify({.channel = kEpochsChannel, .payload = ""});
  };
  return db_.Transact(work, deadline);
}

Result<void> CorrectionStore::Remove(std::string_view id, const std::optional<std::string>& tenant,
                                     TimePoint deadline) {
  const auto work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY_VOID(EpochStore::CountChange(session));
    MEZZO_TRY(const SqlRows gone,
              session.Run("DELETE FROM cache_corrections WHERE id = $1 AND ($2 = 0 OR tenant = $3)",
                          {std::string(id), std::int64_t{tenant ? 1 : 0}, tenant.value_or("")}));
    if (gone.affected() == 0) {
      return NotFound("correction_unknown", "there is no correction '" + Printable(id, 64) + "'");
    }
    return session.Notify({.channel = kEpochsChannel, .payload = ""});
  };
  return db_.Transact(work, deadline);
}

Result<std::vector<CorrectionFacts>> CorrectionStore::List(const std::optional<std::string>& tenant,
                                                           std::string_view model, std::string_view after,
                                                           std::size_t limit, TimePoint deadline) {
  std::vector<CorrectionFacts> found;
  const auto work = [&](SqlSession& session) -> Result<void> {
    found.clear();
    MEZZO_TRY(
        const SqlRows rows,
        session.Run("SELECT id, model, version, tenant, content, bytes, created_us, created_by, revision "
                    "FROM cache_corrections WHERE id > $1 AND ($2 = 0 OR tenant = $3) AND "
                    "($4 = '' OR model = $4) ORDER BY id LIMIT $5",
                    {std::string(after), std::int64_t{tenant ? 1 : 0}, tenant.value_or(""),
                     std::string(model), static_cast<std::int64_t>(limit)}));
    for (std::size_t row = 0; row < rows.size(); ++row) {
      MEZZO_TRY(CorrectionFacts facts, FactsOf(rows, row));
      found.push_back(std::move(facts));
    }
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(work, deadline));
  return found;
}

Result<std::vector<std::int64_t>> CorrectionStore::Revisions(TimePoint deadline) {
  std::vector<std::int64_t> found;
  const auto work = [&](SqlSession& session) -> Result<void> {
    found.clear();
    MEZZO_TRY(
        const SqlRows rows,
        session.Run("SELECT revision FROM cache_corrections ORDER BY revision LIMIT $1", {limits_.in_all}));
    for (std::size_t row = 0; row < rows.size(); ++row) found.push_back(rows.Int(row, 0));
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(work, deadline));
  return found;
}

Result<std::vector<Correction>> CorrectionStore::After(std::int64_t revision, TimePoint deadline) {
  std::vector<Correction> found;
  const auto work = [&](SqlSession& session) -> Result<void> {
    found.clear();
    MEZZO_TRY(const SqlRows rows,
              session.Run("SELECT id, model, version, tenant, content, bytes, created_us, "
                          "created_by, revision, key_digest, key_text, answer FROM cache_corrections "
                          "WHERE revision > $1 ORDER BY revision LIMIT $2",
                          {revision, kPiece}));
    for (std::size_t row = 0; row < rows.size(); ++row) {
      MEZZO_TRY(CorrectionFacts facts, FactsOf(rows, row));
      const auto key = ParseSha256(rows.Text(row, 9));
      if (!key) return Internal("correction_row", "correction '" + facts.id + "' has a broken row");
      found.push_back({.facts = std::move(facts),
                       .key = *key,
                       .key_text = rows.Blob(row, 10),
                       .answer = rows.Blob(row, 11)});
    }
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(work, deadline));
  return found;
}

}  // namespace mezzo::cache
