"""What jobs make, by signed URLs of the real server: long results of inference jobs."""

import hashlib
import json
import re
import shutil
import time
import urllib.request

import mezzo_server
import pytest

VALUES = 40_000  # As JSON more than the 256 KiB that a job's row holds.


def post(server, path, body):
    status, headers, text = server.request("POST", path, json.dumps(body).encode(), {"Content-Type": "application/json"}, 60)
    return status, headers, json.loads(text)


def long_job(server):
    """A finished job whose result is an artifact."""
    status, _, job = post(server, "/v1/jobs?wait=60", {
        "kind": "inference", "model": "identity_fp32",
        "input": {"inputs": [{"name": "INPUT0", "shape": [1, VALUES], "datatype": "FP32",
                              "data": [i + 0.123456 for i in range(VALUES)]}]}})
    assert status == 200 and job["status"] == "succeeded", job
    return job


def listed(server, job, query=""):
    status, headers, text = server.get(f"/v1/jobs/{job['id']}/artifacts{query}")
    assert status == 200, text
    assert headers["Cache-Control"] == "no-store"
    return json.loads(text)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """The one model that these tests call: servers start sooner."""
    folder = tmp_path_factory.mktemp("models")
    shutil.copytree(mezzo_server.MODELS / "identity_fp32", folder / "identity_fp32")
    return folder


@pytest.fixture(scope="module")
def artifact_server(models):
    with mezzo_server.Server(models=models, config="artifacts: {min_free: 0}\n") as server:
        yield server


@pytest.fixture(scope="module")
def job(artifact_server):
    return long_job(artifact_server)


@pytest.fixture(scope="module")
def url(artifact_server, job):
    return listed(artifact_server, job)["data"][0]["url"]


def path_of(url):
    return "/" + url.split("/", 3)[3]


@pytest.mark.covers("GET /v1/artifacts/{t}/{j}/{a}/{n}")
def test_a_long_result_is_an_artifact(artifact_server, job, url):
    result = job["result"]
    assert result["content_type"] == "application/json" and result["bytes"] > 256 << 10
    page = listed(artifact_server, job)
    assert [item["key"] for item in page["data"]] == [result["artifact"]]
    assert page["data"][0]["bytes"] == result["bytes"] and not page["has_more"]
    assert page["data"][0]["url"] == url, "what a browser has fetched it need not fetch again"

    assert url.startswith(artifact_server.http_url + "/v1/artifacts/anonymous/")
    with urllib.request.urlopen(url) as answer:  # Without any key.
        body = answer.read()
        assert answer.headers["Content-Length"] == str(result["bytes"])
        assert answer.headers["ETag"] == '"' + hashlib.sha256(body).hexdigest() + '"'
        assert answer.headers["Content-Disposition"] == "attachment"
    assert json.loads(body)["outputs"][0]["shape"] == [1, VALUES]


def test_a_short_result_stays_in_the_job(artifact_server):
    _, _, job = post(artifact_server, "/v1/jobs?wait=60", {
        "kind": "inference", "model": "identity_fp32",
        "input": {"inputs": [{"name": "INPUT0", "shape": [1, 2], "datatype": "FP32", "data": [1.0, 2.0]}]}})
    assert job["result"]["outputs"][0]["data"] == [1.0, 2.0]
    assert listed(artifact_server, job)["data"] == []


@pytest.mark.covers("HEAD /v1/artifacts/{t}/{j}/{a}/{n}")
def test_ranges_and_conditions(artifact_server, url):
    path = path_of(url)
    whole = artifact_server.get(path)
    status, headers, part = artifact_server.get(path, {"Range": "bytes=10-19"})
    assert (status, part) == (206, whole[2][10:20])
    assert headers["Content-Range"] == f"bytes 10-19/{len(whole[2])}"
    assert artifact_server.get(path, {"Range": "bytes=-5"})[2] == whole[2][-5:]
    assert artifact_server.get(path, {"Range": f"bytes={len(whole[2])}-"})[0] == 416
    assert artifact_server.get(path, {"If-None-Match": whole[1]["ETag"]})[0] == 304
    status, headers, nothing = artifact_server.request("HEAD", path)
    assert (status, headers["Content-Length"], nothing) == (200, str(len(whole[2])), b"")


def test_forged_urls_are_refused(artifact_server, url):
    path = path_of(url)
    forged = [path.replace("result.json", "other.json"), path.replace("anonymous", "another"), path.split("?")[0],
              re.sub(r"expires=\d+", "expires=9000000000", path), path[:-1]]
    for each in forged:
        status, _, text = artifact_server.get(each)
        assert status == 403, each
        assert json.loads(text)["error"]["code"] == "blob_url_invalid"
    assert artifact_server.get("/v1/artifacts/a/b/1/..%2f..%2fmezzo.db")[0] in (400, 404)
    assert artifact_server.request("DELETE", path)[0] == 405


def test_urls_hold_across_a_restart_and_expire(models, tmp_path):
    config = "artifacts: {min_free: 0, url_ttl: 2s}\n"
    with mezzo_server.Server(models=models, data_dir=tmp_path, config=config) as server:
        job = long_job(server)
    with mezzo_server.Server(models=models, data_dir=tmp_path, config=config) as server:
        path = path_of(listed(server, job)["data"][0]["url"])
        assert server.get(path)[0] == 200
        time.sleep(3.1)  # Times in URLs are whole seconds.
        status, _, text = server.get(path)
        assert status == 403 and json.loads(text)["error"]["code"] == "blob_url_expired"


def test_other_tenants_artifacts_are_not_there(models, tmp_path):
    keys = {"acme": "key-of-acme", "other": "key-of-other"}
    tenants = ", ".join(f"{{id: {name}, key_sha256: [{hashlib.sha256(key.encode()).hexdigest()}]}}"
                        for name, key in keys.items())
    config = f"artifacts: {{min_free: 0}}\ntenants: [{tenants}]\n"
    with mezzo_server.Server(models=models, data_dir=tmp_path, config=config, wait_ready=False) as server:
        def ask(method, path, tenant, body=None):
            headers = {"Authorization": "Bearer " + keys[tenant], "Content-Type": "application/json"}
            status, _, text = server.request(method, path, body, headers, 60)
            return status, json.loads(text)

        body = json.dumps({"kind": "inference", "model": "identity_fp32", "input": {"inputs": [
            {"name": "INPUT0", "shape": [1, VALUES], "datatype": "FP32", "data": [0.123456] * VALUES}]}}).encode()
        status, job = ask("POST", "/v1/jobs?wait=60", "acme", body)
        assert job["status"] == "succeeded", job
        path = f"/v1/jobs/{job['id']}/artifacts"
        assert ask("GET", path, "acme")[1]["data"][0]["key"].startswith("acme/")
        assert ask("GET", path, "other")[0] == 404
        assert server.get(path)[0] == 401
        assert server.get(path_of(ask("GET", path, "acme")[1]["data"][0]["url"]))[0] == 200
