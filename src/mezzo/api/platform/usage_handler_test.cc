#include "mezzo/api/platform/usage_handler.h"

#include <string>

#include <gtest/gtest.h>

namespace mezzo::api::platform {
namespace {

std::string ReasonOf(const std::string& body) {
  const auto book = ParsePrices(body);
  return book.ok() ? "made" : book.error().reason();
}

TEST(ParsePrices, ReadsATable) {
  const auto book = ParsePrices(
      R"({"prices":[{"model":"*","unit":"device_second","amount_micros":250,"currency":"EUR"},)"
      R"({"model":"sdxl","unit":"image","amount_micros":9,"currency":"EUR","valid_from":"2026-01-01"}]})");
  ASSERT_TRUE(book.ok()) << book.error().ToString();
  ASSERT_EQ(book->prices().size(), 2U);
  EXPECT_EQ(book->prices()[0].unit, tenancy::PriceUnit::kDeviceSecond);
  EXPECT_EQ(book->prices()[0].valid_from_us, 0);
  EXPECT_EQ(tenancy::TimeText(book->prices()[1].valid_from_us), "2026-01-01T00:00:00Z");
  EXPECT_EQ(ReasonOf(R"({"prices":[]})"), "made") << "an empty table makes everything free";
}

TEST(ParsePrices, RefusesWhatIsNoTable) {
  for (const char* body :
       {"", "7", "[]", "{}", R"({"prices":7})", R"({"prices":[7]})", R"({"prices":[{}]})",
        R"({"prices":[{"model":"*","unit":"image","amount_micros":1.5,"currency":"EUR"}]})",
        R"({"prices":[{"model":"*","unit":"image","amount_micros":18446744073709551615,"currency":"EUR"}]})",
        R"({"prices":[{"model":"*","unit":"hour","amount_micros":1,"currency":"EUR"}]})",
        R"({"prices":[{"model":"*","unit":"image","amount_micros":1,"currency":"EUR","vat":1}]})"}) {
    EXPECT_EQ(ReasonOf(body), "price_table") << body;
  }
  EXPECT_EQ(ReasonOf(R"({"prices":[{"model":"*","unit":"image","amount_micros":1,"currency":"EUR",)"
                     R"("valid_from":"soon"}]})"),
            "time_invalid");
  EXPECT_EQ(ReasonOf(R"({"prices":[{"model":"*","unit":"image","amount_micros":-1,"currency":"EUR"}]})"),
            "price_amount");
}

}  // namespace
}  // namespace mezzo::api::platform
