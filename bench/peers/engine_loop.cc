// The best that a program can do with the engine alone: threads that run one model in a loop, no server, no queue.
// Prints one JSON line: rows per second and the distribution of one run.
//
//   bench_engine_loop MODEL.onnx --threads T --intra N --batch B --seconds S --input NAME:TYPE:DIMS[:MAX] ...
//
// DIMS are without the batch dimension ("32", "3x224x224"); TYPE is FP32 or INT64; integers are drawn below MAX.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "mezzo/base/strings.h"
#include "mezzo/drivers/onnxruntime/onnx_engine.h"

namespace {

using mezzo::tensor::DType;
using mezzo::tensor::Shape;
using mezzo::tensor::Tensor;

struct Options {
  std::string model;
  std::size_t threads = 1;
  int intra = 1;
  std::int64_t batch = 1;
  double seconds = 3;
  std::vector<std::string> inputs;
};

Options Parse(int argc, char** argv) {
  Options options;
  options.model = argc > 1 ? argv[1] : "";
  for (int i = 2; i + 1 < argc; i += 2) {
    const std::string flag = argv[i];
    const char* value = argv[i + 1];
    if (flag == "--threads") options.threads = std::strtoul(value, nullptr, 10);
    if (flag == "--intra") options.intra = static_cast<int>(std::strtol(value, nullptr, 10));
    if (flag == "--batch") options.batch = std::strtol(value, nullptr, 10);
    if (flag == "--seconds") options.seconds = std::strtod(value, nullptr);
    if (flag == "--input") options.inputs.emplace_back(value);
  }
  return options;
}

Tensor MakeInput(const std::string& text, std::int64_t batch) {
  const auto parts = mezzo::Split(text, ':');
  Tensor tensor;
  tensor.dtype = *mezzo::tensor::ParseDType(parts.at(1));
  std::vector<std::int64_t> dims = {batch};
  for (const auto dim : mezzo::Split(parts.at(2), 'x')) dims.push_back(static_cast<std::int64_t>(*mezzo::ParseUint(dim)));
  tensor.shape = Shape(std::span<const std::int64_t>(dims));
  const auto buffer = mezzo::tensor::AllocateBuffer(mezzo::tensor::ByteSize(tensor.dtype, tensor.shape).value());
  std::mt19937_64 random(7);
  const std::uint64_t limit = parts.size() > 3 ? *mezzo::ParseUint(parts[3]) : 1000;
  const std::size_t count = buffer.size / mezzo::tensor::DTypeSize(tensor.dtype);
  for (std::size_t i = 0; i < count; ++i) {
    if (tensor.dtype == DType::kFp32) {
      reinterpret_cast<float*>(buffer.data())[i] = static_cast<float>(random() % 1000) / 1000.0F;
    } else {
      reinterpret_cast<std::int64_t*>(buffer.data())[i] = static_cast<std::int64_t>(random() % limit);
    }
  }
  tensor.data = buffer.Share();
  return tensor;
}

std::size_t IndexOf(const mezzo::engine::SessionFacts& facts, std::string_view name) {
  for (std::size_t i = 0; i < facts.inputs.size(); ++i) {
    if (facts.inputs[i].name == name) return i;
  }
  std::fprintf(stderr, "the model has no input %s\n", std::string(name).c_str());
  std::exit(1);
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = Parse(argc, argv);
  mezzo::drivers::OnnxEngine engine({.intra_op_threads = options.intra});
  auto loaded = engine.Load({.model_path = options.model});
  if (!loaded.ok()) {
    std::fprintf(stderr, "%s\n", loaded.error().ToString().c_str());
    return 1;
  }
  mezzo::engine::Session& session = **loaded;
  std::vector<Tensor> tensors;
  std::vector<const Tensor*> inputs(session.facts().inputs.size(), nullptr);
  tensors.reserve(options.inputs.size());
  for (const auto& text : options.inputs) {
    tensors.push_back(MakeInput(text, options.batch));
    inputs[IndexOf(session.facts(), mezzo::Split(text, ':')[0])] = &tensors.back();
  }
  const std::vector<std::size_t> wanted = {session.facts().outputs.size() - 1};

  std::atomic<bool> stop{false};
  std::atomic<bool> counting{false};
  std::vector<std::vector<double>> times(options.threads);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < options.threads; ++t) {
    threads.emplace_back([&, t] {
      while (!stop) {
        const auto start = std::chrono::steady_clock::now();
        if (!session.Run(inputs, wanted, nullptr).ok()) std::exit(1);
        const double took = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        if (counting) times[t].push_back(took);
      }
    });
  }
  std::this_thread::sleep_for(std::chrono::duration<double>(options.seconds * 0.2));
  counting = true;
  const auto start = std::chrono::steady_clock::now();
  std::this_thread::sleep_for(std::chrono::duration<double>(options.seconds));
  counting = false;
  const double elapsed = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  stop = true;
  for (auto& thread : threads) thread.join();

  std::vector<double> all;
  for (const auto& own : times) all.insert(all.end(), own.begin(), own.end());
  if (all.empty()) return 1;
  std::sort(all.begin(), all.end());
  const auto at = [&](double q) { return all[static_cast<std::size_t>(q * static_cast<double>(all.size() - 1))] * 1e6; };
  std::printf("{\"rows_per_second\": %.1f, \"p50_us\": %.2f, \"p99_us\": %.2f, \"runs\": %zu}\n",
              static_cast<double>(all.size()) * static_cast<double>(options.batch) / elapsed, at(0.5), at(0.99),
              all.size());
  return 0;
}
