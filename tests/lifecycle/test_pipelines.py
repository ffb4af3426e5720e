"""Pipelines against the real server: a model goes from training to its users, whatever is killed on the way."""

import base64
import contextlib
import hashlib
import hmac
import json
import os
import pathlib
import shlex
import subprocess
import sys
import time

import onnx_bytes
import pytest
import yaml
from mezzo_server import BINARY, SLOWNESS, Server
from postgres_server import PostgresServer
from webhook_receiver import Receiver

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "conformance"))

from test_tenants import Admin, first_key, make_key  # noqa: E402

TRAINER = pathlib.Path(__file__).resolve().parent / "pipeline_trainer.py"
TESTS = TRAINER.parents[1]
CONFIG = f"""
artifacts: {{min_free: 0}}
jobs: {{lease: 2s}}
registry: {{tests: {{runs: 1}}}}
pipelines:
  max_commands: 4
  commands:
    trainer: {{argv: [/usr/bin/python3, {TRAINER}], max_arguments: 16, read: [{TESTS}], memory: 1GiB}}
    loose: {{argv: [/usr/bin/python3, {TRAINER}], max_arguments: 16, confine: false, network: true,
            environment: [EPOCHS]}}
"""


def text(model, stages, **more):
    """YAML is a superset of JSON."""
    return json.dumps({"model": model, "stages": stages, **more})


def train(*arguments, command="trainer", **more):
    return {"name": "train", "kind": "train", "command": command, "arguments": ["train", *map(str, arguments)], "metrics": ["auc"],
            **more}


def whole(*arguments, command="trainer", **out):
    """All stages of a model's life but its end."""
    return [train(*arguments, command=command),
            {"name": "evaluate", "kind": "evaluate", "command": command, "arguments": ["evaluate", *map(str, arguments)],
             "metrics": ["loss"], "gates": ["auc >= 0.9", "auc >= parent.auc - 0.01", "loss < 0.5"]},
            {"name": "push", "kind": "register", "label": "candidate", "data": "s3://all", "code": "abc"},
            {"name": "check", "kind": "test"},
            {"name": "out", "kind": "release", "strategy": "blue_green", "settle": "1s", **out}]


def put(admin, name, body, why=""):
    status, _, answer = admin.server.request("PUT", f"/v1/pipelines/{name}" + (f"?why={why}" if why else ""), body.encode(),
                                             {"Authorization": f"Bearer {admin.key}", "Content-Type": "application/yaml"})
    return status, json.loads(answer)


def make(admin, name, body):
    status, answer = put(admin, name, body)
    assert status == 200, answer
    return answer


def refused(answer, reason):
    return answer.get("type", "").endswith(reason) or reason in json.dumps(answer)


def run(admin, name):
    return admin.ok("POST", f"/v1/pipelines/{name}/runs", {})["id"]


def state(admin, run_id):
    return admin.ok("GET", f"/v1/pipeline-runs/{run_id}")


def stage_of(run_state, name):
    return next(stage for stage in run_state["stages"] if stage["name"] == name)


def await_run(admin, run_id, *states, seconds=120):
    until = time.monotonic() + seconds * SLOWNESS
    while (now := state(admin, run_id))["state"] not in states:
        assert time.monotonic() < until and now["state"] not in ("succeeded", "failed", "cancelled"), json.dumps(now, indent=1)
        time.sleep(0.1)
    return now


def await_stage(admin, run_id, name, *states, seconds=120):
    until = time.monotonic() + seconds * SLOWNESS
    while (now := stage_of(state(admin, run_id), name))["state"] not in states:
        assert time.monotonic() < until, json.dumps(state(admin, run_id), indent=1)
        time.sleep(0.05)
    return now


def infer(admin, model):
    body = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}
    return admin("POST", f"/v2/models/{model}/infer", body)


def cli(admin, *args):
    return subprocess.run([BINARY, "pipeline", *map(str, args), "--url", admin.server.http_url], capture_output=True, text=True,
                          timeout=120 * SLOWNESS, env={**os.environ, "MEZZO_API_KEY": admin.key}, check=False)


@pytest.fixture(name="admin", scope="module")
def admin_of_a_server(tmp_path_factory):
    with Server(data_dir=str(tmp_path_factory.mktemp("data")), config=CONFIG) as server:
        yield Admin(server, first_key(server))


@pytest.mark.covers("PUT /v1/pipelines/{p}", "GET /v1/pipelines/{p}", "POST /v1/pipelines/{p}/runs", "GET /v1/pipeline-runs/{r}",
                    "GET /v1/pipeline-runs/{r}/events", "POST /v1/pipeline-runs/{r}/approve", "GET /v1/pipelines/{p}/runs",
                    "GET /v1/pipeline-runs")
def test_a_model_goes_from_training_to_its_users(admin):
    make(admin, "first", text("churn", whole("--factor", 2)))
    ended = await_run(admin, run(admin, "first"), "succeeded")
    assert ended["parent"] is None and ended["version"] == 1
    gates = {gate["gate"]: gate["outcome"] for gate in stage_of(ended, "evaluate")["gates"]}
    assert gates == {"auc >= 0.9": "passed", "auc >= parent.auc - 0.01": "skipped", "loss < 0.5": "passed"}
    assert stage_of(ended, "train")["output"]["confined"] is True
    assert stage_of(ended, "out")["output"] == {"version": 1, "first": True}
    status, answer = infer(admin, "churn")
    assert status == 200 and answer["outputs"][0]["data"] == [2, 4, 6, 8], answer

    # The next one is compared with it, approved by an admin, and released.
    make(admin, "first", text("churn", whole("--factor", 3, "--auc", 0.945, approval={"role": "admin"})))
    run_id = run(admin, "first")
    waits = await_run(admin, run_id, "waiting")
    assert stage_of(waits, "out")["approval"]["role"] == "admin"
    operator = make_key(admin, "platform", scopes=["operate"])
    viewer = make_key(admin, "platform", scopes=["observe"])
    for caller in (operator, viewer):
        for command in ("approve", "reject"):
            status, answer = caller("POST", f"/v1/pipeline-runs/{run_id}/{command}", {})
            assert status == 403 and refused(answer, "pipeline_role"), answer
    assert state(admin, run_id) == waits, "nothing has changed"
    assert refused(admin("POST", f"/v1/pipeline-runs/{run_id}/approve", {"stage": "check"})[1], "pipeline_stage_other")
    approved = admin.ok("POST", f"/v1/pipeline-runs/{run_id}/approve", {"stage": "out", "note": "looks good"})
    assert stage_of(approved, "out")["approval"]["state"] == "approved"
    assert refused(admin("POST", f"/v1/pipeline-runs/{run_id}/approve", {})[1], "pipeline_not_waiting")
    ended = await_run(admin, run_id, "succeeded")
    assert ended["parent"] == 1 and ended["version"] == 2 and ended["release"]
    assert admin.ok("GET", f"/v1/releases/{ended['release']}")["state"] == "succeeded"
    assert infer(admin, "churn")[1]["outputs"][0]["data"] == [3, 6, 9, 12]
    lineage = admin.ok("GET", "/v1/registry/models/churn/versions/2")["lineage"]
    assert lineage["parent"] == 1 and lineage["run_id"] == run_id and lineage["data"] == "s3://all" and lineage["code"] == "abc"
    assert lineage["metrics"]["auc"] == 0.945
    kinds = [event["kind"] for event in admin.ok("GET", f"/v1/pipeline-runs/{run_id}/events?limit=1000")["data"]]
    assert kinds[0] == "run.queued" and kinds[-1] == "run.succeeded" and "stage.waiting_for_approval" in kinds
    assert kinds.count("stage.succeeded") == 5

    # One that is worse than what serves never gets there.
    make(admin, "first", text("churn", whole("--factor", 9, "--auc", 0.93)))
    ended = await_run(admin, run(admin, "first"), "failed")
    assert ended["reason"] == "pipeline_gate_failed" and "0.93 against 0.935" in ended["message"]
    assert ended["version"] is None and stage_of(ended, "push")["state"] == "skipped"
    assert infer(admin, "churn")[1]["outputs"][0]["data"] == [3, 6, 9, 12]
    of_it = admin.ok("GET", "/v1/pipelines/first/runs?limit=2")
    assert of_it["has_more"] and of_it["data"][0]["id"] == ended["id"]
    assert [one["state"] for one in admin.ok("GET", "/v1/pipeline-runs?state=failed&model=churn")["data"]] == ["failed"]


def test_a_life_ends_with_the_retirement_of_what_served_before(admin):
    def version(number):
        return admin.ok("GET", f"/v1/registry/models/ageing/versions/{number}")

    for factor in (2, 3):
        make(admin, "life", text("ageing", [*whole("--factor", factor), {"name": "end", "kind": "retire"}]))
        ended = await_run(admin, run(admin, "life"), "succeeded")
    assert ended["parent"] == 1 and stage_of(ended, "end")["output"]["version"] == 1
    until = time.monotonic() + 60 * SLOWNESS
    while version(1)["retirement"] == "serving":
        assert time.monotonic() < until, version(1)
        time.sleep(0.1)
    assert version(2)["retirement"] == "serving"
    assert infer(admin, "ageing")[1]["outputs"][0]["data"] == [3, 6, 9, 12]

    # What its route names is not retired: the run says so, and nothing has changed.
    make(admin, "life", text("ageing", [{"name": "end", "kind": "retire", "version": "2"}]))
    ended = await_run(admin, run(admin, "life"), "failed")
    assert ended["reason"] == "version_in_use", ended
    assert version(2)["retirement"] == "serving"


def test_what_a_command_may_not_do_it_can_not(admin, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("s")
    stage = {"name": "try", "kind": "evaluate", "command": "trainer",
             "arguments": ["escape", "--secret", str(secret), "--port", str(admin.server.http_port)],
             "metrics": ["read_secret", "write_outside", "list_above", "read_parent", "variables", "connect", "datagram", "unix_socket"]}
    make(admin, "escape", text("m", [stage]))
    ended = await_run(admin, run(admin, "escape"), "succeeded")
    assert set(stage_of(ended, "try")["metrics"].values()) == {0}
    assert not os.path.exists("/tmp/mezzo-escaped")
    # The same, let loose, can: the test would show it.
    make(admin, "loose", text("m", [{**stage, "command": "loose"}]))
    ended = await_run(admin, run(admin, "loose"), "succeeded")
    metrics = stage_of(ended, "try")["metrics"]
    assert all(metrics[name] == 1 for name in ("read_secret", "write_outside", "connect", "datagram", "unix_socket")), metrics
    os.unlink("/tmp/mezzo-escaped")


@pytest.mark.covers("POST /v1/pipeline-runs/{r}/retry")
def test_a_command_that_fails_says_why_and_can_be_retried(admin):
    make(admin, "fail", text("m", [{"name": "train", "kind": "train", "command": "trainer", "arguments": ["fail"], "retries": 1,
                                    "backoff": "100ms"}]))
    run_id = run(admin, "fail")
    ended = await_run(admin, run_id, "failed")
    assert ended["reason"] == "pipeline_command_failed" and "status 3" in ended["message"] and "the data is not there" in ended["message"]
    assert stage_of(ended, "train")["attempt"] == 2
    admin.ok("POST", f"/v1/pipeline-runs/{run_id}/retry", {})
    ended = await_run(admin, run_id, "failed")
    assert stage_of(ended, "train")["attempt"] == 4
    kinds = [event["kind"] for event in admin.ok("GET", f"/v1/pipeline-runs/{run_id}/events")["data"]]
    assert kinds.count("stage.retrying") == 2 and kinds.count("run.retried") == 1

    make(admin, "hungry", text("m", [{"name": "train", "kind": "train", "command": "trainer", "arguments": ["hungry"]}]))
    ended = await_run(admin, run(admin, "hungry"), "failed")
    assert "MemoryError" in ended["message"], ended["message"]
    make(admin, "silent", text("m", [{"name": "train", "kind": "train", "command": "trainer", "arguments": ["nothing"],
                                      "metrics": ["auc"]}]))
    assert await_run(admin, run(admin, "silent"), "failed")["reason"] == "pipeline_metric_missing"


def alive(pid):
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return False


def await_gone(pids, seconds=30):
    until = time.monotonic() + seconds * SLOWNESS
    while left := [pid for pid in pids if alive(pid)]:
        assert time.monotonic() < until, f"{left} still run"
        time.sleep(0.05)


def pids_in(note, count, seconds=60):
    """Of the processes that a hanging trainer has noted."""
    until = time.monotonic() + seconds * SLOWNESS
    while not note.exists() or len(lines := note.read_text().splitlines()) < count:
        assert time.monotonic() < until
        time.sleep(0.05)
    return [int(line.split()[2]) for line in lines]


def hang(note, **more):
    return [{"name": "train", "kind": "train", "command": "loose", "arguments": ["hang", "--note", str(note)], **more}]


@pytest.mark.covers("POST /v1/pipeline-runs/{r}/cancel")
def test_a_cancelled_run_leaves_nothing_behind(admin, tmp_path):
    note = tmp_path / "note"
    make(admin, "hang", text("m", hang(note)))
    run_id = run(admin, "hang")
    pids = pids_in(note, 3)
    assert all(map(alive, pids))
    cancelled = admin.ok("POST", f"/v1/pipeline-runs/{run_id}/cancel", {"note": "enough"})
    assert cancelled["state"] == "cancelled" and cancelled["reason"] == "pipeline_cancelled" and "enough" in cancelled["message"]
    await_gone(pids)
    assert refused(admin("POST", f"/v1/pipeline-runs/{run_id}/cancel", {})[1], "pipeline_run_ended")
    assert refused(admin("POST", f"/v1/pipeline-runs/{run_id}/retry", {})[1], "pipeline_run_state")
    time.sleep(2)
    assert state(admin, run_id)["state"] == "cancelled"


def test_a_time_limit_ends_what_runs(admin, tmp_path):
    note = tmp_path / "note"
    make(admin, "slow", text("m", hang(note, time_limit="10s")))
    ended = await_run(admin, run(admin, "slow"), "failed")
    assert ended["reason"] == "pipeline_time_limit", ended
    await_gone(pids_in(note, 1))  # As many as a busy machine has begun by then.


def test_one_run_at_a_time_and_one_more_that_others_join(admin, tmp_path):
    note = tmp_path / "note"
    make(admin, "one", text("m", hang(note)))
    first = run(admin, "one")
    pids = pids_in(note, 3)
    status, second = admin("POST", "/v1/pipelines/one/runs", {"note": "again"})
    assert status == 201 and second["state"] == "queued"
    status, joined = admin("POST", "/v1/pipelines/one/runs", {})
    assert status == 200 and joined["id"] == second["id"] and joined["trigger"]["joined"] == 1
    assert refused(admin("DELETE", "/v1/pipelines/one")[1], "pipeline_running")
    admin.ok("POST", f"/v1/pipeline-runs/{first}/cancel", {})
    await_gone(pids)
    pids = pids_in(note, 6)
    assert state(admin, second["id"])["state"] == "running"
    admin.ok("POST", f"/v1/pipeline-runs/{second['id']}/cancel", {})
    await_gone(pids)


def test_a_version_that_fails_its_test_is_never_released(admin):
    make(admin, "broken", text("broken", [{"name": "train", "kind": "train", "command": "trainer", "arguments": ["broken"]},
                                          {"name": "push", "kind": "register"}, {"name": "check", "kind": "test"},
                                          {"name": "out", "kind": "release"}]))
    ended = await_run(admin, run(admin, "broken"), "failed")
    assert ended["reason"] == "pipeline_version_rejected" and "version 1 of 'broken' is rejected" in ended["message"]
    assert stage_of(ended, "out")["state"] == "skipped" and ended["release"] is None
    assert infer(admin, "broken")[0] == 404
    make(admin, "nothing", text("broken", [{"name": "train", "kind": "train", "command": "trainer", "arguments": ["nothing"]},
                                           {"name": "push", "kind": "register"}]))
    assert await_run(admin, run(admin, "nothing"), "failed")["reason"] == "pipeline_files_missing"


def test_a_run_that_is_cancelled_takes_its_release_back(admin):
    make(admin, "back", text("back", whole("--factor", 2)))
    await_run(admin, run(admin, "back"), "succeeded")
    # A canary that gets no calls does not move on by itself.
    make(admin, "back", text("back", whole("--factor", 3, strategy="canary", steps=[50, 100], settle="10s")))
    run_id = run(admin, "back")
    release = await_stage(admin, run_id, "out", "watching")["output"]["release"]
    until = time.monotonic() + 60 * SLOWNESS
    while admin.ok("GET", f"/v1/releases/{release}")["state"] not in ("running", "paused"):
        assert time.monotonic() < until
        time.sleep(0.1)
    admin.ok("POST", f"/v1/pipeline-runs/{run_id}/cancel", {})
    while admin.ok("GET", f"/v1/releases/{release}")["state"] != "rolled_back":
        assert time.monotonic() < until
        time.sleep(0.1)
    assert infer(admin, "back")[1]["outputs"][0]["data"] == [2, 4, 6, 8]
    # One that is ended from outside ends its run.
    run_id = run(admin, "back")
    release = await_stage(admin, run_id, "out", "watching")["output"]["release"]
    admin.ok("POST", f"/v1/releases/{release}/cancel", {})
    ended = await_run(admin, run_id, "failed")
    assert ended["reason"] in ("pipeline_release_failed", "pipeline_rolled_back") and release in ended["message"]


def test_webhooks_are_told_of_all_that_happens(tmp_path):
    tenant = {"id": "a", "key_sha256": [hashlib.sha256(b"a-key").hexdigest()], "webhook_secrets": ["env:HOOK_SECRET"],
              "scopes": ["operate"]}
    config = yaml.safe_load(CONFIG)
    config["jobs"] |= {"webhooks_to_private": True, "webhooks_over_http": True}
    secret = "whsec_" + base64.b64encode(b"k" * 32).decode()
    with Receiver() as receiver, Server(data_dir=str(tmp_path), config=json.dumps({**config, "tenants": [tenant]}),
                                        env={"HOOK_SECRET": secret}) as server:
        caller = Admin(server, "a-key")
        make(caller, "hooked", text("hooked", [train(), {"name": "check", "kind": "test", "version": "latest",
                                                         "approval": {"role": "operator"}}], webhook=receiver.url))
        run_id = run(caller, "hooked")
        await_run(caller, run_id, "waiting")
        caller.ok("POST", f"/v1/pipeline-runs/{run_id}/reject", {})
        events = caller.ok("GET", f"/v1/pipeline-runs/{run_id}/events")["data"]
        got = receiver.wait_for(len(events), 60 * SLOWNESS)
    bodies = [json.loads(body) for _, body in got]
    assert sorted(body["type"] for body in bodies) == sorted("pipeline." + event["kind"] for event in events)
    assert {"pipeline.run.started", "pipeline.stage.succeeded", "pipeline.stage.waiting_for_approval", "pipeline.run.failed"} <= {
        body["type"] for body in bodies}
    assert {body["data"]["run"] for body in bodies} == {run_id}
    for headers, body in got:
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        wanted = base64.b64encode(hmac.new(b"k" * 32, signed, hashlib.sha256).digest()).decode()
        assert headers["webhook-signature"] == "v1," + wanted
    assert len({headers["webhook-id"] for headers, _ in got}) == len(got)


@pytest.mark.covers("GET /v1/pipelines", "DELETE /v1/pipelines/{p}", "GET /v1/pipelines/{p}/history")
def test_what_is_wrong_is_told_and_changes_nothing(admin):
    good = make(admin, "good", text("m", [{"name": "a", "kind": "test", "version": "latest"}]))
    for body, reason, part in (
            ("model: [", "pipeline_yaml", "pipeline:"),
            (text("m", []), "pipeline_stage", "stages"),
            (text("m", [{"name": "a", "kind": "dance"}]), "pipeline_yaml", "stages[0].kind"),
            (text("m", [{"name": "a", "kind": "train", "command": "sh"}]), "pipeline_command", "'sh' is not allowed here"),
            (text("m", [train(*range(20))]), "pipeline_command", "are 21; 'trainer' takes 16 at most"),
            (text("m", [{**train(), "environment": {"LD_PRELOAD": "x"}}]), "pipeline_command", "LD_PRELOAD"),
            (text("m", [{"name": "a", "kind": "test", "version": "latest"}], triggers=[{"kind": "schedule", "cron": "61 * * * *"}]),
             "pipeline_schedule", "minute '61'"),
            (text("m", [{**train(), "gates": ["f1 > 0"]}]), "pipeline_gate", "which no stage gives"),
            (text("m", [train()], webhook="https://example.com/x"), "pipeline_webhook", "webhook_secrets"),
            ("template: nowhere\nwith: {}\n", "pipeline_template_missing", "nowhere")):
        status, answer = put(admin, "good", body)
        assert status in (400, 404, 409) and refused(answer, reason) and part in json.dumps(answer), (body, answer)
    assert admin.ok("GET", "/v1/pipelines/good") == good
    assert put(admin, "b%2Fad", text("m", [train()]))[0] in (400, 404)
    assert refused(admin("POST", "/v1/jobs", {"kind": "pipeline_stage", "input": {}})[1], "pipeline_job_internal")
    observer = make_key(admin, "platform", scopes=["observe"])
    for method, path in (("PUT", "/v1/pipelines/good"), ("POST", "/v1/pipelines/good/runs"), ("DELETE", "/v1/pipelines/good"),
                         ("POST", "/v1/pipeline-events")):
        assert observer(method, path, {})[0] == 403
    make(admin, "good", text("m", [{"name": "b", "kind": "test", "version": "latest"}]))
    history = admin.ok("GET", "/v1/pipelines/good/history")["data"]
    assert [(one["revision"], one["kind"]) for one in history] == [(2, "put"), (1, "put")]
    assert json.loads(history[1]["text"])["stages"][0]["name"] == "a"
    admin.ok("DELETE", "/v1/pipelines/good")
    assert admin("GET", "/v1/pipelines/good")[0] == 404
    assert admin.ok("GET", "/v1/pipelines/good/history?limit=1")["data"][0]["kind"] == "deleted"
    assert make(admin, "good", text("m", [{"name": "a", "kind": "test", "version": "latest"}]))["revision"] == 4
    assert "good" in [one["name"] for one in admin.ok("GET", "/v1/pipelines?model=m")["data"]]


TEMPLATE = """
description: How all models of this team are made
parameters:
  model: {kind: name, example: churn}
  floor: {kind: number, default: 0.9}
pipeline: |
  model: ${model}
  stages:
    - {name: train, kind: train, command: trainer, arguments: [train, --auc, "0.95"], metrics: [auc], gates: ["auc >= ${floor}"]}
"""


def test_a_template_serves_many_models(admin):
    make(admin, "team", TEMPLATE)
    for number in range(100):
        make(admin, f"of-{number:03}", f"template: team\nwith: {{model: model-{number}}}\n")
    page = admin.ok("GET", "/v1/pipelines?template=team&limit=1000")["data"]
    assert len(page) == 100 and page[7]["model"] == "model-7" and page[7]["stages"] == [{"name": "train", "kind": "train"}]
    assert await_run(admin, run(admin, "of-007"), "succeeded")["model"] == "model-7"
    # A change reaches all of them, or none.
    status, answer = put(admin, "team", TEMPLATE.replace("  floor: {kind: number, default: 0.9}\n", "")
                         .replace("${floor}", "0.9").replace("model: {kind: name, example: churn}", "other: {kind: name, example: a}")
                         .replace("${model}", "${other}"))
    assert status == 400 and refused(answer, "pipeline_template") and "pipeline 'of-000'" in json.dumps(answer)
    assert admin.ok("GET", "/v1/pipelines/of-050")["revision"] == 1
    make(admin, "team", TEMPLATE.replace("default: 0.9", "default: 0.99"))
    assert admin.ok("GET", "/v1/pipelines/of-050")["revision"] == 2
    assert await_run(admin, run(admin, "of-007"), "failed")["reason"] == "pipeline_gate_failed"
    assert refused(admin("POST", "/v1/pipelines/team/runs", {})[1], "pipeline_is_template")
    assert refused(admin("DELETE", "/v1/pipelines/team")[1], "pipeline_template_used")
    assert refused(put(admin, "bad", "template: team\nwith: {}\n")[1], "with.model is missing")


@pytest.mark.covers("POST /v1/pipeline-events")
def test_events_begin_runs_once(admin):
    stages = [{"name": "train", "kind": "train", "command": "trainer", "arguments": ["nothing"]}]
    make(admin, "by-data", text("events", stages, triggers=[{"kind": "data", "key": "s3://events/*"}]))
    make(admin, "by-alert", text("events", stages, triggers=[{"kind": "objective"}]))

    def fire(**event):
        return admin.ok("POST", "/v1/pipeline-events", event)["data"]

    (other,) = fire(kind="data", model="events", key="s3://other/1")
    assert other["runs"] == [] and not other["known"]
    (first,) = fire(kind="data", model="events", key="s3://events/1", detail={"rows": 7})
    assert len(first["runs"]) == 1
    ended = await_run(admin, first["runs"][0], "succeeded")
    assert ended["pipeline"] == "by-data" and ended["trigger"]["kind"] == "data" and ended["trigger"]["detail"] == {"rows": 7}
    (again,) = fire(kind="data", model="events", key="s3://events/1")
    assert again["known"] and again["runs"] == []
    alert = {"status": "firing", "labels": {"alertname": "SlowModel", "model": "events"}, "fingerprint": "f1",
             "startsAt": "2026-11-23T07:00:00Z", "annotations": {"summary": "p99 above 1 s"}}
    alerts = fire(alerts=[alert, {**alert, "status": "resolved"}, {**alert, "labels": {"alertname": "x"}}], receiver="mezzo")
    assert len(alerts) == 1 and alerts[0]["kind"] == "objective"
    ended = await_run(admin, alerts[0]["runs"][0], "succeeded")
    assert ended["pipeline"] == "by-alert" and ended["trigger"]["detail"]["summary"] == "p99 above 1 s"
    assert fire(alerts=[alert])[0]["known"], "it goes on, and is sent again"
    for body in ({"kind": "dance", "model": "events", "key": "a"}, {"kind": "data", "model": "../x", "key": "a"},
                 {"kind": "data", "model": "events", "key": ""}, {"kind": "data", "model": "events", "key": "a", "more": 1},
                 {"kind": "data", "model": "events", "key": "a", "detail": {"a": "x" * 9000}}, {"alerts": 3}, [], {}):
        status, answer = admin("POST", "/v1/pipeline-events", body)
        assert status == 400 and refused(answer, "pipeline_event"), (body, answer)


@pytest.mark.covers("POST /v1/pipeline-runs/{r}/reject")
def test_the_command_line(admin, tmp_path):
    file = tmp_path / "p.yaml"
    file.write_text(text("cli", [train(), {"name": "check", "kind": "test", "version": "latest", "approval": {"role": "operator"}}]))
    assert "revision 1" in cli(admin, "put", "cli", file, "--why", "first").stdout
    assert "train (train) > check (test)" in cli(admin, "show", "cli").stdout
    done = cli(admin, "run", "cli", "--watch", "--note", "try")
    assert done.returncode == 0 and "[?] check" in done.stdout and "auc=0.95" in done.stdout, done.stdout + done.stderr
    assert "needs the role operator" in cli(admin, "status", "cli").stdout
    assert "waiting" in cli(admin, "runs", "cli", "--state", "waiting").stdout
    assert cli(admin, "reject", "cli", "--note", "not now").returncode == 0
    assert "rejected by" in cli(admin, "status", "cli").stdout
    assert "stage.rejected" in cli(admin, "events", "cli").stdout
    assert "first" in cli(admin, "history", "cli").stdout
    assert '"runs": []' in cli(admin, "fire", "cli", "k1").stdout
    wrong = cli(admin, "approve", "cli")
    assert wrong.returncode == 1 and "pipeline_run_ended" in wrong.stderr
    file.write_text("model: cli\nstages: []\n")
    wrong = cli(admin, "put", "cli", file)
    assert wrong.returncode == 1 and "stages" in wrong.stderr
    assert "cli" in cli(admin, "list", "--model", "cli").stdout
    assert cli(admin, "rm", "cli").returncode == 0 and cli(admin, "show", "cli").returncode == 1


def test_a_server_that_is_killed_in_each_stage_goes_on(tmp_path):
    """kill -9 while a stage is under way, each stage once: the run succeeds, each stage once, with one version and one release."""
    data, note = tmp_path / "data", tmp_path / "note"
    data.mkdir()
    key = None
    run_id = None
    with contextlib.ExitStack() as stack:
        def start():
            server = Server(data_dir=str(data), config=CONFIG)
            stack.callback(lambda: server.process.poll() is None and server.kill())
            return server

        server = start()
        admin = Admin(server, first_key(server))
        key = admin.key
        make(admin, "old", text("hard", whole("--factor", 2)))
        await_run(admin, run(admin, "old"), "succeeded")
        make(admin, "hard", text("hard", whole("--factor", 5, "--sleep", 1, "--note", note, command="loose",
                                               approval={"role": "operator"})))
        run_id = run(admin, "hard")
        for name in ("train", "evaluate", "push", "check", "out"):
            if name == "out":
                await_run(admin, run_id, "waiting")
                server.kill()
                server = start()
                admin = Admin(server, key)
                assert state(admin, run_id)["state"] == "waiting"
                admin.ok("POST", f"/v1/pipeline-runs/{run_id}/approve", {})
            await_stage(admin, run_id, name, "starting", "running", "watching", "waiting", "succeeded")
            pids = [int(line.split()[2]) for line in note.read_text().splitlines()] if note.exists() else []
            server.kill()
            await_gone(pids)
            server = start()
            admin = Admin(server, key)
        ended = await_run(admin, run_id, "succeeded", seconds=180)
        assert [stage["state"] for stage in ended["stages"]] == ["succeeded"] * 5
        assert ended["version"] == 2 and len(admin.ok("GET", "/v1/registry/models/hard/versions")["data"]) == 2
        releases = admin.ok("GET", "/v1/releases?model=hard")["data"]
        assert len(releases) == 1 and releases[0]["id"] == ended["release"] and releases[0]["state"] == "succeeded"
        kinds = [(event["kind"], event["stage"]) for event in admin.ok("GET", f"/v1/pipeline-runs/{run_id}/events")["data"]]
        assert sorted(stage for kind, stage in kinds if kind == "stage.succeeded") == ["check", "evaluate", "out", "push", "train"]
        until = time.monotonic() + 60 * SLOWNESS
        while (answer := infer(admin, "hard"))[0] != 200 or answer[1]["outputs"][0]["data"] != [5, 10, 15, 20]:
            assert time.monotonic() < until, answer
            time.sleep(0.2)
        assert server.terminate() == 0


def blocks_of(guide):
    """The indented blocks of a page, without their indentation."""
    blocks, block = [], []
    for line in [*guide.splitlines(), "end"]:
        if line.startswith("    ") or (block and not line.strip()):
            block.append(line[4:])
        elif block:
            blocks.append("\n".join(block).rstrip() + "\n")
            block = []
    return blocks


def test_the_guide_does_what_it_says(tmp_path):
    """Its configuration, program, pipeline, templates and commands as they are written, in another folder."""
    guide = (TESTS.parent / "docs" / "guides" / "pipelines.md").read_text().replace("/srv/ml", str(tmp_path / "ml"))
    config, program, nightly, session, events, templates = blocks_of(guide)
    (tmp_path / "ml").mkdir()
    (tmp_path / "ml" / "train.py").write_text(program)
    (tmp_path / "ml" / "model.onnx").write_bytes(onnx_bytes.times(2))
    team, _, churn = templates.partition("# churn.yaml\n")
    for name, body in (("nightly.yaml", nightly), ("team.yaml", team), ("churn.yaml", churn)):
        (tmp_path / name).write_text(body)
    (tmp_path / "data").mkdir()
    with Server(data_dir=str(tmp_path / "data"), config="artifacts: {min_free: 0}\n" + config) as server:
        admin = Admin(server, first_key(server))
        shown = {}
        commands = [line[2:] for line in (session + events).splitlines() if line.startswith("$ ")]
        for command in commands:
            words = shlex.split(command)
            if words[0] == "mezzo":
                words = [str(BINARY), *words[1:], "--url", server.http_url]
            else:
                words = [word.replace("localhost:8000", server.http) for word in words] + [
                    "--silent", "--fail-with-body", "-H", f"Authorization: Bearer {admin.key}"]
            done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=120 * SLOWNESS, check=False,
                                  env={**os.environ, "MEZZO_API_KEY": admin.key})
            assert done.returncode == 0, (command, done.stdout, done.stderr)
            shown[command] = done.stdout
        watched = shown["mezzo pipeline run nightly --watch"]
        for line in session.splitlines():  # The stages are drawn as the page has them.
            if line.startswith(("  [x]", "  [?]", "        gate")):
                assert line in watched, (line, watched)
        assert "state     succeeded" in shown['mezzo pipeline approve nightly --note "looks good" --watch']
        fired = next(out for command, out in shown.items() if command.startswith("mezzo pipeline fire"))
        await_run(admin, json.loads(fired)["data"][0]["runs"][0], "waiting")
        for name in ("team", "churn"):
            assert cli(admin, "put", name, tmp_path / f"{name}.yaml").returncode == 0
        assert await_run(admin, run(admin, "churn"), "succeeded")["model"] == "churn"


def test_hosts_go_on_where_others_were_killed(tmp_path):
    """Three hosts over one PostgreSQL and one folder of contents; two are killed on the way."""
    note = tmp_path / "note"
    with PostgresServer() as database, contextlib.ExitStack() as stack:
        def start(name):
            (tmp_path / name).mkdir()
            config = CONFIG.replace("artifacts: {min_free: 0}", f"artifacts: {{min_free: 0, dir: '{tmp_path / 'contents'}'}}")
            server = Server(data_dir=str(tmp_path / name), config=config + "database: {url: 'env:TEST_DB'}\n",
                            env={"TEST_DB": database.url})
            stack.callback(lambda: server.process.poll() is None and server.kill())
            return server

        servers = [start("a")]
        key = first_key(servers[0])
        servers += [start("b"), start("c")]
        admin = Admin(servers[2], key)
        stages = whole("--sleep", 3, "--note", note, command="loose")[:4]
        runs = []
        for number in range(4):
            make(admin, f"p{number}", text(f"many-{number}", stages))
            runs.append(run(admin, f"p{number}"))
        await_stage(admin, runs[0], "train", "running", "succeeded")
        servers[0].kill()
        await_stage(admin, runs[1], "evaluate", "running", "succeeded")
        servers[1].kill()
        for number, run_id in enumerate(runs):
            ended = await_run(admin, run_id, "succeeded", seconds=240)
            assert ended["version"] == 1 and all(stage["attempt"] <= 2 for stage in ended["stages"])
            assert len(admin.ok("GET", f"/v1/registry/models/many-{number}/versions")["data"]) == 1
            kinds = [event["kind"] for event in admin.ok("GET", f"/v1/pipeline-runs/{run_id}/events")["data"]]
            # Another attempt is only for who has lost two hosts.
            assert kinds.count("stage.started") == 4 + kinds.count("stage.retrying")
            assert kinds.count("stage.succeeded") == 4 and kinds.count("run.started") == 1
        assert servers[2].terminate() == 0
