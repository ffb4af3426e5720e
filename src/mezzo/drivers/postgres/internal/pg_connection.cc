#include "mezzo/drivers/postgres/internal/pg_connection.h"

#include <poll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <utility>

#include "mezzo/base/strings.h"
#include "mezzo/drivers/postgres/internal/pg_error.h"
#include "mezzo/drivers/postgres/internal/pg_values.h"

namespace mezzo::drivers::internal {
namespace {

using std::chrono::milliseconds;

/// poll(2) until `until`; false when nothing happened until then.
bool Poll(std::span<pollfd> files, TimePoint until, const Clock& clock) {
  constexpr Duration kLongest = std::chrono::hours(1);
  while (true) {
    const Duration left = std::clamp<Duration>(until - clock.Now(), Duration::zero(), kLongest);
    const auto millis = static_cast<int>(std::chrono::ceil<milliseconds>(left).count());
    const int ready = ::poll(files.data(), files.size(), millis);
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) return true;  // What is wrong with the descriptor shows when it is used.
    if (clock.Now() >= until) return false;
  }
}

bool Poll(int file, short events, TimePoint until, const Clock& clock) {
  pollfd one{.fd = file, .events = events, .revents = 0};
  return Poll({&one, 1}, until, clock);
}

/// The "28P01" of "FATAL:  28P01: password authentication failed", as verbose messages begin.
std::string StateIn(std::string_view message) {
  constexpr std::size_t kStateSize = 5;
  const auto part = [](char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z'); };
  for (std::size_t at = message.find(":  "); at != std::string_view::npos; at = message.find(":  ", at + 1)) {
    const std::string_view state = message.substr(at + 3, kStateSize);
    const bool closed = message.substr(std::min(message.size(), at + 3 + kStateSize)).starts_with(": ");
    if (closed && std::all_of(state.begin(), state.end(), part)) return std::string(state);
  }
  return "";
}

}  // namespace

PgConnection::PgConnection(PgShared& shared, PgConn conn)
    : shared_(shared),
      conn_(std::move(conn)),
      connected_at_(shared.clock.Now()),
      prepared_(shared.max_statements) {}

PgConnection::~PgConnection() = default;

Result<std::unique_ptr<PgConnection>> PgConnection::Connect(PgShared& shared, TimePoint deadline) {
  const Clock& clock = shared.clock;
  const TimePoint until = std::min(deadline, AddSaturating(clock.Now(), shared.connect_timeout));
  const std::vector<const char*> keywords = shared.target.keywords();
  const std::vector<const char*> values = shared.target.values();
  std::unique_ptr<PgConnection> connection(
      new PgConnection(shared, PgConn(PQconnectStartParams(keywords.data(), values.data(), 0))));
  MEZZO_TRY(const bool in_time, connection->FinishConnecting(until));
  if (!in_time) {
    const double seconds = Seconds(clock.Now() - connection->connected_at_);
    std::string message = "PostgreSQL: no connection within " + std::to_string(seconds) + " s";
    if (until == deadline) return DeadlineExceeded("sql_timeout", std::move(message));
    return Unavailable("sql_unavailable", std::move(message));
  }
  shared.connects.fetch_add(1, std::memory_order_relaxed);
  return connection;
}

Result<bool> PgConnection::FinishConnecting(TimePoint until) {
  PGconn* conn = conn_.get();
  if (PQstatus(conn) == CONNECTION_BAD) return ConnectError();
  PQsetErrorVerbosity(conn, PQERRORS_VERBOSE);  // Only so do messages about connecting tell the SQLSTATE.
  PQsetNoticeReceiver(conn, [](void*, const PGresult*) {}, nullptr);  // libpq would print them.
  for (PostgresPollingStatusType state = PGRES_POLLING_WRITING; state != PGRES_POLLING_OK;
       state = PQconnectPoll(conn)) {
    if (state == PGRES_POLLING_FAILED) return ConnectError();
    const short events = state == PGRES_POLLING_READING ? POLLIN : POLLOUT;
    if (!Poll(PQsocket(conn), events, until, shared_.clock)) return false;
  }
  PQsetErrorVerbosity(conn, PQERRORS_DEFAULT);
  if (PQsetnonblocking(conn, 1) != 0) return ConnectError();
  return true;
}

Error PgConnection::ConnectError() const {
  const std::string_view text = PQerrorMessage(conn_.get());
  const std::string message = Printable(Trim(text.substr(0, text.find('\n'))), 400);
  return PgStateError(StateIn(text), shared_.target.Redact("PostgreSQL: " + message));
}

void PgConnection::Begin() {
  timed_out_ = false;
  grace_until_ = kNever;
  unmade_.clear();
  shared_.round_trips.fetch_add(1, std::memory_order_relaxed);
}

PgReply PgConnection::Exchange(std::span<const PgCommand> commands, TimePoint deadline) {
  PgReply reply;
  const std::string_view first = commands.empty() ? std::string_view() : commands.front().sql;
  if (!lost_ && shared_.clock.Now() >= deadline) {
    reply.error = DeadlineExceeded("sql_timeout",
                                   "PostgreSQL: the deadline had passed before '" + Printable(first) + "'");
    return reply;
  }
  if (lost_ || PQenterPipelineMode(conn_.get()) != 1) {
    reply.error = LostError(first);
    return reply;
  }
  Begin();
  std::vector<Step> steps;
  bool queued = true;
  for (const PgCommand& command : commands) queued = queued && Queue(command, steps);
  if (!queued || !QueueSync(steps)) {
    Lose(first, reply);
    return reply;
  }
  reply.rows.reserve(commands.size());
  Receive(steps, deadline, reply);
  if (lost_ && reply.rows.size() < commands.size()) Lose(commands[reply.rows.size()].sql, reply);
  if (!lost_ && PQexitPipelineMode(conn_.get()) != 1) lost_ = true;
  return reply;
}

bool PgConnection::Queue(const PgCommand& command, std::vector<Step>& steps) {
  const PgParams params(command.params);
  if (!QueuePrepare(command.sql, params.types(), steps)) return false;
  const Prepared* prepared = prepared_.Find(command.sql);
  const std::string name = prepared->name;
  constexpr int kTextResults = 0;
  if (PQsendQueryPrepared(conn_.get(), name.c_str(), params.count(), params.values(), params.lengths(),
                          params.formats(), kTextResults) != 1) {
    return false;
  }
  steps.push_back({.kind = Kind::kCommand, .sql = command.sql, .name = {}});
  return !command.alone || QueueSync(steps);
}

bool PgConnection::QueuePrepare(std::string_view sql, std::vector<Oid> types, std::vector<Step>& steps) {
  if (const Prepared* known = prepared_.Find(sql)) {
    // What was NULL so far may get a type, and a NULL is of any type.
    bool fits = known->types.size() == types.size();
    for (std::size_t i = 0; i < types.size() && i < known->types.size(); ++i) {
      if (types[i] == 0) types[i] = known->types[i];
      fits = fits && types[i] == known->types[i];
    }
    if (fits) return true;
    unwanted_.push_back(known->name);
    prepared_.Erase(sql);
  }
  if (const auto oldest = prepared_.MakeRoom()) unwanted_.push_back(oldest->name);
  if (!QueueDeallocations(steps)) return false;
  std::string name = "s" + std::to_string(++names_);
  const int count = static_cast<int>(types.size());
  if (PQsendPrepare(conn_.get(), name.c_str(), std::string(sql).c_str(), count, types.data()) != 1)
    return false;
  steps.push_back({.kind = Kind::kPrepare, .sql = sql, .name = name});
  prepared_.Insert(sql, {.name = std::move(name), .types = std::move(types)});
  return true;
}

bool PgConnection::QueueDeallocations(std::vector<Step>& steps) {
  for (std::string& name : std::exchange(unwanted_, {})) {
    const std::string sql = "DEALLOCATE " + name;
    if (PQsendQueryParams(conn_.get(), sql.c_str(), 0, nullptr, nullptr, nullptr, nullptr, 0) != 1)
      return false;
    steps.push_back({.kind = Kind::kDeallocate, .sql = "DEALLOCATE", .name = std::move(name)});
  }
  return true;
}

bool PgConnection::QueueSync(std::vector<Step>& steps) {
  steps.push_back({.kind = Kind::kSync, .sql = {}, .name = {}});
  return PQpipelineSync(conn_.get()) == 1;
}

void PgConnection::Receive(std::span<const Step> steps, TimePoint deadline, PgReply& reply) {
  for (const Step& step : steps) {
    const PgResult result = NextResult(deadline);
    if (result == nullptr) lost_ = true;
    if (lost_) return;
    Settle(step, result.get(), reply);
    if (step.kind == Kind::kSync) continue;
    while (NextResult(deadline) != nullptr) {
    }
    if (lost_) return;
  }
}

void PgConnection::Settle(const Step& step, const PGresult* result, PgReply& reply) {
  switch (PQresultStatus(result)) {
    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:
      if (step.kind == Kind::kCommand && !reply.error) reply.rows.push_back(PgRows(result));
      break;
    case PGRES_PIPELINE_SYNC:
      break;
    case PGRES_PIPELINE_ABORTED:
      if (step.kind == Kind::kPrepare) ForgetPrepare(step);
      if (step.kind == Kind::kDeallocate && std::ranges::find(unmade_, step.name) == unmade_.end()) {
        unwanted_.push_back(step.name);
      }
      break;
    default:
      SettleFailure(step, result, reply);
      break;
  }
}

void PgConnection::SettleFailure(const Step& step, const PGresult* result, PgReply& reply) {
  if (step.kind == Kind::kPrepare) ForgetPrepare(step);
  if (PgState(result).empty()) {
    Lose(step.sql, reply);  // It is libpq who says so, or the server wants a conversation such as COPY.
    return;
  }
  Error error = PgResultError(result, step.sql);
  reply.read_only = reply.read_only || PgState(result) == "25006";
  if (IsStalePlan(result)) {
    // A change of the schema, or whatever dropped the session's statements: the next try prepares anew.
    prepared_.Clear();
    error = Error(Code::kAborted, "sql_conflict", error.message());
  }
  if (!reply.error) reply.error = std::move(error);
}

void PgConnection::ForgetPrepare(const Step& step) {
  unmade_.push_back(step.name);
  const Prepared* prepared = prepared_.Find(step.sql);
  if (prepared != nullptr && prepared->name == step.name) prepared_.Erase(step.sql);
}

PgReply PgConnection::RunScript(std::string_view script, TimePoint deadline) {
  PgReply reply;
  if (lost_ || PQsendQuery(conn_.get(), std::string(script).c_str()) != 1) {
    Lose(script, reply);
    return reply;
  }
  Begin();
  const Step step{.kind = Kind::kCommand, .sql = script, .name = {}};
  while (const PgResult result = NextResult(deadline)) {
    const ExecStatusType status = PQresultStatus(result.get());
    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_EMPTY_QUERY) continue;
    SettleFailure(step, result.get(), reply);
    if (lost_) break;
  }
  if (lost_) Lose(script, reply);
  return reply;
}

PgResult PgConnection::NextResult(TimePoint deadline) {
  while (PQisBusy(conn_.get()) != 0) {
    if (!Progress(deadline)) return nullptr;
  }
  return PgResult(PQgetResult(conn_.get()));
}

bool PgConnection::Progress(TimePoint deadline) {
  const int unsent = PQflush(conn_.get());
  if (unsent < 0) {
    lost_ = true;
    return false;
  }
  const short events = unsent == 0 ? POLLIN : POLLIN | POLLOUT;
  const TimePoint until = timed_out_ ? grace_until_ : deadline;
  if (Poll(PQsocket(conn_.get()), events, until, shared_.clock)) {
    if (PQconsumeInput(conn_.get()) == 1) return true;
    lost_ = true;
    return false;
  }
  if (timed_out_) {
    lost_ = true;
    return false;
  }
  timed_out_ = true;
  grace_until_ = AddSaturating(shared_.clock.Now(), shared_.cancel_grace);
  cancel_ = shared_.canceller.Cancel(conn_.get());
  return true;
}

void PgConnection::Lose(std::string_view sql, PgReply& reply) {
  lost_ = true;
  if (reply.error) return;  // The server said why before it hung up.
  reply.error = LostError(sql);
  reply.lost = true;
}

Error PgConnection::LostError(std::string_view sql) {
  lost_ = true;
  const std::string in = " in '" + Printable(sql, 160) + "'";
  if (timed_out_) return DeadlineExceeded("sql_timeout", "PostgreSQL: the deadline passed" + in);
  const std::string_view text = PQerrorMessage(conn_.get());
  std::string message =
      text.empty() ? "the connection was lost" : Printable(Trim(text.substr(0, text.find('\n'))), 400);
  return Unavailable("sql_unavailable", shared_.target.Redact("PostgreSQL: " + message + in));
}

Result<std::vector<PgNotification>> PgConnection::AwaitNotifications(int wake, TimePoint until) {
  std::vector<PgNotification> all;
  while (true) {
    if (PQconsumeInput(conn_.get()) != 1) return LostError("LISTEN");
    while (PGnotify* raw = PQnotifies(conn_.get())) {
      all.push_back({.channel = raw->relname, .payload = raw->extra});
      PQfreemem(raw);
    }
    if (!all.empty()) return all;
    std::array<pollfd, 2> files{pollfd{.fd = PQsocket(conn_.get()), .events = POLLIN, .revents = 0},
                                pollfd{.fd = wake, .events = POLLIN, .revents = 0}};
    if (!Poll(files, until, shared_.clock) || files[1].revents != 0) return all;
  }
}

bool PgConnection::IsReusable() {
  if (lost_ || PQtransactionStatus(conn_.get()) != PQTRANS_IDLE || (cancel_ && !*cancel_)) return false;
  cancel_.reset();
  // A server that hung up left a message, its end of the stream, or both.
  while (Poll(PQsocket(conn_.get()), POLLIN, shared_.clock.Now(), shared_.clock)) {
    if (PQconsumeInput(conn_.get()) != 1) {
      lost_ = true;
      return false;
    }
  }
  return true;
}

}  // namespace mezzo::drivers::internal
