#pragma once

#include "mezzo/api/grpc/internal/front.h"
#include "mezzo/api/grpc/internal/grpc_headers.h"

namespace mezzo::api::rpc {

/// The generated service: two methods with serialised messages, the others with generated ones, all by callbacks. It
/// is put together one method at a time, since the generated CallbackService has the first two the other way.
namespace service_layers {
using Rpcs = ::inference::GRPCInferenceService;
using L1 = Rpcs::WithCallbackMethod_ServerLive<Rpcs::Service>;
using L2 = Rpcs::WithCallbackMethod_ServerReady<L1>;
using L3 = Rpcs::WithCallbackMethod_ModelReady<L2>;
using L4 = Rpcs::WithCallbackMethod_ServerMetadata<L3>;
using L5 = Rpcs::WithCallbackMethod_ModelMetadata<L4>;
using L6 = Rpcs::WithCallbackMethod_ModelConfig<L5>;
using L7 = Rpcs::WithCallbackMethod_ModelStatistics<L6>;
using L8 = Rpcs::WithCallbackMethod_RepositoryIndex<L7>;
using L9 = Rpcs::WithCallbackMethod_RepositoryModelLoad<L8>;
using L10 = Rpcs::WithCallbackMethod_RepositoryModelUnload<L9>;
using L11 = Rpcs::WithCallbackMethod_SystemSharedMemoryStatus<L10>;
using L12 = Rpcs::WithCallbackMethod_SystemSharedMemoryRegister<L11>;
using L13 = Rpcs::WithCallbackMethod_SystemSharedMemoryUnregister<L12>;
using L14 = Rpcs::WithCallbackMethod_CudaSharedMemoryStatus<L13>;
using L15 = Rpcs::WithCallbackMethod_CudaSharedMemoryRegister<L14>;
using L16 = Rpcs::WithCallbackMethod_CudaSharedMemoryUnregister<L15>;
using L17 = Rpcs::WithCallbackMethod_TraceSetting<L16>;
using L18 = Rpcs::WithCallbackMethod_LogSettings<L17>;
using Raw = Rpcs::WithRawCallbackMethod_ModelInfer<L18>;
using All = Rpcs::WithRawCallbackMethod_ModelStreamInfer<Raw>;
}  // namespace service_layers

/// inference.GRPCInferenceService. The two inference methods take and give serialised messages (infer_call.h,
/// infer_stream.h); the others are answered on gRPC's thread, but for loading, which runs on a loop.
class InferenceRpcService final : public service_layers::All {
 public:
  /// `front` outlives the service.
  explicit InferenceRpcService(Front& front) : front_(front) {}

  using Call = grpc::CallbackServerContext;
  using Unary = grpc::ServerUnaryReactor;

  Unary* ModelInfer(Call* call, const grpc::ByteBuffer* request, grpc::ByteBuffer* response) override;
  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* ModelStreamInfer(Call* call) override;

  Unary* ServerLive(Call* call, const ::inference::ServerLiveRequest* request,
                    ::inference::ServerLiveResponse* response) override;
  Unary* ServerReady(Call* call, const ::inference::ServerReadyRequest* request,
                     ::inference::ServerReadyResponse* response) override;
  Unary* ModelReady(Call* call, const ::inference::ModelReadyRequest* request,
                    ::inference::ModelReadyResponse* response) override;
  Unary* ServerMetadata(Call* call, const ::inference::ServerMetadataRequest* request,
                        ::inference::ServerMetadataResponse* response) override;
  Unary* ModelMetadata(Call* call, const ::inference::ModelMetadataRequest* request,
                       ::inference::ModelMetadataResponse* response) override;
  Unary* ModelConfig(Call* call, const ::inference::ModelConfigRequest* request,
                     ::inference::ModelConfigResponse* response) override;
  Unary* ModelStatistics(Call* call, const ::inference::ModelStatisticsRequest* request,
                         ::inference::ModelStatisticsResponse* response) override;

  Unary* RepositoryIndex(Call* call, const ::inference::RepositoryIndexRequest* request,
                         ::inference::RepositoryIndexResponse* response) override;
  Unary* RepositoryModelLoad(Call* call, const ::inference::RepositoryModelLoadRequest* request,
                             ::inference::RepositoryModelLoadResponse* response) override;
  Unary* RepositoryModelUnload(Call* call, const ::inference::RepositoryModelUnloadRequest* request,
                               ::inference::RepositoryModelUnloadResponse* response) override;

  Unary* SystemSharedMemoryStatus(Call* call, const ::inference::SystemSharedMemoryStatusRequest* request,
                                  ::inference::SystemSharedMemoryStatusResponse* response) override;
  Unary* SystemSharedMemoryRegister(Call* call, const ::inference::SystemSharedMemoryRegisterRequest* request,
                                    ::inference::SystemSharedMemoryRegisterResponse* response) override;
  Unary* SystemSharedMemoryUnregister(Call* call, const ::inference::SystemSharedMemoryUnregisterRequest* request,
                                      ::inference::SystemSharedMemoryUnregisterResponse* response) override;
  Unary* CudaSharedMemoryStatus(Call* call, const ::inference::CudaSharedMemoryStatusRequest* request,
                                ::inference::CudaSharedMemoryStatusResponse* response) override;
  Unary* CudaSharedMemoryRegister(Call* call, const ::inference::CudaSharedMemoryRegisterRequest* request,
                                  ::inference::CudaSharedMemoryRegisterResponse* response) override;
  Unary* CudaSharedMemoryUnregister(Call* call, const ::inference::CudaSharedMemoryUnregisterRequest* request,
                                    ::inference::CudaSharedMemoryUnregisterResponse* response) override;

  Unary* TraceSetting(Call* call, const ::inference::TraceSettingRequest* request,
                      ::inference::TraceSettingResponse* response) override;
  Unary* LogSettings(Call* call, const ::inference::LogSettingsRequest* request,
                     ::inference::LogSettingsResponse* response) override;

 private:
  Front& front_;
};

}  // namespace mezzo::api::rpc
