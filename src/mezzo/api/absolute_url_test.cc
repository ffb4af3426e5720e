#include "mezzo/api/absolute_url.h"

#include <gtest/gtest.h>

#include "mezzo/net/testing/made_request.h"

namespace mezzo::api {
namespace {

std::string From(const std::string& host, std::string url) {
  net::testing::MadeRequest request("GET", "/", {{"Host", host}});
  return AbsoluteUrl(*request, std::move(url));
}

TEST(AbsoluteUrl, NamesTheHostThatTheCallerHasAsked) {
  EXPECT_EQ(From("example.org:8000", "/v1/a?b=c"), "http://example.org:8000/v1/a?b=c");
  EXPECT_EQ(From("[::1]:80", "/x"), "http://[::1]:80/x");
}

TEST(AbsoluteUrl, LeavesWhatIsAbsoluteAndHostsThatAreNone) {
  EXPECT_EQ(From("a", "https://store.example.org/x"), "https://store.example.org/x");
  EXPECT_EQ(From("a\"><script>", "/x"), "/x");
  EXPECT_EQ(From("user@a", "/x"), "/x");
}

}  // namespace
}  // namespace mezzo::api
