#include "mezzo/generation/clip_tokenizer.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "mezzo/text/unicode.h"

namespace mezzo::generation {
namespace {

using text::TokenId;

Result<std::u32string> Decode(std::string_view text) {
  if (text.size() > ClipTokenizer::kMaxTextBytes) {
    return InvalidArgument("prompt_too_long", fmt::format("the text has {} bytes; the limit is {}",
                                                          text.size(), ClipTokenizer::kMaxTextBytes));
  }
  std::u32string decoded;
  decoded.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const text::DecodedChar next = text::DecodeChar(text.substr(at));
    if (next.length == 0) {
      return InvalidArgument("prompt_not_utf8", fmt::format("the text is not UTF-8 at byte {}", at));
    }
    decoded.push_back(next.code);
    at += next.length;
  }
  return decoded;
}

}  // namespace

ClipTokenizer::ClipTokenizer(internal::ClipVocabulary vocabulary, Rules rules)
    : vocabulary_(std::move(vocabulary)), rules_(rules), merger_(vocabulary_.merges) {
  vocabulary_.merges = {};  // The merger has them.
  for (const internal::SpecialToken& special : vocabulary_.specials) {
    std::u32string raw;
    for (std::string_view rest = special.text; !rest.empty();) {
      const text::DecodedChar next = text::DecodeChar(rest);  // JSON strings are UTF-8.
      raw.push_back(next.code);
      rest.remove_prefix(next.length);
    }
    if (rules_ == Rules::kFast && special.normalized) {
      clean_specials_.push_back({.text = internal::CleanClipText(raw, rules_), .id = special.id});
    } else {
      raw_specials_.push_back({.text = std::move(raw), .id = special.id});
    }
  }
  const auto longer = [](const Special& a, const Special& b) { return a.text.size() > b.text.size(); };
  std::sort(raw_specials_.begin(), raw_specials_.end(), longer);
  std::sort(clean_specials_.begin(), clean_specials_.end(), longer);
}

Result<ClipTokenizer> ClipTokenizer::Parse(const ClipTokenizerFiles& files, Rules rules) {
  MEZZO_TRY(internal::ClipVocabulary vocabulary, internal::ParseClipVocabulary(files));
  return ClipTokenizer(std::move(vocabulary), rules);
}

Result<ClipTokens> ClipTokenizer::Encode(std::string_view text) const {
  MEZZO_TRY(const std::u32string decoded, Decode(text));
  Output output{.limit = max_length() - 1};  // Without the end token.
  output.ids.push_back(start());
  SplitAtSpecials(raw_specials_, decoded, &output, [&](std::u32string_view part) {
    const std::u32string clean = internal::CleanClipText(part, rules_);
    SplitAtSpecials(clean_specials_, clean, &output,
                    [&](std::u32string_view rest) { AppendClean(rest, &output); });
  });

  ClipTokens tokens{.truncated = output.full()};
  tokens.ids = std::move(output.ids);
  if (tokens.truncated) tokens.ids.resize(output.limit);
  tokens.ids.push_back(end());
  tokens.count = tokens.ids.size();
  tokens.ids.resize(max_length(), padding());
  return tokens;
}

template <typename AppendRest>
void ClipTokenizer::SplitAtSpecials(const std::vector<Special>& specials, std::u32string_view text,
                                    Output* output, const AppendRest& append_rest) {
  std::size_t from = 0;
  for (std::size_t at = 0; at < text.size() && !output->full();) {
    const std::u32string_view rest = text.substr(at);
    const auto found = std::find_if(specials.begin(), specials.end(), [rest](const Special& special) {
      return rest.starts_with(special.text);
    });
    if (found == specials.end()) {
      ++at;
      continue;
    }
    if (from < at) append_rest(text.substr(from, at - from));
    output->ids.push_back(found->id);
    at += found->text.size();
    from = at;
  }
  if (from < text.size() && !output->full()) append_rest(text.substr(from));
}

void ClipTokenizer::AppendClean(std::u32string_view text, Output* output) const {
  internal::ClipWords words(text, rules_);
  for (std::u32string_view word = words.Next(); !word.empty() && !output->full(); word = words.Next()) {
    AppendWord(word, output);
  }
}

void ClipTokenizer::AppendWord(std::u32string_view word, Output* output) const {
  if (rules_ == Rules::kBasic) {
    // Upper case names become words by cleaning, and CLIPTokenizer takes those for the tokens.
    if (word == U"<|startoftext|>") return output->ids.push_back(start());
    if (word == U"<|endoftext|>") return output->ids.push_back(end());
  }
  std::vector<TokenId>& symbols = output->symbols;
  symbols.clear();
  unsigned char last = 0;
  for (const char32_t code : word) {
    const text::EncodedChar encoded = text::EncodeChar(code);
    for (const char byte : encoded.view()) {
      last = static_cast<unsigned char>(byte);
      symbols.push_back(vocabulary_.inner_bytes[last]);
    }
  }
  symbols.back() = vocabulary_.last_bytes[last];
  merger_.Apply(&symbols);
  for (const TokenId id : symbols) output->ids.push_back(id < 0 ? vocabulary_.unknown : id);
}

}  // namespace mezzo::generation
