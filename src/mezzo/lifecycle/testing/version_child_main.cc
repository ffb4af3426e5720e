#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/base/strings.h"
#include "mezzo/lifecycle/version_child.h"

/// A version child whose engine does what the "model file" says, in words:
///
///   load=segv|abort|hang|spin|grow|huge|error|exit|shout, run=... (the same), on=3 (from this run on),
///   open=PATH, write=PATH, connect, fork, kill (tried while it loads: the load fails when one of them
///   works), openrun=PATH (the same, while it runs), inputs=a,b outputs=y rank=2 dim=4 type=FP32 optional=b
///   memory=100 sleep=MILLISECONDS (of a run), opset=17 domain=com.acme
///
/// It maps its first input to all outputs.
namespace mezzo::lifecycle {
namespace {

using Words = std::map<std::string, std::string>;

Words ReadWords(const std::string& path) {
  std::ifstream file(path);
  Words words;
  std::string word;
  while (file >> word) {
    const std::size_t equals = word.find('=');
    words[word.substr(0, equals)] = equals == std::string::npos ? "" : word.substr(equals + 1);
  }
  return words;
}

std::string Value(const Words& words, const std::string& name, const std::string& otherwise) {
  const auto found = words.find(name);
  return found == words.end() ? otherwise : found->second;
}

volatile int* nowhere = nullptr;
std::atomic<bool> never{false};

Result<void> Misbehave(const std::string& how) {
  if (how == "segv") *nowhere = 1;
  if (how == "abort") std::abort();
  if (how == "exit") std::exit(0);
  if (how == "error") return Internal("engine_failed", "as the model wishes");
  if (how == "shout") {
    for (int i = 0; i < 1000; ++i) std::puts("a library that prints");
    std::fflush(stdout);
  }
  if (how == "hang") {
    while (!never) ::pause();
  }
  if (how == "spin") {
    for (volatile unsigned i = 0;; i = i + 1) {
    }
  }
  if (how == "grow") {
    std::vector<std::unique_ptr<char[]>> kept;
    while (!never) {
      constexpr std::size_t kPiece = std::size_t{1} << 20U;
      kept.push_back(std::make_unique<char[]>(kPiece));
    }
  }
  if (how == "huge") {
    std::vector<char> all(std::size_t{1} << 45U, 'x');
    nowhere = reinterpret_cast<int*>(all.data());
  }
  return {};
}

Result<void> Works(const std::string& what) {
  return Internal("engine_failed", "the sandbox lets through: " + what);
}

Result<void> TryToBreakOut(const Words& words) {
  if (words.contains("open") && ::open(words.at("open").c_str(), O_RDONLY) >= 0)
    return Works("reading a file");
  if (words.contains("write") && ::open(words.at("write").c_str(), O_WRONLY | O_CREAT, 0600) >= 0) {
    return Works("writing a file");
  }
  if (words.contains("connect") && ::socket(AF_INET, SOCK_STREAM, 0) >= 0) return Works("a socket");
  if (words.contains("kill") && ::kill(::getppid(), 0) == 0) return Works("a signal");
  if (words.contains("fork")) {
    const pid_t pid = ::fork();
    if (pid == 0) ::_exit(0);
    if (pid > 0) return Works("a process");
  }
  return {};
}

class OddSession final : public engine::Session {
 public:
  OddSession(Words words, engine::SessionFacts facts) : words_(std::move(words)), facts_(std::move(facts)) {}
  [[nodiscard]] const engine::SessionFacts& facts() const override { return facts_; }
  Result<std::vector<tensor::Tensor>> Run(std::span<const tensor::Tensor* const> inputs,
                                          std::span<const std::size_t> wanted, engine::RunControl*) override {
    if (++runs_ >= std::atoi(Value(words_, "on", "1").c_str()))
      MEZZO_TRY_VOID(Misbehave(Value(words_, "run", "")));
    if (words_.contains("openrun") && ::open(words_.at("openrun").c_str(), O_RDONLY) >= 0) {
      MEZZO_TRY_VOID(Works("reading a file"));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(std::atoi(Value(words_, "sleep", "0").c_str())));
    return std::vector<tensor::Tensor>(wanted.size(), *inputs[0]);
  }
  [[nodiscard]] std::unique_ptr<engine::RunControl> NewRunControl() override { return nullptr; }

 private:
  const Words words_;
  const engine::SessionFacts facts_;
  int runs_ = 0;
};

class OddEngine final : public engine::Engine {
 public:
  Result<std::unique_ptr<engine::Session>> Load(const engine::LoadRequest& request) override {
    const Words words = ReadWords(request.model_path);
    MEZZO_TRY_VOID(TryToBreakOut(words));
    MEZZO_TRY_VOID(Misbehave(Value(words, "load", "")));
    engine::SessionFacts facts;
    facts.memory_bytes = ParseUint(Value(words, "memory", "1000")).value_or(0);
    engine::TensorSpec spec;
    spec.dtype = tensor::ParseDType(Value(words, "type", "FP32")).value_or(tensor::DType::kFp32);
    const std::string dim = Value(words, "dim", "4");
    const int rank = std::atoi(Value(words, "rank", "2").c_str());
    for (int i = 0; i < rank; ++i) {
      (void)spec.shape.Append(i == 0 ? -1 : std::atoi(dim.c_str()));
      spec.symbols.emplace_back(i == 0 ? "batch" : "");
    }
    const std::string inputs = Value(words, "inputs", "x");
    const std::string outputs = Value(words, "outputs", "y");
    for (const std::string_view name : Split(inputs, ',')) {
      spec.name = std::string(name);
      spec.optional = Value(words, "optional", "") == spec.name;
      facts.inputs.push_back(spec);
    }
    spec.optional = false;
    for (const std::string_view name : Split(outputs, ',')) {
      spec.name = std::string(name);
      facts.outputs.push_back(spec);
    }
    return std::unique_ptr<engine::Session>(std::make_unique<OddSession>(words, std::move(facts)));
  }
  [[nodiscard]] std::string platform() const override { return "onnxruntime_onnx"; }
  [[nodiscard]] std::vector<std::string> providers() const override { return {"cpu"}; }
};

Result<ModelFileFacts> Scan(const std::string& path) {
  const Words words = ReadWords(path);
  if (words.contains("garbage")) return InvalidArgument("model_invalid", "not an ONNX model");
  ModelFileFacts facts;
  facts.opsets[""] = std::atoi(Value(words, "opset", "17").c_str());
  if (words.contains("domain")) facts.foreign_operators[words.at("domain")] = {"Odd"};
  return facts;
}

}  // namespace
}  // namespace mezzo::lifecycle

int main() {
  using namespace mezzo::lifecycle;
  const std::string text((std::istreambuf_iterator<char>(std::cin)), std::istreambuf_iterator<char>());
  const auto task = VersionChildTask::FromJson(text);
  if (!task.ok()) RefuseVersionChild(task.error());
  const mezzo::RealClock clock;
  OddEngine engine;
  RunVersionChild(*task, {.engine = engine, .scan = Scan, .clock = clock});
}
