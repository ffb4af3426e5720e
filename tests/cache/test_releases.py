"""A model that is published again and again on three hosts, whose ways to database and Redis fail, while calls go on."""

import contextlib
import json
import pathlib
import socket
import sys
import threading
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import releases  # noqa: E402
from fault_proxy import FaultProxy  # noqa: E402
from mezzo_server import SLOWNESS  # noqa: E402
from postgres_server import PostgresServer  # noqa: E402
from release_history import STEP  # noqa: E402


@pytest.mark.parametrize("seed", [1])
def test_twenty_releases_with_faults_leave_no_stale_and_no_wrong_answer(seed):
    outcome = releases.run(20, seed=seed, pause=0.25)
    print(outcome.text())
    verdict = outcome.verdict
    assert verdict.ok, (outcome.text(), verdict.wrong[:3], verdict.stale[:3], verdict.old[:3], verdict.unpurged[:3])
    # It has seen what it is about.
    assert verdict.uses.get("hit", 0) > 100 and verdict.uses.get("miss", 0) > 20, outcome.text()
    assert outcome.acknowledged > 40 and sum(outcome.faults.values()) >= 3, outcome.text()
    assert outcome.raised > 20, "each release raises the epoch, and hosts that load the same do not each"
    assert outcome.raised <= 20 * 2 + outcome.purges + 6, outcome.text()


@pytest.fixture(name="cluster")
def start_cluster(tmp_path):
    """A database, a way to it for each of two hosts, and the hosts."""
    with PostgresServer() as database, FaultProxy(database.port, 1) as first, FaultProxy(database.port, 2) as second:
        ways = [first, second]
        urls = [f"postgresql://mezzo@127.0.0.1:{way.port}/postgres?connect_timeout=5" for way in ways]
        with releases.Host(0, tmp_path, urls[0], "", False) as one, releases.Host(1, tmp_path, urls[1], "", False) as two:
            yield database, ways, [one, two]


def ask(host, key=1):
    body = json.dumps({"inputs": [{"name": "X", "shape": [1, 1], "datatype": "INT64", "data": [key]}]}).encode()
    status, headers, text = host.request("POST", f"/v2/models/{releases.MODEL}/infer", body)
    assert status == 200, text
    return json.loads(text)["outputs"][0]["data"][0] - key, headers["X-Mezzo-Cache"]


def await_true(condition, seconds=30):
    deadline = time.monotonic() + seconds * SLOWNESS
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.02)


def test_a_version_that_cannot_be_written_down_is_served_and_not_kept_until_it_is(cluster):
    _, ways, (host, _) = cluster
    await_true(lambda: ask(host)[1] == "hit")
    ways[0].set("cut")
    assert releases.publish(host, 1, 60), "loading works without the database"
    assert ask(host) == (STEP, "bypass") and ask(host) == (STEP, "bypass")
    assert releases.publish(host, 2, 60)
    assert ask(host) == (2 * STEP, "bypass")
    ways[0].set("pass")
    await_true(lambda: ask(host) == (2 * STEP, "hit"))


def test_publication_rollback_and_unload_raise_the_epoch_once_for_all_hosts(cluster):
    database, _, hosts = cluster

    def epoch():
        return int(database.query(f"SELECT epoch FROM cache_epochs WHERE model = '{releases.MODEL}'")[0][0])

    assert epoch() == 1, "both hosts have loaded the same at their start"
    for expected, content in ((2, 1), (3, 2), (4, 1)):
        for host in hosts:
            assert releases.publish(host, content, 60)
            assert epoch() == expected
    await_true(lambda: all(ask(host)[1] == "hit" for host in hosts))
    for host in hosts:
        assert host.request("POST", f"/v2/repository/models/{releases.MODEL}/unload", b"{}")[0] == 200
        await_true(lambda: epoch() == 5)
    time.sleep(0.3)
    assert epoch() == 5, "the second host's unload is no news"
    for host in hosts:
        assert releases.publish(host, 1, 60)
    assert epoch() == 6
    metrics = [host.metrics() for host in hosts]
    assert all(one.get("mezzo_cache_unverified_total") is not None for one in metrics)


def test_the_proxy_does_what_it_is_told():
    listener = socket.create_server(("127.0.0.1", 0))

    def echo():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=lambda c=connection: [c.sendall(data) for data in iter(lambda: c.recv(100), b"")],
                             daemon=True).start()

    threading.Thread(target=echo, daemon=True).start()
    with FaultProxy(listener.getsockname()[1], seed=3) as proxy:
        def talk(timeout=10):
            with socket.create_connection(("127.0.0.1", proxy.port), timeout=timeout) as mine:
                mine.sendall(b"x" * 50)
                return mine.recv(100)

        assert talk() == b"x" * 50
        proxy.set("garble")
        garbled = talk()
        assert len(garbled) == 50 and garbled != b"x" * 50
        proxy.set("cut")
        try:
            answer = talk()
        except OSError:
            answer = b""
        assert answer == b"", "reset, or closed without an answer"
        proxy.set("stall")
        with pytest.raises(TimeoutError):
            talk(timeout=0.3)
        proxy.set("delay", 0.2)
        assert talk() == b"x" * 50
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as held:
            held.sendall(b"y")
            assert held.recv(10) == b"y"
            proxy.set("noise")
            with contextlib.suppress(OSError):
                while held.recv(100):  # Until it is closed; a reset ends it too.
                    pass
        assert proxy.faults == 5
    listener.close()
