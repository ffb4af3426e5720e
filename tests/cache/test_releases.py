"""A model that is published again and again on three hosts, whose ways to database and Redis fail, while calls go on."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import releases  # noqa: E402
from fault_proxy import FaultProxy  # noqa: E402


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


def test_the_proxy_does_what_it_is_told():
    import socket
    import threading

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
        with pytest.raises(OSError):
            assert talk()
            raise ConnectionError("closed without an answer")
        proxy.set("stall")
        with pytest.raises(TimeoutError):
            talk(timeout=0.3)
        proxy.set("delay", 0.2)
        assert talk() == b"x" * 50
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as held:
            held.sendall(b"y")
            assert held.recv(10) == b"y"
            proxy.set("noise")
            with pytest.raises(OSError):
                while held.recv(100):
                    pass
                raise ConnectionError("closed")
        assert proxy.faults == 5
    listener.close()
