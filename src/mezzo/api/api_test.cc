// The small parts: status table, errors as responses, numbers as text, classification, settings.

#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include <gtest/gtest.h>

#include "mezzo/api/classification.h"
#include "mezzo/api/http_error.h"
#include "mezzo/api/json_text.h"
#include "mezzo/api/settings.h"
#include "mezzo/api/status_table.h"

namespace mezzo::api {
namespace {

using namespace std::chrono_literals;

std::string HeaderOf(const net::HttpResponse& response, std::string_view name) {
  for (const auto& [key, value] : response.headers) {
    if (key == name) return value;
  }
  return "";
}

TEST(StatusTable, IsTritonsWhereTritonHasTheCode) {
  EXPECT_EQ(WireStatusOf(Code::kInternal).http, 500);
  EXPECT_EQ(WireStatusOf(Code::kNotFound).http, 404);
  EXPECT_EQ(WireStatusOf(Code::kUnavailable).http, 503);
  EXPECT_EQ(WireStatusOf(Code::kUnimplemented).http, 501);
  for (const Code code : {Code::kUnknown, Code::kInvalidArgument, Code::kAlreadyExists, Code::kCancelled}) {
    EXPECT_EQ(WireStatusOf(code).http, 400) << CodeName(code);
  }
  EXPECT_EQ(WireStatusOf(Code::kDeadlineExceeded).http, 503);
  EXPECT_EQ(WireStatusOf(Code::kResourceExhausted).http, 429);
}

TEST(StatusTable, KeepsGrpcNumbers) {
  for (int code = 1; code <= 16; ++code) EXPECT_EQ(WireStatusOf(static_cast<Code>(code)).grpc, code);
}

TEST(ErrorResponse, RoundsRetryAfterUp) {
  const auto response =
      ErrorResponse(ResourceExhausted("rate", "slow \"down\"").WithRetryAfter(1200ms + 1us));

  EXPECT_EQ(response.status, 429);
  EXPECT_EQ(response.text, R"({"error":"slow \"down\""})");
  EXPECT_EQ(response.content_type, "application/json");
  EXPECT_EQ(HeaderOf(response, "Retry-After"), "2");
  EXPECT_EQ(HeaderOf(response, "X-Mezzo-Retry-After-Ms"), "1201");
  EXPECT_EQ(HeaderOf(response, "X-Mezzo-Reason"), "rate");
}

TEST(ErrorResponse, AsksForCredentials) {
  const auto response = ErrorResponse(Unauthenticated("key_missing", "no key"));
  EXPECT_EQ(response.status, 401);
  EXPECT_EQ(HeaderOf(response, "WWW-Authenticate"), "Bearer realm=\"mezzo\"");
}

template <typename T>
std::string FloatText(T value) {
  std::string out;
  AppendJsonFloat(value, &out);
  return out;
}

TEST(JsonText, WritesTheShortestFloat) {
  EXPECT_EQ(FloatText(0.1F), "0.1");
  EXPECT_EQ(FloatText(0.1), "0.1");
  EXPECT_EQ(FloatText(1.0F), "1.0");
  EXPECT_EQ(FloatText(-0.0), "-0.0");
  EXPECT_EQ(FloatText(1e20), "1e+20");
  EXPECT_EQ(FloatText(std::numeric_limits<float>::quiet_NaN()), "NaN");
  EXPECT_EQ(FloatText(-HUGE_VAL), "-Infinity");
}

TEST(JsonText, FloatsReadBackTheSame) {
  std::mt19937 random(3);
  for (int i = 0; i < 100'000; ++i) {
    const auto bits = static_cast<std::uint32_t>(random());
    float value = 0;
    std::memcpy(&value, &bits, sizeof(value));
    if (!std::isfinite(value)) continue;
    ASSERT_EQ(static_cast<float>(std::strtod(FloatText(value).c_str(), nullptr)), value);
  }
}

TEST(JsonText, EscapesAndReplaces) {
  std::string out;
  AppendJsonString("a\"b\\c\n\x01\xC3\xA9", &out);
  EXPECT_EQ(out, "\"a\\\"b\\\\c\\n\\u0001\xC3\xA9\"");
  out.clear();
  AppendJsonString("a\xFFz", &out);
  EXPECT_EQ(out, "\"a\xEF\xBF\xBDz\"");
}

template <typename T>
tensor::Tensor Numbers(tensor::DType dtype, tensor::Shape shape, const std::vector<T>& values) {
  std::string bytes(values.size() * sizeof(T), '\0');
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return {.dtype = dtype, .shape = shape, .data = SharedBytes::FromString(std::move(bytes))};
}

std::string Elements(const tensor::Tensor& tensor) {
  std::string all;
  tensor::ForEachBytesElement(tensor.data.view(), [&all](std::string_view element) {
    all += element;
    all += ' ';
  });
  return all;
}

TEST(Classify, TakesTheTopOfEachRowWithLabels) {
  const auto scores = Numbers<float>(tensor::DType::kFp32, {2, 3}, {0.25F, 0.5F, 0.25F, 3, 1, 2});

  const auto top = Classify("p", scores, 2, true, {"cat", "dog"});

  ASSERT_TRUE(top.ok());
  EXPECT_EQ(Elements(*top), "0.500000:1:dog 0.250000:0:cat 3.000000:0:cat 2.000000:2 ");
  EXPECT_EQ(top->shape, (tensor::Shape{2, 2}));
  EXPECT_EQ(top->dtype, tensor::DType::kBytes);
}

TEST(Classify, TakesTheWholeTensorWithoutBatches) {
  const auto scores = Numbers<std::int64_t>(tensor::DType::kInt64, {2, 2}, {-5, 7, 7, 1});
  const auto top = Classify("p", scores, 100, false, {});
  ASSERT_TRUE(top.ok());
  EXPECT_EQ(Elements(*top), "7:1 7:2 1:3 -5:0 ");
  EXPECT_EQ(top->shape, (tensor::Shape{4}));
}

TEST(Classify, PutsNotANumberLast) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const auto top = Classify("p", Numbers<float>(tensor::DType::kFp32, {4}, {nan, 1, nan, 2}), 3, false, {});
  ASSERT_TRUE(top.ok());
  EXPECT_EQ(Elements(*top), "2.000000:3 1.000000:1 nan:0 ");
}

TEST(Classify, RefusesWhatHasNoOrderAndWhatIsTooBig) {
  const tensor::Tensor text{.dtype = tensor::DType::kBytes, .shape = {0}, .data = {}};
  EXPECT_EQ(Classify("p", text, 1, false, {}).error().message(),
            "class result not available for output 'p' due to unsupported type 'BYTES'");
  const auto big =
      Numbers<std::uint8_t>(tensor::DType::kUint8, {1'000'001}, std::vector<std::uint8_t>(1'000'001));
  EXPECT_EQ(Classify("p", big, 1, false, {}).error().reason(), "classification_size");
}

TEST(TraceSettings, ModelsFollowTheServerUntilTheyDiffer) {
  TraceSettings settings;
  ASSERT_TRUE(settings.Update("", {{.name = "trace_rate", .values = {"5"}}}).ok());
  ASSERT_TRUE(settings.Update("m", {{.name = "trace_level", .values = {"TIMESTAMPS"}}}).ok());

  EXPECT_EQ(settings.Get("m"), (TraceSetting{.timestamps = true, .rate = 5}));
  EXPECT_EQ(settings.Get("other"), (TraceSetting{.rate = 5}));
  ASSERT_TRUE(settings.Update("m", {{.name = "trace_level", .clear = true}}).ok());
  EXPECT_FALSE(settings.Get("m").timestamps);
}

TEST(TraceSettings, ChangesAllOrNothing) {
  int told = 0;
  TraceSettings settings({}, [&told](std::string_view, const TraceSetting&) { ++told; });

  const auto result = settings.Update(
      "", {{.name = "trace_rate", .values = {"5"}}, {.name = "trace_count", .values = {"many"}}});

  EXPECT_EQ(result.error().message(),
            "Unable to parse 'trace_count': expected a number in [-1, 2147483647], got 'many'");
  EXPECT_EQ(settings.Get("").rate, 1000U);
  EXPECT_EQ(told, 0);
}

TEST(TraceSettings, RefusesFilesAndTensors) {
  TraceSettings settings;
  EXPECT_EQ(settings.Update("", {{.name = "trace_file", .values = {"/etc/passwd"}}}).error().message(),
            "trace file location can not be updated through network protocol");
  EXPECT_EQ(settings.Update("", {{.name = "trace_level", .values = {"TENSORS"}}}).error().code(),
            Code::kUnimplemented);
  EXPECT_EQ(settings.Update("", {{.name = "trace_level", .values = {"OFF", "TIMESTAMPS"}}}).error().message(),
            "Expect only one trace level 'OFF' is specified");
  EXPECT_EQ(settings.Update("", {{.name = "nope"}}).error().reason(), "setting_unknown");
}

TEST(LogSettings, AppliesAndTells) {
  LogSetting seen;
  LogSettings settings({}, [&seen](const LogSetting& now) { seen = now; });

  ASSERT_TRUE(
      settings
          .Update({{"log_info", false}, {"log_verbose_level", std::uint64_t{2}}, {"log_format", "ISO8601"}})
          .ok());

  EXPECT_EQ(seen, (LogSetting{.info = false, .verbose_level = 2, .format = "ISO8601"}));
  EXPECT_EQ(settings.Get(), seen);
}

TEST(LogSettings, RefusesFilesAndWrongTypes) {
  LogSettings settings;
  EXPECT_EQ(settings.Update({{"log_file", "/tmp/x"}}).error().message(),
            "log file location can not be updated through network protocol");
  EXPECT_EQ(settings.Update({{"log_info", std::uint64_t{1}}}).error().message(),
            "Unable to parse 'log_info': expected a boolean");
  EXPECT_EQ(settings.Update({{"log_format", "xml"}}).error().message(),
            "'log_format' must be 'default' or 'ISO8601', got 'xml'");
}

}  // namespace
}  // namespace mezzo::api
