#pragma once

#include "mezzo/api/grpc/internal/front.h"
#include "mezzo/api/grpc/internal/grpc_headers.h"

namespace mezzo::api::rpc {

/// Serves one ModelStreamInfer call. Its requests run at the same time, up to Options::max_stream_requests of
/// them, and are answered in their order; while that many are unanswered, or their tensors take as much as
/// one message may, no more is read, so that the client's flow-control window fills. `front` outlives the
/// call.
grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* StartInferStream(
    Front& front, grpc::CallbackServerContext* call);

}  // namespace mezzo::api::rpc
