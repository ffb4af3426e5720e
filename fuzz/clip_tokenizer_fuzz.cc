// Tokenizes arbitrary bytes, and reads them as the files of a tokenizer. The first byte says which: 0 and 1
// are a text (with the rules of CLIPTokenizer or of CLIPTokenizerFast), 2 a vocab.json, 3 a merges.txt, 4 a
// tokenizer_config.json, modulo 5.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "mezzo/base/check.h"
#include "mezzo/base/utf8.h"
#include "mezzo/generation/clip_tokenizer.h"

namespace {

using mezzo::generation::ClipTokenizer;
using mezzo::generation::ClipTokens;
using Rules = ClipTokenizer::Rules;

/// Letters, also at the end of a word, and some merges; other bytes are unknown.
std::string MakeVocab() {
  std::string vocab = R"({"!":0,"!</w>":1,"'":2,"th":3,"the</w>":4,"in":5,"ing</w>":6,"aa":7,"aaaa":8)";
  int id = 9;
  for (char c = 'a'; c <= 'z'; ++c) {
    for (const std::string_view end : {"", "</w>"}) {
      vocab += ",\"" + std::string(1, c) + std::string(end) + "\":" + std::to_string(id++);
    }
  }
  return vocab + ",\"<|startoftext|>\":" + std::to_string(id) +
         ",\"<|endoftext|>\":" + std::to_string(id + 1) + "}";
}
constexpr std::string_view kMerges = "#version: 0.2\nt h\nth e</w>\ni n\nin g</w>\na a\naa aa\n";
constexpr std::string_view kConfig = R"({"model_max_length":16,"pad_token":"!"})";

const std::string& Vocab() {
  static const std::string made = MakeVocab();
  return made;
}

void CheckTokens(const ClipTokenizer& tokenizer, const ClipTokens& tokens) {
  MEZZO_CHECK(tokens.ids.size() == tokenizer.max_length());
  MEZZO_CHECK(tokens.count >= 2 && tokens.count <= tokens.ids.size());
  MEZZO_CHECK(!tokens.truncated || tokens.count == tokens.ids.size());
  MEZZO_CHECK(tokens.ids.front() == tokenizer.start());
  MEZZO_CHECK(tokens.ids[tokens.count - 1] == tokenizer.end());
  for (const auto id : tokens.ids) MEZZO_CHECK(id >= 0 && static_cast<std::size_t>(id) < tokenizer.size());
  const auto padding = [&](auto id) { return id == tokenizer.padding(); };
  MEZZO_CHECK(
      std::all_of(tokens.ids.begin() + static_cast<std::ptrdiff_t>(tokens.count), tokens.ids.end(), padding));
}

void CheckText(std::string_view text, Rules rules) {
  static const ClipTokenizer basic =
      ClipTokenizer::Parse({Vocab(), kMerges, kConfig, {}}, Rules::kBasic).value();
  static const ClipTokenizer fast =
      ClipTokenizer::Parse({Vocab(), kMerges, kConfig, {}}, Rules::kFast).value();
  const ClipTokenizer& tokenizer = rules == Rules::kBasic ? basic : fast;
  const auto tokens = tokenizer.Encode(text);
  MEZZO_CHECK(tokens.ok() == (mezzo::IsUtf8(text) && text.size() <= ClipTokenizer::kMaxTextBytes));
  if (tokens.ok()) CheckTokens(tokenizer, *tokens);
}

void CheckFiles(std::string_view vocab, std::string_view merges, std::string_view config) {
  const auto made = ClipTokenizer::Parse({vocab, merges, config, {}}, Rules::kFast);
  if (!made.ok()) {
    MEZZO_CHECK(!made.error().message().empty());
    return;
  }
  CheckTokens(*made, made->Encode("The king's in the <|endoftext|> aaaaaaaa!").value());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 5) {
    case 0:
      CheckText(rest, Rules::kBasic);
      break;
    case 1:
      CheckText(rest, Rules::kFast);
      break;
    case 2:
      CheckFiles(rest, kMerges, kConfig);
      break;
    case 3:
      CheckFiles(Vocab(), rest, kConfig);
      break;
    default:
      CheckFiles(Vocab(), kMerges, rest);
      break;
  }
  return 0;
}
