#include "mezzo/api/mlflow/filter.h"

#include <cctype>
#include <charconv>
#include <cmath>
#include <initializer_list>
#include <optional>
#include <span>
#include <utility>

#include <fmt/format.h>

#include "mezzo/base/check.h"
#include "mezzo/base/strings.h"

namespace mezzo::api::mlflow {
namespace {

using lifecycle::RegistryCondition;
using lifecycle::RegistryOrder;
using lifecycle::SearchComparison;
using lifecycle::TrackingCondition;
using lifecycle::TrackingField;
using lifecycle::TrackingOrder;
using Field = RegistryCondition::Field;

constexpr std::size_t kLongest = 4096;
constexpr std::size_t kMostConditions = 10;
constexpr std::size_t kMostValues = 200;
constexpr std::size_t kMostOrders = 8;
constexpr std::string_view kPromptTag = "mlflow.prompt.is_prompt";

bool IsDigit(char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; }
bool IsWordStart(char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0 || c == '_'; }
bool IsWordPart(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

struct Token {
  enum class Kind : std::uint8_t { kEnd, kWord, kText, kQuotedKey, kNumber, kSign };
  Kind kind = Kind::kEnd;
  std::string text;    ///< Without quotes.
  std::size_t at = 0;  ///< Where it begins.
};

/// What can be compared with what.
enum class Compares : std::uint8_t {
  kText,         ///< =, !=, LIKE, ILIKE
  kOptional,     ///< The same, IS NULL, IS NOT NULL
  kListed,       ///< =, !=, LIKE, ILIKE, IN
  kListedOrNot,  ///< The same, NOT IN
  kId,           ///< =, !=, IN, NOT IN: digits
  kEqual,        ///< =
  kWhole,        ///< =, !=, <, <=, >, >=: a number of at least 0, or its digits as a text
  kTime,         ///< The same signs: a whole number
  kReal,         ///< The same signs: a number
};

/// `field` is one of RegistryCondition or a TrackingField, by what is searched.
struct Column {
  std::string_view word;
  int field = 0;
  Compares compares = Compares::kText;
};
template <typename Any>
constexpr int At(Any field) {
  return static_cast<int>(field);
}

constexpr Column kOfModels[] = {{"name", At(Field::kName), Compares::kText}};
constexpr Column kOfVersions[] = {{"name", At(Field::kName), Compares::kText},
                                  {"run_id", At(Field::kRunId), Compares::kListed},
                                  {"source_path", At(Field::kSource), Compares::kText},
                                  {"version_number", At(Field::kVersion), Compares::kWhole}};
constexpr Column kOfLoggedModels[] = {{"name", At(Field::kName), Compares::kEqual},
                                      {"source_run_id", At(Field::kRunId), Compares::kEqual}};
constexpr Column kOfRuns[] = {{"run_id", At(TrackingField::kRunId), Compares::kListedOrNot},
                              {"run_name", At(TrackingField::kName), Compares::kListedOrNot},
                              {"run name", At(TrackingField::kName), Compares::kListedOrNot},
                              {"status", At(TrackingField::kStatus), Compares::kListedOrNot},
                              {"user_id", At(TrackingField::kUser), Compares::kListedOrNot},
                              {"start_time", At(TrackingField::kStarted), Compares::kTime},
                              {"created", At(TrackingField::kStarted), Compares::kTime},
                              {"end_time", At(TrackingField::kEnded), Compares::kTime}};
constexpr Column kOfExperiments[] = {{"name", At(TrackingField::kName), Compares::kText},
                                     {"experiment_id", At(TrackingField::kExperimentId), Compares::kId},
                                     {"creation_time", At(TrackingField::kCreated), Compares::kTime},
                                     {"last_update_time", At(TrackingField::kUpdated), Compares::kTime}};

std::span<const Column> ColumnsOf(Searched searched) {
  switch (searched) {
    case Searched::kModels:
      return kOfModels;
    case Searched::kVersions:
      return kOfVersions;
    case Searched::kLoggedModels:
      return kOfLoggedModels;
    case Searched::kRuns:
      return kOfRuns;
    case Searched::kExperiments:
      break;
  }
  return kOfExperiments;
}

std::string_view Known(Searched searched) {
  switch (searched) {
    case Searched::kModels:
      return "name or tags.<key>";
    case Searched::kVersions:
      return "name, run_id, source_path, version_number or tags.<key>";
    case Searched::kLoggedModels:
      return "name or source_run_id";
    case Searched::kRuns:
      return "metrics.<key>, params.<key>, tags.<key>, run_id, run_name, status, user_id, start_time or "
             "end_time";
    case Searched::kExperiments:
      break;
  }
  return "name, experiment_id, creation_time, last_update_time or tags.<key>";
}

std::string_view SignsOf(Compares compares) {
  switch (compares) {
    case Compares::kText:
      return "=, !=, LIKE or ILIKE";
    case Compares::kOptional:
      return "=, !=, LIKE, ILIKE, IS NULL or IS NOT NULL";
    case Compares::kListed:
      return "=, !=, LIKE, ILIKE or IN";
    case Compares::kListedOrNot:
      return "=, !=, LIKE, ILIKE, IN or NOT IN";
    case Compares::kId:
      return "=, !=, IN or NOT IN";
    case Compares::kEqual:
      return "'='";
    case Compares::kWhole:
    case Compares::kTime:
    case Compares::kReal:
      break;
  }
  return "=, !=, <, <=, > or >=";
}

bool Takes(Compares compares, SearchComparison comparison) {
  using C = SearchComparison;
  const bool number =
      compares == Compares::kWhole || compares == Compares::kTime || compares == Compares::kReal;
  switch (comparison) {
    case C::kEquals:
      return true;
    case C::kDiffers:
      return compares != Compares::kEqual;
    case C::kLike:
    case C::kILike:
      return !number && compares != Compares::kEqual && compares != Compares::kId;
    case C::kLess:
    case C::kLessOrEqual:
    case C::kGreater:
    case C::kGreaterOrEqual:
      return number;
    case C::kIn:
      return compares == Compares::kListed || compares == Compares::kListedOrNot || compares == Compares::kId;
    case C::kNotIn:
      return compares == Compares::kListedOrNot || compares == Compares::kId;
    case C::kAbsent:
    case C::kPresent:
      return compares == Compares::kOptional;
    case C::kLacks:
      break;
  }
  return false;
}

/// One comparison, whatever is searched.
struct Piece {
  Column column;
  std::string key;
  SearchComparison comparison = SearchComparison::kEquals;
  std::vector<std::string> values;
  std::int64_t number = 0;
  double real = 0;
};

class Parser {
 public:
  Parser(std::string_view text, Searched searched, bool order = false)
      : text_(text), searched_(searched), order_(order) {}

  Result<std::vector<Piece>> Parse() {
    std::vector<Piece> pieces;
    MEZZO_TRY_VOID(Begin());
    if (token_.kind == Token::Kind::kEnd) return pieces;
    while (true) {
      if (pieces.size() == kMostConditions) {
        return Bad(fmt::format("an end: a filter has at most {} comparisons", kMostConditions));
      }
      Piece piece;
      MEZZO_TRY_VOID(ParseColumn(piece));
      MEZZO_TRY_VOID(ParseComparison(piece));
      pieces.push_back(std::move(piece));
      if (token_.kind == Token::Kind::kEnd) return pieces;
      if (!IsWord("and")) return Bad("AND or an end");
      MEZZO_TRY_VOID(Advance());
    }
  }

  /// A column with ASC, DESC or neither.
  Result<TrackingOrder> ParseOrder() {
    MEZZO_TRY_VOID(Begin());
    Piece piece;
    MEZZO_TRY_VOID(ParseColumn(piece));
    TrackingOrder order{.field = static_cast<TrackingField>(piece.column.field), .key = piece.key};
    order.down = IsWord("desc");
    if (order.down || IsWord("asc")) MEZZO_TRY_VOID(Advance());
    if (token_.kind != Token::Kind::kEnd) return Bad("ASC, DESC or an end");
    return order;
  }

 private:
  using Kind = Token::Kind;

  [[nodiscard]] bool IsWord(std::string_view word) const {
    return token_.kind == Kind::kWord && EqualsIgnoreCase(token_.text, word);
  }
  [[nodiscard]] bool IsSign(std::string_view sign) const {
    return token_.kind == Kind::kSign && token_.text == sign;
  }
  [[nodiscard]] Error Fail(std::string message) const {
    if (order_) return InvalidArgument("mlflow_order", "order_by" + std::move(message));
    return InvalidArgument("mlflow_filter", "the filter" + std::move(message));
  }
  [[nodiscard]] Error Bad(std::string_view wanted) const {
    const std::string got = token_.kind == Kind::kEnd ? "the end" : "'" + Printable(token_.text, 64) + "'";
    return Fail(fmt::format(", character {}: expected {}, got {}", token_.at + 1, wanted, got));
  }

  Result<void> Begin() {
    if (text_.size() > kLongest) {
      return Fail(fmt::format(" has {} bytes; the limit is {}", text_.size(), kLongest));
    }
    return Advance();
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
    if (IsDigit(first)) {
      Number();
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

  /// Digits, then whatever could belong to a number: what it is, its reader says.
  void Number() {
    token_.kind = Kind::kNumber;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      const char last = token_.text.empty() ? '\0' : token_.text.back();
      const bool exponent = (c == '+' || c == '-') && (last == 'e' || last == 'E');
      if (!IsWordPart(c) && c != '.' && !exponent) break;
      token_.text += c;
      ++at_;
    }
  }

  Result<void> Quoted(char quote) {
    ++at_;
    while (true) {
      if (at_ == text_.size()) {
        return Fail(fmt::format(", character {}: the quote {} is not closed", token_.at + 1, quote));
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
  [[nodiscard]] bool IsQuotedKey() const {
    return token_.kind == Kind::kQuotedKey || (token_.kind == Kind::kText && double_quoted_);
  }

  [[nodiscard]] bool IsOneOf(std::initializer_list<std::string_view> words) const {
    for (const std::string_view word : words) {
      if (IsWord(word)) return true;
    }
    return false;
  }

  Result<void> ParseColumn(Piece& piece) {
    const bool runs = searched_ == Searched::kRuns;
    const bool prefixed = IsOneOf({"attributes", "attribute", "attr"}) || (runs && IsWord("run"));
    if (prefixed) {
      MEZZO_TRY_VOID(Advance());
      if (!IsSign(".")) return Bad("'.'");
      MEZZO_TRY_VOID(Advance());
    }
    if (!prefixed && searched_ != Searched::kLoggedModels && IsOneOf({"tags", "tag"})) {
      const bool tracked = runs || searched_ == Searched::kExperiments;
      piece.column = {.word = "tags",
                      .field = tracked ? At(TrackingField::kTag) : At(Field::kTag),
                      .compares = tracked ? Compares::kOptional : Compares::kText};
      // Of experiments only what is one column is ordered by.
      if (!order_ || runs) return ParseKey(piece.key, "the key of a tag");
    }
    if (!prefixed && runs && IsOneOf({"metrics", "metric"})) {
      piece.column = {"metrics", At(TrackingField::kMetric), Compares::kReal};
      return ParseKey(piece.key, "the key of a metric");
    }
    if (!prefixed && runs && IsOneOf({"params", "param", "parameters", "parameter"})) {
      piece.column = {"params", At(TrackingField::kParam), Compares::kOptional};
      return ParseKey(piece.key, "the key of a parameter");
    }
    const bool named = token_.kind == Kind::kWord || (runs && IsQuotedKey());
    for (const Column& column : ColumnsOf(searched_)) {
      if (!named || !EqualsIgnoreCase(token_.text, column.word)) continue;
      piece.column = column;
      return Advance();
    }
    return Bad(order_ && !runs ? "name, experiment_id, creation_time or last_update_time" : Known(searched_));
  }

  /// A dot, then a quoted key, or words with dots between them.
  Result<void> ParseKey(std::string& key, std::string_view wanted) {
    MEZZO_TRY_VOID(Advance());
    if (!IsSign(".")) return Bad("'.'");
    MEZZO_TRY_VOID(Advance());
    if (IsQuotedKey()) {
      if (token_.text.empty()) return Bad(wanted);
      key = token_.text;
      return Advance();
    }
    while (true) {
      if (token_.kind != Kind::kWord) return Bad(wanted);
      key += token_.text;
      MEZZO_TRY_VOID(Advance());
      if (!IsSign(".")) return {};
      key += '.';
      MEZZO_TRY_VOID(Advance());
    }
  }

  /// Behind its sign, which may be two or three words.
  Result<void> ParseComparison(Piece& piece) {
    const std::pair<std::string_view, SearchComparison> signs[] = {
        {"=", SearchComparison::kEquals},         {"!=", SearchComparison::kDiffers},
        {"<>", SearchComparison::kDiffers},       {"<", SearchComparison::kLess},
        {"<=", SearchComparison::kLessOrEqual},   {">", SearchComparison::kGreater},
        {">=", SearchComparison::kGreaterOrEqual}};
    const Compares compares = piece.column.compares;
    std::optional<SearchComparison> found;
    for (const auto& [sign, comparison] : signs) {
      if (IsSign(sign)) found = comparison;
    }
    if (IsWord("like")) found = SearchComparison::kLike;
    if (IsWord("ilike")) found = SearchComparison::kILike;
    if (IsWord("in")) found = SearchComparison::kIn;
    if (IsWord("not") && Takes(compares, SearchComparison::kNotIn)) {
      MEZZO_TRY_VOID(Advance());
      if (!IsWord("in")) return Bad("IN");
      found = SearchComparison::kNotIn;
    } else if (IsWord("is") && Takes(compares, SearchComparison::kAbsent)) {
      MEZZO_TRY_VOID(Advance());
      found = IsWord("not") ? SearchComparison::kPresent : SearchComparison::kAbsent;
      if (IsWord("not")) MEZZO_TRY_VOID(Advance());
      if (!IsWord("null")) return Bad("NULL");
      piece.comparison = *found;
      return Advance();
    }
    if (!found || !Takes(compares, *found)) return Bad(SignsOf(compares));
    piece.comparison = *found;
    MEZZO_TRY_VOID(Advance());
    if (*found == SearchComparison::kIn || *found == SearchComparison::kNotIn) return ParseList(piece);
    switch (compares) {
      case Compares::kWhole:
        return ParseWhole(piece.number);
      case Compares::kTime:
        return ParseTime(piece.number);
      case Compares::kReal:
        return ParseReal(piece.real);
      default:
        return ParseText(piece);
    }
  }

  Result<void> ParseText(Piece& piece) {
    if (token_.kind != Kind::kText) return Bad("a text in quotes");
    std::string text = token_.text;
    if (piece.column.compares == Compares::kId) {
      // Without zeros before it, as it is compared.
      const auto id = ParseUint(text);
      if (!id) return Bad("the number of an experiment in quotes");
      text = std::to_string(*id);
    }
    piece.values.push_back(std::move(text));
    return Advance();
  }

  Result<void> ParseWhole(std::int64_t& to) {
    // Clients bring it as a text too.
    const auto number =
        token_.kind == Kind::kNumber || token_.kind == Kind::kText ? ParseUint(token_.text) : std::nullopt;
    if (!number || *number > static_cast<std::uint64_t>(INT64_MAX)) return Bad("a whole number");
    to = static_cast<std::int64_t>(*number);
    return Advance();
  }

  /// "-" or "+", or nothing.
  Result<bool> ParseMinus() {
    const bool minus = IsSign("-");
    if (minus || IsSign("+")) MEZZO_TRY_VOID(Advance());
    return minus;
  }

  Result<void> ParseTime(std::int64_t& to) {
    MEZZO_TRY(const bool minus, ParseMinus());
    const auto number = token_.kind == Kind::kNumber ? ParseUint(token_.text) : std::nullopt;
    if (!number || *number > static_cast<std::uint64_t>(INT64_MAX)) return Bad("a whole number");
    to = minus ? -static_cast<std::int64_t>(*number) : static_cast<std::int64_t>(*number);
    return Advance();
  }

  Result<void> ParseReal(double& to) {
    MEZZO_TRY(const bool minus, ParseMinus());
    if (IsSign(".") && at_ < text_.size() && IsDigit(text_[at_])) {
      token_.text = "0.";
      Number();
    }
    if (token_.kind != Kind::kNumber) return Bad("a number");
    const char* const end = token_.text.data() + token_.text.size();
    const auto read = std::from_chars(token_.text.data(), end, to);
    if (read.ec != std::errc() || read.ptr != end || !std::isfinite(to)) return Bad("a number");
    if (minus) to = -to;
    return Advance();
  }

  Result<void> ParseList(Piece& piece) {
    if (!IsSign("(")) return Bad("'('");
    do {
      MEZZO_TRY_VOID(Advance());
      if (piece.values.size() == kMostValues && token_.kind == Kind::kText) {
        return Bad(fmt::format("')': a list has at most {} texts", kMostValues));
      }
      MEZZO_TRY_VOID(ParseText(piece));
    } while (IsSign(","));
    if (!IsSign(")")) return Bad("',' or ')'");
    return Advance();
  }

  const std::string_view text_;
  const Searched searched_;
  const bool order_;
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
  MEZZO_CHECK(searched != Searched::kRuns && searched != Searched::kExperiments);
  MEZZO_TRY(auto pieces, Parser(text, searched).Parse());
  std::vector<RegistryCondition> conditions;
  for (Piece& piece : pieces) {
    RegistryCondition condition{.field = static_cast<Field>(piece.column.field),
                                .key = std::move(piece.key),
                                .comparison = piece.comparison,
                                .values = std::move(piece.values),
                                .number = piece.number};
    if (condition.field == Field::kTag && condition.key == kPromptTag) {
      // Without the tag, a model is no prompt.
      const bool is_true = condition.values.front() == "true";
      const bool is_false = condition.values.front() == "false";
      if ((condition.comparison == SearchComparison::kDiffers && is_true) ||
          (condition.comparison == SearchComparison::kEquals && is_false)) {
        condition.comparison = SearchComparison::kLacks;
        condition.values = {"true"};
      }
    }
    conditions.push_back(std::move(condition));
  }
  return conditions;
}

Result<std::vector<TrackingCondition>> ParseTrackingFilter(std::string_view text, Searched searched) {
  MEZZO_CHECK(searched == Searched::kRuns || searched == Searched::kExperiments);
  MEZZO_TRY(auto pieces, Parser(text, searched).Parse());
  std::vector<TrackingCondition> conditions;
  for (Piece& piece : pieces) {
    conditions.push_back({.field = static_cast<TrackingField>(piece.column.field),
                          .key = std::move(piece.key),
                          .comparison = piece.comparison,
                          .values = std::move(piece.values),
                          .real = piece.real,
                          .number = piece.number});
  }
  return conditions;
}

Result<std::vector<TrackingOrder>> ParseTrackingOrder(const std::vector<std::string>& by, Searched searched) {
  MEZZO_CHECK(searched == Searched::kRuns || searched == Searched::kExperiments);
  if (by.size() > kMostOrders) {
    return InvalidArgument("mlflow_order",
                           fmt::format("order_by has {} columns; the limit is {}", by.size(), kMostOrders));
  }
  std::vector<TrackingOrder> orders;
  for (const std::string& text : by) {
    MEZZO_TRY(TrackingOrder order, Parser(text, searched, /*order=*/true).ParseOrder());
    for (const TrackingOrder& other : orders) {
      if (other.field != order.field || other.key != order.key) continue;
      return InvalidArgument("mlflow_order", "order_by has '" + Printable(text, 64) + "' twice");
    }
    orders.push_back(std::move(order));
  }
  return orders;
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
