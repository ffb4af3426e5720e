#pragma once

#include <string>
#include <string_view>

#include <libpq-fe.h>

#include "mezzo/base/result.h"

namespace mezzo::drivers::internal {

/// The Error for an SQLSTATE (PostgreSQL 15, appendix A), as storage::SqlSession tells them apart; for
/// connecting also kFailedPrecondition "sql_refused" (credentials, no such database).
Error PgStateError(std::string_view state, std::string message);

/// The Error of a failed result, with the server's message, the constraint's name if any, and `sql`, whose
/// text holds no values. A result without an SQLSTATE comes from libpq: the connection is lost.
Error PgResultError(const PGresult* result, std::string_view sql);

/// "" when the failure does not come from the server.
std::string_view PgState(const PGresult* result);

/// A plan or prepared statement that the server no longer has as this client knows it.
bool IsStalePlan(const PGresult* result);

}  // namespace mezzo::drivers::internal
