// A bare grpc++ server (callback API) that answers every ModelInfer at once with a tensor of a fixed size: what
// Mezzo's gRPC front end is compared with. Prints its port.
//
//   bench_grpc_echo OUTPUT_BYTES

#include <grpcpp/grpcpp.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "grpc_service.grpc.pb.h"

namespace {

class Echo final : public inference::GRPCInferenceService::CallbackService {
 public:
  explicit Echo(std::size_t output_bytes) : output_(output_bytes, '\0') {}

  grpc::ServerUnaryReactor* ModelInfer(grpc::CallbackServerContext* context, const inference::ModelInferRequest* request,
                                       inference::ModelInferResponse* response) override {
    response->set_model_name(request->model_name());
    response->set_model_version("1");
    response->set_id(request->id());
    auto* output = response->add_outputs();
    output->set_name("OUTPUT");
    output->set_datatype("FP32");
    output->add_shape(1);
    output->add_shape(static_cast<std::int64_t>(output_.size() / sizeof(float)));
    response->add_raw_output_contents(output_);
    return Finish(context);
  }

  grpc::ServerUnaryReactor* ModelReady(grpc::CallbackServerContext* context, const inference::ModelReadyRequest*,
                                       inference::ModelReadyResponse* response) override {
    response->set_ready(true);
    return Finish(context);
  }

  grpc::ServerUnaryReactor* ModelMetadata(grpc::CallbackServerContext* context,
                                          const inference::ModelMetadataRequest* request,
                                          inference::ModelMetadataResponse* response) override {
    response->set_name(request->name());
    response->add_versions("1");
    auto* input = response->add_inputs();
    input->set_name("INPUT");
    input->set_datatype("FP32");
    input->add_shape(-1);
    input->add_shape(256);
    return Finish(context);
  }

 private:
  static grpc::ServerUnaryReactor* Finish(grpc::CallbackServerContext* context) {
    auto* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

  const std::string output_;
};

}  // namespace

int main(int argc, char** argv) {
  Echo echo(argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 64);
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&echo);
  const auto server = builder.BuildAndStart();
  if (server == nullptr) return 1;
  std::printf("%d\n", port);
  std::fflush(stdout);
  server->Wait();  // Until the benchmark ends this process.
  return 0;
}
