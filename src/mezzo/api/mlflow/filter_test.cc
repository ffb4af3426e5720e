#include "mezzo/api/mlflow/filter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mezzo::api::mlflow {
namespace {

using lifecycle::RegistryCondition;
using lifecycle::RegistryOrder;
using Comparison = RegistryCondition::Comparison;
using Field = RegistryCondition::Field;

std::vector<RegistryCondition> Parsed(std::string_view text, Searched searched = Searched::kVersions) {
  const auto conditions = ParseFilter(text, searched);
  EXPECT_TRUE(conditions.ok()) << text << ": " << (conditions.ok() ? "" : conditions.error().message());
  return conditions.ok() ? *conditions : std::vector<RegistryCondition>();
}

std::string Refused(std::string_view text, Searched searched = Searched::kVersions) {
  const auto conditions = ParseFilter(text, searched);
  EXPECT_FALSE(conditions.ok()) << text;
  if (conditions.ok()) return "";
  EXPECT_EQ(conditions.error().reason(), "mlflow_filter") << text;
  return conditions.error().message();
}

TEST(MlflowFilter, NothingIsNoCondition) {
  EXPECT_TRUE(Parsed("").empty());
  EXPECT_TRUE(Parsed("  \t\n ").empty());
}

TEST(MlflowFilter, ReadsEachComparisonOfAText) {
  const std::pair<std::string_view, Comparison> signs[] = {{"=", Comparison::kEquals},
                                                           {"!=", Comparison::kDiffers},
                                                           {"<>", Comparison::kDiffers},
                                                           {"LIKE", Comparison::kLike},
                                                           {"ilike", Comparison::kILike}};
  for (const auto& [sign, comparison] : signs) {
    const auto conditions = Parsed("name " + std::string(sign) + " 'a%'");
    ASSERT_EQ(conditions.size(), 1U);
    EXPECT_EQ(conditions[0],
              (RegistryCondition{.field = Field::kName, .comparison = comparison, .values = {"a%"}}));
  }
}

TEST(MlflowFilter, SpacesAndCaseOfWordsDoNotMatter) {
  EXPECT_EQ(Parsed("name='a'AND run_id='b'"), Parsed("  NAME  =  'a'  and Run_ID = 'b' "));
  EXPECT_EQ(Parsed("attributes.name = 'a'"), Parsed("name = 'a'"));
}

TEST(MlflowFilter, ReadsKeysOfTagsInEachForm) {
  for (const std::string_view text :
       {"tags.a_1 = 'v'", "tag.a_1 = 'v'", "tags.`a_1` = 'v'", R"(tags."a_1" = "v")"}) {
    const auto conditions = Parsed(text);
    ASSERT_EQ(conditions.size(), 1U) << text;
    EXPECT_EQ(conditions[0], (RegistryCondition{.field = Field::kTag, .key = "a_1", .values = {"v"}}))
        << text;
  }
  EXPECT_EQ(Parsed("tags.a.b.c = 'v'")[0].key, "a.b.c");
  EXPECT_EQ(Parsed("tags.`any key's = \"1\"` = 'v'")[0].key, "any key's = \"1\"");
}

TEST(MlflowFilter, TwiceTheQuoteIsTheQuote) {
  EXPECT_EQ(Parsed("name = 'it''s'")[0].values.front(), "it's");
  EXPECT_EQ(Parsed(R"(name = "a""b")")[0].values.front(), R"(a"b)");
  EXPECT_EQ(Parsed("name = ''")[0].values.front(), "");
  EXPECT_EQ(Parsed("name = 'a AND b = ''c'''")[0].values.front(), "a AND b = 'c'");
}

TEST(MlflowFilter, ReadsNumbersAndLists) {
  const auto number = Parsed("version_number >= 12");
  ASSERT_EQ(number.size(), 1U);
  EXPECT_EQ(number[0].field, Field::kVersion);
  EXPECT_EQ(number[0].comparison, Comparison::kGreaterOrEqual);
  EXPECT_EQ(number[0].number, 12);
  EXPECT_EQ(Parsed("version_number = '7'")[0].number, 7);

  const auto list = Parsed("run_id IN ('a', 'b','c')");
  ASSERT_EQ(list.size(), 1U);
  EXPECT_EQ(list[0].comparison, Comparison::kIn);
  EXPECT_THAT(list[0].values, testing::ElementsAre("a", "b", "c"));
}

TEST(MlflowFilter, AModelWithoutTheTagIsNoPrompt) {
  const RegistryCondition lacks{.field = Field::kTag,
                                .key = "mlflow.prompt.is_prompt",
                                .comparison = Comparison::kLacks,
                                .values = {"true"}};
  EXPECT_THAT(Parsed("tags.`mlflow.prompt.is_prompt` != 'true'"), testing::ElementsAre(lacks));
  EXPECT_THAT(Parsed("tags.`mlflow.prompt.is_prompt` = 'false'"), testing::ElementsAre(lacks));
  EXPECT_EQ(Parsed("tags.`mlflow.prompt.is_prompt` = 'true'")[0].comparison, Comparison::kEquals);
}

TEST(MlflowFilter, ErrorsNamePlaceAndToken) {
  EXPECT_EQ(Refused("name"), "the filter, character 5: expected =, !=, LIKE or ILIKE, got the end");
  EXPECT_EQ(Refused("name = x"), "the filter, character 8: expected a text in quotes, got 'x'");
  EXPECT_EQ(Refused("name = 'a' or name = 'b'"),
            "the filter, character 12: expected AND or an end, got 'or'");
  EXPECT_EQ(Refused("name = 'a"), "the filter, character 8: the quote ' is not closed");
  EXPECT_EQ(Refused("tags = 'a'"), "the filter, character 6: expected '.', got '='");
  EXPECT_EQ(Refused("tags.`` = 'a'"), "the filter, character 6: expected the key of a tag, got ''");
  EXPECT_EQ(Refused("tags.a. = 'a'"), "the filter, character 9: expected the key of a tag, got '='");
  EXPECT_EQ(Refused("version_number LIKE '1'"),
            "the filter, character 16: expected =, !=, <, <=, > or >=, got 'LIKE'");
  EXPECT_EQ(Refused("version_number = 1x"), "the filter, character 18: expected a whole number, got '1x'");
  EXPECT_EQ(Refused("name < 'a'"), "the filter, character 6: expected =, !=, LIKE or ILIKE, got '<'");
  EXPECT_EQ(Refused("run_id IN ()"), "the filter, character 12: expected a text in quotes, got ')'");
  EXPECT_EQ(Refused("run_id IN ('a' 'b')"), "the filter, character 16: expected ',' or ')', got 'b'");
  EXPECT_EQ(Refused("name = 'a' AND"),
            "the filter, character 15: expected name, run_id, source_path, "
            "version_number or tags.<key>, got the end");
  EXPECT_EQ(Refused("run_id = 'a'", Searched::kModels),
            "the filter, character 1: expected name or tags.<key>, got 'run_id'");
  EXPECT_EQ(Refused("name LIKE 'a'", Searched::kLoggedModels),
            "the filter, character 6: expected '=', got 'LIKE'");
  EXPECT_EQ(Refused("name = 'a'; DROP TABLE x"), "the filter, character 11: expected AND or an end, got ';'");
}

TEST(MlflowFilter, IsBounded) {
  std::string many = "name = 'a'";
  for (int i = 0; i < 9; ++i) many += " AND name = 'a'";
  EXPECT_EQ(Parsed(many).size(), 10U);
  EXPECT_THAT(Refused(many + " AND name = 'a'"), testing::HasSubstr("at most 10 comparisons"));
  EXPECT_EQ(Refused(std::string(4097, ' ')), "the filter has 4097 bytes; the limit is 4096");
  std::string list = "run_id IN ('a'";
  for (int i = 1; i < 200; ++i) list += ",'a'";
  EXPECT_EQ(Parsed(list + ")")[0].values.size(), 200U);
  EXPECT_THAT(Refused(list + ",'a')"), testing::HasSubstr("at most 200 texts"));
}

using lifecycle::TrackingCondition;
using lifecycle::TrackingField;
using lifecycle::TrackingOrder;

std::vector<TrackingCondition> Tracked(std::string_view text, Searched searched = Searched::kRuns) {
  const auto conditions = ParseTrackingFilter(text, searched);
  EXPECT_TRUE(conditions.ok()) << text << ": " << (conditions.ok() ? "" : conditions.error().message());
  return conditions.ok() ? *conditions : std::vector<TrackingCondition>();
}
TrackingCondition One(std::string_view text, Searched searched = Searched::kRuns) {
  const auto conditions = Tracked(text, searched);
  EXPECT_EQ(conditions.size(), 1U) << text;
  return conditions.empty() ? TrackingCondition() : conditions.front();
}
std::string NotTracked(std::string_view text, Searched searched = Searched::kRuns) {
  const auto conditions = ParseTrackingFilter(text, searched);
  EXPECT_FALSE(conditions.ok()) << text;
  if (conditions.ok()) return "";
  EXPECT_EQ(conditions.error().reason(), "mlflow_filter") << text;
  return conditions.error().message();
}

TEST(MlflowTrackingFilter, ReadsEachComparisonOfAMetric) {
  const std::pair<std::string_view, Comparison> signs[] = {
      {"=", Comparison::kEquals},         {"!=", Comparison::kDiffers},     {"<>", Comparison::kDiffers},
      {"<", Comparison::kLess},           {"<=", Comparison::kLessOrEqual}, {">", Comparison::kGreater},
      {">=", Comparison::kGreaterOrEqual}};
  for (const auto& [sign, comparison] : signs) {
    EXPECT_EQ(One("metrics.acc " + std::string(sign) + " 0.5"),
              (TrackingCondition{
                  .field = TrackingField::kMetric, .key = "acc", .comparison = comparison, .real = 0.5}));
  }
}

TEST(MlflowTrackingFilter, ReadsNumbersAsTheyAreWritten) {
  const std::pair<std::string_view, double> numbers[] = {
      {"0", 0},      {"12", 12},    {"-3", -3},     {"+3", 3},         {"0.25", 0.25}, {".5", 0.5},
      {"-.5", -0.5}, {"1e3", 1000}, {"1E-3", 1e-3}, {"-2.5e+2", -250}, {"3.", 3}};
  for (const auto& [text, value] : numbers)
    EXPECT_EQ(One("metrics.a=" + std::string(text)).real, value) << text;
  EXPECT_EQ(Tracked("metrics.a > 1e-3 AND metrics.b < -1").size(), 2U);
  for (const std::string_view text : {"1e999", "nan", "inf", "1x", "1..2", "'1'", "- ", "0x10", "1e"}) {
    EXPECT_THAT(NotTracked("metrics.a > " + std::string(text)), testing::HasSubstr("expected a number"))
        << text;
  }
}

TEST(MlflowTrackingFilter, KnowsTheOtherWordsForWhatRunsHave) {
  for (const std::string_view word : {"metrics", "metric"}) {
    EXPECT_EQ(One(std::string(word) + ".a > 1").field, TrackingField::kMetric) << word;
  }
  for (const std::string_view word : {"params", "param", "parameters", "parameter"}) {
    EXPECT_EQ(One(std::string(word) + ".a = '1'").field, TrackingField::kParam) << word;
  }
  for (const std::string_view word : {"tags", "tag"}) {
    EXPECT_EQ(One(std::string(word) + ".a = '1'").field, TrackingField::kTag) << word;
  }
  for (const std::string_view word : {"", "attributes.", "attribute.", "attr.", "run."}) {
    EXPECT_EQ(One(std::string(word) + "status = 'RUNNING'").field, TrackingField::kStatus) << word;
    EXPECT_EQ(One(std::string(word) + "`Run Name` = 'x'").field, TrackingField::kName) << word;
    EXPECT_EQ(One(std::string(word) + "created > 5").field, TrackingField::kStarted) << word;
  }
  EXPECT_EQ(One("metrics.`val loss` > 1").key, "val loss");
  EXPECT_EQ(One(R"(params."a/b" = 'x')").key, "a/b");
  EXPECT_EQ(One("tags.mlflow.source.name = 'x'").key, "mlflow.source.name");
}

TEST(MlflowTrackingFilter, ReadsListsAndWhatIsAbsent) {
  EXPECT_EQ(One("run_id NOT IN ('a','b')"),
            (TrackingCondition{
                .field = TrackingField::kRunId, .comparison = Comparison::kNotIn, .values = {"a", "b"}}));
  EXPECT_EQ(
      One("params.x is null"),
      (TrackingCondition{.field = TrackingField::kParam, .key = "x", .comparison = Comparison::kAbsent}));
  EXPECT_EQ(One("tags.x IS NOT NULL").comparison, Comparison::kPresent);
  EXPECT_EQ(One("end_time <= -5").number, -5);
  EXPECT_EQ(One("experiment_id NOT IN ('007', '0')", Searched::kExperiments).values,
            (std::vector<std::string>{"7", "0"}));
  EXPECT_EQ(One("last_update_time > 5", Searched::kExperiments).field, TrackingField::kUpdated);
}

TEST(MlflowTrackingFilter, ErrorsNameThePieceThatIsNotKnown) {
  const std::string runs =
      "expected metrics.<key>, params.<key>, tags.<key>, run_id, run_name, status, user_id, start_time or "
      "end_time, got ";
  EXPECT_EQ(NotTracked("dataset.name = 'x'"), "the filter, character 1: " + runs + "'dataset'");
  EXPECT_EQ(NotTracked("attributes.artifact_uri = 'x'"),
            "the filter, character 12: " + runs + "'artifact_uri'");
  EXPECT_EQ(NotTracked("attributes.tags.x = 'x'"), "the filter, character 12: " + runs + "'tags'");
  EXPECT_EQ(NotTracked("metrics.a LIKE 'x'"),
            "the filter, character 11: expected =, !=, <, <=, > or >=, got 'LIKE'");
  EXPECT_EQ(NotTracked("metrics.a IS NULL"),
            "the filter, character 11: expected =, !=, <, <=, > or >=, got 'IS'");
  EXPECT_EQ(NotTracked("params.a > '1'"),
            "the filter, character 10: expected =, !=, LIKE, ILIKE, IS NULL or IS NOT NULL, got '>'");
  EXPECT_EQ(NotTracked("params.a = 1"), "the filter, character 12: expected a text in quotes, got '1'");
  EXPECT_EQ(NotTracked("status > 'A'"),
            "the filter, character 8: expected =, !=, LIKE, ILIKE, IN or NOT IN, got '>'");
  EXPECT_EQ(NotTracked("start_time > 1.5"), "the filter, character 14: expected a whole number, got '1.5'");
  EXPECT_EQ(NotTracked("status NOT LIKE 'a'"), "the filter, character 12: expected IN, got 'LIKE'");
  EXPECT_EQ(NotTracked("tags.a IS x"), "the filter, character 11: expected NULL, got 'x'");
  EXPECT_EQ(NotTracked("metrics.a > 1 OR metrics.a < 0"),
            "the filter, character 15: expected AND or an end, got 'OR'");
  EXPECT_EQ(NotTracked("(metrics.a > 1)"), "the filter, character 1: " + runs + "'('");
  EXPECT_EQ(NotTracked("metrics. > 1"), "the filter, character 10: expected the key of a metric, got '>'");
  EXPECT_EQ(NotTracked("metrics.a > 1", Searched::kExperiments),
            "the filter, character 1: expected name, experiment_id, creation_time, last_update_time or "
            "tags.<key>, got 'metrics'");
  EXPECT_EQ(NotTracked("experiment_id = 'x'", Searched::kExperiments),
            "the filter, character 17: expected the number of an experiment in quotes, got 'x'");
  EXPECT_EQ(NotTracked("experiment_id LIKE '1'", Searched::kExperiments),
            "the filter, character 15: expected =, !=, IN or NOT IN, got 'LIKE'");
}

TEST(MlflowTrackingOrder, KnowsItsColumns) {
  const auto order = ParseTrackingOrder(
      {"metrics.`val loss` DESC", "params.x asc", "tags.mlflow.a", "attributes.start_time DESC", "run_id"},
      Searched::kRuns);
  ASSERT_TRUE(order.ok()) << order.error().ToString();
  EXPECT_THAT(*order, testing::ElementsAre(
                          TrackingOrder{.field = TrackingField::kMetric, .key = "val loss", .down = true},
                          TrackingOrder{.field = TrackingField::kParam, .key = "x"},
                          TrackingOrder{.field = TrackingField::kTag, .key = "mlflow.a"},
                          TrackingOrder{.field = TrackingField::kStarted, .down = true},
                          TrackingOrder{.field = TrackingField::kRunId}));
  EXPECT_EQ(ParseTrackingOrder({"name", "experiment_id DESC"}, Searched::kExperiments)->size(), 2U);
}

TEST(MlflowTrackingOrder, RefusesWhatItCantDo) {
  const auto refused = [](std::vector<std::string> by, Searched searched = Searched::kRuns) {
    const auto order = ParseTrackingOrder(by, searched);
    EXPECT_FALSE(order.ok()) << by.front();
    if (order.ok()) return std::string();
    EXPECT_EQ(order.error().reason(), "mlflow_order");
    return std::string(order.error().message());
  };
  EXPECT_EQ(refused({"metrics.a up"}), "order_by, character 11: expected ASC, DESC or an end, got 'up'");
  EXPECT_EQ(refused({"metrics.a ASC, run_id"}),
            "order_by, character 14: expected ASC, DESC or an end, got ','");
  EXPECT_EQ(refused({"run_id", "attributes.run_id DESC"}), "order_by has 'attributes.run_id DESC' twice");
  EXPECT_EQ(refused({"tags.a"}, Searched::kExperiments),
            "order_by, character 1: expected name, experiment_id, creation_time or last_update_time, got "
            "'tags'");
  EXPECT_THAT(refused({""}), testing::HasSubstr("got the end"));
  EXPECT_EQ(refused(std::vector<std::string>(9, "x")), "order_by has 9 columns; the limit is 8");
}

TEST(MlflowOrder, KnowsItsColumns) {
  const auto order = [](std::vector<std::string> by, Searched searched = Searched::kVersions) {
    const auto found = ParseOrder(by, searched, RegistryOrder::kTimeDown);
    EXPECT_TRUE(found.ok()) << by.front();
    return found.ok() ? *found : RegistryOrder{};
  };
  EXPECT_EQ(*ParseOrder({}, Searched::kModels, RegistryOrder::kTimeDown), RegistryOrder::kTimeDown);
  EXPECT_EQ(order({"name"}), RegistryOrder::kName);
  EXPECT_EQ(order({"name DESC"}), RegistryOrder::kNameDown);
  EXPECT_EQ(order({"version_number desc"}), RegistryOrder::kNameDown);
  EXPECT_EQ(order({"last_updated_timestamp ASC"}), RegistryOrder::kTime);
  EXPECT_EQ(order({"creation_timestamp  DESC", "name ASC"}), RegistryOrder::kCreatedDown);
  EXPECT_EQ(order({"name ASC", "version_number ASC"}), RegistryOrder::kName);
  EXPECT_EQ(order({"`name` DESC"}, Searched::kModels), RegistryOrder::kNameDown);
}

TEST(MlflowOrder, RefusesWhatItCantDo) {
  for (const auto& by : std::vector<std::vector<std::string>>{
           {"size"}, {""}, {"name up"}, {"name ASC ASC"}, {"name ASC", "version_number DESC"}}) {
    const auto found = ParseOrder(by, Searched::kVersions, RegistryOrder::kName);
    ASSERT_FALSE(found.ok()) << by.front();
    EXPECT_EQ(found.error().reason(), "mlflow_order");
  }
  EXPECT_FALSE(ParseOrder({"version_number"}, Searched::kModels, RegistryOrder::kName).ok());
}

}  // namespace
}  // namespace mezzo::api::mlflow
