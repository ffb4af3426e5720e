#pragma once

#include <optional>
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

/// Answers a call that waits for nothing: `fn(tenant)` gives a Result<void>. `scope`: what the caller must be allowed
/// to do.
template <typename Fn>
grpc::ServerUnaryReactor* AnswerUnary(Front& front, grpc::CallbackServerContext* call, Method method,
                                      tenancy::Scope scope, Fn fn) {
  auto admitted = [&]() -> Result<void> {
    MEZZO_TRY([[maybe_unused]] const RunningPlace place, front.Enter());
    MEZZO_TRY(const tenancy::TenantRef tenant, AdmitCall(front, *call, scope));
    return fn(*tenant);
  };
  return FinishUnary(front, call, method, admitted());
}

}  // namespace mezzo::api::rpc
