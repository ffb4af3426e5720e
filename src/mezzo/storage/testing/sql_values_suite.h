#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "mezzo/storage/testing/sql_db_fixture.h"

namespace mezzo::storage::testing {

/// What goes in comes out.
template <typename Harness>
class SqlValueSuite : public SqlDbFixture<Harness> {
 protected:
  void SetUp() override {
    const std::string blob = this->postgres() ? "BYTEA" : "BLOB";
    const auto made = this->Script(
        "CREATE TABLE item (id BIGINT PRIMARY KEY, real DOUBLE PRECISION, text TEXT, bytes " + blob + ");");
    ASSERT_TRUE(made.ok()) << made.error().ToString();
  }
  /// The row that comes back after it was stored.
  SqlRows Store(std::int64_t id, SqlValue real, SqlValue text, SqlValue bytes) {
    const auto stored = this->Run("INSERT INTO item (id, real, text, bytes) VALUES ($1, $2, $3, $4)",
                                  {id, std::move(real), std::move(text), std::move(bytes)});
    EXPECT_TRUE(stored.ok()) << stored.error().ToString();
    return this->Query("SELECT id, real, text, bytes FROM item WHERE id = $1", {id});
  }
  [[nodiscard]] std::string InArray(const std::string& column) {
    return column + (this->postgres() ? " = ANY($1)" : " IN (SELECT value FROM json_each($1))");
  }
};
TYPED_TEST_SUITE_P(SqlValueSuite);

TYPED_TEST_P(SqlValueSuite, KeepsIntegersToTheirLimits) {
  for (const std::int64_t value : {std::numeric_limits<std::int64_t>::min(), std::int64_t{-1},
                                   std::int64_t{0}, std::numeric_limits<std::int64_t>::max()}) {
    EXPECT_EQ(this->Store(value, {}, {}, {}).Int(0, 0), value);
  }
}

TYPED_TEST_P(SqlValueSuite, KeepsRealsToTheLastBit) {
  std::int64_t id = 0;
  for (const double value : {0.1, -1.0 / 3, 1e308, 5e-324, std::numeric_limits<double>::infinity(), 2.0}) {
    const SqlRows row = this->Store(++id, value, {}, {});
    EXPECT_EQ(row.Real(0, 1), value);
    EXPECT_TRUE(std::holds_alternative<double>(row.At(0, 1))) << value;
  }
  EXPECT_EQ(this->Store(++id, std::int64_t{7}, {}, {}).Real(0, 1), 7.0);
}

TYPED_TEST_P(SqlValueSuite, KeepsTextOfAnyScript) {
  std::int64_t id = 0;
  const std::string large(3 << 20, 'x');
  for (const std::string& text :
       {std::string(), std::string("Grüße, 世界 🎈"), std::string("a'b\"c\\d\n\t$1 {x}"), large}) {
    EXPECT_EQ(this->Store(++id, {}, text, {}).Text(0, 2), text);
  }
}

TYPED_TEST_P(SqlValueSuite, KeepsEveryByteOfABlob) {
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes += static_cast<char>(i);
  EXPECT_EQ(this->Store(1, {}, {}, SqlBlob{bytes}).Blob(0, 3), bytes);
  const SqlRows empty = this->Store(2, {}, {}, SqlBlob{});
  EXPECT_FALSE(empty.IsNull(0, 3));
  EXPECT_EQ(empty.Blob(0, 3), "");
  const std::string large(3 << 20, '\xff');
  EXPECT_EQ(this->Store(3, {}, {}, SqlBlob{large}).Blob(0, 3), large);
}

TYPED_TEST_P(SqlValueSuite, TellsNullFromEmpty) {
  const SqlRows row = this->Store(1, {}, std::string(), {});
  EXPECT_TRUE(row.IsNull(0, 1));
  EXPECT_FALSE(row.IsNull(0, 2));
  EXPECT_TRUE(row.IsNull(0, 3));
}

TYPED_TEST_P(SqlValueSuite, OneStatementTakesNullsAndValuesInAnyOrder) {
  this->Store(1, {}, {}, SqlBlob{"b"});
  this->Store(2, {}, std::string("t"), {});
  this->Store(3, 1.5, {}, {});
  this->Store(4, 2.5, std::string("u"), SqlBlob{"c"});
  const SqlRows rows = this->Query("SELECT real, text, bytes FROM item ORDER BY id");
  EXPECT_EQ(rows.Blob(0, 2), "b");
  EXPECT_EQ(rows.Text(1, 1), "t");
  EXPECT_EQ(rows.Real(2, 0), 1.5);
  EXPECT_TRUE(rows.IsNull(2, 1));
  EXPECT_EQ(rows.Text(3, 1), "u");
}

TYPED_TEST_P(SqlValueSuite, TruthIsOneAndZero) {
  const SqlRows row = this->Query("SELECT 1 = 1, 1 = 2");
  EXPECT_EQ(row.Int(0, 0), 1);
  EXPECT_EQ(row.Int(0, 1), 0);
}

TYPED_TEST_P(SqlValueSuite, SumsAreIntegersAndAveragesReal) {
  for (const std::int64_t id : {1, 2, 4}) this->Store(id, {}, {}, {});
  const SqlRows row = this->Query("SELECT sum(id), avg(id), count(*), max(id) FROM item");
  EXPECT_EQ(row.Int(0, 0), 7);
  EXPECT_NEAR(row.Real(0, 1), 7.0 / 3, 1e-12);
  EXPECT_EQ(row.Int(0, 2), 3);
  EXPECT_EQ(row.Int(0, 3), 4);
}

TYPED_TEST_P(SqlValueSuite, ParametersMayRepeatInAnyOrder) {
  const SqlRows row = this->Query("SELECT $3, $1, $2, $1", {std::int64_t{1}, std::string("two"), 3.5});
  EXPECT_EQ(row.Real(0, 0), 3.5);
  EXPECT_EQ(row.Int(0, 1), 1);
  EXPECT_EQ(row.Text(0, 2), "two");
  EXPECT_EQ(row.Int(0, 3), 1);
}

TYPED_TEST_P(SqlValueSuite, ArraysOfIntegersSelectRows) {
  for (std::int64_t id = 1; id <= 5; ++id) this->Store(id, {}, {}, {});
  const std::string sql = "SELECT id FROM item WHERE " + this->InArray("id") + " ORDER BY id";
  const SqlRows some = this->Query(sql, {std::vector<std::int64_t>{4, 2, -9, INT64_MAX}});
  ASSERT_EQ(some.size(), 2u);
  EXPECT_EQ(some.Int(0, 0), 2);
  EXPECT_EQ(some.Int(1, 0), 4);
  EXPECT_EQ(this->Query(sql, {std::vector<std::int64_t>{}}).size(), 0u);
  std::vector<std::int64_t> many(20000);
  for (std::size_t i = 0; i < many.size(); ++i) many[i] = static_cast<std::int64_t>(i);
  EXPECT_EQ(this->Query(sql, {many}).size(), 5u);
}

TYPED_TEST_P(SqlValueSuite, ArraysOfTextsSelectRows) {
  const std::vector<std::string> texts = {"plain", "",     "qu\"ote", "back\\slash",
                                          "{a,b}", "NULL", "世界 🎈", "a\nb"};
  std::int64_t id = 0;
  for (const std::string& text : texts) this->Store(++id, {}, text, {});
  const std::string sql = "SELECT text FROM item WHERE " + this->InArray("text") + " ORDER BY id";
  const SqlRows rows = this->Query(sql, {texts});
  ASSERT_EQ(rows.size(), texts.size());
  for (std::size_t i = 0; i < texts.size(); ++i) EXPECT_EQ(rows.Text(i, 0), texts[i]);
  EXPECT_EQ(this->Query(sql, {std::vector<std::string>{}}).size(), 0u);
}

TYPED_TEST_P(SqlValueSuite, ReturningGivesRowsAndCounts) {
  this->Store(1, {}, std::string("a"), {});
  this->Store(2, {}, std::string("b"), {});
  const auto updated = this->Run("UPDATE item SET text = text || $1 RETURNING id, text", {std::string("!")});
  ASSERT_TRUE(updated.ok()) << updated.error().ToString();
  EXPECT_EQ(updated->size(), 2u);
  EXPECT_EQ(updated->affected(), 2);
  EXPECT_THAT(updated->Text(0, 1), ::testing::EndsWith("!"));
}

TYPED_TEST_P(SqlValueSuite, CountsTheRowsThatChanged) {
  EXPECT_EQ(this->Run("INSERT INTO item (id) VALUES (1), (2), (3)")->affected(), 3);
  EXPECT_EQ(this->Run("UPDATE item SET real = 1 WHERE id > 1")->affected(), 2);
  EXPECT_EQ(this->Run("UPDATE item SET real = 1 WHERE id > 10")->affected(), 0);
  EXPECT_EQ(this->Run("SELECT id FROM item")->affected(), 0);
  EXPECT_EQ(this->Run("CREATE TABLE other (id BIGINT)")->affected(), 0);
  EXPECT_EQ(this->Run("INSERT INTO item (id) VALUES (1) ON CONFLICT (id) DO NOTHING")->affected(), 0);
  EXPECT_EQ(this->Run("DELETE FROM item")->affected(), 3);
}

TYPED_TEST_P(SqlValueSuite, RefusesWhatBothCannotStore) {
  for (const SqlValue& bad :
       {SqlValue(std::string("a\0b", 3)), SqlValue(std::string("\xff")),
        SqlValue(std::string("\xed\xa0\x80")), SqlValue(std::vector<std::string>{"ok", "\xc3"}),
        SqlValue(std::numeric_limits<double>::quiet_NaN())}) {
    const auto refused = this->Run("SELECT $1", {bad});
    EXPECT_EQ(Reason(refused), "sql_bad_value");
  }
}

TYPED_TEST_P(SqlValueSuite, LikeTellsCapitals) {
  this->Store(1, {}, std::string("Abc"), {});
  EXPECT_EQ(this->Query("SELECT id FROM item WHERE text LIKE 'abc'").size(), 0u);
  EXPECT_EQ(this->Query("SELECT id FROM item WHERE text LIKE 'Ab%'").size(), 1u);
}

REGISTER_TYPED_TEST_SUITE_P(SqlValueSuite, KeepsIntegersToTheirLimits, KeepsRealsToTheLastBit,
                            KeepsTextOfAnyScript, KeepsEveryByteOfABlob, TellsNullFromEmpty,
                            OneStatementTakesNullsAndValuesInAnyOrder, TruthIsOneAndZero,
                            SumsAreIntegersAndAveragesReal, ParametersMayRepeatInAnyOrder,
                            ArraysOfIntegersSelectRows, ArraysOfTextsSelectRows, ReturningGivesRowsAndCounts,
                            CountsTheRowsThatChanged, RefusesWhatBothCannotStore, LikeTellsCapitals);

}  // namespace mezzo::storage::testing
