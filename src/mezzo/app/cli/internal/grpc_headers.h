#pragma once

// gRPC's headers, through which everything here includes them: Abseil's define thread annotation macros of
// the names that base/mutex.h uses, and must leave ours as they were.
#pragma push_macro("GUARDED_BY")
#pragma push_macro("PT_GUARDED_BY")
#pragma push_macro("NO_THREAD_SAFETY_ANALYSIS")
#undef GUARDED_BY
#undef PT_GUARDED_BY
#undef NO_THREAD_SAFETY_ANALYSIS

#include "grpc_service.grpc.pb.h"
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#pragma pop_macro("NO_THREAD_SAFETY_ANALYSIS")
#pragma pop_macro("PT_GUARDED_BY")
#pragma pop_macro("GUARDED_BY")
