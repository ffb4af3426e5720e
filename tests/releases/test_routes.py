"""Routes between the versions of a model, as callers, operators and a second host meet them."""

import collections
import contextlib
import json
import pathlib
import re
import shutil
import subprocess
import sys
import threading
import time

import mezzo_server
import numpy
import pytest
import tritonclient.grpc
from mezzo_server import SLOWNESS, Server
from postgres_server import PostgresServer
from tritonclient.grpc import service_pb2

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "conformance"))

from test_tenants import Admin, first_key, make_key, make_tenant  # noqa: E402

# Some interpreter with numpy: the system's (./dev setup), not that of the environment that runs the tests.
PYTHON = {"PATH": "/usr/bin:/bin"}
MODEL = "m"

# Version 1 is good, 2 is good and answers otherwise, 3 raises, 4 dies at each call, 5 is slow, 6 wants another input.
SOURCE = """
import os, time
import numpy as np
from mezzo_worker import TensorSpec

VERSION = {version}

class Model:
    inputs = [TensorSpec("z" if VERSION == 6 else "x", "FP32", [-1])]
    outputs = [TensorSpec("y", "FP32", [-1]), TensorSpec("v", "INT64", [1])]

    def __init__(self, context):
        pass

    def predict(self, inputs, context):
        x = inputs["z" if VERSION == 6 else "x"]
        if x[0] == -1:
            raise ValueError("x must not be -1")
        if VERSION == 3:
            raise RuntimeError("version 3 is broken")
        if VERSION == 4:
            os._exit(9)
        if VERSION == 5:
            time.sleep(5)
        return {{"y": x * (2.5 if VERSION == 2 else 2), "v": np.int64([VERSION])}}
"""


def write_model(folder, versions, name=MODEL, extra=""):
    for version in versions:
        (folder / name / str(version)).mkdir(parents=True)
        (folder / name / str(version) / "model.py").write_text(SOURCE.format(version=version))
    (folder / name / "model.yaml").write_text("versions: {policy: all}\nbatching: {max_batch_size: 0}\n" + extra)
    return folder


def infer(server, values=(1,), headers=None, version=None, model=MODEL, timeout=60):
    """(status, version that answered, X-Mezzo-Route, outputs or error)."""
    body = {"inputs": [{"name": "x", "shape": [len(values)], "datatype": "FP32", "data": list(values)}]}
    path = f"/v2/models/{model}" + (f"/versions/{version}" if version else "") + "/infer"
    status, got, text = server.request("POST", path, json.dumps(body).encode(), headers, timeout)
    answer = json.loads(text)
    if status != 200:
        return status, None, got.get("X-Mezzo-Route"), answer["error"]
    outputs = {one["name"]: one["data"] for one in answer["outputs"]}
    assert outputs["v"] == [int(answer["model_version"])], "an answer of one version says that it is of that version"
    return status, answer["model_version"], got.get("X-Mezzo-Route"), outputs


def call(server, method, path, body=None, headers=None):
    status, got, text = server.request(method, path, None if body is None else json.dumps(body).encode(), headers)
    return status, got, json.loads(text)


def put(server, route, model=MODEL, headers=None, why=None):
    status, _, answer = call(server, "PUT", f"/v1/routes/{model}" + (f"?why={why}" if why else ""), route, headers)
    assert status == 200, answer
    return answer


def split(weights, sticky="none", stable="1", salt="s", **more):
    """Arms by their weights: {"stable": ("1", 9000), ...}."""
    arms = [{"name": name, "version": version, "weight": weight} for name, (version, weight) in weights.items()]
    return {"split": {"sticky": sticky, "salt": salt, "arms": arms}, "stable": stable, **more}


def all_to(version, **more):
    return split({"stable": ("1", 0), "canary": (version, 10000)}, **more)


def metric(server, name, **labels):
    total = 0
    for sample, value in server.metrics().items():
        if sample.split("{")[0] == name and all(f'{key}="{text}"' in sample for key, text in labels.items()):
            total += value
    return total


def delays(host, of):
    """How many changes have reached the host, and how many of them within a second, by its own record."""
    metrics = host.metrics()
    return (metrics.get(f'mezzo_route_delay_seconds_count{{of="{of}"}}', 0),
            max((value for name, value in metrics.items()
                 if name.startswith("mezzo_route_delay_seconds_bucket{") and f'of="{of}"' in name and re.search(r'le="1(\.0)?"', name)),
                default=0))


def eventually(check, seconds=30):
    until = time.monotonic() + seconds * SLOWNESS
    while not check():
        assert time.monotonic() < until, "it did not come true"
        time.sleep(0.05)


@pytest.fixture(scope="module", name="server")
def good_server(tmp_path_factory):
    """Versions 1, 2 and 6 of one model. Each test puts the route it needs."""
    with Server(models=write_model(tmp_path_factory.mktemp("models"), (1, 2, 6)), env=PYTHON) as server:
        yield server


@pytest.mark.covers("GET /v1/routes", "GET /v1/routes/{m}", "PUT /v1/routes/{m}")
def test_a_route_decides_which_version_answers(server):
    status, got, answer = call(server, "PUT", f"/v1/routes/{MODEL}", {
        "rules": [{"header": "x-beta", "equals": "1", "version": "2"}, {"tenant": "nobody", "version": "6"}], "stable": "1"})
    assert status == 200, answer
    assert got["ETag"] == f'"{answer["revision"]}"'
    revision = answer["revision"]
    assert infer(server)[1:3] == ("1", f"stable;{revision}")
    assert infer(server, headers={"X-Beta": "1"})[1:3] == ("2", f"rule-1;{revision}")
    assert infer(server, headers={"X-Beta": "2"})[1] == "1"
    assert infer(server, headers={"X-Beta": "1"}, version=1)[1:3] == ("1", None), "who names a version gets it"
    shown = call(server, "GET", f"/v1/routes/{MODEL}")[2]
    assert shown["route"] == answer["route"] and shown["host"]["revision"] == revision
    assert [arm["breaker"] for arm in shown["host"]["arms"]] == ["closed"] * 3
    assert MODEL in [one["model"] for one in call(server, "GET", "/v1/routes")[2]["data"]]
    put(server, {"stable": "latest"})
    assert infer(server, values=(-1,))[0] == 400, "the newest version is 6, which wants another input"


def test_over_grpc_metadata_are_headers_and_the_route_is_in_the_trailers(server):
    revision = put(server, {"rules": [{"header": "x-beta", "equals": "1", "version": "2"}], "stable": "1"})["revision"]
    client = tritonclient.grpc.InferenceServerClient(server.grpc)
    tensor = tritonclient.grpc.InferInput("x", [1], "FP32")
    tensor.set_data_from_numpy(numpy.float32([1]))
    assert client.infer(MODEL, [tensor]).get_response().model_version == "1"
    assert client.infer(MODEL, [tensor], headers={"x-beta": "1"}).get_response().model_version == "2"
    stub = client._client_stub  # noqa: SLF001
    request = service_pb2.ModelInferRequest(model_name=MODEL, raw_input_contents=[numpy.float32([1]).tobytes()])
    request.inputs.add(name="x", datatype="FP32", shape=[1])
    _, done = stub.ModelInfer.with_call(request, metadata=(("x-beta", "1"),))
    assert dict(done.trailing_metadata())["x-mezzo-route"] == f"rule-1;{revision}"
    client.close()


def test_each_answer_of_a_grpc_stream_says_by_which_route_it_came(server):
    revision = put(server, {"rules": [{"header": "x-beta", "equals": "1", "version": "2"}], "stable": "1"})["revision"]
    tensor = tritonclient.grpc.InferInput("x", [1], "FP32")
    tensor.set_data_from_numpy(numpy.float32([1]))
    for headers, version, route in ((None, "1", f"stable;{revision}"), ({"x-beta": "1"}, "2", f"rule-1;{revision}")):
        client = tritonclient.grpc.InferenceServerClient(server.grpc)
        answers = []
        client.start_stream(callback=lambda result, error, answers=answers: answers.append((result, error)), headers=headers)
        for number in range(3):
            client.async_stream_infer(MODEL, [tensor], request_id=str(number))
        client.async_stream_infer(MODEL, [tensor], model_version="1", request_id="named")
        eventually(lambda answers=answers: len(answers) == 4)
        client.stop_stream()
        client.close()
        assert all(error is None for _, error in answers), answers
        got = [result.get_response() for result, _ in answers]
        assert [one.model_version for one in got] == [version] * 3 + ["1"]
        told = [one.parameters["x-mezzo-route"].string_param if "x-mezzo-route" in one.parameters else None for one in got]
        assert told == [route] * 3 + [None], "who names a version has no route"


def test_shares_are_those_of_the_weights_and_callers_stay_where_they_are(server):
    put(server, split({"stable": ("1", 5000), "canary": ("2", 5000)}, sticky="header:x-user"))
    users = [f"user-{i}" for i in range(60)]
    arms = {user: infer(server, headers={"X-User": user})[1] for user in users}
    assert 15 <= list(arms.values()).count("2") <= 45
    assert arms == {user: infer(server, headers={"X-User": user})[1] for user in users}
    put(server, split({"stable": ("1", 2000), "canary": ("2", 8000)}, sticky="header:x-user"))
    grown = {user: infer(server, headers={"X-User": user})[1] for user in users}
    assert all(grown[user] == "2" for user in users if arms[user] == "2"), "an arm that grows keeps who was in it"
    assert list(grown.values()).count("2") > list(arms.values()).count("2")


@pytest.mark.covers("GET /v1/routes/{m}/history", "POST /v1/routes/{m}/rollback")
def test_revisions_are_kept_and_can_be_gone_back_to(server):
    first = put(server, {"stable": "1"}, why="to%20begin%20with")
    second = put(server, {"stable": "2"})
    assert second["revision"] == first["revision"] + 1
    again = put(server, {"stable": "2"})
    assert again["revision"] == second["revision"], "an equal route changes nothing"
    status, _, back = call(server, "POST", f"/v1/routes/{MODEL}/rollback", {"why": "it was better"})
    assert (status, back["route"]) == (200, {"stable": "1"})
    assert infer(server)[1:3] == ("1", f"stable;{back['revision']}")
    status, _, back = call(server, "POST", f"/v1/routes/{MODEL}/rollback", {"revision": second["revision"]})
    assert (status, back["route"], back["why"]) == (200, {"stable": "2"}, f"rollback to revision {second['revision']}")
    history = call(server, "GET", f"/v1/routes/{MODEL}/history?limit=4")[2]
    assert [one["revision"] for one in history["data"]] == list(range(back["revision"], back["revision"] - 4, -1))
    assert history["data"][1]["why"] == "it was better" and history["data"][3]["why"] == "to begin with"
    assert all(one["changed_by"] for one in history["data"])
    older = call(server, "GET", f"/v1/routes/{MODEL}/history?limit=1&before={first['revision'] + 1}")[2]
    assert [one["revision"] for one in older["data"]] == [first["revision"]]


@pytest.mark.parametrize("route,code", [
    (split({"stable": ("1", 9000), "canary": ("2", 999)}), "route_weights"),
    (split({"stable": ("1", 5000), "canary": ("9", 5000)}), "route_version_unknown"),
    ({"stable": "9"}, "route_version_unknown"),
    ({"stable": "@champion"}, "route_alias_unknown"),
    ({"stable": "v1"}, "route_version"),
    ({"stable": "1", "spilt": {}}, "route_json"),
    ({"stable": "1", "rules": [{"version": "2"}]}, "route_rule"),
    ({"stable": "1", "shadows": [{"version": "2", "share": 0}]}, "route_shadow"),
    (split({"stable": ("1", 10000)}, sticky="moon"), "route_sticky"),
    (split({"1": ("1", 10000)}), "route_arm"),
])
def test_a_bad_route_is_refused_and_changes_nothing(server, route, code):
    before = put(server, {"stable": "1"})
    status, _, answer = call(server, "PUT", f"/v1/routes/{MODEL}", route)
    assert (status, answer["error"]["code"]) == (400, code), answer
    assert call(server, "GET", f"/v1/routes/{MODEL}")[2]["revision"] == before["revision"]
    assert infer(server)[1] == "1"


def test_a_change_is_for_the_revision_it_names(server):
    revision = put(server, {"stable": "1"})["revision"]
    status, _, answer = call(server, "PUT", f"/v1/routes/{MODEL}", {"stable": "2"}, {"If-Match": f'"{revision - 1}"'})
    assert (status, answer["error"]["code"]) == (412, "route_revision")
    assert call(server, "PUT", f"/v1/routes/{MODEL}", {"stable": "2"}, {"If-Match": str(revision)})[0] == 400
    assert put(server, {"stable": "2"}, headers={"If-Match": f'"{revision}"'})["revision"] == revision + 1
    status, _, answer = call(server, "POST", f"/v1/routes/{MODEL}/rollback", {}, {"If-Match": f'"{revision}"'})
    assert (status, answer["error"]["code"]) == (412, "route_revision")
    assert call(server, "GET", "/v1/routes/nothing")[0] == 404
    assert call(server, "PUT", "/v1/routes/nothing", {"stable": "1"})[2]["error"]["code"] == "route_version_unknown"


def test_a_version_that_does_not_take_the_call_is_not_the_callers_fault(server):
    revision = put(server, all_to("6"))["revision"]
    assert infer(server)[:3] == (200, "1", f"stable;{revision}")
    assert infer(server, values=(-1,))[0] == 400, "what the stable version refuses as well is"
    eventually(lambda: metric(server, "mezzo_route_calls_total", arm="canary", version="6", outcome="failed") == 1)
    assert metric(server, "mezzo_route_calls_total", arm="canary", version="6", outcome="refused") == 1


def test_what_says_nothing_of_types_is_read_by_the_stable_version(server):
    """The newest version, 6, wants another input, and gets no calls."""
    revision = put(server, all_to("2"))["revision"]
    status, got, text = server.request("POST", f"/v2/models/{MODEL}/generate", b'{"x": [4]}')
    assert status == 200, text
    assert got["X-Mezzo-Route"] == f"canary;{revision}" and json.loads(text)["y"] == 10
    raw = numpy.float32([4]).tobytes()
    status, got, text = server.request("POST", f"/v2/models/{MODEL}/infer", raw, {
        "Inference-Header-Content-Length": "0", "Content-Type": "application/octet-stream"})
    assert (status, got["X-Mezzo-Route"]) == (200, f"canary;{revision}"), text


def test_shadows_answer_nobody_and_their_answers_are_compared(server):
    put(server, {"stable": "1", "shadows": [{"version": "2", "share": 10000, "max_in_flight": 8}]})
    for _ in range(5):
        assert infer(server, values=(4,))[1:4:2] == ("1", {"y": [8], "v": [1]})
    eventually(lambda: metric(server, "mezzo_route_shadow_calls_total", version="2") >= 5)
    assert metric(server, "mezzo_route_shadow_calls_total", version="2", outcome="different") >= 1
    eventually(lambda: metric(server, "mezzo_route_shadow_max_difference", version="2") == 2.0)
    put(server, {"stable": "1"})


def test_only_operators_change_routes_and_tenants_do_not_see_them(tmp_path):
    with Server(models=write_model(tmp_path / "models", (1, 2)), env=PYTHON, data_dir=str(tmp_path / "data")) as server:
        admin = Admin(server, first_key(server))
        make_tenant(admin, "acme")
        caller = make_key(admin, "acme", scopes=["infer"])
        assert caller("GET", "/v1/routes")[0] == 403
        assert caller("PUT", f"/v1/routes/{MODEL}", {"stable": "1"})[0] == 403
        observer = Admin(server, admin.ok("POST", "/v1/tenants/platform/keys", {"scopes": ["observe"]})["key"])
        assert observer("GET", "/v1/routes")[0] == 200
        assert observer("PUT", f"/v1/routes/{MODEL}", {"stable": "1"})[0] == 403
        operator = Admin(server, admin.ok("POST", "/v1/tenants/platform/keys", {"scopes": ["operate"]})["key"])
        operator.ok("PUT", f"/v1/routes/{MODEL}", {"rules": [{"tenant": "acme", "version": "2"}], "stable": "1"})
        header = {"Authorization": f"Bearer {caller.key}"}
        assert infer(server, headers=header)[1] == "2", "by its tenant"


def command(server, *args, fails=False):
    done = subprocess.run([mezzo_server.BINARY, "route", "--url", server.http_url, *args], capture_output=True, text=True,
                          timeout=60 * SLOWNESS, check=False)
    assert (done.returncode != 0) == fails, (done.stdout, done.stderr)
    return done.stderr if fails else done.stdout


def test_the_command_line_shows_and_changes_routes(server, tmp_path):
    file = tmp_path / "route.json"
    file.write_text(json.dumps(split({"stable": ("1", 9500), "canary": ("2", 500)})))
    command(server, "set", MODEL, str(file), "--why", "try 2")
    assert "stable=1 95%, canary=2 5%" in command(server)
    command(server, "weights", MODEL, "stable=7500", "canary=2500")
    assert json.loads(command(server, "show", MODEL))["route"]["split"]["arms"][1]["weight"] == 2500
    assert "route_weights" in command(server, "weights", MODEL, "canary=9", fails=True)
    command(server, "rollback", MODEL, "--why", "too fast")
    history = command(server, "history", MODEL).splitlines()
    assert "too fast" in history[1] and "canary=2 25%" in history[2] and "try 2" in history[3]
    command(server, "set", MODEL, "--stable", "2")
    assert infer(server)[1] == "2"


# Versions that fail


@pytest.fixture(scope="module", name="bad")
def server_of_bad_versions(tmp_path_factory):
    with Server(models=write_model(tmp_path_factory.mktemp("models"), (1, 3, 4, 5)), env=PYTHON) as server:
        yield server


def usage_of(server):
    return call(server, "GET", "/v1/usage?group=model,version")[2]


@pytest.mark.parametrize("version,what", [("3", "raises"), ("4", "dies")])
def test_what_a_canary_fails_the_stable_version_answers(bad, version, what):
    put(bad, {"stable": "1"})  # Without a route the newest answers, which takes five seconds.
    for _ in range(20):
        infer(bad)  # The stable version's usual latency, by which a canary that hangs is noticed.
    revision = put(bad, all_to(version, salt=what))["revision"]
    for _ in range(12):
        assert infer(bad, timeout=120)[:3] == (200, "1", f"stable;{revision}"), what
    # It fails until its breaker has opened; then calls go to the stable version at once.
    retried = metric(bad, "mezzo_route_retries_total", arm="canary", version=version)
    assert 1 <= retried <= 12
    assert metric(bad, "mezzo_route_calls_total", arm="canary", version=version, outcome="diverted") + retried >= 12
    assert metric(bad, "mezzo_route_breaker_open", arm="canary", version=version) == 1
    canary = call(bad, "GET", f"/v1/routes/{MODEL}")[2]["host"]["arms"][1]
    assert (canary["breaker"] != "closed", canary["times_opened"] >= 1) == (True, True)
    assert infer(bad, values=(-1,))[0] == 400


def test_a_retried_call_is_charged_once(bad):
    put(bad, {"stable": "1"})
    infer(bad)

    def requests():
        rows = usage_of(bad)["data"]
        return sum(row["requests"] for row in rows), sum(row["failed"] for row in rows)

    before = requests()
    put(bad, all_to("3", salt="charged"))
    for _ in range(3):
        assert infer(bad)[0] == 200
    eventually(lambda: requests() == (before[0] + 3, before[1]))


def test_a_canary_that_is_late_is_overtaken_by_the_stable_version(bad):
    for _ in range(20):
        infer(bad)
    revision = put(bad, all_to("5", salt="late"))["revision"]
    started = time.monotonic()
    assert infer(bad, timeout=120)[:3] == (200, "1", f"stable;{revision}")
    if SLOWNESS == 1:
        assert time.monotonic() - started < 4.9, "version 5 sleeps for 5 s"
    assert metric(bad, "mezzo_route_calls_total", arm="canary", version="5", outcome="late") == 1
    # With little time left, too.
    assert infer(bad, headers={"X-Mezzo-Deadline-Ms": str(3000 * SLOWNESS)}, timeout=120)[:2] == (200, "1")


def test_embeddings_follow_routes_with_the_tokenizer_of_the_version(tmp_path):
    """Version 2 has no vocabulary: it can't tokenize, and version 1 answers."""
    shutil.copytree(mezzo_server.EXAMPLES / "minilm", tmp_path / "models" / "minilm")
    shutil.copytree(mezzo_server.EXAMPLES / "minilm" / "1", tmp_path / "models" / "minilm" / "2")
    (tmp_path / "models" / "minilm" / "2" / "vocab.txt").unlink()
    (tmp_path / "models" / "minilm" / "model.yaml").write_text("versions: {policy: all}\n")
    with Server(models=tmp_path / "models", data_dir=str(tmp_path / "data")) as server:
        def embed(headers=None):
            body = json.dumps({"model": "minilm", "input": "a cat"}).encode()
            status, got, text = server.request("POST", "/v1/embeddings", body, {"Content-Type": "application/json", **(headers or {})})
            return status, got.get("X-Mezzo-Route"), len(json.loads(text).get("data", []))

        assert embed()[0] != 200, "the newest version answers"
        revision = put(server, {"stable": "1", "rules": [{"header": "x-beta", "equals": "1", "version": "2"}]}, model="minilm")["revision"]
        assert embed() == (200, f"stable;{revision}", 1)
        assert embed({"X-Beta": "1"}) == (200, f"stable;{revision}", 1)
        put(server, {"stable": "2"}, model="minilm")
        assert embed()[0] != 200


# Two hosts


class Callers(threading.Thread):
    """Calls a host until it is stopped; remembers what it was answered, and when."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server, self.answers, self.failures, self.stopping = server, [], [], False

    def run(self):
        while not self.stopping:
            try:
                status, version, route, answer = infer(self.server)
            except OSError as error:
                self.failures.append(error)
                continue
            if status != 200:
                self.failures.append((status, answer))
                continue
            self.answers.append((time.monotonic(), version, route))

    def stop(self):
        self.stopping = True
        self.join(120 * SLOWNESS)


@pytest.fixture(scope="module", name="hosts")
def two_hosts(tmp_path_factory):
    with PostgresServer() as database, contextlib.ExitStack() as stack:
        servers = []
        for i in range(2):
            models = write_model(tmp_path_factory.mktemp(f"models-{i}"), (1, 2), extra="cache: {mode: exact, ttl: 1h}\n")
            config = json.dumps({"database": {"url": "env:DATABASE_URL"}, "insecure": True})
            servers.append(stack.enter_context(Server(models=models, config=config, data_dir=str(tmp_path_factory.mktemp(f"data-{i}")),
                                                      env={**PYTHON, "DATABASE_URL": database.url})))
        yield database, servers


def epoch_of(server):
    models = {one["model"]: one["epoch"] for one in call(server, "GET", "/v1/cache")[2]["data"]}
    return models.get(MODEL, 0)


def test_a_change_is_on_every_host_within_a_second_and_no_call_fails(hosts):
    _, (one, two) = hosts
    put(one, {"stable": "1"})
    eventually(lambda: infer(two)[2] is not None)
    callers = [Callers(server) for server in (one, two)]
    for caller in callers:
        caller.start()
    before = [delays(server, "route") for server in (one, two)]
    changes = []  # When each was answered, and with which revision.
    for i in range(6):
        time.sleep(0.5)
        answer = put(one if i % 2 == 0 else two, {"stable": "2" if i % 2 == 0 else "1"})
        changes.append((time.monotonic(), answer["revision"], answer["route"]["stable"]))
    time.sleep(2 * SLOWNESS)
    for caller in callers:
        caller.stop()
    assert [caller.failures for caller in callers] == [[], []]
    version_of = {revision: version for _, revision, version in changes}
    for caller in callers:
        assert len(caller.answers) > 20
        revisions = [int(route.split(";")[1]) for _, _, route in caller.answers]
        assert revisions == sorted(revisions), "no call went back"
        for _, version, route in caller.answers:
            revision = int(route.split(";")[1])
            assert version == version_of.get(revision, "1"), "an answer is of its revision's version"
    # By the servers' own record, from the row to each host; what callers measure has their own slowness in it.
    for (count, soon), server in zip(before, (one, two)):
        now, in_time = delays(server, "route")
        assert now == count + len(changes) and (in_time == soon + len(changes) or SLOWNESS > 1), (count, soon, now, in_time)


def test_a_change_raises_the_models_epoch_on_every_host(hosts):
    database, (one, two) = hosts
    put(one, {"stable": "1"})
    infer(one)
    infer(two)

    def stored():
        return int(database.query(f"SELECT epoch FROM cache_epochs WHERE model = '{MODEL}'")[0][0])

    before = stored()
    put(two, {"stable": "2"})
    assert stored() == before + 1
    eventually(lambda: epoch_of(one) == epoch_of(two) == 1 + stored())
    put(two, {"stable": "2"})
    assert stored() == before + 1, "an equal route changes nothing"


def test_a_host_that_cannot_read_goes_on_with_its_last_route_and_says_so(hosts):
    database, (one, two) = hosts
    revision = put(one, {"stable": "1"})["revision"]
    eventually(lambda: infer(two)[2] == f"stable;{revision}")
    database.stop()
    try:
        eventually(lambda: metric(one, "mezzo_route_fresh") == 0, 60)
        assert infer(one)[:3] == (200, "1", f"stable;{revision}")
        assert one.get("/v2/health/ready")[0] == 200
        status, _, answer = call(one, "PUT", f"/v1/routes/{MODEL}", {"stable": "2"})
        assert status == 503, answer
    finally:
        database.start()
    eventually(lambda: metric(one, "mezzo_route_fresh") == 1 and metric(two, "mezzo_route_fresh") == 1, 60)
    revision = put(two, {"stable": "2"})["revision"]
    eventually(lambda: infer(one)[2] == f"stable;{revision}")


def test_units_get_equal_arms_on_all_hosts(hosts):
    _, (one, two) = hosts
    revision = put(one, split({"stable": ("1", 5000), "canary": ("2", 5000)}, sticky="header:x-user"))["revision"]
    eventually(lambda: (infer(two, headers={"X-User": "u"})[2] or "").endswith(f";{revision}"))
    arms = collections.Counter()
    for i in range(30):
        header = {"X-User": f"user-{i}"}
        of_one = infer(one, headers=header)[2]
        assert infer(two, headers=header)[2] == of_one
        arms[of_one] += 1
    assert len(arms) == 2
