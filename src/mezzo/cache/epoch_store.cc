#include "mezzo/cache/epoch_store.h"

#include <array>

#include "mezzo/base/strings.h"

namespace mezzo::cache {
namespace {

using storage::SqlRows;
using storage::SqlSession;

constexpr std::size_t kMaxName = 256;

// The row of the empty name counts for all models. `cache_revision` has one row, which every change counts
// up.
constexpr std::string_view kTables = R"sql(
CREATE TABLE cache_epochs (
  model TEXT NOT NULL PRIMARY KEY,
  epoch BIGINT NOT NULL
);

CREATE TABLE cache_revision (
  one BIGINT NOT NULL PRIMARY KEY,
  revision BIGINT NOT NULL
);
INSERT INTO cache_revision (one, revision) VALUES (1, 1);
)sql";

constexpr std::array<storage::Migration, 1> kMigrations = {
    {{.version = 1, .name = "epochs", .sql = kTables, .sqlite = "", .postgres = ""}}};

}  // namespace

std::span<const storage::Migration> EpochMigrations() { return kMigrations; }

Result<void> EpochStore::Raise(SqlSession& session, std::string_view model) {
  if (model.size() > kMaxName) {
    return InvalidArgument("model_name", "a model's name has " + std::to_string(model.size()) +
                                             " bytes; the limit is " + std::to_string(kMaxName));
  }
  // First, so that two changes can't cross: a reader that sees this revision sees all changes before it.
  MEZZO_TRY_VOID(session.Run("UPDATE cache_revision SET revision = revision + 1 WHERE one = 1", {}));
  MEZZO_TRY_VOID(
      session.Run("INSERT INTO cache_epochs (model, epoch) VALUES ($1, 1) "
                  "ON CONFLICT (model) DO UPDATE SET epoch = cache_epochs.epoch + 1",
                  {std::string(model)}));
  return session.Notify({.channel = kEpochsChannel, .payload = ""});
}

Result<void> EpochStore::Raise(std::string_view model, TimePoint deadline) {
  return db_.Transact([&](SqlSession& session) { return Raise(session, model); }, deadline);
}

Result<std::optional<Epochs>> EpochStore::Load(std::int64_t known, TimePoint deadline) {
  std::optional<Epochs> found;
  const auto work = [&](SqlSession& session) -> Result<void> {
    found.reset();
    MEZZO_TRY(const SqlRows revision, session.Run("SELECT revision FROM cache_revision WHERE one = 1", {}));
    if (revision.empty()) return Internal("cache_revision", "the table cache_revision has lost its row");
    if (revision.Int(0, 0) == known) return {};
    Epochs epochs;
    epochs.revision = revision.Int(0, 0);
    MEZZO_TRY(const SqlRows rows, session.Run("SELECT model, epoch FROM cache_epochs", {}));
    for (std::size_t row = 0; row < rows.size(); ++row) {
      const auto epoch = static_cast<std::uint64_t>(rows.Int(row, 1));
      if (rows.Text(row, 0).empty()) {
        epochs.all = epoch;
      } else {
        epochs.models.emplace(rows.Text(row, 0), epoch);
      }
    }
    found = std::move(epochs);
    return {};
  };
  MEZZO_TRY_VOID(db_.Read(work, deadline));
  return found;
}

}  // namespace mezzo::cache
