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
