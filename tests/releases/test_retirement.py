"""Retirement as operators meet it: what nobody needs goes step by step from all hosts, and comes back when it is asked for."""

import time

import pytest
from mezzo_server import SLOWNESS
from test_registered_versions import MODELS, Fleet, mezzo, route, served
from test_release import Traffic
from test_routes import MODEL, call, eventually

QUICK = ", linger: 2s, retire: {after: 6s, warning: 3s, drain: 1s}"
BY_HAND = ", linger: 2s, retire: {drain: 1s}"


def version(host, number):
    return call(host, "GET", f"{MODELS}/{MODEL}/versions/{number}")[2]


def act(host, number, what):
    status, _, answer = call(host, "POST", f"{MODELS}/{MODEL}/versions/{number}/{what}")
    return status, answer


def test_what_nobody_calls_is_warned_drained_and_archived_and_what_is_called_stays(tmp_path):
    with Fleet(tmp_path, extra=QUICK) as fleet:
        a, b = fleet.hosts
        fleet.serve("2")
        mezzo(b, "load", MODEL, 1)  # By hand, and then forgotten.
        with Traffic([a, b], threads=2) as traffic:
            eventually(lambda: version(a, 1)["retirement"] == "archived", 120)
            eventually(lambda: (MODEL, 1) not in served(b), 60)
            time.sleep(2 * SLOWNESS)
        assert not traffic.failures, traffic.failures[:3]
        assert version(a, 1)["state"] == "archived" and version(a, 2)["state"] == "ready"
        history = call(a, "GET", f"{MODELS}/{MODEL}/history?version=1&limit=100")[2]["data"]
        steps = [event["after"] for event in reversed(history) if event["kind"] == "version_retirement"]
        assert steps[-4:] == ["warned", "draining", "archiving", "archived"], steps
        assert any("will be retired" in line.get("msg", "") for host in (a, b) for line in host.log)


@pytest.mark.covers("POST /v1/registry/models/{m}/versions/{v}/retire", "POST /v1/registry/models/{m}/versions/{v}/restore")
def test_what_somebody_retires_goes_and_is_restored_verified(tmp_path):
    with Fleet(tmp_path, extra=BY_HAND) as fleet:
        a, b = fleet.hosts
        fleet.serve("1")
        status, answer = act(a, 1, "retire")
        assert (status, answer["error"]["code"]) == (400, "version_in_use"), answer
        assert "the route of model 'm'" in answer["error"]["message"]
        assert act(a, 9, "retire")[1]["error"]["code"] == "registry_version_unknown"
        mezzo(b, "alias", MODEL, "prod", 2)
        assert act(a, 2, "retire")[1]["error"]["code"] == "version_in_use"
        mezzo(b, "alias", MODEL, "prod", "--remove")
        assert version(a, 2)["retirement"] == "serving"

        assert "retiring" in mezzo(a, "retire", MODEL, 2)
        assert act(b, 2, "retire")[0] == 200, "beginning twice is beginning once"
        if version(a, 2)["retirement"] == "draining":  # Unless this machine was slow.
            assert act(b, 2, "load")[1]["error"]["code"] in ("version_retiring", "registry_version_not_ready")
        assert "is ready" in mezzo(b, "restore", MODEL, 2)
        assert version(a, 2)["retirement"] == "serving" and version(a, 2)["state"] == "ready"
        assert act(a, 2, "retire")[0] == 200
        eventually(lambda: version(b, 2)["retirement"] == "archived", 60)
        assert call(a, "PUT", f"/v1/routes/{MODEL}", {"stable": "2"})[2]["error"]["code"] == "route_version_not_ready"
        status, answer = act(b, 2, "restore")
        assert status == 200 and answer["state"] == "ready", answer
        route(b, {"stable": "2"})
        fleet.await_answers("2")

        # What the store has spoilt does not come back.
        assert act(a, 1, "retire")[0] == 200
        eventually(lambda: version(b, 1)["retirement"] == "archived", 60)
        file = version(a, 1)["files"][0]
        stored = [path for path in (tmp_path / "contents").rglob("*") if path.is_file() and file["sha256"] in str(path)]
        assert stored
        for path in stored:
            path.chmod(0o600)
            content = path.read_bytes()
            path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        status, answer = act(b, 1, "restore")
        assert (status, answer["error"]["code"]) == (500, "version_corrupt"), answer
        assert version(a, 1)["state"] == "archived"
