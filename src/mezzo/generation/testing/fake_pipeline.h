#pragma once

#include <cmath>
#include <cstring>
#include <functional>
#include <memory>
#include <numeric>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "mezzo/base/mutex.h"
#include "mezzo/generation/internal/golden_files.h"
#include "mezzo/generation/pipeline.h"
#include "mezzo/inference/local_service.h"

/// A pipeline whose networks are small functions, for tests without an engine.
namespace mezzo::generation::testing {

/// Watches and holds the runs of one part. Thread-safe.
class PartGate {
 public:
  /// Called by the part: notes a run and waits while closed.
  void Enter(std::vector<float> timesteps) EXCLUDES(mu_) {
    MutexLock lock(mu_);
    runs_.push_back(std::move(timesteps));
    changed_.NotifyAll();
    while (closed_) changed_.Wait(mu_);
  }
  void Close() EXCLUDES(mu_) {
    MutexLock lock(mu_);
    closed_ = true;
  }
  void Open() EXCLUDES(mu_) {
    MutexLock lock(mu_);
    closed_ = false;
    changed_.NotifyAll();
  }
  void AwaitRuns(std::size_t count) EXCLUDES(mu_) {
    MutexLock lock(mu_);
    while (runs_.size() < count) changed_.Wait(mu_);
  }
  /// The timesteps of every run's rows; of parts without timesteps a 0 for each row.
  std::vector<std::vector<float>> runs() EXCLUDES(mu_) {
    MutexLock lock(mu_);
    return runs_;
  }

 private:
  Mutex mu_;
  CondVar changed_;
  bool closed_ GUARDED_BY(mu_) = false;
  std::vector<std::vector<float>> runs_ GUARDED_BY(mu_);
};

using Inputs = std::span<const tensor::Tensor* const>;
using PartFunction = std::function<Result<std::vector<tensor::Tensor>>(Inputs)>;

class FakePartSession final : public engine::Session {
 public:
  FakePartSession(engine::SessionFacts facts, PartFunction run)
      : facts_(std::move(facts)), run_(std::move(run)) {}
  [[nodiscard]] const engine::SessionFacts& facts() const override { return facts_; }
  Result<std::vector<tensor::Tensor>> Run(Inputs inputs, std::span<const std::size_t> wanted,
                                          engine::RunControl* /*control*/) override {
    MEZZO_TRY(const std::vector<tensor::Tensor> all, run_(inputs));
    std::vector<tensor::Tensor> out;
    for (const std::size_t index : wanted) out.push_back(all[index]);
    return out;
  }
  [[nodiscard]] std::unique_ptr<engine::RunControl> NewRunControl() override {
    class Control final : public engine::RunControl {
      void Terminate() override {}
      void Reset() override {}
    };
    return std::make_unique<Control>();
  }

 private:
  engine::SessionFacts facts_;
  PartFunction run_;
};

inline models::VersionRef MakePart(const std::string& name, std::vector<engine::TensorSpec> inputs,
                                   std::vector<engine::TensorSpec> outputs, inference::RuntimeBinder& binder,
                                   PartFunction run) {
  auto config = std::make_shared<models::ModelConfig>();
  config->name = name;
  config->max_batch_size = 16;
  for (const auto& spec : inputs) {
    config->inputs.push_back(
        {.name = spec.name, .dtype = spec.dtype, .shape = spec.shape, .shared = spec.shape.rank() == 0});
  }
  for (const auto& spec : outputs)
    config->outputs.push_back({.name = spec.name, .dtype = spec.dtype, .shape = spec.shape});
  auto version = std::make_shared<models::ModelVersion>();
  version->name = ModelName(name);
  version->version_text = "1";
  version->config = std::move(config);
  engine::SessionFacts facts;
  facts.inputs = std::move(inputs);
  facts.outputs = std::move(outputs);
  version->session = std::make_unique<FakePartSession>(std::move(facts), std::move(run));
  version->extension = binder.Bind(*version).value();
  return version;
}

inline std::vector<float> Floats(const tensor::Tensor& tensor) {
  std::vector<float> out(tensor.data.size() / sizeof(float));
  std::memcpy(out.data(), tensor.data.data(), tensor.data.size());
  return out;
}

inline tensor::Tensor FromFloats(const tensor::Shape& shape, const std::vector<float>& values) {
  std::string bytes(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
  return {.dtype = tensor::DType::kFp32, .shape = shape, .data = SharedBytes::FromString(std::move(bytes))};
}

/// Small networks of the shapes of Stable Diffusion 1.x. What a row of the denoiser gives depends on that row
/// alone, as in the real ones.
class FakePipeline {
 public:
  struct Options {
    bool timestep_list = true;  ///< False: one number for the whole batch.
    std::size_t side = 64;      ///< Default side of a picture.
  };
  FakePipeline(inference::RuntimeBinder& binder, Options options) {
    auto pipeline = std::make_shared<Pipeline>();
    pipeline->name = ModelName("fake");
    pipeline->version = "1";
    pipeline->config.class_name = "StableDiffusionPipeline";
    pipeline->config.default_side = options.side;
    pipeline->config.scheduler.kind = SchedulerKind::kEulerAncestral;
    TextEncoder encoder;
    encoder.config.part = "text_encoder";
    encoder.tokenizer = Tokenizer();
    encoder.model =
        MakePart("fake/text_encoder",
                 {{.name = "input_ids", .dtype = tensor::DType::kInt64, .shape = {-1, -1}, .symbols = {}}},
                 {{.name = "last_hidden_state", .shape = {-1, -1, 4}, .symbols = {}}}, binder,
                 [this](Inputs inputs) { return EncodeText(inputs); });
    pipeline->text_encoders.push_back(std::move(encoder));
    pipeline->unet = MakePart("fake/unet",
                              {{.name = "sample", .shape = {-1, 4, -1, -1}, .symbols = {}},
                               {.name = "timestep",
                                .dtype = tensor::DType::kInt64,
                                .shape = options.timestep_list ? tensor::Shape{-1} : tensor::Shape{},
                                .symbols = {}},
                               {.name = "encoder_hidden_states", .shape = {-1, -1, 4}, .symbols = {}}},
                              {{.name = "out_sample", .shape = {-1, 4, -1, -1}, .symbols = {}}}, binder,
                              [this](Inputs inputs) { return Denoise(inputs); });
    pipeline->vae_decoder =
        MakePart("fake/vae_decoder", {{.name = "latent_sample", .shape = {-1, 4, -1, -1}, .symbols = {}}},
                 {{.name = "sample", .shape = {-1, 3, -1, -1}, .symbols = {}}}, binder,
                 [this](Inputs inputs) { return Decode(inputs); });
    pipeline_ = std::move(pipeline);
  }

  [[nodiscard]] const PipelineRef& pipeline() const { return pipeline_; }
  PartGate text;
  PartGate unet;
  PartGate decoder;
  std::function<bool()> fails;  ///< Asked in each denoising run. Set before the first one.

 private:
  static std::shared_ptr<const PromptTokenizer> Tokenizer() {
    const auto file = [](const std::string& name) {
      return internal::ReadWholeFile(internal::GoldenPath("clip/" + name));
    };
    const std::string vocabulary = file("vocab.json");
    const std::string merges = file("merges.txt");
    const std::string config = R"({"unk_token": "<|endoftext|>", "bos_token": "<|startoftext|>",)"
                               R"( "eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"})";
    auto clip = ClipTokenizer::Parse({.vocab_json = vocabulary,
                                      .merges_txt = merges,
                                      .tokenizer_config_json = config,
                                      .special_tokens_map_json = {}},
                                     ClipTokenizer::Rules::kBasic);
    return std::make_shared<const PromptTokenizer>(std::move(clip).value());
  }

  Result<std::vector<tensor::Tensor>> EncodeText(Inputs inputs) {
    const tensor::Shape shape = inputs[0]->shape;
    text.Enter(std::vector<float>(static_cast<std::size_t>(shape[0])));
    std::vector<float> states;
    for (std::size_t i = 0; i < inputs[0]->data.size() / sizeof(std::int64_t); ++i) {
      std::int64_t id = 0;
      std::memcpy(&id, inputs[0]->data.data() + i * sizeof(id), sizeof(id));
      for (int k = 1; k <= 4; ++k) states.push_back(std::sin(static_cast<float>(id * k)));
    }
    return std::vector<tensor::Tensor>{FromFloats({shape[0], shape[1], 4}, states)};
  }

  Result<std::vector<tensor::Tensor>> Denoise(Inputs inputs) {
    const tensor::Shape shape = inputs[0]->shape;
    const auto rows = static_cast<std::size_t>(shape[0]);
    std::vector<float> timesteps(rows);
    const std::size_t given = inputs[1]->data.size() / sizeof(std::int64_t);
    for (std::size_t row = 0; row < rows; ++row) {
      std::int64_t value = 0;
      std::memcpy(&value, inputs[1]->data.data() + (given == 1 ? 0 : row) * sizeof(value), sizeof(value));
      timesteps[row] = static_cast<float>(value);
    }
    unet.Enter(timesteps);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));  // Whatever the rows: batches are worth it.
    if (fails && fails()) return InvalidArgument("engine_rejected_input", "told to fail");
    std::vector<float> sample = Floats(*inputs[0]);
    const std::vector<float> states = Floats(*inputs[2]);
    const std::size_t of_row = sample.size() / rows;
    const std::size_t states_of_row = states.size() / rows;
    for (std::size_t i = 0; i < sample.size(); ++i) {
      const std::size_t row = i / of_row;
      const float state = states[row * states_of_row + i % of_row % states_of_row];
      sample[i] = 0.8F * std::tanh(0.5F * sample[i] + 0.3F * state + timesteps[row] / 2000.0F);
    }
    return std::vector<tensor::Tensor>{FromFloats(shape, sample)};
  }

  Result<std::vector<tensor::Tensor>> Decode(Inputs inputs) {
    const tensor::Shape shape = inputs[0]->shape;
    decoder.Enter(std::vector<float>(static_cast<std::size_t>(shape[0])));
    const std::vector<float> latents = Floats(*inputs[0]);
    const std::int64_t height = shape[2] * 8;
    const std::int64_t width = shape[3] * 8;
    std::vector<float> picture;
    for (std::int64_t row = 0; row < shape[0]; ++row) {
      for (std::int64_t c = 0; c < 3; ++c) {
        for (std::int64_t y = 0; y < height; ++y) {
          for (std::int64_t x = 0; x < width; ++x) {
            const std::int64_t at = ((row * 4 + c) * shape[2] + y / 8) * shape[3] + x / 8;
            picture.push_back(std::tanh(latents[static_cast<std::size_t>(at)]));
          }
        }
      }
    }
    return std::vector<tensor::Tensor>{FromFloats({shape[0], 3, height, width}, picture)};
  }

  PipelineRef pipeline_;
};

}  // namespace mezzo::generation::testing
