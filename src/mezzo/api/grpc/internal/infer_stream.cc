#include "mezzo/api/grpc/internal/infer_stream.h"

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "grpc_service.pb.h"

#include "mezzo/api/grpc/internal/call_facts.h"
#include "mezzo/api/grpc/internal/infer_call.h"
#include "mezzo/api/grpc/internal/infer_request.h"
#include "mezzo/base/mutex.h"
#include "mezzo/inference/service.h"
#include "mezzo/runtime/task.h"

namespace mezzo::api::rpc {
namespace {

using Bytes = grpc::ByteBuffer;

/// What an error's response says about its request.
struct Names {
  std::string id;
  std::string model;
  std::string version;
};

grpc::ByteBuffer EncodeError(const Error& error, const Names& request) {
  ::inference::ModelStreamInferResponse message;
  message.set_error_message(error.message());
  auto& response = *message.mutable_infer_response();
  response.set_id(request.id);
  response.set_model_name(request.model);
  response.set_model_version(request.version);
  (*response.mutable_parameters())["triton_final_response"].set_bool_param(true);
  const grpc::Slice slice(message.SerializeAsString());
  return {&slice, 1};
}

/// A call's every state is under its mutex, and so are its calls into gRPC: none of them reacts on this
/// thread. It finishes when nothing is being written and nothing runs, so that no request outlives the
/// server.
class StreamCall final : public grpc::ServerBidiReactor<Bytes, Bytes>,
                         public Drainable,
                         public std::enable_shared_from_this<StreamCall> {
 public:
  StreamCall(Front& front, grpc::CallbackServerContext& call, tenancy::CallerRef caller)
      : front_(front),
        call_(call),
        caller_(std::move(caller)),
        ctx_(MakeContext(front, call, *caller_)),
        grpc_errors_(MetadataValue(call, "triton_grpc_error") == "true"),
        loop_(front.NextLoop()) {}

  /// Keeps the object until OnDone().
  void Start() EXCLUDES(mu_) {
    self_ = shared_from_this();
    MutexLock lock(mu_);
    ReadMore();
  }

  void Drain() override EXCLUDES(mu_) {
    MutexLock lock(mu_);
    draining_ = true;
    FinishIfDone();
  }

  void OnReadDone(bool ok) override EXCLUDES(mu_) {
    std::shared_ptr<Request> request;
    {
      MutexLock lock(mu_);
      if (!ok || failure_ || draining_) {
        reading_ = false;
        reads_done_ = reads_done_ || !ok;
        FinishIfDone();
        return;
      }
      request = std::make_shared<Request>();
      requests_.push_back(request);
      ++running_;
    }
    Take(request);
  }

  void OnWriteDone(bool ok) override EXCLUDES(mu_) {
    MutexLock lock(mu_);
    writing_ = false;
    held_bytes_ -= requests_.front()->held_bytes;
    requests_.pop_front();
    if (!ok) reads_done_ = true;  // The client has gone: OnCancel() comes or has come.
    WriteNext();
    ReadMore();
    FinishIfDone();
  }

  void OnCancel() override EXCLUDES(mu_) {
    std::vector<runtime::Context> contexts;
    {
      MutexLock lock(mu_);
      cancelled_ = true;
      contexts = RunningContexts();
    }
    // Without the lock: a cancelled request may answer at once, on this thread.
    for (const auto& ctx : contexts) ctx.Cancel();
    MutexLock lock(mu_);
    FinishIfDone();
  }

  void OnDone() override {
    front_.RemoveStream(this);
    const std::shared_ptr<StreamCall> self = std::move(self_);
  }

 private:
  struct Request {
    DecodedInfer decoded;  ///< Until it runs.
    Names names;
    std::optional<runtime::Context> ctx;  ///< Of its own, for its own deadline.
    RunningPlace place;
    TimePoint started;
    bool answered = false;
    grpc::ByteBuffer response;
    ByteCount held_bytes = 0;  ///< Of the tensors until it is answered, then of the response.
  };

  /// Decodes what was read and starts it.
  void Take(const std::shared_ptr<Request>& request) EXCLUDES(mu_) {
    request->started = front_.services.clock.Now();
    auto prepared = Prepare(*request);
    const inference::InferenceCall& call = request->decoded.call;
    request->names = {.id = call.id, .model = call.model.str(), .version = call.version};
    {
      MutexLock lock(mu_);
      input_.Clear();
      reading_ = false;
      Hold(*request, request->place.bytes());
      if (prepared.ok()) {
        if (cancelled_ || failure_) request->ctx->Cancel();
        // Before the next read: another thread may take what it brings, and requests start in their order.
        loop_.Post([self = shared_from_this(), request] { self->Run(request); });
      }
      ReadMore();
    }
    if (!prepared.ok()) Answer(*request, std::move(prepared).error());
  }

  Result<void> Prepare(Request& request) {
    MessageBytes message;
    MEZZO_TRY_VOID(message.Read(input_, front_.options.max_message_bytes));
    const DecodeSources sources{.regions = &front_.services.shared_memory, .tenant = caller_->tenant->id};
    MEZZO_TRY_VOID(DecodeInferRequest(message.segments(), sources, front_.decode_limits, &request.decoded));
    MEZZO_TRY(request.place, front_.Enter());
    MEZZO_TRY_VOID(request.place.AddBytes(request.decoded.tensor_bytes));
    const runtime::Context::Facts facts{
        .tenant = ctx_.tenant(), .request_id = ctx_.request_id(), .trace = ctx_.trace()};
    runtime::Context own = runtime::Context(facts).WithDeadline(ctx_.deadline());
    own = WithTimeout(front_, own, request.decoded.timeout);
    MutexLock lock(mu_);
    request.ctx = std::move(own);
    return {};
  }

  /// On the loop.
  void Run(const std::shared_ptr<Request>& request) {
    const TimePoint admitted = front_.services.clock.Now();
    request->decoded.call.headers = HeadersOf(call_);
    runtime::Start(front_.services.service.Infer(*request->ctx, caller_, std::move(request->decoded.call)),
                   [self = shared_from_this(), request, admitted](Result<inference::InferenceAnswer> answer) {
                     self->Complete(*request, admitted, std::move(answer));
                   });
  }

  void Complete(Request& request, TimePoint admitted, Result<inference::InferenceAnswer> answer)
      EXCLUDES(mu_) {
    if (answer.ok() && !request.decoded.classes.empty()) {
      auto done = ClassifyOutputs(request.decoded.classes, &*answer);
      if (!done.ok()) answer = std::move(done).error();
    }
    if (answer.ok() && !request.decoded.targets.empty()) {
      auto written = WriteTargets(request.decoded.targets, &*answer);
      if (!written.ok()) answer = std::move(written).error();
    }
    if (!answer.ok()) {
      Answer(request, std::move(answer).error());
      return;
    }
    // A stream has one set of trailers for all of its answers.
    if (!answer->route.empty()) answer->parameters.emplace_back("x-mezzo-route", answer->route);
    const TimePoint answered = front_.services.clock.Now();
    grpc::ByteBuffer message = EncodeAnswer(*answer, InferResponseWriter::Form::kStream);
    request.response.Swap(&message);
    front_.services.service.RecordEdges(*answer, admitted - request.started,
                                        front_.services.clock.Now() - answered);
    Answer(request, std::nullopt);
  }

  /// The request has its response, or its error.
  void Answer(Request& request, std::optional<Error> error) EXCLUDES(mu_) {
    (error ? front_.metrics.stream_requests_failed : front_.metrics.stream_requests_ok).Add();
    std::vector<runtime::Context> abandoned;
    RunningPlace freed;
    {
      MutexLock lock(mu_);
      if (error && grpc_errors_) {
        if (!failure_) failure_ = std::move(error);
        abandoned = RunningContexts();
      } else if (error) {
        grpc::ByteBuffer message = EncodeError(*error, request.names);
        request.response.Swap(&message);
      }
      Hold(request, request.response.Length());
      freed = std::move(request.place);
      request.answered = true;
      --running_;
    }
    for (const auto& ctx : abandoned) ctx.Cancel();
    MutexLock lock(mu_);
    WriteNext();
    FinishIfDone();
  }

  /// The bytes that a request holds are `bytes` from now on.
  void Hold(Request& request, ByteCount bytes) REQUIRES(mu_) {
    held_bytes_ += bytes - request.held_bytes;
    request.held_bytes = bytes;
  }

  [[nodiscard]] std::vector<runtime::Context> RunningContexts() const REQUIRES(mu_) {
    std::vector<runtime::Context> contexts;
    for (const auto& request : requests_) {
      if (!request->answered && request->ctx) contexts.push_back(*request->ctx);
    }
    return contexts;
  }

  void ReadMore() REQUIRES(mu_) {
    if (reading_ || reads_done_ || draining_ || failure_ || finished_ || cancelled_) return;
    if (requests_.size() >= front_.options.max_stream_requests) return;
    if (held_bytes_ >= front_.options.max_message_bytes) return;
    reading_ = true;
    StartRead(&input_);
  }

  void WriteNext() REQUIRES(mu_) {
    if (writing_ || finished_ || failure_ || cancelled_) return;
    if (requests_.empty() || !requests_.front()->answered) return;
    writing_ = true;
    StartWrite(&requests_.front()->response);
  }

  void FinishIfDone() REQUIRES(mu_) {
    if (finished_ || writing_ || running_ > 0) return;
    const bool abandoned = failure_ || cancelled_;
    if (!abandoned && !(requests_.empty() && (reads_done_ || draining_))) return;
    finished_ = true;
    grpc::Status status;
    if (failure_) {
      status = Refuse(call_, *failure_, ctx_.request_id());
    } else if (cancelled_) {
      status = grpc::Status(grpc::StatusCode::CANCELLED, "the call was cancelled");
    } else if (!reads_done_) {
      const Error error = Unavailable("draining", "the server is shutting down");
      status = Refuse(call_, error, ctx_.request_id());
    }
    front_.metrics.CountCall(Method::kModelStreamInfer, status.error_code());
    Finish(status);
  }

  Front& front_;
  grpc::CallbackServerContext& call_;
  const tenancy::CallerRef caller_;
  const runtime::Context ctx_;  // Facts and deadline for the requests; never cancelled itself.
  const bool grpc_errors_;      // The client wants the first error as the call's status.
  runtime::Loop& loop_;
  std::shared_ptr<StreamCall> self_;  // gRPC's hold; set before gRPC can react, reset in OnDone().
  grpc::ByteBuffer input_;            // Belongs to the read in progress, then to Take().

  Mutex mu_;
  std::deque<std::shared_ptr<Request>> requests_ GUARDED_BY(mu_);  // In their order, until written.
  std::optional<Error> failure_ GUARDED_BY(mu_);
  std::size_t running_ GUARDED_BY(mu_) = 0;  // Of requests_, those not answered.
  ByteCount held_bytes_ GUARDED_BY(mu_) = 0;
  bool reading_ GUARDED_BY(mu_) = false;
  bool reads_done_ GUARDED_BY(mu_) = false;
  bool writing_ GUARDED_BY(mu_) = false;
  bool cancelled_ GUARDED_BY(mu_) = false;
  bool draining_ GUARDED_BY(mu_) = false;
  bool finished_ GUARDED_BY(mu_) = false;
};

/// A call that only ends with an error.
class RefusedStream final : public grpc::ServerBidiReactor<Bytes, Bytes> {
 public:
  explicit RefusedStream(const grpc::Status& status) { Finish(status); }
  void OnDone() override { delete this; }
};

Result<std::shared_ptr<StreamCall>> OpenStream(Front& front, grpc::CallbackServerContext* call) {
  MEZZO_TRY(tenancy::CallerRef caller, AdmitCall(front, *call, Method::kModelStreamInfer));
  auto stream = std::make_shared<StreamCall>(front, *call, std::move(caller));
  MEZZO_TRY_VOID(front.AddStream(stream.get(), stream));
  return stream;
}

}  // namespace

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* StartInferStream(
    Front& front, grpc::CallbackServerContext* call) {
  auto stream = OpenStream(front, call);
  if (!stream.ok()) {
    const grpc::Status status = Refuse(*call, stream.error());
    front.metrics.CountCall(Method::kModelStreamInfer, status.error_code());
    return std::make_unique<RefusedStream>(status).release();  // Deletes itself in OnDone().
  }
  (*stream)->Start();
  return stream->get();
}

}  // namespace mezzo::api::rpc
