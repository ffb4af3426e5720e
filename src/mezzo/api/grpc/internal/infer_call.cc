#include "mezzo/api/grpc/internal/infer_call.h"

#include <memory>
#include <utility>

#include "mezzo/api/cache_control.h"
#include "mezzo/api/grpc/internal/call_facts.h"
#include "mezzo/api/grpc/internal/infer_request.h"
#include "mezzo/inference/service.h"
#include "mezzo/runtime/task.h"
#include "mezzo/tenancy/limiter.h"

namespace mezzo::api::rpc {
namespace {

/// What a slice that refers to an output holds on to.
struct SplicedOutput {
  SharedBytes bytes;
  models::VersionRef version;
};

void ReleaseSplicedOutput(void* output) { delete static_cast<SplicedOutput*>(output); }

grpc::Slice RefTo(const SharedBytes& bytes, const models::VersionRef& version) {
  auto held = std::make_unique<SplicedOutput>(SplicedOutput{.bytes = bytes, .version = version});
  // gRPC does not write through a slice it sends; its interface only has no const.
  auto* data = const_cast<std::byte*>(held->bytes.data());
  const std::size_t size = held->bytes.size();
  return {data, size, ReleaseSplicedOutput, held.release()};
}

/// One ModelInfer call in work. Deletes itself when gRPC is done with it.
class InferCall final : public grpc::ServerUnaryReactor {
 public:
  InferCall(Front& front, grpc::CallbackServerContext& call, grpc::ByteBuffer& response, RunningPlace place,
            tenancy::CallerRef caller, runtime::Context ctx, DecodedInfer decoded, TimePoint started)
      : front_(front),
        call_(call),
        response_(response),
        place_(std::move(place)),
        caller_(std::move(caller)),
        ctx_(std::move(ctx)),
        decoded_(std::move(decoded)),
        started_(started) {}

  void Start() {
    front_.Post([this] { Run(); });
  }

  void OnCancel() override { ctx_.Cancel(); }
  void OnDone() override { delete this; }

 private:
  /// OnDone() only frees memory, so gRPC need not move it to another thread.
  bool InternalInlineable() override { return true; }

  void Run() {
    admitted_ = front_.services.clock.Now();
    decoded_.call.limit = &limit_;
    decoded_.call.headers = HeadersOf(call_);
    runtime::Start(front_.services.service.Infer(ctx_, caller_, std::move(decoded_.call)),
                   [this](Result<inference::InferenceAnswer> answer) { Complete(std::move(answer)); });
  }

  /// Finish() may free this object: nothing comes after it.
  void Complete(Result<inference::InferenceAnswer> answer) {
    if (answer.ok() && !decoded_.classes.empty()) {
      if (auto done = ClassifyOutputs(decoded_.classes, &*answer); !done.ok())
        answer = std::move(done).error();
    }
    if (answer.ok() && !decoded_.targets.empty()) {
      if (auto written = WriteTargets(decoded_.targets, &*answer); !written.ok())
        answer = std::move(written).error();
    }
    AddLimitTrailers(call_, limit_);
    if (!answer.ok()) {
      const Error& error = answer.error();
      const grpc::Status status = Refuse(call_, error, ctx_.request_id());
      front_.metrics.CountCall(Method::kModelInfer, status.error_code());
      Finish(status);
      return;
    }
    const TimePoint answered = front_.services.clock.Now();
    grpc::ByteBuffer message = EncodeAnswer(*answer, InferResponseWriter::Form::kUnary);
    response_.Swap(&message);
    if (answer->cache) {
      call_.AddTrailingMetadata("x-mezzo-cache", std::string(inference::CacheUseName(*answer->cache)));
    }
    if (!answer->route.empty()) call_.AddTrailingMetadata("x-mezzo-route", answer->route);
    front_.services.service.RecordEdges(*answer, admitted_ - started_,
                                        front_.services.clock.Now() - answered);
    front_.metrics.CountCall(Method::kModelInfer, 0);
    Finish(grpc::Status::OK);
  }

  Front& front_;
  grpc::CallbackServerContext& call_;
  grpc::ByteBuffer& response_;
  const RunningPlace place_;
  const tenancy::CallerRef caller_;
  const runtime::Context ctx_;
  DecodedInfer decoded_;
  tenancy::LimitState limit_;  // Left there by the service.
  const TimePoint started_;
  TimePoint admitted_;
};

/// Whether the caller's limits let anything through, of a message that costs something to decode. Only looked
/// at: the call is counted when it has been found to be one.
Result<void> CheckLimits(const Front& front, grpc::CallbackServerContext& call,
                         const grpc::ByteBuffer& request, const tenancy::Caller& caller) {
  constexpr std::size_t kLarge = 64 << 10;
  tenancy::Limiter* limiter = front.services.limiter;
  if (limiter == nullptr || request.Length() < kLarge) return {};
  tenancy::LimitState limit;
  auto ticket = limiter->Admit({.caller = caller}, &limit);
  if (ticket.ok()) {
    ticket->Refund();
    return {};
  }
  AddLimitTrailers(call, limit);
  return std::move(ticket).error();
}

grpc::ServerUnaryReactor* RefuseCall(Front& front, grpc::CallbackServerContext* call, const Error& error) {
  const grpc::Status status = Refuse(*call, error);
  front.metrics.CountCall(Method::kModelInfer, status.error_code());
  grpc::ServerUnaryReactor* reactor = call->DefaultReactor();
  reactor->Finish(status);
  return reactor;
}

Result<DecodedInfer> DecodeMessage(const Front& front, const grpc::ByteBuffer& request,
                                   const tenancy::Tenant& tenant) {
  MessageBytes message;
  MEZZO_TRY_VOID(message.Read(request, front.options.max_message_bytes));
  const DecodeSources sources{.regions = &front.services.shared_memory, .tenant = tenant.id};
  DecodedInfer decoded;
  MEZZO_TRY_VOID(DecodeInferRequest(message.segments(), sources, front.decode_limits, &decoded));
  return decoded;
}

/// Everything before the model: admission before decoding, so that a refused request costs little.
Result<std::unique_ptr<InferCall>> PrepareCall(Front& front, grpc::CallbackServerContext* call,
                                               const grpc::ByteBuffer* request, grpc::ByteBuffer* response) {
  const TimePoint started = front.services.clock.Now();
  MEZZO_TRY(RunningPlace place, front.Enter());
  MEZZO_TRY(tenancy::CallerRef caller, AdmitCall(front, *call, Method::kModelInfer));
  MEZZO_TRY_VOID(CheckLimits(front, *call, *request, *caller));
  MEZZO_TRY(DecodedInfer decoded, DecodeMessage(front, *request, *caller->tenant));
  const_cast<grpc::ByteBuffer*>(request)->Clear();  // gRPC's own, which it would keep to the end of the call.
  TakeCacheControl(MetadataValue(*call, "cache-control"), decoded.call);
  MEZZO_TRY_VOID(place.AddBytes(decoded.tensor_bytes));
  runtime::Context ctx = WithTimeout(front, MakeContext(front, *call, *caller), decoded.timeout);
  return std::make_unique<InferCall>(front, *call, *response, std::move(place), std::move(caller),
                                     std::move(ctx), std::move(decoded), started);
}

}  // namespace

grpc::ByteBuffer EncodeAnswer(const inference::InferenceAnswer& answer, InferResponseWriter::Form form) {
  InferResponseWriter writer(answer, form);
  grpc_slice head = grpc_slice_malloc(writer.head_size());
  writer.Write(reinterpret_cast<std::byte*>(GRPC_SLICE_START_PTR(head)));
  const grpc::Slice whole(head, grpc::Slice::STEAL_REF);
  if (writer.splices().empty()) return {&whole, 1};

  std::vector<grpc::Slice> slices;
  slices.reserve(writer.splices().size() * 2 + 1);
  std::size_t from = 0;
  for (const auto& splice : writer.splices()) {
    slices.push_back(whole.sub(from, splice.at));
    slices.push_back(RefTo(*splice.bytes, answer.served_by));
    from = splice.at;
  }
  if (from < writer.head_size()) slices.push_back(whole.sub(from, writer.head_size()));
  return {slices.data(), slices.size()};
}

grpc::ServerUnaryReactor* StartInferCall(Front& front, grpc::CallbackServerContext* call,
                                         const grpc::ByteBuffer* request, grpc::ByteBuffer* response) {
  auto prepared = PrepareCall(front, call, request, response);
  if (!prepared.ok()) return RefuseCall(front, call, prepared.error());
  InferCall* started = std::move(prepared).value().release();  // Owned by gRPC until OnDone().
  started->Start();
  return started;
}

}  // namespace mezzo::api::rpc
