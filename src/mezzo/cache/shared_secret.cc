#include "mezzo/cache/shared_secret.h"

#include <array>
#include <cstdint>

#include "mezzo/base/strings.h"
#include "mezzo/base/uuid.h"

namespace mezzo::cache {
namespace {

constexpr std::string_view kTable = R"sql(
CREATE TABLE cache_secret (
  one BIGINT NOT NULL PRIMARY KEY,
  secret TEXT NOT NULL
);
)sql";

constexpr std::array<storage::Migration, 1> kMigrations = {
    {{.version = 1, .name = "secret", .sql = kTable, .sqlite = "", .postgres = ""}}};

}  // namespace

std::span<const storage::Migration> SharedSecretMigrations() { return kMigrations; }

Result<std::string> LoadSharedSecret(storage::SqlDb& db, TimePoint deadline) {
  std::array<std::uint8_t, 32> fresh{};
  RandomBytes(fresh.data(), fresh.size());
  std::string secret;
  const auto work = [&](storage::SqlSession& session) -> Result<void> {
    MEZZO_TRY_VOID(
        session.Run("INSERT INTO cache_secret (one, secret) VALUES (1, $1) ON CONFLICT (one) DO NOTHING",
                    {HexEncode(fresh)}));
    MEZZO_TRY(const storage::SqlRows rows, session.Run("SELECT secret FROM cache_secret WHERE one = 1", {}));
    if (rows.empty()) return Internal("cache_secret", "the table cache_secret has lost its row");
    secret = rows.Text(0, 0);
    return {};
  };
  MEZZO_TRY_VOID(db.Transact(work, deadline));
  return secret;
}

}  // namespace mezzo::cache
