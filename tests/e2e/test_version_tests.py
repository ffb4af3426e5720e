"""Versions that arrive at a real server are tested in a process of their own before they are ready."""

import json
import subprocess
import time

import pytest

import onnx_bytes
from mezzo_server import BAD_MODELS, BINARY, MODELS, SLOWNESS, Server

CONFIG = """
registry:
  tests:
    runs: 5
    cpu_time: 5s
    time: 60s
    memory: 512MiB
    latency_factor: 0
"""


def push(server, folder, name="m"):
    """The version's number."""
    done = subprocess.run([BINARY, "model", "--url", server.http_url, "--json", "push", str(folder), "--name", name],
                          capture_output=True, text=True, timeout=120 * SLOWNESS, check=False)
    assert done.returncode == 0, done.stderr + done.stdout


def version_of(server, number, name="m"):
    status, _, body = server.get(f"/v1/registry/models/{name}/versions/{number}")
    assert status == 200, body
    return json.loads(body)


def verdict(server, number, name="m", seconds=120):
    """The version once it is tested."""
    deadline = time.monotonic() + seconds * SLOWNESS
    while time.monotonic() < deadline:
        version = version_of(server, number, name)
        if version["state"] not in ("uploading", "testing"):
            return version
        time.sleep(0.05)
    raise AssertionError(f"still not tested: {version}")


def report_of(server, number, name="m"):
    status, _, body = server.get(f"/v1/registry/models/{name}/versions/{number}/test")
    assert status == 200, body
    return json.loads(body)


@pytest.fixture(name="folder")
def folders(tmp_path):
    def write(name, model, **files):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "model.onnx").write_bytes(model)
        for path, content in files.items():
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_text(content)
        return folder
    return write


GOLDEN = json.dumps({
    "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}],
    "outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 4], "data": [2, 4, 6, 8]}]})


def test_good_versions_get_ready_and_bad_ones_are_rejected(folder):
    bad = [
        (folder("wrong", onnx_bytes.times(3), **{"golden/double.json": GOLDEN}), "golden/double: output 'y'"),
        (folder("renamed", onnx_bytes.times(2, out="z")), "signature: output 'y' (FP32[-1,4]) is gone"),
        (folder("endless", onnx_bytes.endless()), "warmup: took more than 5 s of CPU time while warming up"),
        (folder("greedy", onnx_bytes.greedy()), "signature: output 'y' had the shape [-1,4] and has [1,1]"),
        (BAD_MODELS / "missing_op" / "1", "load: "),
        (BAD_MODELS / "external_escape" / "1", "files: tensor"),
        (BAD_MODELS / "broken" / "1", "files: not an ONNX model"),
    ]
    with Server(models=[MODELS], config=CONFIG) as server:
        push(server, folder("good", onnx_bytes.times(2), **{"golden/double.json": GOLDEN}))
        assert verdict(server, 1)["state"] == "ready", version_of(server, 1)
        for number, (path, reason) in enumerate(bad, start=2):
            push(server, path)
            version = verdict(server, number)
            assert version["state"] == "rejected", version
            assert reason in version["reason"], version
            report = report_of(server, number)
            assert report["verdict"] == "failed" and report["reason"] == version["reason"]
        latest = json.loads(server.get("/v1/registry/models/m/versions/latest")[2])
        assert latest["version"] in (1, "1"), "nothing else has changed"
        assert server.metrics()['mezzo_registry_tests_total{outcome="failed"}'] == len(bad)
        assert server.get("/v2/health/ready")[0] == 200


def test_a_test_outlives_its_host(folder, tmp_path):
    data = tmp_path / "data"
    config = CONFIG.replace("cpu_time: 5s", "cpu_time: 600s").replace("time: 60s", "time: 600s")
    server = Server(models=[MODELS], config=config, data_dir=data)
    push(server, folder("endless", onnx_bytes.endless()))
    deadline = time.monotonic() + 60 * SLOWNESS
    while time.monotonic() < deadline and not children_of(server.process.pid):
        time.sleep(0.02)
    children = children_of(server.process.pid)
    assert children, "no test has begun"
    server.kill()
    wait_for_end(children)

    with Server(models=[MODELS], config=CONFIG, data_dir=data) as again:
        version = verdict(again, 1, seconds=240)
        assert version["state"] == "rejected"
        assert "took more than 5 s of CPU time" in version["reason"]


def test_stopping_does_not_wait_for_a_test(folder, tmp_path):
    data = tmp_path / "data"
    config = CONFIG.replace("cpu_time: 5s", "cpu_time: 600s").replace("time: 60s", "time: 600s")
    server = Server(models=[MODELS], config=config, data_dir=data)
    push(server, folder("endless", onnx_bytes.endless()))
    deadline = time.monotonic() + 60 * SLOWNESS
    while time.monotonic() < deadline and not children_of(server.process.pid):
        time.sleep(0.02)
    children = children_of(server.process.pid)

    start = time.monotonic()
    assert server.terminate(60) == 0
    assert time.monotonic() - start < 30 * SLOWNESS
    wait_for_end(children)


def children_of(pid):
    """Processes that test versions, of this server."""
    found = subprocess.run(["ps", "--ppid", str(pid), "-o", "pid=,args="], capture_output=True, text=True, check=False)
    return [int(line.split()[0]) for line in found.stdout.splitlines() if "check-version" in line]


def wait_for_end(pids):
    deadline = time.monotonic() + 30 * SLOWNESS
    for pid in pids:
        while True:
            try:
                with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
                    if stat.read().rsplit(")", 1)[1].split()[0] == "Z":
                        break
            except OSError:
                break
            assert time.monotonic() < deadline, "a test's process outlives its server"
            time.sleep(0.05)


def test_with_the_default_kind_of_data_dir_relative_to_where_the_server_was_started(tmp_path, monkeypatch, folder):
    monkeypatch.chdir(tmp_path)
    good = folder("good", onnx_bytes.times(2))
    with Server(config=CONFIG, data_dir="own-data") as server:
        done = subprocess.run([BINARY, "model", "push", str(good), "--name", "m", "--wait", "--wait-limit", "60s"],
                              env={"MEZZO_URL": server.http_url},
                              capture_output=True, text=True, timeout=120 * SLOWNESS, check=False)
        assert done.returncode == 0, done.stderr + done.stdout
        assert version_of(server, 1)["state"] == "ready"
    assert (tmp_path / "own-data").is_dir()
