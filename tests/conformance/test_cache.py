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


def keyed(name):
    return {"Authorization": "Bearer " + name * 40}


@pytest.fixture(scope="module")
def tenants(models):
    """A server with tenants `a` and `b` that keep their own parts, and `o`, who operates the platform."""
    config = """
tenants:
  - {id: a, scopes: [infer, keys], key_sha256: [%s]}
  - {id: b, scopes: [infer, keys], key_sha256: [%s]}
  - {id: c, key_sha256: [%s]}
  - {id: o, scopes: [operate, infer], key_sha256: [%s]}
  - {id: r, scopes: [admin], key_sha256: [%s]}
""" % tuple(hashlib.sha256((name * 40).encode()).hexdigest() for name in "abcor")
    with Server(models=models, config=config) as server:
        yield server


def post(server, path, body, name):
    status, _, text = server.request("POST", path, json.dumps(body).encode(), keyed(name))
    return status, json.loads(text)


def test_a_tenant_purges_its_own_part_alone(tenants):
    def uses():
        return [ask(tenants, model, 60, keyed(name)) for model in ("kept", "shared") for name in "ab"]

    uses()
    assert uses() == ["hit"] * 4
    for body in ({}, {"model": None}, {"model": "kept", "all": True}, {"all": False}, {"tenant": "a"}):
        assert post(tenants, "/v1/cache/purge", body, "o")[0] == 400, body
    for body, name in (({"model": "kept"}, "a"), ({"all": True}, "a"), ({"model": "kept", "tenant": "b"}, "a"),
                       ({"model": "kept", "tenant": "c"}, "c")):
        assert post(tenants, "/v1/cache/purge", body, name)[0] == 403, (body, name)
    assert uses() == ["hit"] * 4, "what is refused does nothing"
    status, answer = post(tenants, "/v1/cache/purge", {"model": "kept", "tenant": "a"}, "a")
    assert (status, answer) == (200, {"object": "cache.purge", "model": "kept", "tenant": "a"})
    assert uses() == ["miss", "hit", "hit", "hit"], "what all share is nobody's own part"
    assert post(tenants, "/v1/cache/purge", {"all": True, "tenant": "b"}, "b")[0] == 200
    assert uses() == ["hit", "miss", "hit", "hit"]
    assert post(tenants, "/v1/cache/purge", {"all": True, "tenant": "a"}, "o")[0] == 200
    assert uses() == ["miss", "hit", "hit", "hit"]
    assert post(tenants, "/v1/cache/purge", {"all": True}, "o")[0] == 200
    assert uses() == ["miss", "miss", "miss", "hit"]
    assert uses() == ["hit"] * 4


def question(first):
    return {"inputs": [{"name": "INPUT0", "shape": [1, 16], "datatype": "INT32", "data": [first] * 16},
                       {"name": "INPUT1", "shape": [1, 16], "datatype": "INT32", "data": list(range(16))}]}


def outputs(first, second, shape=(1, 16), datatype="INT32"):
    return {"outputs": [{"name": "OUTPUT0", "shape": list(shape), "datatype": datatype, "data": [first] * 16},
                        {"name": "OUTPUT1", "shape": list(shape), "datatype": datatype, "data": [second] * 16}]}


def infer(server, model, first, name=None, headers=None):
    """(X-Mezzo-Cache, the first number of the first output)"""
    headers = {**(keyed(name) if name else {}), **(headers or {})}
    status, answer_headers, text = server.request("POST", f"/v2/models/{model}/infer", json.dumps(question(first)).encode(),
                                                  headers)
    assert status == 200, text
    return answer_headers.get("X-Mezzo-Cache"), json.loads(text)["outputs"][0]["data"][0]


@pytest.mark.covers("GET /v1/cache/corrections", "POST /v1/cache/corrections", "DELETE /v1/cache/corrections/{c}")
def test_a_correction_replaces_one_answer_of_one_tenant(tenants):
    path = "/v1/cache/corrections"
    assert infer(tenants, "kept", 70, "a") == ("miss", 70)
    status, made = post(tenants, path, {"model": "kept", "request": question(70), "response": outputs(-1, -2)}, "a")
    assert status == 201, made
    assert (made["model"], made["version"], made["tenant"]) == ("kept", "1", "a")
    assert made["created_by"] and made["bytes"] > 128
    assert infer(tenants, "kept", 70, "a") == ("corrected", -1)
    assert infer(tenants, "kept", 70, "a", {"Cache-Control": "no-cache"}) == ("corrected", -1)
    assert infer(tenants, "kept", 70, "a", {"Cache-Control": "no-store"}) == ("bypass", 70), "the model's own answer"
    assert infer(tenants, "kept", 71, "a") == ("miss", 71), "another question"
    assert infer(tenants, "kept", 70, "b") == ("miss", 70), "another tenant"
    assert post(tenants, "/v1/cache/purge", {"all": True, "tenant": "a"}, "a")[0] == 200
    assert infer(tenants, "kept", 70, "a") == ("corrected", -1), "a purge is of what was computed"
    assert tenants.request("GET", "/metrics", headers=keyed("o"))[2].decode().count("mezzo_cache_corrected_total 3") == 1

    status, again = post(tenants, path, {"model": "kept", "request": question(70), "response": outputs(-3, -4)}, "a")
    assert status == 201 and again["id"] != made["id"]
    assert infer(tenants, "kept", 70, "a") == ("corrected", -3), "the newer one of the same question"

    def listed(name, query=""):
        status, _, text = tenants.request("GET", path + query, headers=keyed(name))
        return [one["id"] for one in json.loads(text)["data"]] if status == 200 else status

    assert listed("a") == [again["id"]] and listed("r") == [again["id"]] and listed("b") == []
    assert listed("a", "?model=other") == [] and listed("r", "?tenant=a") == [again["id"]]
    assert listed("b", "?tenant=a") == 404 and listed("c") == 403 and listed("a", "?limit=0") == 400
    assert tenants.request("DELETE", f"{path}/{again['id']}", headers=keyed("b"))[0] == 404
    assert infer(tenants, "kept", 70, "a") == ("corrected", -3)
    assert tenants.request("DELETE", f"{path}/{again['id']}", headers=keyed("a"))[0] == 200
    assert tenants.request("DELETE", f"{path}/{again['id']}", headers=keyed("a"))[0] == 404
    assert infer(tenants, "kept", 70, "a")[1] == 70


def test_corrections_that_cannot_be_are_refused(tenants):
    def refused(name="a", **members):
        body = {"model": "kept", "request": question(80), "response": outputs(1, 2), **members}
        status, answer = post(tenants, "/v1/cache/corrections", body, name)
        return status, answer.get("error", {}).get("code")

    assert refused(response={}) == (400, "correction_response")
    assert refused(response={"outputs": outputs(1, 2)["outputs"][:1]}) == (400, "correction_response")
    assert refused(response={"outputs": outputs(1, 2)["outputs"][::-1]}) == (400, "correction_response")
    assert refused(response=outputs(1, 2, datatype="INT64")) == (400, "correction_response")
    assert refused(response=outputs(1, 2, shape=(2, 8))) == (400, "correction_response")
    assert refused(request={"inputs": []})[0] == 400
    assert refused(request=7) == (400, "request_member")
    assert refused(extra=1) == (400, "request_member")
    assert refused(model="simple") == (400, "model_uncached")
    assert refused(model="nowhere") == (404, "model_unknown")
    assert refused(version="9") == (404, "version_unknown")
    assert refused(tenant="b") == (404, "tenant_unknown")
    assert refused(model="shared") == (403, "scope_missing")
    assert refused("c")[0] == 403
    assert refused("r", model="shared", tenant="a") == (400, "request_member")
    assert infer(tenants, "kept", 80, "a") == ("miss", 80)


def test_who_may_everything_corrects_what_all_share_and_for_others(tenants):
    body = {"model": "shared", "request": question(90), "response": outputs(5, 6)}
    status, public = post(tenants, "/v1/cache/corrections", body, "r")
    assert status == 201 and public["tenant"] is None
    assert infer(tenants, "shared", 90, "a") == infer(tenants, "shared", 90, "b") == ("corrected", 5)
    assert tenants.request("DELETE", f"/v1/cache/corrections/{public['id']}", headers=keyed("a"))[0] == 404
    assert tenants.request("DELETE", f"/v1/cache/corrections/{public['id']}", headers=keyed("r"))[0] == 200
    assert infer(tenants, "shared", 90, "a")[1] == 90
    body = {"model": "kept", "tenant": "b", "request": question(91), "response": outputs(7, 8)}
    assert post(tenants, "/v1/cache/corrections", body, "r")[0] == 201
    assert infer(tenants, "kept", 91, "b") == ("corrected", 7) and infer(tenants, "kept", 91, "a")[1] == 91


def test_corrections_by_the_command_line_last_and_a_new_content_forgets_them(tmp_path):
    write_model(tmp_path / "models", "kept", {"mode": "exact", "ttl": "1h"})
    (tmp_path / "q.json").write_text(json.dumps(question(3)))
    (tmp_path / "r.json").write_text(json.dumps(outputs(-7, -8)))
    arguments = dict(models=tmp_path / "models", data_dir=tmp_path / "data")
    explicit = ("--set", "models.control=explicit", "--set", "models.startup=[kept]")
    with Server(*explicit, **arguments) as server:
        def mezzo(*args):
            return subprocess.run([BINARY, "cache", *args, "--url", server.http_url], capture_output=True, text=True, timeout=60)

        assert "no answer is corrected" in mezzo("corrections").stdout
        made = mezzo("correct", "kept", "--request", tmp_path / "q.json", "--response", tmp_path / "r.json")
        assert made.returncode == 0, made.stderr
        assert made.stdout.strip() in mezzo("corrections", "kept").stdout
        assert mezzo("correct", "kept").returncode != 0
        other = mezzo("correct", "kept", "--request", tmp_path / "q.json", "--response", tmp_path / "q.json")
        assert other.returncode != 0 and "outputs" in other.stderr
        assert infer(server, "kept", 3) == ("corrected", -7)
    with Server(*explicit, **arguments) as server:
        assert infer(server, "kept", 3) == ("corrected", -7), "they are in the database"
        (tmp_path / "models" / "kept" / "1" / "note.txt").write_text("other content")
        assert server.request("POST", "/v2/repository/models/kept/load", b"{}")[0] == 200
        assert infer(server, "kept", 3) == ("miss", 3)
        assert "no answer is corrected" in subprocess.run([BINARY, "cache", "corrections", "--url", server.http_url],
                                                          capture_output=True, text=True, timeout=60).stdout


def test_no_cache_computes_anew_and_keeps_that(server):
    runs = 'mezzo_inference_batch_rows_sum{model="kept",version="1"}'
    assert ask(server, "kept", 100) == "miss"
    for header in ("no-cache", "max-age=0", 'Max-Age="0", no-transform'):
        before = server.metrics()[runs]
        assert ask(server, "kept", 100, headers={"Cache-Control": header}) == "miss"
        assert server.metrics()[runs] == before + 1
    assert ask(server, "kept", 100) == "hit"
    assert ask(server, "kept", 101, headers={"Cache-Control": "no-cache"}) == "miss"
    assert ask(server, "kept", 101) == "hit", "what was computed is kept"
    assert ask(server, "kept", 101, headers={"Cache-Control": "max-age=60"}) == "hit"
    assert ask(server, "kept", 102, headers={"Cache-Control": "no-cache, no-store"}) == "bypass"
    assert ask(server, "kept", 102) == "miss"
    metrics = server.metrics()
    assert metrics['mezzo_cache_hit_age_seconds_count{model="kept"}'] >= 2


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
