#include "mezzo/generation/internal/clip_vocabulary.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mezzo/base/strings.h"
#include "mezzo/base/utf8.h"
#include "mezzo/text/unicode.h"

namespace mezzo::generation::internal {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kVocab = "vocab.json";
constexpr std::string_view kMerges = "merges.txt";
constexpr std::string_view kConfig = "tokenizer_config.json";
constexpr std::string_view kSpecialMap = "special_tokens_map.json";
constexpr std::string_view kEndOfWord = "</w>";

Error Invalid(std::string_view file, std::string_view what) {
  return InvalidArgument("tokenizer_invalid", fmt::format("{}: {}", file, what));
}
Error Unsupported(std::string_view file, std::string_view what) {
  return FailedPrecondition("tokenizer_unsupported", fmt::format("{}: {}", file, what));
}
Error Incomplete(std::string_view file, std::string_view what) {
  return InvalidArgument("vocabulary_incomplete", fmt::format("{}: {}", file, what));
}

Result<void> CheckSize(std::string_view file, std::string_view text) {
  if (text.size() <= kMaxTokenizerFileBytes) return {};
  return InvalidArgument("vocabulary_too_large", fmt::format("{} has {} bytes; the limit is {}", file,
                                                             text.size(), kMaxTokenizerFileBytes));
}

Result<Json> ParseObject(std::string_view file, std::string_view text) {
  MEZZO_TRY_VOID(CheckSize(file, text));
  Json object = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) return Invalid(file, "it is not a JSON object");
  return object;
}

using Ids = std::unordered_map<std::string, TokenId>;

TokenId IdOf(const Ids& ids, const std::string& token) {
  const auto found = ids.find(token);
  return found == ids.end() ? -1 : found->second;
}

Result<TokenId> ReadId(std::string_view file, std::string_view token, const Json& id) {
  if (id.is_number_unsigned() && id.get<std::uint64_t>() < kMaxClipTokens) return id.get<TokenId>();
  return Invalid(file, fmt::format("the id of '{}' is {}, must be an integer from 0 to {}", Printable(token),
                                   Printable(id.dump(), 32), kMaxClipTokens - 1));
}

Result<Ids> ReadVocab(std::string_view text) {
  MEZZO_TRY(const Json object, ParseObject(kVocab, text));
  Ids ids;
  ids.reserve(object.size());
  for (const auto& [token, id] : object.items()) {
    MEZZO_TRY(ids[token], ReadId(kVocab, token, id));
  }
  return ids;
}

/// Byte-level encodings write each byte as a printable character: itself where it is one in Latin-1,
/// otherwise the next of U+0100 and on (Radford et al. 2019).
void FindBytes(const Ids& ids, ClipVocabulary* vocabulary) {
  char32_t next = 0x100;
  for (std::size_t byte = 0; byte < vocabulary->inner_bytes.size(); ++byte) {
    const bool printable = (byte > ' ' && byte < 0x7F) || (byte >= 0xA1 && byte != 0xAD);
    const char32_t code = printable ? static_cast<char32_t>(byte) : next++;
    const text::EncodedChar encoded = text::EncodeChar(code);
    const std::string symbol(encoded.view());
    vocabulary->inner_bytes[byte] = IdOf(ids, symbol);
    vocabulary->last_bytes[byte] = IdOf(ids, symbol + std::string(kEndOfWord));
  }
}

/// A line "left right" of the list of merges.
Result<Merge> ReadMerge(const Ids& ids, std::string_view line, std::size_t number) {
  const std::vector<std::string_view> parts = Split(line, ' ');
  if (parts.size() != 2 || parts[0].empty() || parts[1].empty()) {
    return Invalid(kMerges, fmt::format("line {} is '{}', must be two symbols", number, Printable(line)));
  }
  const std::string left(parts[0]);
  const std::string right(parts[1]);
  const Merge merge{.left = IdOf(ids, left), .right = IdOf(ids, right), .result = IdOf(ids, left + right)};
  if (merge.left < 0 || merge.right < 0 || merge.result < 0) {
    return Incomplete(kVocab, fmt::format("there is no '{}', which line {} of {} needs",
                                          Printable(merge.left < 0    ? left
                                                    : merge.right < 0 ? right
                                                                      : left + right),
                                          number, kMerges));
  }
  return merge;
}

/// The first line is a header. Like CLIPTokenizer, reads no more merges than CLIP's own vocabulary has room
/// for.
Result<std::vector<Merge>> ReadMerges(const Ids& ids, std::string_view text) {
  constexpr std::size_t kMaxMerges = 49152 - 256 - 2;
  constexpr std::string_view kHeader = "#version";
  MEZZO_TRY_VOID(CheckSize(kMerges, text));
  if (!text.starts_with(kHeader))
    return Invalid(kMerges, fmt::format("line 1 does not start with {}", kHeader));
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.remove_suffix(1);
  std::vector<Merge> merges;
  std::size_t number = 1;
  for (std::size_t end = text.find('\n'); end != std::string_view::npos && merges.size() < kMaxMerges;) {
    text.remove_prefix(end + 1);
    end = text.find('\n');
    std::string_view line = text.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    ++number;
    MEZZO_TRY(merges.emplace_back(), ReadMerge(ids, line, number));
  }
  return merges;
}

/// Reads which strings are special tokens.
class SpecialReader {
 public:
  SpecialReader(const Ids& ids, ClipVocabulary* vocabulary) : ids_(ids), vocabulary_(*vocabulary) {}

  Result<void> Read(const Json& config, const Json& map) {
    const auto added = config.find("added_tokens_decoder");
    // The older file counts where the newer key is missing.
    const bool older = added == config.end();
    if (!older) MEZZO_TRY_VOID(ReadAdded(*added));
    const auto read = [&](const std::string& key, std::string_view fallback, bool normalized) {
      if (older && map.contains(key)) return ReadToken(kSpecialMap, key, map[key], normalized);
      if (config.contains(key)) return ReadToken(kConfig, key, config[key], normalized);
      return Add(kConfig, key, {.text = std::string(fallback), .normalized = normalized});
    };
    constexpr std::string_view kStart = "<|startoftext|>";
    constexpr std::string_view kEnd = "<|endoftext|>";
    MEZZO_TRY(vocabulary_.start, read("bos_token", kStart, true));
    MEZZO_TRY(vocabulary_.end, read("eos_token", kEnd, true));
    MEZZO_TRY(vocabulary_.unknown, read("unk_token", kEnd, true));
    MEZZO_TRY(vocabulary_.padding, read("pad_token", kEnd, false));

    const std::string more = "additional_special_tokens";
    if (older && map.contains(more)) return ReadMore(kSpecialMap, more, map[more]);
    if (config.contains(more)) return ReadMore(kConfig, more, config[more]);
    return {};
  }

 private:
  /// {"49407": {"content": "<|endoftext|>", ...}, ...}
  Result<void> ReadAdded(const Json& added) {
    if (!added.is_object()) return Invalid(kConfig, "'added_tokens_decoder' must be an object");
    for (const auto& [key, token] : added.items()) {
      const std::optional<std::uint64_t> id = ParseUint(key);
      if (!id.has_value() || *id >= kMaxClipTokens) {
        return Invalid(kConfig, fmt::format("'added_tokens_decoder' has the id '{}'", Printable(key)));
      }
      MEZZO_TRY(SpecialToken special, Describe(kConfig, "added_tokens_decoder", token, false));
      special.id = static_cast<TokenId>(*id);
      MEZZO_TRY_VOID(Insert(kConfig, std::move(special)));
    }
    return {};
  }

  Result<void> ReadMore(std::string_view file, const std::string& key, const Json& tokens) {
    if (!tokens.is_array()) return Invalid(file, fmt::format("'{}' must be an array", key));
    for (const Json& token : tokens) MEZZO_TRY_VOID(ReadToken(file, key, token, false));
    return {};
  }

  Result<TokenId> ReadToken(std::string_view file, const std::string& key, const Json& token,
                            bool normalized) {
    MEZZO_TRY(SpecialToken special, Describe(file, key, token, normalized));
    return Add(file, key, std::move(special));
  }

  /// A string, or an object with "content".
  static Result<SpecialToken> Describe(std::string_view file, std::string_view key, const Json& token,
                                       bool normalized) {
    SpecialToken special{.normalized = normalized};
    const Json* content = &token;
    if (token.is_object()) {
      if (token.value("single_word", Json(false)) != false) {
        return Unsupported(file, fmt::format("'{}' has single_word", key));
      }
      special.normalized = token.value("normalized", Json(normalized)) == true;
      const auto found = token.find("content");
      content = found == token.end() ? nullptr : &*found;
    }
    if (content == nullptr || !content->is_string() || content->get_ref<const std::string&>().empty()) {
      return Invalid(file, fmt::format("'{}' is {}, must be a string or have a content", key,
                                       Printable(token.dump(), 64)));
    }
    special.text = content->get<std::string>();
    return special;
  }

  /// A token that is known by its string.
  Result<TokenId> Add(std::string_view file, std::string_view key, SpecialToken special) {
    for (const SpecialToken& known : vocabulary_.specials) {
      if (known.text == special.text) return known.id;
    }
    special.id = IdOf(ids_, special.text);
    if (special.id < 0) {
      return Incomplete(kVocab, fmt::format("there is no '{}', which '{}' of {} names",
                                            Printable(special.text), key, file));
    }
    const TokenId id = special.id;
    MEZZO_TRY_VOID(Insert(file, std::move(special)));
    return id;
  }

  Result<void> Insert(std::string_view file, SpecialToken special) {
    if (vocabulary_.specials.size() == kMaxSpecialTokens) {
      return Invalid(file, fmt::format("there are more than {} special tokens", kMaxSpecialTokens));
    }
    vocabulary_.specials.push_back(std::move(special));
    return {};
  }

  const Ids& ids_;
  ClipVocabulary& vocabulary_;
};

Result<void> CheckClass(const Json& config) {
  const auto found = config.find("tokenizer_class");
  if (found == config.end() || *found == "CLIPTokenizer" || *found == "CLIPTokenizerFast") return {};
  return Unsupported(kConfig,
                     fmt::format("'tokenizer_class' is {}, not CLIPTokenizer", Printable(found->dump(), 64)));
}

Result<std::size_t> ReadLength(const Json& config) {
  constexpr std::uint64_t kMinLength = 3;
  const auto found = config.find("model_max_length");
  if (found == config.end()) return kDefaultClipLength;
  if (!found->is_number() || found->get<double>() < static_cast<double>(kMinLength)) {
    return Invalid(kConfig, fmt::format("'model_max_length' is {}, must be a number of at least {}",
                                        Printable(found->dump(), 32), kMinLength));
  }
  if (!found->is_number_unsigned() || found->get<std::uint64_t>() > kMaxClipLength) return kDefaultClipLength;
  return found->get<std::size_t>();
}

}  // namespace

Result<ClipVocabulary> ParseClipVocabulary(const ClipTokenizerFiles& files) {
  ClipVocabulary vocabulary;
  MEZZO_TRY(const Ids ids, ReadVocab(files.vocab_json));
  MEZZO_TRY(const Json config, ParseObject(kConfig, files.tokenizer_config_json));
  Json map = Json::object();
  if (!files.special_tokens_map_json.empty()) {
    MEZZO_TRY(map, ParseObject(kSpecialMap, files.special_tokens_map_json));
  }
  MEZZO_TRY_VOID(CheckClass(config));
  MEZZO_TRY(vocabulary.max_length, ReadLength(config));
  MEZZO_TRY(vocabulary.merges, ReadMerges(ids, files.merges_txt));
  MEZZO_TRY_VOID(SpecialReader(ids, &vocabulary).Read(config, map));
  FindBytes(ids, &vocabulary);
  TokenId last = 0;
  for (const auto& [token, id] : ids) last = std::max(last, id);
  for (const SpecialToken& special : vocabulary.specials) last = std::max(last, special.id);
  vocabulary.size = static_cast<std::size_t>(last) + 1;
  return vocabulary;
}

}  // namespace mezzo::generation::internal
