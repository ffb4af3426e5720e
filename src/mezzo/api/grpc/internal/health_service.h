#pragma once

#include <memory>
#include <string>
#include <vector>

#include "mezzo/api/grpc/internal/front.h"
#include "mezzo/api/grpc/internal/grpc_headers.h"
#include "mezzo/base/mutex.h"

namespace mezzo::api::rpc {

/// grpc.health.v1.Health for the whole server ("") and "inference.GRPCInferenceService", which are ready
/// together. Open to everybody. Thread-safe.
class HealthService final : public grpc::health::v1::Health::CallbackService {
 public:
  /// `front` outlives the service.
  explicit HealthService(Front& front) : front_(front) {}

  grpc::ServerUnaryReactor* Check(grpc::CallbackServerContext* call,
                                  const grpc::health::v1::HealthCheckRequest* request,
                                  grpc::health::v1::HealthCheckResponse* response) override;
  grpc::ServerWriteReactor<grpc::health::v1::HealthCheckResponse>* Watch(
      grpc::CallbackServerContext* call, const grpc::health::v1::HealthCheckRequest* request) override;

  /// Tells watchers when readiness has changed since the last time. To be called every now and then.
  void Refresh() EXCLUDES(mu_);

 private:
  class WatchCall;

  [[nodiscard]] bool IsReady() const;
  void Remove(const WatchCall* call) EXCLUDES(mu_);

  Front& front_;
  Mutex mu_;
  bool last_ready_ GUARDED_BY(mu_) = false;
  std::vector<std::weak_ptr<WatchCall>> watchers_ GUARDED_BY(mu_);
};

}  // namespace mezzo::api::rpc
