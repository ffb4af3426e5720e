"""New data begins a run, once, whichever of three hosts is killed; and nothing but what the operator has named is looked at."""

import contextlib
import json
import pathlib
import sys
import time

import pytest
from mezzo_server import SLOWNESS, Server
from postgres_server import PostgresServer

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "conformance"))

from test_tenants import Admin, first_key  # noqa: E402


def config_of(folder, **more):
    return {"artifacts": {"min_free": 0}, "registry": {"tests": {"enabled": False}},
            "pipelines": {"data_period": "200ms", "datasets": {"raw": {"folder": str(folder), "max_files": 50}}}, **more}


def make(admin, name, *triggers, code=None):
    """A pipeline whose run ends at once: it says so when a version is not there."""
    body = {"model": "churn", "triggers": list(triggers), "stages": [{"name": "look", "kind": "test", "version": "1"}]}
    status, answer = admin("PUT", f"/v1/pipelines/{name}", body)
    if code:
        assert status == 400 and answer["error"]["code"] == code, answer
    else:
        assert status == 200, answer
    return answer


def eventually(check, seconds=60):
    until = time.monotonic() + seconds * SLOWNESS
    while not (got := check()):
        assert time.monotonic() < until, "it did not come true"
        time.sleep(0.1)
    return got


def watched(admin, name):
    return admin.ok("GET", f"/v1/pipelines/{name}")["triggers"][0]["watched"]


def runs(admin, name):
    return admin.ok("GET", f"/v1/pipelines/{name}/runs")["data"]


def begun(admin, name):
    """How many changes have begun or joined a run."""
    return sum(1 + run["trigger"]["joined"] for run in runs(admin, name))


def test_new_data_begins_one_run_whichever_host_is_killed(tmp_path):
    data = tmp_path / "raw"
    (data / "churn").mkdir(parents=True)
    (data / "churn" / "old.csv").write_text("old")
    (tmp_path / "secret").mkdir()
    with PostgresServer() as database, contextlib.ExitStack() as stack:
        def start(name):
            config = config_of(data, database={"url": "env:TEST_DB"})
            server = Server(data_dir=str(tmp_path / name), config=json.dumps(config), env={"TEST_DB": database.url})
            stack.callback(lambda: server.process.poll() is None and server.kill())
            return server

        servers = [start("a")]
        key = first_key(servers[0])
        servers += [start("b"), start("c")]
        admin = Admin(servers[2], key)
        make(admin, "p", {"kind": "data", "dataset": "raw", "prefix": "churn", "settle": "3s"})
        assert eventually(lambda: watched(admin, "p")["files"]) == 1
        # In pieces: nothing begins while it grows.
        with (data / "churn" / "new.csv").open("w") as file:
            for _ in range(15):
                file.write("more")
                file.flush()
                time.sleep(0.2)
                piece = begun(admin, "p")
                assert piece == 0, "it was still being written"
        eventually(lambda: begun(admin, "p") == 1)
        (run,) = runs(admin, "p")
        assert run["trigger"]["kind"] == "data" and run["trigger"]["key"] == "raw/churn"
        assert run["trigger"]["detail"]["files"] == 2 and run["trigger"]["detail"]["bytes"] == 63
        # Two hosts are killed, one after the other, with a change each; whoever is left goes on. What a host had seen is kept.
        for number, server in enumerate(servers[:2]):
            (data / "churn" / f"more-{number}.csv").write_text("x")
            eventually(lambda: watched(admin, "p")["settling"] or begun(admin, "p") == 2 + number)
            server.kill()
            eventually(lambda number=number: begun(admin, "p") == 2 + number, 120)
        time.sleep(6)
        assert begun(admin, "p") == 3 == watched(admin, "p")["runs"], "once for each change"
        # What goes begins nothing, nor do links, hidden files and what lies elsewhere.
        (data / "churn" / "old.csv").unlink()
        (data / "churn" / "link").symlink_to(tmp_path / "secret")
        (data / "churn" / ".part").write_text("x")
        (data / "other").mkdir()
        (data / "other" / "x").write_text("x")
        (tmp_path / "secret" / "x").write_text("x")
        eventually(lambda: watched(admin, "p")["files"] == 3)
        time.sleep(6)
        assert begun(admin, "p") == 3
        assert servers[2].terminate() == 0


def test_what_can_not_be_watched_is_said(tmp_path):
    data = tmp_path / "raw"
    (data / "many").mkdir(parents=True)
    (data / "away").symlink_to(tmp_path)
    with Server(data_dir=str(tmp_path / "data"), config=json.dumps(config_of(data))) as server:
        admin = Admin(server, first_key(server))
        for trigger, code in (({"dataset": "other"}, "pipeline_dataset"), ({"dataset": "raw", "prefix": "../secret"}, "pipeline_dataset"),
                              ({"dataset": "raw", "prefix": "/etc"}, "pipeline_dataset"), ({"prefix": "many"}, "pipeline_stage"),
                              ({"dataset": "raw", "key": "x"}, "pipeline_stage"), ({"dataset": "raw", "settle": "soon"}, "pipeline_yaml")):
            make(admin, "bad", {"kind": "data", **trigger}, code=code)
            assert admin("GET", "/v1/pipelines/bad")[0] == 404
        make(admin, "many", {"kind": "data", "dataset": "raw", "prefix": "many", "settle": "0s"})
        make(admin, "away", {"kind": "data", "dataset": "raw", "prefix": "away", "settle": "0s"})
        eventually(lambda: watched(admin, "away")["error"])
        assert watched(admin, "away")["error"].startswith("pipeline_dataset_unreadable: dataset 'raw': 'away', which must be a folder")
        eventually(lambda: watched(admin, "many")["files"] == 0)
        for number in range(51):
            (data / "many" / str(number)).write_text("x")
        wanted = "pipeline_dataset_limit: dataset 'raw' has more than 50 files and folders (max_files)"
        eventually(lambda: watched(admin, "many")["error"] == wanted)
        (data / "many" / "50").unlink()
        eventually(lambda: watched(admin, "many")["error"] is None)
        eventually(lambda: begun(admin, "many") >= 1)
        assert server.metrics()['mezzo_pipelines_data_looks_total{outcome="failed"}'] >= 1
        assert any(line.get("msg") == "data can't be looked at" and line["pipeline"] == "away" for line in server.log)


@pytest.mark.parametrize("dataset,message", [({"folder": "raw"}, "absolute path"), ({}, "folder"), ({"folder": "/x", "max_files": 0}, "max_files")])
def test_a_dataset_that_is_none_ends_the_start(tmp_path, dataset, message):
    with pytest.raises(RuntimeError, match=message):
        Server(data_dir=str(tmp_path / "data"), config=json.dumps({"pipelines": {"datasets": {"raw": dataset}}}))
