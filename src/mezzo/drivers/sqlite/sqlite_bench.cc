// Question: how many small durable transactions per second do many threads reach together, by number of
// threads and by what an fsync costs, against one commit for each? Budget: 5,000/s from 64 threads although
// an fsync takes 5 ms.

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "mezzo/base/check.h"
#include "mezzo/drivers/sqlite/sqlite_db.h"
#include "mezzo/drivers/sqlite/testing/fault_vfs.h"
#include "mezzo/storage/testing/temp_dir.h"

namespace mezzo::drivers {
namespace {

using storage::SqlDb;
using storage::SqlRows;
using storage::SqlSession;

/// A database with one table, on this machine's disk made slower by `sync_delay`.
struct Bench {
  Bench(Duration sync_delay, std::size_t max_group) {
    vfs.SlowSyncs(sync_delay);
    auto opened = SqliteDb::Open(
        {.path = folder.path() + "/bench.db", .max_group = max_group, .vfs = vfs.name()}, clock);
    MEZZO_CHECK(opened.ok());
    db = *std::move(opened);
    const auto made = db->Transact(
        [](SqlSession& session) {
          return session.RunScript(
              "CREATE TABLE job (id BIGINT PRIMARY KEY, state TEXT NOT NULL, body TEXT NOT NULL);"
              "CREATE INDEX job_state ON job (state, id);");
        },
        clock.Now() + std::chrono::seconds(30));
    MEZZO_CHECK(made.ok());
  }
  void Insert(std::int64_t id) {
    const auto inserted = db->Transact(
        [&](SqlSession& session) -> Result<void> {
          MEZZO_TRY_VOID(session.Run("INSERT INTO job (id, state, body) VALUES ($1, $2, $3)",
                                     {id, std::string("queued"), std::string(200, 'x')}));
          return {};
        },
        clock.Now() + std::chrono::seconds(30));
    MEZZO_CHECK(inserted.ok());
  }

  const storage::testing::TempDir folder;
  const RealClock clock;
  testing::FaultVfs vfs;
  std::unique_ptr<SqliteDb> db;
  std::atomic<std::int64_t> next{0};  // Hands out ids to the threads; no partner.
};

std::unique_ptr<Bench> g_bench;  // Of the benchmark that runs: made before its threads start.

template <int kSyncMillis, std::size_t kMaxGroup>
void BM_Transact(benchmark::State& state) {
  for (auto _ : state) g_bench->Insert(g_bench->next++);
  state.SetItemsProcessed(state.iterations());
  if (state.thread_index() == 0) {
    state.counters["per_commit"] =
        static_cast<double>(g_bench->next) / static_cast<double>(g_bench->db->commits());
  }
}
template <int kSyncMillis, std::size_t kMaxGroup>
void MakeBench(const benchmark::State&) {
  g_bench = std::make_unique<Bench>(std::chrono::milliseconds(kSyncMillis), kMaxGroup);
}
void DropBench(const benchmark::State&) { g_bench.reset(); }

BENCHMARK(BM_Transact<0, 256>)
    ->Setup(MakeBench<0, 256>)
    ->Teardown(DropBench)
    ->UseRealTime()
    ->Threads(1)
    ->Threads(16)
    ->Threads(64)
    ->Threads(256);
BENCHMARK(BM_Transact<0, 1>)
    ->Setup(MakeBench<0, 1>)
    ->Teardown(DropBench)
    ->UseRealTime()
    ->Threads(1)
    ->Threads(64);
BENCHMARK(BM_Transact<5, 256>)
    ->Setup(MakeBench<5, 256>)
    ->Teardown(DropBench)
    ->UseRealTime()
    ->Threads(1)
    ->Threads(16)
    ->Threads(64)
    ->Threads(256);
BENCHMARK(BM_Transact<5, 1>)->Setup(MakeBench<5, 1>)->Teardown(DropBench)->UseRealTime()->Threads(64);

void BM_ReadOneRow(benchmark::State& state) {
  Bench bench(Duration::zero(), 256);
  for (std::int64_t id = 0; id < 1000; ++id) bench.Insert(id);
  std::int64_t id = 0;
  const SqlDb::Work work = [&](SqlSession& session) -> Result<void> {
    MEZZO_TRY(const SqlRows rows, session.Run("SELECT state, body FROM job WHERE id = $1", {id}));
    benchmark::DoNotOptimize(rows.size());
    return {};
  };
  for (auto _ : state) {
    id = (id + 7) % 1000;
    MEZZO_CHECK(bench.db->Read(work, kNever).ok());
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_ReadOneRow);

}  // namespace
}  // namespace mezzo::drivers
