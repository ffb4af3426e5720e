#pragma once

#include <memory>

#include <libpq-fe.h>

namespace mezzo::drivers::internal {

struct PgResultDeleter {
  void operator()(PGresult* result) const { PQclear(result); }
};
using PgResult = std::unique_ptr<PGresult, PgResultDeleter>;

struct PgConnDeleter {
  void operator()(PGconn* connection) const { PQfinish(connection); }
};
using PgConn = std::unique_ptr<PGconn, PgConnDeleter>;

struct PgCancelDeleter {
  void operator()(PGcancel* cancel) const { PQfreeCancel(cancel); }
};
using PgCancel = std::unique_ptr<PGcancel, PgCancelDeleter>;

}  // namespace mezzo::drivers::internal
