#include "mezzo/drivers/worker/internal/worker_message.h"

#include <optional>
#include <utility>

#include <nlohmann/json.hpp>

#include "mezzo/base/strings.h"

namespace mezzo::drivers {
namespace {

using nlohmann::json;
using tensor::Shape;

constexpr std::size_t kMaxText = 4096;

Error Broken(const std::string& what) { return Internal("worker_protocol", "the worker sent " + what); }

/// Fields of one object, each with the check that it is there and of its type.
class Fields {
 public:
  Fields(const json& object, std::string_view of) : object_(object), of_(of) {}

  [[nodiscard]] Result<std::string> Text(const char* name, std::size_t max_bytes) const {
    const json* value = Find(name);
    if (value == nullptr || !value->is_string()) return Missing(name, "text");
    const auto& text = value->get_ref<const std::string&>();
    if (text.size() > max_bytes) return Missing(name, "text of at most " + std::to_string(max_bytes));
    return text;
  }
  [[nodiscard]] Result<std::uint64_t> Number(const char* name, std::uint64_t max) const {
    const json* value = Find(name);
    if (value == nullptr || !value->is_number_unsigned() || value->get<std::uint64_t>() > max) {
      return Missing(name, "a number from 0 to " + std::to_string(max));
    }
    return value->get<std::uint64_t>();
  }
  [[nodiscard]] Result<bool> Flag(const char* name) const {
    const json* value = Find(name);
    if (value == nullptr || !value->is_boolean()) return Missing(name, "true or false");
    return value->get<bool>();
  }
  [[nodiscard]] Result<const json*> List(const char* name, std::size_t max) const {
    const json* value = Find(name);
    if (value == nullptr || !value->is_array() || value->size() > max) {
      return Missing(name, "a list of at most " + std::to_string(max));
    }
    return value;
  }
  [[nodiscard]] Error Missing(const char* name, const std::string& expected) const {
    return Broken(std::string(of_) + " whose '" + name + "' is not " + expected);
  }

 private:
  [[nodiscard]] const json* Find(const char* name) const {
    const auto found = object_.find(name);
    return found == object_.end() ? nullptr : &*found;
  }

  const json& object_;
  std::string_view of_;
};

/// `lowest` is -1 for declared shapes, 0 for those of values.
Result<Shape> ReadShape(const Fields& fields, std::int64_t lowest) {
  MEZZO_TRY(const json* list, fields.List("shape", Shape::kMaxRank));
  Shape shape;
  for (const json& dim : *list) {
    const bool fits =
        dim.is_number_integer() && (dim.is_number_unsigned() ? dim.get<std::uint64_t>() <= INT64_MAX
                                                             : dim.get<std::int64_t>() >= lowest);
    if (!fits || !shape.Append(dim.get<std::int64_t>())) return fields.Missing("shape", "a shape");
  }
  return shape;
}

Result<tensor::DType> ReadDType(const Fields& fields) {
  MEZZO_TRY(const std::string name, fields.Text("datatype", 16));
  const auto dtype = tensor::ParseDType(name);
  if (!dtype.has_value()) return fields.Missing("datatype", "an element type");
  return *dtype;
}

Result<std::vector<engine::TensorSpec>> ReadSpecs(const Fields& message, const char* name) {
  MEZZO_TRY(const json* list, message.List(name, kMaxWorkerTensors));
  std::vector<engine::TensorSpec> specs;
  for (const json& entry : *list) {
    if (!entry.is_object()) return message.Missing(name, "a list of tensors");
    const Fields fields(entry, "a declared tensor");
    engine::TensorSpec spec;
    MEZZO_TRY(spec.name, fields.Text("name", kMaxWorkerName));
    MEZZO_TRY(spec.dtype, ReadDType(fields));
    MEZZO_TRY(spec.shape, ReadShape(fields, -1));
    MEZZO_TRY(spec.optional, fields.Flag("optional"));
    spec.symbols.resize(spec.shape.rank());
    specs.push_back(std::move(spec));
  }
  return specs;
}

Result<WorkerMessage> ReadHello(const Fields& fields) {
  WorkerHello hello;
  MEZZO_TRY(const std::uint64_t protocol, fields.Number("protocol", 1'000'000));
  hello.protocol = static_cast<int>(protocol);
  MEZZO_TRY(hello.python, fields.Text("python", 64));
  return WorkerMessage(std::move(hello));
}

Result<WorkerMessage> ReadReady(const Fields& fields) {
  WorkerReady ready;
  MEZZO_TRY(ready.inputs, ReadSpecs(fields, "inputs"));
  MEZZO_TRY(ready.outputs, ReadSpecs(fields, "outputs"));
  return WorkerMessage(std::move(ready));
}

Result<WorkerMessage> ReadBeat(const Fields&) { return WorkerMessage(WorkerBeat{}); }

Result<WorkerMessage> ReadProgress(const Fields& fields) {
  WorkerProgress progress;
  MEZZO_TRY(progress.run, fields.Number("run", UINT64_MAX));
  MEZZO_TRY(const std::uint64_t step, fields.Number("step", UINT32_MAX));
  MEZZO_TRY(const std::uint64_t steps, fields.Number("steps", UINT32_MAX));
  progress.progress = {.step = static_cast<std::uint32_t>(step), .steps = static_cast<std::uint32_t>(steps)};
  return WorkerMessage(progress);
}

Result<WorkerMessage> ReadRoom(const Fields& fields) {
  WorkerRoom room;
  MEZZO_TRY(room.run, fields.Number("run", UINT64_MAX));
  MEZZO_TRY(room.bytes, fields.Number("bytes", UINT64_MAX));
  return WorkerMessage(room);
}

Result<WorkerMessage> ReadResult(const Fields& fields) {
  WorkerResult result;
  MEZZO_TRY(result.run, fields.Number("run", UINT64_MAX));
  MEZZO_TRY(const std::uint64_t segment, fields.Number("segment", UINT32_MAX));
  result.segment = static_cast<std::uint32_t>(segment);
  MEZZO_TRY(const json* list, fields.List("outputs", kMaxWorkerTensors));
  for (const json& entry : *list) {
    if (!entry.is_object()) return fields.Missing("outputs", "a list of tensors");
    const Fields output(entry, "an output");
    TensorPlace place;
    MEZZO_TRY(place.name, output.Text("name", kMaxWorkerName));
    MEZZO_TRY(place.dtype, ReadDType(output));
    MEZZO_TRY(place.shape, ReadShape(output, 0));
    MEZZO_TRY(place.offset, output.Number("offset", UINT64_MAX));
    MEZZO_TRY(place.bytes, output.Number("bytes", UINT64_MAX));
    result.outputs.push_back(std::move(place));
  }
  return WorkerMessage(std::move(result));
}

Result<WorkerMessage> ReadFailed(const Fields& fields) {
  using Kind = WorkerFailed::Kind;
  constexpr std::pair<std::string_view, Kind> kKinds[] = {{"invalid", Kind::kInvalid},
                                                          {"rejected", Kind::kRejected},
                                                          {"failed", Kind::kFailed},
                                                          {"cancelled", Kind::kCancelled},
                                                          {"refused", Kind::kRefused}};
  WorkerFailed failed;
  MEZZO_TRY(failed.run, fields.Number("run", UINT64_MAX));
  MEZZO_TRY(failed.text, fields.Text("text", kMaxText));
  MEZZO_TRY(const std::string kind, fields.Text("kind", 16));
  for (const auto& [name, value] : kKinds) {
    if (name != kind) continue;
    failed.kind = value;
    return WorkerMessage(std::move(failed));
  }
  return fields.Missing("kind", "a kind of failure");
}

Result<WorkerMessage> ReadLog(const Fields& fields) {
  WorkerLog log;
  MEZZO_TRY(log.text, fields.Text("text", std::size_t{8} * kMaxText));
  MEZZO_TRY(const std::string level, fields.Text("level", 16));
  auto parsed = observe::ParseLogLevel(level);
  if (!parsed.ok()) return fields.Missing("level", "a level");
  log.level = *parsed;
  return WorkerMessage(std::move(log));
}

using Reader = Result<WorkerMessage> (*)(const Fields&);
constexpr std::pair<std::string_view, Reader> kReaders[] = {
    {"hello", &ReadHello}, {"ready", &ReadReady},   {"beat", &ReadBeat},     {"progress", &ReadProgress},
    {"room", &ReadRoom},   {"result", &ReadResult}, {"failed", &ReadFailed}, {"log", &ReadLog}};

/// What is no UTF-8 becomes replacement characters: an error of the worker's then, not an exception here.
std::string Dump(const json& frame) { return frame.dump(-1, ' ', false, json::error_handler_t::replace); }

json ShapeJson(const Shape& shape) {
  return std::vector<std::int64_t>(shape.dims().begin(), shape.dims().end());
}

json SpecsJson(std::span<const engine::TensorSpec> specs) {
  json list = json::array();
  for (const auto& spec : specs) {
    list.push_back({{"name", spec.name},
                    {"datatype", tensor::DTypeName(spec.dtype)},
                    {"shape", ShapeJson(spec.shape)},
                    {"optional", spec.optional}});
  }
  return list;
}

}  // namespace

Result<WorkerMessage> ParseWorkerMessage(std::string_view text) {
  const json message = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!message.is_object()) return Broken("a frame that is no JSON object");
  MEZZO_TRY(const std::string type, Fields(message, "a frame").Text("type", 16));
  for (const auto& [name, read] : kReaders) {
    if (name == type) return read(Fields(message, "'" + type + "'"));
  }
  return Broken("a frame of the unknown type '" + Printable(type) + "'");
}

std::string WorkerLoadJson(const WorkerLoad& load) {
  return Dump(json{{"type", "load"},
                   {"protocol", kWorkerProtocol},
                   {"path", load.path},
                   {"instance", load.instance},
                   {"beat_seconds", Seconds(load.beat)},
                   {"inputs", SpecsJson(load.inputs)},
                   {"outputs", SpecsJson(load.outputs)}});
}

std::string WorkerSegmentJson(std::uint32_t segment, ByteCount bytes, bool writable) {
  return Dump(json{{"type", "segment"}, {"segment", segment}, {"bytes", bytes}, {"writable", writable}});
}

std::string WorkerForgetJson(std::uint32_t segment) {
  return Dump(json{{"type", "forget"}, {"segment", segment}});
}

std::string WorkerRunJson(std::uint64_t run, std::uint32_t segment, std::span<const TensorPlace> inputs,
                          std::span<const std::string_view> outputs, const std::uint32_t* room) {
  json places = json::array();
  for (const TensorPlace& place : inputs) {
    places.push_back({{"name", place.name},
                      {"datatype", tensor::DTypeName(place.dtype)},
                      {"shape", ShapeJson(place.shape)},
                      {"segment", segment},
                      {"offset", place.offset},
                      {"bytes", place.bytes}});
  }
  json frame{{"type", "run"}, {"run", run}, {"inputs", std::move(places)}, {"room", nullptr}};
  frame["outputs"] = std::vector<std::string>(outputs.begin(), outputs.end());
  if (room != nullptr) frame["room"] = *room;
  return Dump(frame);
}

std::string WorkerCancelJson(std::uint64_t run) { return Dump(json{{"type", "cancel"}, {"run", run}}); }
std::string WorkerRoomJson(std::uint64_t run, std::uint32_t segment) {
  return Dump(json{{"type", "room"}, {"run", run}, {"segment", segment}});
}
std::string WorkerRefuseJson(std::uint64_t run) { return Dump(json{{"type", "refuse"}, {"run", run}}); }
std::string WorkerStopJson() { return Dump(json{{"type", "stop"}}); }

}  // namespace mezzo::drivers
