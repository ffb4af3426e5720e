#pragma once

#include <span>

#include "mezzo/api/router.h"
#include "mezzo/api/v2http/v2_handler.h"

namespace mezzo::api::v2http {

enum RouteId : int {
  kInfer,
  kInferVersion,
  kLive,
  kReady,
  kServer,
  kModels,
  kAllStatistics,
  kModel,
  kModelVersion,
  kModelReady,
  kModelVersionReady,
  kConfig,
  kConfigVersion,
  kStatistics,
  kStatisticsVersion,
  kGenerate,
  kGenerateVersion,
  kGenerateStream,
  kGenerateStreamVersion,
  kIndex,
  kLoad,
  kUnload,
  kNamedRepository,
  kSystemStatus,
  kSystemRegionStatus,
  kSystemRegister,
  kSystemRegisterNameless,
  kSystemUnregister,
  kSystemUnregisterAll,
  kCudaStatus,
  kCudaRegionStatus,
  kCudaRegister,
  kCudaUnregister,
  kTrace,
  kTraceModel,
  kLogging,
};

/// Which of the handler's limits a route's body has; stands in Route::max_body of the table.
enum BodyClass : ByteCount { kNoBody = 0, kInferBody = 1, kControlBody = 2, kLoadBody = 3 };

/// The protocol's table, the hottest routes first.
std::span<const Route> Routes();

}  // namespace mezzo::api::v2http
