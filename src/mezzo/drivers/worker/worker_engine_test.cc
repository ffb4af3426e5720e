#include "mezzo/drivers/worker/worker_engine.h"

#include <chrono>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/base/sanitizers.h"
#include "mezzo/drivers/worker/testing/python_models.h"

namespace mezzo::drivers {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::AllOf;
using ::testing::ElementsAre;
using testing::Floats;
using ::testing::Ge;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Le;
using testing::Predicting;
using testing::PythonModel;
using testing::ValuesOf;
using testing::Workers;

class WorkerEngineTest : public ::testing::Test {
 protected:
  std::unique_ptr<engine::Session> Load(const PythonModel& model, std::int64_t instances = 1) {
    auto session = workers_.Load(model, instances);
    EXPECT_TRUE(session.ok()) << session.error().ToString();
    return session.ok() ? std::move(session).value() : nullptr;
  }
  std::string LoadError(const PythonModel& model) {
    const auto session = workers_.Load(model);
    return session.ok() ? "it loaded" : session.error().ToString();
  }

  Workers workers_;
};

TEST_F(WorkerEngineTest, RunsAPythonModel) {
  const PythonModel model(Predicting("        return {'y': inputs['x'] * 2}\n"));
  const auto session = Load(model);
  ASSERT_NE(session, nullptr);

  const auto [values, error] = Workers::Values(*session, {1, 2.5F, -3});

  EXPECT_EQ(error, "");
  EXPECT_THAT(values, ElementsAre(2, 5, -6));
}

TEST_F(WorkerEngineTest, TheModelsOwnDeclarationsAreTheFacts) {
  const PythonModel model(
      "class Model:\n"
      "    inputs = [TensorSpec('text', 'BYTES', [-1, 1]), TensorSpec('k', 'INT64', [1], optional=True)]\n"
      "    outputs = [TensorSpec('scores', 'FP16', [-1, 3])]\n"
      "    def __init__(self, context): pass\n"
      "    def predict(self, inputs, context): return {}\n");

  const auto session = Load(model);

  ASSERT_NE(session, nullptr);
  const engine::SessionFacts& facts = session->facts();
  ASSERT_EQ(facts.inputs.size(), 2U);
  EXPECT_EQ(facts.inputs[0].dtype, tensor::DType::kBytes);
  EXPECT_EQ(facts.inputs[0].shape, (tensor::Shape{-1, 1}));
  EXPECT_TRUE(facts.inputs[1].optional);
  ASSERT_EQ(facts.outputs.size(), 1U);
  EXPECT_EQ(facts.outputs[0].shape, (tensor::Shape{-1, 3}));
  EXPECT_GT(facts.memory_bytes, ByteCount{1} << 20U);
  EXPECT_TRUE(facts.has_loops);
}

TEST_F(WorkerEngineTest, TheConfigurationDeclaresWhatTheModelLeavesOut) {
  const PythonModel model(
      "class Model:\n"
      "    def __init__(self, context): pass\n"
      "    def predict(self, inputs, context): return {'y': inputs['x']}\n");
  engine::LoadRequest request;
  request.model_path = model.path();
  request.declared_inputs = {{.name = "x", .dtype = tensor::DType::kFp32, .shape = {-1}}};
  request.declared_outputs = {{.name = "y", .dtype = tensor::DType::kFp32, .shape = {-1}}};
  const RealClock clock;
  observe::Registry registry;

  const auto session = WorkerEngine(workers_.options, clock, registry).Load(request);

  ASSERT_TRUE(session.ok()) << session.error().ToString();
  EXPECT_THAT(Workers::Values(**session, {7}).first, ElementsAre(7));
  EXPECT_THAT(LoadError(model),
              AllOf(HasSubstr("model_invalid"), HasSubstr("nor model.yaml declares 'inputs'")));
}

TEST_F(WorkerEngineTest, StringsComeAndGoAsBytes) {
  const PythonModel model(
      "class Model:\n"
      "    inputs = [TensorSpec('x', 'BYTES', [-1])]\n"
      "    outputs = [TensorSpec('y', 'BYTES', [-1])]\n"
      "    def __init__(self, context): pass\n"
      "    def predict(self, inputs, context):\n"
      "        return {'y': [item + b'!' for item in inputs['x']] + ['\\u00e9']}\n");
  const auto session = Load(model);
  ASSERT_NE(session, nullptr);
  std::string elements;
  tensor::AppendBytesElement(elements, "");
  tensor::AppendBytesElement(elements, std::string("a\0b", 3));
  const tensor::Tensor input{
      .dtype = tensor::DType::kBytes, .shape = {2}, .data = SharedBytes::FromString(elements)};

  const auto outputs = Workers::Run(*session, input);

  ASSERT_TRUE(outputs.ok()) << outputs.error().ToString();
  std::vector<std::string> got;
  tensor::ForEachBytesElement(outputs->front().data.view(), [&](std::string_view e) { got.emplace_back(e); });
  EXPECT_THAT(got, ElementsAre("!", std::string("a\0b!", 4), "é"));
}

TEST_F(WorkerEngineTest, AHundredMegabytesGoThroughAndStayValidAfterLaterRuns) {
  const PythonModel model(Predicting("        return {'y': inputs['x'] + 1}\n"));
  const auto session = Load(model);
  ASSERT_NE(session, nullptr);
  std::vector<float> many(std::size_t{25} << 20U, 1);
  many.back() = 41;

  const auto outputs = Workers::Run(*session, Floats(many));
  ASSERT_TRUE(outputs.ok()) << outputs.error().ToString();
  EXPECT_EQ(Workers::Values(*session, many).second, "");

  const auto values = ValuesOf(outputs->front());
  ASSERT_EQ(values.size(), many.size());
  EXPECT_EQ(values.front(), 2);
  EXPECT_EQ(values.back(), 42);
}

TEST_F(WorkerEngineTest, OutputsOutliveTheirSession) {
  const PythonModel model(Predicting("        return {'y': np.full(100_000, 7, np.float32)}\n"));
  auto session = Load(model);
  ASSERT_NE(session, nullptr);
  const auto outputs = Workers::Run(*session, Floats({1}));
  ASSERT_TRUE(outputs.ok()) << outputs.error().ToString();

  session.reset();

  EXPECT_EQ(ValuesOf(outputs->front()).back(), 7);
}

TEST_F(WorkerEngineTest, BorrowedMemoryIsBounded) {
  workers_.options.max_shared_bytes = ByteCount{4} << 20U;
  const PythonModel model(Predicting("        return {'y': np.zeros(int(inputs['x'][0]), np.float32)}\n"));
  const auto session = Load(model);
  ASSERT_NE(session, nullptr);
  std::vector<tensor::Tensor> held;

  for (int i = 0; i < 20; ++i) {
    auto outputs = Workers::Run(*session, Floats({100'000}));
    ASSERT_TRUE(outputs.ok()) << i << ": " << outputs.error().ToString();
    held.push_back(outputs->front());
  }
  const auto too_large = Workers::Run(*session, Floats({2'000'000}));

  ASSERT_FALSE(too_large.ok());
  EXPECT_EQ(too_large.error().reason(), "worker_memory_full");
  EXPECT_EQ(Workers::Values(*session, {3}).second, "");
}

TEST_F(WorkerEngineTest, ValueErrorsAreTheCallersAndOthersTheModels) {
  const PythonModel model(
      Predicting("        if inputs['x'][0] < 0: raise ValueError('x must not be negative')\n"
                 "        if inputs['x'][0] == 0: raise KeyError('weights')\n"
                 "        return {'y': inputs['x']}\n"));
  const auto session = Load(model);
  ASSERT_NE(session, nullptr);

  EXPECT_EQ(Workers::Values(*session, {-1}).second,
            "INVALID_ARGUMENT worker_rejected_input: model 'echo': x must not be negative");
  EXPECT_EQ(Workers::Values(*session, {0}).second,
            "INTERNAL worker_failed: model 'echo': KeyError: 'weights'");
  EXPECT_THAT(Workers::Values(*session, {1}).first, ElementsAre(1));
}

TEST_F(WorkerEngineTest, OutputsThatAreNotAsDeclaredAreTheModelsFault) {
  const PythonModel model(
      Predicting("        kind = int(inputs['x'][0])\n"
                 "        return [{}, {'y': np.zeros(2)}, {'y': np.zeros((2, 2), np.float32)}, 5][kind]\n"));
  const auto session = Load(model);
  ASSERT_NE(session, nullptr);

  EXPECT_THAT(Workers::Values(*session, {0}).second, HasSubstr("predict() returned no output 'y'"));
  EXPECT_THAT(Workers::Values(*session, {1}).second, HasSubstr("output 'y' is float64, but declared FP32"));
  EXPECT_THAT(Workers::Values(*session, {2}).second,
              HasSubstr("'y' has the shape [2, 2], but declared is [-1]"));
  EXPECT_THAT(Workers::Values(*session, {3}).second,
              AllOf(HasSubstr("INTERNAL worker_failed"), HasSubstr("returned int, not a dictionary")));
}

TEST_F(WorkerEngineTest, AModelThatCantBeLoadedSaysWhy) {
  EXPECT_THAT(
      LoadError(PythonModel("import no_such_package\n")),
      AllOf(HasSubstr("INVALID_ARGUMENT model_invalid"), HasSubstr("No module named 'no_such_package'")));
  EXPECT_THAT(LoadError(PythonModel("x = 1\n")), HasSubstr("model.py has no class 'Model'"));
  EXPECT_THAT(LoadError(PythonModel("class Model: pass\n")), HasSubstr("has no method 'predict"));
  EXPECT_THAT(LoadError(PythonModel("def broken(:\n")), HasSubstr("SyntaxError"));
  EXPECT_THAT(LoadError(PythonModel("os._exit(3)\n")),
              AllOf(HasSubstr("UNAVAILABLE worker_died"), HasSubstr("it ended with status 3")));
}

TEST_F(WorkerEngineTest, AModelThatTakesTooLongToLoadIsGivenUp) {
  workers_.settings.start_timeout = milliseconds(700);

  const std::string error = LoadError(PythonModel("time.sleep(60)\n"));

  EXPECT_THAT(error, HasSubstr("DEADLINE_EXCEEDED worker_start_timeout"));
  EXPECT_FALSE(testing::HasChildren());
}

TEST_F(WorkerEngineTest, AMissingInterpreterIsNamed) {
  if constexpr (kThreadSanitizer) {
    GTEST_SKIP() << "ThreadSanitizer makes vfork() a fork(): the child can't tell why it failed";
  }
  const PythonModel model(Predicting("        return {}\n"));
  workers_.settings.python = "/no/such/python3";

  EXPECT_THAT(LoadError(model), AllOf(HasSubstr("UNAVAILABLE worker_start"), HasSubstr("/no/such/python3"),
                                      HasSubstr("No such file")));
}

TEST_F(WorkerEngineTest, InstancesRunSideBySide) {
  // Each run waits until the other one is there too.
  const PythonModel model(
      Predicting("        folder = context.folder\n"
                 "        open(f'{folder}/here{context.instance}', 'w').close()\n"
                 "        other = f'{folder}/here{1 - context.instance}'\n"
                 "        until = time.monotonic() + 10\n"
                 "        while not os.path.exists(other) and time.monotonic() < until: time.sleep(0.01)\n"
                 "        return {'y': np.float32([os.path.exists(other)])}\n"));
  const auto session = Load(model, 2);
  ASSERT_NE(session, nullptr);

  std::vector<float> first;
  std::thread other([&] { first = Workers::Values(*session, {1}).first; });
  const std::vector<float> second = Workers::Values(*session, {2}).first;
  other.join();

  EXPECT_THAT(first, ElementsAre(1));
  EXPECT_THAT(second, ElementsAre(1));
}

TEST_F(WorkerEngineTest, ProgressShowsStepByStep) {
  const PythonModel model(
      Predicting("        for step in range(3):\n"
                 "            context.progress(step + 1, 3)\n"
                 "            while not os.path.exists(f'{context.folder}/go{step}'): time.sleep(0.005)\n"
                 "        return {'y': inputs['x']}\n"));
  const auto session = Load(model);
  ASSERT_NE(session, nullptr);
  const auto control = session->NewRunControl();
  std::thread run([&] { (void)Workers::Run(*session, Floats({1}), control.get()); });

  for (std::uint32_t step = 1; step <= 3; ++step) {
    const auto until = std::chrono::steady_clock::now() + seconds(10);
    while (control->progress().step < step && std::chrono::steady_clock::now() < until) {
      std::this_thread::sleep_for(milliseconds(2));
    }
    EXPECT_EQ(control->progress().step, step);
    EXPECT_EQ(control->progress().steps, 3U);
    std::this_thread::sleep_for(milliseconds(25));  // A report within 20 ms of the last one is left out.
    model.Write("go" + std::to_string(step - 1), "");
  }
  run.join();
}

TEST_F(WorkerEngineTest, ARunThatIsTerminatedStopsAtItsNextStepAndTheProcessGoesOn) {
  const PythonModel model(
      Predicting("        for step in range(1000 if inputs['x'][0] else 1):\n"
                 "            context.progress(step, 1000)\n"
                 "            if inputs['x'][0]: time.sleep(0.01)\n"
                 "        return {'y': np.float32([os.getpid()])}\n"));
  const auto session = Load(model);
  ASSERT_NE(session, nullptr);
  const std::vector<float> pid = Workers::Values(*session, {0}).first;
  const auto control = session->NewRunControl();
  Result<std::vector<tensor::Tensor>> outcome = std::vector<tensor::Tensor>();

  std::thread run([&] { outcome = Workers::Run(*session, Floats({1}), control.get()); });
  while (control->progress().steps == 0) std::this_thread::sleep_for(milliseconds(1));
  control->Terminate();
  run.join();

  ASSERT_FALSE(outcome.ok());
  EXPECT_EQ(outcome.error().reason(), "run_terminated");
  EXPECT_EQ(Workers::Values(*session, {0}).first, pid);
}

TEST_F(WorkerEngineTest, ARunThatIgnoresItsEndIsEndedWithItsProcess) {
  const PythonModel model(
      Predicting("        if inputs['x'][0] == 0: time.sleep(60)\n"
                 "        return {'y': inputs['x']}\n"));
  const auto session = Load(model);
  ASSERT_NE(session, nullptr);
  const auto control = session->NewRunControl();
  const auto started = std::chrono::steady_clock::now();

  std::thread end([&] {
    std::this_thread::sleep_for(milliseconds(50));
    control->Terminate();
  });
  const auto outcome = Workers::Run(*session, Floats({0}), control.get());
  end.join();

  ASSERT_FALSE(outcome.ok());
  EXPECT_EQ(outcome.error().reason(), "run_terminated");
  EXPECT_LT(std::chrono::steady_clock::now() - started, seconds(5));
  EXPECT_EQ(Workers::RunsAgain(*session), "");
}

TEST_F(WorkerEngineTest, WorkersSeeNoSecretsAndNoDescriptorsOfTheServer) {
  ::setenv("MEZZO_TEST_SECRET", "hunter2", 1);
  ::setenv("MEZZO_TEST_HARMLESS", "1", 1);
  workers_.options.environment = {"MEZZO_TEST_HARMLESS"};
  const PythonModel model(
      Predicting("        opened = [int(fd) for fd in os.listdir('/proc/self/fd')]\n"
                 "        links = [os.readlink(f'/proc/self/fd/{fd}') for fd in opened\n"
                 "                 if os.path.lexists(f'/proc/self/fd/{fd}')]\n"
                 "        other = [link for link in links if not link.startswith(\n"
                 "            ('/dev/null', 'pipe:', 'socket:', '/memfd:mezzo-', '/proc/'))]\n"
                 "        return {'y': np.float32(['MEZZO_TEST_SECRET' in os.environ, \n"
                 "                                 'MEZZO_TEST_HARMLESS' in os.environ, len(other)])}\n"));
  const auto session = Load(model);
  ASSERT_NE(session, nullptr);

  const auto [values, error] = Workers::Values(*session, {1});

  EXPECT_EQ(error, "");
  EXPECT_THAT(values, ElementsAre(0, 1, 0));
}

}  // namespace
}  // namespace mezzo::drivers
