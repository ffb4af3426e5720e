#pragma once

// What clients need of gRPC, on top of grpc_headers.h and in the same way.
#pragma push_macro("GUARDED_BY")
#pragma push_macro("PT_GUARDED_BY")
#pragma push_macro("NO_THREAD_SAFETY_ANALYSIS")
#undef GUARDED_BY
#undef PT_GUARDED_BY
#undef NO_THREAD_SAFETY_ANALYSIS

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

#pragma pop_macro("NO_THREAD_SAFETY_ANALYSIS")
#pragma pop_macro("PT_GUARDED_BY")
#pragma pop_macro("GUARDED_BY")
