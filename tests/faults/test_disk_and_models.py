"""Disks that are full, files that are broken, change or go, and descriptors that run out."""

import base64
import glob
import json
import resource
import shutil
import time

import lab
import mezzo_server
import pytest
from mezzo_server import Server

EXPLICIT = 'models: {control: explicit, startup: ["*"]}\n'
POLL = "models: {control: poll, poll_interval: 100ms}\n"


@pytest.fixture
def folder(tmp_path):
    for name in ("simple", "versioned"):
        shutil.copytree(mezzo_server.MODELS / name, tmp_path / name)
    return tmp_path


def _load(server, name, parameters=None):
    body = json.dumps({"parameters": parameters or {}}).encode()
    status, _, answer = server.request("POST", f"/v2/repository/models/{name}/load", body)
    return status, json.loads(answer)["error"] if answer else ""


def _index(server):
    entries = json.loads(server.request("POST", "/v2/repository/index")[2])
    return {(entry["name"], entry.get("version", "")): entry for entry in entries}


def _plus(server):
    body = json.dumps({"inputs": [{"name": "INPUT", "shape": [1, 1], "datatype": "FP32", "data": [10]}]}).encode()
    status, _, answer = lab.infer(server, "versioned", body)
    assert status == 200, answer
    return answer["outputs"][0]["data"][0] - 10


def test_a_full_disk_refuses_the_load_and_leaves_nothing(folder):
    graph = (mezzo_server.MODELS / "mlp" / "1" / "model.onnx").read_bytes()
    parameters = {"config": '{"name": "mlp"}', "file:1/model.onnx": base64.b64encode(graph).decode()}
    with Server(models=folder, config=EXPLICIT) as server:
        before = set(glob.glob("/tmp/mezzo-load-*"))
        # No file of this process may grow beyond 1000 bytes: a full disk for it alone.
        unlimited = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
        status, error = _load(server, "mlp", parameters)
        assert status == 503 and "an override file can't be written: File too large" in error
        assert set(glob.glob("/tmp/mezzo-load-*")) <= before
        lab.assert_serves(server)
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, unlimited)
        assert _load(server, "mlp", parameters) == (200, "")
        assert server.get("/v2/models/mlp/ready")[0] == 200
    assert set(glob.glob("/tmp/mezzo-load-*")) <= before


def test_descriptors_that_run_out_refuse_new_clients_and_come_back(folder):
    with Server(models=folder) as server:
        open_now = int(lab.metric(server, "mezzo_process_open_fds"))
        limits = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (open_now + 8, limits[1]))
        clients = [lab.connect(server) for _ in range(40)]  # The kernel accepts them; the server can't take them all.
        time.sleep(0.2)
        for client in clients:
            client.close()
        lab.assert_serves(server)
        refused = 'mezzo_net_refusals_total{listener="http",reason="file_descriptors"}'
        assert lab.metric(server, refused) >= 1
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, limits)


def test_a_failed_load_leaves_what_serves(folder):
    with Server(models=folder, config=EXPLICIT) as server:
        (folder / "simple" / "1" / "model.onnx").write_bytes(b"\x08\x08rubbish")
        status, error = _load(server, "simple")
        assert status == 500
        assert error.startswith("failed to load 'simple', no version is available: version 1: not an ONNX model")
        lab.assert_serves(server)
        assert "not an ONNX model" in _index(server)["simple", "1"]["reason"]
        shutil.copy(mezzo_server.MODELS / "simple" / "1" / "model.onnx", folder / "simple" / "1")
        assert _load(server, "simple") == (200, "")
        assert "reason" not in _index(server)["simple", "1"]
        lab.assert_serves(server)


def test_files_removed_while_loaded_do_not_matter(folder):
    with Server(models=folder) as server:
        assert _plus(server) == 3
        shutil.rmtree(folder / "simple")
        shutil.rmtree(folder / "versioned")
        lab.assert_serves(server)
        assert _plus(server) == 3


def test_polling_takes_good_changes_and_survives_bad_ones(folder):
    with Server(models=folder, config=POLL) as server:
        assert _plus(server) == 3
        # At once: a corrupt new version, a new good model, a broken configuration, a model that comes and is no model.
        (folder / "versioned" / "4").mkdir()
        graph = (folder / "versioned" / "3" / "model.onnx").read_bytes()
        (folder / "versioned" / "4" / "model.onnx").write_bytes(graph[: len(graph) // 2])
        shutil.copytree(mezzo_server.MODELS / "add_sub", folder / "add_sub")
        (folder / "simple" / "config.pbtxt").write_text('name: "simple"\nmax_batch_size: "eight"\n')
        shutil.copytree(mezzo_server.BAD_MODELS / "broken", folder / "broken")

        lab.await_true(lambda: server.get("/v2/models/add_sub/ready")[0] == 200, what="the new model")
        lab.await_true(lambda: "reason" in _index(server).get(("versioned", "4"), {}), what="the corrupt version's reason")
        assert _index(server)["versioned", "4"]["state"] == "UNAVAILABLE"
        assert _plus(server) == 3
        lab.await_true(lambda: ("broken", "1") in _index(server))
        assert "not an ONNX model" in _index(server)["broken", "1"]["reason"]
        lab.await_true(lambda: any("config.pbtxt:2" in entry.get("reason", "") for (name, _), entry
                                   in _index(server).items() if name == "simple"), what="the configuration's reason")
        lab.assert_serves(server)

        # The version becomes whole, a model goes.
        (folder / "versioned" / "4" / "model.onnx").write_bytes((folder / "versioned" / "1" / "model.onnx").read_bytes())
        shutil.rmtree(folder / "add_sub")
        lab.await_true(lambda: _plus(server) == 1, what="the repaired version")
        lab.await_true(lambda: server.get("/v2/models/add_sub")[0] == 404, what="the model's end")
        lab.assert_serves(server)


def test_a_copy_in_progress_is_not_loaded(folder):
    graph = (mezzo_server.MODELS / "mlp" / "1" / "model.onnx").read_bytes()
    with Server(models=folder, config=POLL) as server:
        target = folder / "mlp" / "1" / "model.onnx"
        target.parent.mkdir(parents=True)
        with target.open("wb") as out:
            start = time.monotonic()
            for at in range(0, len(graph), len(graph) // 30 + 1):  # Growing for longer than the time changes settle in.
                out.write(graph[at: at + len(graph) // 30 + 1])
                out.flush()
                time.sleep(0.09)
            assert time.monotonic() - start > 2.5
        lab.await_true(lambda: server.get("/v2/models/mlp/ready")[0] == 200, what="the copied model")
        failed = [entry for entry in server.log if entry.get("model") == "mlp" and entry["level"] in ("warn", "error")]
        assert failed == []


def test_loads_and_unloads_under_traffic_lose_no_call(folder):
    """Versions change under calls that run: each is answered by one version or the other."""
    with Server(models=folder, config=EXPLICIT) as server:
        calls = lab.Calls(server, "simple", [lab.SIMPLE] * 60)
        for _ in range(5):
            assert _load(server, "simple", {"config": '{"name": "simple", "max_batch_size": 8}'}) == (200, "")
        for status, _, answer in calls.join():
            assert status == 200, answer
            assert answer["outputs"][0]["data"] == lab.SIMPLE_SUM
        lab.await_true(lambda: lab.metric(server, "mezzo_models_memory_draining_bytes") == 0)
