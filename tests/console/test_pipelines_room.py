"""The room of pipelines in a real browser: against the real server, and drawn from answers as schema/openapi.yaml has them."""

import hashlib
import json
import re
import time

import pytest
import yaml
from conftest import WAIT_MS, visits
from mezzo_server import MODELS, ROOT, SLOWNESS, Server
from playwright.sync_api import expect
from test_console import shoot
from test_tenants import Admin, first_key, make_key

TEXT = """\
# Tests the newest version again, when somebody agrees.
description: Tests again
model: ranker
stages:
  - {name: retest, kind: test, version: latest, approval: {role: operator}}
"""
WHEN = "2026-11-23T05:00:00Z"


class Works:
    def __init__(self, server):
        self.server = server
        self.admin = Admin(server, first_key(server))
        self.observer = make_key(self.admin, "platform", scopes=["observe"])
        self.page = f"{server.http_url}/console/"


@pytest.fixture(autouse=True)
def patience():
    expect.set_options(timeout=2 * WAIT_MS)


@pytest.fixture(scope="module")
def works(tmp_path_factory):
    with Server(config="artifacts: {min_free: 0}\n", data_dir=str(tmp_path_factory.mktemp("data"))) as server:
        yield Works(server)


@pytest.fixture
def visit(browser, works):
    with visits(browser, works) as begin:
        yield begin


def stage(name, kind, state, **more):
    return {"name": name, "kind": kind, "state": state, "attempt": 1, "max_attempts": 3, "job": None, "since": WHEN, "deadline": None, "retry_at": None,
            "error": None, "metrics": {}, "gates": [], "approval": None, "output": None, **more}


def gate(text, outcome, left, right, reason=""):
    return {"gate": text, "outcome": outcome, "left": left, "right": right, "reason": reason}


RUN = {
    "id": "01a2075f-0dbd-7256-9ea2-f8f2406d6243", "object": "pipeline.run", "pipeline": "nightly", "revision": 3, "model": "churn", "tenant": "platform",
    "state": "waiting", "reason": None, "message": "", "parent": 6, "version": 7, "release": None, "created_at": WHEN, "started_at": WHEN, "ended_at": None,
    "deadline": None, "trigger": {"kind": "schedule", "who": "mezzo", "at": WHEN, "key": "", "detail": {}, "joined": 0},
    "stages": [
        stage("train", "train", "succeeded", attempt=2, metrics={"loss": 0.41}),
        stage("judge", "evaluate", "succeeded", gates=[gate("auc >= 0.9", "passed", 0.934, 0.9), gate("auc >= parent.auc - 0.01", "skipped", None, None, "nothing served before")],
              metrics={"auc": 0.934}),
        stage("push", "register", "succeeded"),
        stage("out", "release", "waiting", approval={"role": "admin", "state": "waiting", "by": None, "at": None, "note": "", "until": None}),
        stage("away", "retire", "pending", attempt=0),
    ],
}
EVENTS = {"object": "list", "data": [{"at": WHEN, "kind": "run.queued", "stage": None, "who": "mezzo", "text": ""},
                                     {"at": WHEN, "kind": "stage.waiting_for_approval", "stage": "out", "who": "mezzo", "text": "waits for an admin"}]}


class Played:
    """Answers of a server that has one run; what it was told to do."""

    def __init__(self, page, run):
        self.run, self.told = json.loads(json.dumps(run)), []
        page.route("**/v1/pipeline-runs/**", self.answer)

    def answer(self, route):
        path = route.request.url.split("?")[0]
        if route.request.method == "POST":
            action = path.rsplit("/", 1)[1]
            self.told.append((action, json.loads(route.request.post_data)))
            out = self.run["stages"][3]
            if action == "approve":
                out.update(state="watching", approval={**out["approval"], "state": "approved", "by": "alice"})
                self.run["state"] = "running"
            elif action == "retry":
                self.run.update(state="running", reason=None, message="")
            else:
                self.run["state"] = "cancelled"
        route.fulfill(json=EVENTS if path.endswith("/events") else self.run)


def test_what_is_played_here_is_what_the_contract_says():
    """The answers above have all the members that it requires, and no others."""
    schemas = yaml.safe_load((ROOT / "schema" / "openapi.yaml").read_text())["components"]["schemas"]
    assert set(schemas["PipelineRun"]["required"]) == set(RUN)
    assert set(schemas["PipelineStage"]["required"]) == set(RUN["stages"][0])
    assert {state for one in RUN["stages"] for state in [one["state"]]} <= set(schemas["PipelineStage"]["properties"]["state"]["enum"])
    assert set(schemas["PipelineGate"]["required"]) == set(gate("", "passed", 1, 1))


def test_a_run_is_drawn_and_approved(visit, works):
    one = visit()
    played = Played(one.page, RUN)
    page = one.sign_in(works.admin.key, f"#/pipelines/run%2F{RUN['id']}")
    stages = page.get_by_role("list", name="Stages").get_by_role("listitem")
    expect(stages).to_have_count(5)
    expect(stages.nth(0)).to_contain_text("attempt 2 of 3")
    expect(stages.nth(1)).to_contain_text("auc >= 0.9: 0.93, 0.9")
    expect(stages.nth(1).locator(".gate.skipped")).to_contain_text("nothing served before")
    expect(stages.nth(3)).to_contain_text("waits for an approval by the role admin")
    expect(page.get_by_role("link", name="version 7")).to_have_attribute("href", "#/registry/churn%2F7")
    expect(page.locator(".timeline")).to_contain_text("stage.waiting_for_approval")
    shoot(page, "pipeline")
    page.get_by_label("Note").fill("looks well")
    page.get_by_role("button", name="Approve").click()
    expect(stages.nth(3)).to_contain_text("approved by alice")
    assert played.told == [("approve", {"stage": "out", "note": "looks well"})]
    expect(page.get_by_role("button", name="Approve")).to_have_count(0)


def test_a_run_is_cancelled_after_a_question_and_a_failed_one_goes_on(visit, works):
    one = visit()
    played = Played(one.page, RUN)
    page = one.sign_in(works.admin.key, f"#/pipelines/run%2F{RUN['id']}")
    page.get_by_role("button", name="Cancel the run").click()
    assert played.told == []
    page.get_by_role("dialog").get_by_role("button", name="Cancel the run").click()
    expect(page.locator("main").get_by_text("cancelled")).to_be_visible()
    assert played.told == [("cancel", {})]
    played.run.update(state="failed", reason="pipeline_gate_failed", message="stage 'judge': auc >= 0.9 was not met")
    page.reload()
    expect(page.get_by_role("note")).to_contain_text("auc >= 0.9 was not met")
    page.get_by_role("button", name="Go on from where it failed").click()
    expect(page.get_by_role("note")).to_have_count(0)
    assert played.told[1:] == [("retry", {})]


def test_who_only_observes_decides_nothing(visit, works):
    one = visit(viewport={"width": 390, "height": 800}, locale="zh-CN", color_scheme="dark")
    Played(one.page, RUN)
    page = one.sign_in(works.observer.key, f"#/pipelines/run%2F{RUN['id']}")
    expect(page.get_by_text("等待角色 admin 批准")).to_be_visible()
    for name in ("批准", "拒绝", "取消运行"):
        expect(page.get_by_role("button", name=name, exact=True)).to_have_count(0)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_real_pipeline_waits_is_approved_and_runs(visit, works):
    works.admin.ok("POST", "/v1/registry/models", {"name": "ranker"})
    pushed = {"model.onnx": (MODELS / "simple" / "1" / "model.onnx").read_bytes()}
    push(works, pushed)
    page = visit().sign_in(works.admin.key, "#/pipelines")
    expect(page.get_by_text("No pipelines yet")).to_be_visible()
    status, _, answer = works.server.request("PUT", "/v1/pipelines/again", TEXT.encode(),
                                             {"Authorization": f"Bearer {works.admin.key}", "Content-Type": "application/yaml"})
    assert status == 200, answer
    page.get_by_role("link", name="again", exact=True).click()
    expect(page.locator("pre")).to_contain_text("# Tests the newest version again, when somebody agrees.")
    page.get_by_role("button", name="Run it now").click()
    expect(page).to_have_url(re.compile("#/pipelines/run%2F"))
    stages = page.get_by_role("list", name="Stages").get_by_role("listitem")
    expect(stages.first).to_contain_text("waits for an approval by the role operator")
    page.get_by_role("button", name="Approve").click()
    expect(stages.first).to_contain_text("succeeded", timeout=120_000 * SLOWNESS)
    run = page.url.rsplit("%2F", 1)[1]
    assert works.admin.ok("GET", f"/v1/pipeline-runs/{run}")["stages"][0]["approval"]["state"] == "approved"
    expect(page.locator(".timeline")).to_contain_text("stage.approved")

    page.get_by_role("link", name="again", exact=True).click()
    page.get_by_role("button", name="Run it now").click()
    page.get_by_role("button", name="Reject").click()
    page.get_by_role("dialog").get_by_role("button", name="Reject").click()
    expect(stages.first).to_contain_text("rejected by")
    page.get_by_role("link", name="Pipelines", exact=True).first.click()
    page.get_by_role("radio", name="Runs").click()
    expect(page.get_by_role("table", name="Runs").get_by_role("row")).to_have_count(3)


def push(works, files):
    """A version by the registry's REST; ready when this returns."""
    listed = [{"path": name, "sha256": hashlib.sha256(body).hexdigest(), "bytes": len(body)} for name, body in files.items()]
    number = works.admin.ok("POST", "/v1/registry/models/ranker/versions", {"files": listed})["version"]
    for one, body in zip(listed, files.values()):
        status, _, answer = works.server.request("PUT", f"/v1/registry/blobs/{one['sha256']}", body,
                                                 {"Authorization": f"Bearer {works.admin.key}", "Content-Type": "application/octet-stream"})
        assert status == 200, answer
    works.admin.ok("POST", f"/v1/registry/models/ranker/versions/{number}/complete", {})
    deadline = time.monotonic() + 120 * SLOWNESS
    while (now := works.admin.ok("GET", f"/v1/registry/models/ranker/versions/{number}"))["state"] == "testing":
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert now["state"] == "ready", now
