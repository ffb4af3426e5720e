"""Versions that lie in the registry alone: routes, aliases and releases bring them to every host, and hosts serve them again after a
restart."""

import contextlib
import json
import subprocess
import threading
import time

import mezzo_server
import pytest
from fault_proxy import FaultProxy
from mezzo_server import SLOWNESS, Server
from postgres_server import PostgresServer
from test_release import LOOSE, Traffic
from test_routes import MODEL, PYTHON, call, delays, eventually, infer

MODELS = "/v1/registry/models"
QUICK = {"steps": [{"weight": 2000, "min_duration_s": 1, "min_calls": 20}, {"weight": 10000, "min_duration_s": 1, "min_calls": 20}],
         "settle_s": 1, "prepare_limit_s": 240, "step_limit_s": 240}


SOURCE = """
import numpy as np
from mezzo_worker import TensorSpec

class Model:
    inputs = [TensorSpec("x", "FP32", [-1])]
    outputs = [TensorSpec("y", "FP32", [-1]), TensorSpec("v", "INT64", [1])]

    def __init__(self, context):
        pass

    def predict(self, inputs, context):
        return {{"y": inputs["x"] * 2, "v": np.int64([{version}])}}
"""


class Fleet:
    """Hosts over one PostgreSQL and one folder of contents; their folders of models are empty."""

    def __init__(self, folder, size=2, extra="", config="", cuttable=False):
        """`extra`: members of `registry`; `config`: further lines; `cuttable`: hosts reach the database through `way`."""
        self.folder, self.size, self.extra, self.config, self.hosts = folder, size, extra, config, []
        self.cuttable, self.way = cuttable, None
        (folder / "none").mkdir()

    def __enter__(self):
        self._stack = contextlib.ExitStack()
        self.postgres = self._stack.enter_context(PostgresServer())
        self.url = self.postgres.url
        if self.cuttable:
            self.way = self._stack.enter_context(FaultProxy(self.postgres.port))
            self.url = f"postgresql://mezzo@127.0.0.1:{self.way.port}/postgres?connect_timeout=5"
        self.hosts = [self.start(index) for index in range(self.size)]
        return self

    def start(self, index):
        config = (f"artifacts: {{min_free: 0, dir: '{self.folder}/contents'}}\n"
                  f"registry: {{host: host-{index}, tests: {{enabled: false}}{self.extra}}}\ndatabase: {{url: 'env:TEST_DB'}}\n{self.config}")
        return Server(models=self.folder / "none", config=config, env={**PYTHON, "TEST_DB": self.url},
                      data_dir=str(self.folder / f"host-{index}"))

    def __exit__(self, *exception):
        for host in self.hosts:
            host.kill()
        self._stack.close()

    def await_answers(self, version):
        """Until every host answers by the version."""
        for host in self.hosts:
            eventually(lambda host=host: answers(host, version), 60)

    def serve(self, stable):
        """Pushes versions 1 and 2; then every host answers by `stable`, as the route says."""
        for version in (1, 2):
            push(self.hosts[0], self.folder, version)
        route(self.hosts[0], {"stable": stable})
        self.await_answers(stable)


@pytest.fixture(name="fleet")
def fleet_of_two(tmp_path):
    with Fleet(tmp_path) as fleet:
        yield fleet


def mezzo(server, *args, code=0):
    done = subprocess.run([mezzo_server.BINARY, "model", *map(str, args), "--url", server.http_url], capture_output=True, text=True,
                          timeout=120 * SLOWNESS, check=False)
    assert done.returncode == code, (args, done.stdout, done.stderr)
    return done.stdout + done.stderr


def push(server, folder, version, model=MODEL):
    """A version that answers with its number; the registry gives them out in order."""
    source = folder / f"push-{model}-{version}"
    source.mkdir()
    (source / "model.py").write_text(SOURCE.format(version=version))
    (source / "model.yaml").write_text("batching: {max_batch_size: 0}\n")
    assert f"version {version} is ready" in mezzo(server, "push", source, "--name", model, "--wait")


def route(server, body, model=MODEL):
    status, _, answer = call(server, "PUT", f"/v1/routes/{model}", body)
    assert status == 200, answer
    return answer


def answers(host, version, model=MODEL):
    return infer(host, model=model)[:2] == (200, version)


def host_holds(host):
    return host.metrics()["mezzo_route_held"]


def served(host):
    return {(one["model"], one["version"]) for one in call(host, "GET", "/v1/registry/served")[2]["data"]}


def test_a_release_of_registered_versions_reaches_hosts_with_empty_folders(fleet, tmp_path):
    a, b = fleet.hosts
    push(a, tmp_path, 1)
    push(b, tmp_path, 2)
    assert infer(a)[0] == 404
    route(a, {"stable": "1"})
    fleet.await_answers("1")
    with Traffic([a, b]) as traffic:
        status, _, answer = call(b, "POST", "/v1/releases", {"model": MODEL, "candidate": "2", **QUICK, "analysis": LOOSE})
        assert status == 201, answer
        eventually(lambda: call(a, "GET", f"/v1/releases/{answer['id']}")[2]["state"] == "succeeded", 240)
    assert not traffic.failures, traffic.failures[:3]
    for host in (a, b):
        assert answers(host, "2") and {(MODEL, 1), (MODEL, 2)} <= served(host), "the former one lingers"

    # A host that is lost comes back with an empty disk, and is ready when it has what its routes need.
    b.kill()
    subprocess.run(["rm", "-rf", str(tmp_path / "host-1")], check=True)
    fleet.hosts[1] = b = fleet.start(1)
    assert answers(b, "2"), "readiness has waited for it"
    # And one that restarts serves from its disk.
    assert a.terminate() == 0
    fleet.hosts[0] = a = fleet.start(0)
    assert answers(a, "2")
    history = call(a, "GET", f"{MODELS}/{MODEL}/at")[2]["served"]
    assert {(one["version"], one["host"]) for one in history} >= {(2, "host-0"), (2, "host-1")}


def test_a_host_lost_in_the_middle_does_not_stop_the_release(fleet):
    a, b = fleet.hosts
    fleet.serve("1")
    slow = {**QUICK, "steps": [{"weight": 5000, "min_duration_s": 4, "min_calls": 20}, {"weight": 10000, "min_duration_s": 1, "min_calls": 20}]}
    with Traffic([b]) as traffic:
        release = call(a, "POST", "/v1/releases", {"model": MODEL, "candidate": "2", **slow, "analysis": LOOSE})[2]["id"]
        eventually(lambda: call(b, "GET", f"/v1/releases/{release}")[2]["state"] == "running", 120)
        a.kill()
        eventually(lambda: call(b, "GET", f"/v1/releases/{release}")[2]["state"] == "succeeded", 240)
    assert not traffic.failures, traffic.failures[:3]
    fleet.hosts[0] = a = fleet.start(0)
    assert answers(a, "2") and answers(b, "2")


def test_a_route_waits_on_each_host_for_the_version_that_it_names(fleet, tmp_path):
    a, b = fleet.hosts
    fleet.serve("1")
    with Traffic([a, b]) as traffic:
        route(b, {"stable": "2"})
        fleet.await_answers("2")
    assert not traffic.failures, traffic.failures[:3]
    assert {version for _, _, version in traffic.versions} == {"1", "2"}
    # "latest" is what the registry has, on hosts that have no folder.
    push(a, tmp_path, 3)
    route(a, {"stable": "latest"})
    fleet.await_answers("3")


def test_an_alias_that_moves_moves_its_route_on_all_hosts_and_no_call_fails(fleet, tmp_path):
    a, b = fleet.hosts
    for version in (1, 2):
        push(a, tmp_path, version)
    mezzo(a, "alias", MODEL, "champion", 1)
    route(b, {"stable": "@champion"})
    fleet.await_answers("1")
    with Traffic([a, b]) as traffic:
        mezzo(a, "alias", MODEL, "champion", 2)  # It has to be fetched first.
        fleet.await_answers("2")
        moved = [delays(one, "alias") for one in fleet.hosts]
        for version, host in ((1, b), (2, a)):  # Both are here now.
            time.sleep(1)
            status, _, answer = call(host, "PUT", f"{MODELS}/{MODEL}/aliases/champion", {"version": version})
            assert status == 200, answer
            for one in fleet.hosts:
                eventually(lambda one=one, version=version: answers(one, str(version)), 30)
            begun = len(traffic.versions)
            eventually(lambda begun=begun: len(traffic.versions) > begun + 40, 60)
            late = [one for one in traffic.versions[begun + 8:] if one[2] != str(version)]  # But those on their way.
            assert not late, late[:3]
    assert not traffic.failures, traffic.failures[:3]
    # By the servers' own record: from the row to each host, whatever callers' own time was.
    for (count, soon), host in zip(moved, fleet.hosts):
        now, in_time = delays(host, "alias")
        assert now == count + 2 and (in_time == soon + 2 or SLOWNESS > 1), (count, soon, now, in_time)


def test_what_a_route_needs_cannot_be_taken_away_and_a_route_cannot_need_what_is_not_there(fleet, tmp_path):
    a, b = fleet.hosts
    for version in (1, 2, 3):
        push(a, tmp_path, version)
    mezzo(a, "alias", MODEL, "champion", 1)
    route(a, {"stable": "@champion", "rules": [{"header": "x-beta", "equals": "1", "version": "2"}]})
    fleet.await_answers("1")

    def refused(method, path, body=None):
        status, _, answer = call(b, method, path, body)
        return status, answer["error"]["code"]

    assert refused("DELETE", f"{MODELS}/{MODEL}/aliases/champion") == (400, "registry_alias_in_use")
    assert refused("DELETE", f"{MODELS}/{MODEL}/versions/1") == (400, "version_in_use")
    assert refused("PATCH", f"{MODELS}/{MODEL}/versions/2", {"state": "archived"}) == (400, "version_in_use")
    assert refused("PATCH", f"{MODELS}/{MODEL}", {"name": "other"}) == (400, "registry_model_in_use")
    assert refused("DELETE", f"{MODELS}/{MODEL}") == (400, "registry_model_in_use")
    assert refused("POST", f"{MODELS}/{MODEL}/versions/1/unload") == (400, "version_in_use")
    before = call(a, "GET", f"/v1/routes/{MODEL}")[2]
    assert refused("PUT", f"/v1/routes/{MODEL}", {"stable": "@nobody"}) == (400, "route_alias_unknown")
    assert refused("PUT", f"/v1/routes/{MODEL}", {"stable": "9"}) == (400, "route_version_unknown")
    assert call(b, "PATCH", f"{MODELS}/{MODEL}/versions/3", {"state": "archived"})[0] == 200, "nothing needs it"
    assert refused("PUT", f"/v1/routes/{MODEL}", {"stable": "3"}) == (400, "route_version_not_ready")
    status, _, answer = call(b, "POST", "/v1/releases", {"model": MODEL, "stable": "1", "candidate": "3"})
    assert (status, answer["error"]["code"]) == (409, "registry_version_not_ready"), json.dumps(answer)
    assert "version 3 of model 'm' is archived, not ready" in answer["error"]["message"]
    assert call(a, "GET", f"/v1/routes/{MODEL}")[2]["revision"] == before["revision"]
    assert answers(a, "1") and answers(b, "1")


def test_what_nothing_needs_any_more_is_let_go(tmp_path):
    with Fleet(tmp_path, size=1, extra=", linger: 2s") as fleet:
        a = fleet.hosts[0]
        for version in (1, 2):
            push(a, tmp_path, version)
        route(a, {"stable": "1"})
        eventually(lambda: answers(a, "1"), 60)
        route(a, {"stable": "2"})
        eventually(lambda: answers(a, "2"), 60)
        eventually(lambda: served(a) == {(MODEL, 2)}, 60)
        assert answers(a, "2")
        assert call(a, "PATCH", f"{MODELS}/{MODEL}/versions/1", {"state": "archived"})[0] == 200


def test_a_database_that_is_cut_off_takes_no_version_away_and_what_is_wanted_comes_behind_it(tmp_path):
    with Fleet(tmp_path, size=2, extra=", linger: 2s", cuttable=True) as fleet:
        a, b = fleet.hosts
        for version in (1, 2, 3):
            push(a, tmp_path, version)
        call(a, "PATCH", f"{MODELS}/{MODEL}/versions/3", {"state": "archived"})
        # Version 2 is here only because it is the newest; version 1 by its number.
        route(a, {"stable": "latest", "rules": [{"header": "x-old", "equals": "1", "version": "1"}]})
        for host in (a, b):
            eventually(lambda host=host: answers(host, "2"), 60)
            eventually(lambda host=host: infer(host, headers={"X-Old": "1"})[1] == "1", 60)
        with Traffic([a, b]) as traffic:
            for seconds in (1, 6):  # Shorter and longer than versions linger.
                fleet.way.set("cut")
                time.sleep(seconds)
                for host in (a, b):
                    assert answers(host, "2") and infer(host, headers={"X-Old": "1"})[1] == "1"
                fleet.way.set("pass")
                for host in (a, b):
                    eventually(lambda host=host: served(host) >= {(MODEL, 1), (MODEL, 2)}, 60)
            # While a version is on its way to the hosts, too.
            status, _, answer = call(a, "PATCH", f"{MODELS}/{MODEL}/versions/3", {"state": "ready"})
            assert status == 200, answer
            eventually(lambda: call(a, "GET", f"{MODELS}/{MODEL}")[2]["latest"] == 3, 60)
            for _ in range(5):
                fleet.way.set("cut")
                time.sleep(0.3)
                fleet.way.set("pass")
                time.sleep(0.2)
            for host in (a, b):
                eventually(lambda host=host: answers(host, "3"), 120)
        assert not traffic.failures, traffic.failures[:3]
        for host in (a, b):
            assert host.metrics()["mezzo_registry_versions_let_go_total"] <= 1, "version 2 alone may have gone by now"
            assert infer(host, headers={"X-Old": "1"})[1] == "1"

        def at_last():
            of = call(a, "GET", f"{MODELS}/{MODEL}/at")[2]["served"]
            return {(one["version"], one["host"]) for one in of} == {(v, h) for v in (1, 3) for h in ("host-0", "host-1")}
        eventually(at_last, 60)


def test_whatever_holds_a_version_is_named(tmp_path):
    with Fleet(tmp_path, size=1, extra=", linger: 2s") as fleet:
        a = fleet.hosts[0]
        for version in (1, 2):
            push(a, tmp_path, version)

        def refused(method, path, body=None):
            before = call(a, "GET", f"{MODELS}/{MODEL}/versions/1")[2], served(a)
            status, _, answer = call(a, method, path, body)
            assert (status, answer["error"]["code"]) == (400, "version_in_use"), answer
            assert (call(a, "GET", f"{MODELS}/{MODEL}/versions/1")[2], served(a)) == before, "nothing has changed"
            return answer["error"]["message"]

        def ways():
            return {refused("POST", f"{MODELS}/{MODEL}/versions/1/unload").removesuffix(" on host 'host-0'"),
                    refused("DELETE", f"{MODELS}/{MODEL}/versions/1")}

        route(a, {"stable": "1"})
        eventually(lambda: answers(a, "1"), 60)
        assert ways() == {"the route of model 'm' needs version 1 of model 'm'"}
        mezzo(a, "alias", MODEL, "champion", 1)
        route(a, {"stable": "@champion"})
        assert ways() == {"the route of model 'm' (by alias 'champion') needs version 1 of model 'm'"}
        assert "alias 'champion' points at version 1" in refused("POST", f"{MODELS}/{MODEL}/versions/1/retire")
        route(a, {"stable": "1"})
        mezzo(a, "alias", MODEL, "champion", "--remove")
        # A release that is settled only later keeps what it replaced warm.
        status, _, answer = call(a, "POST", "/v1/releases", {"model": MODEL, "candidate": "2", **QUICK, "settle_s": 600, "automatic": False})
        assert status == 201, answer
        release = answer["id"]
        eventually(lambda: call(a, "GET", f"/v1/releases/{release}")[2]["state"] == "running", 120)
        assert call(a, "POST", f"/v1/releases/{release}/promote", {})[2]["state"] == "settling"
        eventually(lambda: answers(a, "2"), 60)
        assert ways() == {f"release '{release}' (settling) needs version 1 of model 'm'"}
        assert call(a, "POST", f"/v1/releases/{release}/roll_back", {})[0] == 200
        eventually(lambda: answers(a, "1"), 60)
        route(a, {"stable": "2"})
        eventually(lambda: answers(a, "2"), 60)
        eventually(lambda: served(a) == {(MODEL, 2)}, 60)
        assert call(a, "DELETE", f"{MODELS}/{MODEL}/versions/1")[0] == 200

        # A route whose next version does not come leaves the one that it went by in force on this host.
        broken = tmp_path / "broken"
        broken.mkdir()
        (broken / "model.py").write_text("raise RuntimeError('as it is')\n")
        mezzo(a, "push", broken, "--name", MODEL, "--wait")
        route(a, {"stable": "3"})
        time.sleep(4)  # Whoever has asked before has been forgotten.
        assert host_holds(a) == 1
        status, _, answer = call(a, "POST", f"{MODELS}/{MODEL}/versions/2/unload")
        assert (status, answer["error"]["code"]) == (400, "version_in_use"), answer
        assert answer["error"]["message"] == ("the route of model 'm' that is in force there needs version 2 of model 'm' "
                                              "on host 'host-0'")
        assert answers(a, "2")
        route(a, {"stable": "2"})


def test_of_two_releases_on_two_hosts_at_once_one_begins(fleet, tmp_path):
    a, b = fleet.hosts
    for version in (1, 2):
        push(a, tmp_path, version)
    route(a, {"stable": "1"})
    for host in (a, b):
        eventually(lambda host=host: answers(host, "1"), 60)
    spec = {"model": MODEL, "candidate": "2", **QUICK, "automatic": False}
    answered, together = [], threading.Barrier(6)

    def begin(host):
        together.wait(60 * SLOWNESS)
        answered.append(call(host, "POST", "/v1/releases", spec))

    threads = [threading.Thread(target=begin, args=((a, b)[index % 2],)) for index in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60 * SLOWNESS)
    begun = [answer["id"] for status, _, answer in answered if status == 201]
    assert len(begun) == 1, answered
    assert [(status, answer["error"]["code"]) for status, _, answer in answered if status != 201] == [(409, "release_exists")] * 5
    for host in (a, b):
        assert [one["id"] for one in call(host, "GET", "/v1/releases")[2]["data"]] == begun
    assert call(b, "POST", f"/v1/releases/{begun[0]}/cancel", {})[0] == 200
    for host in (a, b):
        eventually(lambda host=host: answers(host, "1"), 60)
