#pragma once

#include "mezzo/api/grpc/internal/front.h"
#include "mezzo/api/grpc/internal/grpc_headers.h"
#include "mezzo/api/grpc/internal/infer_response.h"

namespace mezzo::api::rpc {

/// Serialises an answer; big outputs are not copied but kept alive until they are sent.
grpc::ByteBuffer EncodeAnswer(const inference::InferenceAnswer& answer, InferResponseWriter::Form form);

/// Serves one ModelInfer call: refuses it, or starts it on a loop. `front` outlives the call.
grpc::ServerUnaryReactor* StartInferCall(Front& front, grpc::CallbackServerContext* call,
                                         const grpc::ByteBuffer* request, grpc::ByteBuffer* response);

}  // namespace mezzo::api::rpc
