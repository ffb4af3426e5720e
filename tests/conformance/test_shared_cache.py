"""Results that hosts share: one execution over three servers and a real Redis, and what becomes of it when Redis or the database fails."""

import concurrent.futures
import contextlib
import json
import pathlib
import shutil
import sys
import threading
import time

import mezzo_server
import pytest
from fault_proxy import FaultProxy
from mezzo_server import SLOWNESS, Server
from postgres_server import PostgresServer
from redis_server import RedisServer

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "faults"))

from lab import Calls, delay_body, steps_for  # noqa: E402

HOSTS = 3
CACHE = {"mode": "exact", "ttl": "1h", "shared": True}
# The machine is busy: what a call of Redis may take is not what is tested here.
PATIENT = {"cache.shared_timeout": "10s", "redis.command_timeout": "20s"}


def write_model(folder, name, cache, of="simple"):
    shutil.copytree(mezzo_server.MODELS / of, folder / name)
    (folder / name / "config.pbtxt").unlink(missing_ok=True)
    (folder / name / "model.yaml").write_text(f"cache: {json.dumps(cache)}\n")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shared")
    write_model(folder, "kept", CACHE)
    write_model(folder, "slow", CACHE, of="delay")
    write_model(folder, "large", {**CACHE, "max_entry": "1B"})
    write_model(folder, "stale", {**CACHE, "ttl": "8s", "stale_while_revalidate": "1h"})
    shutil.copytree(mezzo_server.MODELS / "delay", folder / "delay")
    return folder


@pytest.fixture(scope="module")
def postgres():
    with PostgresServer() as running:
        yield running


@pytest.fixture(scope="module")
def redis():
    with RedisServer() as running:
        yield running


def serve(models, redis_url, database_url, settings=PATIENT):
    sets = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    config = 'redis: {url: "env:TEST_REDIS_URL"}\ndatabase: {url: "env:TEST_DATABASE_URL", connections: 4}\n'
    return Server(*sets, models=models, config=config, env={"TEST_REDIS_URL": redis_url, "TEST_DATABASE_URL": database_url})


@pytest.fixture(scope="module")
def servers(models, postgres, redis):
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(serve(models, redis.url, postgres.url)) for _ in range(HOSTS)]


def ask(server, first, model="kept"):
    """X-Mezzo-Cache of a call whose answer is right."""
    body = {"inputs": [{"name": "INPUT0", "shape": [1, 16], "datatype": "INT32", "data": [first] * 16},
                       {"name": "INPUT1", "shape": [1, 16], "datatype": "INT32", "data": list(range(16))}]}
    status, headers, answer = server.request("POST", f"/v2/models/{model}/infer", json.dumps(body).encode())
    answer = json.loads(answer)
    assert status == 200, answer
    sums = {output["name"]: output["data"] for output in answer["outputs"]}
    assert sums["OUTPUT0"] == [first + value for value in range(16)]
    return headers.get("X-Mezzo-Cache")


def shared(server):
    return json.loads(server.get("/v1/cache")[2])["shared"]


def runs(servers, model):
    return sum(server.metrics().get(f'mezzo_inference_batch_rows_sum{{model="{model}",version="1"}}', 0) for server in servers)


def wait_until(condition, what, seconds=30):
    deadline = time.monotonic() + seconds * SLOWNESS
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def stored(server):
    """Nothing waits to be stored."""
    wait_until(lambda: shared(server)["pending"] == 0 and shared(server)["leases"] == 0, "it was not stored")


def test_what_one_server_computed_answers_on_the_others(servers):
    before = runs(servers, "kept")
    assert ask(servers[0], 1) == "miss"
    stored(servers[0])
    assert [ask(server, 1) for server in servers] == ["hit"] * HOSTS
    assert runs(servers, "kept") == before + 1
    assert shared(servers[1])["hits"] >= 1 and shared(servers[0])["stored"] >= 1
    stats = {model["model"]: model for model in json.loads(servers[1].get("/v1/cache")[2])["data"]}
    assert stats["kept"]["shared"] >= 1 and stats["kept"]["saved_device_ms"] > 0
    assert servers[1].metrics()['mezzo_cache_shared_calls_total{outcome="hit"}'] == shared(servers[1])["hits"]


def test_many_equal_misses_over_three_servers_run_once(servers):
    before = runs(servers, "slow")
    body = delay_body(steps_for(servers[0], 0.5))
    calls = [Calls(server, "slow", [body] * 100) for server in servers]
    answers = [answer for call in calls for answer in call.join(180)]
    assert all(answer[0] == 200 for answer in answers), [answer for answer in answers if answer[0] != 200][:3]
    uses = [answer[1]["X-Mezzo-Cache"] for answer in answers]
    assert uses.count("miss") == 1 and set(uses) <= {"miss", "hit", "join"}
    assert runs(servers, "slow") == before + 1
    assert len({json.dumps(answer[2]["outputs"]) for answer in answers}) == 1


def test_results_that_are_too_large_are_computed_by_each(servers):
    assert ask(servers[0], 1, "large") == "miss"
    wait_until(lambda: shared(servers[0])["leases"] == 0, "it did not tell the others")
    before = shared(servers[1])["refused"]
    assert ask(servers[1], 1, "large") == "miss"
    assert shared(servers[1])["refused"] == before + 1


def test_a_refresh_takes_what_another_server_has_computed_anew(servers):
    before = runs(servers, "stale")
    assert ask(servers[0], 1, "stale") == "miss"
    stored(servers[0])
    assert ask(servers[1], 1, "stale") == "hit"
    time.sleep(9)
    assert ask(servers[0], 1, "stale") == "stale"
    wait_until(lambda: runs(servers, "stale") == before + 2, "it was not computed anew")
    stored(servers[0])
    found = shared(servers[1])["hits"]
    assert ask(servers[1], 1, "stale") == "stale"
    wait_until(lambda: shared(servers[1])["hits"] == found + 1, "the refresh did not find the other server's")
    wait_until(lambda: ask(servers[1], 1, "stale") == "hit", "it was not kept")
    assert runs(servers, "stale") == before + 2


def test_a_purge_on_one_server_holds_on_all(servers):
    assert ask(servers[0], 100) == "miss"
    stored(servers[0])
    assert ask(servers[1], 100) == "hit"
    assert servers[0].request("POST", "/v1/cache/purge", b'{"model": "kept"}')[0] == 200
    epoch = json.loads(servers[0].get("/v1/cache")[2])["data"]

    def knows(server):
        return [m["epoch"] for m in json.loads(server.get("/v1/cache")[2])["data"]] == [m["epoch"] for m in epoch]

    wait_until(lambda: all(knows(server) for server in servers), "the epochs did not spread")
    before = runs(servers, "kept")
    assert ask(servers[2], 100) == "miss", "neither Redis nor another host has anything of the new epoch"
    stored(servers[2])
    assert ask(servers[1], 100) == "hit"
    assert ask(servers[0], 100) == "hit"
    assert runs(servers, "kept") == before + 1


def test_a_server_that_dies_while_it_computes_is_followed_by_another(models, postgres, redis, servers):
    with serve(models, redis.url, postgres.url) as doomed:
        steps = steps_for(doomed, 6) + 1
        calls = Calls(doomed, "slow", [delay_body(steps)])
        wait_until(lambda: shared(doomed)["leases"] == 1, "it did not get the lease")
        waiting = Calls(servers[0], "slow", [delay_body(steps)])
        wait_until(lambda: shared(servers[0])["waiting"] == 1, "nobody waits for it")
        doomed.kill()
        calls.join()
        wait_until(lambda: shared(servers[0])["leases"] == 1, "nobody took the dead server's lease")
        (answer,) = waiting.join(120)
        assert answer[0] == 200 and answer[1]["X-Mezzo-Cache"] == "miss", answer


class Load:
    """Callers of several servers, keys that come again, right answers or a failed test; until the block ends."""

    def __init__(self, servers, threads=6, keys=40):
        self.uses, self.errors = [], []
        self._servers, self._keys = servers, keys
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(index,)) for index in range(threads)]

    def _run(self, index):
        count = 0
        while not self._stop.is_set():
            count += 1
            try:
                self.uses.append(ask(self._servers[(index + count) % len(self._servers)], 10_000 * (count // 60) + count % self._keys))
            except (AssertionError, OSError) as error:
                self.errors.append(repr(error))

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()


def test_without_redis_answers_go_on_and_sharing_comes_back(models, postgres):
    with RedisServer() as redis, contextlib.ExitStack() as stack:
        hosts = [stack.enter_context(serve(models, redis.url, postgres.url, {})) for _ in range(2)]
        with Load(hosts) as load:
            time.sleep(1)
            redis.kill()
            wait_until(lambda: all(not shared(host)["healthy"] for host in hosts), "they did not notice")
            time.sleep(1)
            redis.start()
            wait_until(lambda: all(shared(host)["healthy"] for host in hosts), "they did not come back")
            time.sleep(0.5)
        assert not load.errors, load.errors[:3]
        assert len(load.uses) > 50 and set(load.uses) <= {"hit", "miss", "join"}

        def shares(number):
            ask(hosts[0], number)
            stored(hosts[0])
            return ask(hosts[1], number) == "hit"

        # The first calls may meet what is left of the outage.
        wait_until(lambda numbers=iter(range(2_000_000, 3_000_000)): shares(next(numbers)), "nothing is shared again")


def test_a_redis_that_is_slow_cut_or_lying_makes_no_error_and_no_wrong_answer(models, postgres):
    with RedisServer() as redis, FaultProxy(redis.port, seed=5) as proxy, contextlib.ExitStack() as stack:
        url = redis.url.replace(str(redis.port), str(proxy.port))
        hosts = [stack.enter_context(serve(models, url, postgres.url, {})) for _ in range(2)]
        with Load(hosts) as load:
            for mode in ("delay", "garble", "stall", "cut", "noise", "garble"):
                proxy.set(mode, 0.2)
                time.sleep(1)
                proxy.set("pass")
                time.sleep(0.3)
        assert not load.errors, load.errors[:3]
        assert len(load.uses) > 50
        wait_until(lambda: all(shared(host)["healthy"] or ask(host, int(time.time() * 1000) % 2**30) for host in hosts) and
                   all(shared(host)["healthy"] for host in hosts), "they did not come back")


def test_two_regions_share_epochs_and_a_region_that_is_cut_off_stops_trusting(models, postgres):
    """Each region has a Redis of its own; both have the one database, B through a proxy."""
    settings = {**PATIENT, "cache.max_staleness": "2s", "cache.poll_interval": "200ms"}
    with RedisServer() as redis_a, RedisServer() as redis_b, FaultProxy(postgres.port, seed=2) as link, \
            serve(models, redis_a.url, postgres.url, settings) as a, \
            serve(models, redis_b.url, postgres.url.replace(str(postgres.port), str(link.port)), settings) as b:
        for region in (a, b):
            assert ask(region, 7) == "miss", "results stay in their region"
            assert ask(region, 7) == "hit"

        def purge(region):
            assert region.request("POST", "/v1/cache/purge", b'{"model": "kept"}', timeout=60)[0] == 200

        def epoch(region):
            return next(m["epoch"] for m in json.loads(region.get("/v1/cache")[2])["data"] if m["model"] == "kept")

        purge(a)
        wait_until(lambda: epoch(a) == epoch(b), "the purge did not reach the other region")
        assert ask(b, 7) == "miss"
        assert ask(b, 7) == "hit"

        link.set("stall")
        purge(a)
        purged = time.monotonic()
        # B does not know of the purge. It may answer what it had until the bound, and computes from then on.
        wait_until(lambda: ask(b, 7) == "bypass", "a region that is cut off trusts its results for ever", seconds=20)
        print(f"region B stopped trusting {time.monotonic() - purged:.2f} s after the purge")
        assert all(ask(b, 7) == "bypass" for _ in range(5))
        assert ask(a, 7) == "miss" and ask(a, 7) == "hit", "the other region goes on"

        link.set("cut")
        link.set("pass")
        wait_until(lambda: ask(b, 7) != "bypass", "the region did not come back", seconds=60)
        assert epoch(b) == epoch(a)
        wait_until(lambda: ask(b, 7) == "hit", "it keeps results again")


def test_without_redis_a_model_that_shares_is_served_with_a_warning(models):
    with Server(models=models) as server:
        assert ask(server, 1) == "miss"
        assert ask(server, 1) == "hit"
        assert json.loads(server.get("/v1/cache")[2])["shared"] is None
        assert any("cache.shared has no effect" in entry["msg"] and entry.get("model") == "kept" for entry in server.log)


def test_many_callers_of_many_keys_run_each_once(servers):
    before = runs(servers, "kept")
    with concurrent.futures.ThreadPoolExecutor(24) as pool:
        uses = list(pool.map(lambda i: ask(servers[i % HOSTS], 500_000 + i // 6), range(300)))
    assert uses.count("miss") == 50
    assert runs(servers, "kept") == before + 50
