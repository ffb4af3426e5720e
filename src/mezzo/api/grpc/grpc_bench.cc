// Question: how many unary calls does the front end serve, with a service that answers at once, against a
// server that does nothing but send back bytes of the same sizes (1 KB in, 64 bytes out)? Budget: at least
// 0.7 of the bare one. Both are on loopback in this process, called by the same client, 64 calls at a time
// over 4 connections.

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "mezzo/api/grpc/internal/grpc_headers.h"
#include "mezzo/api/grpc/internal/infer_request.h"
#include "mezzo/api/grpc/internal/infer_response.h"
#include "mezzo/api/grpc/testing/client_headers.h"
#include "mezzo/api/grpc/testing/server_fixture.h"
#include "mezzo/base/check.h"

namespace mezzo::api::rpc {
namespace {

constexpr int kConnections = 4;
constexpr int kCallsAtOnce = 64;
constexpr int kCallsPerRound = 4096;
constexpr std::size_t kInputBytes = 1024;
constexpr std::size_t kOutputBytes = 64;
using Rpcs = ::inference::GRPCInferenceService;

std::string RequestBytes() {
  ::inference::ModelInferRequest request;
  request.set_model_name("mlp");
  auto* input = request.add_inputs();
  input->set_name("input");
  input->set_datatype("FP32");
  input->add_shape(1);
  input->add_shape(static_cast<std::int64_t>(kInputBytes / sizeof(float)));
  request.add_outputs()->set_name("output");
  request.add_raw_input_contents(std::string(kInputBytes, 'x'));
  return request.SerializeAsString();
}

inference::InferenceAnswer Answer() {
  inference::InferenceAnswer answer;
  answer.model = ModelName("mlp");
  answer.version = "1";
  inference::NamedTensor output{.name = "output", .tensor = {}};
  output.tensor.shape = {1, static_cast<std::int64_t>(kOutputBytes / sizeof(float))};
  output.tensor.data = tensor::AllocateBuffer(kOutputBytes).Share();
  answer.outputs.push_back(std::move(output));
  return answer;
}

std::string ResponseBytes() {
  const inference::InferenceAnswer answer = Answer();
  InferResponseWriter writer(answer, InferResponseWriter::Form::kUnary);
  std::string bytes(writer.head_size(), '\0');
  writer.Write(reinterpret_cast<std::byte*>(bytes.data()));
  return bytes;
}

grpc::ByteBuffer ToBuffer(const std::string& bytes) {
  const grpc::Slice slice(bytes);
  return {&slice, 1};
}

class InstantService final : public inference::Service {
 public:
  runtime::Task<Result<inference::InferenceAnswer>> Infer(runtime::Context, tenancy::CallerRef,
                                                          inference::InferenceCall) override {
    co_return Answer();
  }
  Result<std::vector<inference::ModelStatistics>> Statistics(std::string_view, std::string_view) override {
    return std::vector<inference::ModelStatistics>();
  }
  void RecordEdges(const inference::InferenceAnswer&, Duration, Duration) override {}
  models::Catalog& catalog() override { return catalog_; }

 private:
  testing::FakeCatalog catalog_;
};

/// Sends a prepared message back: as little as a grpc++ server can do.
class RawEcho final : public Rpcs::WithRawCallbackMethod_ModelInfer<Rpcs::Service> {
 public:
  grpc::ServerUnaryReactor* ModelInfer(grpc::CallbackServerContext* call, const grpc::ByteBuffer*,
                                       grpc::ByteBuffer* response) override {
    *response = answer_;
    grpc::ServerUnaryReactor* reactor = call->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

 private:
  const grpc::ByteBuffer answer_ = ToBuffer(ResponseBytes());
};

/// The same with generated messages.
class MessageEcho final : public Rpcs::WithCallbackMethod_ModelInfer<Rpcs::Service> {
 public:
  MessageEcho() { MEZZO_CHECK(answer_.ParseFromString(ResponseBytes())); }
  grpc::ServerUnaryReactor* ModelInfer(grpc::CallbackServerContext* call,
                                       const ::inference::ModelInferRequest*,
                                       ::inference::ModelInferResponse* response) override {
    *response = answer_;
    grpc::ServerUnaryReactor* reactor = call->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

 private:
  ::inference::ModelInferResponse answer_;
};

template <typename Echo>
class BareServer {
 public:
  BareServer() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(&echo_);
    server_ = builder.BuildAndStart();
    MEZZO_CHECK(server_ != nullptr);
  }
  [[nodiscard]] int port() const { return port_; }

 private:
  Echo echo_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

class FrontServer {
 public:
  FrontServer() : directory_(tenancy::testing::Anybody("everyone"), clock_), logger_({}, clock_), loops_(2) {
    GrpcServer::Options options;
    options.port = 0;
    server_ = std::make_unique<GrpcServer>(options, GrpcServer::Services{.service = service_,
                                                                         .directory = directory_,
                                                                         .shared_memory = regions_,
                                                                         .trace_settings = trace_,
                                                                         .log_settings = log_,
                                                                         .health = health_,
                                                                         .registry = registry_,
                                                                         .logger = logger_,
                                                                         .clock = clock_,
                                                                         .loops = loops_});
    MEZZO_CHECK(server_->Start().ok());
  }
  [[nodiscard]] int port() const { return server_->port(); }

 private:
  RealClock clock_;
  InstantService service_;
  tenancy::Directory directory_;
  SharedMemoryRegions regions_{{}};
  TraceSettings trace_;
  LogSettings log_;
  observe::Health health_;
  observe::Registry registry_;
  observe::Logger logger_;
  runtime::IoThreads loops_;
  std::unique_ptr<GrpcServer> server_;
};

/// Keeps kCallsAtOnce calls going until a round is done.
class Client {
 public:
  explicit Client(int port) {
    for (int i = 0; i < kConnections; ++i) {
      grpc::ChannelArguments arguments;
      arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
      stubs_.push_back(std::make_unique<grpc::GenericStub>(grpc::CreateCustomChannel(
          "127.0.0.1:" + std::to_string(port), grpc::InsecureChannelCredentials(), arguments)));
    }
  }

  void RunRound() EXCLUDES(mu_) {
    left_.store(kCallsPerRound);
    {
      MutexLock lock(mu_);
      running_ = kCallsAtOnce;
    }
    for (int i = 0; i < kCallsAtOnce; ++i) Next(i % kConnections);
    MutexLock lock(mu_);
    while (running_ > 0) done_.Wait(mu_);
  }

 private:
  struct Call {
    grpc::ClientContext context;
    grpc::ByteBuffer request;
    grpc::ByteBuffer response;
  };

  void Next(int connection) {
    if (left_.fetch_sub(1) <= 0) {
      MutexLock lock(mu_);
      if (--running_ == 0) done_.NotifyOne();
      return;
    }
    auto call = std::make_shared<Call>();
    call->request = request_;
    grpc::GenericStub& stub = *stubs_[static_cast<std::size_t>(connection)];
    stub.UnaryCall(&call->context, "/inference.GRPCInferenceService/ModelInfer", {}, &call->request,
                   &call->response, [this, call, connection](const grpc::Status& status) {
                     MEZZO_CHECK(status.ok());
                     Next(connection);
                   });
  }

  std::vector<std::unique_ptr<grpc::GenericStub>> stubs_;
  const grpc::ByteBuffer request_ = ToBuffer(RequestBytes());
  std::atomic<int> left_{0};
  Mutex mu_;
  CondVar done_;
  int running_ GUARDED_BY(mu_) = 0;
};

template <typename Server>
void BM_Unary(benchmark::State& state) {
  Server server;
  Client client(server.port());
  client.RunRound();
  for (auto _ : state) client.RunRound();
  state.SetItemsProcessed(state.iterations() * kCallsPerRound);
}
BENCHMARK(BM_Unary<BareServer<RawEcho>>)
    ->UseRealTime()
    ->MeasureProcessCPUTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK(BM_Unary<BareServer<MessageEcho>>)
    ->UseRealTime()
    ->MeasureProcessCPUTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK(BM_Unary<FrontServer>)->UseRealTime()->MeasureProcessCPUTime()->Unit(benchmark::kMillisecond);

// Question: what do decoding and encoding cost, against protobuf's own parser? Budget: 1 µs for both
// together.
void BM_Decode(benchmark::State& state) {
  const std::string bytes = RequestBytes();
  const BytesView segment = AsBytes(bytes);
  for (auto _ : state) {
    DecodedInfer decoded;
    benchmark::DoNotOptimize(
        DecodeInferRequest({&segment, 1}, {.regions = nullptr, .tenant = {}}, {}, &decoded).ok());
  }
}
BENCHMARK(BM_Decode);

void BM_DecodeByProtobuf(benchmark::State& state) {
  const std::string bytes = RequestBytes();
  for (auto _ : state) {
    google::protobuf::Arena arena;
    auto* request = google::protobuf::Arena::CreateMessage<::inference::ModelInferRequest>(&arena);
    benchmark::DoNotOptimize(request->ParseFromString(bytes));
  }
}
BENCHMARK(BM_DecodeByProtobuf);

void BM_Encode(benchmark::State& state) {
  const inference::InferenceAnswer answer = Answer();
  std::string bytes(1024, '\0');
  for (auto _ : state) {
    InferResponseWriter writer(answer, InferResponseWriter::Form::kUnary);
    writer.Write(reinterpret_cast<std::byte*>(bytes.data()));
    benchmark::DoNotOptimize(bytes.data());
  }
}
BENCHMARK(BM_Encode);

}  // namespace
}  // namespace mezzo::api::rpc
