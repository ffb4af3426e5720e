#pragma once

#include "grpc_service.grpc.pb.h"
#include "mezzo/api/grpc/internal/front.h"

namespace mezzo::api::rpc {

/// inference.GRPCInferenceService. The two inference methods take and give serialised messages (infer_call.h,
/// infer_stream.h); the others are answered on gRPC's thread, but for loading, which runs on a loop.
class InferenceRpcService final
    : public ::inference::GRPCInferenceService::WithRawCallbackMethod_ModelInfer<
          ::inference::GRPCInferenceService::WithRawCallbackMethod_ModelStreamInfer<
              ::inference::GRPCInferenceService::CallbackService>> {
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
