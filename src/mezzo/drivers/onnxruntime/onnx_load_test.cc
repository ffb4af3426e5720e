// Loading: what is refused and how, what a model takes, and that it is given back.

#include <unistd.h>

#include <array>
#include <atomic>
#include <barrier>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <thread>

#include <gmock/gmock.h>

#include "mezzo/base/sanitizers.h"
#include "mezzo/drivers/onnxruntime/onnx_engine.h"
#include "mezzo/drivers/onnxruntime/testing/model_folder.h"
#include "mezzo/drivers/onnxruntime/testing/onnx_writer.h"

namespace mezzo::drivers {
namespace {

using engine::LoadRequest;
using tensor::DType;
using tensor::Tensor;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::kOnnxFloat;
using testing::Model;
using testing::Node;
using ::testing::Not;
using testing::Proto;
using testing::ValueInfo;

/// Private memory in use: not the pages of files.
std::int64_t ResidentBytes() {
  std::ifstream file("/proc/self/statm");
  std::int64_t size = 0;
  std::int64_t resident = 0;
  std::int64_t shared = 0;
  file >> size >> resident >> shared;
  return (resident - shared) * ::sysconf(_SC_PAGESIZE);
}

class OnnxLoadTest : public ::testing::Test {
 protected:
  Error FaultOf(const LoadRequest& request) {
    const auto session = engine_.Load(request);
    if (session.ok()) return {Code::kUnknown, "none", "none"};
    return session.error();
  }
  Error FaultOfModel(const std::string& model) {
    return FaultOf({.model_path = folder_.Write("1/model.onnx", model)});
  }

  testing::ModelFolder folder_;
  OnnxEngine engine_{{}};
};

TEST_F(OnnxLoadTest, BrokenFilesAreRefusedWithTheReason) {
  const std::string model = testing::MatMulModel(16, 2);

  EXPECT_EQ(FaultOfModel("").ToString(), "INVALID_ARGUMENT model_invalid: the model file is empty");
  EXPECT_THAT(FaultOfModel(model.substr(0, model.size() - 100)).message(), HasSubstr("a truncated file?"));
  EXPECT_THAT(FaultOfModel(std::string(1000, 'z')).message(), HasSubstr("not an ONNX model"));
  EXPECT_EQ(FaultOf({.model_path = folder_.Path("none/model.onnx")}).reason(), "model_file_missing");
  EXPECT_EQ(engine_.counts().sessions, 0U);
}

TEST_F(OnnxLoadTest, WhatTheEngineRefusesCarriesItsWordsButNoPaths) {
  const Error missing_op = FaultOfModel(Model({.nodes = {Node("NoSuchOperator", {"x"}, {"y"})},
                                               .inputs = {ValueInfo("x", kOnnxFloat, {"n"})},
                                               .outputs = {ValueInfo("y", kOnnxFloat, {"n"})}}));
  const Error short_weight =
      FaultOfModel(Model({.nodes = {Node("Add", {"x", "w"}, {"y"})},
                          .inputs = {ValueInfo("x", kOnnxFloat, {"n"})},
                          .outputs = {ValueInfo("y", kOnnxFloat, {"n"})},
                          .initializers = {testing::Initializer("w", kOnnxFloat, {1000000}, "abcd")}}));

  EXPECT_EQ(missing_op.reason(), "model_invalid");
  EXPECT_THAT(missing_op.message(), HasSubstr("NoSuchOperator"));
  EXPECT_EQ(short_weight.reason(), "model_invalid");
  for (const Error& error : {missing_op, short_weight}) {
    EXPECT_THAT(error.message(), AllOf(Not(HasSubstr(folder_.Path(""))), Not(HasSubstr("/onnxruntime_src"))));
  }
}

TEST_F(OnnxLoadTest, TypesWithoutAProtocolNameAreRefusedByNameAndType) {
  const Error complex = FaultOfModel(testing::IdentityModel(testing::kOnnxComplex64, {"n"}));
  const Proto sequence_type =
      Proto().Child(4, Proto().Child(1, Proto().Child(1, Proto().Number(1, kOnnxFloat))));
  const Error sequence = FaultOfModel(Model({.nodes = {Node("SequenceConstruct", {"x", "x"}, {"list"})},
                                             .inputs = {ValueInfo("x", kOnnxFloat, {"n"})},
                                             .outputs = {Proto().Bytes(1, "list").Child(2, sequence_type)}}));

  EXPECT_EQ(complex.reason(), "model_invalid");
  EXPECT_EQ(sequence.reason(), "model_invalid");
  EXPECT_THAT(sequence.message(),
              HasSubstr("output 'list' has the type sequence, which the protocol has no name for"));
}

TEST_F(OnnxLoadTest, InputsWithoutARankAreRefused) {
  const Proto no_shape = Proto().Bytes(1, "x").Child(2, Proto().Child(1, Proto().Number(1, kOnnxFloat)));

  EXPECT_THAT(FaultOfModel(Model({.nodes = {Node("Neg", {"x"}, {"y"})},
                                  .inputs = {no_shape},
                                  .outputs = {ValueInfo("y", kOnnxFloat, {"n"})}}))
                  .message(),
              HasSubstr("input 'x' has no declared rank"));
}

TEST_F(OnnxLoadTest, ReadsExternalDataBelowTheModelsFolder) {
  folder_.Write("1/weights/w.bin", testing::RawFloats(8, 2.0F));
  const std::string path = folder_.Write(
      "1/model.onnx",
      testing::ExternalModel({{"location", "weights/w.bin"}, {"offset", "16"}, {"length", "16"}}, 4));

  const auto session = engine_.Load({.model_path = path});

  ASSERT_TRUE(session.ok()) << session.error().ToString();
  const Tensor x{
      .dtype = DType::kFp32, .shape = {4}, .data = SharedBytes::FromString(testing::RawFloats(4, 1.0F))};
  const Tensor* inputs[] = {&x};
  const auto outputs = (*session)->Run(inputs, std::vector<std::size_t>{0}, nullptr);
  ASSERT_TRUE(outputs.ok()) << outputs.error().ToString();
  EXPECT_EQ((*outputs)[0].data.text(), testing::RawFloats(4, 3.0F));
}

TEST_F(OnnxLoadTest, HostileExternalDataNeverReachesTheEngine) {
  folder_.Write("secret.bin", std::string(64, 's'));
  std::filesystem::create_directories(folder_.Path("1"));
  ASSERT_EQ(::symlink(folder_.Path("secret.bin").c_str(), folder_.Path("1/link.bin").c_str()), 0);
  ASSERT_EQ(::link(folder_.Path("secret.bin").c_str(), folder_.Path("1/hard.bin").c_str()), 0);

  for (const std::string location : {"../secret.bin", "link.bin", "hard.bin", "/etc/hostname"}) {
    const Error error =
        FaultOfModel(testing::ExternalModel({{"location", location}, {"offset", "0"}, {"length", "16"}}, 4));
    EXPECT_EQ(error.reason(), "model_invalid") << location;
    EXPECT_THAT(error.message(), Not(HasSubstr("ONNX Runtime"))) << location;
  }
}

TEST_F(OnnxLoadTest, FixesDimensionsByName) {
  const std::string path = folder_.Write("model.onnx", testing::MatMulModel(16, 1));

  const auto session = engine_.Load({.model_path = path, .providers = {}, .fixed_dims = {{"batch", 4}}});

  ASSERT_TRUE(session.ok()) << session.error().ToString();
  EXPECT_EQ((*session)->facts().inputs[0].shape, (tensor::Shape{4, 16}));
  EXPECT_THAT(FaultOf({.model_path = path, .providers = {}, .fixed_dims = {{"batsh", 4}}}).message(),
              HasSubstr("dimension 'batsh' is fixed, but no input has it; did you mean 'batch'?"));
  EXPECT_THAT(FaultOf({.model_path = path, .providers = {}, .fixed_dims = {{"batch", 0}}}).message(),
              HasSubstr("it must be 1 or more"));
}

TEST_F(OnnxLoadTest, EveryOptimizationLevelGivesTheSameAnswer) {
  const std::string path = folder_.Write("model.onnx", testing::MatMulModel(16, 3));
  const Tensor x{
      .dtype = DType::kFp32, .shape = {1, 16}, .data = SharedBytes::FromString(testing::RawFloats(16, 2.0F))};
  const Tensor* inputs[] = {&x};

  for (const int level : {0, 1, 2}) {
    const auto session = engine_.Load({.model_path = path, .providers = {}, .optimization_level = level});
    ASSERT_TRUE(session.ok()) << level;
    const auto outputs = (*session)->Run(inputs, std::vector<std::size_t>{0}, nullptr);
    ASSERT_TRUE(outputs.ok()) << level;
    EXPECT_NEAR(reinterpret_cast<const float*>((*outputs)[0].data.data())[15], 2.0F, 1e-4F) << level;
  }
}

TEST_F(OnnxLoadTest, TakesTheFirstProviderOfTheListThatThisHostHas) {
  const std::string path = folder_.Write("model.onnx", testing::MatMulModel(16, 1));

  const auto fallback = engine_.Load({.model_path = path, .providers = {{"cuda", {}}, {"cpu", {}}}});
  const Error none = FaultOf({.model_path = path, .providers = {{"tensorrt", {}}, {"cuda", {}}}});

  ASSERT_TRUE(fallback.ok()) << fallback.error().ToString();
  EXPECT_EQ((*fallback)->facts().provider, "cpu");
  EXPECT_EQ(none.code(), Code::kUnavailable);
  EXPECT_EQ(none.reason(), "provider_missing");
  EXPECT_THAT(none.message(), AllOf(HasSubstr("tensorrt: not in this build"),
                                    HasSubstr("cuda: not in this build"), HasSubstr("this host has: cpu")));
  EXPECT_THAT(engine_.providers(), Contains("cpu"));
}

TEST_F(OnnxLoadTest, LogsTheProviderThatWasTakenAndWhyNotTheOthers) {
  const std::string path = folder_.Write("model.onnx", testing::MatMulModel(16, 1));
  const std::string log_path = folder_.Write("log", "");
  std::FILE* const file = std::fopen(log_path.c_str(), "w");
  ASSERT_NE(file, nullptr);
  const RealClock clock;
  observe::Logger log({.fd = ::fileno(file)}, clock);
  OnnxEngine engine({}, &log);

  EXPECT_TRUE(engine.Load({.model_path = path, .providers = {{"cuda", {}}, {"cpu", {}}}}).ok());

  std::ifstream lines(log_path);
  const std::string text{std::istreambuf_iterator<char>(lines), {}};
  EXPECT_THAT(text, AllOf(HasSubstr("model session created"), HasSubstr(R"("provider":"cpu")"),
                          HasSubstr("cuda: not in this build of ONNX Runtime")));
  std::fclose(file);
}

TEST_F(OnnxLoadTest, AModelMaySetOnlyHarmlessOptions) {
  const std::string path = folder_.Write("model.onnx", testing::MatMulModel(16, 1));

  EXPECT_TRUE(
      engine_.Load({.model_path = path, .providers = {{"cpu", {{"session.disable_prepacking", "1"}}}}}).ok());
  EXPECT_THAT(
      FaultOf({.model_path = path, .providers = {{"cpu", {{"session.disable_prepackin", "1"}}}}}).ToString(),
      HasSubstr(
          "provider_option: option 'session.disable_prepackin' of execution provider 'cpu' is not an "
          "option of the cpu provider that a model may set (did you mean 'session.disable_prepacking'?)"));
  EXPECT_THAT(FaultOf({.model_path = path, .providers = {{"openvino", {{"cache_dir", "/tmp"}}}, {"cpu", {}}}})
                  .message(),
              HasSubstr("only the server's configuration may set it"));
}

TEST_F(OnnxLoadTest, ALibraryThatIsNotThereIsNamed) {
  OnnxEngine engine({.library = "libno_such_engine.so.9"});
  const std::string path = folder_.Write("model.onnx", testing::MatMulModel(16, 1));

  const auto session = engine.Load({.model_path = path});

  ASSERT_FALSE(session.ok());
  EXPECT_EQ(session.error().reason(), "engine_missing");
  EXPECT_THAT(session.error().message(), HasSubstr("libno_such_engine.so.9"));
  EXPECT_TRUE(engine.providers().empty());
}

class OnnxMemoryTest : public OnnxLoadTest, public ::testing::WithParamInterface<bool> {
 protected:
  /// 90 MB of weights, repacked by the engine or kept as they are.
  static std::string LargeModel() {
    return GetParam() ? testing::MatMulModel(2048, 6) : testing::GatherModel(30000, 800);
  }
};

TEST_P(OnnxMemoryTest, AccountsForALoadWithinFifteenPercentAndGivesItBack) {
  if (kSanitized) GTEST_SKIP() << "a sanitizer's memory is in the way";
  const std::string path = folder_.Write("model.onnx", LargeModel());
  ASSERT_TRUE(engine_.Load({.model_path = path}).ok());  // What is taken once for all is taken now.
  const std::int64_t before = ResidentBytes();

  auto session = engine_.Load({.model_path = path});
  ASSERT_TRUE(session.ok()) << session.error().ToString();
  const std::int64_t taken = ResidentBytes() - before;

  const auto accounted = static_cast<double>((*session)->facts().memory_bytes);
  EXPECT_NEAR(accounted / static_cast<double>(taken), 1.0, 0.15);
  EXPECT_EQ(engine_.counts().session_bytes, (*session)->facts().memory_bytes);
  session->reset();
  EXPECT_LT(ResidentBytes() - before, 2 << 20);
  EXPECT_EQ(engine_.counts().session_bytes, 0U);
}

TEST_F(OnnxLoadTest, ManySmallModelsStayWithinWhatIsAccountedForThem) {
  if (kSanitized) GTEST_SKIP() << "a sanitizer's memory is in the way";
  const std::string path = folder_.Write("model.onnx", testing::MatMulModel(256, 2));
  ASSERT_TRUE(engine_.Load({.model_path = path}).ok());
  const std::int64_t before = ResidentBytes();

  std::vector<std::unique_ptr<engine::Session>> sessions;
  for (int i = 0; i < 100; ++i) {
    auto session = engine_.Load({.model_path = path});
    ASSERT_TRUE(session.ok());
    sessions.push_back(std::move(session).value());
  }

  const auto accounted = static_cast<double>(engine_.counts().session_bytes);
  EXPECT_NEAR(static_cast<double>(ResidentBytes() - before) / accounted, 1.0, 0.1) << accounted / 100;
}

TEST_F(OnnxLoadTest, TheFirstLoadsOfAProcessMayComeAtOnce) {
  // A C library whose malloc is not the process's sets it up when it is first asked how full it is.
  const std::string path = folder_.Write("model.onnx", testing::MatMulModel(16, 1));
  std::atomic<int> loaded = 0;
  std::barrier together(8);
  std::array<std::thread, 8> threads;
  for (std::thread& thread : threads) {
    thread = std::thread([&] {
      together.arrive_and_wait();
      if (engine_.Load({.model_path = path}).ok()) ++loaded;
    });
  }
  for (std::thread& thread : threads) thread.join();

  EXPECT_EQ(loaded, 8);
}

TEST_P(OnnxMemoryTest, TwentyLoadsAndUnloadsLeaveNothing) {
  if (kSanitized) GTEST_SKIP() << "a sanitizer's memory is in the way";
  const std::string path = folder_.Write("model.onnx", LargeModel());
  ASSERT_TRUE(engine_.Load({.model_path = path}).ok());
  const std::int64_t before = ResidentBytes();

  for (int i = 0; i < 20; ++i) {
    // As a server does: another thread each time.
    std::thread([&] { EXPECT_TRUE(engine_.Load({.model_path = path}).ok()); }).join();
  }

  EXPECT_LT(ResidentBytes() - before, 4 << 20);
}

TEST_P(OnnxMemoryTest, LoadsThatOverlapAreAccountedWithinFifteenPercentToo) {
  if (kSanitized) GTEST_SKIP() << "a sanitizer's memory is in the way";
  const std::string path = folder_.Write("model.onnx", LargeModel());
  ASSERT_TRUE(engine_.Load({.model_path = path}).ok());
  const std::int64_t before = ResidentBytes();

  std::unique_ptr<engine::Session> sessions[2];
  const auto load = [&](std::size_t i) {
    auto session = engine_.Load({.model_path = path});
    if (session.ok()) sessions[i] = std::move(session).value();
  };
  std::thread other(load, 0);
  load(1);
  other.join();
  ASSERT_TRUE(sessions[0] && sessions[1]);

  const auto accounted = static_cast<double>(engine_.counts().session_bytes);
  EXPECT_NEAR(accounted / static_cast<double>(ResidentBytes() - before), 1.0, 0.15);
}

INSTANTIATE_TEST_SUITE_P(Weights, OnnxMemoryTest, ::testing::Values(true, false),
                         [](const auto& info) { return info.param ? "Repacked" : "Kept"; });

TEST(OnnxOpenVino, RunsOnThePluginWhereItIsInstalled) {
  if (::access(MEZZO_OPENVINO_PLUGIN, R_OK) != 0) GTEST_SKIP() << "the OpenVINO plug-in is not installed";
  if (kSanitized) GTEST_SKIP() << "a sanitizer forbids RTLD_DEEPBIND, which OpenVINO uses";
  OnnxEngine engine({.provider_libraries = {{"openvino", MEZZO_OPENVINO_PLUGIN}}});
  const testing::ModelFolder folder;
  const std::string path = folder.Write("model.onnx", testing::MatMulModel(64, 2));

  EXPECT_THAT(engine.providers(), ElementsAre("openvino", "cpu"));
  const auto session =
      engine.Load({.model_path = path, .providers = {{"openvino", {{"device", "cpu"}}}, {"cpu", {}}}});
  ASSERT_TRUE(session.ok()) << session.error().ToString();
  EXPECT_EQ((*session)->facts().provider, "openvino");

  const Tensor x{.dtype = DType::kFp32,
                 .shape = {2, 64},
                 .data = SharedBytes::FromString(testing::RawFloats(128, 2.0F))};
  const Tensor* inputs[] = {&x};
  const auto outputs = (*session)->Run(inputs, std::vector<std::size_t>{0}, nullptr);
  ASSERT_TRUE(outputs.ok()) << outputs.error().ToString();
  EXPECT_EQ((*outputs)[0].shape, (tensor::Shape{2, 64}));
  EXPECT_NEAR(reinterpret_cast<const float*>((*outputs)[0].data.data())[127], 2.0F, 0.05F);
}

TEST(OnnxOpenVino, APluginThatCantBeOpenedIsAMissingProviderWithItsReason) {
  OnnxEngine engine({.provider_libraries = {{"openvino", "libno_such_plugin.so"}}});
  const testing::ModelFolder folder;
  const std::string path = folder.Write("model.onnx", testing::MatMulModel(16, 1));

  const auto session = engine.Load({.model_path = path, .providers = {{"openvino", {}}}});

  ASSERT_FALSE(session.ok());
  EXPECT_EQ(session.error().reason(), "provider_missing");
  EXPECT_THAT(session.error().message(),
              AllOf(HasSubstr("libno_such_plugin.so"), HasSubstr("this host has: cpu")));
}

}  // namespace
}  // namespace mezzo::drivers
