#pragma once

#include "mezzo/storage/testing/sql_migrations_suite.h"
#include "mezzo/storage/testing/sql_notify_suite.h"
#include "mezzo/storage/testing/sql_transactions_suite.h"
#include "mezzo/storage/testing/sql_values_suite.h"

/// What every SqlDb must do. A driver's test instantiates it, in namespace mezzo::storage::testing, with a
/// harness that every test makes anew:
///
///     struct MyHarness {
///       SqlDb& db();                             // Empty.
///       std::unique_ptr<SqlDb> OpenAnother();    // The same database, as another host would.
///     };
///     MEZZO_SQL_DB_SUITE(My, MyHarness);
#define MEZZO_SQL_DB_SUITE(prefix, harness)                             \
  INSTANTIATE_TYPED_TEST_SUITE_P(prefix, SqlValueSuite, harness);       \
  INSTANTIATE_TYPED_TEST_SUITE_P(prefix, SqlTransactionSuite, harness); \
  INSTANTIATE_TYPED_TEST_SUITE_P(prefix, SqlNotifySuite, harness);      \
  INSTANTIATE_TYPED_TEST_SUITE_P(prefix, SqlMigrationSuite, harness)
