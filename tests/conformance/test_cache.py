"""The cache of answers over HTTP, gRPC and the command line: `cache:` of model.yaml, X-Mezzo-Cache, purge, metrics."""

import concurrent.futures
import hashlib
import json
import shutil
import subprocess
import time

import grpc
import mezzo_server
import pytest
import tritonclient.grpc as grpcclient
from mezzo_server import BINARY, Server
from tritonclient.grpc import service_pb2, service_pb2_grpc


def write_model(folder, name, cache):
    """`simple` under another name, with a `cache:` of its own."""
    shutil.copytree(mezzo_server.MODELS / "simple", folder / name)
    (folder / name / "config.pbtxt").unlink(missing_ok=True)
    (folder / name / "model.yaml").write_text(f"cache: {json.dumps(cache)}\n")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cached")
    write_model(folder, "kept", {"mode": "exact", "ttl": "1h"})
    write_model(folder, "shared", {"mode": "exact", "ttl": "1h", "scope": "public"})
    write_model(folder, "joined", {"mode": "single-flight"})
    shutil.copytree(mezzo_server.MODELS / "simple", folder / "simple")
    return folder


@pytest.fixture(scope="module")
def server(models):
    with Server(models=models) as running:
        yield running


def ask(server, model, first=1, headers=None, order=("name", "shape", "datatype", "data")):
    def tensor(name, data):
        whole = {"name": name, "shape": [1, 16], "datatype": "INT32", "data": data}
        return {member: whole[member] for member in order}

    body = {"inputs": [tensor("INPUT0", [first] * 16), tensor("INPUT1", list(range(16)))]}
    status, answer_headers, answer = server.request("POST", f"/v2/models/{model}/infer", json.dumps(body).encode(),
                                                    headers)
    answer = json.loads(answer)
    assert status == 200, answer
    sums = {output["name"]: output["data"] for output in answer["outputs"]}
    assert sums["OUTPUT0"] == [first + value for value in range(16)]
    return answer_headers.get("X-Mezzo-Cache")


def test_equal_calls_hit(server):
    assert ask(server, "kept", 10) == "miss"
    assert ask(server, "kept", 10) == "hit"
    assert ask(server, "kept", 10, order=("data", "datatype", "shape", "name")) == "hit"
    assert ask(server, "kept", 11) == "miss"
    assert ask(server, "simple", 10) is None, "a model without `cache:` says nothing"


def test_no_store_is_neither_answered_nor_kept(server):
    for _ in range(2):
        assert ask(server, "kept", 20, headers={"Cache-Control": "max-age=0, No-Store"}) == "bypass"
    assert ask(server, "kept", 20) == "miss"
    assert ask(server, "kept", 20, headers={"Cache-Control": "no-store"}) == "bypass"


def test_single_flight_keeps_nothing(server):
    assert ask(server, "joined", 1) == "miss"
    assert ask(server, "joined", 1) == "miss"


def test_the_protocols_share_answers(server):
    ask(server, "kept", 30)
    with grpc.insecure_channel(server.grpc) as channel:
        request = service_pb2.ModelInferRequest(model_name="kept")
        for name, values in (("INPUT0", [30] * 16), ("INPUT1", list(range(16)))):
            request.inputs.add(name=name, datatype="INT32", shape=[1, 16]).contents.int_contents.extend(values)
        answer, call = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer.with_call(request, timeout=30)
        assert len(answer.outputs) == 2
        assert ("x-mezzo-cache", "hit") in [(key, value) for key, value in call.trailing_metadata()]


def test_tritons_statistics_count_hits(server):
    client = grpcclient.InferenceServerClient(server.grpc)
    before = client.get_inference_statistics("kept").model_stats[0].inference_stats.cache_hit.count
    ask(server, "kept", 40)
    ask(server, "kept", 40)
    after = client.get_inference_statistics("kept").model_stats[0].inference_stats.cache_hit.count
    assert after == before + 1


@pytest.mark.covers("GET /v1/cache", "POST /v1/cache/purge")
def test_purge_by_the_command_line_and_statistics(server):
    ask(server, "kept", 50)
    ask(server, "shared", 50)
    assert ask(server, "kept", 50) == "hit"

    def mezzo(*args):
        return subprocess.run([BINARY, "cache", *args, "--url", server.http_url], capture_output=True, text=True,
                              timeout=60)

    purged = mezzo("purge", "kept")
    assert purged.returncode == 0, purged.stderr
    assert ask(server, "kept", 50) == "miss"
    assert ask(server, "shared", 50) == "hit", "only what was named is purged"
    assert mezzo("purge").returncode != 0, "a purge of everything must be said"
    assert mezzo("purge", "--all").returncode == 0
    assert ask(server, "shared", 50) == "miss"
    table = mezzo("stats").stdout
    assert "kept" in table and "shared" in table and "HITS" in table
    stats = {model["model"]: model for model in json.loads(mezzo("stats", "--json").stdout)["data"]}
    assert stats["kept"]["hits"] > 0 and stats["kept"]["epoch"] >= 2 and stats["kept"]["bytes"] > 0
    metrics = server.metrics()
    assert metrics['mezzo_cache_calls_total{model="kept",outcome="hit"}'] == stats["kept"]["hits"]
    assert metrics['mezzo_cache_saved_seconds_total{model="kept"}'] > 0
    status, _, problem = server.request("POST", "/v1/cache/purge", b'{"model": ""}')
    assert status == 400 and json.loads(problem)["detail"]


def test_tenants_do_not_see_each_others_answers(models):
    config = """
tenants:
  - {id: a, key_sha256: [%s]}
  - {id: b, key_sha256: [%s]}
""" % tuple(hashlib.sha256((name * 40).encode()).hexdigest() for name in "ab")
    with Server(models=models, config=config) as server:
        of = {name: {"Authorization": "Bearer " + name * 40} for name in "ab"}
        assert ask(server, "kept", 1, of["a"]) == "miss"
        assert ask(server, "kept", 1, of["b"]) == "miss", "each tenant has answers of its own"
        assert ask(server, "kept", 1, of["a"]) == "hit"
        assert ask(server, "shared", 1, of["a"]) == "miss"
        assert ask(server, "shared", 1, of["b"]) == "hit", "unless the model says that all share them"
        for path, method in (("/v1/cache", "GET"), ("/v1/cache/purge", "POST")):
            assert server.request(method, path, b"" if method == "POST" else None, of["a"])[0] == 403


def test_many_equal_calls_at_a_time_run_once(server):
    runs = 'mezzo_inference_batch_rows_sum{model="kept",version="1"}'
    before = server.metrics()[runs]
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        uses = list(pool.map(lambda _: ask(server, "kept", 777), range(200)))
    assert uses.count("miss") == 1
    assert set(uses) <= {"miss", "hit", "join"}
    assert server.metrics()[runs] == before + 1


def test_a_reload_with_other_weights_does_not_serve_the_old_answers(tmp_path):
    write_model(tmp_path, "kept", {"mode": "exact", "ttl": "1h"})
    with Server("--set", "models.control=explicit", "--set", "models.startup=[kept]", models=tmp_path) as server:
        assert ask(server, "kept", 5) == "miss"
        assert ask(server, "kept", 5) == "hit"
        assert server.request("POST", "/v2/repository/models/kept/unload", b"{}")[0] == 200
        deadline = time.monotonic() + 20
        while server.get("/v2/models/kept/ready")[0] == 200 and time.monotonic() < deadline:
            time.sleep(0.02)
        (tmp_path / "kept" / "1" / "note.txt").write_text("another version of the files")
        assert server.request("POST", "/v2/repository/models/kept/load", b"{}")[0] == 200
        assert ask(server, "kept", 5) == "miss"


def test_without_a_database_a_purge_is_this_hosts_and_unknown_names_take_no_place(models):
    with Server("--set", "jobs.enabled=false", models=models) as server:
        for count in range(50):
            assert server.request("POST", "/v1/cache/purge", json.dumps({"model": f"guess-{count}"}).encode())[0] == 200
        assert ask(server, "kept", 1) == "miss"
        assert ask(server, "kept", 1) == "hit"
        assert server.request("POST", "/v1/cache/purge", b'{"model": "kept"}')[0] == 200
        assert ask(server, "kept", 1) == "miss"
        names = {model["model"] for model in json.loads(server.get("/v1/cache")[2])["data"]}
        assert "kept" in names and not any(name.startswith("guess") for name in names)
