#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "mezzo/api/grpc/grpc_server.h"
#include "mezzo/api/grpc/internal/grpc_headers.h"
#include "mezzo/api/grpc/testing/fake_service.h"
#include "mezzo/api/settings.h"
#include "mezzo/api/shared_memory.h"
#include "mezzo/observe/health.h"
#include "mezzo/observe/log.h"
#include "mezzo/observe/metrics.h"
#include "mezzo/tenancy/directory.h"
#include "mezzo/tenancy/testing/directories.h"

namespace mezzo::api::rpc::testing {

/// A server on a free loopback port over fakes, with everything a front end needs.
class ServedFakes {
 public:
  explicit ServedFakes(GrpcServer::Options options = {},
                       tenancy::Directory::Contents callers = tenancy::testing::Anybody("everyone"),
                       std::size_t loop_count = 2)
      : directory(std::move(callers), clock),
        ready(health.NewCheck("startup", observe::HealthKind::kReadiness)),
        logger({.level = observe::LogLevel::kWarn}, clock),
        loops(loop_count) {
    ready.Ok();
    options.port = 0;
    options.health_interval = std::chrono::milliseconds(5);
    server = std::make_unique<GrpcServer>(std::move(options), GrpcServer::Services{.service = service,
                                                                                   .directory = directory,
                                                                                   .shared_memory = regions,
                                                                                   .trace_settings = trace,
                                                                                   .log_settings = log,
                                                                                   .health = health,
                                                                                   .registry = registry,
                                                                                   .logger = logger,
                                                                                   .clock = clock,
                                                                                   .loops = loops});
  }
  ~ServedFakes() {
    service.gate.Open();
    server.reset();
    loops.Stop();
  }

  RealClock clock;
  FakeService service;
  tenancy::Directory directory;
  SharedMemoryRegions regions{{.enabled = true, .key_prefix = {}}};
  TraceSettings trace;
  LogSettings log;
  observe::Health health;
  observe::HealthCheck ready;
  observe::Registry registry;
  observe::Logger logger;
  runtime::IoThreads loops;
  std::unique_ptr<GrpcServer> server;
};

}  // namespace mezzo::api::rpc::testing
