#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/result.h"
#include "mezzo/drivers/postgres/internal/pg_canceller.h"
#include "mezzo/drivers/postgres/internal/pg_handles.h"
#include "mezzo/drivers/postgres/internal/pg_target.h"
#include "mezzo/storage/lru_map.h"
#include "mezzo/storage/sql_db.h"

namespace mezzo::drivers::internal {

/// What all connections of a database share. Outlives them.
struct PgShared {
  PgTarget target;
  std::size_t max_statements = 256;
  Duration connect_timeout = std::chrono::seconds(5);
  Duration cancel_grace = std::chrono::seconds(1);
  const Clock& clock;
  PgCanceller canceller{};
  std::atomic<std::uint64_t> connects{0};  // Counters for metrics; no partners.
  std::atomic<std::uint64_t> round_trips{0};
};

/// A command of an exchange. `sql` and `params` live until it ends.
struct PgCommand {
  std::string_view sql;
  std::span<const storage::SqlValue> params;
  bool alone = false;  ///< A transaction of its own: it stays when what follows fails.
};

/// What came of an exchange: the rows of the commands before the first that failed, and its error.
struct PgReply {
  std::vector<storage::SqlRows> rows;
  std::optional<Error> error;
  bool lost = false;  ///< The server did not say how it ended: what was sent may still have been done.
  bool read_only =
      false;  ///< The server does not write: the transaction only reads, or the server is a standby.
};

struct PgNotification {
  std::string channel;
  std::string payload;
};

/// One connection with its prepared statements. Waits with poll(2), until a deadline. Used by one thread at a
/// time.
///
/// When a deadline passes, the server is asked to cancel, and gets `cancel_grace` to say how the command
/// ended; after that the connection is lost.
class PgConnection {
 public:
  /// Fails with kUnavailable "sql_unavailable", kFailedPrecondition "sql_refused" or kDeadlineExceeded
  /// "sql_timeout". Resolving a host name blocks in the system's resolver.
  static Result<std::unique_ptr<PgConnection>> Connect(PgShared& shared, TimePoint deadline);
  ~PgConnection();
  PgConnection(const PgConnection&) = delete;
  PgConnection& operator=(const PgConnection&) = delete;

  /// The commands in order, in one round trip (pipeline mode). After an error the rest is not run.
  PgReply Exchange(std::span<const PgCommand> commands, TimePoint deadline);
  /// Several statements in one text; their rows are dropped.
  PgReply RunScript(std::string_view script, TimePoint deadline);

  /// Waits for notifications until `until`, or until `wake` (a file descriptor) can be read. Empty at those
  /// ends.
  Result<std::vector<PgNotification>> AwaitNotifications(int wake, TimePoint until);

  [[nodiscard]] bool lost() const { return lost_; }
  [[nodiscard]] bool in_transaction() const { return PQtransactionStatus(conn_.get()) == PQTRANS_INTRANS; }
  /// No transaction is open, nor a failed one.
  [[nodiscard]] bool idle() const { return PQtransactionStatus(conn_.get()) == PQTRANS_IDLE; }
  /// False after the server hung up while nobody used the connection, or when a cancel request is still on
  /// its way.
  [[nodiscard]] bool IsReusable();
  /// The connection is of no more use: its server changed its role, say.
  void GiveUp() { lost_ = true; }

  [[nodiscard]] TimePoint connected_at() const { return connected_at_; }
  /// The limits that the session's server-side settings have now; see PgSession.
  [[nodiscard]] Duration limit() const { return limit_; }
  void set_limit(Duration limit) { limit_ = limit; }

 private:
  /// A prepared statement. `types` has 0 where only NULLs were given so far.
  struct Prepared {
    std::string name;
    std::vector<Oid> types;
  };
  enum class Kind : std::uint8_t { kPrepare, kDeallocate, kCommand, kSync };
  /// What the next result in a pipeline belongs to.
  struct Step {
    Kind kind = Kind::kCommand;
    std::string_view sql;
    std::string name;  ///< Of the statement that is prepared or deallocated.
  };

  PgConnection(PgShared& shared, PgConn conn);
  /// False at `until`.
  Result<bool> FinishConnecting(TimePoint until);
  [[nodiscard]] Error ConnectError() const;

  // Each returns false when libpq refuses: the connection is lost.
  [[nodiscard]] bool Queue(const PgCommand& command, std::vector<Step>& steps);
  [[nodiscard]] bool QueuePrepare(std::string_view sql, std::vector<Oid> types, std::vector<Step>& steps);
  [[nodiscard]] bool QueueDeallocations(std::vector<Step>& steps);
  [[nodiscard]] bool QueueSync(std::vector<Step>& steps);
  void Receive(std::span<const Step> steps, TimePoint deadline, PgReply& reply);
  void Settle(const Step& step, const PGresult* result, PgReply& reply);
  void SettleFailure(const Step& step, const PGresult* result, PgReply& reply);
  void ForgetPrepare(const Step& step);
  void Begin();

  /// The next result; null at the end of a command or when the connection is lost.
  PgResult NextResult(TimePoint deadline);
  /// Sends and receives what can be; false when the connection is lost.
  bool Progress(TimePoint deadline);
  [[nodiscard]] Error LostError(std::string_view sql);
  void Lose(std::string_view sql, PgReply& reply);

  PgShared& shared_;
  const PgConn conn_;
  const TimePoint connected_at_;
  bool lost_ = false;
  bool timed_out_ = false;          ///< In the exchange that runs, or that lost the connection.
  TimePoint grace_until_ = kNever;  ///< For the end of a cancelled command.
  PgCanceller::Done cancel_;        ///< Of the last cancel request, if any.
  Duration limit_{};
  std::uint64_t names_ = 0;
  storage::LruMap<Prepared> prepared_;
  std::vector<std::string> unwanted_;  ///< Names of statements to deallocate.
  std::vector<std::string> unmade_;    ///< Names whose preparation failed in the exchange that runs.
};

}  // namespace mezzo::drivers::internal
