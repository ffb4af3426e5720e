#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/api/grpc/internal/front.h"
#include "mezzo/api/grpc/internal/grpc_headers.h"
#include "mezzo/base/bytes.h"
#include "mezzo/base/result.h"
#include "mezzo/releases/header_lookup.h"
#include "mezzo/runtime/context.h"
#include "mezzo/tenancy/limit.h"
#include "mezzo/tenancy/tenant.h"

namespace mezzo::api::rpc {

/// The value of a metadata key; empty when there is none. Of several, the first.
std::string_view MetadataValue(const grpc::ServerContextBase& call, const char* key);

/// What a model's route may look at of `call`, which outlives the request: its metadata.
releases::HeaderLookup HeadersOf(const grpc::ServerContextBase& call);

/// Who calls, and whether they may call `method`: by authorization or x-api-key, and the address.
Result<tenancy::CallerRef> AdmitCall(const Front& front, const grpc::ServerContextBase& call, Method method);

/// The call's context: tenant, request id (x-request-id or a new one), trace, and grpc-timeout as its
/// deadline.
runtime::Context MakeContext(const Front& front, const grpc::ServerContextBase& call,
                             const tenancy::Caller& caller);

/// The earlier of the context's deadline and `timeout` from now.
runtime::Context WithTimeout(const Front& front, const runtime::Context& ctx,
                             const std::optional<Duration>& timeout);

/// An error as gRPC's status. Reason, request id and the time to come back go into the trailing metadata, the
/// time also as google.rpc.RetryInfo into the status's details; must come before the call is finished.
grpc::Status Refuse(grpc::ServerContextBase& call, const Error& error, std::string_view request_id = {});

/// What limit the call has met, as the trailers `ratelimit` and `ratelimit-policy`; see AddLimitHeaders().
void AddLimitTrailers(grpc::ServerContextBase& call, const tenancy::LimitState& limit);

/// A message's bytes, in the pieces they came in; decompressed if need be.
class MessageBytes {
 public:
  MessageBytes() = default;
  MessageBytes(const MessageBytes&) = delete;
  MessageBytes& operator=(const MessageBytes&) = delete;

  /// At most once. `limit` holds for what is decompressed; fails with the errors of Inflate().
  Result<void> Read(const grpc::ByteBuffer& buffer, ByteCount limit);
  [[nodiscard]] std::span<const BytesView> segments() const { return segments_; }
  /// The whole in one piece, which is copied together if need be.
  [[nodiscard]] BytesView Join();

 private:
  std::vector<grpc::Slice> slices_;  // They keep small contents inside themselves: never moved after Read().
  std::vector<BytesView> segments_;
  std::string own_;
};

}  // namespace mezzo::api::rpc
