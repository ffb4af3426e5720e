#include "mezzo/api/router.h"

#include <gtest/gtest.h>

namespace mezzo::api {
namespace {

constexpr Route kTable[] = {
    {net::Method::kPost, "/v2/models/*/infer", tenancy::Scope::kInfer, 1, 1},
    {net::Method::kGet, "/v2/models/stats", tenancy::Scope::kObserve, 0, 2},
    {net::Method::kGet, "/v2/models/*", tenancy::Scope::kInfer, 0, 3},
    {net::Method::kGet, "/v2/models/*/versions/#", tenancy::Scope::kInfer, 0, 4},
    {net::Method::kGet, "/v2/logging", tenancy::Scope::kInfer, 0, 5},
    {net::Method::kPost, "/v2/logging", tenancy::Scope::kAdmin, 0, 6},
};

int Id(net::Method method, std::string_view path) {
  const RouteMatch match = MatchRoute(kTable, method, path);
  return match.route == nullptr ? (match.path_known ? 405 : 404) : match.route->id;
}

TEST(Router, FindsTheFirstLineThatFits) {
  EXPECT_EQ(Id(net::Method::kPost, "/v2/models/m/infer"), 1);
  EXPECT_EQ(Id(net::Method::kGet, "/v2/models/stats"), 2);
  EXPECT_EQ(Id(net::Method::kGet, "/v2/models/m"), 3);
  EXPECT_EQ(Id(net::Method::kGet, "/v2/logging"), 5);
  EXPECT_EQ(Id(net::Method::kPost, "/v2/logging"), 6);
}

TEST(Router, CapturesSegments) {
  const RouteMatch match = MatchRoute(kTable, net::Method::kGet, "/v2/models/my.model/versions/12");
  ASSERT_NE(match.route, nullptr);
  EXPECT_EQ(match.captures[0], "my.model");
  EXPECT_EQ(match.captures[1], "12");
}

TEST(Router, CapturesTheRest) {
  constexpr Route kFiles[] = {{net::Method::kGet, "/files/*/**", tenancy::Scope::kRead, 0, 1}};
  const RouteMatch match = MatchRoute(kFiles, net::Method::kGet, "/files/run/a/b.txt");
  ASSERT_NE(match.route, nullptr);
  EXPECT_EQ(match.captures[0], "run");
  EXPECT_EQ(match.captures[1], "a/b.txt");
  EXPECT_EQ(MatchRoute(kFiles, net::Method::kGet, "/files/run/a").captures[1], "a");
  for (const std::string_view path :
       {"/files", "/files/", "/files/run", "/files/run/", "/files/run//a", "/files/run/a/", "/files//a"}) {
    EXPECT_EQ(MatchRoute(kFiles, net::Method::kGet, path).route, nullptr) << path;
  }
}

TEST(Router, DeniesWhatNoLineNames) {
  for (const std::string_view path :
       {"", "/", "v2/models/m", "/v2", "/v2/", "/v2/models/", "/v2/models//infer", "/v2/models/m/infer/",
        "/v2/models/m/infer/x", "/v2//models/m", "/V2/models/m", "/v2/models/m/versions/",
        "/v2/models/m/versions/x", "/v2/models/m/versions/-1", "/v2/models/m/versions/1a"}) {
    EXPECT_EQ(Id(net::Method::kGet, path), 404) << path;
  }
}

TEST(Router, TellsWhichMethodsAPathHas) {
  const RouteMatch match = MatchRoute(kTable, net::Method::kDelete, "/v2/logging");
  EXPECT_EQ(match.route, nullptr);

  const net::HttpResponse response = NoRouteResponse(kTable, "/v2/logging", match);

  EXPECT_EQ(response.status, 405);
  EXPECT_EQ(response.text, R"({"error":"Method Not Allowed"})");
  ASSERT_EQ(response.headers.size(), 1U);
  EXPECT_EQ(response.headers[0].second, "GET, POST");
  EXPECT_EQ(NoRouteResponse(kTable, "/x", MatchRoute(kTable, net::Method::kGet, "/x")).status, 404);
}

}  // namespace
}  // namespace mezzo::api
