#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "mezzo/api/grpc/internal/grpc_headers.h"
#include "mezzo/api/grpc/testing/client_headers.h"
#include "mezzo/api/grpc/testing/server_fixture.h"

namespace mezzo::api::rpc::testing {

using Rpcs = ::inference::GRPCInferenceService;

/// One FP32 input "X" of shape [1,4] as raw contents.
inline ::inference::ModelInferRequest MakeRequest(const std::string& model, const std::string& id = "") {
  ::inference::ModelInferRequest request;
  request.set_model_name(model);
  request.set_id(id);
  auto* input = request.add_inputs();
  input->set_name("X");
  input->set_datatype("FP32");
  input->add_shape(1);
  input->add_shape(4);
  request.add_raw_input_contents(std::string("0123456789abcdef"));
  return request;
}

/// A value of the trailing metadata; empty when there is none.
inline std::string Trailer(const grpc::ClientContext& context, const char* key) {
  const auto& metadata = context.GetServerTrailingMetadata();
  const auto found = metadata.find(key);
  return found == metadata.end() ? "" : std::string(found->second.data(), found->second.size());
}

/// A client of a server over fakes.
class GrpcServerTest : public ::testing::Test {
 protected:
  void Serve(GrpcServer::Options options = {},
             tenancy::Directory::Contents callers = tenancy::testing::Anybody("everyone")) {
    fakes_ = std::make_unique<ServedFakes>(std::move(options), std::move(callers));
    auto started = fakes_->server->Start();
    ASSERT_TRUE(started.ok()) << started.error().ToString();
    Connect(grpc::InsecureChannelCredentials());
  }
  void Connect(const std::shared_ptr<grpc::ChannelCredentials>& credentials) {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(-1);
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    channel_ = grpc::CreateCustomChannel("127.0.0.1:" + std::to_string(fakes_->server->port()), credentials,
                                         arguments);
    stub_ = Rpcs::NewStub(channel_);
    health_ = grpc::health::v1::Health::NewStub(channel_);
  }
  void TearDown() override {
    stub_.reset();
    health_.reset();
    channel_.reset();
    fakes_.reset();
  }

  FakeService& service() { return fakes_->service; }

  std::unique_ptr<ServedFakes> fakes_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<Rpcs::Stub> stub_;
  std::unique_ptr<grpc::health::v1::Health::Stub> health_;
};

}  // namespace mezzo::api::rpc::testing
