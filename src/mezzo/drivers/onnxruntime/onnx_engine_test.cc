#include "mezzo/drivers/onnxruntime/onnx_engine.h"

#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <thread>

#include <gmock/gmock.h>

#include "mezzo/drivers/onnxruntime/testing/model_folder.h"
#include "mezzo/drivers/onnxruntime/testing/onnx_writer.h"

namespace mezzo::drivers {
namespace {

using engine::RunControl;
using engine::Session;
using tensor::DType;
using tensor::Shape;
using tensor::Tensor;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::IdentityModel;
using testing::Model;
using testing::Node;
using testing::OnnxType;
using testing::ValueInfo;

template <typename T>
Tensor Make(DType dtype, Shape shape, const std::vector<T>& values) {
  const auto buffer = tensor::AllocateBuffer(values.size() * sizeof(T));
  if (!values.empty()) std::memcpy(buffer.data(), values.data(), buffer.size);
  return {.dtype = dtype, .shape = shape, .data = buffer.Share()};
}

Tensor Floats(Shape shape, const std::vector<float>& values) { return Make(DType::kFp32, shape, values); }

Tensor Strings(Shape shape, const std::vector<std::string>& values) {
  std::string data;
  for (const auto& value : values) tensor::AppendBytesElement(data, value);
  return {.dtype = DType::kBytes, .shape = shape, .data = SharedBytes::FromString(std::move(data))};
}

template <typename T>
std::vector<T> Values(const Tensor& tensor) {
  std::vector<T> values(tensor.data.size() / sizeof(T));
  if (!values.empty()) std::memcpy(values.data(), tensor.data.data(), values.size() * sizeof(T));
  return values;
}

class OnnxEngineTest : public ::testing::Test {
 protected:
  std::unique_ptr<Session> Load(const std::string& model) {
    auto session = engine_.Load({.model_path = folder_.Write("model.onnx", model)});
    EXPECT_TRUE(session.ok()) << session.error().ToString();
    return session.ok() ? std::move(session).value() : nullptr;
  }
  static Result<std::vector<Tensor>> RunAll(Session& session, const std::vector<Tensor>& inputs,
                                            RunControl* control = nullptr) {
    std::vector<const Tensor*> pointers;
    pointers.reserve(inputs.size());
    for (const Tensor& input : inputs) pointers.push_back(&input);
    std::vector<std::size_t> wanted(session.facts().outputs.size());
    for (std::size_t i = 0; i < wanted.size(); ++i) wanted[i] = i;
    return session.Run(pointers, wanted, control);
  }

  testing::ModelFolder folder_;
  OnnxEngine engine_{{}};
};

struct TypeCase {
  OnnxType onnx;
  DType dtype;
};

class OnnxEngineTypeTest : public OnnxEngineTest, public ::testing::WithParamInterface<TypeCase> {};

TEST_P(OnnxEngineTypeTest, IdentityReturnsTheSameBytes) {
  const auto session = Load(IdentityModel(GetParam().onnx, {"n", std::int64_t{3}}));
  ASSERT_TRUE(session);
  EXPECT_EQ(session->facts().inputs[0].dtype, GetParam().dtype);
  std::vector<std::uint8_t> bytes(6 * tensor::DTypeSize(GetParam().dtype));
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<std::uint8_t>(GetParam().dtype == DType::kBool ? i % 2 : i + 1);
  }

  const auto outputs = RunAll(*session, {Make(GetParam().dtype, {2, 3}, bytes)});

  ASSERT_TRUE(outputs.ok()) << outputs.error().ToString();
  EXPECT_EQ((*outputs)[0].dtype, GetParam().dtype);
  EXPECT_EQ((*outputs)[0].shape, (Shape{2, 3}));
  EXPECT_EQ(Values<std::uint8_t>((*outputs)[0]), bytes);
}

TEST_P(OnnxEngineTypeTest, AcceptsATensorWithoutElements) {
  const auto session = Load(IdentityModel(GetParam().onnx, {"n", std::int64_t{3}}));
  ASSERT_TRUE(session);

  const auto outputs = RunAll(*session, {Tensor{.dtype = GetParam().dtype, .shape = {0, 3}, .data = {}}});

  ASSERT_TRUE(outputs.ok()) << outputs.error().ToString();
  EXPECT_EQ((*outputs)[0].shape, (Shape{0, 3}));
  EXPECT_EQ((*outputs)[0].data.size(), 0U);
}

INSTANTIATE_TEST_SUITE_P(
    AllTypes, OnnxEngineTypeTest,
    ::testing::Values(
        TypeCase{testing::kOnnxBool, DType::kBool}, TypeCase{testing::kOnnxUint8, DType::kUint8},
        TypeCase{testing::kOnnxUint16, DType::kUint16}, TypeCase{testing::kOnnxUint32, DType::kUint32},
        TypeCase{testing::kOnnxUint64, DType::kUint64}, TypeCase{testing::kOnnxInt8, DType::kInt8},
        TypeCase{testing::kOnnxInt16, DType::kInt16}, TypeCase{testing::kOnnxInt32, DType::kInt32},
        TypeCase{testing::kOnnxInt64, DType::kInt64}, TypeCase{testing::kOnnxFloat16, DType::kFp16},
        TypeCase{testing::kOnnxBfloat16, DType::kBf16}, TypeCase{testing::kOnnxFloat, DType::kFp32},
        TypeCase{testing::kOnnxDouble, DType::kFp64}),
    [](const auto& info) { return std::string(tensor::DTypeName(info.param.dtype)); });

TEST_F(OnnxEngineTest, StringsOfAnyContentComeBackUnchanged) {
  const auto session = Load(IdentityModel(testing::kOnnxString, {"n"}));
  ASSERT_TRUE(session);
  const Tensor input = Strings(
      {6}, {"", "plain", "Grüße, 世界 🎉", std::string("a\0b", 3), std::string(1U << 20U, 'x'), "\xff\xfe"});

  const auto outputs = RunAll(*session, {input});

  ASSERT_TRUE(outputs.ok()) << outputs.error().ToString();
  EXPECT_EQ((*outputs)[0].data.text(), input.data.text());
}

TEST_F(OnnxEngineTest, AStringTensorWithoutElementsIsEmpty) {
  const auto session = Load(IdentityModel(testing::kOnnxString, {"n"}));
  ASSERT_TRUE(session);

  const auto outputs = RunAll(*session, {Strings({0}, {})});

  ASSERT_TRUE(outputs.ok()) << outputs.error().ToString();
  EXPECT_EQ((*outputs)[0].shape, (Shape{0}));
}

TEST_F(OnnxEngineTest, RefusesStringDataThatLies) {
  const auto session = Load(IdentityModel(testing::kOnnxString, {"n"}));
  ASSERT_TRUE(session);
  Tensor input = Strings({1}, {"abc"});
  input.data = input.data.Slice(0, 6);

  const auto outputs = RunAll(*session, {input});

  ASSERT_FALSE(outputs.ok());
  EXPECT_EQ(outputs.error().reason(), "tensor_size");
}

TEST_F(OnnxEngineTest, AScalarHasRankZero) {
  const auto session = Load(IdentityModel(testing::kOnnxFloat, {}));
  ASSERT_TRUE(session);
  EXPECT_EQ(session->facts().inputs[0].shape.rank(), 0U);

  const auto outputs = RunAll(*session, {Floats({}, {4.5F})});

  ASSERT_TRUE(outputs.ok()) << outputs.error().ToString();
  EXPECT_EQ((*outputs)[0].shape.rank(), 0U);
  EXPECT_THAT(Values<float>((*outputs)[0]), ElementsAre(4.5F));
}

TEST_F(OnnxEngineTest, FactsCarryNamesTypesShapesAndSymbols) {
  const auto session =
      Load(Model({.nodes = {Node("Add", {"a", "b"}, {"sum"}), Node("Sub", {"a", "b"}, {"difference"})},
                  .inputs = {ValueInfo("a", testing::kOnnxFloat, {"batch", std::int64_t{4}}),
                             ValueInfo("b", testing::kOnnxFloat, {"batch", std::int64_t{4}})},
                  .outputs = {ValueInfo("sum", testing::kOnnxFloat, {"batch", std::int64_t{4}}),
                              ValueInfo("difference", testing::kOnnxFloat, {"batch", std::int64_t{4}})}}));
  ASSERT_TRUE(session);

  const auto& facts = session->facts();

  ASSERT_EQ(facts.inputs.size(), 2U);
  EXPECT_EQ(facts.inputs[1].name, "b");
  EXPECT_EQ(facts.inputs[1].shape, (Shape{-1, 4}));
  EXPECT_THAT(facts.inputs[1].symbols, ElementsAre("batch", ""));
  EXPECT_EQ(facts.outputs[1].name, "difference");
  EXPECT_EQ(facts.provider, "cpu");
  EXPECT_GT(facts.memory_bytes, 0U);
}

TEST_F(OnnxEngineTest, GivesTheWantedOutputsInTheOrderAskedFor) {
  const auto session = Load(Model(
      {.nodes = {Node("Add", {"a", "b"}, {"sum"}), Node("Sub", {"a", "b"}, {"difference"})},
       .inputs = {ValueInfo("a", testing::kOnnxFloat, {"n"}), ValueInfo("b", testing::kOnnxFloat, {"n"})},
       .outputs = {ValueInfo("sum", testing::kOnnxFloat, {"n"}),
                   ValueInfo("difference", testing::kOnnxFloat, {"n"})}}));
  ASSERT_TRUE(session);
  const Tensor a = Floats({2}, {5, 7});
  const Tensor b = Floats({2}, {1, 2});
  const Tensor* inputs[] = {&a, &b};

  const auto swapped = session->Run(inputs, std::vector<std::size_t>{1, 0}, nullptr);
  const auto one = session->Run(inputs, std::vector<std::size_t>{1}, nullptr);

  ASSERT_TRUE(swapped.ok() && one.ok());
  EXPECT_THAT(Values<float>((*swapped)[0]), ElementsAre(4, 5));
  EXPECT_THAT(Values<float>((*swapped)[1]), ElementsAre(6, 9));
  ASSERT_EQ(one->size(), 1U);
  EXPECT_THAT(Values<float>((*one)[0]), ElementsAre(4, 5));
}

TEST_F(OnnxEngineTest, CopiesMisalignedInputsAndCountsThem) {
  const auto session = Load(IdentityModel(testing::kOnnxFloat, {"n"}));
  ASSERT_TRUE(session);
  const Tensor aligned = Floats({3}, {0, 1, 2});
  std::string shifted(1 + 2 * sizeof(float), '\0');
  std::memcpy(shifted.data() + 1, aligned.data.data() + 4, 2 * sizeof(float));
  const auto owner = SharedBytes::FromString(shifted);
  const auto before = engine_.counts().misaligned_inputs;

  const auto outputs =
      RunAll(*session, {Tensor{.dtype = DType::kFp32, .shape = {2}, .data = owner.Slice(1, 8)}});

  ASSERT_TRUE(outputs.ok()) << outputs.error().ToString();
  EXPECT_THAT(Values<float>((*outputs)[0]), ElementsAre(1, 2));
  EXPECT_EQ(engine_.counts().misaligned_inputs, before + 1);
}

TEST_F(OnnxEngineTest, SaysWhatTheModelRefuses) {
  const auto session = Load(IdentityModel(testing::kOnnxFloat, {"n", std::int64_t{3}}));
  ASSERT_TRUE(session);

  const auto rank = RunAll(*session, {Floats({3}, {1, 2, 3})});
  const auto dim = RunAll(*session, {Floats({1, 2}, {1, 2})});
  const auto type = RunAll(*session, {Make<std::int64_t>(DType::kInt64, {1, 3}, {1, 2, 3})});
  const auto size = RunAll(*session, {Floats({2, 3}, {1, 2, 3})});

  for (const auto* result : {&rank, &dim, &type, &size}) {
    ASSERT_FALSE(result->ok());
    EXPECT_EQ(result->error().code(), Code::kInvalidArgument);
    EXPECT_EQ(result->error().reason(), "engine_rejected_input") << result->error().ToString();
  }
  EXPECT_THAT(rank.error().message(), HasSubstr("Invalid rank for input: x Got: 1 Expected: 2"));
  EXPECT_THAT(dim.error().message(), HasSubstr("index: 1 Got: 2 Expected: 3"));
  EXPECT_EQ(type.error().message(), "input 'x' is FP32, got INT64");
  EXPECT_THAT(size.error().message(), HasSubstr("input 'x'"));
}

TEST_F(OnnxEngineTest, AMissingInputIsRefusedByTheModel) {
  const auto session = Load(IdentityModel(testing::kOnnxFloat, {"n"}));
  ASSERT_TRUE(session);
  const Tensor* none[] = {nullptr};

  const auto outputs = session->Run(none, std::vector<std::size_t>{0}, nullptr);

  ASSERT_FALSE(outputs.ok());
  EXPECT_EQ(outputs.error().reason(), "engine_rejected_input") << outputs.error().ToString();
}

TEST_F(OnnxEngineTest, AFailureInsideTheModelIsTheEnginesAndKeepsItServing) {
  const auto session = Load(Model({.nodes = {Node("Reshape", {"x", "shape"}, {"y"})},
                                   .inputs = {ValueInfo("x", testing::kOnnxFloat, {"n"}),
                                              ValueInfo("shape", testing::kOnnxInt64, {std::int64_t{2}})},
                                   .outputs = {ValueInfo("y", testing::kOnnxFloat, {"a", "b"})}}));
  ASSERT_TRUE(session);
  const Tensor x = Floats({6}, {1, 2, 3, 4, 5, 6});

  const auto bad = RunAll(*session, {x, Make<std::int64_t>(DType::kInt64, {2}, {4, 4})});
  const auto good = RunAll(*session, {x, Make<std::int64_t>(DType::kInt64, {2}, {2, 3})});

  ASSERT_FALSE(bad.ok());
  EXPECT_EQ(bad.error().reason(), "engine_failed");
  EXPECT_THAT(bad.error().message(), HasSubstr("Reshape"));
  EXPECT_THAT(bad.error().message(), ::testing::Not(HasSubstr("/onnxruntime_src")));
  ASSERT_TRUE(good.ok());
  EXPECT_EQ((*good)[0].shape, (Shape{2, 3}));
}

TEST_F(OnnxEngineTest, OutputsOutliveSessionAndEngine) {
  std::vector<Tensor> kept;
  {
    OnnxEngine engine({});
    auto session = engine.Load({.model_path = folder_.Write("model.onnx", testing::MatMulModel(64, 2))});
    ASSERT_TRUE(session.ok());
    auto outputs = RunAll(**session, {Floats({1, 64}, std::vector<float>(64, 2.0F))});
    ASSERT_TRUE(outputs.ok());
    kept = std::move(outputs).value();
  }

  EXPECT_NEAR(Values<float>(kept[0])[63], 2.0F, 1e-4F);
}

TEST_F(OnnxEngineTest, AnInputThatTheModelHandsThroughIsNotTheCallersMemory) {
  const auto session = Load(Model(
      {.nodes = {Node("Neg", {"x"}, {"z"})},
       .inputs = {ValueInfo("x", testing::kOnnxFloat, {"n"})},
       .outputs = {ValueInfo("x", testing::kOnnxFloat, {"n"}), ValueInfo("z", testing::kOnnxFloat, {"n"})}}));
  ASSERT_TRUE(session);
  const auto buffer = tensor::AllocateBuffer(8);
  const float values[] = {1, 2};
  std::memcpy(buffer.data(), values, 8);

  const auto outputs =
      RunAll(*session, {Tensor{.dtype = DType::kFp32, .shape = {2}, .data = buffer.Share()}});
  std::memset(buffer.data(), 0, 8);

  ASSERT_TRUE(outputs.ok()) << outputs.error().ToString();
  EXPECT_THAT(Values<float>((*outputs)[0]), ElementsAre(1, 2));
  EXPECT_THAT(Values<float>((*outputs)[1]), ElementsAre(-1, -2));
}

TEST_F(OnnxEngineTest, AConstantOutputOutlivesItsSession) {
  auto session = Load(Model({.nodes = {Node("Neg", {"x"}, {"y"})},
                             .inputs = {ValueInfo("x", testing::kOnnxFloat, {"n"})},
                             .outputs = {ValueInfo("y", testing::kOnnxFloat, {"n"}),
                                         ValueInfo("w", testing::kOnnxFloat, {std::int64_t{1} << 20U})},
                             .initializers = {testing::Initializer("w", testing::kOnnxFloat, {1 << 20},
                                                                   testing::RawFloats(1U << 20U, 3.0F))}}));
  ASSERT_TRUE(session);
  const auto outputs = RunAll(*session, {Floats({1}, {1})});
  ASSERT_TRUE(outputs.ok()) << outputs.error().ToString();

  session.reset();
  const auto other = Load(testing::MatMulModel(1024, 1));

  EXPECT_EQ(Values<float>((*outputs)[1]), std::vector<float>(1U << 20U, 3.0F));
}

TEST_F(OnnxEngineTest, ARunCanBeTerminatedFromAnotherThreadAndTheControlUsedAgain) {
  const auto session = Load(testing::LoopModel());
  ASSERT_TRUE(session);
  const auto control = session->NewRunControl();
  const Tensor x = Floats({4096}, std::vector<float>(4096, 1.0F));
  const std::vector<Tensor> endless = {Make<std::int64_t>(DType::kInt64, {}, {INT64_MAX}), x};
  const std::vector<Tensor> brief = {Make<std::int64_t>(DType::kInt64, {}, {3}), x};
  std::atomic<bool> ended{false};

  std::thread stopper([&] {
    // Whenever the run begins, one of these reaches it.
    while (!ended.load()) {
      control->Terminate();
      std::this_thread::yield();
    }
  });
  const auto outputs = RunAll(*session, endless, control.get());
  ended = true;
  stopper.join();
  ASSERT_FALSE(outputs.ok());
  EXPECT_EQ(outputs.error().code(), Code::kCancelled);
  EXPECT_EQ(outputs.error().reason(), "run_terminated");

  EXPECT_EQ(RunAll(*session, brief, control.get()).error().reason(), "run_terminated");
  control->Reset();
  EXPECT_TRUE(RunAll(*session, brief, control.get()).ok());
}

TEST_F(OnnxEngineTest, FourThreadsRunOneSessionWhileAnotherLoadsAndUnloads) {
  const auto session = Load(testing::MatMulModel(64, 2));
  ASSERT_TRUE(session);
  const std::string other = folder_.Write("other.onnx", testing::MatMulModel(256, 2));
  std::atomic<int> failures{0};
  std::vector<std::thread> threads;
  threads.reserve(4);

  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      const auto control = session->NewRunControl();
      const auto value = static_cast<float>(t + 1);
      for (int i = 0; i < 200; ++i) {
        const auto outputs =
            RunAll(*session, {Floats({3, 64}, std::vector<float>(192, value))}, control.get());
        if (!outputs.ok() || std::abs(Values<float>((*outputs)[0])[191] - value) > 1e-4F) ++failures;
      }
    });
  }
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(engine_.Load({.model_path = other}).ok());
  for (auto& thread : threads) thread.join();

  EXPECT_EQ(failures.load(), 0);
}

/// z = zeros of [x's rows · rows, 4], which the run alone knows; y = their sum.
std::string GreedyModel(std::int64_t rows) {
  const std::array<std::int64_t, 2> factors = {rows, 1};
  const std::string raw(reinterpret_cast<const char*>(factors.data()), sizeof(factors));
  return Model({.nodes = {Node("Shape", {"x"}, {"s"}), Node("Mul", {"s", "large"}, {"t"}),
                          Node("ConstantOfShape", {"t"}, {"z"}), Node("ReduceSum", {"z"}, {"y"})},
                .inputs = {ValueInfo("x", testing::kOnnxFloat, {"batch", std::int64_t{4}})},
                .outputs = {ValueInfo("y", testing::kOnnxFloat, {std::int64_t{1}, std::int64_t{1}})},
                .initializers = {testing::Initializer("large", testing::kOnnxInt64, {2}, raw)}});
}

// The library writes to what the allocator gives it, null or not.
TEST_F(OnnxEngineTest, ATensorBeyondTheLimitFailsItsRunAloneAndKeepsNothing) {
  OnnxEngine engine({.max_run_bytes = ByteCount{64} << 20U});
  const auto session = engine.Load({.model_path = folder_.Write("model.onnx", GreedyModel(1 << 20))}).value();

  EXPECT_TRUE(RunAll(*session, {Floats(Shape({2, 4}), std::vector<float>(8, 1))}).ok()) << "32 MiB";
  const auto failed = RunAll(*session, {Floats(Shape({8, 4}), std::vector<float>(32, 1))});
  ASSERT_FALSE(failed.ok()) << "128 MiB";
  EXPECT_EQ(failed.error().code(), Code::kResourceExhausted);
  EXPECT_EQ(failed.error().reason(), "engine_memory");
  EXPECT_THAT(failed.error().message(),
              ::testing::AllOf(HasSubstr("ConstantOfShape"), HasSubstr("a tensor takes 128 MiB"),
                               HasSubstr("may hold 64 MiB")));
  EXPECT_EQ(engine.counts().run_bytes, 0U);
  EXPECT_TRUE(RunAll(*session, {Floats(Shape({2, 4}), std::vector<float>(8, 1))}).ok()) << "and goes on";
}

TEST_F(OnnxEngineTest, WhatNoSystemGivesFailsTheRun) {
  OnnxEngine engine({.max_run_bytes = ByteCount{1} << 60U});
  // The first is refused as a block, the second by the library's own arithmetic.
  for (const std::int64_t rows : {std::int64_t{1} << 40, std::int64_t{1} << 61}) {
    const auto session = engine.Load({.model_path = folder_.Write("model.onnx", GreedyModel(rows))}).value();
    const auto failed = RunAll(*session, {Floats(Shape({1, 4}), {1, 1, 1, 1})});
    ASSERT_FALSE(failed.ok()) << rows;
    EXPECT_THAT(failed.error().reason(), ::testing::AnyOf("engine_memory", "engine_failed")) << rows;
    EXPECT_EQ(engine.counts().run_bytes, 0U);
  }
}

TEST_F(OnnxEngineTest, OutputsCountUntilTheyAreRead) {
  OnnxEngine engine({.max_run_bytes = ByteCount{5} << 20U});
  const std::string model = Model({.nodes = {Node("Neg", {"x"}, {"y"})},
                                   .inputs = {ValueInfo("x", testing::kOnnxFloat, {"n"})},
                                   .outputs = {ValueInfo("y", testing::kOnnxFloat, {"n"})}});
  const auto session = engine.Load({.model_path = folder_.Write("model.onnx", model)}).value();
  const Tensor input = Floats(Shape({1'000'000}), std::vector<float>(1'000'000, 1));
  {
    const auto held = RunAll(*session, {input});
    ASSERT_TRUE(held.ok());
    EXPECT_GE(engine.counts().run_bytes, 4'000'000U);
    const auto second = RunAll(*session, {input});
    ASSERT_FALSE(second.ok());
    EXPECT_EQ(second.error().reason(), "engine_memory");
  }
  EXPECT_EQ(engine.counts().run_bytes, 0U);
  EXPECT_TRUE(RunAll(*session, {input}).ok());
}

TEST_F(OnnxEngineTest, EnginesOfOneProcessShareAnEnvironmentAndMustAgree) {
  const auto session = Load(IdentityModel(testing::kOnnxFloat, {"n"}));
  OnnxEngine same({});
  OnnxEngine different({.spinning = true});

  EXPECT_TRUE(same.Load({.model_path = folder_.Path("model.onnx")}).ok());
  EXPECT_EQ(different.Load({.model_path = folder_.Path("model.onnx")}).error().reason(),
            "engine_options_differ");
  EXPECT_EQ(same.counts().sessions, 1U);
}

}  // namespace
}  // namespace mezzo::drivers
