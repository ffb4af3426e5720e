#include "mezzo/drivers/postgres/internal/pg_error.h"

#include <utility>

#include "mezzo/base/strings.h"

namespace mezzo::drivers::internal {
namespace {

constexpr std::size_t kMaxShownSql = 160;

std::string_view Field(const PGresult* result, int code) {
  const char* text = PQresultErrorField(result, code);
  return text == nullptr ? std::string_view() : text;
}

bool IsUnavailable(std::string_view state) {
  // Connection, resources, the operator's doings, the system; and a server that is read-only for everyone.
  if (state == "08P01") return false;  // A statement that was given wrong parameters.
  return state.starts_with("08") || state.starts_with("53") || state.starts_with("57P") ||
         state.starts_with("58") || state == "25006";
}

}  // namespace

std::string_view PgState(const PGresult* result) { return Field(result, PG_DIAG_SQLSTATE); }

bool IsStalePlan(const PGresult* result) {
  const std::string_view state = PgState(result);
  // feature_not_supported comes with much; "cached plan must not change result type" only from this function.
  return state == "26000" ||
         (state == "0A000" && Field(result, PG_DIAG_SOURCE_FUNCTION) == "RevalidateCachedQuery");
}

Error PgStateError(std::string_view state, std::string message) {
  if (state == "23505") return AlreadyExists("sql_unique", std::move(message));
  if (state.starts_with("23")) return FailedPrecondition("sql_constraint", std::move(message));
  if (state.starts_with("40") || state == "55P03")
    return {Code::kAborted, "sql_conflict", std::move(message)};
  if (state == "57014" || state == "25P03") return DeadlineExceeded("sql_timeout", std::move(message));
  if (state == "22021" || state == "22P05") return InvalidArgument("sql_bad_value", std::move(message));
  if (state.starts_with("28") || state == "3D000")
    return FailedPrecondition("sql_refused", std::move(message));
  if (state.empty() || IsUnavailable(state)) return Unavailable("sql_unavailable", std::move(message));
  return Internal("sql_failed", std::move(message));
}

Error PgResultError(const PGresult* result, std::string_view sql) {
  const std::string_view state = PgState(result);
  std::string message = "PostgreSQL: ";
  if (state.empty()) {
    const std::string_view text = PQresultErrorMessage(result);
    message +=
        text.empty() ? "the connection was lost" : Printable(Trim(text.substr(0, text.find('\n'))), 400);
  } else {
    message += Field(result, PG_DIAG_MESSAGE_PRIMARY);
    message += " (" + std::string(state);
    if (const auto constraint = Field(result, PG_DIAG_CONSTRAINT_NAME); !constraint.empty()) {
      message += ", constraint " + std::string(constraint);
    }
    message += ")";
  }
  message += " in '" + Printable(sql, kMaxShownSql) + "'";
  return PgStateError(state, std::move(message));
}

}  // namespace mezzo::drivers::internal
