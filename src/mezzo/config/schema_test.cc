#include "mezzo/config/schema.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mezzo/config/internal/test_schema.h"

namespace mezzo::config {
namespace faulty {

struct Inner {
  int b_c = 1;
};
struct Outer {
  Inner a;
  int a_b_c = 1;
  int big = 5;
};
struct Twice : Outer {};
struct OutOfRange : Outer {};
struct Named : Outer {};
struct Undocumented : Outer {};
struct InMap {
  std::map<std::string, OutOfRange> entries;
};

}  // namespace faulty

template <>
struct Schema<faulty::Inner> {
  static auto Fields() { return std::tuple{Field("b_c", &faulty::Inner::b_c, "Doc.")}; }
};
template <>
struct Schema<faulty::Outer> {
  static auto Fields() {
    using C = faulty::Outer;
    return std::tuple{Field("a", &C::a, "Doc."), Field("a_b_c", &C::a_b_c, "Doc.")};
  }
};
template <>
struct Schema<faulty::Twice> {
  static auto Fields() {
    using C = faulty::Outer;
    return std::tuple{Field("big", &C::big, "Doc."), Field("big", &C::big, "Doc.")};
  }
};
template <>
struct Schema<faulty::OutOfRange> {
  static auto Fields() { return std::tuple{Field("big", &faulty::Outer::big, "Doc.", Range(1, 4))}; }
};
template <>
struct Schema<faulty::Named> {
  static auto Fields() { return std::tuple{Field("Big", &faulty::Outer::big, "Doc.")}; }
};
template <>
struct Schema<faulty::Undocumented> {
  static auto Fields() { return std::tuple{Field("big", &faulty::Outer::big, "")}; }
};
template <>
struct Schema<faulty::InMap> {
  static auto Fields() { return std::tuple{Field("entries", &faulty::InMap::entries, "Doc.")}; }
};

namespace {

template <typename T>
std::string Fault() {
  const auto result = CheckSchema<T>();
  return result.ok() ? "(sound)" : result.error().message();
}

TEST(CheckSchema, AcceptsSoundSchemas) {
  EXPECT_EQ(Fault<test::Root>(), "(sound)");
  EXPECT_EQ(Fault<test::Strict>(), "(sound)");
}

TEST(CheckSchema, NamesTheFault) {
  EXPECT_EQ(Fault<faulty::Outer>(), "MEZZO_A_B_C is the variable of two paths");
  EXPECT_EQ(Fault<faulty::Twice>(), "big is declared twice");
  EXPECT_EQ(Fault<faulty::OutOfRange>(), "big must be between 1 and 4, not 5");
  EXPECT_EQ(Fault<faulty::Named>(), "Big must be a name of a-z, 0-9 and _");
  EXPECT_EQ(Fault<faulty::Undocumented>(), "big has no doc");
  EXPECT_EQ(Fault<faulty::InMap>(), "entries.big must be between 1 and 4, not 5");
}

TEST(TypeOf, IsBuiltOnce) { EXPECT_EQ(&TypeOf<test::Root>(), &TypeOf<test::Root>()); }

}  // namespace
}  // namespace mezzo::config
