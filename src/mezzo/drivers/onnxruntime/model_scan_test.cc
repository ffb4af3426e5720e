#include "mezzo/drivers/onnxruntime/model_scan.h"

#include <cstring>

#include <gmock/gmock.h>

#include "mezzo/drivers/onnxruntime/testing/onnx_writer.h"

namespace mezzo::drivers {
namespace {

using ::testing::ElementsAre;
using testing::ExternalInitializer;
using testing::ExternalModel;
using testing::Graph;
using testing::GraphAttribute;
using ::testing::HasSubstr;
using testing::Initializer;
using ::testing::IsEmpty;
using testing::kOnnxFloat;
using testing::kOnnxInt64;
using testing::Model;
using testing::Node;
using testing::Proto;

class TextSource final : public ByteSource {
 public:
  explicit TextSource(std::string text) : text_(std::move(text)) {}
  [[nodiscard]] std::uint64_t size() const override { return text_.size(); }
  Result<void> Read(std::uint64_t offset, std::span<std::byte> out) override {
    EXPECT_LE(offset + out.size(), text_.size());
    std::memcpy(out.data(), text_.data() + offset, out.size());
    bytes_read += out.size();
    return {};
  }
  std::uint64_t bytes_read = 0;

 private:
  std::string text_;
};

Result<ModelScan> Scan(std::string text) {
  TextSource source(std::move(text));
  return ScanModel(source);
}

std::string FaultOf(std::string text) {
  const auto scan = Scan(std::move(text));
  if (scan.ok()) return "";
  EXPECT_EQ(scan.error().code(), Code::kInvalidArgument);
  EXPECT_EQ(scan.error().reason(), "model_invalid");
  return scan.error().message();
}

std::string ExternalFault(const std::string& location) {
  return FaultOf(ExternalModel({{"location", location}}, 4));
}

TEST(ModelScan, SumsTensorBytesAndFindsNoFilesInAPlainModel) {
  const auto scan = Scan(testing::MatMulModel(16, 3));

  ASSERT_TRUE(scan.ok()) << scan.error().ToString();
  EXPECT_EQ(scan->inline_tensor_bytes, 3U * 16 * 16 * 4);
  EXPECT_THAT(scan->external, IsEmpty());
  EXPECT_THAT(scan->dim_symbols, ElementsAre("batch"));
}

TEST(ModelScan, SeesLoops) {
  EXPECT_FALSE(Scan(testing::MatMulModel(16, 3))->has_loops);
  EXPECT_TRUE(Scan(testing::LoopModel())->has_loops);
}

TEST(ModelScan, SkipsTensorValuesInsteadOfReadingThem) {
  TextSource source(testing::MatMulModel(1024, 4));

  ASSERT_TRUE(ScanModel(source).ok());

  EXPECT_LT(source.bytes_read, 64U << 10U);
}

TEST(ModelScan, FindsTheFurthestRangeOfEachExternalFile) {
  const std::string model =
      Model({.nodes = {},
             .inputs = {},
             .outputs = {},
             .initializers = {
                 ExternalInitializer("a", kOnnxFloat, {4},
                                     {{"location", "w.bin"}, {"offset", "64"}, {"length", "16"}}),
                 ExternalInitializer("b", kOnnxFloat, {4}, {{"length", "16"}, {"location", "w.bin"}}),
                 ExternalInitializer("c", kOnnxFloat, {4}, {{"location", "sub/v.bin"}}),
             }});

  const auto scan = Scan(model);

  ASSERT_TRUE(scan.ok()) << scan.error().ToString();
  ASSERT_EQ(scan->external.size(), 2U);
  EXPECT_EQ(scan->external[0].location, "sub/v.bin");
  EXPECT_EQ(scan->external[0].min_size, 0U);
  EXPECT_EQ(scan->external[1].location, "w.bin");
  EXPECT_EQ(scan->external[1].tensor, "a");
  EXPECT_EQ(scan->external[1].min_size, 80U);
  EXPECT_EQ(scan->external_tensor_bytes, 32U);
}

TEST(ModelScan, FindsExternalDataWhereverATensorCanStand) {
  const Proto tensor = ExternalInitializer("t", kOnnxFloat, {1}, {{"location", "../x"}});
  const Proto attribute_tensor = Proto().Bytes(1, "value").Child(5, tensor).Number(20, 4);
  Proto constant = Node("Constant", {}, {"c"});
  constant.Child(5, attribute_tensor);
  const Proto inner = Graph({.nodes = {constant}, .inputs = {}, .outputs = {}});
  Proto branch = Node("If", {"c"}, {"y"});
  branch.Child(5, GraphAttribute("then_branch", inner));
  const Proto sparse = Proto().Child(1, tensor).Number(3, 4);

  EXPECT_THAT(FaultOf(Model({.nodes = {constant}, .inputs = {}, .outputs = {}})), HasSubstr("'../x'"));
  EXPECT_THAT(FaultOf(Model({.nodes = {branch}, .inputs = {}, .outputs = {}})), HasSubstr("'../x'"));
  EXPECT_THAT(FaultOf(Proto().Child(7, Proto().Child(15, sparse)).bytes()), HasSubstr("'../x'"));
  EXPECT_THAT(FaultOf(Proto().Child(25, Proto().Child(7, constant)).bytes()), HasSubstr("'../x'"));
  EXPECT_THAT(FaultOf(Proto().Child(25, Proto().Child(11, attribute_tensor)).bytes()), HasSubstr("'../x'"));
  EXPECT_THAT(FaultOf(Proto().Child(20, Proto().Child(2, inner)).bytes()), HasSubstr("'../x'"));
  const Proto tensors = Proto().Child(10, tensor);
  EXPECT_THAT(FaultOf(Proto().Child(7, Proto().Child(1, Proto().Child(5, tensors))).bytes()),
              HasSubstr("'../x'"));
  const Proto graphs = Proto().Child(11, inner);
  EXPECT_THAT(FaultOf(Proto().Child(7, Proto().Child(1, Proto().Child(5, graphs))).bytes()),
              HasSubstr("'../x'"));
}

TEST(ModelScan, SeesLocationsThatMergingWouldCombine) {
  // Two halves of one singular message: protobuf joins them, so each must be judged without its
  // data_location.
  const Proto first = Proto().Child(13, Proto().Bytes(1, "location").Bytes(2, "/etc/passwd"));
  const Proto second = Proto().Number(14, 1);
  const Proto attribute = Proto().Child(5, first).Child(5, second);

  EXPECT_THAT(FaultOf(Proto().Child(7, Proto().Child(1, Proto().Child(5, attribute))).bytes()),
              HasSubstr("is absolute"));
}

TEST(ModelScan, NamesWhatIsWrongWithALocation) {
  EXPECT_THAT(ExternalFault("/etc/passwd"),
              HasSubstr("tensor 'w' has the external data location '/etc/passwd', which is absolute"));
  EXPECT_THAT(ExternalFault("a/../../b"), HasSubstr("has '..'"));
  EXPECT_THAT(ExternalFault(""), HasSubstr("is empty"));
  EXPECT_THAT(ExternalFault("."), HasSubstr("names no file"));
  EXPECT_THAT(ExternalFault("a/"), HasSubstr("names no file"));
  EXPECT_THAT(ExternalFault(std::string("a\0b", 3)), HasSubstr("zero byte"));
  EXPECT_THAT(ExternalFault("*/_ORT_MEM_ADDR_/*"), HasSubstr("reserved by the engine"));
  EXPECT_THAT(ExternalFault(std::string(2000, 'x')), HasSubstr("the limit is 1024"));
  EXPECT_EQ(ExternalFault("./sub/w.bin"), "");
  EXPECT_EQ(ExternalFault("..w.bin"), "");
}

TEST(ModelScan, RefusesRangesThatAreNoNumbersOrOverflow) {
  EXPECT_THAT(FaultOf(ExternalModel({{"location", "w"}, {"offset", "-1"}}, 4)),
              HasSubstr("offset '-1', which is not a number"));
  EXPECT_THAT(FaultOf(ExternalModel({{"location", "w"}, {"length", "1e9"}}, 4)), HasSubstr("length '1e9'"));
  EXPECT_THAT(
      FaultOf(ExternalModel({{"location", "w"}, {"offset", "18446744073709551615"}, {"length", "2"}}, 4)),
      HasSubstr("overflows"));
  EXPECT_THAT(FaultOf(ExternalModel({{"location", "w"}, {"prepacked_0", "k|0;4"}}, 4)),
              HasSubstr("unknown kind 'prepacked_0'"));
}

TEST(ModelScan, RefusesPrecompiledContextsAndHugeSparseTensors) {
  EXPECT_THAT(FaultOf(Model({.nodes = {Node("EPContext", {"x"}, {"y"})}, .inputs = {}, .outputs = {}})),
              HasSubstr("EPContext"));
  const Proto sparse = Proto().Number(3, 1U << 20U).Number(3, 1U << 20U);
  EXPECT_THAT(FaultOf(Proto().Child(7, Proto().Child(15, sparse)).bytes()), HasSubstr("sparse tensor"));
  const Proto overflowing = Proto().Number(3, UINT64_MAX).Number(3, UINT64_MAX);
  EXPECT_THAT(FaultOf(Proto().Child(7, Proto().Child(15, overflowing)).bytes()), HasSubstr("sparse tensor"));
}

TEST(ModelScan, SaysWhereAFileBreaks) {
  const std::string model = testing::MatMulModel(16, 1);

  EXPECT_EQ(FaultOf(""), "the model file is empty");
  EXPECT_THAT(FaultOf(model.substr(0, model.size() / 2)),
              HasSubstr("runs past its end (a truncated file?) at byte"));
  EXPECT_THAT(FaultOf("hello, this is no model"), HasSubstr("not an ONNX model"));
  EXPECT_THAT(FaultOf(std::string(64, '\0')), HasSubstr("an impossible field number at byte 1"));
  EXPECT_THAT(FaultOf(std::string(64, '\xff')), HasSubstr("not an ONNX model"));
  EXPECT_THAT(FaultOf(Proto().Number(1, 8).bytes()), HasSubstr("it has no graph"));
}

TEST(ModelScan, EveryTruncationIsAnErrorOrAShorterModelButNeverReadsBeyond) {
  const std::string model = ExternalModel({{"location", "w.bin"}, {"offset", "0"}, {"length", "16"}}, 4);

  for (std::size_t size = 0; size < model.size(); ++size) (void)Scan(model.substr(0, size));
}

TEST(ModelScan, BoundsNesting) {
  Proto graph = Graph({.nodes = {}, .inputs = {}, .outputs = {}});
  for (int i = 0; i < 60; ++i) {
    Proto node = Node("If", {}, {});
    node.Child(5, GraphAttribute("then_branch", graph));
    graph = Graph({.nodes = {node}, .inputs = {}, .outputs = {}});
  }

  EXPECT_THAT(FaultOf(Model(graph)), HasSubstr("nest deeper than 100"));
}

Proto ForeignNode(std::string_view op, std::string_view domain) {
  Proto node = Node(op, {"x"}, {"y"});
  return node.Bytes(7, domain);
}

Proto Opset(std::string_view domain, std::uint64_t version) {
  return Proto().Bytes(1, domain).Number(2, version);
}

TEST(ModelScan, TellsOperatorSetsAndOperatorsOfOtherDomains) {
  const Proto branch = Graph({.nodes = {ForeignNode("Deep", "com.acme")}, .inputs = {}, .outputs = {}});
  Proto node = Node("If", {"x"}, {"y"});
  node.Child(5, GraphAttribute("then_branch", branch));
  const Proto graph = Graph({.nodes = {node, ForeignNode("Gelu", "com.microsoft"), ForeignNode("Add", ""),
                                       ForeignNode("Mul", "ai.onnx"), ForeignNode("Mine", "local")},
                             .inputs = {},
                             .outputs = {}});
  const Proto function = Proto().Bytes(1, "Mine").Bytes(10, "local").Child(7, Node("Relu", {"x"}, {"y"}));
  const std::string model = Proto()
                                .Number(1, 8)
                                .Child(8, Opset("", 17))
                                .Child(8, Opset("com.microsoft", 1))
                                .Child(7, graph)
                                .Child(25, function)
                                .bytes();

  const auto scan = Scan(model);

  ASSERT_TRUE(scan.ok()) << scan.error().ToString();
  EXPECT_EQ(scan->opsets, (std::map<std::string, std::int64_t>{{"", 17}, {"com.microsoft", 1}}));
  EXPECT_EQ(scan->foreign_operators, (std::map<std::string, std::set<std::string>>{
                                         {"com.acme", {"Deep"}}, {"com.microsoft", {"Gelu"}}}));
}

TEST(ModelScan, BoundsTheForeignOperatorsThatItRemembers) {
  std::vector<Proto> nodes;
  for (int i = 0; i < 2000; ++i) nodes.push_back(ForeignNode("Op" + std::to_string(i), "com.acme"));
  nodes.push_back(ForeignNode(std::string(100'000, 'x'), "com.other"));

  const auto scan = Scan(Model({.nodes = nodes, .inputs = {}, .outputs = {}}));

  ASSERT_TRUE(scan.ok());
  EXPECT_EQ(scan->foreign_operators.at("com.acme").size(), kMaxForeignOperators);
}

}  // namespace
}  // namespace mezzo::drivers
