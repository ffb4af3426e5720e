"""One limit over three servers and a real Redis: its rate with uneven traffic, without Redis, and when Redis is back."""

import contextlib
import http.client
import json
import threading
import time

import mezzo_server
import pytest
from mezzo_server import SLOWNESS, Server
from redis_server import RedisServer
from test_limits import BODY, INFER

RATE = 100
CONFIG = f"""
redis: {{url: "env:TEST_REDIS_URL"}}
jobs: {{enabled: false}}
limits:
  - {{name: all, kind: requests, rate: {RATE}, burst: 10}}
  - {{name: few, kind: requests, model: simple_plain, rate: 0.001, burst: 4}}
"""


class Traffic:
    """Calls a server `per_second` times a second from a thread of its own; `passed` has the times of those that were admitted."""

    def __init__(self, server, per_second):
        self.passed = []
        self.statuses = set()
        self._pause = 1 / per_second
        self._server = server
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        body = json.dumps(BODY)
        connection = http.client.HTTPConnection(self._server.http, timeout=10 * SLOWNESS)
        due = time.monotonic()
        while not self._stop.is_set():
            connection.request("POST", INFER, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            self.statuses.add(answer.status)
            if answer.status == 200:
                self.passed.append(time.monotonic())
            due = max(due + self._pause, time.monotonic() - 0.1)
            time.sleep(max(0, due - time.monotonic()))
        connection.close()

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exception):
        self._stop.set()
        self._thread.join()


def wait_until(condition, what, seconds=15):
    deadline = time.monotonic() + seconds * SLOWNESS
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


@pytest.fixture
def redis():
    with RedisServer() as running:
        yield running


@pytest.fixture
def servers(redis):
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Server(models=mezzo_server.MODELS, config=CONFIG, env={"TEST_REDIS_URL": redis.url})) for _ in range(3)]


def measure(traffic, seconds):
    """What passed a second, in all and per server, in the next so many seconds."""
    begin = time.monotonic()
    time.sleep(seconds)
    end = time.monotonic()
    each = [sum(begin <= at < end for at in one.passed) / (end - begin) for one in traffic]
    return sum(each), each


def test_a_limit_holds_over_servers_with_and_without_redis(redis, servers):
    wait_until(lambda: all(s.metrics()["mezzo_tenancy_limit_hosts"] == 3 for s in servers), "the hosts do not see each other")
    with contextlib.ExitStack() as stack:
        traffic = [stack.enter_context(Traffic(server, rate)) for server, rate in zip(servers, (150, 60, 20), strict=True)]
        time.sleep(1.5)
        shared, each = measure(traffic, 3)
        print(f"shared: {shared:.1f}/s, {each}")
        redis.kill()
        wait_until(lambda: all(s.metrics()["mezzo_tenancy_limits_alone"] == 1 for s in servers), "they did not notice")
        alone, each_alone = measure(traffic, 3)
        print(f"alone: {alone:.1f}/s, {each_alone}")
        assert all(s.get("/v2/health/ready")[0] == 200 for s in servers), "degraded, not down"
        redis.start()
        wait_until(lambda: all(s.metrics()["mezzo_tenancy_limits_alone"] == 0 for s in servers), "they did not come back")
        again, _ = measure(traffic, 2)
        print(f"again: {again:.1f}/s")
    assert all(one.statuses == {200, 429} for one in traffic[:2]), [one.statuses for one in traffic]
    # Three servers and their traffic on a busy machine: the bounds are wide, and exact where the clock is ours (shared_limits_test).
    assert 0.8 * RATE <= shared <= 1.2 * RATE and min(each) > 0
    assert 0.5 * RATE <= alone <= 1.4 * RATE and min(each_alone) > 0
    assert 0.7 * RATE <= again <= 1.35 * RATE
    for server in servers:
        assert any("this host goes on with its last share" in entry["msg"] for entry in server.log)
        assert any("limits are shared again" in entry["msg"] for entry in server.log)


def test_what_one_server_has_used_is_gone_on_the_others(servers):
    def infer(server):
        return server.request("POST", "/v2/models/simple_plain/infer", json.dumps(BODY).encode(), {"Content-Type": "application/json"})[0]

    wait_until(lambda: all(s.metrics()["mezzo_tenancy_limit_hosts"] == 3 for s in servers), "the hosts do not see each other")
    passed = 0
    for _ in range(8):
        passed += infer(servers[0]) == 200
        time.sleep(0.1)
    assert passed == 4, "whoever pays its debts in time gets the whole burst"
    assert infer(servers[1]) == 200, "it does not know yet, and owes what it lets through"
    time.sleep(0.5)
    assert [infer(servers[1]) for _ in range(3)] == [429] * 3
