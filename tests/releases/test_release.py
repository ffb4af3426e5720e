"""Releases, as operators and callers meet them: a good version arrives, a bad one never does, and one command goes back."""

import contextlib
import json
import subprocess
import threading
import time

import mezzo_server
import pytest
from mezzo_server import SLOWNESS, Server
from postgres_server import PostgresServer
from test_routes import MODEL, PYTHON, call, eventually, infer, put

# Quick steps; the levels of the tests are the usual ones.
QUICK = {"steps": [{"weight": 2000, "min_duration_s": 1, "min_calls": 20}, {"weight": 5000, "min_duration_s": 1, "min_calls": 20},
                   {"weight": 10000, "min_duration_s": 1, "min_calls": 20}],
         "settle_s": 2, "prepare_limit_s": 120, "step_limit_s": 120}
# Versions of these tests differ by what they do, not by how fast a busy machine happens to be.
LOOSE = {"tolerated_slowdown": 10, "tolerated_cost": 10}

# Version 1 is good, 2 is good, 3 raises at every third call, 4 dies at each call.
SOURCE = """
import os
import numpy as np
from mezzo_worker import TensorSpec

VERSION = {version}

class Model:
    inputs = [TensorSpec("x", "FP32", [-1])]
    outputs = [TensorSpec("y", "FP32", [-1]), TensorSpec("v", "INT64", [1])]

    def __init__(self, context):
        self.calls = 0

    def predict(self, inputs, context):
        self.calls += 1
        if VERSION == 3 and self.calls % 3 == 0:
            raise RuntimeError("version 3 is broken")
        if VERSION == 4:
            os._exit(9)
        return {{"y": inputs["x"] * 2, "v": np.int64([VERSION])}}
"""


def write_versions(folder, versions):
    for version in versions:
        (folder / MODEL / str(version)).mkdir(parents=True)
        (folder / MODEL / str(version) / "model.py").write_text(SOURCE.format(version=version))
    (folder / MODEL / "model.yaml").write_text("versions: {policy: all}\nbatching: {max_batch_size: 0}\n")
    return folder


class Traffic:
    """Calls without a pause from some threads, over all servers; what they saw."""

    def __init__(self, servers, threads=4):
        self.servers, self.failures, self.versions = servers, [], []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(index,), daemon=True) for index in range(threads)]

    def _run(self, index):
        server = self.servers[index % len(self.servers)]
        while not self._stop.is_set():
            try:
                status, version, _, answer = infer(server, timeout=120)
            except OSError as error:
                status, version, answer = 0, None, str(error)
            if status != 200:
                self.failures.append((status, answer))
            self.versions.append((time.monotonic(), index % len(self.servers), version))

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception):
        self._stop.set()
        for thread in self._threads:
            thread.join(120 * SLOWNESS)


def start(server, candidate, **more):
    status, _, answer = call(server, "POST", "/v1/releases", {"model": MODEL, "candidate": str(candidate), **QUICK, "analysis": LOOSE,
                                                              **more})
    assert status == 201, answer
    return answer["id"]


def state(server, release):
    return call(server, "GET", f"/v1/releases/{release}")[2]


def await_state(server, release, *states, seconds=120):
    until = time.monotonic() + seconds * SLOWNESS
    while True:
        now = state(server, release)
        # A release is saved before its route is written.
        if now["state"] in states and not now["route_pending"]:
            return now
        ended = now["state"] in ("succeeded", "rolled_back", "failed", "cancelled")
        assert (now["state"] in states or not ended) and time.monotonic() < until, json.dumps(now, indent=1)
        time.sleep(0.1)


@pytest.fixture(name="server", scope="module")
def server_of_versions(tmp_path_factory):
    with Server(models=write_versions(tmp_path_factory.mktemp("models"), (1, 2, 3, 4)), env=PYTHON) as server:
        yield server


@pytest.mark.covers("POST /v1/releases", "GET /v1/releases", "GET /v1/releases/{r}", "GET /v1/releases/{r}/events",
                    "GET /v1/releases/{r}/evidence")
def test_a_good_version_comes_to_answer_all_calls_and_nobody_notices(server):
    put(server, {"stable": "1"})
    with Traffic([server]) as traffic:
        release = start(server, 2)
        ended = await_state(server, release, "succeeded")
    assert not traffic.failures, traffic.failures[:3]
    assert {version for _, _, version in traffic.versions} == {"1", "2"}
    assert ended["split"] == [{"name": "stable", "version": "2", "weight": 10000}]
    assert call(server, "GET", f"/v1/routes/{MODEL}")[2]["route"]["stable"] == "2"
    assert infer(server)[1] == "2"
    kinds = [event["kind"] for event in call(server, "GET", f"/v1/releases/{release}/events")[2]["data"]]
    assert kinds[0] == "preparing" and kinds[-1] == "succeeded" and {"running", "promoting", "settling"} <= set(kinds), kinds
    evidence = call(server, "GET", f"/v1/releases/{release}/evidence")[2]["data"]
    metrics = {metric["metric"] for metric in evidence[-1]["verdict"]["evidence"]}
    assert {"error_rate", "latency_p99", "max_error_rate"} <= metrics
    assert all(not metric["crossed"] for row in evidence for metric in row["verdict"]["evidence"])
    assert release in [one["id"] for one in call(server, "GET", f"/v1/releases?model={MODEL}")[2]["data"]]


@pytest.mark.parametrize("version,what", [(3, "raises now and then"), (4, "dies at each call")])
def test_a_bad_version_is_rolled_back_and_no_caller_sees_it_fail(server, version, what):
    put(server, {"stable": "1"})
    with Traffic([server]) as traffic:
        release = start(server, version)
        ended = await_state(server, release, "rolled_back")
        eventually(lambda: infer(server)[1] == "1")
    assert not traffic.failures, (what, traffic.failures[:3])
    assert ended["reason"] and ended["split"] == [{"name": "stable", "version": "1", "weight": 10000}]
    assert call(server, "GET", f"/v1/routes/{MODEL}")[2]["route"]["stable"] == "1"
    assert all(infer(server)[:2] == (200, "1") for _ in range(20))


def test_a_shadow_release_answers_nobody(server):
    put(server, {"stable": "1"})
    with Traffic([server]) as traffic:
        release = start(server, 2, strategy="shadow", shadow_share=10000, steps=[{"weight": 10000, "min_duration_s": 1, "min_calls": 20}])
        await_state(server, release, "succeeded")
    assert {version for _, _, version in traffic.versions} == {"1"} and not traffic.failures
    assert call(server, "GET", f"/v1/routes/{MODEL}")[2]["route"].get("shadows", []) == []


@pytest.mark.covers("POST /v1/releases/{r}/pause", "POST /v1/releases/{r}/resume", "POST /v1/releases/{r}/promote",
                    "POST /v1/releases/{r}/roll_back", "POST /v1/releases/{r}/cancel")
def test_people_decide_when_they_want_to(server):
    put(server, {"stable": "1"})
    release = start(server, 2, automatic=False)
    await_state(server, release, "running")
    status, _, refused = call(server, "POST", "/v1/releases", {"model": MODEL, "candidate": "3"})
    assert (status, refused["error"]["code"]) == (409, "release_exists")

    def command(name, body=None):
        return call(server, "POST", f"/v1/releases/{release}/{name}", body or {})

    assert command("pause")[2]["state"] == "paused"
    assert command("resume")[2]["state"] == "running"
    status, _, promoted = command("promote")
    assert (status, promoted["state"]) == (200, "settling"), promoted
    eventually(lambda: infer(server)[1] == "2")
    status, _, back = command("roll_back")
    assert (status, back["state"]) == (200, "rolled_back"), back
    eventually(lambda: infer(server)[1] == "1")
    status, _, refused = command("promote")
    assert (status, refused["error"]["code"]) == (409, "release_ended")
    other = start(server, 2, automatic=False)
    await_state(server, other, "running")
    assert call(server, "POST", f"/v1/releases/{other}/cancel", {})[2]["state"] == "cancelled"
    assert call(server, "GET", "/v1/releases/0193e000-0000-7000-8000-000000000000")[0] == 404


@pytest.mark.parametrize("spec,code", [
    ({"candidate": "2", "strategy": "hope"}, "release_spec"),
    ({"candidate": "two"}, "release_spec"),
    ({"candidate": "1"}, "release_spec"),
    ({"candidate": "2", "steps": [{"weight": 5000}, {"weight": 2500}]}, "release_spec"),
    ({"candidate": "2", "analysis": {"alpha": 2}}, "release_policy"),
    ({"candidate": "2", "nonsense": 1}, "release_spec"),
])
def test_a_bad_declaration_is_refused(server, spec, code):
    put(server, {"stable": "1"})
    before = call(server, "GET", f"/v1/routes/{MODEL}")[2]["revision"]
    status, _, answer = call(server, "POST", "/v1/releases", {"model": MODEL, **spec})
    assert (status, answer["error"]["code"]) == (400, code), answer
    assert call(server, "GET", f"/v1/routes/{MODEL}")[2]["revision"] == before


def test_a_version_that_is_not_there_fails_before_it_has_a_call(server):
    put(server, {"stable": "1"})
    release = start(server, 9)
    failed = await_state(server, release, "failed")
    assert "9" in failed["reason"], failed
    assert infer(server)[1] == "1"
    status, _, answer = call(server, "POST", "/v1/releases", {"model": "nothing", "candidate": "2"})
    assert (status, answer["error"]["code"]) == (409, "release_stable_unknown"), answer


@pytest.mark.covers("POST /v1/feedback")
def test_feedback_by_the_route_of_an_answer_is_evidence_and_counts_once(server):
    put(server, {"stable": "1"})
    release = start(server, 2, automatic=False, steps=[{"weight": 5000, "min_duration_s": 1, "min_calls": 20}, {"weight": 10000}],
                    analysis={**LOOSE, "custom": [{"name": "score", "less_is_worse": True, "range": [0, 1]}]})
    await_state(server, release, "running")

    def feedback(request, route, value=1, **more):
        return call(server, "POST", "/v1/feedback", {"model": MODEL, "route": route, "request_id": request, "value": value, **more})

    time.sleep(4)  # What comes in the first seconds of a step may be of both splits, and is not compared.
    arms = {}

    def drawn():
        route = infer(server)[2]
        arms[route.split(";")[0]] = route
        return {"canary", "baseline"} <= set(arms)

    eventually(drawn)
    assert feedback("r1", arms["canary"])[2] == {"object": "feedback", "counted": True}
    assert feedback("r1", arms["canary"])[2] == {"object": "feedback", "counted": False}
    assert feedback("r2", "purple;1")[2]["error"]["code"] == "feedback_other_route"
    assert feedback("r3", arms["canary"], metric="unheard")[0] == 400
    for number in range(15):  # A test of means takes 20 values at a time, of both arms.
        assert feedback(f"c{number}", arms["canary"], value=0.5)[2]["counted"] is True
        assert feedback(f"b{number}", arms["baseline"], value=0.5)[2]["counted"] is True

    def seen():
        infer(server)
        latest = state(server, release)["latest"]
        return latest and [m for m in latest["verdict"]["evidence"] if m["metric"] == "custom:score" and m["canary_samples"] >= 1]

    try:
        eventually(seen, 60)
    finally:
        call(server, "POST", f"/v1/releases/{release}/cancel", {})


def test_the_command_line_releases_and_rolls_back(server):
    put(server, {"stable": "1"})

    def command(*args, code=0):
        done = subprocess.run([mezzo_server.BINARY, "release", "--url", server.http_url, *args], capture_output=True, text=True,
                              timeout=240 * SLOWNESS, check=False)
        assert done.returncode == code, (done.stdout, done.stderr)
        return done.stdout + done.stderr

    text = command("start", MODEL, "2", "--manual", "--steps", "10,100")
    assert "canary" in text and "preparing" in text
    eventually(lambda: "running" in command("show", MODEL))
    assert "canary=2 10%" in command("list")
    assert "settling" in command("promote", MODEL)
    assert "rolled_back" in command("rollback", MODEL)
    assert "roll" in command("events", MODEL)
    assert "release_ended" in command("rollback", MODEL, code=1)
    with Traffic([server]):
        watched = command("start", MODEL, "2", "--steps", "50,100", "--step-time", "1", "--min-calls", "20", "--settle", "1", "--watch")
    assert "succeeded" in watched and "error_rate" in watched


@contextlib.contextmanager
def two_hosts(folder):
    models = write_versions(folder / "models", (1, 2))
    with PostgresServer() as postgres, contextlib.ExitStack() as stack:
        env = {**PYTHON, "DATABASE_URL": postgres.url}
        hosts = [stack.enter_context(Server("--set", "database.url=env:DATABASE_URL", models=models, env=env,
                                            data_dir=str(folder / f"host-{index}"))) for index in range(2)]
        yield hosts


def test_a_rollback_by_hand_is_on_all_hosts_within_a_second_and_no_call_fails(tmp_path):
    with two_hosts(tmp_path) as hosts:
        put(hosts[0], {"stable": "1"})
        release = start(hosts[1], 2, automatic=False)
        await_state(hosts[0], release, "running")
        assert call(hosts[0], "POST", f"/v1/releases/{release}/promote", {})[0] == 200
        for host in hosts:
            eventually(lambda host=host: infer(host)[1] == "2")
        with Traffic(hosts) as traffic:
            time.sleep(1)
            assert call(hosts[1], "POST", f"/v1/releases/{release}/roll_back", {})[0] == 200
            answered = time.monotonic()
            time.sleep(2 * SLOWNESS)
        late = [(host, at - answered) for at, host, version in traffic.versions if version == "2" and at > answered + SLOWNESS]
        assert not traffic.failures, traffic.failures[:3]
        assert not late, late[:5]
        assert {host for _, host, version in traffic.versions if version == "1"} == {0, 1}


def test_a_release_goes_on_when_the_host_that_leads_it_dies(tmp_path):
    with two_hosts(tmp_path) as hosts:
        put(hosts[0], {"stable": "1"})
        with Traffic(hosts[1:]) as traffic:
            release = start(hosts[0], 2, steps=[{"weight": 5000, "min_duration_s": 4, "min_calls": 20},
                                                {"weight": 10000, "min_duration_s": 1, "min_calls": 20}])
            await_state(hosts[1], release, "running")
            hosts[0].kill()
            await_state(hosts[1], release, "succeeded")
        assert not traffic.failures, traffic.failures[:3]
        assert call(hosts[1], "GET", f"/v1/routes/{MODEL}")[2]["route"]["stable"] == "2"
