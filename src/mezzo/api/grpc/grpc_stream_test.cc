#include <atomic>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/api/grpc/testing/client_fixture.h"

namespace mezzo::api::rpc {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using testing::MakeRequest;
using testing::ServedFakes;

class GrpcStreamTest : public testing::GrpcServerTest {};

// Streams.

TEST_F(GrpcStreamTest, AStreamAnswersInTheOrderOfItsRequests) {
  Serve();
  grpc::ClientContext context;
  auto stream = stub_->ModelStreamInfer(&context);
  stream->Write(MakeRequest("hold", "first"));
  stream->Write(MakeRequest("echo", "second"));
  stream->Write(MakeRequest("nope", "third"));
  stream->WritesDone();
  service().gate.AwaitWaiting(1);
  service().gate.Open();

  ::inference::ModelStreamInferResponse response;
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.infer_response().id(), "first");
  EXPECT_TRUE(response.infer_response().parameters().at("triton_final_response").bool_param());
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.infer_response().id(), "second");
  EXPECT_EQ(response.error_message(), "");
  EXPECT_THAT(response.infer_response().raw_output_contents(), ElementsAre("0123456789abcdef"));
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.infer_response().id(), "third");
  EXPECT_EQ(response.error_message(), "Request for unknown model: 'nope' is not found");
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(GrpcStreamTest, AStreamEndsAtItsFirstErrorWhenTheClientWantsThat) {
  Serve();
  grpc::ClientContext context;
  context.AddMetadata("triton_grpc_error", "true");
  auto stream = stub_->ModelStreamInfer(&context);
  stream->Write(MakeRequest("hold", "first"));
  service().gate.AwaitWaiting(1);
  stream->Write(MakeRequest("nope", "second"));

  ::inference::ModelStreamInferResponse response;
  EXPECT_FALSE(stream->Read(&response));
  const grpc::Status status = stream->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(status.error_message(), "Request for unknown model: 'nope' is not found");
  service().gate.AwaitWaiting(0);
}

TEST_F(GrpcStreamTest, AStreamReadsNoFurtherThanItsBound) {
  GrpcServer::Options options;
  options.max_stream_requests = 3;
  Serve(options);
  grpc::ClientContext context;
  auto stream = stub_->ModelStreamInfer(&context);
  for (int i = 0; i < 6; ++i) stream->Write(MakeRequest("hold", std::to_string(i)));
  stream->WritesDone();
  service().gate.AwaitWaiting(3);
  EXPECT_EQ(fakes_->server->running(), 3U);

  service().gate.ReleaseFirst();

  ::inference::ModelStreamInferResponse response;
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.infer_response().id(), "0");
  service().gate.AwaitWaiting(3);
  service().gate.Open();
  for (int i = 1; i < 6; ++i) {
    ASSERT_TRUE(stream->Read(&response));
    EXPECT_EQ(response.infer_response().id(), std::to_string(i));
  }
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(GrpcStreamTest, CancellingAStreamCancelsAllItsWork) {
  Serve();
  grpc::ClientContext context;
  auto stream = stub_->ModelStreamInfer(&context);
  for (int i = 0; i < 5; ++i) stream->Write(MakeRequest("hold"));
  service().gate.AwaitWaiting(5);
  context.TryCancel();
  service().gate.AwaitWaiting(0);
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
}

TEST_F(GrpcStreamTest, ManyStreamsAtOnceKeepTheirOrder) {
  Serve();
  std::vector<std::thread> clients;
  std::atomic<int> right{0};
  for (int c = 0; c < 8; ++c) {
    clients.emplace_back([&] {
      grpc::ClientContext context;
      auto stream = stub_->ModelStreamInfer(&context);
      std::thread writer([&] {
        for (int i = 0; i < 100; ++i) stream->Write(MakeRequest("echo", std::to_string(i)));
        stream->WritesDone();
      });
      ::inference::ModelStreamInferResponse response;
      for (int i = 0; i < 100 && stream->Read(&response); ++i) {
        if (response.infer_response().id() == std::to_string(i)) ++right;
      }
      writer.join();
      if (stream->Finish().ok()) ++right;
    });
  }
  for (auto& client : clients) client.join();
  EXPECT_EQ(right, 8 * 101);
}

// Health.

TEST_F(GrpcStreamTest, HealthChecksKnowTheServerAndItsService) {
  Serve();
  for (const char* name : {"", "inference.GRPCInferenceService"}) {
    grpc::ClientContext context;
    grpc::health::v1::HealthCheckRequest request;
    request.set_service(name);
    grpc::health::v1::HealthCheckResponse response;
    ASSERT_TRUE(health_->Check(&context, request, &response).ok());
    EXPECT_EQ(response.status(), grpc::health::v1::HealthCheckResponse::SERVING);
  }
  grpc::ClientContext context;
  grpc::health::v1::HealthCheckRequest request;
  request.set_service("other");
  grpc::health::v1::HealthCheckResponse response;
  EXPECT_EQ(health_->Check(&context, request, &response).error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(GrpcStreamTest, AWatcherSeesEveryChangeAndTheEnd) {
  Serve();
  grpc::ClientContext context;
  auto watch = health_->Watch(&context, {});
  grpc::health::v1::HealthCheckResponse response;
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), grpc::health::v1::HealthCheckResponse::SERVING);
  fakes_->ready.Fail("loading");
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), grpc::health::v1::HealthCheckResponse::NOT_SERVING);
  fakes_->ready.Ok();
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), grpc::health::v1::HealthCheckResponse::SERVING);

  EXPECT_TRUE(fakes_->server->Drain(10s));

  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), grpc::health::v1::HealthCheckResponse::NOT_SERVING);
  EXPECT_FALSE(watch->Read(&response));
  EXPECT_EQ(watch->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
}

// Shutting down.

TEST_F(GrpcStreamTest, DrainingLetsRunningCallsFinishAndStreamsEnd) {
  Serve();
  auto held = std::async(std::launch::async, [&] {
    grpc::ClientContext context;
    ::inference::ModelInferResponse response;
    return stub_->ModelInfer(&context, MakeRequest("hold"), &response);
  });
  grpc::ClientContext stream_context;
  auto stream = stub_->ModelStreamInfer(&stream_context);
  stream->Write(MakeRequest("hold", "taken"));
  service().gate.AwaitWaiting(2);

  auto drained = std::async(std::launch::async, [&] { return fakes_->server->Drain(30s); });
  grpc::ClientContext idle_context;
  auto watch = health_->Watch(&idle_context, {});
  grpc::health::v1::HealthCheckResponse state;
  while (watch->Read(&state)) continue;  // Until the server says that it ends.
  service().gate.Open();

  EXPECT_TRUE(drained.get());
  EXPECT_TRUE(held.get().ok());
  ::inference::ModelStreamInferResponse response;
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.infer_response().id(), "taken");
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(GrpcStreamTest, DrainingCancelsWhatRunsBeyondTheLimit) {
  Serve();
  auto held = std::async(std::launch::async, [&] {
    grpc::ClientContext context;
    ::inference::ModelInferResponse response;
    return stub_->ModelInfer(&context, MakeRequest("hold"), &response);
  });
  service().gate.AwaitWaiting(1);
  EXPECT_FALSE(fakes_->server->Drain(50ms));
  EXPECT_FALSE(held.get().ok());
  EXPECT_EQ(service().gate.waiting(), 0U);
}

TEST_F(GrpcStreamTest, APortInUseIsAnErrorAndNotShared) {
  Serve();
  GrpcServer::Options options;
  ServedFakes other;
  options.port = fakes_->server->port();
  GrpcServer second(options, {.service = other.service,
                              .directory = other.directory,
                              .shared_memory = other.regions,
                              .trace_settings = other.trace,
                              .log_settings = other.log,
                              .health = other.health,
                              .registry = other.registry,
                              .logger = other.logger,
                              .clock = other.clock,
                              .loops = other.loops});
  auto started = second.Start();
  ASSERT_FALSE(started.ok());
  EXPECT_EQ(started.error().reason(), "cannot_listen");
}

}  // namespace
}  // namespace mezzo::api::rpc
