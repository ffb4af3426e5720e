#include "mezzo/api/platform/problem.h"

#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "mezzo/api/status_table.h"

namespace mezzo::api::platform {
namespace {

using Json = nlohmann::json;

int StatusOf(const Error& error, const ProblemStatuses& statuses = {}) {
  const net::HttpResponse response = ResponseOf(error, statuses);
  EXPECT_EQ(response.content_type, "application/problem+json");
  const Json body = Json::parse(response.text);
  EXPECT_EQ(body["status"], response.status);
  EXPECT_EQ(body["detail"], error.message());
  EXPECT_EQ(body["error"]["code"], error.reason());
  return response.status;
}

TEST(ResponseOf, AnAnswerStaysAsItIs) {
  net::HttpResponse answer = net::HttpResponse::Json(201, R"({"a":1})");
  answer.headers.emplace_back("ETag", "\"7\"");
  const net::HttpResponse response = ResponseOf(std::move(answer), {.conflicts = true, .stale = "stale"});
  EXPECT_EQ(response.status, 201);
  EXPECT_EQ(response.text, R"({"a":1})");
  ASSERT_EQ(response.headers.size(), 1U);
  EXPECT_EQ(response.headers[0].second, "\"7\"");
}

TEST(ResponseOf, FailuresHaveTheTablesStatusUnlessTheProtocolSaysOtherwise) {
  for (const Code code : {Code::kInvalidArgument, Code::kNotFound, Code::kAlreadyExists,
                          Code::kFailedPrecondition, Code::kAborted, Code::kPermissionDenied,
                          Code::kUnavailable, Code::kResourceExhausted, Code::kDataLoss, Code::kInternal}) {
    const Error error(code, "r", "m");
    const int usual = WireStatusOf(error.code()).http;
    const bool conflict = error.code() == Code::kAlreadyExists || error.code() == Code::kFailedPrecondition ||
                          error.code() == Code::kAborted;
    EXPECT_NE(usual, 409);
    EXPECT_EQ(StatusOf(error), usual) << error.ToString();
    EXPECT_EQ(StatusOf(error, {.conflicts = true}), conflict ? 409 : usual) << error.ToString();
    EXPECT_EQ(StatusOf(error, {.stale = "other"}), usual) << error.ToString();
    EXPECT_EQ(StatusOf(error, {.conflicts = true, .stale = "r"}), 412) << error.ToString();
  }
}

TEST(ResponseOf, AFailureWithoutAReasonIsNoStaleOne) {
  EXPECT_EQ(StatusOf(FailedPrecondition("", "m")), WireStatusOf(Code::kFailedPrecondition).http);
}

}  // namespace
}  // namespace mezzo::api::platform
