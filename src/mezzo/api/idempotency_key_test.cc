#include "mezzo/api/idempotency_key.h"

#include <gtest/gtest.h>

namespace mezzo::api {
namespace {

TEST(ParseIdempotencyKey, TakesAStringOrTheBareText) {
  EXPECT_EQ(*ParseIdempotencyKey("\"order-17\""), "order-17");
  EXPECT_EQ(*ParseIdempotencyKey(" order-17 "), "order-17");
  EXPECT_EQ(*ParseIdempotencyKey(std::string(255, 'k')), std::string(255, 'k'));
}

TEST(ParseIdempotencyKey, RefusesWhatIsEmptyTooLongOrNotPrintable) {
  for (const std::string& key :
       {std::string(), std::string("\"\""), std::string(256, 'k'), std::string("a\x01")}) {
    EXPECT_EQ(ParseIdempotencyKey(key).error().reason(), "idempotency_key") << key;
  }
}

}  // namespace
}  // namespace mezzo::api
