#include "mezzo/lifecycle/golden_example.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/lifecycle/testing/version_files.h"

namespace mezzo::lifecycle {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Result<std::string> NoFile(const std::string& name) { return NotFound("file_missing", "no " + name); }

Result<GoldenExample> Parse(std::string_view json) { return ParseGoldenExample("cat", json, NoFile); }

std::string FaultOf(std::string_view json) {
  const auto example = Parse(json);
  if (example.ok()) return "";
  EXPECT_EQ(example.error().reason(), "golden_invalid");
  EXPECT_THAT(example.error().message(), HasSubstr("golden example 'cat'"));
  return example.error().message();
}

constexpr std::string_view kGood = R"({
  "id": "1", "model_name": "m", "model_version": "3", "parameters": {},
  "inputs": [{"name": "x", "datatype": "FP32", "shape": [2, 2], "data": [[1, 2], [3, 4]]},
             {"name": "t", "datatype": "BYTES", "shape": [1], "data": ["text"]}],
  "outputs": [{"name": "y", "datatype": "FP16", "shape": [2], "data": [1, -2]},
              {"name": "n", "datatype": "INT64", "shape": [1], "data": [-9223372036854775808]},
              {"name": "e", "datatype": "BF16", "shape": [1], "data": [1],
               "compare": {"rule": "cosine", "at_least": 0.5}},
              {"name": "p", "datatype": "UINT8", "shape": [1], "data": [255],
               "compare": {"rule": "ssim", "range": 255, "layout": "nhwc"}}]})";

TEST(GoldenExample, IsReadWithItsRules) {
  const auto example = Parse(kGood);

  ASSERT_TRUE(example.ok()) << example.error().ToString();
  EXPECT_EQ(example->name, "cat");
  ASSERT_EQ(example->inputs.size(), 2U);
  EXPECT_THAT(ElementsAsReals(example->inputs[0].tensor), ElementsAre(1, 2, 3, 4));
  EXPECT_EQ(example->inputs[1].tensor.data.text(), std::string_view("\x04\0\0\0text", 8));
  ASSERT_EQ(example->outputs.size(), 4U);
  EXPECT_EQ(example->outputs[0].rule.kind, CompareRule::Kind::kTolerance);
  EXPECT_THAT(ElementsAsReals(example->outputs[0].tensor), ElementsAre(1, -2));
  EXPECT_EQ(example->outputs[1].rule.kind, CompareRule::Kind::kExact);
  EXPECT_EQ(example->outputs[2].rule.kind, CompareRule::Kind::kCosine);
  EXPECT_EQ(example->outputs[2].rule.at_least, 0.5);
  EXPECT_EQ(example->outputs[3].rule.kind, CompareRule::Kind::kSsim);
  EXPECT_EQ(example->outputs[3].rule.at_least, 0.95);
  EXPECT_EQ(example->outputs[3].rule.layout, CompareRule::Layout::kNhwc);
}

TEST(GoldenExample, OneRuleMayStandForAll) {
  const auto example = Parse(R"({"compare": {"rule": "tolerance", "absolute": 0.5},
    "inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [1]}],
    "outputs": [{"name": "y", "datatype": "INT32", "shape": [1], "data": [1]}]})");

  ASSERT_TRUE(example.ok()) << example.error().ToString();
  EXPECT_EQ(example->outputs[0].rule.kind, CompareRule::Kind::kTolerance);
  EXPECT_EQ(example->outputs[0].rule.absolute, 0.5);
}

/// `kGood` with something else in the place of its first input.
std::string WithInput(const std::string& input) {
  return R"({"inputs": [)" + input +
         R"(], "outputs": [{"name": "y", "datatype": "FP32", "shape": [1], "data": [1]}]})";
}

TEST(GoldenExample, SaysWhatIsWrong) {
  EXPECT_THAT(FaultOf("nothing"), HasSubstr("is not JSON"));
  EXPECT_THAT(FaultOf("[]"), HasSubstr("must be an object"));
  EXPECT_THAT(FaultOf("{}"), HasSubstr("needs a list 'inputs'"));
  EXPECT_THAT(FaultOf(R"({"imputs": []})"), HasSubstr("unknown member 'imputs'"));
  EXPECT_THAT(FaultOf(WithInput("1")), HasSubstr("an input must be an object"));
  EXPECT_THAT(FaultOf(WithInput(R"({"name": "x", "datatype": "FP31", "shape": [1], "data": [1]})")),
              HasSubstr("unknown datatype 'FP31'"));
  EXPECT_THAT(FaultOf(WithInput(R"({"name": "x", "datatype": "FP32", "shape": [-1], "data": [1]})")),
              HasSubstr("shape of up to 12 counts"));
  EXPECT_THAT(FaultOf(WithInput(R"({"name": "x", "datatype": "FP32", "shape": [2], "data": [1]})")),
              HasSubstr("needs 8 bytes"));
  EXPECT_THAT(FaultOf(WithInput(R"({"name": "x", "datatype": "UINT8", "shape": [1], "data": [256]})")),
              HasSubstr("holds 256, which is no UINT8"));
  EXPECT_THAT(FaultOf(WithInput(R"({"name": "x", "datatype": "FP32", "shape": [1]})")),
              HasSubstr("either 'data' or 'file'"));
  EXPECT_THAT(FaultOf(WithInput(R"({"name": "x", "datatype": "FP32", "shape": [1], "file": "a.bin"})")),
              HasSubstr("no a.bin"));
  const std::string input = R"("inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [1]}])";
  const auto with_rule = [&](const std::string& rule) {
    return "{" + input + R"(, "outputs": [{"name": "y", "datatype": "FP32", "shape": [1], "data": [1],
      "compare": )" +
           rule + "}]}";
  };
  EXPECT_THAT(FaultOf(with_rule(R"({"rule": "nearly"})")),
              HasSubstr("there are exact, tolerance, cosine and ssim"));
  EXPECT_THAT(FaultOf(with_rule(R"({"rule": "cosine", "atleast": 1})")),
              HasSubstr("unknown member 'atleast'"));
  EXPECT_THAT(FaultOf(with_rule(R"({"rule": "tolerance", "absolute": -1})")),
              HasSubstr("must not be negative"));
  EXPECT_THAT(FaultOf(with_rule(R"({"rule": "ssim", "layout": "chw"})")), HasSubstr("'nchw' or 'nhwc'"));
}

TEST(GoldenExample, EveryTruncationIsRefused) {
  for (std::size_t size = 0; size < kGood.size(); ++size)
    EXPECT_FALSE(Parse(kGood.substr(0, size)).ok()) << size;
}

TEST(GoldenExample, AreReadByNameWithTheirFiles) {
  const testing::VersionFiles files;
  const std::string example =
      R"({"inputs": [{"name": "x", "datatype": "UINT8", "shape": [4], "file": "x.bin"}],
    "outputs": [{"name": "y", "datatype": "UINT8", "shape": [1], "data": [1]}]})";
  files.Write("v/golden/b.json", example);
  files.Write("v/golden/a.json", example);
  files.Write("v/golden/x.bin", "abcd");

  const auto examples = ReadGoldenExamples(files.Path("v"));

  ASSERT_TRUE(examples.ok()) << examples.error().ToString();
  ASSERT_EQ(examples->size(), 2U);
  EXPECT_EQ((*examples)[0].name, "a");
  EXPECT_EQ((*examples)[1].inputs[0].tensor.data.text(), "abcd");
  files.Write("other/model.onnx", "");
  EXPECT_THAT(*ReadGoldenExamples(files.Path("other")), IsEmpty());
}

TEST(GoldenExample, ReadsNothingOutsideItsFolder) {
  const testing::VersionFiles files;
  files.Write("secret", "abcd");
  const auto with_file = [&](const std::string& file) {
    files.Write("v/golden/a.json",
                R"({"inputs": [{"name": "x", "datatype": "UINT8", "shape": [4], "file": ")" + file +
                    R"("}], "outputs": [{"name": "y", "datatype": "UINT8", "shape": [1],
      "data": [1]}]})");
    const auto examples = ReadGoldenExamples(files.Path("v"));
    return examples.ok() ? std::string("read") : examples.error().reason();
  };

  EXPECT_EQ(with_file("../../secret"), "golden_invalid");
  EXPECT_EQ(with_file(files.Path("secret")), "golden_invalid");
  std::filesystem::create_symlink("../../secret", files.Path("v/golden/link"));
  EXPECT_EQ(with_file("link"), "golden_invalid");
}

TEST(GoldenExample, ThereMayBeTooMany) {
  const testing::VersionFiles files;
  for (std::size_t i = 0; i <= GoldenExample::kMaxExamples; ++i) {
    files.Write("v/golden/e" + std::to_string(i) + ".json", "{}");
  }

  const auto examples = ReadGoldenExamples(files.Path("v"));

  ASSERT_FALSE(examples.ok());
  EXPECT_THAT(examples.error().message(), HasSubstr("at most 64"));
}

}  // namespace
}  // namespace mezzo::lifecycle
