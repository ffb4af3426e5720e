// Question: how many tokens a second does one core make of English, of a mix of scripts, and of the worst
// text for the longest-match search? Budget: 1 M tokens/s for each.

#include <string>

#include <benchmark/benchmark.h>

#include "mezzo/text/internal/golden_lines.h"
#include "mezzo/text/wordpiece.h"

namespace mezzo::text {
namespace {

const WordPiece& MiniLm() {
  static const WordPiece made =
      WordPiece::Parse(internal::ReadWholeFile(std::string(MEZZO_CACHE_DIR) + "/models/minilm/1/vocab.txt"))
          .value();
  return made;
}

void Measure(benchmark::State& state, const std::string& text) {
  std::size_t tokens = 0;
  for (auto _ : state) {
    const Encoding encoding = MiniLm().Encode(text, std::size_t{1} << 20);
    benchmark::DoNotOptimize(encoding.ids.data());
    tokens += encoding.ids.size();
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(tokens));
  state.SetBytesProcessed(static_cast<std::int64_t>(text.size()) * state.iterations());
}

void BM_Sentences(benchmark::State& state) {
  Measure(state, internal::ReadWholeFile(std::string(MEZZO_SOURCE_DIR) + "/tests/models_src/sentences.txt"));
}
BENCHMARK(BM_Sentences);

void BM_MixedScripts(benchmark::State& state) {
  std::string text;
  for (int i = 0; i < 100; ++i) text += "Ünïcödé Привет мир 日本語テキスト 각하 ελληνικά naïve! ";
  Measure(state, text);
}
BENCHMARK(BM_MixedScripts);

void BM_LongWords(benchmark::State& state) {
  std::string text;
  for (int i = 0; i < 100; ++i)
    text += "internationalizationinternationalizationinternationalizationinternationalx ";
  Measure(state, text);
}
BENCHMARK(BM_LongWords);

void BM_ParseVocabulary(benchmark::State& state) {
  const std::string vocabulary =
      internal::ReadWholeFile(std::string(MEZZO_CACHE_DIR) + "/models/minilm/1/vocab.txt");
  for (auto _ : state) benchmark::DoNotOptimize(WordPiece::Parse(vocabulary).value().size());
}
BENCHMARK(BM_ParseVocabulary)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace mezzo::text
