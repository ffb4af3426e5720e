"""Python models in processes of their own, through the real server: dropped in as folders, driven over HTTP."""

import json
import os
import pathlib
import signal
import time

import pytest

from mezzo_server import SLOWNESS, Server

# Some interpreter with numpy: the system's (./dev setup), not that of the environment that runs the tests.
PYTHON = {"PATH": "/usr/bin:/bin"}

DOUBLE = """
import os, time
import numpy as np
from mezzo_worker import TensorSpec

class Model:
    inputs = [TensorSpec("x", "FP32", [-1])]
    outputs = [TensorSpec("y", "FP32", [-1]), TensorSpec("pid", "INT64", [1])]

    def __init__(self, context):
        context.logger.warning("double is here")

    def predict(self, inputs, context):
        x = inputs["x"]
        if x[0] == -1:
            raise ValueError("x must not be -1")
        if x[0] == -2:
            os.kill(os.getpid(), 11)
        return {"y": x * 2, "pid": np.int64([os.getpid()])}
"""


@pytest.fixture(name="folder")
def repository(tmp_path):
    (tmp_path / "double").mkdir()
    (tmp_path / "double" / "model.py").write_text(DOUBLE)
    (tmp_path / "double" / "model.yaml").write_text("batching: {max_batch_size: 0}\n")
    return tmp_path


def infer(server, model, values):
    body = {"inputs": [{"name": "x", "shape": [len(values)], "datatype": "FP32", "data": values}]}
    status, _, answer = server.request("POST", f"/v2/models/{model}/infer", json.dumps(body).encode())
    answer = json.loads(answer)
    if status != 200:
        return status, answer["error"]
    return status, {output["name"]: output["data"] for output in answer["outputs"]}


def eventually(check, seconds=20):
    until = time.monotonic() + seconds * SLOWNESS
    while not check():
        assert time.monotonic() < until
        time.sleep(0.05)


def is_gone(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().split(") ")[1].startswith("Z")
    except FileNotFoundError:
        return True


def test_a_folder_with_a_model_py_is_a_model(folder):
    with Server(models=folder, env=PYTHON) as server:
        metadata = json.loads(server.get("/v2/models/double")[2])
        status, outputs = infer(server, "double", [1, 2.5])

        assert metadata["platform"] == "python"
        assert metadata["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1]}]
        assert (status, outputs["y"]) == (200, [2, 5])
        assert any("double is here" in line for line in server.raw)


def test_its_exceptions_are_answers_and_its_crashes_pass(folder):
    with Server(models=folder, env=PYTHON) as server:
        assert infer(server, "double", [-1]) == (400, "model 'double': x must not be -1")

        status, error = infer(server, "double", [-2])

        assert status == 503
        assert "signal 11" in error
        eventually(lambda: infer(server, "double", [3])[0] == 200)


@pytest.mark.parametrize("end", ["terminate", "kill"])
def test_its_process_ends_with_the_server(folder, end):
    with Server(models=folder, env=PYTHON) as server:
        pid = infer(server, "double", [1])[1]["pid"][0]
        assert not is_gone(pid)

        getattr(server, end)()

        eventually(lambda: is_gone(pid))


def test_a_model_whose_process_keeps_dying_is_not_ready_and_says_why(folder):
    (folder / "double" / "model.yaml").write_text("batching: {max_batch_size: 0}\nworker: {start_timeout: 20s}\n")
    with Server(models=folder, env=PYTHON) as server:
        pid = infer(server, "double", [1])[1]["pid"][0]
        (folder / "double" / "model.py").write_text("import os\nprint('gone wrong', flush=True)\nos._exit(3)\n")
        os.kill(pid, signal.SIGKILL)

        eventually(lambda: server.get("/v2/models/double/ready")[0] != 200, seconds=60)
        index = json.loads(server.request("POST", "/v2/repository/index", b"{}")[2])

        assert index[0]["state"] == "UNAVAILABLE"
        assert "status 3" in index[0]["reason"] and "gone wrong" in index[0]["reason"]


def test_a_remote_model_runs_on_a_second_server(folder, tmp_path):
    with Server(models=folder, env=PYTHON) as upstream:
        near = tmp_path / "near"
        (near / "far").mkdir(parents=True)
        (near / "far" / "model.yaml").write_text(
            f"upstream: {{url: '{upstream.http_url}', model: double, timeout: 10s, retries: 1}}\n"
            "batching: {max_batch_size: 0}\n")
        with Server(models=near) as server:
            assert json.loads(server.get("/v2/models/far")[2])["platform"] == "remote"
            assert infer(server, "far", [4])[1]["y"] == [8]
            status, error = infer(server, "far", [-1])
            assert status == 400 and "x must not be -1" in error

            upstream.kill()

            status, error = infer(server, "far", [4])
            assert status == 503 and "the upstream of 'far'" in error
