#include "mezzo/app/browser_guard.h"

#include <gtest/gtest.h>

#include "mezzo/net/testing/made_request.h"

namespace mezzo::app {
namespace {

bool Refused(const std::vector<std::pair<std::string, std::string>>& headers) {
  net::testing::MadeRequest made("POST", "/v2/repository/models/m/unload", headers, "");
  const auto refusal = RefuseForeignPage(*made);
  EXPECT_TRUE(refusal == nullptr || refusal->status == 403);
  return refusal != nullptr;
}

TEST(RefuseForeignPage, LetsProgramsOnThisHostThrough) {
  EXPECT_FALSE(Refused({{"Host", "localhost:8000"}}));
  EXPECT_FALSE(Refused({{"Host", "127.0.0.1:8000"}}));
  EXPECT_FALSE(Refused({{"Host", "[::1]:8000"}}));
  EXPECT_FALSE(Refused({{"Host", "localhost:8000"}, {"Origin", "http://localhost:8000"}}));
  EXPECT_FALSE(Refused({{"Host", "localhost:8000"}, {"Sec-Fetch-Site", "same-origin"}}));
}

TEST(RefuseForeignPage, RefusesPagesOfOthersAndReboundNames) {
  EXPECT_TRUE(Refused({{"Host", "localhost:8000"}, {"Origin", "http://evil.example"}}));
  EXPECT_TRUE(Refused({{"Host", "localhost:8000"}, {"Origin", "null"}}));
  EXPECT_TRUE(Refused({{"Host", "localhost:8000"}, {"Origin", "http://localhost:9000"}}));
  EXPECT_TRUE(Refused({{"Host", "localhost:8000"}, {"Sec-Fetch-Site", "cross-site"}}));
  EXPECT_TRUE(Refused({{"Host", "evil.example"}}));
}

}  // namespace
}  // namespace mezzo::app
