#include "mezzo/drivers/sqlite/sqlite_db.h"

#include <sys/stat.h>

#include <fstream>
#include <memory>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/storage/testing/sql_db_suite.h"
#include "mezzo/storage/testing/temp_dir.h"

namespace mezzo::storage::testing {

class SqliteHarness {
 public:
  SqliteHarness() : db_(OpenAnother()) {}
  SqlDb& db() { return *db_; }
  std::unique_ptr<SqlDb> OpenAnother() {
    auto opened = drivers::SqliteDb::Open({.path = folder_.path() + "/test.db"}, clock_);
    EXPECT_TRUE(opened.ok()) << opened.error().ToString();
    return *std::move(opened);
  }

 private:
  const TempDir folder_;
  const RealClock clock_;
  std::unique_ptr<SqlDb> db_;
};

MEZZO_SQL_DB_SUITE(Sqlite, SqliteHarness);

}  // namespace mezzo::storage::testing

namespace mezzo::drivers {
namespace {

using storage::SqlRows;
using storage::SqlSession;
using storage::testing::Reason;
using storage::testing::TempDir;

class SqliteDbTest : public ::testing::Test {
 protected:
  [[nodiscard]] std::string Path(const std::string& name = "test.db") const {
    return folder_.path() + "/" + name;
  }
  [[nodiscard]] TimePoint Soon() const { return clock_.Now() + std::chrono::seconds(30); }
  std::unique_ptr<SqliteDb> MustOpen() {
    auto opened = SqliteDb::Open({.path = Path()}, clock_);
    EXPECT_TRUE(opened.ok()) << opened.error().ToString();
    return *std::move(opened);
  }

  const TempDir folder_;
  const RealClock clock_;
};

TEST_F(SqliteDbTest, FileIsForItsOwnerOnlyAndKeepsWhatWasCommitted) {
  Result<void> committed;
  {
    const auto db = MustOpen();
    committed = db->Transact(
        [](SqlSession& session) {
          return session.RunScript("CREATE TABLE t (n BIGINT); INSERT INTO t VALUES (7);");
        },
        Soon());
  }
  ASSERT_EQ(Reason(committed), "");
  struct stat facts{};
  ASSERT_EQ(::stat(Path().c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777U, 0600U);

  const auto db = MustOpen();
  std::int64_t n = 0;
  const auto read = db->Read(
      [&](SqlSession& session) -> Result<void> {
        MEZZO_TRY(const SqlRows rows, session.Run("SELECT n FROM t", {}));
        n = rows.Int(0, 0);
        return {};
      },
      Soon());
  EXPECT_EQ(Reason(read), "");
  EXPECT_EQ(n, 7);
}

TEST_F(SqliteDbTest, RefusesWhatIsNoDatabaseOrCannotBeOpened) {
  std::ofstream(Path("text")) << std::string(5000, 'x');
  EXPECT_EQ(Reason(SqliteDb::Open({.path = Path("text")}, clock_)), "sql_unavailable");
  EXPECT_EQ(Reason(SqliteDb::Open({.path = Path("missing/test.db")}, clock_)), "sql_unavailable");
  EXPECT_EQ(Reason(SqliteDb::Open({.path = folder_.path()}, clock_)), "sql_unavailable");
}

TEST_F(SqliteDbTest, WorkCannotReachOtherFilesOrSettings) {
  const auto db = MustOpen();
  for (const std::string& sql :
       {"ATTACH '" + Path("other.db") + "' AS other", std::string("PRAGMA synchronous = OFF"),
        std::string("PRAGMA journal_mode = DELETE")}) {
    const auto refused = db->Transact(
        [&](SqlSession& session) -> Result<void> {
          MEZZO_TRY_VOID(session.Run(sql, {}));
          return {};
        },
        Soon());
    EXPECT_EQ(Reason(refused), "sql_failed") << sql;
  }
}

}  // namespace
}  // namespace mezzo::drivers
