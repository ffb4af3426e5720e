#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/drivers/worker/internal/segment_arena.h"
#include "mezzo/drivers/worker/internal/worker_frame.h"
#include "mezzo/drivers/worker/internal/worker_message.h"
#include "mezzo/drivers/worker/internal/worker_result.h"

namespace mezzo::drivers {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST(WorkerFrameReader, CutsAStreamIntoFramesWhereverItsPiecesEnd) {
  const std::string stream = EncodeWorkerFrame("{}") + EncodeWorkerFrame("") + EncodeWorkerFrame("[1,2]");
  for (std::size_t cut = 0; cut <= stream.size(); ++cut) {
    WorkerFrameReader reader;
    std::vector<std::string> frames;
    for (const std::string& piece : {stream.substr(0, cut), stream.substr(cut)}) {
      reader.Feed(piece);
      while (true) {
        const auto frame = reader.Next();
        ASSERT_TRUE(frame.ok());
        if (!frame->has_value()) break;
        frames.push_back(**frame);
      }
    }
    EXPECT_THAT(frames, ::testing::ElementsAre("{}", "", "[1,2]")) << cut;
  }
}

TEST(WorkerFrameReader, RefusesAFrameAboveTheLimitBeforeItsBytesCome) {
  WorkerFrameReader reader;
  reader.Feed(std::string("\x01\x00\x10\x00", 4));

  const auto frame = reader.Next();

  ASSERT_FALSE(frame.ok());
  EXPECT_EQ(frame.error().reason(), "worker_protocol");
}

TEST(WorkerMessage, EveryTruncationAndWrongTypeIsAnError) {
  const std::string whole =
      R"({"type":"result","run":7,"segment":2,"outputs":[{"name":"y","datatype":"FP32","shape":[2,0],"offset":64,"bytes":0}]})";
  ASSERT_TRUE(ParseWorkerMessage(whole).ok());
  for (std::size_t end = 0; end < whole.size(); ++end) {
    EXPECT_FALSE(ParseWorkerMessage(whole.substr(0, end)).ok()) << end;
  }
  for (
      const char* text :
      {"null", "[]", "{}", R"({"type":5})", R"({"type":"shutdown"})",
       R"({"type":"progress","run":1,"step":1})", R"({"type":"room","run":1,"bytes":1.5})",
       R"({"type":"room","run":1,"bytes":-1})", R"({"type":"failed","run":1,"kind":"bored","text":""})",
       R"({"type":"log","level":"loud","text":""})", R"({"type":"ready","inputs":[5],"outputs":[]})",
       R"({"type":"ready","inputs":[{"name":"x","datatype":"FP99","shape":[],"optional":false}],"outputs":[]})",
       R"({"type":"ready","inputs":[{"name":"x","datatype":"FP32","shape":[-2],"optional":false}],"outputs":[]})",
       R"({"type":"result","run":7,"segment":4294967296,"outputs":[]})"}) {
    const auto parsed = ParseWorkerMessage(text);
    ASSERT_FALSE(parsed.ok()) << text;
    EXPECT_EQ(parsed.error().reason(), "worker_protocol") << text;
  }
}

TEST(WorkerMessage, TextThatIsNoUtf8DoesNotStopAFrame) {
  EXPECT_THAT(WorkerLoadJson({.path = "/models/\xff/model.py"}), HasSubstr("/models/"));
}

class SegmentArenaTest : public ::testing::Test {
 protected:
  std::vector<std::string> Sent() {
    std::vector<std::string> sent;
    for (const auto& frame : frames_) sent.push_back(frame.bytes.substr(4));
    frames_.clear();
    return sent;
  }

  std::shared_ptr<SegmentBudget> budget_ = std::make_shared<SegmentBudget>(ByteCount{1} << 20U);
  SegmentArena arena_{budget_};
  std::vector<OutgoingFrame> frames_;
};

TEST_F(SegmentArenaTest, InputsUseOneSegmentUntilTheyOutgrowIt) {
  const auto first = arena_.Input(1000, frames_);
  ASSERT_TRUE(first.ok());
  EXPECT_THAT(Sent(), SizeIs(1));

  const auto same = arena_.Input(64 << 10, frames_);
  EXPECT_EQ((*same)->number(), (*first)->number());
  EXPECT_THAT(Sent(), IsEmpty());

  const auto larger = arena_.Input(65 << 10, frames_);
  EXPECT_NE((*larger)->number(), (*first)->number());
  EXPECT_THAT(Sent(), SizeIs(2));  // Forget the old one, take the new one.
}

TEST_F(SegmentArenaTest, AnOutputSegmentIsUsedAgainOnlyWhenNothingLiesInIt) {
  auto held = arena_.Output(1000, frames_);
  const std::uint32_t number = (*held)->number();
  EXPECT_EQ(arena_.FreeOutput(), nullptr);

  EXPECT_THAT(Sent(), SizeIs(1));
  const auto other = arena_.Output(1000, frames_);
  EXPECT_NE((*other)->number(), number);

  held = std::shared_ptr<SharedSegment>();
  EXPECT_EQ(arena_.FreeOutput()->number(), number);
}

TEST_F(SegmentArenaTest, TheBudgetCountsWhatAnswersStillHold) {
  std::vector<std::shared_ptr<SharedSegment>> held;
  while (true) {
    auto segment = arena_.Output(128 << 10, frames_);
    if (!segment.ok()) {
      EXPECT_EQ(segment.error().reason(), "worker_memory_full");
      break;
    }
    held.push_back(std::move(segment).value());
    ASSERT_LT(held.size(), 100U);
  }
  EXPECT_THAT(held, SizeIs(8));

  frames_.clear();
  held.clear();
  arena_.Reset();
  EXPECT_EQ(budget_->taken(), 0U);
}

TEST(CheckWorkerResult, OutputsMustBeThoseWantedInTheirOrder) {
  const std::vector<engine::TensorSpec> outputs = {
      {.name = "a", .dtype = tensor::DType::kInt8, .shape = {-1}},
      {.name = "b", .dtype = tensor::DType::kInt8, .shape = {-1}}};
  const auto place = [](const char* name) {
    return TensorPlace{.name = name, .dtype = tensor::DType::kInt8, .shape = {4}, .offset = 64, .bytes = 4};
  };
  const std::size_t wanted[] = {1, 0};

  EXPECT_TRUE(CheckWorkerResult({.outputs = {place("b"), place("a")}}, outputs, wanted, 68).ok());
  EXPECT_FALSE(CheckWorkerResult({.outputs = {place("a"), place("b")}}, outputs, wanted, 68).ok());
  EXPECT_FALSE(CheckWorkerResult({.outputs = {place("b")}}, outputs, wanted, 68).ok());
  EXPECT_FALSE(CheckWorkerResult({.outputs = {place("b"), place("a")}}, outputs, wanted, 67).ok());
}

}  // namespace
}  // namespace mezzo::drivers
