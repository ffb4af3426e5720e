#pragma once

#include <dirent.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "mezzo/base/clock.h"
#include "mezzo/drivers/worker/internal/worker_metrics.h"
#include "mezzo/drivers/worker/worker_engine.h"

namespace mezzo::drivers::testing {

/// A folder with one Python model, gone with the object.
class PythonModel {
 public:
  /// `body` is what comes after the imports of a model.py.
  explicit PythonModel(const std::string& body) {
    std::string name = (std::filesystem::temp_directory_path() / "mezzo-worker-XXXXXX").string();
    root_ = ::mkdtemp(name.data());
    std::filesystem::create_directories(root_ / "echo" / "1");
    Write("model.py",
          "import ctypes, json, os, signal, socket, struct, sys, threading, time\n"
          "import numpy as np\n"
          "from mezzo_worker import TensorSpec\n" +
              body);
  }
  ~PythonModel() { std::filesystem::remove_all(root_); }
  PythonModel(const PythonModel&) = delete;
  PythonModel& operator=(const PythonModel&) = delete;

  void Write(const std::string& file, const std::string& text) const {
    std::ofstream(root_ / "echo" / "1" / file) << text;
  }
  [[nodiscard]] std::string path() const { return (root_ / "echo" / "1" / "model.py").string(); }
  [[nodiscard]] std::string File(const std::string& name) const {
    return (root_ / "echo" / "1" / name).string();
  }

 private:
  std::filesystem::path root_;
};

/// A class Model with x FP32 [-1] and y FP32 [-1] whose predict() has this body (indented by 8).
inline std::string Predicting(const std::string& lines, const std::string& more = "") {
  return "class Model:\n"
         "    inputs = [TensorSpec('x', 'FP32', [-1])]\n"
         "    outputs = [TensorSpec('y', 'FP32', [-1])]\n" +
         more +
         "    def __init__(self, context):\n"
         "        self.context = context\n"
         "    def predict(self, inputs, context):\n" +
         lines;
}

inline tensor::Tensor Floats(const std::vector<float>& values) {
  const tensor::MutableBuffer buffer = tensor::AllocateBuffer(values.size() * sizeof(float));
  if (!values.empty()) std::memcpy(buffer.data(), values.data(), buffer.size);
  return {.dtype = tensor::DType::kFp32,
          .shape = {static_cast<std::int64_t>(values.size())},
          .data = buffer.Share()};
}

inline std::vector<float> ValuesOf(const tensor::Tensor& tensor) {
  std::vector<float> values(tensor.data.size() / sizeof(float));
  if (!values.empty()) std::memcpy(values.data(), tensor.data.data(), tensor.data.size());
  return values;
}

inline std::size_t OpenDescriptors() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) ++count;
  return count;
}

/// Whether this process has a child, living or not reaped.
inline bool HasChildren() {
  siginfo_t info{};
  return ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

/// Loads and runs models quickly: short pauses, short timeouts.
class Workers {
 public:
  Workers() {
    options.python = MEZZO_TEST_PYTHON;
    options.backoff = {.first = std::chrono::milliseconds(10), .longest = std::chrono::milliseconds(50)};
    options.broken_pause = std::chrono::seconds(30);
    settings.start_timeout = std::chrono::seconds(20);
    settings.run_timeout = std::chrono::seconds(20);
    settings.hang_timeout = std::chrono::seconds(10);
    settings.cancel_grace = std::chrono::milliseconds(300);
  }

  Result<std::unique_ptr<engine::Session>> Load(const PythonModel& model, std::int64_t instances = 1) const {
    return LoadFile(model.path(), instances);
  }
  Result<std::unique_ptr<engine::Session>> LoadFile(const std::string& path, std::int64_t instances) const {
    engine::LoadRequest request;
    request.model = "echo";
    request.platform = "python";
    request.model_path = path;
    request.instances = instances;
    request.worker = settings;
    return WorkerEngine(options, clock_, registry_).Load(request);
  }

  static Result<std::vector<tensor::Tensor>> Run(engine::Session& session, const tensor::Tensor& input,
                                                 engine::RunControl* control = nullptr) {
    const tensor::Tensor* inputs[] = {&input};
    const std::size_t wanted[] = {0};
    return session.Run(inputs, wanted, control);
  }
  /// The first output's values, or the error's text.
  static std::pair<std::vector<float>, std::string> Values(engine::Session& session,
                                                           const std::vector<float>& input) {
    const auto outputs = Run(session, Floats(input));
    if (!outputs.ok()) return {{}, outputs.error().ToString()};
    return {ValuesOf(outputs->front()), ""};
  }
  /// Waits for the next success: a worker is being started again. The error when none comes in time.
  static std::string RunsAgain(engine::Session& session) {
    std::string last = "no run";
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (std::chrono::steady_clock::now() < until) {
      const auto outputs = Run(session, Floats({1}));
      if (outputs.ok()) return "";
      last = outputs.error().ToString();
    }
    return last;
  }

  /// Deaths of processes with this reason.
  std::uint64_t Deaths(const std::string& reason) {
    return WorkerMetrics(registry_).deaths.With({"echo", reason}).value();
  }

  WorkerEngine::Options options;
  engine::WorkerSettings settings;

 private:
  const RealClock clock_;
  mutable observe::Registry registry_;
};

}  // namespace mezzo::drivers::testing
