"""Limits on requests, device time, concurrency and quotas, and the tiers of jobs, as callers and admins meet them."""

import http.client
import json
import re
import subprocess
import threading
import time

import grpc
import mezzo_server
import openai
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from mezzo_server import SLOWNESS, Server
from test_jobs import simple
from test_tenants import Admin, first_key, make_key, make_tenant
from tritonclient.grpc import service_pb2, service_pb2_grpc

INFER = "/v2/models/simple/infer"
BODY = {key: value for key, value in simple()["input"].items() if key == "inputs"}


@pytest.fixture(scope="module")
def platform(tmp_path_factory):
    models = [mezzo_server.MODELS, mezzo_server.EXAMPLES]
    with Server(models=models, data_dir=str(tmp_path_factory.mktemp("data"))) as server:
        yield Admin(server, first_key(server))


@pytest.fixture
def tenant(platform, request):
    """An admin's Admin, and a caller of a tenant of this test's own; its limits go with the test."""
    name = "t-" + re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[-40:].strip("-")
    make_tenant(platform, name)
    caller = make_key(platform, name)
    caller.tenant = name
    before = {limit["name"] for limit in platform.ok("GET", "/v1/limits")["data"]}
    yield caller
    for limit in platform.ok("GET", "/v1/limits")["data"]:
        if limit["name"] not in before:
            platform.ok("DELETE", f"/v1/limits/{limit['name']}")


def status_pb2_of(data):
    """A google.rpc.Status with one RetryInfo, decoded by protobuf from a description made here (googleapis is not installed)."""
    file = descriptor_pb2.FileDescriptorProto(name="rpc.proto", package="rpc", syntax="proto3")
    kinds = {"int32": 5, "int64": 3, "string": 9, "bytes": 12, "message": 11}
    for message, fields in {"Duration": [("seconds", 1, "int64", 1), ("nanos", 2, "int32", 1)],
                            "RetryInfo": [("retry_delay", 1, "Duration", 1)],
                            "Any": [("type_url", 1, "string", 1), ("value", 2, "bytes", 1)],
                            "Status": [("code", 1, "int32", 1), ("message", 2, "string", 1), ("details", 3, "Any", 3)]}.items():
        made = file.message_type.add(name=message)
        for name, number, kind, label in fields:
            field = made.field.add(name=name, number=number, type=kinds.get(kind, kinds["message"]), label=label)
            if kind not in kinds:
                field.type_name = f".rpc.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)

    def parse(name, text):
        message = message_factory.GetMessageClass(pool.FindMessageTypeByName(f"rpc.{name}"))()
        message.ParseFromString(text)
        return message

    status = parse("Status", data)
    delay = parse("RetryInfo", status.details[0].value).retry_delay
    return {"code": status.code, "message": status.message, "type_url": status.details[0].type_url,
            "retry_seconds": delay.seconds + delay.nanos * 1e-9}


class Keyed:
    """What Server.metrics() asks, with the admin's key."""

    def __init__(self, admin):
        self.admin = admin

    def get(self, path):
        return self.admin.server.get(path, {"Authorization": f"Bearer {self.admin.key}"})


def put(platform, name, **limit):
    return platform.ok("PUT", f"/v1/limits/{name}", limit)


def call(caller, path=INFER, body=None, headers=None):
    """(status, headers by lower-case name, parsed body)"""
    status, answered, text = caller.server.request(
        "POST", path, json.dumps(BODY if body is None else body).encode(),
        {"Authorization": f"Bearer {caller.key}", "Content-Type": "application/json", **(headers or {})})
    return status, {name.lower(): value for name, value in answered.items()}, json.loads(text)


@pytest.mark.covers("GET /v1/limits", "GET /v1/limits/{l}", "PUT /v1/limits/{l}", "DELETE /v1/limits/{l}")
def test_limits_are_made_listed_changed_and_removed(platform):
    made = put(platform, "crud", kind="requests", tenant="acme", model="m", per=["key", "project"], rate=5)
    assert (made["rate"], made["burst"], made["per"], made["source"]) == (5, 5, ["project", "key"], "database")
    assert made == platform.ok("GET", "/v1/limits/crud")
    changed = put(platform, "crud", kind="daily_money", amount=20.5)
    assert changed["amount"] == 20.5 and changed["tenant"] is None and "rate" not in changed
    for name in ("crud-b", "crud-c"):
        put(platform, name, kind="concurrency", amount=3)
    page = platform.ok("GET", "/v1/limits?limit=1&after=crud")
    assert [limit["name"] for limit in page["data"]] == ["crud-b"] and page["has_more"] and page["last_id"] == "crud-b"
    for name in ("crud", "crud-b", "crud-c"):
        platform.ok("DELETE", f"/v1/limits/{name}")
        assert platform("GET", f"/v1/limits/{name}")[1]["error"]["code"] == "limit_unknown"
        assert platform("DELETE", f"/v1/limits/{name}")[0] == 404


@pytest.mark.parametrize(("limit", "words"), [
    ({}, "'kind' is missing"), ({"kind": "hourly"}, "not 'hourly'"), ({"kind": "requests"}, "'rate' must be in"),
    ({"kind": "requests", "rate": -1}, "must not be negative"), ({"kind": "cost", "rate": 1, "amount": 1}, "no 'amount'"),
    ({"kind": "concurrency"}, "'amount' is missing"), ({"kind": "requests", "rate": 1, "burst": 0.5}, "'burst' must be in"),
    ({"kind": "requests", "rate": 1, "per": ["user"]}, "not 'user'"), ({"kind": "requests", "rate": 1, "project": "p"}, "needs 'tenant'"),
    ({"kind": "requests", "raet": 1}, "unknown member 'raet'")])
def test_bad_limits_are_named(platform, limit, words):
    status, answer = platform("PUT", "/v1/limits/bad", limit)
    assert status == 400 and words in answer["detail"], answer
    assert platform("PUT", "/v1/limits/Bad%20Name", {"kind": "requests", "rate": 1})[0] == 400


def test_only_an_admin_sees_and_sets_limits(platform, tenant):
    strongest = make_key(platform, tenant.tenant, role="admin")
    for method, path in (("GET", "/v1/limits"), ("GET", "/v1/limits/x"), ("PUT", "/v1/limits/x"), ("DELETE", "/v1/limits/x")):
        assert strongest(method, path, {"kind": "requests", "rate": 1} if method == "PUT" else None)[0] == 403


def test_v2_answers_429_with_everything_a_client_needs(platform, tenant):
    put(platform, "v2", kind="requests", tenant=tenant.tenant, rate=0.1, burst=2)
    left = [call(tenant) for _ in range(2)]
    assert [status for status, *_ in left] == [200, 200]
    assert [headers["ratelimit"].split(";")[1] for _, headers, _ in left] == ["r=1", "r=0"]
    assert left[0][1]["ratelimit-policy"] == '"v2";q=2;qu="requests";w=20'
    status, headers, body = call(tenant)
    assert status == 429 and headers["x-mezzo-reason"] == "rate_limited"
    assert 9 <= int(headers["retry-after"]) <= 10
    assert headers["ratelimit"] == f'"v2";r=0;t={headers["retry-after"]}'
    assert headers["ratelimit-policy"] == '"v2";q=2;qu="requests";w=20'
    assert "limit 'v2' is used up: 0.1 requests a second, 2 at once" in body["error"]
    assert call(Admin(platform.server, platform.key))[0] == 200, "nobody else is held up"
    assert tenant("GET", "/v1/models")[0] == 200, "what does no work is not limited"
    metrics = Server.metrics(Keyed(platform))
    assert metrics['mezzo_tenancy_limited_total{reason="rate_limited"}'] >= 1 and metrics["mezzo_tenancy_limit_buckets"] >= 1


def test_a_large_body_is_refused_before_it_is_read(platform, tenant):
    """Of a tenant whose limit is used up: the head alone gets the answer, and a limit that lets it through has lost nothing by it."""

    def large(body):
        status, headers, _ = platform.server.request("POST", INFER, json.dumps(body).encode() + b" " * 100_000,
                                                     {"Authorization": f"Bearer {tenant.key}", "Content-Type": "application/json"})
        return status, {name.lower(): value for name, value in headers.items()}

    put(platform, "large", kind="requests", tenant=tenant.tenant, rate=0.001, burst=2)
    assert large(BODY)[1]["ratelimit"].startswith('"large";r=1;')
    assert large({"inputs": []})[0] == 400, "a wrong one takes nothing"
    assert large(BODY)[0] == 200
    connection = http.client.HTTPConnection(platform.server.http, timeout=20 * SLOWNESS)
    connection.putrequest("POST", INFER)
    connection.putheader("Authorization", f"Bearer {tenant.key}")
    connection.putheader("Content-Length", "30000000")
    connection.endheaders()
    answer = connection.getresponse()  # Not a byte of the body has been sent.
    headers = {name.lower(): value for name, value in answer.getheaders()}
    assert answer.status == 429 and headers["x-mezzo-reason"] == "rate_limited" and int(headers["retry-after"]) > 100
    assert headers["ratelimit-policy"] == '"large";q=2;qu="requests";w=2000'
    connection.close()
    request = service_pb2.ModelInferRequest(model_name="simple", raw_input_contents=[bytes(100_000)])
    with grpc.insecure_channel(platform.server.grpc) as channel, pytest.raises(grpc.RpcError) as error:
        service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request, metadata=[("authorization", f"Bearer {tenant.key}")])
    assert error.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED, "not that the request is wrong"
    assert dict(error.value.trailing_metadata())["ratelimit"].startswith('"large";r=0;')


def test_whoever_waits_as_told_gets_in(platform, tenant):
    put(platform, "wait", kind="requests", tenant=tenant.tenant, rate=2, burst=1)
    assert call(tenant)[0] == 200
    status, headers, _ = call(tenant)
    assert status == 429
    time.sleep(int(headers["x-mezzo-retry-after-ms"]) / 1000)
    assert call(tenant)[0] == 200


def test_a_change_holds_from_the_next_call_on(platform, tenant):
    assert "ratelimit" not in call(tenant)[1]
    put(platform, "live", kind="requests", tenant=tenant.tenant, rate=0.01, burst=1)
    assert [call(tenant)[0] for _ in range(2)] == [200, 429]
    put(platform, "live", kind="requests", tenant=tenant.tenant, rate=0.01, burst=3)
    assert [call(tenant)[0] for _ in range(3)] == [200, 200, 429]
    platform.ok("DELETE", "/v1/limits/live")
    assert "ratelimit" not in call(tenant)[1]


def test_keys_projects_and_models_count_apart(platform, tenant):
    platform.ok("POST", f"/v1/tenants/{tenant.tenant}/projects", {"id": "shop"})
    other = make_key(platform, tenant.tenant, project="shop")
    counts = lambda *calls: [call(caller, f"/v2/models/{model}/infer")[0] for caller, model in calls]  # noqa: E731
    put(platform, "apart", kind="requests", tenant=tenant.tenant, per=["key"], rate=0.01, burst=1)
    assert counts((tenant, "simple"), (other, "simple"), (tenant, "simple"), (other, "simple")) == [200, 200, 429, 429]
    platform.ok("DELETE", "/v1/limits/apart")
    put(platform, "apart-project", kind="requests", tenant=tenant.tenant, project="shop", rate=0.01, burst=1)
    assert counts((other, "simple"), (other, "simple"), (tenant, "simple"), (tenant, "simple")) == [200, 429, 200, 200]
    platform.ok("DELETE", "/v1/limits/apart-project")
    put(platform, "apart-model", kind="requests", tenant=tenant.tenant, model="nothing", rate=0.01, burst=1)
    assert counts((tenant, "simple"), (tenant, "simple")) == [200, 200]


def test_openai_clients_get_their_own_errors(platform, tenant):
    put(platform, "oa", kind="requests", tenant=tenant.tenant, rate=0.1, burst=1)
    texts = ["short", "a much longer text that is padded to another length " * 3] * 40  # Several calls of the model: one request.
    with openai.OpenAI(base_url=platform.server.http_url + "/v1", api_key=tenant.key, max_retries=0) as client:
        raw = client.embeddings.with_raw_response.create(model="minilm", input=texts)
        assert raw.headers["ratelimit"].startswith('"oa";r=0;t=')
        with pytest.raises(openai.RateLimitError) as error:
            client.embeddings.create(model="minilm", input="again")
        assert error.value.code == "rate_limit_exceeded" and error.value.type == "rate_limit_error"
        assert "limit 'oa'" in error.value.message
        assert 9 <= int(error.value.response.headers["retry-after"]) <= 10
        platform.ok("DELETE", "/v1/limits/oa")
        put(platform, "oa-month", kind="monthly_requests", tenant=tenant.tenant, amount=1)
        client.embeddings.create(model="minilm", input="once a month")
        with pytest.raises(openai.RateLimitError) as error:
            client.embeddings.create(model="minilm", input="again")
        assert error.value.type == error.value.code == "insufficient_quota"
        assert re.match(r'"oa-month";q=1;qu="requests";w=(2678400|2592000|2505600|2419200)$', error.value.response.headers["ratelimit-policy"])


def test_jobs_are_counted_when_they_are_queued_and_only_then(platform, tenant):
    put(platform, "jobs", kind="daily_requests", tenant=tenant.tenant, amount=2)
    status, headers, job = call(tenant, "/v1/jobs?wait=30", simple(), {"Idempotency-Key": "k1"})
    assert (status, job["status"]) == (200, "succeeded"), "its run is not counted again"
    assert headers["ratelimit"].startswith('"jobs";r=1;')
    assert call(tenant, "/v1/jobs", simple(), {"Idempotency-Key": "k1"})[2]["id"] == job["id"], "a replay is not counted"
    assert call(tenant, "/v1/jobs", simple(delay_seconds=3600))[0] == 202
    status, headers, problem = call(tenant, "/v1/jobs", simple())
    assert status == 429 and headers["content-type"] == "application/problem+json"
    assert problem["limit"] == {"name": "jobs", "kind": "daily_requests", "amount": 2, "window_seconds": 86400}
    assert 0 < problem["retry_after"] <= 86400 and int(headers["retry-after"]) >= problem["retry_after"]
    assert (problem["title"], problem["status"]) == ("Too Many Requests", 429)
    assert problem["error"]["type"] == "insufficient_quota" and problem["error"]["code"] == "quota_exceeded"
    assert headers["ratelimit"].startswith('"jobs";r=0;t=') and headers["ratelimit-policy"] == '"jobs";q=2;qu="requests";w=86400'
    assert call(tenant, "/v1/jobs", simple() | {"kind": "nonsense"})[0] == 400, "what is wrong is said first"


def test_a_retry_is_a_new_job_to_limits_and_tiers(platform, tenant):
    platform.ok("PATCH", f"/v1/tenants/{tenant.tenant}", {"tiers": ["paid", "free"]})
    ended = []
    for tier in ("paid", "free"):
        job = call(tenant, "/v1/jobs", simple(delay_seconds=3600, tier=tier))[2]["id"]
        assert call(tenant, f"/v1/jobs/{job}/cancel?wait=10", {})[2]["status"] == "cancelled"
        ended.append(job)
    platform.ok("PATCH", f"/v1/tenants/{tenant.tenant}", {"tiers": ["free"]})
    put(platform, "again", kind="daily_requests", tenant=tenant.tenant, amount=1)
    assert call(tenant, f"/v1/jobs/{ended[0]}/retry", {})[0] == 403
    assert call(tenant, "/v1/jobs/nothing/retry", {})[0] == 404
    assert call(tenant, f"/v1/jobs/{ended[1]}/retry", {})[0] == 202, "refusals have taken nothing"
    status, _, problem = call(tenant, f"/v1/jobs/{ended[1]}/retry", {})
    assert status == 429 and problem["limit"]["name"] == "again"


def test_device_time_is_charged_as_measured(platform, tenant):
    """A tiny rate of device time: the first call passes, its measured time leaves a debt, and the next one waits for it."""
    put(platform, "cost", kind="cost", tenant=tenant.tenant, rate=0.000001, burst=1)
    statuses = []
    for _ in range(3000):  # Each takes some microseconds of the one millisecond.
        statuses.append(call(tenant)[0])
        if statuses[-1] != 200:
            break
    assert statuses[-1] == 429 and len(statuses) > 1
    status, headers, _ = call(tenant)
    assert status == 429 and 'qu="device-milliseconds"' in headers["ratelimit-policy"]


def used_of(platform, caller, name):
    """What the caller's next call sees used of a limit of 1,000,000 units, but for its own."""
    status, headers, _ = call(caller)
    assert status == 200 and headers["ratelimit"].startswith(f'"{name}";')
    return 1_000_000 - int(re.search(r";r=(\d+)", headers["ratelimit"])[1])


def test_a_jobs_device_time_is_put_right_when_it_ends(platform, tenant):
    """What a job was predicted to take is counted when it is queued; what is left in the end is what it took, or nothing."""
    put(platform, "job-cost", kind="cost", tenant=tenant.tenant, rate=0.1, burst=1_000_000)
    job = {"kind": "inference", "model": "add_sub", "input": {"inputs": [
        {"name": name, "shape": [1, 16], "datatype": "FP32", "data": [1] * 16} for name in ("INPUT0", "INPUT1")]}}
    waiting = [call(tenant, "/v1/jobs", {**job, "delay_seconds": 3600})[2]["id"] for _ in range(20)]
    assert used_of(platform, tenant, "job-cost") >= 20, "a model that never ran: a millisecond each"
    for one in waiting:
        assert call(tenant, f"/v1/jobs/{one}/cancel", {})[2]["status"] == "cancelled"
    returned = used_of(platform, tenant, "job-cost")
    assert returned <= 10
    for one in waiting[:3]:
        call(tenant, f"/v1/jobs/{one}/cancel", {})
    assert used_of(platform, tenant, "job-cost") >= returned, "and not once more"


def test_concurrency_is_given_back(platform, tenant):
    put(platform, "room", kind="concurrency", tenant=tenant.tenant, amount=1)
    assert [call(tenant)[0] for _ in range(20)] == [200] * 20
    put(platform, "room", kind="concurrency", tenant=tenant.tenant, amount=0)
    status, headers, _ = call(tenant)
    assert (status, headers["x-mezzo-reason"], headers["retry-after"]) == (429, "concurrency_limited", "1")
    assert headers["ratelimit-policy"] == '"room";q=0;qu="concurrent-requests"'
    assert call(tenant, "/v1/jobs?wait=30", simple())[0] == 200, "jobs wait in their queue"


def test_many_at_once_get_exactly_the_burst(platform, tenant):
    put(platform, "exact", kind="requests", tenant=tenant.tenant, rate=0.001, burst=25)
    statuses = []
    threads = [threading.Thread(target=lambda: statuses.extend(call(tenant)[0] for _ in range(10))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] * 25 + [429] * 55


def test_a_call_that_is_wrong_costs_nothing(platform, tenant):
    put(platform, "wrong", kind="requests", tenant=tenant.tenant, rate=0.001, burst=1)
    for _ in range(5):
        assert call(tenant, "/v2/models/nowhere/infer")[0] == 404
        assert call(tenant, body={"inputs": []})[0] == 400
    assert [call(tenant)[0] for _ in range(2)] == [200, 429]


def test_grpc_answers_resource_exhausted(platform, tenant):
    put(platform, "rpc", kind="requests", tenant=tenant.tenant, rate=0.1, burst=1)
    request = service_pb2.ModelInferRequest(model_name="simple")
    for name, value in (("INPUT0", 1), ("INPUT1", 2)):
        tensor = request.inputs.add(name=name, datatype="INT32", shape=[1, 16])
        tensor.contents.int_contents.extend([value] * 16)
    with grpc.insecure_channel(platform.server.grpc) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        metadata = [("authorization", f"Bearer {tenant.key}")]
        stub.ModelInfer(request, metadata=metadata)
        with pytest.raises(grpc.RpcError) as error:
            stub.ModelInfer(request, metadata=metadata)
    trailers = dict(error.value.trailing_metadata())
    assert error.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED and "limit 'rpc'" in error.value.details()
    assert trailers["x-mezzo-reason"] == "rate_limited" and 9 <= int(trailers["retry-after"]) <= 10
    assert trailers["ratelimit"] == f'"rpc";r=0;t={trailers["retry-after"]}'
    assert trailers["ratelimit-policy"] == '"rpc";q=1;qu="requests";w=10'
    # google.rpc.Status with a google.rpc.RetryInfo, as Google's and other clients read it.
    details = status_pb2_of(trailers["grpc-status-details-bin"])
    assert details["code"] == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0] and details["message"] == error.value.details()
    assert details["type_url"] == "type.googleapis.com/google.rpc.RetryInfo" and 9 <= details["retry_seconds"] <= 10


def test_grpc_tells_what_is_left(platform, tenant):
    put(platform, "rpc-left", kind="requests", tenant=tenant.tenant, rate=0.1, burst=3)
    request = service_pb2.ModelInferRequest(model_name="simple")
    for name, value in (("INPUT0", 1), ("INPUT1", 2)):
        tensor = request.inputs.add(name=name, datatype="INT32", shape=[1, 16])
        tensor.contents.int_contents.extend([value] * 16)
    with grpc.insecure_channel(platform.server.grpc) as channel:
        infer = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer
        _, call_done = infer.with_call(request, metadata=[("authorization", f"Bearer {tenant.key}")])
        _, unlimited = infer.with_call(request, metadata=[("authorization", f"Bearer {platform.key}")])
    trailers = dict(call_done.trailing_metadata())
    assert trailers["ratelimit"].startswith('"rpc-left";r=2;t=')
    assert trailers["ratelimit-policy"] == '"rpc-left";q=3;qu="requests";w=30'
    assert "ratelimit" not in dict(unlimited.trailing_metadata())


def test_a_tenant_asks_only_for_the_tiers_it_has(platform, tenant):
    assert platform.ok("GET", f"/v1/tenants/{tenant.tenant}")["tiers"] == ["free"]
    status, _, problem = call(tenant, "/v1/jobs", simple(tier="paid"))
    assert (status, problem["error"]["code"]) == (403, "tier_not_allowed") and "'paid'" in problem["detail"]
    video = {"model": "none", "prompt": "p", "tier": "urgent"}
    assert call(tenant, "/v1/videos", video)[0] == 403
    platform.ok("PATCH", f"/v1/tenants/{tenant.tenant}", {"tiers": ["paid"]})
    assert call(tenant, "/v1/jobs?wait=30", simple(tier="paid"))[0] == 200
    assert call(tenant, "/v1/jobs", simple())[0] == 403
    assert call(Admin(platform.server, platform.key), "/v1/jobs?wait=30", simple(tier="urgent"))[0] == 200, "a platform tenant has all"
    assert "'tiers' may have paid, urgent and free" in platform("PATCH", f"/v1/tenants/{tenant.tenant}", {"tiers": ["gold"]})[1]["detail"]


def test_limits_of_the_configuration_hold_and_stay_there(tmp_path):
    config = "limits:\n  - {name: file, kind: requests, rate: 0.01, burst: 2}\njobs: {enabled: %s}\n"
    with Server(models=mezzo_server.MODELS, config=config % "true", data_dir=str(tmp_path)) as server:
        admin = Admin(server, first_key(server))
        assert [call(admin)[0] for _ in range(3)] == [200, 200, 429]
        listed = admin.ok("GET", "/v1/limits")["data"]
        assert [(limit["name"], limit["source"]) for limit in listed] == [("file", "configuration")]
        for method, body in (("PUT", {"kind": "requests", "rate": 1}), ("DELETE", None)):
            assert admin(method, "/v1/limits/file", body)[1]["error"]["code"] == "limit_declared"
        put(admin, "kept", kind="concurrency", amount=7)
    with Server(models=mezzo_server.MODELS, config=config % "false") as server:
        anybody = Admin(server, "x")
        assert [call(anybody)[0] for _ in range(3)] == [200, 200, 429], "without a database, too"
    with Server(models=mezzo_server.MODELS, data_dir=str(tmp_path)) as server:
        assert [limit["name"] for limit in Admin(server, admin.key).ok("GET", "/v1/limits")["data"]] == ["kept"]


def test_a_bad_limit_in_the_configuration_is_named(tmp_path):
    with pytest.raises(RuntimeError, match="limit 'f': 'rate' must be in"):
        Server(config="limits: [{name: f, kind: requests}]\n", data_dir=str(tmp_path))


def test_the_command_line_sets_lists_and_removes(platform):
    def mezzo(*args):
        done = subprocess.run([mezzo_server.BINARY, "limit", "--url", platform.server.http_url, *args], check=False, capture_output=True,
                              text=True, timeout=30 * SLOWNESS, env={"MEZZO_API_KEY": platform.key})
        return done.returncode, done.stdout + done.stderr

    assert mezzo("set", "cli", "--kind", "requests", "--tenant", "acme", "--per", "key,model", "--rate", "2", "--burst", "9")[0] == 0
    assert re.search(r"cli +requests +2/s, 9 at once +tenant=acme per key,model +database", mezzo("list")[1])
    assert json.loads(mezzo("show", "cli")[1])["burst"] == 9
    assert mezzo("set", "cli", "--kind", "concurrency", "--amount", "0")[0] == 0
    assert mezzo("remove", "cli")[0] == 0
    code, text = mezzo("remove", "cli")
    assert code != 0 and "there is no limit 'cli'" in text
