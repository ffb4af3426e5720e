#pragma once

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "mezzo/api/protocol.h"
#include "mezzo/api/settings.h"
#include "mezzo/api/shared_memory.h"
#include "mezzo/api/v2http/json_request.h"
#include "mezzo/api/version_text.h"
#include "mezzo/base/clock.h"
#include "mezzo/inference/service.h"
#include "mezzo/net/http_types.h"
#include "mezzo/runtime/pool.h"

namespace mezzo::api::v2http {

/// The Open Inference Protocol v2 over HTTP, in Triton's dialect: routes, bodies, status codes and error
/// texts. What differs is listed in docs/protocol-http.md.
///
/// Thread-safe; immutable.
class V2Handler final : public Protocol {
 public:
  struct Options {
    std::string server_name = "mezzo";
    std::string server_version;
    ByteCount max_infer_body = ByteCount{64} << 20;
    ByteCount max_control_body = ByteCount{1} << 20;
    ByteCount max_load_body = ByteCount{512} << 20;  ///< Load requests carry whole models in base64.
    DecodeLimits decode;
    /// What /v2/health/ready says; when null, whether the catalog is done starting up.
    std::function<bool()> is_ready;
  };
  /// All outlive the handler. `pool` decodes large load requests; null: the loop does. With a `clock` the
  /// times of decoding and encoding are recorded.
  struct Ports {
    inference::Service& service;
    SharedMemoryRegions& regions;
    TraceSettings& traces;
    LogSettings& logs;
    runtime::BlockingPool* pool = nullptr;
    const Clock* clock = nullptr;
  };

  V2Handler(Options options, Ports ports);

  [[nodiscard]] std::span<const Route> routes() const override;
  [[nodiscard]] net::BodyPlan Plan(const net::HttpRequest& head, const RouteMatch& match) const override;
  runtime::Task<net::HttpResponse> Handle(runtime::Context ctx, RoutedCall call) override;
  [[nodiscard]] net::HttpResponse Refuse(const Error& error) const override;
  [[nodiscard]] net::HttpResponse RefuseRoute(const net::HttpRequest& head,
                                              const RouteMatch& match) const override;

 private:
  using Call = RoutedCall;
  using Answer = Result<net::HttpResponse>;

  /// The routes that wait for nothing.
  [[nodiscard]] Answer AnswerNow(const Call& call) const;

  // infer_routes.cc
  runtime::Task<Answer> Infer(runtime::Context ctx, Call call, bool versioned) const;
  runtime::Task<Answer> Generate(runtime::Context ctx, Call call, bool versioned, bool stream) const;
  /// Of a request that says nothing of its tensors' types.
  [[nodiscard]] Result<std::shared_ptr<const models::ModelConfig>> ConfigToReadBy(
      std::string_view model, std::string_view version) const;
  [[nodiscard]] Result<DecodedRequest> DecodeInfer(const Call& call, std::string_view version) const;
  [[nodiscard]] static Result<runtime::Context> WithDeadline(const runtime::Context& ctx,
                                                             const net::HttpRequest& request,
                                                             const std::optional<Duration>& timeout);

  [[nodiscard]] TimePoint Now() const { return ports_.clock == nullptr ? TimePoint() : ports_.clock->Now(); }

  // model_routes.cc
  [[nodiscard]] Answer Health(bool ready) const;
  [[nodiscard]] Answer ServerMetadata() const;
  [[nodiscard]] Answer ModelReady(const Call& call, bool versioned) const;
  [[nodiscard]] Answer ModelMetadata(const Call& call, bool versioned) const;
  [[nodiscard]] Answer ModelConfiguration(const Call& call, bool versioned) const;
  [[nodiscard]] Answer Statistics(std::string_view model, std::string_view version) const;

  // repository_routes.cc
  [[nodiscard]] Answer Index(const Call& call) const;
  runtime::Task<Answer> Load(runtime::Context ctx, Call call) const;
  runtime::Task<Answer> Unload(runtime::Context ctx, Call call) const;

  // settings_routes.cc
  [[nodiscard]] Answer SystemMemory(const Call& call) const;
  [[nodiscard]] Answer CudaMemory(const Call& call) const;
  [[nodiscard]] Answer RegisterSystemMemory(const Call& call) const;
  [[nodiscard]] Answer Trace(const Call& call, std::string_view model) const;
  [[nodiscard]] Answer Logging(const Call& call) const;

  const Options options_;
  const Ports ports_;
};

}  // namespace mezzo::api::v2http
