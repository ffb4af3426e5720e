"""Releases of image pipelines: judged by what jobs come to, a failed job is made again by the stable version, copies are compared as pictures."""

import json
import pathlib
import shutil
import sys
import time

import mezzo_server
import pytest
from mezzo_server import SLOWNESS, Server
from test_routes import call, eventually

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "conformance"))

from test_tenants import Admin, first_key, make_key, make_tenant  # noqa: E402

PIPELINES = mezzo_server.ROOT / "tests" / "golden" / "generation" / "pipelines"
MODEL = "painter"
# 1 and 2 are the same, 3 paints other pictures, 4 is a pipeline that can't make them: it wants a mask.
VERSIONS = {1: "sd1", 2: "sd1", 3: "sd2", 4: "inpaint"}
TENANTS = 8
LOOSE = {"tolerated_slowdown": 10, "tolerated_cost": 10, "check_sample_ratio": False}


class Painters:
    """The server, and a key of each of some tenants."""

    def __init__(self, server):
        self.server = server
        self.keys = {}
        self.admin = admin = Admin(server, first_key(server))
        for index in range(TENANTS):
            make_tenant(admin, f"studio-{index}")
            self.keys[f"studio-{index}"] = make_key(admin, f"studio-{index}").key

    def submit(self, tenant, prompt="a cat", **more):
        body = {"kind": "image", "model": MODEL, "input": {"prompt": prompt, "size": "64x64", "steps": 1, "seed": 7}, **more}
        status, _, job = call(self.server, "POST", "/v1/jobs", body, self.header(tenant))
        assert status in (200, 201, 202), job
        return job["id"]

    def release(self, release):
        return self.admin.ok("GET", f"/v1/releases/{release}")

    def await_running(self, release, seconds=120):
        limit = time.monotonic() + seconds * SLOWNESS
        while (now := self.release(release))["state"] != "running":
            assert now["state"] == "preparing" and time.monotonic() < limit, now
            time.sleep(0.1)

    def header(self, tenant):
        return {"Authorization": f"Bearer {self.keys[tenant]}"}

    def job(self, tenant, job):
        return call(self.server, "GET", f"/v1/jobs/{job}", headers=self.header(tenant))[2]

    def finished(self, tenant, job, seconds=90):
        limit = time.monotonic() + seconds * SLOWNESS
        while (found := self.job(tenant, job))["status"] not in ("succeeded", "failed", "cancelled"):
            assert time.monotonic() < limit, found
            time.sleep(0.05)
        return found

    def round(self):
        """A job of each tenant: {tenant: job}; all have succeeded."""
        jobs = {tenant: self.submit(tenant) for tenant in self.keys}
        done = {tenant: self.finished(tenant, job) for tenant, job in jobs.items()}
        assert all(job["status"] == "succeeded" for job in done.values()), [job.get("error") for job in done.values()]
        return done


@pytest.fixture(name="painters", scope="module")
def server_with_pipelines(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for version, pipeline in VERSIONS.items():
        shutil.copytree(PIPELINES / pipeline, folder / MODEL / str(version))
    (folder / MODEL / "model.yaml").write_text("versions: {policy: all}\n")
    with Server(models=folder, config="artifacts: {min_free: 0}\n") as server:
        yield Painters(server)


def versions_of(done):
    return {tenant: job["result"]["version"] for tenant, job in done.items()}


def until_ended(painters, release, rounds=80):
    """Jobs of all tenants until the release has ended; what they were made by, all rounds."""
    seen = []
    for _ in range(rounds):
        seen.append(painters.round())
        now = painters.release(release)
        if now["state"] in ("succeeded", "rolled_back", "failed", "cancelled"):
            return now, seen
    raise AssertionError(json.dumps(now, indent=1))


def begin(painters, candidate, **more):
    for one in painters.admin.ok("GET", "/v1/releases")["data"]:  # Of a test that failed.
        if one["state"] in ("preparing", "running", "paused"):
            painters.admin.ok("POST", f"/v1/releases/{one['id']}/cancel", {})
    painters.admin.ok("PUT", f"/v1/routes/{MODEL}", {"stable": "1"})
    return painters.admin.ok("POST", "/v1/releases", {
        "model": MODEL, "candidate": str(candidate), "settle_s": 1, "prepare_limit_s": 300, "step_limit_s": 600, "analysis": LOOSE,
        "steps": [{"weight": 5000, "min_duration_s": 4, "min_calls": 4}, {"weight": 10000, "min_duration_s": 4, "min_calls": 4}], **more})["id"]


def test_a_good_pipeline_comes_to_make_all_pictures_and_tenants_stay_where_they_are(painters):
    release = begin(painters, 2, sticky="tenant")
    painters.await_running(release)
    ended, rounds = until_ended(painters, release)
    assert ended["state"] == "succeeded", ended
    first = versions_of(rounds[0])
    assert set(first.values()) == {"1", "2"}, "half of the tenants try it"
    for done in rounds:
        for tenant, version in versions_of(done).items():
            assert version in (first[tenant], "2"), "a share that grows takes nobody out of the trial"
    assert set(versions_of(painters.round()).values()) == {"2"}
    evidence = {metric["metric"]: metric for metric in ended["latest"]["verdict"]["evidence"]}
    assert evidence["error_rate"]["canary_samples"] > 0 and evidence["cost"]["canary"] > 0


def test_what_a_bad_pipeline_fails_the_stable_one_makes_and_it_is_rolled_back(painters):
    release = begin(painters, 4)
    painters.await_running(release)
    ended, rounds = until_ended(painters, release)
    assert ended["state"] == "rolled_back", ended
    assert all(set(versions_of(done).values()) == {"1"} for done in rounds), "nobody has seen a failure"
    for done in rounds:
        for job in done.values():
            assert job["result"]["route"].split(";")[0] in ("stable", "baseline")
    assert painters.admin.ok("GET", f"/v1/routes/{MODEL}")["route"]["stable"] == "1"


@pytest.mark.parametrize("candidate,ends", [(2, "succeeded"), (3, "rolled_back")])
def test_a_shadow_is_judged_by_how_like_its_pictures_are(painters, candidate, ends):
    release = begin(painters, candidate, strategy="shadow", shadow_share=10000, shadow_max_in_flight=4,
                    analysis={**LOOSE, "min_likeness": 0.9}, steps=[{"weight": 10000, "min_duration_s": 4, "min_calls": 10}])
    painters.await_running(release)
    ended, rounds = until_ended(painters, release)
    assert ended["state"] == ends, ended
    assert all(set(versions_of(done).values()) == {"1"} for done in rounds), "copies are seen by nobody"
    rows = painters.admin.ok("GET", f"/v1/releases/{release}/evidence")["data"]
    seen = next(metric for metric in rows[-1]["verdict"]["evidence"] if metric["metric"] == "min_likeness")
    assert seen["canary_samples"] > 0
    assert seen["crossed"] == (ends == "rolled_back") and (seen["canary"] == 0) == (ends == "succeeded"), seen


@pytest.mark.covers("POST /v1/feedback")
def test_feedback_names_the_job_and_counts_once_in_the_arm_that_made_it(painters):
    release = begin(painters, 2, automatic=False,
                    analysis={**LOOSE, "custom": [{"name": "score", "less_is_worse": True, "range": [0, 1]}]})
    painters.await_running(release)
    time.sleep(3.5)  # What comes in the first seconds of a step is not compared.
    done = painters.round()
    tenant, job = next((tenant, job) for tenant, job in done.items() if job["result"]["route"].startswith("canary;"))

    def feedback(body, who=tenant):
        return call(painters.server, "POST", "/v1/feedback", body, painters.header(who))[::2]

    assert feedback({"job": job["id"], "value": 1, "label": "kept"}) == (200, {"object": "feedback", "counted": True})
    assert feedback({"job": job["id"], "value": 0}) == (200, {"object": "feedback", "counted": False})
    stranger = next(other for other in painters.keys if other != tenant)
    status, answer = feedback({"job": job["id"], "value": 1}, stranger)
    assert (status, answer["code"] if "code" in answer else answer["error"]["code"]) == (404, "job_unknown"), answer
    status, answer = feedback({"job": job["id"], "model": MODEL, "value": 1})
    assert status == 400 and "'model' is told by the job" in json.dumps(answer)
    named = painters.submit(tenant, version="1")
    painters.finished(tenant, named)
    status, answer = feedback({"job": named, "value": 1})
    assert status == 400 and "feedback_no_answer" in json.dumps(answer), answer

    def counted():
        painters.round()
        latest = painters.release(release)["latest"]
        return latest and [m for m in latest["verdict"]["evidence"] if m["metric"] == "custom:score" and m["canary_samples"] == 1]

    try:
        eventually(counted, 60)
    finally:
        painters.admin.ok("POST", f"/v1/releases/{release}/cancel", {})


def test_all_shots_of_a_video_are_by_one_version_whatever_fails(painters):
    split = {"sticky": "none", "salt": "s", "arms": [{"name": "canary", "version": "4", "weight": 10000}]}
    tenant = "studio-0"
    body = {"kind": "storyboard", "model": MODEL, "input": {
        "resolution": "720p", "aspect": "square", "fps": 24, "music": "none", "painting": {"steps": 1},
        "shots": [{"prompt": "a cup", "duration": 1}, {"prompt": "a table", "duration": 1}]}}
    for arm, version in (("4", "1"), ("2", "2")):
        split["arms"][0]["version"] = arm
        revision = painters.admin.ok("PUT", f"/v1/routes/{MODEL}", {"stable": "1", "split": split})["revision"]
        status, _, job = call(painters.server, "POST", "/v1/jobs", body, painters.header(tenant))
        assert status in (200, 201, 202), job
        done = painters.finished(tenant, job["id"], 240)
        assert done["status"] == "succeeded", done
        result = done["result"]
        assert result["model_version"] == version
        assert result["route"] == ("canary" if arm == version else "stable") + f";{revision}"
        assert all(f"-by-{version}-v1.png" in shot["artifact"] for shot in result["shots"]), result["shots"]


def test_openai_answers_tell_the_route_in_the_header_and_in_the_last_event(painters):
    revision = painters.admin.ok("PUT", f"/v1/routes/{MODEL}", {"stable": "1"})["revision"]
    body = {"model": MODEL, "prompt": "a cat", "size": "64x64", "steps": 1}
    key = painters.header("studio-0")
    status, headers, text = painters.server.request("POST", "/v1/images/generations", json.dumps(body).encode(), key, 90)
    assert status == 200, text
    assert headers["X-Mezzo-Route"] == f"stable;{revision}"
    status, headers, text = painters.server.request("POST", "/v1/images/generations", json.dumps({**body, "stream": True}).encode(), key, 90)
    assert status == 200 and headers["X-Mezzo-Job"]
    last = json.loads(text.decode().strip().split("data: ")[-1])
    assert last["type"] == "image_generation.completed" and last["route"] == f"stable;{revision}"
