// Question: what does a small durable transaction cost over a local socket, as a work (BEGIN with its
// statement, COMMIT apart) and as known statements (one round trip), alone and from many threads; and what
// does a pipeline save? Budget: 5,000 transactions/s from 16 threads on a local server that fsyncs, and
// sixteen statements at once in under half of the time that they take one by one.

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "mezzo/base/check.h"
#include "mezzo/drivers/postgres/postgres_db.h"
#include "mezzo/storage/testing/postgres_server.h"

namespace mezzo::drivers {
namespace {

using storage::SqlSession;
using storage::SqlStatement;

constexpr std::string_view kInsert = "INSERT INTO job (id, state, body) VALUES ($1, $2, $3)";

struct Bench {
  Bench() {
    auto opened = PostgresDb::Open({.connection = server.Url()}, clock);
    MEZZO_CHECK(opened.ok());
    db = *std::move(opened);
    const auto made = db->Transact(
        [](SqlSession& session) {
          return session.RunScript(
              "CREATE TABLE job (id BIGINT PRIMARY KEY, state TEXT NOT NULL, body TEXT NOT NULL);"
              "CREATE INDEX job_state ON job (state, id);");
        },
        Soon());
    MEZZO_CHECK(made.ok());
  }
  [[nodiscard]] TimePoint Soon() const { return clock.Now() + std::chrono::seconds(30); }
  [[nodiscard]] SqlStatement Insert() {
    return {kInsert, {next++, std::string("queued"), std::string(200, 'x')}};
  }

  storage::testing::PostgresServer server{"fsync = on"};
  const RealClock clock;
  std::unique_ptr<PostgresDb> db;
  std::atomic<std::int64_t> next{0};  // Hands out ids to the threads; no partner.
};

std::unique_ptr<Bench> g_bench;  // Of the benchmark that runs: made before its threads start.
void MakeBench(const benchmark::State&) { g_bench = std::make_unique<Bench>(); }
void DropBench(const benchmark::State&) { g_bench.reset(); }

void BM_Transact(benchmark::State& state) {
  for (auto _ : state) {
    SqlStatement insert = g_bench->Insert();
    const auto done = g_bench->db->Transact(
        [&](SqlSession& session) -> Result<void> {
          MEZZO_TRY_VOID(session.Run(insert.sql, insert.params));
          return {};
        },
        g_bench->Soon());
    MEZZO_CHECK(done.ok());
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_Transact)->Setup(MakeBench)->Teardown(DropBench)->UseRealTime()->Threads(1)->Threads(16);

void BM_TransactAll(benchmark::State& state) {
  for (auto _ : state) {
    const std::vector<SqlStatement> insert = {g_bench->Insert()};
    MEZZO_CHECK(g_bench->db->TransactAll(insert, {}, g_bench->Soon()).ok());
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_TransactAll)->Setup(MakeBench)->Teardown(DropBench)->UseRealTime()->Threads(1)->Threads(16);

/// Sixteen reads by key in one transaction: one by one, or (1) in a pipeline.
void BM_SixteenStatements(benchmark::State& state) {
  const std::vector<SqlStatement> statements(16, {"SELECT state FROM job WHERE id = $1", {1}});
  const bool pipeline = state.range(0) == 1;
  for (auto _ : state) {
    const auto done = g_bench->db->Read(
        [&](SqlSession& session) -> Result<void> {
          if (pipeline) {
            MEZZO_TRY_VOID(session.RunAll(statements));
          } else {
            for (const SqlStatement& one : statements) MEZZO_TRY_VOID(session.Run(one.sql, one.params));
          }
          return {};
        },
        g_bench->Soon());
    MEZZO_CHECK(done.ok());
  }
  state.SetItemsProcessed(state.iterations() * 16);
}
BENCHMARK(BM_SixteenStatements)->Setup(MakeBench)->Teardown(DropBench)->UseRealTime()->Arg(0)->Arg(1);

}  // namespace
}  // namespace mezzo::drivers
