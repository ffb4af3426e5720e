#include "mezzo/api/mlflow/filter.h"

#include <cctype>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "mezzo/base/strings.h"

namespace mezzo::api::mlflow {
namespace {

using lifecycle::RegistryCondition;
using lifecycle::RegistryOrder;
using Comparison = RegistryCondition::Comparison;
using Field = RegistryCondition::Field;

constexpr std::size_t kLongest = 4096;
constexpr std::size_t kMostConditions = 10;
constexpr std::size_t kMostValues = 200;
constexpr std::string_view kPromptTag = "mlflow.prompt.is_prompt";

bool IsWordStart(char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0 || c == '_'; }
bool IsWordPart(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

struct Token {
  enum class Kind : std::uint8_t { kEnd, kWord, kText, kQuotedKey, kNumber, kSign };
  Kind kind = Kind::kEnd;
  std::string text;    ///< Without quotes.
  std::size_t at = 0;  ///< Where it begins.
};

class Parser {
 public:
  Parser(std::string_view text, Searched searched) : text_(text), searched_(searched) {}

  Result<std::vector<RegistryCondition>> Parse() {
    std::vector<RegistryCondition> conditions;
    if (text_.size() > kLongest) {
      return InvalidArgument("mlflow_filter",
                             fmt::format("the filter has {} bytes; the limit is {}", text_.size(), kLongest));
    }
    MEZZO_TRY_VOID(Advance());
    if (token_.kind == Token::Kind::kEnd) return conditions;
    while (true) {
      if (conditions.size() == kMostConditions) {
        return Bad(fmt::format("an end: a filter has at most {} comparisons", kMostConditions));
      }
      MEZZO_TRY(auto condition, ParseCondition());
      conditions.push_back(std::move(condition));
      if (token_.kind == Token::Kind::kEnd) return conditions;
      if (!IsWord("and")) return Bad("AND or an end");
      MEZZO_TRY_VOID(Advance());
    }
  }

 private:
  using Kind = Token::Kind;

  [[nodiscard]] bool IsWord(std::string_view word) const {
    return token_.kind == Kind::kWord && EqualsIgnoreCase(token_.text, word);
  }
  [[nodiscard]] bool IsSign(std::string_view sign) const {
    return token_.kind == Kind::kSign && token_.text == sign;
  }
  [[nodiscard]] Error Bad(const std::string& wanted) const {
    const std::string got = token_.kind == Kind::kEnd ? "the end" : "'" + Printable(token_.text, 64) + "'";
    return InvalidArgument("mlflow_filter", fmt::format("the filter, character {}: expected {}, got {}",
                                                        token_.at + 1, wanted, got));
  }

  /// The next token. A text ends with the quote it begins with; twice the quote is one of the text.
  Result<void> Advance() {
    while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_])) != 0) ++at_;
    token_ = {.kind = Kind::kEnd, .text = "", .at = at_};
    if (at_ == text_.size()) return {};
    const char first = text_[at_];
    if (first == '\'' || first == '"' || first == '`') return Quoted(first);
    if (IsWordStart(first)) {
      while (at_ < text_.size() && IsWordPart(text_[at_])) token_.text += text_[at_++];
      token_.kind = Kind::kWord;
      return {};
    }
    if (std::isdigit(static_cast<unsigned char>(first)) != 0) {
      while (at_ < text_.size() && IsWordPart(text_[at_])) token_.text += text_[at_++];
      token_.kind = Kind::kNumber;
      return {};
    }
    token_.kind = Kind::kSign;
    for (const std::string_view sign : {"!=", "<=", ">=", "<>"}) {
      if (text_.substr(at_, 2) != sign) continue;
      token_.text = sign;
      at_ += 2;
      return {};
    }
    token_.text = first;
    ++at_;
    return {};
  }

  Result<void> Quoted(char quote) {
    ++at_;
    while (true) {
      if (at_ == text_.size()) {
        return InvalidArgument(
            "mlflow_filter",
            fmt::format("the filter, character {}: the quote {} is not closed", token_.at + 1, quote));
      }
      const char c = text_[at_++];
      if (c == quote) {
        if (at_ == text_.size() || text_[at_] != quote) break;
        ++at_;
      }
      token_.text += c;
    }
    token_.kind = quote == '`' ? Kind::kQuotedKey : Kind::kText;
    double_quoted_ = quote == '"';
    return {};
  }

  Result<RegistryCondition> ParseCondition() {
    RegistryCondition condition;
    MEZZO_TRY_VOID(ParseField(condition));
    MEZZO_TRY_VOID(ParseComparison(condition));
    if (condition.field == Field::kTag && condition.key == kPromptTag) {
      // Without the tag, a model is no prompt.
      const bool is_true = condition.values.front() == "true";
      const bool is_false = condition.values.front() == "false";
      if ((condition.comparison == Comparison::kDiffers && is_true) ||
          (condition.comparison == Comparison::kEquals && is_false)) {
        condition.comparison = Comparison::kLacks;
        condition.values = {"true"};
      }
    }
    return condition;
  }

  [[nodiscard]] std::string Known() const {
    switch (searched_) {
      case Searched::kModels:
        return "name or tags.<key>";
      case Searched::kVersions:
        return "name, run_id, source_path, version_number or tags.<key>";
      case Searched::kLoggedModels:
        break;
    }
    return "name or source_run_id";
  }

  Result<void> ParseField(RegistryCondition& condition) {
    if (token_.kind != Kind::kWord) return Bad(Known());
    if (IsWord("attributes") || IsWord("attribute") || IsWord("attr")) {
      MEZZO_TRY_VOID(Advance());
      if (!IsSign(".")) return Bad("'.'");
      MEZZO_TRY_VOID(Advance());
      if (IsWord("tags") || IsWord("tag")) return Bad(Known());
    }
    if ((IsWord("tags") || IsWord("tag")) && searched_ != Searched::kLoggedModels) {
      MEZZO_TRY_VOID(Advance());
      if (!IsSign(".")) return Bad("'.'");
      condition.field = Field::kTag;
      return ParseKey(condition.key);
    }
    const std::pair<std::string_view, Field> of_versions[] = {
        {"run_id", Field::kRunId}, {"source_path", Field::kSource}, {"version_number", Field::kVersion}};
    if (IsWord("name")) {
      condition.field = Field::kName;
      return Advance();
    }
    if (searched_ == Searched::kVersions) {
      for (const auto& [word, field] : of_versions) {
        if (!IsWord(word)) continue;
        condition.field = field;
        return Advance();
      }
    }
    if (searched_ == Searched::kLoggedModels && IsWord("source_run_id")) {
      condition.field = Field::kRunId;
      return Advance();
    }
    return Bad(Known());
  }

  /// Behind "tags.": a quoted key, or words with dots between them.
  Result<void> ParseKey(std::string& key) {
    MEZZO_TRY_VOID(Advance());
    if (token_.kind == Kind::kQuotedKey || (token_.kind == Kind::kText && double_quoted_)) {
      if (token_.text.empty()) return Bad("the key of a tag");
      key = token_.text;
      return Advance();
    }
    while (true) {
      if (token_.kind != Kind::kWord) return Bad("the key of a tag");
      key += token_.text;
      MEZZO_TRY_VOID(Advance());
      if (!IsSign(".")) return {};
      key += '.';
      MEZZO_TRY_VOID(Advance());
    }
  }

  Result<void> ParseComparison(RegistryCondition& condition) {
    const bool number = condition.field == Field::kVersion;
    const bool equals_only = searched_ == Searched::kLoggedModels;
    const std::pair<std::string_view, Comparison> signs[] = {
        {"=", Comparison::kEquals},         {"!=", Comparison::kDiffers},     {"<>", Comparison::kDiffers},
        {"<", Comparison::kLess},           {"<=", Comparison::kLessOrEqual}, {">", Comparison::kGreater},
        {">=", Comparison::kGreaterOrEqual}};
    std::optional<Comparison> found;
    for (const auto& [sign, comparison] : signs) {
      if (IsSign(sign)) found = comparison;
    }
    if (IsWord("like")) found = Comparison::kLike;
    if (IsWord("ilike")) found = Comparison::kILike;
    if (IsWord("in") && condition.field == Field::kRunId) found = Comparison::kIn;
    const bool is_order = found && (*found >= Comparison::kLess);
    const bool is_text =
        found && (*found == Comparison::kLike || *found == Comparison::kILike || *found == Comparison::kIn);
    if (equals_only && found != Comparison::kEquals) return Bad("'='");
    if (!found || (number ? is_text : is_order)) {
      return Bad(number                             ? "=, !=, <, <=, > or >="
                 : condition.field == Field::kRunId ? "=, !=, LIKE, ILIKE or IN"
                                                    : "=, !=, LIKE or ILIKE");
    }
    condition.comparison = *found;
    MEZZO_TRY_VOID(Advance());
    if (*found == Comparison::kIn) return ParseList(condition);
    if (number) return ParseNumber(condition);
    if (token_.kind != Kind::kText) return Bad("a text in quotes");
    condition.values.push_back(token_.text);
    return Advance();
  }

  Result<void> ParseNumber(RegistryCondition& condition) {
    // Clients bring it as a text too.
    const auto number =
        token_.kind == Kind::kNumber || token_.kind == Kind::kText ? ParseUint(token_.text) : std::nullopt;
    if (!number || *number > static_cast<std::uint64_t>(INT64_MAX)) return Bad("a whole number");
    condition.number = static_cast<std::int64_t>(*number);
    return Advance();
  }

  Result<void> ParseList(RegistryCondition& condition) {
    if (!IsSign("(")) return Bad("'('");
    do {
      MEZZO_TRY_VOID(Advance());
      if (token_.kind != Kind::kText) return Bad("a text in quotes");
      if (condition.values.size() == kMostValues) {
        return Bad(fmt::format("')': a list has at most {} texts", kMostValues));
      }
      condition.values.push_back(token_.text);
      MEZZO_TRY_VOID(Advance());
    } while (IsSign(","));
    if (!IsSign(")")) return Bad("',' or ')'");
    return Advance();
  }

  const std::string_view text_;
  const Searched searched_;
  std::size_t at_ = 0;
  Token token_;
  bool double_quoted_ = false;
};

struct OrderKey {
  std::string column;
  bool down = false;
};

Result<OrderKey> ParseOrderKey(std::string_view text) {
  OrderKey key;
  std::vector<std::string_view> words;
  for (const std::string_view word : Split(text, ' ')) {
    if (!Trim(word).empty()) words.push_back(Trim(word));
  }
  const bool has_way =
      words.size() == 2 && (EqualsIgnoreCase(words[1], "asc") || EqualsIgnoreCase(words[1], "desc"));
  if (words.empty() || words.size() > 2 || (words.size() == 2 && !has_way)) {
    return InvalidArgument("mlflow_order",
                           "'" + Printable(text, 64) + "' in order_by is not a column with ASC or DESC");
  }
  key.column = ToLower(words[0]);
  for (const std::string_view quote : {"`", "\""}) {
    if (key.column.size() > 2 && key.column.starts_with(quote) && key.column.ends_with(quote)) {
      key.column = key.column.substr(1, key.column.size() - 2);
    }
  }
  key.down = words.size() == 2 && EqualsIgnoreCase(words[1], "desc");
  return key;
}

}  // namespace

Result<std::vector<RegistryCondition>> ParseFilter(std::string_view text, Searched searched) {
  return Parser(text, searched).Parse();
}

Result<RegistryOrder> ParseOrder(const std::vector<std::string>& by, Searched searched, RegistryOrder usual) {
  if (by.empty()) return usual;
  std::vector<OrderKey> keys;
  for (const std::string& text : by) {
    MEZZO_TRY(OrderKey key, ParseOrderKey(text));
    keys.push_back(std::move(key));
  }
  const OrderKey& first = keys.front();
  const auto pick = [&](RegistryOrder up, RegistryOrder down) { return first.down ? down : up; };
  RegistryOrder order{};
  bool by_name = false;
  if (first.column == "name" || (first.column == "version_number" && searched == Searched::kVersions)) {
    order = pick(RegistryOrder::kName, RegistryOrder::kNameDown);
    by_name = true;
  } else if (first.column == "last_updated_timestamp") {
    order = pick(RegistryOrder::kTime, RegistryOrder::kTimeDown);
  } else if (first.column == "creation_timestamp") {
    order = pick(RegistryOrder::kCreated, RegistryOrder::kCreatedDown);
  } else {
    return InvalidArgument(
        "mlflow_order",
        "order_by knows name, " + std::string(searched == Searched::kVersions ? "version_number, " : "") +
            "creation_timestamp and last_updated_timestamp, not '" + Printable(first.column, 64) + "'");
  }
  // Names of models are unique, and so are times as good as always: only by name of versions there is a tie.
  if (by_name && searched == Searched::kVersions && keys.size() > 1) {
    for (std::size_t i = 1; i < keys.size(); ++i) {
      const bool is_version = keys[i].column == "version_number" || keys[i].column == "creation_timestamp";
      if (is_version && keys[i].down != first.down) {
        return InvalidArgument("mlflow_order", "order_by can't go one way by " + first.column +
                                                   " and the other by " + keys[i].column);
      }
      if (is_version) break;
    }
  }
  return order;
}

}  // namespace mezzo::api::mlflow
