#include "mezzo/app/data_store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "mezzo/cache/epoch_store.h"
#include "mezzo/cache/shared_secret.h"
#include "mezzo/drivers/postgres/postgres_db.h"
#include "mezzo/drivers/sqlite/sqlite_db.h"
#include "mezzo/jobs/schema.h"
#include "mezzo/lifecycle/drift_store.h"
#include "mezzo/lifecycle/pipeline_store.h"
#include "mezzo/lifecycle/registry_schema.h"
#include "mezzo/lifecycle/tracking_schema.h"
#include "mezzo/lifecycle/version_test_store.h"
#include "mezzo/releases/release_store.h"
#include "mezzo/releases/route_store.h"
#include "mezzo/storage/metered_sql_db.h"
#include "mezzo/storage/migrations.h"
#include "mezzo/tenancy/identity_schema.h"
#include "mezzo/tenancy/ledger/usage_schema.h"

namespace mezzo::app {
namespace {

constexpr Duration kOpenTime = std::chrono::minutes(10);

Error CannotOpen(const std::string& folder, int number) {
  return Unavailable("data_dir", "data_dir '" + folder + "' can't be used: " + std::strerror(number));
}

Result<int> Lock(const std::string& folder) {
  std::error_code failed;
  std::filesystem::create_directories(std::filesystem::path(folder).parent_path(), failed);
  if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) return CannotOpen(folder, errno);
  const std::string file = folder + "/lock";
  const int lock = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (lock < 0) return CannotOpen(folder, errno);
  if (::flock(lock, LOCK_EX | LOCK_NB) == 0) return lock;
  const int number = errno;
  ::close(lock);
  if (number != EWOULDBLOCK) return CannotOpen(folder, number);
  return FailedPrecondition("data_dir_in_use",
                            "data_dir '" + folder +
                                "' is used by another server: give this one its own, or set "
                                "jobs.enabled to false");
}

}  // namespace

Result<std::unique_ptr<DataStore>> DataStore::Open(const std::string& folder,
                                                   const DatabaseConfig& database) {
  MEZZO_TRY(const int lock, Lock(folder));
  std::unique_ptr<DataStore> store(new DataStore(lock));
  if (database.url.Reveal().empty()) {
    MEZZO_TRY(store->db_, drivers::SqliteDb::Open({.path = folder + "/mezzo.db"}, store->real_));
  } else {
    MEZZO_TRY(store->db_, drivers::PostgresDb::Open(
                              {.connection = database.url.Reveal(), .max_connections = database.connections},
                              store->real_));
  }
  const TimePoint deadline = store->real_.Now() + kOpenTime;
  MEZZO_TRY_VOID(storage::Migrate(*store->db_, "jobs", jobs::Migrations(), deadline, store->real_));
  MEZZO_TRY_VOID(
      storage::Migrate(*store->db_, "tenancy", tenancy::IdentityMigrations(), deadline, store->real_));
  MEZZO_TRY_VOID(storage::Migrate(*store->db_, "cache", cache::EpochMigrations(), deadline, store->real_));
  MEZZO_TRY_VOID(
      storage::Migrate(*store->db_, "cache_shared", cache::SharedSecretMigrations(), deadline, store->real_));
  MEZZO_TRY_VOID(
      storage::Migrate(*store->db_, "routes", releases::RouteMigrations(), deadline, store->real_));
  MEZZO_TRY_VOID(
      storage::Migrate(*store->db_, "releases_life", releases::ReleaseMigrations(), deadline, store->real_));
  MEZZO_TRY_VOID(storage::Migrate(*store->db_, "usage", tenancy::UsageMigrations(), deadline, store->real_));
  MEZZO_TRY_VOID(
      storage::Migrate(*store->db_, "registry", lifecycle::RegistryMigrations(), deadline, store->real_));
  MEZZO_TRY_VOID(
      storage::Migrate(*store->db_, "tracking", lifecycle::TrackingMigrations(), deadline, store->real_));
  MEZZO_TRY_VOID(
      storage::Migrate(*store->db_, "retirement", lifecycle::RetirementMigrations(), deadline, store->real_));
  MEZZO_TRY_VOID(storage::Migrate(*store->db_, "version_tests", lifecycle::VersionTestMigrations(), deadline,
                                  store->real_));
  MEZZO_TRY_VOID(
      storage::Migrate(*store->db_, "drift", lifecycle::DriftMigrations(), deadline, store->real_));
  MEZZO_TRY_VOID(
      storage::Migrate(*store->db_, "pipelines", lifecycle::PipelineMigrations(), deadline, store->real_));
  MEZZO_TRY_VOID(store->clock_.Synchronise(*store->db_, deadline));
  return store;
}

void DataStore::Meter(observe::Registry& registry) {
  metered_ = std::make_unique<storage::MeteredSqlDb>(*db_, registry, real_);
}

DataStore::~DataStore() {
  metered_.reset();
  db_.reset();
  ::close(lock_);
}

}  // namespace mezzo::app
