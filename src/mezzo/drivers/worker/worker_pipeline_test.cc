// Diffusers pipelines, with modules in the place of `torch` and `diffusers` that only pretend.

#include <sys/stat.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/drivers/worker/testing/python_models.h"

namespace mezzo::drivers {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::PythonModel;
using testing::Workers;

constexpr const char* kTorch = R"(
float16, float32 = 'half', 'float'
class cuda:
    is_available = staticmethod(lambda: False)
class Generator:
    def __init__(self, device): self.device = device
    def manual_seed(self, seed):
        self.seed = seed
        return self
)";

/// Pictures of `frames` times height times width; the red of the first is the seed over 255.
constexpr const char* kDiffusers = R"(
import numpy as np
class Result: pass
class DiffusionPipeline:
    num_timesteps = 3
    @classmethod
    def from_pretrained(cls, folder, **options):
        assert options == dict(torch_dtype='float', use_safetensors=True, local_files_only=True), options
        return cls()
    def to(self, device): assert device == 'cpu'
    def set_progress_bar_config(self, disable): assert disable
    def __call__(self, prompt, height=4, width=6, num_inference_steps=3, generator=None, output_type='pil',
                 callback_on_step_end=None):
        assert prompt == 'a cat' and output_type == 'np', prompt
        for step in range(num_inference_steps): callback_on_step_end(self, step, 0, {})
        result = Result()
        result.images = np.zeros((1, height, width, 3), np.float32)
        result.images[0, 0, 0, 0] = generator.seed / 255 if generator else 2.0
        return result
)";

class WorkerPipelineTest : public ::testing::Test {
 protected:
  WorkerPipelineTest() {
    pipeline_.Write("model_index.json", "{}");
    // An interpreter that has modules of its own, as one of a virtual environment has.
    modules_.Write("python", "#!/bin/sh\nPYTHONPATH=\"$PYTHONPATH:" + modules_.File("") +
                                 "\" exec " MEZZO_TEST_PYTHON " \"$@\"\n");
    ::chmod(modules_.File("python").c_str(), 0700);
    workers_.settings.python = modules_.File("python");
  }

  Result<std::unique_ptr<engine::Session>> Load() {
    return workers_.LoadFile(pipeline_.File("model_index.json"), 1);
  }

  PythonModel pipeline_{""};
  PythonModel modules_{""};
  Workers workers_;
};

TEST_F(WorkerPipelineTest, APipelinesArgumentsAreTheInputsAndItsPicturesTheOutput) {
  modules_.Write("torch.py", kTorch);
  modules_.Write("diffusers.py", kDiffusers);
  const auto session = Load();
  ASSERT_TRUE(session.ok()) << session.error().ToString();
  const auto& inputs = (*session)->facts().inputs;
  ASSERT_EQ(inputs.size(), 5U);  // prompt, height, width, num_inference_steps, seed
  EXPECT_FALSE(inputs[0].optional);
  EXPECT_TRUE(inputs[1].optional);
  std::string text;
  tensor::AppendBytesElement(text, "a cat");
  const tensor::Tensor prompt{
      .dtype = tensor::DType::kBytes, .shape = {1}, .data = SharedBytes::FromString(text)};
  const tensor::Tensor seed{.dtype = tensor::DType::kInt64,
                            .shape = {1},
                            .data = SharedBytes::FromString(std::string("\x07\0\0\0\0\0\0\0", 8))};
  const tensor::Tensor* run_inputs[] = {&prompt, nullptr, nullptr, nullptr, &seed};
  const std::size_t wanted[] = {0};
  const auto control = (*session)->NewRunControl();

  const auto outputs = (*session)->Run(run_inputs, wanted, control.get());

  ASSERT_TRUE(outputs.ok()) << outputs.error().ToString();
  EXPECT_EQ(outputs->front().shape, (tensor::Shape{1, 4, 6, 3}));
  EXPECT_EQ(outputs->front().data.view()[0], std::byte{7});
  EXPECT_EQ(control->progress().step, 3U);
}

TEST_F(WorkerPipelineTest, AMissingPackageIsNamedWithWhatToDo) {
  modules_.Write("torch.py", kTorch);
  // Whatever interpreter the tests have: this module is found first, and says that there is none.
  modules_.Write("diffusers.py", "raise ImportError('none here')\n");

  const auto session = Load();

  ASSERT_FALSE(session.ok());
  EXPECT_THAT(session.error().ToString(),
              AllOf(HasSubstr("model_invalid"), HasSubstr("needs the Python package 'diffusers'"),
                    HasSubstr("worker.python")));
}

TEST_F(WorkerPipelineTest, CodeInThePipelinesFolderIsNotRun) {
  modules_.Write("torch.py", kTorch);
  modules_.Write("diffusers.py", kDiffusers);
  for (const char* module :
       {"torch.py", "diffusers.py", "numpy.py", "json.py", "mezzo_worker.py", "site.py"}) {
    pipeline_.Write(module, "raise SystemExit(77)\n");
  }

  EXPECT_TRUE(Load().ok());
}

}  // namespace
}  // namespace mezzo::drivers
