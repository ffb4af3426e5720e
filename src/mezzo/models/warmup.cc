#include "mezzo/models/warmup.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mezzo/base/strings.h"

namespace mezzo::models {
namespace {

constexpr std::int64_t kTimedRows = 4;

/// A warm-up's dims for one input, or nothing when the shape leaves some open and `open_dim` (what to take
/// for them) is 0.
std::optional<tensor::Shape> WarmupShape(const TensorConfig& input, const WarmupConfig& warmup, bool batches,
                                         std::int64_t open_dim) {
  tensor::Shape shape;
  if (batches) (void)shape.Append(warmup.batch_size);
  const auto given = warmup.input_dims.find(input.name);
  if (given != warmup.input_dims.end()) {
    for (const std::int64_t dim : given->second) {
      if (!shape.Append(dim)) return std::nullopt;
    }
    return shape;
  }
  const tensor::Shape& declared = input.engine_shape.value_or(input.shape);
  for (std::size_t i = batches ? 1 : 0; i < declared.rank(); ++i) {
    const std::int64_t dim = declared[i] < 0 ? open_dim : declared[i];
    if ((declared[i] < 0 && open_dim == 0) || !shape.Append(dim)) return std::nullopt;
  }
  return shape;
}

/// Zeros, or random bits that are small numbers in every type: each element's lowest byte only. (As floating
/// point these are tiny, as indices small, as booleans valid.)
/// Strings are all `text`.
Result<tensor::Tensor> MakeInput(const TensorConfig& input, const tensor::Shape& shape, bool random,
                                 std::string_view text) {
  tensor::Tensor made{.dtype = input.dtype, .shape = shape, .data = {}};
  if (input.dtype == tensor::DType::kBytes) {
    MEZZO_TRY(const std::uint64_t count, tensor::ElementCount(shape));
    if (count > (std::uint64_t{1} << 24)) return ResourceExhausted("warmup_too_large", "too many strings");
    std::string strings;
    for (std::uint64_t i = 0; i < count; ++i) tensor::AppendBytesElement(strings, text);
    made.data = SharedBytes::FromString(std::move(strings));
    return made;
  }
  MEZZO_TRY(const ByteCount bytes, tensor::ByteSize(input.dtype, shape));
  if (bytes > (ByteCount{4} << 30)) {
    return ResourceExhausted("warmup_too_large", "input '" + Printable(input.name) + "' of shape " +
                                                     shape.ToString() + " needs " + FormatBytes(bytes) +
                                                     "; the limit is 4 GiB");
  }
  const auto buffer = tensor::AllocateBuffer(bytes);
  std::fill_n(buffer.data(), bytes, std::byte{0});
  if (random) {
    const std::size_t step = tensor::DTypeSize(input.dtype);
    std::uint32_t state = 0x2545f491;
    for (std::size_t i = 0; i < bytes; i += step) {
      state = state * 1664525U + 1013904223U;
      buffer.data()[i] =
          static_cast<std::byte>((state >> 24) & (input.dtype == tensor::DType::kBool ? 1U : 7U));
    }
  }
  made.data = buffer.Share();
  return made;
}

Error WarmupError(const WarmupConfig& warmup, const Error& error) {
  const std::string name = warmup.name.empty() ? "" : " '" + Printable(warmup.name) + "'";
  return {error.code(), "warmup_failed",
          "warm-up" + name + " with batch size " + std::to_string(warmup.batch_size) +
              " failed: " + error.message()};
}

/// How the inputs of a run are made where the configuration leaves it open.
struct Filling {
  ByteCount max_bytes = UINT64_MAX;
  std::int64_t open_dim = 0;  ///< 0: a shape that is not known fails the run.
  std::string_view text;
  engine::RunControl* control = nullptr;
  const Clock* clock = nullptr;  ///< Null: runs are not timed.
};

/// Runs one warm-up `count` times; what the last run took. Nothing when its shapes are not known (only an
/// automatic one may leave it at that).
Result<std::optional<Duration>> RunWarmup(engine::Session& session, const ModelConfig& config,
                                          const WarmupConfig& warmup, const Filling& filling) {
  const auto& facts = session.facts();
  std::vector<tensor::Tensor> tensors;
  std::vector<const TensorConfig*> belongs;
  ByteCount bytes = 0;
  for (const engine::TensorSpec& spec : facts.inputs) {
    const auto input = std::find_if(config.inputs.begin(), config.inputs.end(),
                                    [&spec](const TensorConfig& t) { return t.name == spec.name; });
    belongs.push_back(input == config.inputs.end() ? nullptr : &*input);
    tensors.emplace_back();
    if (input == config.inputs.end()) continue;
    const bool batches = config.max_batch_size > 0 && !input->shared;
    const auto shape = WarmupShape(*input, warmup, batches, filling.open_dim);
    if (!shape.has_value()) return std::optional<Duration>();
    if (input->dtype != tensor::DType::kBytes) {  // ByteSize() is not for texts.
      const auto size = tensor::ByteSize(input->dtype, *shape);
      bytes += size.ok() ? *size : 0;
      if (bytes > filling.max_bytes) return std::optional<Duration>();
    }
    auto made = MakeInput(*input, *shape, warmup.random_inputs.contains(input->name), filling.text);
    if (!made.ok()) return WarmupError(warmup, made.error());
    tensors.back() = std::move(made).value();
  }
  std::vector<const tensor::Tensor*> inputs;
  inputs.reserve(tensors.size());
  for (std::size_t i = 0; i < tensors.size(); ++i)
    inputs.push_back(belongs[i] == nullptr ? nullptr : &tensors[i]);
  std::vector<std::size_t> wanted(facts.outputs.size());
  for (std::size_t i = 0; i < wanted.size(); ++i) wanted[i] = i;
  const auto now = [&filling] { return filling.clock == nullptr ? TimePoint() : filling.clock->Now(); };
  std::optional<Duration> took = Duration::zero();
  for (std::int64_t run = 0; run < warmup.count; ++run) {
    const TimePoint start = now();
    const auto outputs = session.Run(inputs, wanted, filling.control);
    if (!outputs.ok()) return WarmupError(warmup, outputs.error());
    took = now() - start;
  }
  return took;
}

}  // namespace

Result<std::optional<RunTiming>> WarmUp(engine::Session& session, const ModelConfig& config,
                                        ByteCount max_automatic_bytes, const Clock& clock) {
  using Timing = std::optional<RunTiming>;
  for (const WarmupConfig& warmup : config.warmup) {
    MEZZO_TRY(const auto ran, RunWarmup(session, config, warmup, {}));
    if (!ran) {
      return InvalidArgument("warmup_failed", "warm-up '" + Printable(warmup.name) +
                                                  "' must give the dimensions of every input that varies");
    }
  }
  if (!config.warmup.empty() || !config.automatic_warmup) return Timing();
  // What a model makes of empty strings is its own business: they would fail many a good one.
  for (const auto& spec : session.facts().inputs) {
    if (spec.dtype == tensor::DType::kBytes) return Timing();
  }
  // The first run of a size pays for memory; the second one is timed.
  const auto run = [&](std::int64_t rows, std::int64_t count) {
    WarmupConfig automatic;
    automatic.batch_size = rows;
    automatic.count = count;
    return RunWarmup(session, config, automatic, {.max_bytes = max_automatic_bytes, .clock = &clock});
  };
  MEZZO_TRY(const std::optional<Duration> solo, run(1, 2));
  if (!solo) return Timing();
  RunTiming timing{.solo = *solo};
  if (config.max_batch_size > 1) {
    const std::int64_t rows = std::min(config.max_batch_size, kTimedRows);
    MEZZO_TRY(const std::optional<Duration> batch, run(rows, 2));
    if (batch && *solo > Duration::zero()) {
      timing.marginal =
          std::clamp((Seconds(*batch) / Seconds(*solo) - 1) / static_cast<double>(rows - 1), 0.0, 1.0);
    }
    MEZZO_TRY_VOID(run(config.max_batch_size, 1));
  }
  return Timing(timing);
}

bool RunsOnSample(engine::Session& session, const ModelConfig& config, ByteCount max_bytes,
                  engine::RunControl* control, std::optional<Error>* why) {
  WarmupConfig sample = config.warmup.empty() ? WarmupConfig{} : config.warmup.front();
  sample.count = 1;
  const auto ran = RunWarmup(session, config, sample,
                             {.max_bytes = max_bytes, .open_dim = 1, .text = "0", .control = control});
  if (!ran.ok() && why != nullptr) *why = ran.error();
  return ran.ok() && ran->has_value();
}

}  // namespace mezzo::models
