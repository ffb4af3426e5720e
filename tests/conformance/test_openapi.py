"""schema/openapi.yaml is what the server serves: the same routes, and no answer that the file does not tell of. Schemathesis makes
the requests, right ones and wrong ones, from the file itself."""

import collections
import hashlib
import itertools
import os
import re
import subprocess
import tempfile

import hypothesis
import pytest
import requests
import schemathesis
import surface
import yaml
from hypothesis import HealthCheck
from mezzo_server import BINARY, EXAMPLES, MODELS, ROOT, SLOWNESS, Server
from schemathesis.checks import CHECKS
from test_tenants import first_key

os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", os.path.join(tempfile.gettempdir(), "mezzo-hypothesis"))

FAKE_MEDIA = BINARY.parents[3] / "tests" / "openai" / "mezzo_fake_media"
FILE = ROOT / "schema" / "openapi.yaml"
CONFIG = """
registry: {tests: {enabled: false}}
models: {control: explicit, startup: ["simple", "identity_fp32", "minilm"]}
shared_memory: {enabled: true}
"""
SEED = 20261122
EXAMPLES_EACH = 10

# Served beside the protocols, and by no table that surface.py lists.
ALSO_SERVED = {"HEAD /metrics"}

# What may be answered with 5xx, by its reason, and why. Nothing else may.
SERVER_ERRORS = {
    (501, "repository_name_unsupported"): "one repository, without a name",
    (501, "cuda_shared_memory_unsupported"): "no CUDA shared memory",
    (501, "trace_file_refused"): "no files named over the network",
    (500, "shape_negative"): "Triton's tests ask for 500",
    (500, "load_failed"): "Triton's code for a model that can't be loaded",
}

# Operations that can't succeed here, and why.
NEVER_WELL = {
    "POST /v1/cache/corrections": "needs a model that declares a cache; test_cache.py has one",
    "DELETE /v1/cache/corrections/{correction}": "the same",
    "POST /v1/images/generations": "needs a model of pictures: the test of pictures and videos below has one",
    "POST /v1/images/edits": "the same",
    "POST /v1/videos": "the same",
    "GET /v1/videos/{video}/content": "the same",
    "POST /v1/videos/{video}/remix": "the same",
    "POST /v1/jobs/{job}/shots/{shot}/redo": "needs a finished storyboard; test_storyboards.py has one",
    "POST /v1/jobs/{job}/retry": "needs a job that has failed; test_jobs.py has one",
    "POST /v1/registry/models/{registered}/versions/{number}/load": "needs a version with a model; test_registry.py has one",
    "POST /v1/registry/models/{registered}/versions/{number}/unload": "the same",
    "GET /v1/registry/models/{registered}/versions/{number}/test": "needs a version that was tested; test_registry.py has one",
    **{f"POST /v1/releases/{{release}}/{command}": "needs a release that runs; test_release.py has one"
       for command in ("pause", "resume", "promote", "roll_back", "cancel")},
    "POST /v1/feedback": "the same",
    "GET /v1/drift/{registered}/{number}": "needs a version with enough calls; tests/lifecycle/test_drift.py has one",
    "POST /v1/drift/{registered}/{number}/reset": "the same",
    **{f"POST /v1/pipeline-runs/{{run}}/{command}": "needs a run that waits, or has failed; test_pipelines.py has one"
       for command in ("approve", "reject", "cancel", "retry")},
    "PUT /v1/registry/blobs/{content}": "needs the content itself; test_registry.py has one",
    "DELETE /v1/registry/models/{registered}/tags": "needs a key that is there; test_registry.py has one",
    "DELETE /v1/registry/models/{registered}/versions/{number}/tags": "the same",
    **{label: "needs what is there and is not needed any more; test_mlflow.py has one" for label in (
        "POST /api/2.0/mlflow/registered-models/rename", "DELETE /api/2.0/mlflow/registered-models/alias",
        "DELETE /api/2.0/mlflow/model-versions/delete",
        "DELETE /api/2.0/mlflow/logged-models/{logged}/tags/{tagKey}")},
    **{f"{method} /api/2.0/mlflow-artifacts/artifacts/{{artifact}}": "needs a path of several parts; test_mlflow.py has one"
       for method in ("GET", "PUT", "DELETE")},
    **{f"POST /api/2.0/mlflow-artifacts/mpu/{call}/{{artifact}}": "the same" for call in ("create", "complete", "abort")},
    "PUT /api/2.0/mlflow-artifacts/mpu/parts/{upload}/{part}": "the same",
    "POST /v2/systemsharedmemory/region/{region}/register": "needs a file in /dev/shm; test_shared_memory.py has one",
    "GET /v2/systemsharedmemory/region/{region}/status": "the same",
}


@schemathesis.serializer("audio/mpeg", "audio/wav", "audio/flac", "audio/ogg", "audio/mp4", "audio/aac")
def sound(_ctx, value):
    return value if isinstance(value, bytes) else str(value).encode()


api = schemathesis.openapi.from_path(FILE)
api.config.generation.update(max_examples=EXAMPLES_EACH)
answered = {}  # Operation: how many answers of each status.


def named(path):
    return re.sub(r"\{\w+\}", "{}", path)


def test_the_file_has_the_routes_of_the_server_and_no_others():
    paths = yaml.safe_load(FILE.read_text())["paths"]
    have = [f"{method.upper()} {named(path)}" for path, methods in paths.items() for method in methods]
    assert len(have) == len(set(have))
    want = {named(route) for route in surface.V2_ROUTES + surface.OTHER_ROUTES} | ALSO_SERVED
    assert sorted(want - set(have)) == []
    assert sorted(set(have) - want) == []


class Served:
    """A server with one of each thing that paths name, and the key of its admin."""

    def __init__(self, server):
        self.server = server
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Bearer {first_key(server)}"
        self.session.request("POST", server.http_url + "/v1/tenants", json={"id": "acme"})
        key = self.made("POST", "/v1/tenants/acme/keys", {"name": "one"})
        self.reader = self.made("POST", "/v1/tenants/acme/keys", {"scopes": ["read"]})["key"]
        self.made("PUT", "/v1/limits/acme-requests", {"kind": "requests", "tenant": "acme", "rate": 50})
        for version in ("latest", "1"):  # Two revisions: one to go back to.
            self.made("PUT", "/v1/routes/simple", {"stable": version})
        release = self.made("POST", "/v1/releases", {"model": "simple", "stable": "1", "candidate": "2"})
        large = {"name": "INPUT0", "shape": [1, 100_000], "datatype": "FP32", "data": [0.125] * 100_000}
        job = self.made("POST", "/v1/jobs?wait=30", {"kind": "inference", "model": "identity_fp32", "input": {"inputs": [large]}})
        assert job["status"] == "succeeded", job
        self.artifact = self.made("GET", f"/v1/jobs/{job['id']}/artifacts")["data"][0]
        story = self.made("POST", "/v1/jobs", {"kind": "storyboard", "delay_seconds": 3600, "input": {
            "resolution": "720p", "shots": [{"picture": "platform/uploads/1/a.png", "duration": 5}]}})
        # Of the registry: a version that is ready, one that is being uploaded, and an alias.
        self.made("POST", "/v1/registry/models", {"name": "emoji"})
        for content in (b"one", b"two"):
            file = {"path": "labels.txt", "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
            self.made("POST", "/v1/registry/models/emoji/versions", {"files": [file]})
        answer = self.session.put(self.server.http_url + f"/v1/registry/blobs/{hashlib.sha256(b'one').hexdigest()}", data=b"one")
        assert answer.ok, answer.text
        self.made("POST", "/v1/registry/models/emoji/versions/1/complete")
        self.made("PUT", "/v1/registry/models/emoji/aliases/production", {"version": 1})
        self.made("PUT", "/v1/registry/models/emoji/tags", {"key": "team", "value": "search"})
        # Of MLflow: a run and a logged model.
        self.numbers = itertools.count()
        self.made("POST", "/api/2.0/mlflow/experiments/create", {"name": "first"})
        self.run = self.made("POST", "/api/2.0/mlflow/runs/create", {"experiment_id": "0"})["run"]["info"]["run_id"]
        logged = self.made("POST", "/api/2.0/mlflow/logged-models", {"name": "m"})["model"]["info"]["model_id"]
        # A pipeline, and a run of it; the file's example replaces the text.
        self.made("PUT", "/v1/pipelines/nightly", {"model": "emoji", "stages": [{"name": "retest", "kind": "test", "version": "1"}]})
        run = self.made("POST", "/v1/pipelines/nightly/runs", {})
        self.real = {"job": job["id"], "key": key["id"], "video": "video_" + story["id"], "release": release["id"], "run": run["id"],
                     "logged": logged}

    def made(self, method, path, body=None):
        answer = self.session.request(method, self.server.http_url + path, json=body, timeout=60)
        assert answer.ok, answer.text
        return answer.json()

    def prepare(self, case):
        """Puts what there is in the place of the file's examples, and keeps requests from waiting or reaching out."""
        path = case.operation.path
        if path.startswith("/v1/artifacts/"):
            self.sign(case)
        else:
            for name, real in self.real.items():
                if (case.path_parameters or {}).get(name) == EXAMPLE[name]:
                    case.path_parameters[name] = real
        for members in (case.body, case.query):
            if isinstance(members, dict) and members.get("run_id") == RUN_EXAMPLE:
                members["run_id"] = self.run
        if case.operation.label == "DELETE /api/2.0/mlflow/logged-models/{logged}" and case.path_parameters.get("logged") == self.real["logged"]:
            made = self.made("POST", "/api/2.0/mlflow/logged-models", {"name": "gone"})  # The other is needed.
            case.path_parameters["logged"] = made["model"]["info"]["model_id"]
        if isinstance(case.body, dict) and case.body.get("experiment_id") == "1":
            if path.endswith(("/experiments/delete", "/experiments/restore", "/experiments/delete-experiment-tag")):
                case.body["experiment_id"] = self.another_experiment(case)  # The other is needed.
        if case.operation.label in ("DELETE /v1/registry/models/{registered}",
                                    "DELETE /v1/registry/models/{registered}/versions/{named}"):
            if case.path_parameters.get("registered") == EXAMPLE["registered"]:
                case.path_parameters["registered"] = "gone"  # The other is needed.
                self.session.post(self.server.http_url + "/v1/registry/models", json={"name": "gone"})
                self.session.post(self.server.http_url + "/v1/registry/models/gone/versions",
                                  json={"lineage": {"source": "runs:/1"}})
        if case.operation.label == "DELETE /v1/pipelines/{pipeline}" and case.path_parameters.get("pipeline") == EXAMPLE["pipeline"]:
            case.path_parameters["pipeline"] = "gone"  # The other is needed.
            self.session.put(self.server.http_url + "/v1/pipelines/gone",
                             json={"model": "emoji", "stages": [{"name": "retest", "kind": "test", "version": "1"}]})
        if path == "/v1/overview/events" and (case.query or {}).get("count") in (None, *range(2, 3601), *map(str, range(2, 3601))):
            case.query = {**(case.query or {}), "count": 1}  # More take as many seconds.
        if path.endswith("/watch") and str((case.query or {}).get("count", 2)).isdigit():
            case.query = {**(case.query or {}), "count": 1}  # More come when something happens.
        if path.endswith("/unload") and case.path_parameters.get("model") == EXAMPLE["model"]:
            case.path_parameters["model"] = "add_sub"  # The others are needed.
        if case.operation.label == "POST /v1/jobs" and case.query and str(case.query.get("wait")).isdigit():
            case.query["wait"] = case.query["wait"] if int(case.query["wait"]) > 60 else min(1, int(case.query["wait"]))
        inputs = case.body.get("input") if path == "/v1/embeddings" and isinstance(case.body, dict) else None
        if isinstance(inputs, list) and 64 < len(inputs) <= 2048:
            case.body["input"] = inputs[:64]  # As many as may be take seconds.
        if isinstance(case.body, dict) and isinstance(case.body.get("webhook"), dict):
            url = case.body["webhook"].get("url")
            if isinstance(url, str) and url.startswith("http"):
                case.body["webhook"]["url"] = "https://127.0.0.1:9/hook"  # Which the address guard refuses to call.

    def another_experiment(self, case):
        tags = [{"key": key, "value": ""} for key in (case.body.get("key"),) if isinstance(key, str) and 0 < len(key) < 60 and key.isalnum()]
        made = self.made("POST", "/api/2.0/mlflow/experiments/create", {"name": f"gone {next(self.numbers)}", "tags": tags})["experiment_id"]
        if case.operation.path.endswith("/restore"):
            self.made("POST", "/api/2.0/mlflow/experiments/delete", {"experiment_id": made})
        return made

    def sign(self, case):
        if case.path_parameters.get("tenant") != EXAMPLE["tenant"]:
            return
        key, _, query = self.artifact["url"].partition("/v1/artifacts/")[2].partition("?")
        case.path_parameters = dict(zip(("tenant", "job", "attempt", "name"), key.split("/")))
        signed = dict(pair.split("=", 1) for pair in query.split("&"))
        case.query = {**(case.query or {}), **{name: requests.utils.unquote(value) for name, value in signed.items()}}


RUN_EXAMPLE = "0199000000007000800000000000000a"
EXAMPLE = {name: facts.get("example")
           for name, facts in yaml.safe_load(FILE.read_text())["components"]["parameters"].items()}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with Server(models=[MODELS, EXAMPLES], config=CONFIG, data_dir=str(tmp_path_factory.mktemp("data"))) as server:
        yield Served(server)


def only_named_server_errors(_ctx, response, case):
    """No 5xx but those of SERVER_ERRORS, and 503 to who leaves no time."""
    if response.status_code == 503 and "X-Mezzo-Deadline-Ms" in (case.headers or {}):
        return
    if response.status_code >= 500:
        reason = (response.headers.get("x-mezzo-reason") or [""])[0]
        assert (response.status_code, reason) in SERVER_ERRORS, f"{case.operation.label}: {response.status_code} {reason}"


TOLD = [only_named_server_errors,
        *CHECKS.get_by_names(["status_code_conformance", "content_type_conformance", "response_schema_conformance",
                              "response_headers_conformance", "unsupported_method", "allow_header_conformance"])]


@api.parametrize()
@hypothesis.seed(SEED)
@hypothesis.settings(deadline=None, database=None, suppress_health_check=list(HealthCheck))
def test_every_answer_is_in_the_file(served, case):
    served.prepare(case)
    response = case.call(base_url=served.server.http_url, session=served.session, timeout=30 * SLOWNESS)
    answered.setdefault(case.operation.label, collections.Counter())[response.status_code] += 1
    case.validate_response(response, checks=TOLD)


OPERATIONS = [operation.ok() for operation in api.get_all_operations()]


@pytest.mark.parametrize("who", ["nobody", "reader"])
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
def test_a_caller_without_rights_is_answered_as_the_file_says(served, operation, who):
    case = operation.Case(path_parameters={one.name: EXAMPLE[one.name] for one in operation.path_parameters},
                          query={one.name: "x" for one in operation.query if one.is_required})
    key = {"nobody": {}, "reader": {"Authorization": f"Bearer {served.reader}"}}[who]
    body = {} if operation.method in ("post", "put", "patch") else None
    response = requests.request(case.method, served.server.http_url + case.formatted_path, params=case.query, json=body, headers=key,
                                timeout=30 * SLOWNESS)
    case.validate_response(response, checks=TOLD)
    is_open = operation.definition.raw.get("security") == []
    if who == "nobody":
        assert (response.status_code == 401) != is_open
    else:
        assert response.status_code != 401


def test_pictures_and_videos_are_as_the_file_says():
    """What NEVER_WELL leaves out of OpenAI's routes, of a server whose models make texts."""
    with subprocess.Popen([FAKE_MEDIA], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        url = f"http://127.0.0.1:{process.stdout.readline().strip()}"

        def answer(method, path, expected, **request):
            case = api[path][method].Case(path_parameters=request.pop("ids", {}))
            response = requests.request(method, url + case.formatted_path, timeout=30 * SLOWNESS, **request)
            case.validate_response(response, checks=TOLD)
            assert response.status_code == expected, response.text
            return response

        made = {"model": "m", "prompt": "a cat"}
        for members in ({}, {"n": 2, "response_format": "url"}, {"stream": True, "partial_images": 1}):
            answer("POST", "/v1/images/generations", 200, json={**made, **members})
        answer("POST", "/v1/images/edits", 200, data=made, files={"image": ("cat.png", b"\x89PNG\r\n\x1a\ncat")})

        video = answer("POST", "/v1/videos", 200, json=made).json()["id"]
        answer("GET", "/v1/jobs/{job}", 200, ids={"job": video.removeprefix("video_")}, params={"wait": 30})
        assert answer("GET", "/v1/videos/{video}", 200, ids={"video": video}).json()["status"] == "completed"
        assert answer("GET", "/v1/videos", 200).json()["data"]
        for variant in ("video", "thumbnail", "spritesheet"):
            answer("GET", "/v1/videos/{video}/content", 200, ids={"video": video}, params={"variant": variant})
        part = answer("GET", "/v1/videos/{video}/content", 206, ids={"video": video}, headers={"Range": "bytes=1-3"})
        etag = part.headers["ETag"]
        answer("GET", "/v1/videos/{video}/content", 304, headers={"If-None-Match": etag}, ids={"video": video})
        answer("GET", "/v1/videos/{video}/content", 416, headers={"Range": "bytes=1000-"}, ids={"video": video})
        answer("POST", "/v1/videos/{video}/remix", 200, ids={"video": video}, json={"prompt": "a dog"})
        answer("DELETE", "/v1/videos/{video}", 200, ids={"video": video})
        process.stdin.close()
        process.wait(timeout=30)


def test_every_operation_has_succeeded():
    """What the file gives as examples works: so the requests above were not all refused at the door."""
    if not answered:
        pytest.skip("asks what the test before has seen")
    failed = {label for label, statuses in answered.items() if min(statuses) >= 400}
    only_refused = {f"{method.upper()} {path}" for path, methods in yaml.safe_load(FILE.read_text())["paths"].items()
                    for method, facts in methods.items() if not any(code < "400" for code in facts["responses"])}
    assert sorted(failed - only_refused - set(NEVER_WELL)) == []
    assert sorted(set(NEVER_WELL) - failed) == [], "these succeed by now"
