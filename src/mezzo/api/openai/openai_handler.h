#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mezzo/api/openai/dialect.h"
#include "mezzo/api/openai/embedding_model.h"
#include "mezzo/api/openai/embedding_request.h"
#include "mezzo/api/openai/embedding_response.h"
#include "mezzo/api/openai/tokenizer_source.h"
#include "mezzo/api/router.h"
#include "mezzo/base/clock.h"
#include "mezzo/inference/service.h"
#include "mezzo/net/http_types.h"
#include "mezzo/runtime/pool.h"
#include "mezzo/tenancy/tenant.h"

namespace mezzo::api::openai {

/// The part of OpenAI's protocol that is here: POST /v1/embeddings, GET /v1/models and /v1/models/{id}.
/// Errors have OpenAI's envelope (openai_error.h). What differs from OpenAI is listed in
/// docs/protocol-openai.md.
///
/// The inputs of a request are sorted by length and go to the scheduler in small calls of equal padded
/// length, so they share batches with each other and with other requests. Thread-safe; immutable.
class OpenAiHandler final : public Dialect {
 public:
  struct Options {
    ByteCount max_body = ByteCount{16} << 20;
    EmbeddingLimits limits;
    std::size_t default_max_tokens = 512;  ///< Of an input, where neither model nor tokenizer say.
    std::size_t rows_per_call = 8;         ///< Inputs in one inference call, at most the model's batch size.
    std::size_t calls_in_flight = 16;      ///< Of one request.
    std::size_t pad_multiple = 8;          ///< Tokens; see Grouping.
  };
  /// All outlive the handler. `pool` decodes, tokenizes and encodes large requests; null: the loop does.
  struct Ports {
    inference::Service& service;
    TokenizerSource& tokenizers;
    const Clock& clock;
    runtime::BlockingPool* pool = nullptr;
  };

  OpenAiHandler(Options options, Ports ports);

  [[nodiscard]] std::span<const Route> routes() const override;
  [[nodiscard]] net::BodyPlan Plan(const net::HttpRequest& head, const RouteMatch& match) const override;
  runtime::Task<net::HttpResponse> Handle(runtime::Context ctx, RoutedCall call) override;

 private:
  using Answer = Result<net::HttpResponse>;
  using Tokenizer = std::shared_ptr<const EmbeddingTokenizer>;

  /// The inputs of a request as the model reads them.
  struct TokenRows {
    std::vector<std::vector<text::TokenId>> ids;
    std::vector<std::size_t> lengths;
    std::uint64_t tokens = 0;
  };
  /// One request on its way. Lives in the frame of EmbedOnce().
  struct Work {
    runtime::Context ctx;
    tenancy::CallerRef caller;
    tenancy::LimitState* limit = nullptr;
    models::VersionRef version;
    EmbeddingModel model;
    Tokenizer tokenizer;
    TokenRows rows;
    std::vector<RowGroup> groups;
    std::size_t max_tokens = 0;
    Embeddings embeddings;
    std::optional<inference::InferenceAnswer> first;  ///< For the statistics.
    std::string_view cache_control;                   ///< The request's, which outlives it.
    std::optional<inference::CacheUse> cache;         ///< Of the group that took most work.
    Duration device_share{};                          ///< Of all groups.
    bool* counted = nullptr;  ///< Whether the request has been counted by the limits; outlives this.
  };

  [[nodiscard]] Answer ListModels() const;
  [[nodiscard]] Answer DescribeModel(std::string_view name) const;

  // embedding_path.cc
  runtime::Task<Answer> Embed(runtime::Context ctx, net::HttpRequest* request, tenancy::CallerRef caller,
                              tenancy::LimitState* limit) const;
  runtime::Task<Answer> EmbedOnce(runtime::Context ctx, net::HttpRequest* request, tenancy::CallerRef caller,
                                  tenancy::LimitState* limit, const EmbeddingRequest* decoded,
                                  inference::VersionPick* pick, bool* counted) const;
  runtime::Task<Result<models::VersionRef>> FindVersion(runtime::Context ctx, ModelName model,
                                                        std::string version) const;
  runtime::Task<Result<void>> RunGroup(Work* work, std::size_t group) const;
  [[nodiscard]] std::size_t MaxTokens(const Work& work) const;
  [[nodiscard]] static Result<TokenRows> Tokenize(const Work& work, const EmbeddingRequest& request);
  [[nodiscard]] static inference::InferenceCall MakeCall(const Work& work, const RowGroup& group);
  [[nodiscard]] static Result<void> TakeAnswer(Work* work, const RowGroup& group,
                                               inference::InferenceAnswer answer);

  const Options options_;
  const Ports ports_;
  const std::int64_t started_seconds_;  // Unix time; what models say for "created".
};

/// The context with the deadline of the header X-Mezzo-Deadline-Ms, counted from the request's arrival. Fails
/// with kInvalidArgument "deadline_header".
Result<runtime::Context> WithDeadline(const runtime::Context& ctx, const net::HttpRequest& request);

}  // namespace mezzo::api::openai
