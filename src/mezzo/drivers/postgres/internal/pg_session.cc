#include "mezzo/drivers/postgres/internal/pg_session.h"

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <iterator>
#include <utility>

#include "mezzo/base/strings.h"
#include "mezzo/storage/sql_checks.h"

namespace mezzo::drivers::internal {
namespace {

using storage::SqlNotification;
using storage::SqlRows;
using storage::SqlStatement;
using storage::SqlValue;

// bytea_output and extra_float_digits make results mean what PgRows() reads, whatever the role's defaults
// are. Without jit: our statements are short, and compiling one on a wrong estimate takes longer than all of
// them.
constexpr std::string_view kSetLimits =
    "SELECT set_config('statement_timeout', $1, false), "
    "set_config('idle_in_transaction_session_timeout', $1, false), "
    "set_config('bytea_output', 'hex', false), set_config('extra_float_digits', '1', false), "
    "set_config('jit', 'off', false)";
constexpr std::string_view kBeginWrite = "BEGIN ISOLATION LEVEL READ COMMITTED";
constexpr std::string_view kBeginRead = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
constexpr std::string_view kNotify = "SELECT pg_notify($1, $2)";
constexpr std::string_view kCommit = "COMMIT";

Duration ServerLimit(Duration left) {
  const auto seconds =
      std::chrono::ceil<std::chrono::seconds>(std::max<Duration>(left, std::chrono::seconds(1)));
  return std::chrono::seconds(std::bit_ceil(static_cast<std::uint64_t>(seconds.count())));
}

/// Statements are one, and leave BEGIN and COMMIT to the driver.
Result<void> CheckStatement(std::string_view sql) {
  constexpr std::array<std::string_view, 9> kControl = {"begin", "start",     "commit",  "end",    "rollback",
                                                        "abort", "savepoint", "release", "prepare"};
  const std::size_t from = std::min(sql.find_first_not_of(" \t\r\n;"), sql.size());
  const std::size_t to = std::min(sql.find_first_of(" \t\r\n;", from), sql.size());
  const std::string word = ToLower(sql.substr(from, to - from));
  if (word.empty()) return Internal("sql_failed", "PostgreSQL: an empty statement");
  if (std::ranges::find(kControl, word) != kControl.end()) {
    return Internal("sql_failed",
                    "PostgreSQL: '" + Printable(sql) + "' is not for the work of a transaction");
  }
  return {};
}

}  // namespace

Result<SqlRows> PgSession::Run(std::string_view sql, std::vector<SqlValue> params) {
  const SqlStatement statement{.sql = sql, .params = std::move(params)};
  MEZZO_TRY(std::vector<SqlRows> all, RunAll({&statement, 1}));
  return std::move(all.front());
}

Result<std::vector<SqlRows>> PgSession::RunAll(std::span<const SqlStatement> statements) {
  if (statements.empty()) return std::vector<SqlRows>();
  return failure_.Note(RunChecked(statements, false));
}

Result<std::vector<SqlRows>> PgSession::RunAllAndCommit(std::span<const SqlStatement> statements) {
  return failure_.Note(RunChecked(statements, true));
}

Result<void> PgSession::Commit() {
  if (!begun_ && notifications_.empty()) return {};
  MEZZO_TRY_VOID(failure_.Note(RunChecked({}, true)));
  return {};
}

Result<std::vector<SqlRows>> PgSession::RunChecked(std::span<const SqlStatement> statements, bool commit) {
  MEZZO_TRY_VOID(failure_.Check());
  std::vector<PgCommand> commands = Opening();
  const auto opening = static_cast<std::ptrdiff_t>(commands.size());
  for (const SqlStatement& statement : statements) {
    MEZZO_TRY_VOID(CheckStatement(statement.sql));
    MEZZO_TRY_VOID(storage::CheckSqlParams(statement.params));
    commands.push_back({.sql = statement.sql, .params = statement.params});
  }
  if (commit) {
    for (const auto& params : notifications_) commands.push_back({.sql = kNotify, .params = params});
    commands.push_back({.sql = kCommit, .params = {}});
  }
  MEZZO_TRY(std::vector<SqlRows> rows, Exchange(commands, commit));
  if (!commit) MEZZO_TRY_VOID(CheckStillOpen(commands.back().sql));
  const auto first = rows.begin() + opening;
  const auto last = first + static_cast<std::ptrdiff_t>(statements.size());
  return std::vector<SqlRows>(std::make_move_iterator(first), std::make_move_iterator(last));
}

std::vector<PgCommand> PgSession::Opening() {
  if (begun_) return {};
  std::vector<PgCommand> commands;
  new_limit_ = ServerLimit(deadline_ - shared_.clock.Now());
  if (new_limit_ != connection_.limit()) {
    const auto millis = std::chrono::duration_cast<std::chrono::milliseconds>(new_limit_).count();
    limit_params_ = {std::to_string(millis)};
    commands.push_back({.sql = kSetLimits, .params = limit_params_, .alone = true});
  }
  commands.push_back({.sql = access_ == Access::kWrite ? kBeginWrite : kBeginRead, .params = {}});
  return commands;
}

Result<std::vector<SqlRows>> PgSession::Exchange(std::span<const PgCommand> commands, bool commit) {
  PgReply reply = connection_.Exchange(commands, deadline_);
  if (!begun_ && commands.front().sql == kSetLimits && !reply.rows.empty()) connection_.set_limit(new_limit_);
  begun_ = true;
  if (!reply.error) return std::move(reply.rows);
  return Judge(reply, commit, commit && reply.rows.size() + 1 == commands.size());
}

Error PgSession::Judge(const PgReply& reply, bool commit_sent, bool in_commit) {
  const Error& error = *reply.error;
  const bool unavailable = error.reason() == "sql_unavailable";
  if (commit_sent && (reply.lost || (in_commit && unavailable))) {
    return Unavailable("sql_commit_unknown",
                       "the transaction may or may not be committed: " + error.message());
  }
  if (reply.read_only && access_ == Access::kRead) return Internal("sql_failed", error.message());
  if (reply.read_only) connection_.GiveUp();  // A standby. Another connection may find the primary.
  may_try_again_ = error.reason() == "sql_conflict" || (unavailable && connection_.lost());
  return error;
}

Result<void> PgSession::CheckStillOpen(std::string_view sql) const {
  if (connection_.in_transaction()) return {};
  return Internal("sql_failed", "PostgreSQL: '" + Printable(sql) + "' ended the transaction");
}

Result<void> PgSession::RunScript(std::string_view script) { return failure_.Note(RunScriptChecked(script)); }

Result<void> PgSession::RunScriptChecked(std::string_view script) {
  MEZZO_TRY_VOID(failure_.Check());
  if (!begun_) MEZZO_TRY_VOID(RunChecked({}, false));
  if (const PgReply reply = connection_.RunScript(script, deadline_); reply.error) {
    return Judge(reply, false, false);
  }
  return CheckStillOpen(script);
}

Result<void> PgSession::Notify(SqlNotification notification) {
  return failure_.Note(AddNotification(notification));
}

Result<void> PgSession::AddNotification(const SqlNotification& notification) {
  MEZZO_TRY_VOID(failure_.Check());
  if (access_ == Access::kRead) {
    return Internal("sql_failed",
                    "a transaction that reads can't notify '" + Printable(notification.channel) + "'");
  }
  MEZZO_TRY_VOID(storage::CheckSqlNotification(notification));
  notifications_.push_back({std::string(notification.channel), std::string(notification.payload)});
  return {};
}

void PgSession::RollBack() {
  if (connection_.lost() || connection_.idle()) return;
  const TimePoint until = AddSaturating(shared_.clock.Now(), shared_.cancel_grace);
  if (connection_.RunScript("ROLLBACK", until).error || !connection_.idle()) connection_.GiveUp();
}

}  // namespace mezzo::drivers::internal
