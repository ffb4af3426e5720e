#pragma once

#include "mezzo/api/grpc/internal/front.h"
#include "mezzo/api/grpc/internal/grpc_headers.h"

namespace mezzo::api::rpc {

/// The generated service with every message as bytes, put together one method at a time: the messages of the
/// control methods are decompressed and parsed here, where that has bounds and exact errors.
namespace service_layers {
using Rpcs = ::inference::GRPCInferenceService;
using L1 = Rpcs::WithRawCallbackMethod_ServerLive<Rpcs::Service>;
using L2 = Rpcs::WithRawCallbackMethod_ServerReady<L1>;
using L3 = Rpcs::WithRawCallbackMethod_ModelReady<L2>;
using L4 = Rpcs::WithRawCallbackMethod_ServerMetadata<L3>;
using L5 = Rpcs::WithRawCallbackMethod_ModelMetadata<L4>;
using L6 = Rpcs::WithRawCallbackMethod_ModelInfer<L5>;
using L7 = Rpcs::WithRawCallbackMethod_ModelConfig<L6>;
using L8 = Rpcs::WithRawCallbackMethod_ModelStatistics<L7>;
using L9 = Rpcs::WithRawCallbackMethod_RepositoryIndex<L8>;
using L10 = Rpcs::WithRawCallbackMethod_RepositoryModelLoad<L9>;
using L11 = Rpcs::WithRawCallbackMethod_RepositoryModelUnload<L10>;
using L12 = Rpcs::WithRawCallbackMethod_SystemSharedMemoryStatus<L11>;
using L13 = Rpcs::WithRawCallbackMethod_SystemSharedMemoryRegister<L12>;
using L14 = Rpcs::WithRawCallbackMethod_SystemSharedMemoryUnregister<L13>;
using L15 = Rpcs::WithRawCallbackMethod_CudaSharedMemoryStatus<L14>;
using L16 = Rpcs::WithRawCallbackMethod_CudaSharedMemoryRegister<L15>;
using L17 = Rpcs::WithRawCallbackMethod_CudaSharedMemoryUnregister<L16>;
using L18 = Rpcs::WithRawCallbackMethod_TraceSetting<L17>;
using L19 = Rpcs::WithRawCallbackMethod_LogSettings<L18>;
using All = Rpcs::WithRawCallbackMethod_ModelStreamInfer<L19>;
}  // namespace service_layers

/// inference.GRPCInferenceService. Inference is in infer_call.h and infer_stream.h; the other methods are
/// answered on gRPC's thread, but for loading, which runs on a loop.
class InferenceRpcService final : public service_layers::All {
 public:
  /// `front` outlives the service.
  explicit InferenceRpcService(Front& front) : front_(front) {}

  using Call = grpc::CallbackServerContext;
  using Bytes = grpc::ByteBuffer;
  using Unary = grpc::ServerUnaryReactor;

  Unary* ServerLive(Call* call, const Bytes* in, Bytes* out) override;
  Unary* ServerReady(Call* call, const Bytes* in, Bytes* out) override;
  Unary* ModelReady(Call* call, const Bytes* in, Bytes* out) override;
  Unary* ServerMetadata(Call* call, const Bytes* in, Bytes* out) override;
  Unary* ModelMetadata(Call* call, const Bytes* in, Bytes* out) override;
  Unary* ModelInfer(Call* call, const Bytes* in, Bytes* out) override;
  Unary* ModelConfig(Call* call, const Bytes* in, Bytes* out) override;
  Unary* ModelStatistics(Call* call, const Bytes* in, Bytes* out) override;
  Unary* RepositoryIndex(Call* call, const Bytes* in, Bytes* out) override;
  Unary* RepositoryModelLoad(Call* call, const Bytes* in, Bytes* out) override;
  Unary* RepositoryModelUnload(Call* call, const Bytes* in, Bytes* out) override;
  Unary* SystemSharedMemoryStatus(Call* call, const Bytes* in, Bytes* out) override;
  Unary* SystemSharedMemoryRegister(Call* call, const Bytes* in, Bytes* out) override;
  Unary* SystemSharedMemoryUnregister(Call* call, const Bytes* in, Bytes* out) override;
  Unary* CudaSharedMemoryStatus(Call* call, const Bytes* in, Bytes* out) override;
  Unary* CudaSharedMemoryRegister(Call* call, const Bytes* in, Bytes* out) override;
  Unary* CudaSharedMemoryUnregister(Call* call, const Bytes* in, Bytes* out) override;
  Unary* TraceSetting(Call* call, const Bytes* in, Bytes* out) override;
  Unary* LogSettings(Call* call, const Bytes* in, Bytes* out) override;
  grpc::ServerBidiReactor<Bytes, Bytes>* ModelStreamInfer(Call* call) override;

 private:
  Front& front_;
};

}  // namespace mezzo::api::rpc
