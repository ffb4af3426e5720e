#pragma once

#include <optional>
#include <string>
#include <utility>

#include "mezzo/api/grpc/internal/call_facts.h"
#include "mezzo/api/grpc/internal/front.h"
#include "mezzo/api/grpc/internal/grpc_headers.h"
#include "mezzo/base/result.h"
#include "mezzo/tenancy/tenant.h"

namespace mezzo::api::rpc {

/// Finishes a unary call with a result and counts it.
inline grpc::ServerUnaryReactor* FinishUnary(Front& front, grpc::CallbackServerContext* call, Method method,
                                             const Result<void>& result) {
  const grpc::Status status = result.ok() ? grpc::Status::OK : Refuse(*call, result.error());
  front.metrics.CountCall(method, status.error_code());
  grpc::ServerUnaryReactor* reactor = call->DefaultReactor();
  reactor->Finish(status);
  return reactor;
}

/// Parses a message. kInvalidArgument "protobuf_malformed", or the errors of MessageBytes::Read().
template <typename Message>
Result<Message> ParseMessage(const Front& front, const grpc::ByteBuffer& buffer) {
  MessageBytes bytes;
  MEZZO_TRY_VOID(bytes.Read(buffer, front.options.max_message_bytes));
  const BytesView whole = bytes.Join();
  Message message;
  if (message.ParseFromArray(whole.data(), static_cast<int>(whole.size()))) return message;
  return InvalidArgument("protobuf_malformed",
                         "the request is no " + message.GetTypeName() + ": malformed protocol buffer");
}

inline void SetMessage(const google::protobuf::MessageLite& message, grpc::ByteBuffer* out) {
  const grpc::Slice slice(message.SerializeAsString());
  grpc::ByteBuffer buffer(&slice, 1);
  out->Swap(&buffer);
}

/// A unary call with its messages as bytes.
struct UnaryCall {
  Front& front;
  grpc::CallbackServerContext* context;
  const grpc::ByteBuffer* request;
  grpc::ByteBuffer* response;
  Method method;
};

/// Answers a call that waits for nothing: `fn(request, caller, &response)` gives a Result<void>.
template <typename Request, typename Response, typename Fn>
grpc::ServerUnaryReactor* AnswerUnary(const UnaryCall& call, Fn fn) {
  auto answer = [&]() -> Result<void> {
    MEZZO_TRY([[maybe_unused]] const RunningPlace place, call.front.Enter());
    MEZZO_TRY(const tenancy::CallerRef caller, AdmitCall(call.front, *call.context, call.method));
    MEZZO_TRY(const Request request, ParseMessage<Request>(call.front, *call.request));
    Response response;
    MEZZO_TRY_VOID(fn(request, *caller, &response));
    SetMessage(response, call.response);
    return {};
  };
  return FinishUnary(call.front, call.context, call.method, answer());
}

/// Answers a probe: open to everybody, also while the server drains, and whatever its request says.
template <typename Response, typename Fn>
grpc::ServerUnaryReactor* AnswerProbe(const UnaryCall& call, Fn fn) {
  Response response;
  fn(&response);
  SetMessage(response, call.response);
  return FinishUnary(call.front, call.context, call.method, {});
}

}  // namespace mezzo::api::rpc
