// The time of one admission: a key is looked up, limits are asked, the work is charged. 10,000 tenants, each
// with a key of its own and four limits that it meets (requests and cost by key, concurrency by tenant,
// requests of all together). Prints {"p50_ns", "p99_ns", "mean_ns", "admissions"} of what one thread sees
// while `--threads` do the same.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <CLI/CLI.hpp>

#include "mezzo/drivers/sqlite/sqlite_db.h"
#include "mezzo/observe/log.h"
#include "mezzo/observe/metrics.h"
#include "mezzo/storage/migrations.h"
#include "mezzo/storage/testing/temp_dir.h"
#include "mezzo/tenancy/directory.h"
#include "mezzo/tenancy/ledger/ledger.h"
#include "mezzo/tenancy/ledger/usage_schema.h"
#include "mezzo/tenancy/limiter.h"

namespace {

using namespace mezzo;  // NOLINT(*-build-using-namespace): a program of one file.
using namespace mezzo::tenancy;

std::string KeyText(std::size_t number) {
  std::string text = "mzk_" + std::to_string(number);
  text.resize(48, 'k');
  return text;
}

Directory::Contents Everybody(std::size_t count) {
  Directory::Contents contents;
  for (std::size_t i = 0; i < count; ++i) {
    auto tenant = std::make_shared<Tenant>();
    tenant->id = TenantId("tenant-" + std::to_string(i));
    tenant->index = static_cast<std::uint32_t>(i);
    auto caller = std::make_shared<Caller>();
    caller->tenant = tenant;
    caller->key = KeyId("key-" + std::to_string(i));
    caller->key_index = static_cast<std::uint32_t>(i + 1);
    contents.tenants.push_back(tenant);
    contents.keys.push_back({.digest = Sha256Of(AsBytes(KeyText(i))), .caller = caller, .expires = {}});
  }
  return contents;
}

std::vector<Limit> Limits() {
  return {{.name = "all", .kind = LimitKind::kRequests, .rate = 1e9, .burst = 1e9},
          {.name = "key", .per = kPerKey, .kind = LimitKind::kRequests, .rate = 1e8, .burst = 1e8},
          {.name = "cost", .per = kPerKey | kPerModel, .kind = LimitKind::kCost, .rate = 1e8, .burst = 1e8},
          {.name = "room", .per = kPerTenant, .kind = LimitKind::kConcurrency, .amount = 1000}};
}

struct World {
  RealClock clock;
  observe::Registry registry;
  observe::Logger log{{.level = observe::LogLevel::kWarn}, clock};
  storage::testing::TempDir folder;
  std::unique_ptr<storage::SqlDb> db;
  JournalDisk disk;
  std::unique_ptr<Ledger> ledger;
  Directory directory;
  Limiter limiter{{}, clock};
  std::vector<std::string> credentials;
  std::vector<Account*> accounts;

  explicit World(std::size_t tenants) : directory(Everybody(tenants), clock) {
    const TimePoint deadline = clock.Now() + std::chrono::seconds(60);
    db = drivers::SqliteDb::Open({.path = folder.path() + "/mezzo.db"}, clock).value();
    storage::Migrate(*db, "usage", UsageMigrations(), deadline, clock).value();
    ledger = Ledger::Open({}, {.db = *db,
                               .disk = disk,
                               .folder = folder.path() + "/usage",
                               .clock = clock,
                               .registry = registry,
                               .log = log})
                 .value();
    ledger->Start();
    limiter.Replace(Limits());
    for (std::size_t i = 0; i < tenants; ++i) {
      credentials.push_back("Bearer " + KeyText(i));
      accounts.push_back(&ledger->AccountFor({.tenant = "tenant-" + std::to_string(i),
                                              .project = "",
                                              .key_id = "key-" + std::to_string(i),
                                              .model = "resnet50",
                                              .version = "1",
                                              .kind = "inference"}));
    }
  }
};

void AdmitMany(World& world, std::uint32_t seed, std::size_t count, std::vector<std::int64_t>* nanos) {
  std::mt19937 random(seed);
  std::uniform_int_distribution<std::size_t> pick(0, world.credentials.size() - 1);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t who = pick(random);
    const TimePoint started = world.clock.Now();
    const auto caller =
        Admit(world.directory, world.credentials[who], /*from_loopback=*/false, Scope::kInfer);
    if (!caller.ok()) std::abort();
    auto ticket = world.limiter.Admit({.caller = **caller, .model = "resnet50", .cost_ms = 2});
    if (!ticket.ok()) std::abort();
    ticket->Settle(1.5);
    world.accounts[who]->Add({.requests = 1, .device_ns = 1'500'000, .bytes_in = 1000, .bytes_out = 1000});
    const std::int64_t took = (world.clock.Now() - started).count();
    if (nanos != nullptr) nanos->push_back(took);
  }
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("mezzo_bench_admission");
  std::size_t tenants = 10'000;
  std::size_t count = 1'000'000;
  unsigned threads = 1;
  app.add_option("--tenants", tenants, "Tenants, each with one key")->check(CLI::Range(1, 1'000'000));
  app.add_option("--count", count, "Admissions of each thread")->check(CLI::Range(1000, 100'000'000));
  app.add_option("--threads", threads, "At the same time")->check(CLI::Range(1, 64));
  CLI11_PARSE(app, argc, argv);

  World world(tenants);
  AdmitMany(world, 99, std::min<std::size_t>(count, tenants * 4), nullptr);  // Every bucket has been made.
  std::vector<std::int64_t> nanos;
  nanos.reserve(count);
  std::vector<std::thread> others;
  for (unsigned i = 1; i < threads; ++i) {
    others.emplace_back([&world, i, count] { AdmitMany(world, i, count, nullptr); });
  }
  AdmitMany(world, 0, count, &nanos);
  for (auto& other : others) other.join();
  std::int64_t sum = 0;
  for (const std::int64_t one : nanos) sum += one;
  std::sort(nanos.begin(), nanos.end());
  std::printf("{\"p50_ns\": %lld, \"p99_ns\": %lld, \"mean_ns\": %lld, \"admissions\": %zu}\n",
              static_cast<long long>(nanos[nanos.size() / 2]),
              static_cast<long long>(nanos[nanos.size() * 99 / 100]),
              static_cast<long long>(sum / static_cast<std::int64_t>(nanos.size())), nanos.size());
  world.ledger->Stop(std::chrono::seconds(10));
  return 0;
}
