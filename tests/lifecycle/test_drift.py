"""Drift of a version as callers and operators meet it: a shift in what calls hold is noticed on any host, and nothing is where there is
none."""

import json
import pathlib
import random
import subprocess
import sys
import time

import mezzo_server
import pytest
from mezzo_server import SLOWNESS, Server

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "releases"))

from test_registered_versions import Fleet, mezzo, route  # noqa: E402

MODEL = "calm"
# Each call is looked at; small windows.
CONFIG = "drift: {one_in: 1, reference_calls: 64, min_calls: 64, window: 20s, flush: 100ms, sustain: 1s, threshold: 1.0}\n"
SOURCE = """
import numpy as np
from mezzo_worker import TensorSpec

class Model:
    inputs = [TensorSpec("x", "FP32", [-1]), TensorSpec("t", "BYTES", [-1])]
    outputs = [TensorSpec("y", "FP32", [-1])]

    def __init__(self, context):
        pass

    def predict(self, inputs, context):
        return {"y": inputs["x"] * 0 + 7}
"""


@pytest.fixture(name="server", scope="module")
def watched_server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    (folder / MODEL / "1").mkdir(parents=True)
    (folder / MODEL / "1" / "model.py").write_text(SOURCE)
    (folder / MODEL / "model.yaml").write_text("batching: {max_batch_size: 0}\n")
    with Server(models=folder, config=CONFIG, env={"PATH": "/usr/bin:/bin"}) as server:
        yield server


def infer(server, dice, calls, mean):
    for _ in range(calls):
        body = {"inputs": [{"name": "x", "shape": [8], "datatype": "FP32", "data": [dice.gauss(mean, 1) for _ in range(8)]},
                           {"name": "t", "shape": [2], "datatype": "BYTES", "data": ["word", "words"]}]}
        status, _, text = server.request("POST", f"/v2/models/{MODEL}/infer", json.dumps(body).encode())
        assert status == 200, text


def call(server, method, path, body=None):
    status, _, text = server.request(method, path, None if body is None else json.dumps(body).encode())
    return status, json.loads(text)


def tensor(version, name):
    found = [one for one in version["tensors"] if one["name"] == name]
    return found[0] if found else None


def eventually(check, seconds=30):
    until = time.monotonic() + seconds * SLOWNESS
    while not (got := check()):
        assert time.monotonic() < until, "it did not come true"
        time.sleep(0.1)
    return got


@pytest.mark.covers("GET /v1/drift", "GET /v1/drift/{m}/{v}", "POST /v1/drift/{m}/{v}/reset")
def test_a_shift_in_what_calls_hold_is_noticed_and_a_new_beginning_ends_it(server):
    dice = random.Random(3)
    assert call(server, "GET", "/v1/drift")[1] == {"object": "list", "data": []}
    status, answer = call(server, "GET", f"/v1/drift/{MODEL}/1")
    assert (status, answer["error"]["code"]) == (404, "drift_unknown")

    def version():
        status, answer = call(server, "GET", f"/v1/drift/{MODEL}/1")
        return answer if status == 200 else None

    def known():
        infer(server, dice, 20, 0)
        now = version()
        return now and len(now["tensors"]) == 3 and all(one["psi"] is not None for one in now["tensors"]) and now

    steady = eventually(known, 60)
    assert steady["drifted_since"] is None and all(one["psi"] < 1 for one in steady["tensors"]), steady
    assert {(one["name"], one["direction"]) for one in steady["tensors"]} == {("x", "input"), ("t", "input"), ("y", "output")}
    plotted = tensor(steady, "x")["histogram"]
    assert len(plotted["edges"]) + 1 == len(plotted["reference"]) == len(plotted["now"])
    assert sum(plotted["reference"]) >= 8 * 64

    again = {"model": MODEL, "triggers": [{"kind": "drift"}], "stages": [{"name": "look", "kind": "test", "version": "1"}]}
    assert call(server, "PUT", "/v1/pipelines/again", again)[0] == 200
    assert call(server, "GET", "/v1/pipelines/again/runs")[1]["data"] == []

    def drifted():
        infer(server, dice, 40, 3)
        now = version()
        return now["told"] and now

    shifted = eventually(drifted, 60)
    assert shifted["drifted_since"] and tensor(shifted, "x")["psi"] >= 1
    assert tensor(shifted, "y")["psi"] < 1 and tensor(shifted, "t")["psi"] < 1, "the answers and texts are as they were"
    metrics = server.metrics()
    assert metrics[f'mezzo_drift_psi{{model="{MODEL}",version="1",tensor="x",direction="input"}}'] >= 1
    assert metrics[f'mezzo_drift_breached{{model="{MODEL}",version="1"}}'] == 1
    assert any("drifts" in line.get("msg", "") for line in server.log)
    (begun,) = eventually(lambda: call(server, "GET", "/v1/pipelines/again/runs")[1]["data"])
    assert begun["trigger"]["kind"] == "drift" and begun["trigger"]["detail"], begun

    done = subprocess.run([mezzo_server.BINARY, "model", "drift", MODEL, "--url", server.http_url], capture_output=True, text=True,
                          timeout=60 * SLOWNESS, check=False)
    assert done.returncode == 0 and "DIRECTION" in done.stdout and "input" in done.stdout, done.stderr
    done = subprocess.run([mezzo_server.BINARY, "model", "drift", MODEL, "--version", "1", "--reset", "--url", server.http_url],
                          capture_output=True, text=True, timeout=60 * SLOWNESS, check=False)
    assert done.returncode == 0 and "reference" in done.stdout, done.stderr

    def new_beginning():
        infer(server, dice, 40, 3)
        now = version()
        found = tensor(now, "x") if now else None
        return found and found["psi"] is not None and now

    again = eventually(new_beginning, 60)
    assert tensor(again, "x")["psi"] < 1 and again["drifted_since"] is None, "what it is now is what it shall be"


@pytest.mark.parametrize("path,body,code", [
    (f"/v1/drift/{MODEL}/9/reset", {}, "drift_unknown"),
    (f"/v1/drift/{MODEL}/1/reset", {"from": 9}, "drift_unknown"),
    (f"/v1/drift/{MODEL}/1/reset", {"from": "one"}, "request_member"),
    (f"/v1/drift/{MODEL}/1/reset", {"form": 1}, "request_member"),
])
def test_a_wrong_reset_changes_nothing(server, path, body, code):
    before = call(server, "GET", f"/v1/drift/{MODEL}/1")[1].get("tensors")
    status, answer = call(server, "POST", path, body)
    assert status in (400, 404) and answer["error"]["code"] == code, answer
    after = call(server, "GET", f"/v1/drift/{MODEL}/1")[1].get("tensors")
    assert [one["reference"] for one in before or []] == [one["reference"] for one in after or []]


def test_without_the_switch_nothing_is_kept(tmp_path):
    folder = tmp_path / "models"
    (folder / MODEL / "1").mkdir(parents=True)
    (folder / MODEL / "1" / "model.py").write_text(SOURCE)
    (folder / MODEL / "model.yaml").write_text("batching: {max_batch_size: 0}\n")
    config = CONFIG.replace("one_in: 1", "one_in: 0")
    with Server(models=folder, config=config, env={"PATH": "/usr/bin:/bin"}) as server:
        infer(server, random.Random(1), 80, 0)
        time.sleep(0.5)
        assert call(server, "GET", "/v1/drift")[1]["data"] == []


def test_two_hosts_find_it_together_and_tell_it_once_and_a_lost_host_does_not_stop_them(tmp_path):
    config = CONFIG.replace("window: 20s", "window: 60s").replace("min_calls: 64", "min_calls: 100")
    with Fleet(tmp_path, config=config) as fleet:
        a, b = fleet.hosts
        source = tmp_path / "calm"
        source.mkdir()
        (source / "model.py").write_text(SOURCE)
        (source / "model.yaml").write_text("batching: {max_batch_size: 0}\n")
        mezzo(a, "push", source, "--name", MODEL, "--wait")
        route(a, {"stable": "1"}, MODEL)
        dice = random.Random(5)
        for host in (a, b):
            eventually(lambda host=host: host.get(f"/v2/models/{MODEL}/ready")[0] == 200, 60)
        infer(a, dice, 70, 0)

        def version(host):
            status, answer = call(host, "GET", f"/v1/drift/{MODEL}/1")
            return answer if status == 200 else None

        eventually(lambda: version(b), 60)
        infer(b, dice, 1, 0)  # From its next look on, this host counts.
        time.sleep(1)
        # Neither host has enough calls alone.
        infer(a, dice, 60, 4)
        infer(b, dice, 60, 4)
        both = eventually(lambda: (now := version(a)) and now["told"] and now, 60)
        assert tensor(both, "x")["calls"] >= 100 and tensor(both, "x")["psi"] >= 1
        told = [line for host in (a, b) for line in host.log if "drifts" in line.get("msg", "")]
        assert len(told) == 1, told
        b.kill()
        assert tensor(version(a), "x")["calls"] >= 100, "what the lost host has seen still counts"
