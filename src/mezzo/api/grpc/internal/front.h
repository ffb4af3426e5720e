#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "mezzo/api/grpc/grpc_server.h"
#include "mezzo/api/grpc/internal/infer_request.h"
#include "mezzo/base/mutex.h"
#include "mezzo/base/result.h"
#include "mezzo/observe/metrics.h"
#include "mezzo/runtime/callback.h"
#include "mezzo/runtime/loop.h"
#include "mezzo/tenancy/scope.h"

namespace mezzo::api::rpc {

enum class Method : std::uint8_t {
  kServerLive,
  kServerReady,
  kModelReady,
  kServerMetadata,
  kModelMetadata,
  kModelInfer,
  kModelStreamInfer,
  kModelConfig,
  kModelStatistics,
  kRepositoryIndex,
  kRepositoryModelLoad,
  kRepositoryModelUnload,
  kSystemSharedMemoryStatus,
  kSystemSharedMemoryRegister,
  kSystemSharedMemoryUnregister,
  kCudaSharedMemoryStatus,
  kCudaSharedMemoryRegister,
  kCudaSharedMemoryUnregister,
  kTraceSetting,
  kLogSettings,
  kHealthCheck,
  kHealthWatch,
  kCount,
};
std::string_view MethodName(Method method);
/// What a caller of the method must be allowed to do. Probes ask nobody.
tenancy::Scope ScopeOf(Method method);

/// Counts of the front end. Thread-safe.
class FrontMetrics {
 public:
  explicit FrontMetrics(observe::Registry& registry);

  /// A call has ended; `code` is a canonical code, 0 for OK.
  void CountCall(Method method, int code);
  void CountRefusal(std::string_view reason) { refusals_.With({reason}).Add(); }
  observe::Counter& stream_requests_ok;
  observe::Counter& stream_requests_failed;

 private:
  static constexpr std::size_t kCodes = 17;

  observe::Family<observe::Counter>& calls_;
  observe::Family<observe::Counter>& refusals_;
  /// Looked up once each; a race writes the same pointer twice.
  std::array<std::array<std::atomic<observe::Counter*>, kCodes>, static_cast<std::size_t>(Method::kCount)>
      cache_{};
};

class Front;

/// A request's share of the bounds: one place among the running ones, and the bytes of its tensors.
/// Move-only.
class RunningPlace {
 public:
  RunningPlace() = default;
  RunningPlace(RunningPlace&& other) noexcept
      : front_(std::exchange(other.front_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  RunningPlace& operator=(RunningPlace&& other) noexcept {
    std::swap(front_, other.front_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~RunningPlace();

  /// Adds to what the request holds. kResourceExhausted "bytes_in_flight".
  Result<void> AddBytes(ByteCount bytes);
  [[nodiscard]] ByteCount bytes() const { return bytes_; }

 private:
  friend class Front;
  explicit RunningPlace(Front* front) : front_(front) {}

  Front* front_ = nullptr;
  ByteCount bytes_ = 0;
};

/// A long-lived call that has to end when the server stops.
class Drainable {
 public:
  virtual ~Drainable() = default;
  /// Ends the call once what it has taken on is done. Any thread, at most once.
  virtual void Drain() = 0;
};

/// What all calls of one server share. Thread-safe.
class Front {
 public:
  Front(GrpcServer::Options front_options, GrpcServer::Services front_services);

  const GrpcServer::Options options;
  const GrpcServer::Services services;
  const DecodeLimits decode_limits;
  FrontMetrics metrics;
  /// Only callers from this host can reach the server.
  const bool listens_on_loopback;

  /// A place for one more request. kUnavailable "draining", kResourceExhausted "too_many_requests".
  Result<RunningPlace> Enter();
  [[nodiscard]] std::size_t running() const { return running_.load(std::memory_order_relaxed); }
  /// The loops in turn.
  runtime::Loop& NextLoop();
  /// Runs `callback` on one of the loops, later: on one that has been woken for others but has not begun, if
  /// there is one, so that a burst of calls costs few wake-ups; else on the next in turn.
  void Post(runtime::Callback callback);

  [[nodiscard]] bool draining() const { return draining_.load(std::memory_order_acquire); }
  /// Sets draining and calls Drain() on every open stream.
  void StartDraining() EXCLUDES(mu_);
  /// Streams hold themselves here while they are open. kUnavailable "draining", kResourceExhausted
  /// "too_many_streams".
  Result<void> AddStream(Drainable* key, const std::shared_ptr<Drainable>& stream) EXCLUDES(mu_);
  void RemoveStream(Drainable* key) EXCLUDES(mu_);

 private:
  friend class RunningPlace;
  /// What waits for one loop. Shared with the loop, which may still be busy with it when the last call has
  /// ended.
  struct Inbox {
    explicit Inbox(runtime::Loop& own) : loop(own) {}
    runtime::Loop& loop;
    std::atomic<std::size_t> count{
        0};  // Of `waiting`, for those who choose an inbox; a guess is good enough.
    Mutex mu;
    std::vector<runtime::Callback> waiting GUARDED_BY(mu);
    std::vector<runtime::Callback> taken;  // Loop's thread only.
  };

  Error Refused(Error error);
  static void RunInbox(Inbox& inbox);

  std::atomic<std::size_t> running_{0};  // A count for the bound, no partner.
  std::atomic<ByteCount> bytes_{0};      // The same.
  std::atomic<std::size_t> next_loop_{0};
  std::vector<std::shared_ptr<Inbox>> inboxes_;  // One for each loop; fixed after the constructor.
  std::atomic<bool> draining_{false};            // Set under mu_ before the streams are told.
  Mutex mu_;
  std::unordered_map<Drainable*, std::weak_ptr<Drainable>> streams_ GUARDED_BY(mu_);
  observe::Callback running_gauge_;
  observe::Callback bytes_gauge_;
};

}  // namespace mezzo::api::rpc
