// Question: what does Session::Run cost over the bare OrtApi::Run of the same session, for one input and one
// output? Budget: 1.5 µs (compare BM_Session with BM_Bare at one batch size: prepared values, no wrapping).
// Question: what does a load of a large model take, and how fast are embeddings by threads and batch?

#include <dlfcn.h>
#include <onnxruntime_c_api.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include <benchmark/benchmark.h>

#include "mezzo/drivers/onnxruntime/onnx_engine.h"
#include "mezzo/drivers/onnxruntime/testing/onnx_writer.h"

namespace mezzo::drivers {
namespace {

using tensor::DType;
using tensor::Tensor;

const std::string kMlp = MEZZO_CACHE_DIR "/testmodels/mlp/1/model.onnx";
const std::string kLarge = MEZZO_CACHE_DIR "/benchmodels/big_90mb/1/model.onnx";
const std::string kMiniLm = MEZZO_CACHE_DIR "/models/minilm/1/model.onnx";

std::unique_ptr<engine::Session> Load(benchmark::State& state, OnnxEngine& engine, const std::string& path) {
  auto session = engine.Load({.model_path = path});
  if (session.ok()) return std::move(session).value();
  state.SkipWithError(session.error().ToString().c_str());
  return nullptr;
}

void BM_Session(benchmark::State& state) {
  OnnxEngine engine({});
  const auto session = Load(state, engine, kMlp);
  if (!session) return;
  const std::int64_t batch = state.range(0);
  const auto buffer = tensor::AllocateBuffer(static_cast<std::size_t>(batch) * 256 * sizeof(float));
  std::memset(buffer.data(), 0, buffer.size);
  const Tensor input{.dtype = DType::kFp32, .shape = {batch, 256}, .data = buffer.Share()};
  const Tensor* inputs[] = {&input};
  const std::size_t wanted[] = {0};
  const auto control = session->NewRunControl();
  for (auto _ : state) {
    auto outputs = session->Run(inputs, wanted, control.get());
    benchmark::DoNotOptimize(outputs);
  }
  state.SetItemsProcessed(state.iterations() * batch);
}
BENCHMARK(BM_Session)->Arg(1)->Arg(64);

/// The same session options by hand: `defaults` leaves everything as the library has it (arena, memory
/// pattern).
void BareRun(benchmark::State& state, bool defaults) {
  OnnxEngine engine({});
  const auto warm =
      Load(state, engine, kMlp);  // So that the environment with the shared pool and allocator exists.
  if (!warm) return;
  void* const library = ::dlopen("libonnxruntime.so.1", RTLD_NOW);
  const auto base = reinterpret_cast<const OrtApiBase* (*)()>(::dlsym(library, "OrtGetApiBase"))();
  const OrtApi& ort = *base->GetApi(ORT_API_VERSION);
  const auto must = [](OrtStatus* status) {
    if (status != nullptr) std::abort();
  };
  OrtEnv* env = nullptr;
  must(ort.CreateEnv(ORT_LOGGING_LEVEL_WARNING, "bench", &env));
  OrtSessionOptions* options = nullptr;
  must(ort.CreateSessionOptions(&options));
  must(ort.DisablePerSessionThreads(options));
  if (!defaults) {
    must(ort.DisableCpuMemArena(options));
    must(ort.DisableMemPattern(options));
    must(ort.AddSessionConfigEntry(options, "session.use_env_allocators", "1"));
  }
  OrtSession* session = nullptr;
  must(ort.CreateSession(env, kMlp.c_str(), options, &session));
  OrtMemoryInfo* memory = nullptr;
  must(ort.CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &memory));
  const std::int64_t batch = state.range(0);
  const auto buffer = tensor::AllocateBuffer(static_cast<std::size_t>(batch) * 256 * sizeof(float));
  std::memset(buffer.data(), 0, buffer.size);
  const std::int64_t shape[] = {batch, 256};
  OrtValue* input = nullptr;
  must(ort.CreateTensorWithDataAsOrtValue(memory, buffer.data(), buffer.size, shape, 2,
                                          ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, &input));
  const char* input_names[] = {"input"};
  const char* output_names[] = {"output"};
  for (auto _ : state) {
    OrtValue* output = nullptr;
    must(ort.Run(session, nullptr, input_names, &input, 1, output_names, 1, &output));
    ort.ReleaseValue(output);
  }
  state.SetItemsProcessed(state.iterations() * batch);
  ort.ReleaseValue(input);
  ort.ReleaseMemoryInfo(memory);
  ort.ReleaseSession(session);
  ort.ReleaseSessionOptions(options);
  ort.ReleaseEnv(env);
}

void BM_Bare(benchmark::State& state) { BareRun(state, false); }
BENCHMARK(BM_Bare)->Arg(1)->Arg(64);
void BM_BareLibraryDefaults(benchmark::State& state) { BareRun(state, true); }
BENCHMARK(BM_BareLibraryDefaults)->Arg(1)->Arg(64);

void BM_LoadAndUnload90MB(benchmark::State& state) {
  OnnxEngine engine({});
  ByteCount memory = 0;
  for (auto _ : state) {
    const auto session = Load(state, engine, kLarge);
    if (!session) return;
    memory = session->facts().memory_bytes;
  }
  state.counters["session_MB"] = static_cast<double>(memory) / 1e6;
}
BENCHMARK(BM_LoadAndUnload90MB)->Unit(benchmark::kMillisecond);

/// Arguments: slots (threads that run), threads in the pool that one run may use, batch. 32 tokens each.
void BM_MiniLm(benchmark::State& state) {
  OnnxEngine engine({.intra_op_threads = static_cast<int>(state.range(1))});
  const auto session = Load(state, engine, kMiniLm);
  if (!session) return;
  constexpr std::int64_t kTokens = 32;
  const std::int64_t batch = state.range(2);
  const auto fill = [&](std::int64_t value) {
    std::vector<std::int64_t> values(static_cast<std::size_t>(batch * kTokens), value);
    const auto buffer = tensor::AllocateBuffer(values.size() * sizeof(std::int64_t));
    std::memcpy(buffer.data(), values.data(), buffer.size);
    return Tensor{.dtype = DType::kInt64, .shape = {batch, kTokens}, .data = buffer.Share()};
  };
  const Tensor ids = fill(2023);
  const Tensor mask = fill(1);
  const Tensor types = fill(0);
  const Tensor* inputs[] = {&ids, &mask, &types};
  const std::size_t wanted[] = {1};
  constexpr int kRunsPerSlot = 4;
  const auto run = [&] {
    for (int i = 0; i < kRunsPerSlot; ++i)
      benchmark::DoNotOptimize(session->Run(inputs, wanted, nullptr).ok());
  };
  for (auto _ : state) {
    std::vector<std::thread> others;
    for (int slot = 1; slot < state.range(0); ++slot) others.emplace_back(run);
    run();
    for (auto& other : others) other.join();
  }
  state.SetItemsProcessed(state.iterations() * state.range(0) * kRunsPerSlot * batch);
}
BENCHMARK(BM_MiniLm)
    ->ArgNames({"slots", "threads", "batch"})
    ->ArgsProduct({{1}, {1, 2}, {1, 4, 8, 16}})
    ->ArgsProduct({{2}, {1}, {1, 4, 8, 16}})
    ->MeasureProcessCPUTime()
    ->UseRealTime();

}  // namespace
}  // namespace mezzo::drivers
