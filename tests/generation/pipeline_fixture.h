#pragma once

#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "mezzo/drivers/onnxruntime/onnx_engine.h"
#include "mezzo/generation/image_service.h"
#include "mezzo/generation/internal/golden_files.h"
#include "mezzo/inference/local_service.h"
#include "mezzo/models/repository_catalog.h"
#include "mezzo/observe/log.h"

namespace mezzo::generation {

/// A server's parts that pictures need, on ONNX Runtime, around the pipelines that Diffusers drew with.
class PipelineFixture : public ::testing::Test {
 protected:
  using Answer = std::future<Result<ImageResult>>;

  explicit PipelineFixture(std::vector<std::string> served)
      : catalog_({.roots = {internal::GoldenPath("pipelines")},
                  .control = models::ControlMode::kExplicit,
                  .startup_models = std::move(served)},
                 {.engine = engine_, .clock = clock_, .pool = pool_, .registry = registry_, .log = log_}) {}
  ~PipelineFixture() override {
    loops_.Stop();
    catalog_.Stop();
  }
  void SetUp() override { ASSERT_TRUE(catalog_.Start(&binder_).ok()); }

  Answer Send(const std::string& model, const ImageRequest& request) {
    auto promise = std::make_shared<std::promise<Result<ImageResult>>>();
    auto future = promise->get_future();
    loops_.loop(0).Post([this, model, request, promise] {
      runtime::Start(
          service_.Generate(runtime::Context(), {.tenant = tenant_}, ModelName(model), "", request, nullptr),
          [promise](Result<ImageResult> result) { promise->set_value(std::move(result)); });
    });
    return future;
  }

  RealClock clock_;
  observe::Registry registry_;
  observe::Logger log_{{.level = observe::LogLevel::kError}, clock_};
  inference::InferenceMetrics metrics_{registry_};
  drivers::OnnxEngine engine_{{}, nullptr};
  sched::DeviceExecutor executor_{{.scheduler = {.slots = 1}, .inline_limit = Duration::zero()}, clock_};
  inference::RuntimeBinder binder_{executor_, metrics_, clock_, 1024};
  runtime::BlockingPool pool_{{.name = "images", .threads = 2}};
  models::RepositoryCatalog catalog_;
  ImageService service_{{}, {catalog_, executor_, pool_, clock_}};
  tenancy::TenantRef tenant_ = [this] {
    tenancy::Tenant tenant;
    tenant.id = TenantId("t");
    tenant.index = static_cast<std::uint32_t>(executor_.AddTenant({.name = "t"}));
    return std::make_shared<const tenancy::Tenant>(std::move(tenant));
  }();
  runtime::IoThreads loops_{1};
};

}  // namespace mezzo::generation
