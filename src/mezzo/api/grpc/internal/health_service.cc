#include "mezzo/api/grpc/internal/health_service.h"

#include <optional>
#include <utility>

#include "mezzo/api/grpc/internal/call_facts.h"
#include "mezzo/api/grpc/internal/unary_answer.h"
#include "mezzo/api/grpc/internal/wire_parameter.h"
#include "mezzo/observe/health.h"

namespace mezzo::api::rpc {
namespace {

using grpc::health::v1::HealthCheckResponse;
using Status = HealthCheckResponse::ServingStatus;

bool IsKnown(const std::string& service) {
  return service.empty() || service == "inference.GRPCInferenceService";
}

}  // namespace

/// Writes the newest status; changes while a write is on its way are joined. All calls into gRPC happen under
/// the mutex; it reacts on other threads.
class HealthService::WatchCall final : public grpc::ServerWriteReactor<HealthCheckResponse>,
                                       public Drainable,
                                       public std::enable_shared_from_this<WatchCall> {
 public:
  explicit WatchCall(HealthService& service) : service_(service) {}

  /// Keeps the object until OnDone().
  void Start(Status status) EXCLUDES(mu_) {
    self_ = shared_from_this();
    Tell(status);
  }
  void Tell(Status status) EXCLUDES(mu_) {
    MutexLock lock(mu_);
    if (!ending_) wanted_ = status;
    Continue();
  }
  void Drain() override EXCLUDES(mu_) {
    MutexLock lock(mu_);
    wanted_ = HealthCheckResponse::NOT_SERVING;
    ending_ = grpc::Status(grpc::StatusCode::UNAVAILABLE, "the server is shutting down");
    Continue();
  }
  void OnWriteDone(bool ok) override EXCLUDES(mu_) {
    MutexLock lock(mu_);
    writing_ = false;
    if (!ok) wanted_.reset();
    Continue();
  }
  void OnCancel() override EXCLUDES(mu_) {
    MutexLock lock(mu_);
    wanted_.reset();
    ending_ = grpc::Status(grpc::StatusCode::CANCELLED, "the call was cancelled");
    Continue();
  }
  void OnDone() override {
    service_.Remove(this);
    service_.front_.RemoveStream(this);
    const std::shared_ptr<WatchCall> self = std::move(self_);
  }

 private:
  void Continue() REQUIRES(mu_) {
    if (writing_ || finished_) return;
    if (wanted_) {
      message_.set_status(*std::exchange(wanted_, std::nullopt));
      writing_ = true;
      StartWrite(&message_);
    } else if (ending_) {
      finished_ = true;
      service_.front_.metrics.CountCall(Method::kHealthWatch, ending_->error_code());
      Finish(*ending_);
    }
  }

  HealthService& service_;
  std::shared_ptr<WatchCall> self_;  // gRPC's hold; set before gRPC can react, reset in OnDone().
  Mutex mu_;
  std::optional<Status> wanted_ GUARDED_BY(mu_);
  std::optional<grpc::Status> ending_ GUARDED_BY(mu_);
  HealthCheckResponse message_ GUARDED_BY(mu_);  // gRPC reads it while writing_.
  bool writing_ GUARDED_BY(mu_) = false;
  bool finished_ GUARDED_BY(mu_) = false;
};

namespace {

/// A watch that only ends with an error.
class RefusedWatch final : public grpc::ServerWriteReactor<HealthCheckResponse> {
 public:
  explicit RefusedWatch(const grpc::Status& status) { Finish(status); }
  void OnDone() override { delete this; }
};

}  // namespace

bool HealthService::IsReady() const { return front_.services.health.ready() && !front_.draining(); }

grpc::ServerUnaryReactor* HealthService::Check(grpc::CallbackServerContext* call,
                                               const grpc::health::v1::HealthCheckRequest* request,
                                               HealthCheckResponse* response) {
  if (!IsKnown(request->service())) {
    return FinishUnary(front_, call, Method::kHealthCheck,
                       NotFound("service_unknown", "unknown service " + Quoted(request->service())));
  }
  response->set_status(IsReady() ? HealthCheckResponse::SERVING : HealthCheckResponse::NOT_SERVING);
  return FinishUnary(front_, call, Method::kHealthCheck, {});
}

grpc::ServerWriteReactor<HealthCheckResponse>* HealthService::Watch(
    grpc::CallbackServerContext* call, const grpc::health::v1::HealthCheckRequest* request) {
  auto watch = std::make_shared<WatchCall>(*this);
  if (auto added = front_.AddStream(watch.get(), watch); !added.ok()) {
    const grpc::Status status = Refuse(*call, added.error());
    front_.metrics.CountCall(Method::kHealthWatch, status.error_code());
    return std::make_unique<RefusedWatch>(status).release();  // Deletes itself in OnDone().
  }
  if (!IsKnown(request->service())) {
    watch->Start(HealthCheckResponse::SERVICE_UNKNOWN);
    return watch.get();
  }
  Refresh();  // What this watcher hears first is not older than its call.
  MutexLock lock(mu_);
  watchers_.push_back(watch);
  watch->Start(last_ready_ && !front_.draining() ? HealthCheckResponse::SERVING
                                                 : HealthCheckResponse::NOT_SERVING);
  return watch.get();
}

void HealthService::Refresh() {
  std::vector<std::shared_ptr<WatchCall>> told;
  const bool ready = IsReady();
  {
    MutexLock lock(mu_);
    if (std::exchange(last_ready_, ready) == ready) return;
    for (const auto& watcher : watchers_) {
      if (auto alive = watcher.lock()) told.push_back(std::move(alive));
    }
  }
  for (const auto& watcher : told) {
    watcher->Tell(ready ? HealthCheckResponse::SERVING : HealthCheckResponse::NOT_SERVING);
  }
}

void HealthService::Remove(const WatchCall* call) {
  MutexLock lock(mu_);
  std::erase_if(watchers_, [call](const auto& watcher) {
    const auto alive = watcher.lock();
    return alive == nullptr || alive.get() == call;
  });
}

}  // namespace mezzo::api::rpc
