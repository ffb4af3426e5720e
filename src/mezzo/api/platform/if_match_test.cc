#include "mezzo/api/platform/if_match.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "mezzo/net/testing/made_request.h"

namespace mezzo::api::platform {
namespace {

std::string Read(const std::string& header) {
  net::testing::MadeRequest request("PUT", "/v1/routes/m", {{"If-Match", header}});
  const auto revision = MatchedRevision(*request);
  if (revision.ok()) return revision->has_value() ? std::to_string(**revision) : "any";
  EXPECT_EQ(revision.error().code(), Code::kInvalidArgument);
  EXPECT_EQ(revision.error().reason(), "route_if_match");
  return revision.error().message();
}

TEST(MatchedRevision, IsANumberInQuotes) {
  EXPECT_EQ(Read("\"0\""), "0");
  EXPECT_EQ(Read("  \"17\" "), "17");
  EXPECT_EQ(Read("\"9223372036854775807\""), "9223372036854775807");
}

TEST(MatchedRevision, WithoutTheHeaderIsNothing) {
  net::testing::MadeRequest request("PUT", "/v1/routes/m");
  const auto revision = MatchedRevision(*request);
  ASSERT_TRUE(revision.ok());
  EXPECT_EQ(*revision, std::nullopt);
}

TEST(MatchedRevision, RefusesEverythingElse) {
  for (const char* text : {"17", "\"", "\"\"", "\"-1\"", "\"1\", \"2\"", "W/\"1\"", "*", "\"1 \"", "\"x\"",
                           "\"9223372036854775808\""}) {
    EXPECT_EQ(Read(text),
              "If-Match is '" + std::string(text) + "'; it must be a revision in quotes, as ETag says it");
  }
}

TEST(TagRevision, SaysWhatMatchedRevisionReads) {
  for (const std::int64_t revision : {std::int64_t{0}, std::int64_t{1}, INT64_MAX}) {
    net::HttpResponse response;
    TagRevision(revision, &response);
    ASSERT_EQ(response.headers.size(), 1U);
    EXPECT_EQ(response.headers[0].first, "ETag");
    EXPECT_EQ(Read(response.headers[0].second), std::to_string(revision));
  }
}

}  // namespace
}  // namespace mezzo::api::platform
