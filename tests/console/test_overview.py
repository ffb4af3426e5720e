"""GET /v1/overview and its events: true figures, for whom may see them, within bounds."""

import json
import threading
import time

import pytest
from conftest import Traffic
from mezzo_server import SLOWNESS, Server


def events_of(text):
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]


@pytest.mark.covers("GET /v1/overview", "GET /v1/overview/events")
def test_the_overview_counts_what_was_asked(house):
    with Traffic(house, pause=0.005):
        deadline = time.monotonic() + 20 * SLOWNESS
        while True:
            status, headers, text = house.server.get("/v1/overview/events?count=2", {"Authorization": f"Bearer {house.admin.key}"})
            assert status == 200 and headers["Content-Type"].startswith("text/event-stream")
            first, second = events_of(text.decode())
            assert second["number"] > first["number"]
            if second["requests_per_second"] > 5 and second["failed_per_second"] > 0 and second["p99_ms"]:
                break
            assert time.monotonic() < deadline, second
    simple = next(model for model in second["models"] if model["model"] == "simple")
    assert simple["requests_per_second"] == pytest.approx(second["requests_per_second"], abs=1e-6)
    assert 0 < simple["p50_ms"] <= simple["p99_ms"]
    assert second["devices"][0]["slots"] >= second["devices"][0]["busy_slots"] >= 0

    whole = house.admin.ok("GET", "/v1/overview")
    numbers = [sample["number"] for sample in whole["history"]]
    assert numbers == sorted(set(numbers)) and whole["latest"]["number"] == numbers[-1]
    assert "models" not in whole["history"][0]


def test_only_who_observes_sees_it(house):
    for caller in (house.developer, house.viewer):
        for path in ("/v1/overview", "/v1/overview/events"):
            status, answer = caller("GET", path)
            assert status == 403 and answer["error"]["code"] == "scope_missing"
    assert house.server.get("/v1/overview/events")[0] == 401


@pytest.mark.parametrize("count", ["0", "-1", "3601", "x", ""])
def test_a_wrong_count_is_refused(house, count):
    status, answer = house.admin("GET", f"/v1/overview/events?count={count}")
    assert status == 400 and answer["error"]["code"] == "query_value"


def test_watchers_do_not_hold_up_the_end(tmp_path):
    """A server ends at once though somebody watches it."""
    with Server(data_dir=str(tmp_path)) as server:
        answer = []
        watcher = threading.Thread(target=lambda: answer.append(server.get("/v1/overview/events", timeout=60)))
        watcher.start()
        deadline = time.monotonic() + 20 * SLOWNESS
        while server.metrics()["mezzo_api_overview_watchers"] != 1:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        began = time.monotonic()
        assert server.terminate() == 0
        assert time.monotonic() - began < 15 * SLOWNESS, "it waited for its grace to end"
        watcher.join()
        assert answer[0][0] == 200, "the stream came to a proper end"
