"""GET /v1/releases/{r}/watch: a release as it moves, for as long as it does, within bounds."""

import json
import threading
import time

import pytest
from mezzo_server import SLOWNESS, Server
from test_release import QUICK, Traffic, await_state, call, put, start, write_versions
from test_routes import PYTHON


@pytest.fixture(name="server", scope="module")
def server_of_versions(tmp_path_factory):
    with Server(models=write_versions(tmp_path_factory.mktemp("models"), (1, 2, 3)), env=PYTHON) as server:
        yield server


def events_of(text):
    events = []
    for block in text.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if fields:
            assert set(fields) == {"id", "event", "data"} and fields["event"] == "release"
            events.append((int(fields["id"]), json.loads(fields["data"])))
    return events


class Watcher(threading.Thread):
    def __init__(self, server, release, query=""):
        super().__init__(daemon=True)
        self.server, self.path, self.answer = server, f"/v1/releases/{release}/watch{query}", None
        self.start()

    def run(self):
        self.answer = self.server.get(self.path, timeout=300)

    def events(self):
        self.join(300 * SLOWNESS)
        status, headers, text = self.answer
        assert status == 200 and headers["Content-Type"].startswith("text/event-stream") and headers["Cache-Control"] == "no-store"
        return events_of(text)


@pytest.mark.covers("GET /v1/releases/{r}/watch")
def test_a_watch_tells_every_state_with_the_split_and_ends_with_the_release(server):
    put(server, {"stable": "1"})
    with Traffic([server]):
        release = start(server, 2)
        watcher = Watcher(server, release)
        await_state(server, release, "succeeded")
        events = watcher.events()
    revisions = [revision for revision, _ in events]
    assert revisions == sorted(set(revisions)), "each change once, in order"
    assert all(one["id"] == release and one["revision"] == revision for revision, one in events)
    states = [one["state"] for _, one in events]
    assert states[-1] == "succeeded" and {"running", "settling"} <= set(states), states
    weights = {arm["weight"] for _, one in events for arm in one["split"] or [] if arm["name"] == "canary"}
    assert 2000 in weights and 5000 in weights, weights
    assert events[-1][1] == call(server, "GET", f"/v1/releases/{release}")[2], "an event is what GET answers"
    assert events[-1][1]["latest"]["verdict"]["evidence"]
    # It has ended: one event, and the stream is over.
    again = Watcher(server, release).events()
    assert [one["state"] for _, one in again] == ["succeeded"]


def test_a_command_is_told_at_once_and_count_ends_the_stream(server):
    put(server, {"stable": "1"})
    release = start(server, 2, automatic=False)
    await_state(server, release, "running")
    watcher = Watcher(server, release)
    time.sleep(1)
    assert call(server, "POST", f"/v1/releases/{release}/roll_back", {})[0] == 200
    last = watcher.events()[-1][1]
    assert last["state"] == "rolled_back" and last["split"] == [{"name": "stable", "version": "1", "weight": 10000}]

    other = start(server, 2, automatic=False)
    try:
        await_state(server, other, "running")
        assert len(Watcher(server, other, "?count=1").events()) == 1
    finally:
        call(server, "POST", f"/v1/releases/{other}/cancel", {})


@pytest.mark.parametrize("count", ["0", "-1", "3601", "x", ""])
def test_a_wrong_count_is_refused(server, count):
    status, _, answer = call(server, "GET", f"/v1/releases/0193e000-0000-7000-8000-000000000000/watch?count={count}")
    assert (status, answer["error"]["code"]) == (400, "query_value") and f"got '{count}'" in answer["error"]["message"]


def test_what_is_not_there_is_not_watched(server):
    status, _, answer = call(server, "GET", "/v1/releases/0193e000-0000-7000-8000-000000000000/watch")
    assert (status, answer["error"]["code"]) == (404, "release_missing")


def test_as_many_watch_as_may_and_a_place_that_is_left_is_free(server):
    put(server, {"stable": "1"})
    release = start(server, 2, automatic=False)
    await_state(server, release, "running")
    watchers = [Watcher(server, release) for _ in range(70)]
    try:
        deadline = time.monotonic() + 120 * SLOWNESS
        while len(refused := [one for one in watchers if one.answer is not None]) < 6:
            assert time.monotonic() < deadline, len(refused)
            time.sleep(0.05)
    finally:
        call(server, "POST", f"/v1/releases/{release}/cancel", {})
    for watcher in watchers:
        watcher.join(120 * SLOWNESS)
    answers = [watcher.answer for watcher in watchers]
    assert sorted(status for status, _, _ in answers) == [200] * 64 + [503] * 6
    for status, _, text in answers:
        if status == 503:
            assert json.loads(text)["error"]["code"] == "releases_busy" and b"64 watchers" in text
        else:
            assert events_of(text)[-1][1]["state"] == "cancelled"
    assert Watcher(server, release).events()[-1][1]["state"] == "cancelled", "places are free again"


def test_watchers_do_not_hold_up_the_end(tmp_path):
    with Server(models=write_versions(tmp_path / "models", (1, 2)), env=PYTHON) as server:
        put(server, {"stable": "1"})
        release = start(server, 2, **{**QUICK, "automatic": False})
        await_state(server, release, "running")
        watcher = Watcher(server, release)
        time.sleep(1)
        began = time.monotonic()
        assert server.terminate() == 0
        assert time.monotonic() - began < 15 * SLOWNESS, "it waited for its grace to end"
        assert watcher.events()[-1][1]["state"] == "running", "the stream came to a proper end"
