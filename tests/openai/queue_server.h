#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include <gtest/gtest.h>

#include "mezzo/api/gate.h"
#include "mezzo/api/openai/media_jobs.h"
#include "mezzo/drivers/sqlite/sqlite_db.h"
#include "mezzo/jobs/dispatcher.h"
#include "mezzo/jobs/job_metrics.h"
#include "mezzo/jobs/job_reader.h"
#include "mezzo/jobs/job_service.h"
#include "mezzo/jobs/job_store.h"
#include "mezzo/jobs/job_watch.h"
#include "mezzo/jobs/schema.h"
#include "mezzo/net/http_server.h"
#include "mezzo/net/testing/raw_client.h"
#include "mezzo/observe/log.h"
#include "mezzo/runtime/loop.h"
#include "mezzo/storage/migrations.h"
#include "mezzo/storage/testing/signed_blob_store.h"
#include "mezzo/storage/testing/temp_dir.h"
#include "mezzo/tenancy/testing/directories.h"

namespace mezzo::api::openai {

/// A queue on SQLite that runs, and a server over it that lets anybody in.
class QueueServer {
 public:
  QueueServer()
      : store_({}, *db_, clock_),
        reader_(*db_),
        watch_(*db_),
        pool_({.name = "test", .threads = 4, .max_queued = 1000}) {}
  ~QueueServer() { Stop(); }
  QueueServer(const QueueServer&) = delete;
  QueueServer& operator=(const QueueServer&) = delete;

  using Handlers = std::map<std::string, jobs::JobHandler*, std::less<>>;

  /// Before Serve(): what runs jobs, by kind.
  void Run(const Handlers& handlers) {
    service_ = std::make_unique<jobs::JobService>(
        jobs::JobService::Options{},
        jobs::JobService::Ports{
            .store = store_, .reader = reader_, .watch = watch_, .pool = pool_, .clock = clock_},
        handlers);
    dispatcher_ = std::make_unique<jobs::Dispatcher>(
        jobs::Dispatcher::Options{.slots = 2},
        jobs::Dispatcher::Ports{
            .store = store_, .db = *db_, .clock = clock_, .log = log_, .metrics = metrics_},
        handlers);
    dispatcher_->Start();
    media_ = std::make_unique<MediaJobs>(
        MediaJobs::Options{},
        MediaJobs::Ports{.jobs = *service_, .artifacts = artifacts_, .pool = pool_, .clock = clock_});
  }
  /// On a free port of the loopback.
  void Serve(std::vector<MountedProtocol> protocols) {
    gate_ = std::make_unique<Gate>(std::move(protocols), directory_);
    server_ = std::make_unique<net::HttpServer>(net::HttpServer::Options{}, *gate_, loops_, registry_);
    ASSERT_TRUE(server_->Listen("127.0.0.1", 0).ok());
  }

  /// Before handlers die.
  void Stop() {
    server_.reset();
    if (dispatcher_ != nullptr) dispatcher_->Stop(Duration::zero());
  }

  [[nodiscard]] net::testing::RawClient Connect() const { return net::testing::RawClient(server_->port()); }
  net::testing::RawResponse Send(const std::string& method, const std::string& target,
                                 const std::string& body = "", const std::string& headers = "") const {
    net::testing::RawClient client = Connect();
    client.Send(Request(method, target, body, headers));
    return client.Receive().value_or(net::testing::RawResponse{});
  }
  static std::string Request(const std::string& method, const std::string& target, const std::string& body,
                             const std::string& headers = "") {
    return method + " " + target + " HTTP/1.1\r\nHost: test\r\n" + headers +
           "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  }

  [[nodiscard]] const RealClock& clock() const { return clock_; }
  [[nodiscard]] std::uint16_t port() const { return server_->port(); }
  observe::Registry& registry() { return registry_; }
  runtime::BlockingPool& pool() { return pool_; }
  [[nodiscard]] const storage::UrlSigner& signer() const { return *signer_; }
  storage::BlobStore& artifacts() { return artifacts_; }
  [[nodiscard]] const MediaJobs& media() const { return *media_; }
  [[nodiscard]] jobs::Job JobOf(const std::string& id) {
    const auto job =
        reader_.Get(TenantId("anonymous"), jobs::JobId(id), clock_.Now() + std::chrono::seconds(10));
    EXPECT_TRUE(job.ok()) << job.error().ToString();
    return job.ok() ? *job : jobs::Job{};
  }
  /// The state of a job as soon as it has ended, or after 10 s.
  jobs::JobState AwaitEnd(const std::string& id) {
    const TimePoint end = clock_.Now() + std::chrono::seconds(10);
    while (!jobs::IsTerminal(JobOf(id).state) && clock_.Now() < end) {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return JobOf(id).state;
  }

 private:
  std::unique_ptr<storage::SqlDb> Open() {
    auto db = drivers::SqliteDb::Open({.path = folder_.path() + "/mezzo.db"}, clock_);
    EXPECT_TRUE(db.ok()) << db.error().ToString();
    const auto migrated =
        storage::Migrate(**db, "jobs", jobs::Migrations(), clock_.Now() + std::chrono::seconds(20), clock_);
    EXPECT_TRUE(migrated.ok()) << migrated.error().ToString();
    return *std::move(db);
  }

  const RealClock clock_;
  const storage::testing::TempDir folder_;
  const std::unique_ptr<storage::UrlSigner> signer_ =
      *storage::UrlSigner::Create("/v1/artifacts", {{.id = "k1", .secret = std::string(32, 's')}});
  storage::testing::SignedBlobStore artifacts_{clock_, *signer_};
  observe::Registry registry_;
  observe::Logger log_{{.level = observe::LogLevel::kOff}, clock_};
  jobs::JobMetrics metrics_{registry_};
  std::unique_ptr<storage::SqlDb> db_ = Open();
  jobs::JobStore store_;
  jobs::JobReader reader_;
  jobs::JobWatch watch_;
  runtime::BlockingPool pool_;
  std::unique_ptr<jobs::JobService> service_;
  std::unique_ptr<jobs::Dispatcher> dispatcher_;
  std::unique_ptr<MediaJobs> media_;
  const tenancy::Directory directory_{tenancy::testing::Anybody(), clock_};
  runtime::IoThreads loops_{1};
  std::unique_ptr<Gate> gate_;
  std::unique_ptr<net::HttpServer> server_;  // Last: it ends before what it calls.
};

inline std::string HeaderOf(const net::testing::RawResponse& response, const std::string& name) {
  const std::size_t at = response.head.find("\r\n" + name + ": ");
  if (at == std::string::npos) return "";
  const std::size_t from = at + name.size() + 4;
  return response.head.substr(from, response.head.find("\r\n", from) - from);
}

}  // namespace mezzo::api::openai
