// Question: what does one prompt cost, and the longest text that is allowed at its worst? Budget: 100 us for
// a prompt of 77 tokens, 50 ms for the worst text.

#include <string>

#include <benchmark/benchmark.h>

#include "mezzo/generation/clip_tokenizer.h"
#include "mezzo/generation/internal/golden_files.h"

namespace mezzo::generation {
namespace {

using Rules = ClipTokenizer::Rules;

struct Files {
  std::string vocab = internal::ReadWholeFile(internal::GoldenPath("clip/vocab.json"));
  std::string merges = internal::ReadWholeFile(internal::GoldenPath("clip/merges.txt"));
  ClipTokenizer Parse(Rules rules) const {
    return ClipTokenizer::Parse({vocab, merges, "{}", ""}, rules).value();
  }
};

void Measure(benchmark::State& state, const std::string& text) {
  const ClipTokenizer tokenizer = Files().Parse(state.range(0) == 0 ? Rules::kBasic : Rules::kFast);
  std::size_t tokens = 0;
  for (auto _ : state) {
    const auto encoded = tokenizer.Encode(text);
    benchmark::DoNotOptimize(encoded->ids.data());
    tokens += encoded->count;
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(tokens));
  state.SetBytesProcessed(static_cast<std::int64_t>(text.size()) * state.iterations());
}

void BM_Prompt(benchmark::State& state) {
  Measure(state,
          "A photo of a cat sitting on a red sofa in the king's castle at night, oil painting, digital art, "
          "highly detailed, octane render, 8k, trending on artstation; it's a masterpiece, sharp, cinematic "
          "light");
}
BENCHMARK(BM_Prompt)->ArgName("fast")->Arg(0)->Arg(1);

void BM_ChinesePrompt(benchmark::State& state) {
  Measure(state, "一只戴着帽子的狗在雪地里奔跑，阳光明媚，油画，高清，细节丰富，夜晚的城市，霓虹灯，雨");
}
BENCHMARK(BM_ChinesePrompt)->ArgName("fast")->Arg(0)->Arg(1);

/// One word as long as a text may be, which merges as often as it can.
void BM_LongestWord(benchmark::State& state) {
  std::string text;
  while (text.size() + 4 <= ClipTokenizer::kMaxTextBytes) text += "thin";
  Measure(state, text);
}
BENCHMARK(BM_LongestWord)->ArgName("fast")->Arg(0)->Arg(1);

/// Marks in the wrong order, all in one run.
void BM_LongestRunOfMarks(benchmark::State& state) {
  std::string text = "a";
  while (text.size() + 4 <= ClipTokenizer::kMaxTextBytes) text += "\u0301\u0323";
  Measure(state, text);
}
BENCHMARK(BM_LongestRunOfMarks)->ArgName("fast")->Arg(0)->Arg(1);

void BM_ParseFiles(benchmark::State& state) {
  const Files files;
  for (auto _ : state) benchmark::DoNotOptimize(files.Parse(Rules::kBasic).size());
}
BENCHMARK(BM_ParseFiles)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace mezzo::generation
