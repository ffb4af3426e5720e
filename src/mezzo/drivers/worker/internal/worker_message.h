#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "mezzo/base/bytes.h"
#include "mezzo/base/result.h"
#include "mezzo/engine/engine.h"
#include "mezzo/observe/log.h"

/// The messages between server and worker, as JSON. Their meaning and order: drivers/worker/README.md.
namespace mezzo::drivers {

constexpr int kWorkerProtocol = 1;
/// Inputs, and outputs, of one model; and the bytes of their names. So that every frame fits its limit.
constexpr std::size_t kMaxWorkerTensors = 256;
constexpr std::size_t kMaxWorkerName = 256;

/// A tensor in a segment of shared memory.
struct TensorPlace {
  std::string name;
  tensor::DType dtype = tensor::DType::kFp32;
  tensor::Shape shape;
  ByteCount offset = 0;
  ByteCount bytes = 0;
};

// From the worker.

struct WorkerHello {
  int protocol = 0;
  std::string python;  ///< Its version, for the log.
};
struct WorkerReady {
  std::vector<engine::TensorSpec> inputs;
  std::vector<engine::TensorSpec> outputs;
};
struct WorkerBeat {};
struct WorkerProgress {
  std::uint64_t run = 0;
  engine::RunProgress progress;
};
/// It needs a segment of this size for the outputs of a run.
struct WorkerRoom {
  std::uint64_t run = 0;
  ByteCount bytes = 0;
};
struct WorkerResult {
  std::uint64_t run = 0;
  std::uint32_t segment = 0;
  std::vector<TensorPlace> outputs;
};
struct WorkerFailed {
  enum class Kind : std::uint8_t {
    kInvalid,    ///< The model can't be loaded; run is 0.
    kRejected,   ///< The model refused the inputs.
    kFailed,     ///< The model raised something else.
    kCancelled,  ///< It stopped because it was told to.
    kRefused,    ///< It stopped because it got no room.
  };
  std::uint64_t run = 0;
  Kind kind = Kind::kFailed;
  std::string text;
};
struct WorkerLog {
  observe::LogLevel level = observe::LogLevel::kInfo;
  std::string text;
};
using WorkerMessage = std::variant<WorkerHello, WorkerReady, WorkerBeat, WorkerProgress, WorkerRoom,
                                   WorkerResult, WorkerFailed, WorkerLog>;

/// Reads what a worker sent, which may be anything. Fails with kInternal "worker_protocol", naming the field.
/// Whether the numbers make sense together is for the reader's caller to check.
Result<WorkerMessage> ParseWorkerMessage(std::string_view json);

// To the worker.

struct WorkerLoad {
  std::string path;
  std::size_t instance = 0;
  Duration beat{};  ///< Between two signs of life.
  std::span<const engine::TensorSpec> inputs;
  std::span<const engine::TensorSpec> outputs;
};
std::string WorkerLoadJson(const WorkerLoad& load);
/// The frame that brings a segment's descriptor along.
std::string WorkerSegmentJson(std::uint32_t segment, ByteCount bytes, bool writable);
std::string WorkerForgetJson(std::uint32_t segment);
/// `room`: a segment for the outputs, or null when there is none yet. All inputs lie in `segment`.
std::string WorkerRunJson(std::uint64_t run, std::uint32_t segment, std::span<const TensorPlace> inputs,
                          std::span<const std::string_view> outputs, const std::uint32_t* room);
std::string WorkerCancelJson(std::uint64_t run);
/// The answers to a request for room: a segment that the worker knows by now, or none.
std::string WorkerRoomJson(std::uint64_t run, std::uint32_t segment);
std::string WorkerRefuseJson(std::uint64_t run);
std::string WorkerStopJson();

}  // namespace mezzo::drivers
