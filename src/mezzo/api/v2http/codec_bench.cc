// Question: what do the v2 HTTP codecs cost for one request, by form? Budgets on the reference host: JSON
// of 2.7 kB with 256 floats decodes in 6 us; a binary request decodes, and its answer encodes, in 2 us
// together. The library parsers beside ours read the same text without making a tensor of it.

#include <simdjson.h>

#include <cstring>
#include <random>
#include <string>

#include <benchmark/benchmark.h>

#include "mezzo/api/gate.h"
#include "mezzo/api/v2http/json_request.h"
#include "mezzo/api/v2http/json_response.h"
#include "mezzo/api/v2http/testing/fakes.h"
#include "mezzo/api/v2http/v2_handler.h"
#include "mezzo/net/testing/exchange.h"
#include "mezzo/tenancy/testing/directories.h"

namespace mezzo::api::v2http {
namespace {

std::string Floats(std::size_t count, int digits) {
  std::mt19937 random(1);
  std::uniform_real_distribution<double> value(-1, 1);
  std::string text;
  for (std::size_t i = 0; i < count; ++i) {
    char number[32];
    std::snprintf(number, sizeof(number), "%s%.*f", i == 0 ? "" : ",", digits, value(random));
    text += number;
  }
  return text;
}

std::string JsonRequest(std::size_t count, int digits) {
  return R"({"id":"1","inputs":[{"name":"input","shape":[1,)" + std::to_string(count) +
         R"(],"datatype":"FP32","data":[)" + Floats(count, digits) + R"(]}],"outputs":[{"name":"output"}]})";
}

SharedBytes Body(const std::string& text) {
  const tensor::MutableBuffer buffer = tensor::AllocateBuffer(text.size());
  std::memcpy(buffer.data(), text.data(), text.size());
  return buffer.Share();
}

void BM_DecodeJson(benchmark::State& state) {
  const std::string text =
      JsonRequest(static_cast<std::size_t>(state.range(0)), static_cast<int>(state.range(1)));
  const SharedBytes body = Body(text);
  const DecodeSources sources;
  const DecodeLimits limits;
  for (auto _ : state) {
    auto request = DecodeRequest(body, body.size(), "mlp", "", sources, limits);
    if (!request.ok()) state.SkipWithError(request.error().message().c_str());
    benchmark::DoNotOptimize(request);
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(text.size()) * state.iterations());
}
BENCHMARK(BM_DecodeJson)->Args({256, 7})->Args({256, 17})->Args({16384, 7});

void BM_SimdjsonDom(benchmark::State& state) {
  const simdjson::padded_string text(
      JsonRequest(static_cast<std::size_t>(state.range(0)), static_cast<int>(state.range(1))));
  simdjson::dom::parser parser;
  for (auto _ : state) benchmark::DoNotOptimize(parser.parse(text).error());
  state.SetBytesProcessed(static_cast<std::int64_t>(text.size()) * state.iterations());
}
BENCHMARK(BM_SimdjsonDom)->Args({256, 7})->Args({256, 17})->Args({16384, 7});

void BM_SimdjsonOnDemand(benchmark::State& state) {
  const simdjson::padded_string text(
      JsonRequest(static_cast<std::size_t>(state.range(0)), static_cast<int>(state.range(1))));
  simdjson::ondemand::parser parser;
  for (auto _ : state) {
    simdjson::ondemand::document document = parser.iterate(text);
    float sum = 0;
    for (simdjson::ondemand::object input : document["inputs"].get_array()) {
      for (simdjson::ondemand::value number : input["data"].get_array())
        sum += static_cast<float>(number.get_double().value());
    }
    benchmark::DoNotOptimize(sum);
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(text.size()) * state.iterations());
}
BENCHMARK(BM_SimdjsonOnDemand)->Args({256, 7})->Args({256, 17})->Args({16384, 7});

void BM_DecodeBinary(benchmark::State& state) {
  std::string text =
      R"({"inputs":[{"name":"input","shape":[1,256],"datatype":"FP32","parameters":{"binary_data_size":1024}}],)"
      R"("outputs":[{"name":"output","parameters":{"binary_data":true}}]})";
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const std::size_t header = text.size();
  text.resize(header + 1024);
  const SharedBytes body = Body(text);
  const DecodeSources sources;
  const DecodeLimits limits;
  for (auto _ : state) {
    auto request = DecodeRequest(body, header, "mlp", "", sources, limits);
    if (!request.ok()) state.SkipWithError(request.error().message().c_str());
    benchmark::DoNotOptimize(request);
  }
}
BENCHMARK(BM_DecodeBinary);

void BM_Encode(benchmark::State& state) {
  const auto count = static_cast<std::size_t>(state.range(0));
  const bool binary = state.range(1) != 0;
  const tensor::MutableBuffer buffer = tensor::AllocateBuffer(count * sizeof(float));
  std::mt19937 random(1);
  std::uniform_real_distribution<float> value(-1, 1);
  for (std::size_t i = 0; i < count; ++i) {
    const float v = value(random);
    std::memcpy(buffer.data() + i * sizeof(v), &v, sizeof(v));
  }
  inference::InferenceAnswer answer;
  answer.model = ModelName("mlp");
  answer.version = "1";
  answer.outputs.push_back({.name = "output",
                            .tensor = {.dtype = tensor::DType::kFp32,
                                       .shape = {1, static_cast<std::int64_t>(count)},
                                       .data = buffer.Share()}});
  ResponsePlan plan;
  plan.binary_by_default = binary;
  for (auto _ : state) {
    auto response = EncodeResponse(answer, plan, nullptr);
    benchmark::DoNotOptimize(response);
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(count) * state.iterations());
}
BENCHMARK(BM_Encode)->Args({16, 1})->Args({16, 0})->Args({256, 0});

void BM_Handle(benchmark::State& state) {
  std::string body =
      R"({"inputs":[{"name":"input","shape":[1,256],"datatype":"FP32","parameters":{"binary_data_size":1024}}],)"
      R"("outputs":[{"name":"y","parameters":{"binary_data":true}}]})";
  const std::string header = std::to_string(body.size());
  body.resize(body.size() + 1024);
  net::testing::MadeRequest request("POST", "/v2/models/mlp/infer",
                                    {{"Inference-Header-Content-Length", header}}, body);

  testing::FakeService service;
  const RealClock clock;
  const tenancy::Directory directory(tenancy::testing::Anybody(), clock);
  SharedMemoryRegions regions{{}};
  TraceSettings traces;
  LogSettings logs;
  V2Handler handler({}, {.service = service, .regions = regions, .traces = traces, .logs = logs});
  Gate gate({{.protocol = &handler, .prefixes = {"/v2"}}}, directory);
  const runtime::Context ctx(
      {.tenant = {}, .request_id = "0190b0c0-0000-7000-8000-000000000000", .trace = {}});
  for (auto _ : state) {
    if (net::testing::PlanOf(gate, request) != nullptr) state.SkipWithError("refused");
    runtime::Start(gate.Handle(ctx, request.get()),
                   [](const net::HttpResponse& response) { benchmark::DoNotOptimize(response.status); });
  }
}
BENCHMARK(BM_Handle);

}  // namespace
}  // namespace mezzo::api::v2http
