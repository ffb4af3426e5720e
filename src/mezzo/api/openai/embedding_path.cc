// The path of POST /v1/embeddings: decode, find the model and its tokenizer, tokenize, infer in groups,
// encode.

#include <algorithm>
#include <numeric>
#include <utility>

#include "mezzo/api/cache_control.h"
#include "mezzo/api/openai/internal/run_all.h"
#include "mezzo/api/openai/openai_handler.h"
#include "mezzo/api/route_headers.h"

namespace mezzo::api::openai {
namespace {

// Beyond these, work would hold a loop for more than some 200 µs and goes to the pool.
constexpr std::size_t kInlineBodyBytes = std::size_t{64} << 10;
constexpr std::size_t kInlineTextBytes = std::size_t{8} << 10;
constexpr std::size_t kInlineFloats = 4096;

/// Runs `fn` (returning a Result) here, or on the pool when it is a lot of work.
template <typename Fn>
runtime::Task<std::invoke_result_t<Fn&>> RunSized(runtime::BlockingPool* pool, bool large, Fn fn) {
  if (!large || pool == nullptr) co_return fn();
  co_return co_await runtime::Offload(*pool, std::move(fn));
}

std::size_t TextBytes(const EmbeddingRequest& request) {
  std::size_t bytes = 0;
  for (const EmbeddingInput& input : request.inputs) {
    if (const auto* text = std::get_if<std::string>(&input)) bytes += text->size();
  }
  return bytes;
}

Error TooLong(std::string_view model, std::size_t index, std::size_t limit, std::size_t tokens,
              bool at_least) {
  return InvalidArgument("context_length_exceeded",
                         "this model's maximum context length is " + std::to_string(limit) +
                             " tokens, however input " + std::to_string(index) + " has " +
                             (at_least ? "more than " : "") + std::to_string(tokens) + " (model '" +
                             std::string(model) + "'). Please reduce its length");
}

Result<void> CheckTokens(const std::vector<text::TokenId>& ids, std::size_t index, std::size_t vocabulary) {
  for (const text::TokenId id : ids) {
    if (static_cast<std::size_t>(id) < vocabulary) continue;
    return InvalidArgument("embedding_token_unknown",
                           "token id " + std::to_string(id) + " of input " + std::to_string(index) +
                               " is not below the vocabulary's size " + std::to_string(vocabulary));
  }
  return {};
}

inference::NamedTensor MakeInput(const char* name, const std::shared_ptr<const text::PaddedBatch>& batch,
                                 const std::vector<std::int64_t>& values) {
  const auto rows = static_cast<std::int64_t>(batch->rows);
  const auto length = static_cast<std::int64_t>(batch->length);
  SharedBytes bytes(batch, std::as_bytes(std::span(values)));
  return {.name = name,
          .tensor = {.dtype = tensor::DType::kInt64, .shape = {rows, length}, .data = std::move(bytes)}};
}

}  // namespace

runtime::Task<OpenAiHandler::Answer> OpenAiHandler::Embed(runtime::Context ctx, net::HttpRequest* request,
                                                          tenancy::CallerRef caller,
                                                          tenancy::LimitState* limit) const {
  MEZZO_CO_TRY(runtime::Context timed, WithDeadline(ctx, *request));
  const std::string_view body = request->body().text();
  auto decode = [this, body] { return DecodeEmbeddingRequest(body, options_.limits); };
  MEZZO_CO_TRY(const EmbeddingRequest decoded,
               co_await RunSized(ports_.pool, body.size() > kInlineBodyBytes, std::move(decode)));
  inference::VersionPick pick = ports_.service.PickVersion(*caller, decoded.model, HeadersOf(*request));
  bool counted = false;
  Answer answer = co_await EmbedOnce(timed, request, caller, limit, &decoded, &pick, &counted);
  if (answer.ok()) co_return answer;
  // Calls name the version whose tokenizer was used; when it has just been replaced, its successor answers.
  // What a version that is being tried fails is answered by the stable one, and counts as one request.
  if (pick.FallBack(answer.error()) || answer.error().reason() == "version_unknown") {
    answer =
        co_await EmbedOnce(std::move(timed), request, std::move(caller), limit, &decoded, &pick, &counted);
  }
  co_return answer;
}

runtime::Task<OpenAiHandler::Answer> OpenAiHandler::EmbedOnce(
    runtime::Context ctx, net::HttpRequest* request, tenancy::CallerRef caller, tenancy::LimitState* limit,
    const EmbeddingRequest* decoded, inference::VersionPick* pick, bool* counted) const {
  Work work{.ctx = ctx, .caller = std::move(caller), .limit = limit};
  work.counted = counted;
  work.cache_control = request->Header("Cache-Control").value_or("");
  ModelName name(decoded->model);
  MEZZO_CO_TRY(work.version, co_await FindVersion(ctx, std::move(name), pick->version()));
  MEZZO_CO_TRY(work.model, EmbeddingModel::Of(*work.version->config));
  if (work.model.dimensions != 0) {
    MEZZO_CO_TRY_VOID(CheckDimensions(decoded->model, decoded->dimensions, work.model.dimensions));
  }
  MEZZO_CO_TRY(work.tokenizer, co_await ports_.tokenizers.For(ctx, work.version, work.model.tokenizer_file));
  work.max_tokens = MaxTokens(work);
  auto tokenize = [&work, decoded] { return Tokenize(work, *decoded); };
  MEZZO_CO_TRY(work.rows,
               co_await RunSized(ports_.pool, TextBytes(*decoded) > kInlineTextBytes, std::move(tokenize)));

  const Grouping grouping{.max_rows = std::min(options_.rows_per_call, work.model.max_rows),
                          .multiple = options_.pad_multiple,
                          .fixed_length = work.model.fixed_length,
                          .max_length = work.max_tokens};
  work.groups = GroupRows(work.rows.lengths, grouping);
  work.embeddings.rows.resize(decoded->inputs.size());
  work.embeddings.tokens = work.rows.tokens;
  const TimePoint admitted = ports_.clock.Now();
  auto run = [this, &work](std::size_t group) { return RunGroup(&work, group); };
  MEZZO_CO_TRY_VOID(co_await internal::RunAll(work.groups.size(), options_.calls_in_flight, std::move(run)));

  MEZZO_CO_TRY_VOID(CheckDimensions(decoded->model, decoded->dimensions, work.embeddings.dimensions));
  const TimePoint answered = ports_.clock.Now();
  const std::size_t floats = work.embeddings.rows.size() * work.embeddings.dimensions;
  auto encode = [&work, decoded] {
    return EncodeEmbeddings(decoded->model, work.embeddings, decoded->format, decoded->dimensions);
  };
  MEZZO_CO_TRY(std::string json, co_await RunSized(ports_.pool, floats > kInlineFloats, std::move(encode)));
  ports_.service.RecordEdges(*work.first, admitted - request->received_at(), ports_.clock.Now() - answered);
  const bool kept =
      work.cache && *work.cache != inference::CacheUse::kMiss && *work.cache != inference::CacheUse::kBypass;
  pick->Succeeded(work.device_share, kept);
  net::HttpResponse response = net::HttpResponse::Json(200, std::move(json));
  response.compressible = true;
  AddRouteHeader(pick->stamp(), response);
  if (work.cache) response.headers.emplace_back("X-Mezzo-Cache", inference::CacheUseName(*work.cache));
  co_return response;
}

runtime::Task<Result<models::VersionRef>> OpenAiHandler::FindVersion(runtime::Context ctx, ModelName model,
                                                                     std::string version) const {
  auto found = ports_.service.catalog().Acquire(model.str(), version);
  if (found.ok() || found.error().reason() != "model_on_disk") co_return found;
  co_return co_await ports_.service.catalog().AcquireLoaded(std::move(ctx), std::move(model),
                                                            std::move(version));
}

std::size_t OpenAiHandler::MaxTokens(const Work& work) const {
  std::size_t limit = work.model.max_tokens;
  if (limit == 0 || (work.tokenizer->max_tokens != 0 && work.tokenizer->max_tokens < limit)) {
    limit = work.tokenizer->max_tokens;
  }
  return limit == 0 ? options_.default_max_tokens : limit;
}

Result<OpenAiHandler::TokenRows> OpenAiHandler::Tokenize(const Work& work, const EmbeddingRequest& request) {
  // Longer inputs are counted only so far: a refusal must not cost a second of tokenizing.
  constexpr std::size_t kCountedFor = 8;
  const std::size_t limit = work.max_tokens;
  TokenRows rows;
  rows.ids.reserve(request.inputs.size());
  rows.lengths.reserve(request.inputs.size());
  for (std::size_t i = 0; i < request.inputs.size(); ++i) {
    std::vector<text::TokenId> ids;
    bool cut = false;
    if (const auto* text = std::get_if<std::string>(&request.inputs[i])) {
      text::Encoding encoding =
          work.tokenizer->pieces.Encode(*text, work.model.truncate ? limit : limit * kCountedFor);
      ids = std::move(encoding.ids);
      cut = encoding.truncated;
    } else {
      ids = std::get<std::vector<text::TokenId>>(request.inputs[i]);
      MEZZO_TRY_VOID(CheckTokens(ids, i, work.tokenizer->pieces.size()));
      if (work.model.truncate && ids.size() > limit) ids.resize(limit);
    }
    if (ids.size() > limit) return TooLong(request.model, i, limit, ids.size(), cut);
    rows.tokens += ids.size();
    rows.lengths.push_back(ids.size());
    rows.ids.push_back(std::move(ids));
  }
  return rows;
}

inference::InferenceCall OpenAiHandler::MakeCall(const Work& work, const RowGroup& group) {
  std::vector<std::span<const text::TokenId>> rows;
  rows.reserve(group.rows.size());
  for (const std::size_t row : group.rows) rows.emplace_back(work.rows.ids[row]);
  const auto batch = std::make_shared<const text::PaddedBatch>(
      text::PadRows(rows, group.length, work.tokenizer->pieces.padding()));
  inference::InferenceCall call;
  call.model = work.version->name;
  call.version = work.version->version_text;
  call.inputs.push_back(MakeInput("input_ids", batch, batch->input_ids));
  call.inputs.push_back(MakeInput("attention_mask", batch, batch->attention_mask));
  if (work.model.token_types)
    call.inputs.push_back(MakeInput("token_type_ids", batch, batch->token_type_ids));
  call.outputs.push_back({.name = work.model.output});
  TakeCacheControl(work.cache_control, call);
  return call;
}

runtime::Task<Result<void>> OpenAiHandler::RunGroup(Work* work, std::size_t group) const {
  const RowGroup& rows = work->groups[group];
  inference::InferenceCall call = MakeCall(*work, rows);
  // Limits count one request, however many calls it takes.
  if (group == 0 && !std::exchange(*work->counted, true)) {
    call.limit = work->limit;
  } else {
    call.admission = inference::Admission::kPart;
  }
  MEZZO_CO_TRY(inference::InferenceAnswer answer,
               co_await ports_.service.Infer(work->ctx, work->caller, std::move(call)));
  co_return TakeAnswer(work, rows, std::move(answer));
}

Result<void> OpenAiHandler::TakeAnswer(Work* work, const RowGroup& group, inference::InferenceAnswer answer) {
  const auto unsound = [&](const std::string& what) {
    return Internal("embedding_output_invalid", "model '" + work->version->name.str() + "' answered " +
                                                    std::to_string(group.rows.size()) + " inputs with " +
                                                    what);
  };
  if (answer.outputs.size() != 1) return unsound(std::to_string(answer.outputs.size()) + " outputs");
  const tensor::Tensor& output = answer.outputs.front().tensor;
  const auto rows = static_cast<std::int64_t>(group.rows.size());
  std::size_t& dimensions = work->embeddings.dimensions;
  if (output.dtype != tensor::DType::kFp32 || output.shape.rank() != 2 || output.shape[0] != rows ||
      (dimensions != 0 && output.shape[1] != static_cast<std::int64_t>(dimensions)) ||
      !tensor::CheckTensor(work->model.output, output).ok()) {
    return unsound(std::string(tensor::DTypeName(output.dtype)) + " " + output.shape.ToString());
  }
  dimensions = static_cast<std::size_t>(output.shape[1]);
  const std::size_t row_bytes = dimensions * sizeof(float);
  for (std::size_t i = 0; i < group.rows.size(); ++i) {
    work->embeddings.rows[group.rows[i]] = output.data.Slice(i * row_bytes, row_bytes);
  }
  work->device_share += answer.device_share;
  if (answer.cache)
    work->cache = std::max(work->cache.value_or(inference::CacheUse::kCorrected), *answer.cache);
  if (!work->first) work->first = std::move(answer);
  return {};
}

}  // namespace mezzo::api::openai
