#include "mezzo/app/cli/cache_command.h"

#include <CLI/CLI.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mezzo::app::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::string_view kModel =
    R"("data":[{"model":"m","hits":6,"misses":2,"shared":1,"joins":2,"bytes":2048,"saved_device_ms":1500}]})";

TEST(CacheTable, ShowsModelsAndWhatHostsShare) {
  const auto table = CacheTable(
      R"({"bytes":2048,"max_bytes":1048576,"shared":{"healthy":false,"hits":3,"joins":1,"leads":4,"alone":5,"corrupt":0},)" +
      std::string(kModel));
  ASSERT_TRUE(table.ok());
  EXPECT_THAT(*table, HasSubstr("2.0 KiB of 1.0 MiB"));
  EXPECT_THAT(*table,
              HasSubstr("shared with other hosts (failing): 3 hits, 1 joins, 4 computed for all, 5 alone"));
  EXPECT_THAT(*table, HasSubstr("60.0 %"));
  EXPECT_THAT(*table, HasSubstr("SHARED"));
}

TEST(CacheTable, SaysNothingOfHostsThatShareNothing) {
  const auto table = CacheTable(R"({"bytes":0,"max_bytes":1048576,"shared":null,)" + std::string(kModel));
  ASSERT_TRUE(table.ok());
  EXPECT_THAT(*table, Not(HasSubstr("other hosts")));
}

TEST(CacheTable, RefusesWhatIsNoAnswer) {
  EXPECT_EQ(CacheTable("nonsense").error().reason(), "bad_answer");
  EXPECT_EQ(CacheTable(R"({"data":[{"model":1}]})").error().reason(), "bad_answer");
}

TEST(CorrectionsTable, ShowsEachAndSaysWhenThereIsNone) {
  const auto table = CorrectionsTable(
      R"({"data":[{"id":"cor_1","model":"m","version":"2","tenant":"t","bytes":2048,"created_at":"2026-01-01",)"
      R"("created_by":"k"},{"id":"cor_2","model":"p","version":"1","tenant":null,"bytes":10}]})");
  ASSERT_TRUE(table.ok());
  EXPECT_THAT(*table, HasSubstr("cor_1"));
  EXPECT_THAT(*table, HasSubstr("2.0 KiB"));
  EXPECT_THAT(*table, HasSubstr("2026-01-01"));
  EXPECT_THAT(*table, HasSubstr("cor_2"));
  EXPECT_THAT(CorrectionsTable(R"({"data":[]})").value(), HasSubstr("no answer is corrected"));
}

TEST(CorrectionsTable, RefusesWhatIsNoListOfCorrections) {
  for (const char* text : {"", "[]", "{}", R"({"data":{}})", R"({"data":[1]})"}) {
    EXPECT_EQ(CorrectionsTable(text).error().reason(), "bad_answer") << text;
  }
}

TEST(CacheCommand, TakesWhatItsSubcommandsNeed) {
  CLI::App app;
  CacheOptions options;
  AddCacheCommand(app, options);
  app.parse("cache correct m --version 2 --request q.json --response r.json --tenant t", false);
  EXPECT_TRUE(options.correct);
  EXPECT_EQ(options.model + options.version + options.request + options.response + options.tenant,
            "m2q.jsonr.jsont");
  CLI::App other;
  CacheOptions purge;
  AddCacheCommand(other, purge);
  other.parse("cache purge --all --tenant t", false);
  EXPECT_TRUE(purge.purge && purge.all);
  EXPECT_EQ(purge.tenant, "t");
}

}  // namespace
}  // namespace mezzo::app::cli
