#include "mezzo/api/v2http/v2_handler.h"

#include <cstring>

#include <gtest/gtest.h>

#include "mezzo/api/gate.h"
#include "mezzo/api/v2http/testing/fakes.h"
#include "mezzo/net/testing/exchange.h"
#include "mezzo/tenancy/testing/directories.h"
#include "mezzo/testing/manual_clock.h"

namespace mezzo::api::v2http {
namespace {

using namespace std::chrono_literals;
using net::testing::MadeRequest;
using testing::FakeService;

constexpr std::string_view kJsonInfer =
    R"({"id":"7","inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[1,2.5]}]})";

std::string BodyOf(const net::HttpResponse& response) {
  std::string body = response.text;
  for (const SharedBytes& piece : response.pieces) body += piece.text();
  return body;
}

std::string HeaderOf(const net::HttpResponse& response, std::string_view name) {
  for (const auto& [key, value] : response.headers) {
    if (key == name) return value;
  }
  return "";
}

class V2HandlerTest : public ::testing::Test {
 protected:
  /// Through both halves, as the server does it: the plan first, then the handler.
  net::HttpResponse Send(MadeRequest&& request) { return net::testing::Exchange(gate_, request, Ctx()); }
  static runtime::Context Ctx() {
    return runtime::Context({.tenant = {}, .request_id = "rid-1", .trace = {}});
  }
  net::HttpResponse Get(std::string_view target) { return Send({"GET", target}); }
  net::HttpResponse Post(std::string_view target, std::string_view body) {
    return Send({"POST", target, {}, std::string(body)});
  }
  /// "status body"
  std::string Line(const net::HttpResponse& response) {
    return std::to_string(response.status) + " " + BodyOf(response);
  }

  FakeService service_;
  mezzo::testing::ManualClock clock_;
  tenancy::Directory open_{tenancy::testing::Anybody(), clock_};
  SharedMemoryRegions regions_{{.enabled = true}};
  TraceSettings traces_;
  LogSettings logs_;
  V2Handler handler_{{.server_version = "1.2"},
                     {.service = service_, .regions = regions_, .traces = traces_, .logs = logs_}};
  Gate gate_{{{.protocol = &handler_, .prefixes = {"/v2"}}}, open_};
  V2Handler timed_{
      {}, {.service = service_, .regions = regions_, .traces = traces_, .logs = logs_, .clock = &clock_}};
  Gate timed_gate_{{{.protocol = &timed_, .prefixes = {"/v2"}}}, open_};
};

TEST_F(V2HandlerTest, InfersFromJson) {
  const auto response = Post("/v2/models/m/infer", kJsonInfer);

  EXPECT_EQ(
      Line(response),
      R"(200 {"id":"7","model_name":"m","model_version":"3","outputs":[{"name":"y","datatype":"FP32","shape":[1,2],"data":[1.0,2.5]}]})");
  EXPECT_EQ(response.content_type, "application/json");
  EXPECT_EQ(HeaderOf(response, "X-Request-Id"), "rid-1");
  EXPECT_EQ(service_.tenant_name, "anonymous");
  EXPECT_EQ(service_.deadline, kNever);
}

TEST_F(V2HandlerTest, SaysWhereTheTimeWentWhenAsked) {
  clock_.Advance(1500us);
  const auto timing = [&](MadeRequest request) {
    return HeaderOf(net::testing::Exchange(timed_gate_, request, Ctx()), "Server-Timing");
  };
  EXPECT_EQ(timing({"POST", "/v2/models/m/infer", {}, std::string(kJsonInfer)}), "");
  const std::string asked =
      timing({"POST", "/v2/models/m/infer", {{"X-Mezzo-Timing", "1"}}, std::string(kJsonInfer)});
  EXPECT_TRUE(asked.starts_with("decode;dur=0.0000, queue;dur=")) << asked;
  EXPECT_TRUE(asked.ends_with("encode;dur=0.0000, total;dur=1001.5000")) << asked;
}

TEST_F(V2HandlerTest, InfersFromBinaryAlignedAndWithoutCopies) {
  const std::string json =
      R"({"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","parameters":{"binary_data_size":8}}],"parameters":{"binary_data_output":true}})";
  const std::string tail("\0\0\x80\x3F\0\0\0\x40", 8);
  MadeRequest request("POST", "/v2/models/m/versions/2/infer",
                      {{"Inference-Header-Content-Length", std::to_string(json.size())}}, json + tail);

  EXPECT_EQ(gate_.PlanBody(*request).align_offset, json.size());
  const auto response = Send(std::move(request));

  const std::string head =
      R"({"model_name":"m","model_version":"2","outputs":[{"name":"y","datatype":"FP32","shape":[1,2],"parameters":{"binary_data_size":8}}]})";
  EXPECT_EQ(response.text, head);
  EXPECT_EQ(BodyOf(response), head + tail);
  EXPECT_EQ(response.content_type, "application/octet-stream");
  EXPECT_EQ(HeaderOf(response, "Inference-Header-Content-Length"), std::to_string(head.size()));
  EXPECT_EQ(service_.last.version, "2");
}

TEST_F(V2HandlerTest, InfersFromRawBinary) {
  const auto response =
      Send({"POST", "/v2/models/m/infer", {{"Inference-Header-Content-Length", "0"}}, std::string(8, '\0')});
  EXPECT_EQ(response.status, 200) << response.text;
  EXPECT_EQ(service_.last.inputs[0].tensor.shape, (tensor::Shape{1, 2}));
  ASSERT_EQ(response.pieces.size(), 1U);
}

TEST_F(V2HandlerTest, TakesTheEarlierOfTwoDeadlines) {
  const std::string body = R"({"parameters":{"timeout":5000},)" + std::string(kJsonInfer.substr(1));
  const TimePoint received{};
  Send({"POST", "/v2/models/m/infer", {}, body});
  EXPECT_EQ(service_.deadline, received + 5ms);
  Send({"POST", "/v2/models/m/infer", {{"X-Mezzo-Deadline-Ms", "2"}}, body});
  EXPECT_EQ(service_.deadline, received + 2ms);
  Send({"POST", "/v2/models/m/infer", {{"X-Mezzo-Deadline-Ms", "100"}}, body});
  EXPECT_EQ(service_.deadline, received + 5ms);
  EXPECT_EQ(
      Line(Send({"POST", "/v2/models/m/infer", {{"X-Mezzo-Deadline-Ms", "soon"}}, std::string(kJsonInfer)})),
      R"(400 {"error":"X-Mezzo-Deadline-Ms must be a number of milliseconds in [1, 31536000000], got 'soon'"})");
}

TEST_F(V2HandlerTest, RecordsWhatItSpentAroundAnAnsweredCall) {
  Post("/v2/models/m/infer", kJsonInfer);
  EXPECT_EQ(service_.recorded, 0) << "without a clock there is nothing to record";

  MadeRequest request("POST", "/v2/models/m/infer", {}, std::string(kJsonInfer));
  EXPECT_EQ(net::testing::Exchange(timed_gate_, request).status, 200);
  EXPECT_EQ(service_.recorded, 1);
  EXPECT_EQ(service_.admit_time, Duration::zero());
}

TEST_F(V2HandlerTest, PassesTheServicesErrorsOn) {
  service_.failure = Unavailable("queue_full", "Exceeds maximum queue size").WithRetryAfter(30ms);
  const auto response = Post("/v2/models/m/infer", kJsonInfer);
  EXPECT_EQ(Line(response), R"(503 {"error":"Exceeds maximum queue size"})");
  EXPECT_EQ(HeaderOf(response, "Retry-After"), "1");
  EXPECT_EQ(HeaderOf(response, "X-Mezzo-Retry-After-Ms"), "30");
  EXPECT_EQ(HeaderOf(response, "X-Mezzo-Reason"), "queue_full");
  EXPECT_EQ(HeaderOf(response, "X-Request-Id"), "rid-1");
}

TEST_F(V2HandlerTest, RefusesBadRequestsWithTheirCodes) {
  EXPECT_EQ(
      Line(Post("/v2/models/m/infer", "{")),
      R"(400 {"error":"failed to parse the request JSON buffer: expected the name of a member at byte 1, where the text ends"})");
  EXPECT_EQ(
      Post("/v2/models/m/infer", R"({"inputs":[{"name":"x","shape":[2,-5],"datatype":"FP32","data":[1.0]}]})")
          .status,
      500);
  EXPECT_EQ(
      Line(Send({"POST",
                 "/v2/models/m/infer",
                 {{"Inference-Header-Content-Length", "99999999999"}},
                 std::string(kJsonInfer)})),
      R"(400 {"error":"Unable to parse Inference-Header-Content-Length, expected a number in [0, 2147483647], got: 99999999999"})");
  EXPECT_EQ(Post("/v2/models/m/versions/99999999999999999999/infer", kJsonInfer).status, 400);
  EXPECT_EQ(Post("/v2/models/m/infer", R"({"inputs":[],"parameters":{"sequence_id":1}})").status, 501);
}

TEST_F(V2HandlerTest, DeniesUnknownPathsAndMethods) {
  EXPECT_EQ(Line(Get("/v2/nothing")), R"(404 {"error":"Not Found"})");
  EXPECT_EQ(Line(Get("/v2/models/m/versions/x")), R"(404 {"error":"Not Found"})");
  const auto response = Get("/v2/models/m/infer");
  EXPECT_EQ(Line(response), R"(405 {"error":"Method Not Allowed"})");
  EXPECT_EQ(HeaderOf(response, "Allow"), "POST");
  EXPECT_EQ(Post("/v2/health/live", "").status, 405);
}

TEST_F(V2HandlerTest, TellsHealth) {
  EXPECT_EQ(Line(Get("/v2/health/live")), "200 ");
  EXPECT_EQ(Line(Get("/v2/health/ready")), "200 ");
  service_.models.started = false;
  EXPECT_EQ(Line(Get("/v2/health/ready")), "400 ");
  EXPECT_EQ(Line(Get("/v2/models/m/ready")), "200 ");
  EXPECT_EQ(Line(Get("/v2/models/m/versions/1/ready")), "200 ");
  EXPECT_EQ(Line(Get("/v2/models/m/versions/2/ready")), R"(400 {"error":"Model version not ready"})");
  EXPECT_EQ(Line(Get("/v2/models/none/ready")), R"(400 {"error":"Model version not ready"})");
}

TEST_F(V2HandlerTest, DescribesServerAndModels) {
  EXPECT_EQ(
      Line(Get("/v2")),
      R"j(200 {"name":"mezzo","version":"1.2","extensions":["classification","model_repository","model_repository(unload_dependents)","schedule_policy","model_configuration","binary_tensor_data","parameters","statistics","trace","logging","system_shared_memory"]})j");
  EXPECT_EQ(Line(Get("/v2/models")), R"(200 {"models":["m","z","zz"]})");
  EXPECT_EQ(
      Line(Get("/v2/models/m")),
      R"(200 {"name":"m","versions":["1","3"],"platform":"onnxruntime_onnx","inputs":[{"name":"x","datatype":"FP32","shape":[-1,2]}],"outputs":[{"name":"y","datatype":"FP32","shape":[-1,2]}]})");
  EXPECT_NE(Line(Get("/v2/models/m/versions/3")).find(R"("versions":["3"])"), std::string::npos);
  EXPECT_EQ(Line(Get("/v2/models/none")),
            R"(404 {"error":"Request for unknown model: 'none' is not found"})");
  EXPECT_NE(Line(Get("/v2/models/m/config")).find(R"("max_batch_size":8)"), std::string::npos);
}

TEST_F(V2HandlerTest, ReportsStatistics) {
  EXPECT_EQ(
      Line(Get("/v2/models/m/versions/1/stats")),
      R"(200 {"model_stats":[{"name":"m","version":"1","last_inference":0,"inference_count":5,"execution_count":0,"inference_stats":{"success":{"count":2,"ns":30},"fail":{"count":0,"ns":0},"queue":{"count":0,"ns":0},"compute_input":{"count":0,"ns":0},"compute_infer":{"count":0,"ns":0},"compute_output":{"count":0,"ns":0},"cache_hit":{"count":0,"ns":0},"cache_miss":{"count":0,"ns":0}},"response_stats":{},"batch_stats":[{"batch_size":4,"compute_input":{"count":0,"ns":0},"compute_infer":{"count":1,"ns":9},"compute_output":{"count":0,"ns":0}}],"memory_usage":[{"type":"CPU","id":0,"byte_size":100}]}]})");
  EXPECT_EQ(service_.asked_statistics, "m/1");
  Get("/v2/models/stats");
  EXPECT_EQ(service_.asked_statistics, "/");
}

TEST_F(V2HandlerTest, ListsTheRepository) {
  EXPECT_EQ(
      Line(Post("/v2/repository/index", "")),
      R"(200 [{"name":"m","version":"1","state":"READY"},{"name":"m","version":"3","state":"UNAVAILABLE","reason":"broken"},{"name":"z","version":"1","state":"READY"},{"name":"zz"}])");
  EXPECT_EQ(Line(Post("/v2/repository/index", R"({"ready":true})")),
            R"(200 [{"name":"m","version":"1","state":"READY"}])");
}

TEST_F(V2HandlerTest, LoadsAndUnloads) {
  EXPECT_EQ(Line(Post("/v2/repository/models/m/load",
                      R"({"parameters":{"config":"{}","file:1/model.onnx":"YQ=="}})")),
            "200 ");
  EXPECT_EQ(service_.models.loaded, "m");
  EXPECT_EQ(service_.models.load_overrides.files.at("1/model.onnx"), "a");
  EXPECT_EQ(Line(Post("/v2/repository/models/m/unload", R"({"parameters":{"unload_dependents":false}})")),
            "200 ");
  EXPECT_EQ(service_.models.unloaded, "m");
  EXPECT_EQ(Line(Post("/v2/repository/r/models/m/load", "")),
            R"(501 {"error":"'repository_name' specification is not supported"})");
  EXPECT_EQ(Post("/v2/repository/models/a%20b/load", "").status, 400);
}

TEST_F(V2HandlerTest, HandlesSharedMemoryRoutes) {
  EXPECT_EQ(Line(Get("/v2/systemsharedmemory/status")), "200 []");
  EXPECT_EQ(Line(Get("/v2/systemsharedmemory/region/r/status")),
            R"(404 {"error":"Unable to find system shared memory region: 'r'"})");
  EXPECT_EQ(Line(Post("/v2/systemsharedmemory/register", "{}")),
            R"(400 {"error":"'region name' is necessary to register system shared memory region"})");
  EXPECT_EQ(
      Line(Post("/v2/systemsharedmemory/region/r/register", R"({"key":"/../etc","offset":0,"byte_size":1})")),
      R"(400 {"error":"cannot register shared memory region 'r' - invalid shm key '/../etc': expected an optional '/' and 1 to 128 of [A-Za-z0-9._-]"})");
  EXPECT_EQ(Line(Post("/v2/systemsharedmemory/unregister", "")), "200 ");
  EXPECT_EQ(Line(Get("/v2/cudasharedmemory/status")), "200 []");
  EXPECT_EQ(Post("/v2/cudasharedmemory/region/r/register", "{}").status, 501);
  EXPECT_EQ(Line(Post("/v2/cudasharedmemory/unregister", "")), "200 ");
}

TEST_F(V2HandlerTest, ChangesSettingsButNoFiles) {
  EXPECT_EQ(
      Line(Post("/v2/trace/setting", R"({"trace_level":["TIMESTAMPS"],"trace_rate":"3"})")),
      R"(200 {"trace_level":["TIMESTAMPS"],"trace_rate":"3","trace_count":"-1","log_frequency":"0","trace_file":"","trace_mode":"opentelemetry"})");
  EXPECT_EQ(Line(Post("/v2/trace/setting", R"({"trace_file":"x"})")),
            R"(501 {"error":"trace file location can not be updated through network protocol"})");
  EXPECT_EQ(Get("/v2/models/m/trace/setting").status, 200);
  EXPECT_EQ(Line(Get("/v2/models/q/trace/setting")), R"(400 {"error":"Request for unknown model : q"})");
  EXPECT_EQ(
      Line(Post("/v2/logging", R"({"log_file":null,"log_verbose_level":1})")),
      R"(200 {"log_file":"","log_info":true,"log_warning":true,"log_error":true,"log_verbose_level":1,"log_format":"default"})");
  EXPECT_EQ(Line(Post("/v2/logging", R"({"log_file":"/tmp/x"})")),
            R"(501 {"error":"log file location can not be updated through network protocol"})");
}

TEST_F(V2HandlerTest, Generates) {
  EXPECT_EQ(Line(Post("/v2/models/m/generate", R"({"id":"g","x":[1,2],"parameters":{"stream":false}})")),
            R"(200 {"id":"g","model_name":"m","model_version":"3","y":[1.0,2.0]})");
  EXPECT_EQ(service_.last.inputs[0].tensor.shape, (tensor::Shape{1, 2}));
  EXPECT_EQ(service_.last.parameters.size(), 1U);
  const auto stream = Post("/v2/models/m/versions/3/generate_stream", R"({"x":[1,2]})");
  EXPECT_EQ(stream.content_type, "text/event-stream; charset=utf-8");
  EXPECT_EQ(stream.text, "data: {\"model_name\":\"m\",\"model_version\":\"3\",\"y\":[1.0,2.0]}\n\n");
  EXPECT_EQ(
      Line(Post("/v2/models/m/generate", R"({"x":[1,2,3]})")),
      R"(400 {"error":"The schema can not convert input 'x' to tensor with proper shape: 3 elements"})");
}

class KeyedHandlerTest : public V2HandlerTest {
 protected:
  int Status(std::string_view method, std::string_view target, std::string_view key) {
    MadeRequest request(method, target, {{"Authorization", "Bearer " + std::string(key)}});
    const auto refusal = net::testing::PlanOf(keyed_gate_, request);
    return refusal == nullptr ? 0 : refusal->status;
  }

  const tenancy::Directory directory_{
      tenancy::testing::OnlyKeys({{"user-key", "user", {tenancy::Scope::kInfer}},
                                  {"watch-key", "watcher", {tenancy::Scope::kObserve}},
                                  {"admin-key", "admin", {tenancy::Scope::kAdmin}}}),
      clock_};
  V2Handler keyed_{{.max_infer_body = 77},
                   {.service = service_, .regions = regions_, .traces = traces_, .logs = logs_}};
  Gate keyed_gate_{{{.protocol = &keyed_, .prefixes = {"/v2"}}}, directory_};
};

TEST_F(KeyedHandlerTest, RefusesBeforeTheBodyWithoutTheScope) {
  EXPECT_EQ(Status("POST", "/v2/models/m/infer", "user-key"), 0);
  EXPECT_EQ(Status("POST", "/v2/models/m/infer", "wrong"), 401);
  EXPECT_EQ(Status("POST", "/v2/models/m/infer", "watch-key"), 403);
  EXPECT_EQ(Status("GET", "/v2/models/stats", "watch-key"), 0);
  EXPECT_EQ(Status("GET", "/v2/health/ready", "wrong"), 0);
  EXPECT_EQ(Status("GET", "/v2/systemsharedmemory/status", "user-key"), 403);
  for (const std::string_view target :
       {"/v2/repository/models/m/load", "/v2/repository/models/m/unload",
        "/v2/systemsharedmemory/region/r/register", "/v2/systemsharedmemory/unregister", "/v2/trace/setting",
        "/v2/models/m/trace/setting", "/v2/logging"}) {
    EXPECT_EQ(Status("POST", target, "user-key"), 403) << target;
    EXPECT_EQ(Status("POST", target, "admin-key"), 0) << target;
  }
}

TEST_F(KeyedHandlerTest, TakesTheKeyFromEitherHeader) {
  MadeRequest request("POST", "/v2/models/m/infer", {{"X-Api-Key", "user-key"}}, std::string(kJsonInfer));
  const auto plan = keyed_gate_.PlanBody(*request);
  EXPECT_EQ(plan.refusal, nullptr);
  EXPECT_EQ(plan.max_body, 77U);
  EXPECT_EQ(net::testing::Exchange(keyed_gate_, request).status, 200);
  EXPECT_EQ(service_.tenant_name, "user");
}

TEST_F(KeyedHandlerTest, AsksForAKey) {
  MadeRequest request("GET", "/v2");
  const auto plan = keyed_gate_.PlanBody(*request);
  ASSERT_NE(plan.refusal, nullptr);
  EXPECT_EQ(plan.refusal->text, R"({"error":"an API key is needed: send 'Authorization: Bearer <key>'"})");
  EXPECT_EQ(HeaderOf(*plan.refusal, "WWW-Authenticate"), "Bearer realm=\"mezzo\"");
}

}  // namespace
}  // namespace mezzo::api::v2http
