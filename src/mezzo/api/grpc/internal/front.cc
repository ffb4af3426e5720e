#include "mezzo/api/grpc/internal/front.h"

#include <string>
#include <utility>
#include <vector>

#include "mezzo/base/check.h"

namespace mezzo::api::rpc {
namespace {

constexpr Duration kRetryAfter = std::chrono::seconds(1);

using tenancy::Scope;

struct MethodRow {
  std::string_view name;
  Scope scope;
};

/// In the order of Method. Writing a setting takes more than reading it: its handler asks for that.
constexpr std::array<MethodRow, static_cast<std::size_t>(Method::kCount)> kMethods = {{
    {"ServerLive", Scope::kRead},
    {"ServerReady", Scope::kRead},
    {"ModelReady", Scope::kRead},
    {"ServerMetadata", Scope::kRead},
    {"ModelMetadata", Scope::kRead},
    {"ModelInfer", Scope::kInfer},
    {"ModelStreamInfer", Scope::kInfer},
    {"ModelConfig", Scope::kRead},
    {"ModelStatistics", Scope::kObserve},
    {"RepositoryIndex", Scope::kRead},
    {"RepositoryModelLoad", Scope::kOperate},
    {"RepositoryModelUnload", Scope::kOperate},
    {"SystemSharedMemoryStatus", Scope::kOperate},
    {"SystemSharedMemoryRegister", Scope::kOperate},
    {"SystemSharedMemoryUnregister", Scope::kOperate},
    {"CudaSharedMemoryStatus", Scope::kOperate},
    {"CudaSharedMemoryRegister", Scope::kOperate},
    {"CudaSharedMemoryUnregister", Scope::kOperate},
    {"TraceSetting", Scope::kRead},
    {"LogSettings", Scope::kRead},
    {"Health.Check", Scope::kRead},
    {"Health.Watch", Scope::kRead},
}};

bool IsLoopbackAddress(std::string_view address) {
  return address.starts_with("127.") || address == "::1" || address == "localhost";
}

}  // namespace

std::string_view MethodName(Method method) { return kMethods.at(static_cast<std::size_t>(method)).name; }

Scope ScopeOf(Method method) { return kMethods.at(static_cast<std::size_t>(method)).scope; }

FrontMetrics::FrontMetrics(observe::Registry& registry)
    : stream_requests_ok(registry.NewCounter("mezzo_grpc_stream_requests_total",
                                             "Requests on ModelStreamInfer calls, by outcome.",
                                             {{"outcome", "ok"}})),
      stream_requests_failed(registry.NewCounter("mezzo_grpc_stream_requests_total",
                                                 "Requests on ModelStreamInfer calls, by outcome.",
                                                 {{"outcome", "failed"}})),
      calls_(registry.NewCounterFamily(
          "mezzo_grpc_calls_total", "gRPC calls that have ended, by method and code.", {"method", "code"})),
      refusals_(registry.NewCounterFamily(
          "mezzo_grpc_refusals_total", "gRPC requests refused at the front end's own bounds.", {"reason"})) {}

void FrontMetrics::CountCall(Method method, int code) {
  const auto index = code >= 0 && code < static_cast<int>(kCodes) ? static_cast<std::size_t>(code) : 2;
  auto& slot = cache_.at(static_cast<std::size_t>(method)).at(index);
  observe::Counter* counter = slot.load(std::memory_order_relaxed);
  if (counter == nullptr) {
    const std::string_view name = index == 0 ? "OK" : CodeName(static_cast<Code>(index));
    counter = &calls_.With({MethodName(method), name});
    slot.store(counter, std::memory_order_relaxed);
  }
  counter->Add();
}

RunningPlace::~RunningPlace() {
  if (front_ == nullptr) return;
  front_->bytes_.fetch_sub(bytes_, std::memory_order_relaxed);
  front_->running_.fetch_sub(1, std::memory_order_relaxed);
}

Result<void> RunningPlace::AddBytes(ByteCount bytes) {
  MEZZO_CHECK(front_ != nullptr);
  const ByteCount limit = front_->options.max_bytes_in_flight;
  const ByteCount before = front_->bytes_.fetch_add(bytes, std::memory_order_relaxed);
  if (before + bytes > limit) {
    front_->bytes_.fetch_sub(bytes, std::memory_order_relaxed);
    return front_->Refused(
        ResourceExhausted("bytes_in_flight", "the request's tensors take " + std::to_string(bytes) +
                                                 " bytes, running requests take " + std::to_string(before) +
                                                 ", the limit is " + std::to_string(limit))
            .WithRetryAfter(kRetryAfter));
  }
  bytes_ += bytes;
  return {};
}

Front::Front(GrpcServer::Options front_options, GrpcServer::Services front_services)
    : options(std::move(front_options)),
      services(front_services),
      metrics(services.registry),
      listens_on_loopback(IsLoopbackAddress(options.address)),
      running_gauge_(services.registry.NewCallbackGauge("mezzo_grpc_running", "gRPC requests in work.",
                                                        [this] { return static_cast<double>(running()); })),
      bytes_gauge_(services.registry.NewCallbackGauge(
          "mezzo_grpc_in_flight_bytes", "Tensor bytes of the gRPC requests in work.",
          [this] { return static_cast<double>(bytes_.load(std::memory_order_relaxed)); })) {
  for (std::size_t i = 0; i < services.loops.size(); ++i) {
    inboxes_.push_back(std::make_shared<Inbox>(services.loops.loop(i)));
  }
}

Error Front::Refused(Error error) {
  metrics.CountRefusal(error.reason());
  return error;
}

Result<RunningPlace> Front::Enter() {
  if (draining()) {
    return Refused(Unavailable("draining", "the server is shutting down").WithRetryAfter(kRetryAfter));
  }
  if (running_.fetch_add(1, std::memory_order_relaxed) >= options.max_running) {
    running_.fetch_sub(1, std::memory_order_relaxed);
    return Refused(
        ResourceExhausted("too_many_requests", "too many gRPC requests are running, the limit is " +
                                                   std::to_string(options.max_running))
            .WithRetryAfter(kRetryAfter));
  }
  return RunningPlace(this);
}

runtime::Loop& Front::NextLoop() {
  const std::size_t turn = next_loop_.fetch_add(1, std::memory_order_relaxed);
  return services.loops.loop(turn % services.loops.size());
}

void Front::Post(runtime::Callback callback) {
  constexpr std::size_t kBurst = 32;  // More than this are worth another loop.
  const std::shared_ptr<Inbox>* chosen = nullptr;
  for (const auto& candidate : inboxes_) {
    const std::size_t count = candidate->count.load(std::memory_order_relaxed);
    if (count > 0 && count < kBurst) chosen = &candidate;
  }
  if (chosen == nullptr) {
    chosen = &inboxes_[next_loop_.fetch_add(1, std::memory_order_relaxed) % inboxes_.size()];
  }
  const std::shared_ptr<Inbox>& inbox = *chosen;
  {
    MutexLock lock(inbox->mu);
    inbox->waiting.push_back(std::move(callback));
    inbox->count.store(inbox->waiting.size(), std::memory_order_relaxed);
    if (inbox->waiting.size() > 1) return;  // The first one has woken the loop.
  }
  inbox->loop.Post([inbox] { RunInbox(*inbox); });
}

void Front::RunInbox(Inbox& inbox) {
  {
    MutexLock lock(inbox.mu);
    inbox.taken.swap(inbox.waiting);
    inbox.count.store(0, std::memory_order_relaxed);
  }
  for (runtime::Callback& callback : inbox.taken) callback();
  inbox.taken.clear();
}

void Front::StartDraining() {
  std::vector<std::shared_ptr<Drainable>> open;
  {
    MutexLock lock(mu_);
    if (draining_.exchange(true, std::memory_order_acq_rel)) return;
    for (const auto& [key, stream] : streams_) {
      if (auto alive = stream.lock()) open.push_back(std::move(alive));
    }
  }
  for (const auto& stream : open) stream->Drain();
}

Result<void> Front::AddStream(Drainable* key, const std::shared_ptr<Drainable>& stream) {
  MutexLock lock(mu_);
  if (draining_.load(std::memory_order_relaxed)) {
    return Refused(Unavailable("draining", "the server is shutting down").WithRetryAfter(kRetryAfter));
  }
  if (streams_.size() >= options.max_streams) {
    return Refused(ResourceExhausted("too_many_streams", "too many gRPC streams are open, the limit is " +
                                                             std::to_string(options.max_streams))
                       .WithRetryAfter(kRetryAfter));
  }
  streams_.emplace(key, stream);
  return {};
}

void Front::RemoveStream(Drainable* key) {
  MutexLock lock(mu_);
  streams_.erase(key);
}

}  // namespace mezzo::api::rpc
