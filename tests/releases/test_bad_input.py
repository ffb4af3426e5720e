"""Bad input, line by line: an exact error, and everything as it was."""

import gzip
import json
import re
import threading

import pytest
from mezzo_server import SLOWNESS, Server
from test_release import LOOSE, QUICK, Traffic, await_state, start
from test_routes import MODEL, PYTHON, call, eventually, infer, put

# Version 2 answers its first two calls and is gone at the third, in every process that loads it; 3 is good.
SOURCE = """
import os
import numpy as np
from mezzo_worker import TensorSpec

class Model:
    inputs = [TensorSpec("x", "FP32", [-1])]
    outputs = [TensorSpec("y", "FP32", [-1]), TensorSpec("v", "INT64", [1])]

    def __init__(self, context):
        self.calls = 0

    def predict(self, inputs, context):
        self.calls += 1
        if {version} == 2 and self.calls >= 3:
            os._exit(9)
        return {{"y": inputs["x"] * 2, "v": np.int64([{version}])}}
"""


@pytest.fixture(name="server", scope="module")
def server_of_versions(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for version in (1, 2, 3):
        (folder / MODEL / str(version)).mkdir(parents=True)
        (folder / MODEL / str(version) / "model.py").write_text(SOURCE.format(version=version))
    (folder / MODEL / "model.yaml").write_text("versions: {policy: all}\nbatching: {max_batch_size: 0}\n")
    with Server(models=folder, env=PYTHON) as server:
        yield server


def state_of(server):
    """What must be as before: the route, and releases that have not ended."""
    releases = call(server, "GET", "/v1/releases")[2]["data"]
    return (call(server, "GET", f"/v1/routes/{MODEL}")[2], [one["id"] for one in releases if one["state"] in ("preparing", "running", "paused")])


def refused(server, method, path, body, headers=None):
    """(status, code, message) of an error, behind which everything is as before."""
    before = state_of(server)
    status, _, answer = call(server, method, path, body, headers)
    assert status >= 400, answer
    assert state_of(server) == before
    error = answer["error"]
    return status, error["code"], error["message"]


def test_a_version_that_crashes_on_its_third_call_is_rolled_back_and_callers_see_nothing(server):
    put(server, {"stable": "1"})
    with Traffic([server]) as traffic:
        release = start(server, 2)
        ended = await_state(server, release, "rolled_back")
        eventually(lambda: infer(server)[1] == "1")
    assert not traffic.failures, traffic.failures[:3]
    assert "2" in {version for _, _, version in traffic.versions}, "its first calls were good"
    assert ended["split"] == [{"name": "stable", "version": "1", "weight": 10000}]
    kinds = [event["kind"] for event in call(server, "GET", f"/v1/releases/{release}/events")[2]["data"]]
    assert kinds[-1] == "rolled_back" and "succeeded" not in kinds


@pytest.mark.parametrize("route,code,words", [
    ({"stable": "9"}, "route_version_unknown", "model 'm' has no version 9 here; it has 1, 2, 3"),
    ({"stable": "1", "rules": [{"header": "x-beta", "equals": "1", "version": "17"}]}, "route_version_unknown",
     "model 'm' has no version 17 here; it has 1, 2, 3"),
    ({"stable": "1", "split": {"sticky": "none", "salt": "s", "arms": [{"name": "stable", "version": "1", "weight": 9000},
                                                                         {"name": "canary", "version": "2", "weight": 999}]}},
     "route_weights", "9999"),
    ({"stable": "1", "split": {"sticky": "none", "salt": "s", "arms": [{"name": "stable", "version": "1", "weight": 9000},
                                                                         {"name": "canary", "version": "2", "weight": 1001}]}},
     "route_weights", "10001"),
])
def test_a_route_that_cannot_be_is_refused(server, route, code, words):
    put(server, {"stable": "1"})
    status, got, message = refused(server, "PUT", f"/v1/routes/{MODEL}", route)
    assert (status, got) == (400, code), message
    assert words in message, message
    assert infer(server)[1] == "1"


def test_a_route_of_a_model_that_is_not_there_is_refused(server):
    put(server, {"stable": "1"})
    status, code, message = refused(server, "PUT", "/v1/routes/nothing", {"stable": "1"})
    assert (status, code) == (400, "route_version_unknown"), message
    assert "'nothing'" in message
    assert call(server, "GET", "/v1/routes/nothing")[0] == 404


def test_of_two_releases_at_once_one_begins(server):
    put(server, {"stable": "1"})
    spec = {"model": MODEL, "candidate": "3", **QUICK, "analysis": LOOSE, "automatic": False}
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(call(server, "POST", "/v1/releases", spec))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60 * SLOWNESS)
    begun = [answer for status, _, answer in answers if status == 201]
    others = [(status, answer["error"]["code"]) for status, _, answer in answers if status != 201]
    assert len(begun) == 1 and others == [(409, "release_exists")] * 7, answers
    release = begun[0]["id"]
    await_state(server, release, "running")
    status, code, message = refused(server, "POST", "/v1/releases", spec)
    assert (status, code) == (409, "release_exists") and release in message and f"'{MODEL}'" in message
    assert call(server, "POST", f"/v1/releases/{release}/cancel", {})[0] == 200
    assert call(server, "GET", f"/v1/releases/{release}")[2]["state"] == "cancelled"


def bomb(megabytes, start=b'{"stable": "'):
    """A request body that is a thousand times larger when it is unpacked."""
    return gzip.compress(start + b"1" * (megabytes << 20) + b'"}', 9)


@pytest.mark.parametrize("path,method", [(f"/v1/routes/{MODEL}", "PUT"), ("/v1/releases", "POST"), ("/v1/feedback", "POST")])
def test_a_body_that_unpacks_to_much_is_refused_before_it_is_unpacked(server, path, method):
    put(server, {"stable": "1"})
    before = state_of(server)
    resident = memory_of(server)
    body = bomb(64)
    assert len(body) < 200_000
    status, _, text = server.request(method, path, body, {"Content-Encoding": "gzip", "Content-Type": "application/json"})
    assert status == 413, (status, text[:300])
    assert re.search(r"request body (of \d+ bytes )?exceeds the limit of \d+ bytes", text.decode()), text[:300]
    assert state_of(server) == before
    assert memory_of(server) - resident < 48 << 20, "it is not unpacked as a whole"


def test_a_compressed_body_within_bounds_is_as_good_as_any(server):
    body = gzip.compress(json.dumps({"stable": "3"}).encode())
    status, _, text = server.request("PUT", f"/v1/routes/{MODEL}", body, {"Content-Encoding": "gzip", "Content-Type": "application/json"})
    assert status == 200, text
    assert infer(server)[1] == "3"
    half = body[:len(body) // 2]
    status, _, text = server.request("PUT", f"/v1/routes/{MODEL}", half, {"Content-Encoding": "gzip", "Content-Type": "application/json"})
    assert status == 400, text
    status, _, text = server.request("PUT", f"/v1/routes/{MODEL}", body, {"Content-Encoding": "zip", "Content-Type": "application/json"})
    assert status == 415, text


def memory_of(server):
    with open(f"/proc/{server.process.pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmRSS:"))
