#include "mezzo/api/grpc/grpc_server.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <future>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/api/grpc/testing/client_fixture.h"
#include "mezzo/base/strings.h"

namespace mezzo::api::rpc {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using testing::GrpcServerTest;
using ::testing::HasSubstr;
using testing::MakeRequest;
using testing::ServedFakes;
using testing::Trailer;

// One inference per call.

TEST_F(GrpcServerTest, InferAnswersWithTheOutputsAndTheCallersId) {
  Serve();
  grpc::ClientContext context;
  ::inference::ModelInferResponse response;

  const grpc::Status status = stub_->ModelInfer(&context, MakeRequest("echo", "my id"), &response);

  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.model_name(), "echo");
  EXPECT_EQ(response.model_version(), "3");
  EXPECT_EQ(response.id(), "my id");
  EXPECT_EQ(response.parameters().at("note").string_param(), "seen");
  ASSERT_EQ(response.outputs_size(), 1);
  EXPECT_EQ(response.outputs(0).name(), "Y");
  EXPECT_THAT(response.outputs(0).shape(), ElementsAre(1, 4));
  EXPECT_THAT(response.raw_output_contents(), ElementsAre("0123456789abcdef"));
}

TEST_F(GrpcServerTest, InferCarriesTenantTraceIdsAndTheEarlierDeadline) {
  Serve();
  grpc::ClientContext context;
  context.AddMetadata("x-request-id", "req-7");
  context.AddMetadata("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
  context.set_deadline(std::chrono::system_clock::now() + 100s);
  auto request = MakeRequest("echo");
  (*request.mutable_parameters())["timeout"].set_int64_param(50'000'000);
  (*request.mutable_parameters())["priority"].set_uint64_param(2);
  ::inference::ModelInferResponse response;
  const TimePoint before = fakes_->clock.Now();

  ASSERT_TRUE(stub_->ModelInfer(&context, request, &response).ok());

  const auto seen = service().seen();
  EXPECT_EQ(seen.tenant, "everyone");
  EXPECT_EQ(seen.request_id, "req-7");
  EXPECT_EQ(seen.trace_id, "0af7651916cd43dd8448eb211c80319c");
  EXPECT_EQ(seen.priority, 2U);
  EXPECT_GE(seen.deadline, before + 50s);
  EXPECT_LT(seen.deadline, before + 90s);
}

TEST_F(GrpcServerTest, TheCallsOwnDeadlineHoldsWhenItIsTheEarlierOne) {
  Serve();
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + 30s);
  auto request = MakeRequest("echo");
  (*request.mutable_parameters())["timeout"].set_int64_param(50'000'000);
  ::inference::ModelInferResponse response;
  const TimePoint before = fakes_->clock.Now();
  ASSERT_TRUE(stub_->ModelInfer(&context, request, &response).ok());
  EXPECT_LT(service().seen().deadline, before + 40s);
  EXPECT_GT(service().seen().deadline, before + 20s);
}

TEST_F(GrpcServerTest, WithoutAnyDeadlineThereIsNone) {
  Serve();
  grpc::ClientContext context;
  ::inference::ModelInferResponse response;
  ASSERT_TRUE(stub_->ModelInfer(&context, MakeRequest("echo"), &response).ok());
  EXPECT_EQ(service().seen().deadline, kNever);
}

TEST_F(GrpcServerTest, BigOutputsArriveWhole) {
  Serve();
  grpc::ClientContext context;
  ::inference::ModelInferResponse response;
  ASSERT_TRUE(stub_->ModelInfer(&context, MakeRequest("big"), &response).ok());
  ASSERT_EQ(response.raw_output_contents(0).size(), 1'000'000U);
  EXPECT_EQ(response.raw_output_contents(0)[999'999], static_cast<char>(999'999 * 7));
}

TEST_F(GrpcServerTest, RefusalsSayWhyAndWhenToComeBack) {
  Serve();
  grpc::ClientContext context;
  context.AddMetadata("x-request-id", "abc");
  ::inference::ModelInferResponse response;

  const grpc::Status status = stub_->ModelInfer(&context, MakeRequest("fail"), &response);

  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(status.error_message(), "Exceeds maximum queue size");
  EXPECT_EQ(Trailer(context, "x-mezzo-reason"), "queue_full");
  EXPECT_EQ(Trailer(context, "x-request-id"), "abc");
  EXPECT_EQ(Trailer(context, "retry-after"), "2");
  EXPECT_EQ(Trailer(context, "retry-pushback-ms"), "1200");
  EXPECT_EQ(Trailer(context, "grpc-retry-pushback-ms"), "1200");
}

TEST_F(GrpcServerTest, UnknownModelsAreNotFoundInTritonsWords) {
  Serve();
  grpc::ClientContext context;
  ::inference::ModelInferResponse response;
  const grpc::Status status = stub_->ModelInfer(&context, MakeRequest("nope"), &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(status.error_message(), "Request for unknown model: 'nope' is not found");
}

TEST_F(GrpcServerTest, UndecodableRequestsNeverReachTheService) {
  Serve();
  grpc::ClientContext context;
  auto request = MakeRequest("echo");
  request.clear_raw_input_contents();
  ::inference::ModelInferResponse response;
  const grpc::Status status = stub_->ModelInfer(&context, request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(status.error_message(), "unable to find data for input tensor 'X' for model 'echo' in request.");
  EXPECT_EQ(service().seen().tenant, "");
}

TEST_F(GrpcServerTest, CancellingACallCancelsItsWork) {
  Serve();
  grpc::ClientContext context;
  auto answer = std::async(std::launch::async, [&] {
    ::inference::ModelInferResponse response;
    return stub_->ModelInfer(&context, MakeRequest("hold"), &response);
  });
  service().gate.AwaitWaiting(1);

  context.TryCancel();

  service().gate.AwaitWaiting(0);  // The coroutine has been let go by its context.
  EXPECT_EQ(answer.get().error_code(), grpc::StatusCode::CANCELLED);
}

TEST_F(GrpcServerTest, ADeadlineThatPassesCancelsTheWork) {
  Serve();
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + 300ms);
  ::inference::ModelInferResponse response;
  EXPECT_EQ(stub_->ModelInfer(&context, MakeRequest("hold"), &response).error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  service().gate.AwaitWaiting(0);
}

TEST_F(GrpcServerTest, RunningRequestsAreBounded) {
  GrpcServer::Options options;
  options.max_running = 1;
  Serve(options);
  auto held = std::async(std::launch::async, [&] {
    grpc::ClientContext context;
    ::inference::ModelInferResponse response;
    return stub_->ModelInfer(&context, MakeRequest("hold"), &response);
  });
  service().gate.AwaitWaiting(1);

  grpc::ClientContext context;
  ::inference::ModelInferResponse response;
  const grpc::Status refused = stub_->ModelInfer(&context, MakeRequest("echo"), &response);

  EXPECT_EQ(refused.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(refused.error_message(), "too many gRPC requests are running, the limit is 1");
  EXPECT_EQ(Trailer(context, "retry-after"), "1");
  service().gate.Open();
  EXPECT_TRUE(held.get().ok());
}

TEST_F(GrpcServerTest, TensorBytesInFlightAreBounded) {
  GrpcServer::Options options;
  options.max_bytes_in_flight = 63;
  Serve(options);
  grpc::ClientContext context;
  ::inference::ModelInferResponse response;
  const grpc::Status refused = stub_->ModelInfer(&context, MakeRequest("echo"), &response);
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(refused.error_message(), HasSubstr("the limit is 63"));
}

TEST_F(GrpcServerTest, MessagesOverTheLimitAreRefused) {
  GrpcServer::Options options;
  options.max_message_bytes = 1 << 20;
  Serve(options);
  auto request = MakeRequest("echo");
  *request.mutable_raw_input_contents(0) = std::string(2 << 20, 'x');
  grpc::ClientContext context;
  ::inference::ModelInferResponse response;
  EXPECT_EQ(stub_->ModelInfer(&context, request, &response).error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
}

TEST_F(GrpcServerTest, CompressedMessagesOverTheLimitAreRefusedToo) {
  GrpcServer::Options options;
  options.max_message_bytes = 1 << 20;
  Serve(options);
  auto request = MakeRequest("echo");
  *request.mutable_raw_input_contents(0) = std::string(8 << 20, '\0');
  grpc::ClientContext context;
  context.set_compression_algorithm(GRPC_COMPRESS_GZIP);
  ::inference::ModelInferResponse response;
  EXPECT_EQ(stub_->ModelInfer(&context, request, &response).error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
}

TEST_F(GrpcServerTest, BombsAreRefusedByTheirRatio) {
  Serve();
  auto request = MakeRequest("echo");
  *request.mutable_raw_input_contents(0) = std::string(8 << 20, '\0');
  grpc::ClientContext context;
  context.set_compression_algorithm(GRPC_COMPRESS_GZIP);
  ::inference::ModelInferResponse response;
  const grpc::Status status = stub_->ModelInfer(&context, request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(Trailer(context, "x-mezzo-reason"), "message_too_large");
}

TEST_F(GrpcServerTest, CompressedRequestsAreUnderstood) {
  Serve();
  for (const auto algorithm : {GRPC_COMPRESS_GZIP, GRPC_COMPRESS_DEFLATE}) {
    auto request = MakeRequest("echo");
    (*request.mutable_parameters())["long"].set_string_param(std::string(2000, 'l'));
    grpc::ClientContext context;
    context.set_compression_algorithm(algorithm);
    ::inference::ModelInferResponse response;
    const grpc::Status status = stub_->ModelInfer(&context, request, &response);
    ASSERT_TRUE(status.ok()) << status.error_message();
    EXPECT_THAT(response.raw_output_contents(), ElementsAre("0123456789abcdef"));
  }
  grpc::ClientContext control;
  control.set_compression_algorithm(GRPC_COMPRESS_GZIP);
  ::inference::ModelMetadataRequest request;
  request.set_name(std::string(3000, 'n'));
  ::inference::ModelMetadataResponse response;
  EXPECT_EQ(stub_->ModelMetadata(&control, request, &response).error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(GrpcServerTest, MalformedMessagesAreInvalidArguments) {
  Serve();
  for (const char* method : {"ModelInfer", "ModelMetadata", "RepositoryModelLoad"}) {
    grpc::GenericStub stub(channel_);
    const grpc::Slice slice(std::string("\x0a\x7fnot a message"));
    grpc::ByteBuffer request(&slice, 1);
    grpc::ByteBuffer response;
    grpc::ClientContext context;
    std::promise<grpc::Status> done;
    stub.UnaryCall(&context, std::string("/inference.GRPCInferenceService/") + method, {}, &request,
                   &response, [&](const grpc::Status& status) { done.set_value(status); });
    const grpc::Status status = done.get_future().get();
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << method;
    EXPECT_THAT(status.error_message(), HasSubstr("malformed protocol buffer")) << method;
  }
}

// Everything else.

TEST_F(GrpcServerTest, ProbesSayLiveAndReady) {
  Serve();
  grpc::ClientContext live;
  ::inference::ServerLiveResponse is_live;
  ASSERT_TRUE(stub_->ServerLive(&live, {}, &is_live).ok());
  EXPECT_TRUE(is_live.live());
  fakes_->ready.Fail("loading");
  grpc::ClientContext ready;
  ::inference::ServerReadyResponse is_ready;
  ASSERT_TRUE(stub_->ServerReady(&ready, {}, &is_ready).ok());
  EXPECT_FALSE(is_ready.ready());
  grpc::ClientContext model;
  ::inference::ModelReadyRequest request;
  request.set_name("echo");
  ::inference::ModelReadyResponse model_ready;
  ASSERT_TRUE(stub_->ModelReady(&model, request, &model_ready).ok());
  EXPECT_TRUE(model_ready.ready());
}

TEST_F(GrpcServerTest, MetadataDescribesServerAndModel) {
  Serve();
  grpc::ClientContext server_context;
  ::inference::ServerMetadataResponse server;
  ASSERT_TRUE(stub_->ServerMetadata(&server_context, {}, &server).ok());
  EXPECT_EQ(server.name(), "mezzo");
  EXPECT_THAT(server.extensions(), ::testing::Contains("model_repository(unload_dependents)"));

  grpc::ClientContext model_context;
  ::inference::ModelMetadataRequest request;
  request.set_name("echo");
  ::inference::ModelMetadataResponse model;
  ASSERT_TRUE(stub_->ModelMetadata(&model_context, request, &model).ok());
  EXPECT_THAT(model.versions(), ElementsAre("1", "3"));
  EXPECT_EQ(model.platform(), "onnxruntime_onnx");
  EXPECT_EQ(model.inputs(0).datatype(), "FP32");
  EXPECT_THAT(model.outputs(0).shape(), ElementsAre(-1, 4));

  grpc::ClientContext unknown_context;
  request.set_name("nope");
  EXPECT_EQ(stub_->ModelMetadata(&unknown_context, request, &model).error_code(),
            grpc::StatusCode::NOT_FOUND);
}

TEST_F(GrpcServerTest, ConfigAndStatisticsAreTritonsMessages) {
  Serve();
  grpc::ClientContext config_context;
  ::inference::ModelConfigRequest config_request;
  config_request.set_name("echo");
  ::inference::ModelConfigResponse config;
  ASSERT_TRUE(stub_->ModelConfig(&config_context, config_request, &config).ok());
  EXPECT_EQ(config.config().name(), "echo");
  EXPECT_EQ(config.config().max_batch_size(), 8);
  EXPECT_EQ(config.config().input(0).name(), "X");

  grpc::ClientContext statistics_context;
  ::inference::ModelStatisticsResponse statistics;
  ASSERT_TRUE(stub_->ModelStatistics(&statistics_context, {}, &statistics).ok());
  ASSERT_EQ(statistics.model_stats_size(), 1);
  EXPECT_EQ(statistics.model_stats(0).inference_count(), 5U);
  EXPECT_EQ(statistics.model_stats(0).inference_stats().success().ns(), 4000U);
  EXPECT_EQ(statistics.model_stats(0).batch_stats(0).compute_infer().ns(), 9U);
  EXPECT_EQ(statistics.model_stats(0).memory_usage(0).byte_size(), 1024U);
}

TEST_F(GrpcServerTest, TheRepositoryIsListedLoadedAndUnloaded) {
  Serve();
  grpc::ClientContext index_context;
  ::inference::RepositoryIndexResponse index;
  ASSERT_TRUE(stub_->RepositoryIndex(&index_context, {}, &index).ok());
  ASSERT_EQ(index.models_size(), 2);
  EXPECT_EQ(index.models(0).state(), "READY");
  EXPECT_EQ(index.models(1).state(), "UNAVAILABLE");
  EXPECT_EQ(index.models(1).reason(), "bad graph");

  grpc::ClientContext load_context;
  ::inference::RepositoryModelLoadRequest load;
  load.set_model_name("echo");
  (*load.mutable_parameters())["config"].set_string_param("{}");
  (*load.mutable_parameters())["file:1/model.onnx"].set_bytes_param(std::string("\0x", 2));
  ::inference::RepositoryModelLoadResponse loaded;
  ASSERT_TRUE(stub_->RepositoryModelLoad(&load_context, load, &loaded).ok());
  EXPECT_EQ(service().fake_catalog.loaded().config_json, "{}");
  EXPECT_EQ(service().fake_catalog.loaded().files.at("1/model.onnx"), std::string("\0x", 2));

  grpc::ClientContext unload_context;
  ::inference::RepositoryModelUnloadRequest unload;
  unload.set_model_name("echo");
  (*unload.mutable_parameters())["unload_dependents"].set_bool_param(true);
  ::inference::RepositoryModelUnloadResponse unloaded;
  ASSERT_TRUE(stub_->RepositoryModelUnload(&unload_context, unload, &unloaded).ok());
  EXPECT_EQ(service().fake_catalog.unloaded(), "echo");
}

TEST_F(GrpcServerTest, BadLoadsAreRefusedWithWhatIsWrong) {
  Serve();
  struct Case {
    void (*spoil)(::inference::RepositoryModelLoadRequest*);
    grpc::StatusCode code;
    const char* message;
  };
  const Case cases[] = {
      {[](auto* r) { r->set_repository_name("other"); }, grpc::StatusCode::UNIMPLEMENTED,
       "'repository_name' specification is not supported, got 'other'"},
      {[](auto* r) { (*r->mutable_parameters())["config"].set_bool_param(true); },
       grpc::StatusCode::INVALID_ARGUMENT,
       "invalid value type for 'config' parameter, expected string_param."},
      {[](auto* r) { (*r->mutable_parameters())["file:1/x"].set_string_param(""); },
       grpc::StatusCode::INVALID_ARGUMENT,
       "invalid value type for 'file:1/x' parameter, expected bytes_param."},
      {[](auto* r) { (*r->mutable_parameters())["file:1/x"].set_bytes_param(""); },
       grpc::StatusCode::INVALID_ARGUMENT, "load parameter 'config' must be specified when 'file:' is"},
      {[](auto* r) { (*r->mutable_parameters())["what"].set_bool_param(true); },
       grpc::StatusCode::INVALID_ARGUMENT, "unknown load parameter 'what'"},
      {[](auto* r) { r->set_model_name("nope"); }, grpc::StatusCode::NOT_FOUND, "Request for unknown model"},
  };
  for (const Case& bad : cases) {
    ::inference::RepositoryModelLoadRequest request;
    request.set_model_name("echo");
    bad.spoil(&request);
    grpc::ClientContext context;
    ::inference::RepositoryModelLoadResponse response;
    const grpc::Status status = stub_->RepositoryModelLoad(&context, request, &response);
    EXPECT_EQ(status.error_code(), bad.code) << bad.message;
    EXPECT_THAT(status.error_message(), HasSubstr(bad.message));
  }
}

TEST_F(GrpcServerTest, SettingsAreReadAndChangedButNeverWithAFilePath) {
  Serve();
  grpc::ClientContext trace_context;
  ::inference::TraceSettingRequest trace;
  (*trace.mutable_settings())["trace_rate"].add_value("7");
  (*trace.mutable_settings())["trace_level"].add_value("TIMESTAMPS");
  ::inference::TraceSettingResponse traced;
  ASSERT_TRUE(stub_->TraceSetting(&trace_context, trace, &traced).ok());
  EXPECT_THAT(traced.settings().at("trace_rate").value(), ElementsAre("7"));
  EXPECT_THAT(traced.settings().at("trace_level").value(), ElementsAre("TIMESTAMPS"));

  grpc::ClientContext file_context;
  (*trace.mutable_settings())["trace_file"].add_value("/etc/passwd");
  EXPECT_EQ(stub_->TraceSetting(&file_context, trace, &traced).error_code(), grpc::StatusCode::UNIMPLEMENTED);
  grpc::ClientContext model_context;
  trace.clear_settings();
  trace.set_model_name("nope");
  EXPECT_EQ(stub_->TraceSetting(&model_context, trace, &traced).error_code(), grpc::StatusCode::NOT_FOUND);

  grpc::ClientContext log_context;
  ::inference::LogSettingsRequest log;
  (*log.mutable_settings())["log_verbose_level"].set_uint32_param(2);
  (*log.mutable_settings())["log_info"].set_bool_param(false);
  ::inference::LogSettingsResponse logged;
  ASSERT_TRUE(stub_->LogSettings(&log_context, log, &logged).ok());
  EXPECT_EQ(logged.settings().at("log_verbose_level").uint32_param(), 2U);
  EXPECT_FALSE(logged.settings().at("log_info").bool_param());
  grpc::ClientContext log_file_context;
  (*log.mutable_settings())["log_file"].set_string_param("/tmp/x");
  EXPECT_EQ(stub_->LogSettings(&log_file_context, log, &logged).error_code(),
            grpc::StatusCode::UNIMPLEMENTED);
}

TEST_F(GrpcServerTest, TensorsGoThroughSharedMemory) {
  Serve();
  const std::string key = "/grpc-test-" + std::to_string(::getpid());
  const int fd = ::shm_open(key.c_str(), O_CREAT | O_RDWR | O_EXCL, 0600);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(::ftruncate(fd, 64), 0);
  ASSERT_EQ(::pwrite(fd, "fedcba9876543210", 16, 0), 16);
  grpc::ClientContext register_context;
  ::inference::SystemSharedMemoryRegisterRequest region;
  region.set_name("r");
  region.set_key(key);
  region.set_byte_size(64);
  ::inference::SystemSharedMemoryRegisterResponse registered;
  const grpc::Status status = stub_->SystemSharedMemoryRegister(&register_context, region, &registered);
  ASSERT_TRUE(status.ok()) << status.error_message();

  auto request = MakeRequest("echo");
  request.clear_raw_input_contents();
  auto& from = *request.mutable_inputs(0)->mutable_parameters();
  from["shared_memory_region"].set_string_param("r");
  from["shared_memory_byte_size"].set_int64_param(16);
  request.add_outputs()->set_name("Y");
  auto& to = *request.mutable_outputs(0)->mutable_parameters();
  to["shared_memory_region"].set_string_param("r");
  to["shared_memory_offset"].set_int64_param(32);
  to["shared_memory_byte_size"].set_int64_param(16);
  grpc::ClientContext infer_context;
  ::inference::ModelInferResponse response;
  const grpc::Status inferred = stub_->ModelInfer(&infer_context, request, &response);

  ASSERT_TRUE(inferred.ok()) << inferred.error_message();
  EXPECT_THAT(response.raw_output_contents(), ElementsAre(""));
  char written[16];
  ASSERT_EQ(::pread(fd, written, 16, 32), 16);
  EXPECT_EQ(std::string_view(written, 16), "fedcba9876543210");

  to["shared_memory_byte_size"].set_int64_param(15);
  grpc::ClientContext small_context;
  const grpc::Status small = stub_->ModelInfer(&small_context, request, &response);
  EXPECT_THAT(small.error_message(),
              HasSubstr("shared memory size specified with the request for output 'Y' (15 bytes)"));

  grpc::ClientContext status_context;
  ::inference::SystemSharedMemoryStatusResponse regions;
  ASSERT_TRUE(stub_->SystemSharedMemoryStatus(&status_context, {}, &regions).ok());
  EXPECT_EQ(regions.regions().at("r").byte_size(), 64U);
  grpc::ClientContext unregister_context;
  ::inference::SystemSharedMemoryUnregisterResponse unregistered;
  ASSERT_TRUE(stub_->SystemSharedMemoryUnregister(&unregister_context, {}, &unregistered).ok());
  ::shm_unlink(key.c_str());
  ::close(fd);
}

TEST_F(GrpcServerTest, CudaSharedMemoryIsUnsupportedAndEmpty) {
  Serve();
  grpc::ClientContext status_context;
  ::inference::CudaSharedMemoryStatusResponse regions;
  ASSERT_TRUE(stub_->CudaSharedMemoryStatus(&status_context, {}, &regions).ok());
  EXPECT_EQ(regions.regions_size(), 0);
  grpc::ClientContext register_context;
  ::inference::CudaSharedMemoryRegisterResponse registered;
  EXPECT_EQ(stub_->CudaSharedMemoryRegister(&register_context, {}, &registered).error_code(),
            grpc::StatusCode::UNIMPLEMENTED);
  grpc::ClientContext unregister_context;
  ::inference::CudaSharedMemoryUnregisterResponse unregistered;
  EXPECT_TRUE(stub_->CudaSharedMemoryUnregister(&unregister_context, {}, &unregistered).ok());
}

// Who may call.

tenancy::Directory::Contents Keys() {
  return tenancy::testing::OnlyKeys(
      {{"k-infer", "caller", {tenancy::Scope::kInfer}}, {"k-admin", "boss", {tenancy::Scope::kAdmin}}});
}

TEST_F(GrpcServerTest, WithKeysOnlyTheyAreAdmittedAndOnlyWithinTheirScopes) {
  Serve({}, Keys());
  ::inference::ModelInferResponse response;

  grpc::ClientContext nobody;
  EXPECT_EQ(stub_->ModelInfer(&nobody, MakeRequest("echo"), &response).error_code(),
            grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(Trailer(nobody, "x-mezzo-reason"), "key_missing");
  grpc::ClientContext stranger;
  stranger.AddMetadata("authorization", "Bearer wrong");
  EXPECT_EQ(stub_->ModelInfer(&stranger, MakeRequest("echo"), &response).error_code(),
            grpc::StatusCode::UNAUTHENTICATED);
  grpc::ClientContext caller;
  caller.AddMetadata("authorization", "Bearer k-infer");
  EXPECT_TRUE(stub_->ModelInfer(&caller, MakeRequest("echo"), &response).ok());
  EXPECT_EQ(service().seen().tenant, "caller");
  grpc::ClientContext by_key;
  by_key.AddMetadata("x-api-key", "k-admin");
  EXPECT_TRUE(stub_->ModelInfer(&by_key, MakeRequest("echo"), &response).ok());
  EXPECT_EQ(service().seen().tenant, "boss");

  grpc::ClientContext over;
  over.AddMetadata("x-api-key", "k-infer");
  ::inference::RepositoryIndexResponse index;
  EXPECT_TRUE(stub_->RepositoryIndex(&over, {}, &index).ok());
  grpc::ClientContext read_settings;
  read_settings.AddMetadata("x-api-key", "k-infer");
  ::inference::LogSettingsRequest change;
  ::inference::LogSettingsResponse settings;
  EXPECT_TRUE(stub_->LogSettings(&read_settings, change, &settings).ok());
  grpc::ClientContext change_settings;
  change_settings.AddMetadata("x-api-key", "k-infer");
  (*change.mutable_settings())["log_info"].set_bool_param(false);
  const grpc::Status denied = stub_->LogSettings(&change_settings, change, &settings);
  EXPECT_EQ(denied.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_THAT(denied.error_message(), HasSubstr("has no scope 'operate'"));
  grpc::ClientContext statistics;
  statistics.AddMetadata("x-api-key", "k-infer");
  ::inference::ModelStatisticsResponse counted;
  EXPECT_EQ(stub_->ModelStatistics(&statistics, {}, &counted).error_code(),
            grpc::StatusCode::PERMISSION_DENIED);

  grpc::ClientContext stream_context;
  auto stream = stub_->ModelStreamInfer(&stream_context);
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::UNAUTHENTICATED);
  grpc::ClientContext probe;
  ::inference::ServerLiveResponse live;
  EXPECT_TRUE(stub_->ServerLive(&probe, {}, &live).ok());
}

// TLS.

class TlsTest : public GrpcServerTest {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / ("mezzo-grpc-tls-" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder_);
    const std::string command =
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "
        "/CN=localhost "
        "-addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout " +
        Path("key.pem") + " -out " + Path("cert.pem") + " 2>/dev/null";
    ASSERT_EQ(std::system(command.c_str()), 0);
  }
  void TearDown() override {
    GrpcServerTest::TearDown();
    std::filesystem::remove_all(folder_);
  }
  [[nodiscard]] std::string Path(const char* name) const { return (folder_ / name).string(); }

  std::filesystem::path folder_;
};

TEST_F(TlsTest, ServesClientsThatTrustItsCertificate) {
  GrpcServer::Options options;
  options.certificate_file = Path("cert.pem");
  options.key_file = Path("key.pem");
  Serve(options);
  std::FILE* file = std::fopen(Path("cert.pem").c_str(), "r");
  std::string pem(8192, '\0');
  pem.resize(std::fread(pem.data(), 1, pem.size(), file));
  std::fclose(file);
  Connect(grpc::SslCredentials({.pem_root_certs = pem, .pem_private_key = {}, .pem_cert_chain = {}}));

  grpc::ClientContext context;
  ::inference::ModelInferResponse response;
  const grpc::Status status = stub_->ModelInfer(&context, MakeRequest("echo"), &response);
  EXPECT_TRUE(status.ok()) << status.error_message();

  Connect(grpc::InsecureChannelCredentials());
  grpc::ClientContext plain;
  plain.set_deadline(std::chrono::system_clock::now() + 5s);
  EXPECT_FALSE(stub_->ModelInfer(&plain, MakeRequest("echo"), &response).ok());
}

TEST_F(TlsTest, MissingAndWrongFilesAreExactErrors) {
  GrpcServer::Options options;
  options.certificate_file = Path("cert.pem");
  EXPECT_EQ(ServedFakes(options).server->Start().error().reason(), "tls_options");
  options.key_file = Path("none.pem");
  const Error missing = ServedFakes(options).server->Start().error();
  EXPECT_EQ(missing.reason(), "tls_file");
  EXPECT_THAT(missing.message(), HasSubstr("none.pem"));
}

}  // namespace
}  // namespace mezzo::api::rpc
