"""Hosts that share a PostgreSQL and a Redis, calls to them as a balancer sends them, and what must hold when releases go through
all of it: `rollback()`, `storm()`, `full_load()`, `errors()` each give a dict of counts. Used by test_fleet.py and by the bench."""

import argparse
import asyncio
import collections
import contextlib
import json
import pathlib
import random
import statistics
import sys
import tempfile
import threading
import time

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent.parent)]

import onnx_bytes  # noqa: E402
from mezzo_server import SLOWNESS, Server  # noqa: E402
from postgres_server import PostgresServer  # noqa: E402
from redis_server import RedisServer  # noqa: E402

HOSTS = 3
PLACES = 1000  # Inputs are 0 to 999: which of them a bad version fails is told by its table.
WORKER = {"PATH": "/usr/bin:/bin"}  # Some interpreter with numpy for models in Python.
ENOUGH = 60  # Calls of the canary in a step: of those a version that fails one in ten fails some, but for one in 500.
ENDED = ("succeeded", "rolled_back", "failed", "cancelled")

# A version in Python: it sleeps, or dies at its third call and at each one from then on, wherever it runs.
PYTHON_SOURCE = """
import os, time
import numpy as np
from mezzo_worker import TensorSpec

class Model:
    inputs = [TensorSpec("x", "INT64", [-1])]
    outputs = [TensorSpec("y", "FP32", [-1])]

    def __init__(self, context):
        self.calls = 0

    def predict(self, inputs, context):
        self.calls += 1
        if {dies} and self.calls >= 3:
            os._exit(9)
        time.sleep({sleeps})
        return {{"y": (inputs["x"] * {factor}).astype(np.float32)}}
"""


def table_model(factor, failing=0.0):
    """y = x · factor by a look-up of x; inputs of the last `failing` share have no place in the table, which is an error of the run."""
    places = max(1, round(PLACES * (1 - failing)))
    table = onnx_bytes.tensor("t", onnx_bytes.FLOAT, [places], [float(i * factor) for i in range(places)])
    return onnx_bytes.model([onnx_bytes.node("Gather", ["t", "x"], ["y"])], [onnx_bytes.value("x", onnx_bytes.INT64, ["n"])],
                            [onnx_bytes.value("y", onnx_bytes.FLOAT, ["n"])], [table])


# What a candidate is like → (how it is written, how its release must end).
KINDS = {"good": "succeeded", "fails all": "rolled_back", "fails 30 %": "rolled_back", "fails 10 %": "rolled_back",
         "slow": "rolled_back", "crashes at its third call": "rolled_back", "does not load": "failed"}


def write_version(folder, kind, factor):
    folder.mkdir(parents=True)
    if kind in ("slow", "crashes at its third call", "python"):
        (folder / "model.py").write_text(PYTHON_SOURCE.format(dies=kind.startswith("crashes"), sleeps=2 if kind == "slow" else 0,
                                                              factor=factor))
        return
    failing = {"fails all": 1.0, "fails 30 %": 0.3, "fails 10 %": 0.1, "fails 2 %": 0.02}.get(kind, 0.0)
    body = table_model(factor, failing)
    (folder / "model.onnx").write_bytes(body[:-40] if kind == "does not load" else body)


def write_model(folder, name, candidate, cache=False):
    """Version 1 multiplies by 1, version 2, the candidate, by 2: an answer says whose it is."""
    in_python = candidate in ("slow", "crashes at its third call")
    write_version(folder / name / "1", "python" if in_python else "good", 1)
    write_version(folder / name / "2", candidate, 2)
    lines = ["versions: {policy: all}", "batching: {max_batch_size: 0}"]
    if cache:
        lines.append("cache: {mode: exact, ttl: 1h, shared: true}")
    (folder / name / "model.yaml").write_text("\n".join(lines) + "\n")


class Fleet:
    """Hosts that come and go; all with the same models, each with a folder of its own for the rest."""

    def __init__(self, models, hosts=HOSTS, redis=True, config=None):
        self._stack = contextlib.ExitStack()
        with contextlib.ExitStack() as stack:
            self._folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
            self.postgres = stack.enter_context(PostgresServer())
            self.redis = stack.enter_context(RedisServer()) if redis else None
            self._models = models
            self._config = json.dumps({"database": {"url": "env:FLEET_DATABASE", "connections": 8}, "grpc": {"enabled": False},
                                       "http": {"max_connections_per_peer": 4000},
                                       **({"redis": {"url": "env:FLEET_REDIS"}} if redis else {}), **(config or {})})
            self.servers = [None] * hosts
            self.killed = [[] for _ in range(hosts)]  # When, by the monotonic clock.
            self._random = random.Random(1)
            threads = [threading.Thread(target=self.start, args=(index,)) for index in range(hosts)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            stack.callback(self._stop)
            if None in self.servers:
                raise RuntimeError("a host did not start")
            self._stack = stack.pop_all()

    def start(self, index):
        env = {**WORKER, "FLEET_DATABASE": self.postgres.url}
        if self.redis:
            env["FLEET_REDIS"] = self.redis.url
        server = Server(models=self._models, config=self._config, env=env, data_dir=str(self._folder / f"host-{index}"),
                        wait_ready=False)
        server.await_ready(600)
        self.servers[index] = server

    def kill(self, index):
        """As by `kill -9`; the caller decides when it comes again."""
        server, self.servers[index] = self.servers[index], None
        self.killed[index].append(time.monotonic())
        server.kill()

    def alive(self):
        return [index for index, server in enumerate(self.servers) if server is not None]

    def call(self, method, path, body=None, tries=20):
        """(status, answer) of one host that lives, whichever: what a person does with a host that does not answer."""
        for tried in range(tries):
            index = self._random.choice(self.alive())
            try:
                server = self.servers[index]
                status, _, text = server.request(method, path, None if body is None else json.dumps(body).encode())
                return status, json.loads(text)
            except (OSError, AttributeError, ValueError):
                if tried == tries - 1:
                    raise
                time.sleep(0.2)
        raise RuntimeError("no host answers")

    def _stop(self):
        for server in self.servers:
            if server is not None:
                server.terminate(60)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._stack.close()


class Calls:
    """Calls of many models over many connections, on a thread of its own, as through a balancer: a call whose connection is refused,
    or cut by the death of its host, goes to another host (`rerouted`); nothing else is asked twice. What is no 200, or not
    what one of the two versions answers, or cut by a host that was not killed, is a failure."""

    def __init__(self, fleet, models, connections=48, rate=None, hosts=None, versions=(1, 2)):
        self.fleet, self.models, self.connections, self.rate = fleet, list(models), connections, rate
        self.hosts, self.versions = hosts, versions
        self.failures, self.rerouted, self.answered = [], 0, 0
        self.seen = collections.defaultdict(collections.Counter)  # Model → version → answers.
        self.times = []  # (begin, seconds, host, version, by the cache?)
        self._random = random.Random(7)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._all()), daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exception):
        self._stopping.set()
        self._thread.join(120 * SLOWNESS)
        assert not self._thread.is_alive(), "a call did not end"

    async def _all(self):
        await asyncio.gather(*(self._caller(number) for number in range(self.connections)))

    async def _caller(self, number):
        pause = self.connections / self.rate if self.rate else 0
        open_to = {}
        due = time.monotonic() + pause * number / self.connections
        while not self._stopping.is_set():
            if pause:
                await asyncio.sleep(max(0, due - time.monotonic()))
                due = max(due + pause, time.monotonic() - pause)
            await self._call(open_to)
        for _, writer in open_to.values():
            writer.close()

    async def _call(self, open_to):
        model, place = self._random.choice(self.models), self._random.randrange(PLACES)
        body = json.dumps({"inputs": [{"name": "x", "shape": [1], "datatype": "INT64", "data": [place]}]}).encode()
        request = (f"POST /v2/models/{model}/infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n").encode() + body
        begin = time.monotonic()
        for _ in range(50):
            alive = [index for index in self.fleet.alive() if self.hosts is None or index in self.hosts]
            if not alive:
                await asyncio.sleep(0.05)
                continue
            index = self._random.choice(alive)
            server = self.fleet.servers[index]
            asked = time.monotonic()
            try:
                if server is None:
                    continue
                key = (index, server.http_port)
                if key not in open_to:
                    open_to[key] = await asyncio.open_connection("127.0.0.1", server.http_port)
                reader, writer = open_to[key]
                writer.write(request)
                await writer.drain()
                head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 90 * SLOWNESS)).decode("latin-1").split("\r\n")
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
                text = await asyncio.wait_for(reader.readexactly(int(headers["content-length"])), 60)
            except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError) as error:
                with contextlib.suppress(KeyError):
                    open_to.pop((index, server.http_port))[1].close()
                if any(at >= asked - 120 * SLOWNESS for at in self.fleet.killed[index]) and not isinstance(error, asyncio.TimeoutError):
                    self.rerouted += 1
                    continue
                self.failures.append((model, place, f"host {index}: {error!r}"))
                return
            self._judge(model, place, index, head[0], headers, text, begin)
            return
        self.failures.append((model, place, "no host answered"))

    def _judge(self, model, place, index, status, headers, text, begin):
        if not status.startswith("HTTP/1.1 200"):
            self.failures.append((model, place, f"host {index}: {status} {text[:200]}"))
            return
        answer = json.loads(text)
        version, value = int(answer["model_version"]), answer["outputs"][0]["data"][0]
        if version not in self.versions or value != place * version:
            self.failures.append((model, place, f"host {index}: version {version} answered {value}"))
            return
        self.answered += 1
        self.seen[model][version] += 1
        self.times.append((begin, time.monotonic() - begin, index, version, headers.get("x-mezzo-cache")))


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))] if values else 0.0


def until(check, seconds, what):
    limit = time.monotonic() + seconds * SLOWNESS
    while True:
        found = check()
        if found:
            return found
        if time.monotonic() > limit:
            raise RuntimeError(f"not within {seconds} s: {what()if callable(what) else what}")
        time.sleep(0.2)


def state_of(fleet, release):
    return fleet.call("GET", f"/v1/releases/{release}")[1]


def set_stable(fleet, model):
    status, answer = fleet.call("PUT", f"/v1/routes/{model}", {"stable": "1"})
    if status != 200:
        raise RuntimeError(f"the route of {model} was refused: {answer}")


def begin(fleet, model, **spec):
    status, answer = fleet.call("POST", "/v1/releases", {"model": model, "candidate": "2", **spec})
    if status != 201:
        raise RuntimeError(f"the release of {model} was refused: {status} {answer}")
    return answer["id"]


def rollback(rounds=5, rate=300):
    """A version is promoted and rolled back by hand, again and again, under load of calls that are kept by the cache: seconds from
    the command to the last answer of the version that was rolled back, of any host, and cached answers of it behind that."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        write_model(folder, "m", "good", cache=True)
        with Fleet(folder) as fleet:
            set_stable(fleet, "m")
            found = {"rounds": rounds, "calls": 0, "failures": [], "stale": 0, "everywhere_s": [], "answered_s": [], "hits": 0}
            for _ in range(rounds):
                release = begin(fleet, "m", automatic=False, prepare_limit_s=300)
                until(lambda release=release: state_of(fleet, release)["state"] == "running", 120, "a release does not begin")
                status, answer = fleet.call("POST", f"/v1/releases/{release}/promote", {})
                assert status == 200, answer
                with Calls(fleet, ["m"], connections=12, rate=rate) as calls:
                    started = time.monotonic()
                    until(lambda calls=calls, started=started: len({host for at, _, host, version, _ in list(calls.times)
                                                    if version == 2 and at > started}) == HOSTS, 60, "a version does not come")
                    time.sleep(1.5)
                    ordered = time.monotonic()
                    status, answer = fleet.call("POST", f"/v1/releases/{release}/roll_back", {})
                    answered = time.monotonic()
                    assert (status, answer["state"]) == (200, "rolled_back"), answer
                    time.sleep(3 * SLOWNESS)
                # A call that began before the command was in force may end behind it: what counts is when it began.
                late = [begun - ordered for begun, _, _, version, _ in calls.times if version == 2 and begun > ordered]
                found["everywhere_s"].append(max(late, default=0.0))
                found["answered_s"].append(answered - ordered)
                found["stale"] += sum(1 for begun, _, _, version, use in calls.times
                                      if version == 2 and begun > ordered + 1 and use not in (None, "miss", "bypass"))
                found["hits"] += sum(1 for *_, use in calls.times if use == "hit")
                found["calls"] += calls.answered
                found["failures"] += calls.failures
            found["failures"], found["failed"] = found["failures"][:5], len(found["failures"])
            return found


def errors(kinds=("fails 2 %", "fails 10 %", "fails all"), rate=200, canary=500, seconds=240):
    """Releases of versions that fail a share of the calls, at 5 % of 200 calls/s: seconds until each is rolled back."""
    found = {"failed": 0, "failures": [], "rolled_back_s": {}, "calls": 0}
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for number, kind in enumerate(kinds):
            write_model(folder, f"m{number}", kind)
        with Fleet(folder, hosts=1, redis=False) as fleet:
            for number, kind in enumerate(kinds):
                model = f"m{number}"
                set_stable(fleet, model)
                with Calls(fleet, [model], connections=16, rate=rate) as calls:
                    time.sleep(2)
                    release = begin(fleet, model, steps=[{"weight": canary, "min_duration_s": 600, "min_calls": 20}, {"weight": 10000}],
                                    analysis={"tolerated_slowdown": 10, "tolerated_cost": 10, "check_sample_ratio": False})
                    until(lambda release=release: state_of(fleet, release)["state"] != "preparing", 60, "a release does not begin")
                    started = time.monotonic()
                    ended = until(lambda release=release: (now := state_of(fleet, release))["state"] in ENDED and now, seconds,
                                  lambda release=release: json.dumps(state_of(fleet, release), indent=1))
                    found["rolled_back_s"][kind] = time.monotonic() - started
                    if ended["state"] != "rolled_back":
                        raise RuntimeError(f"a version that {kind} was {ended['state']}: {ended['reason']}")
                found["calls"] += calls.answered
                found["failed"] += len(calls.failures)
                found["failures"] += calls.failures[:3]
    return found


def full_load(seconds=20, connections=16, rounds=1):
    """As many calls as three hosts take, by closed loops; p99 while a release goes from 5 % to 100 % by steps, and half as long before
    and behind it, so that a machine that gets slower or faster meanwhile does both alike."""
    found = {"p99_before_ms": [], "p99_during_ms": [], "ratio": [], "rate": [], "failed": 0, "failures": []}
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        write_model(folder, "m", "good")
        with Fleet(folder) as fleet:
            set_stable(fleet, "m")
            for _ in range(rounds):
                with Calls(fleet, ["m"], connections=connections) as calls:
                    time.sleep(3)  # Warm-up.
                    before = time.monotonic()
                    time.sleep(seconds / 2)
                    began = time.monotonic()
                    share = seconds / 4
                    release = begin(fleet, "m", settle_s=0, analysis={"tolerated_slowdown": 10, "tolerated_cost": 10},
                                    steps=[{"weight": weight, "min_duration_s": share, "min_calls": 50}
                                           for weight in (500, 2500, 5000, 10000)])
                    ended = until(lambda release=release: (now := state_of(fleet, release))["state"] in ENDED and now, seconds * 6 + 60,
                                  lambda release=release: json.dumps(state_of(fleet, release), indent=1))
                    over = time.monotonic()
                    time.sleep(seconds / 2)
                assert ended["state"] == "succeeded", ended
                earlier = [took for begun, took, *_ in calls.times if before <= begun < began or begun >= over]
                during = [took for begun, took, *_ in calls.times if began <= begun < over]
                found["p99_before_ms"].append(percentile(earlier, 0.99) * 1e3)
                found["p99_during_ms"].append(percentile(during, 0.99) * 1e3)
                found["ratio"].append(percentile(during, 0.99) / percentile(earlier, 0.99))
                found["rate"].append(len(during) / (over - began))
                found["failed"] += len(calls.failures)
                found["failures"] += calls.failures[:3]
                fleet.call("PUT", "/v1/routes/m", {"stable": "1"})
    found["failures"] = found["failures"][:5]
    return found


def mix(count, python=3):
    """Kinds of `count` candidates: three in five are good; of those in Python, which take a process each, only a few."""
    kinds = []
    bad = ["fails all", "fails 30 %", "fails 10 %", "does not load"]
    for number in range(count):
        kinds.append(bad[number // 5 % len(bad)] if number % 5 == 4 else bad[number // 5 * 3 % 3] if number % 5 == 2 else "good")
    slots = [number for number in range(count) if kinds[number] != "good"][1::2]
    for number, slot in enumerate(slots[:python]):
        kinds[slot] = ("crashes at its third call", "slow")[number % 2]
    return kinds


def storm(releases=500, kills=6, rate=None, seed=1, seconds=540, python=4, connections=48, report=None, at_once=None):
    """All models are released at the same time on three hosts, of which one after the other is killed and comes again."""
    chance = random.Random(seed)
    kinds = mix(releases, python)
    models = {f"m{number:03}": kind for number, kind in enumerate(kinds)}
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for name, kind in models.items():
            write_model(folder, name, kind)
        started = time.monotonic()
        with Fleet(folder) as fleet:
            came_up = time.monotonic() - started
            for model in models:
                set_stable(fleet, model)
            with Calls(fleet, models, connections=connections, rate=rate) as calls:
                time.sleep(1)
                began = time.monotonic()
                ids = {}
                for model in models:
                    ids[model] = begin(fleet, model, settle_s=5, prepare_limit_s=600, step_limit_s=seconds,
                                       analysis={"tolerated_slowdown": 2, "tolerated_cost": 10, "check_sample_ratio": False},
                                       steps=[{"weight": weight, "min_duration_s": 4, "min_calls": ENOUGH}
                                              for weight in (3000, 5000, 10000)])
                all_begun = time.monotonic() - began
                killed, next_kill = [], time.monotonic() + chance.uniform(1, 4)
                back = threading.Thread(target=lambda: None)
                back.start()
                sooner, said = {}, 0.0
                while time.monotonic() - began < seconds * SLOWNESS:
                    now = time.monotonic()
                    if len(killed) < kills and now > next_kill and not back.is_alive():
                        index = chance.choice(fleet.alive())
                        killed.append(index)
                        fleet.kill(index)
                        back = threading.Thread(target=fleet.start, args=(index,))
                        back.start()
                        next_kill = now + chance.uniform(3, 10)
                    rows = fleet.postgres.query("SELECT model, state FROM releases")
                    ended = [model for model, state in rows if state in ENDED]
                    for model in ended:
                        sooner.setdefault(model, now - began)
                    if report and now - said > 5:
                        said = now
                        states = collections.Counter(state for _, state in rows)
                        report(f"  {now - began:.0f} s: {dict(states)}, {len(killed)} kills, {calls.answered:,} calls, "
                               f"{len(calls.failures)} failed, {calls.rerouted} cut")
                    if len(ended) == len(models) and len(killed) >= kills and not back.is_alive():
                        break
                    time.sleep(0.5)
                back.join(600)
                took = time.monotonic() - began
                time.sleep(2)
            wrong = check(fleet, models, ids)
            found = {"releases": len(models), "kills": len(killed), "seconds": took, "begun_s": all_begun, "start_s": came_up,
                     "calls": calls.answered, "failed": len(calls.failures), "failures": calls.failures[:5], "cut": calls.rerouted,
                     "wrong": wrong[:20], "inconsistent": len(wrong), "settled_p50_s": statistics.median(sooner.values()) if sooner else 0,
                     "kinds": dict(collections.Counter(kinds)),
                     "states": dict(collections.Counter(state for _, state in fleet.postgres.query("SELECT model, state FROM releases")))}
            return found


# What may follow what in a release's history; a release's events are the whole of its life.
FOLLOWS = {"preparing": {"running", "promoting", "failed", "cancelled"}, "running": {"step", "paused", "promoting", "rolled_back"},
           "step": {"step", "paused", "promoting", "rolled_back", "running"}, "paused": {"running", "rolled_back", "promoting"},
           "promoting": {"settling", "rolled_back"}, "settling": {"succeeded", "rolled_back"}}


def check(fleet, models, ids):
    """What is wrong with the state that is left, a sentence each."""
    wrong = []
    rows = {model: (identity, state, int(is_open), json.loads(body))
            for identity, model, state, is_open, body in fleet.postgres.query("SELECT id, model, state, open, body FROM releases")}
    events = collections.defaultdict(list)
    for identity, kind in fleet.postgres.query("SELECT release_id, kind FROM release_events ORDER BY release_id, revision, number"):
        events[identity].append(kind)
    if len(rows) != len(models):
        wrong.append(f"{len(rows)} releases of {len(models)}")
    for model, kind in models.items():
        identity, state, is_open, body = rows[model]
        if identity != ids[model]:
            wrong.append(f"{model}: release {identity} is not {ids[model]}")
        if state != KINDS[kind]:
            wrong.append(f"{model} ({kind}): {state}, not {KINDS[kind]}: {body.get('reason')}; {events[identity]}")
        if is_open or body.get("route_pending"):
            wrong.append(f"{model}: still open")
        kinds = events[identity]
        if not kinds or kinds[0] != "preparing" or kinds[-1] != state:
            wrong.append(f"{model}: its history is {kinds}")
        for before, after in zip(kinds, kinds[1:], strict=False):
            if after not in FOLLOWS.get(before, ()):
                wrong.append(f"{model}: {after} follows {before}: {kinds}")
        status, answer = fleet.call("GET", f"/v1/routes/{model}")
        serving = "2" if KINDS[kind] == "succeeded" else "1"
        route = answer.get("route", {})
        arms = [arm["version"] for arm in route.get("split", {}).get("arms", []) if arm["weight"]]
        if status != 200 or route.get("stable") != serving or any(arm != serving for arm in arms) or route.get("shadows"):
            wrong.append(f"{model} ({kind}): its route is {route}")
        for index in fleet.alive():
            version = _version_of(fleet.servers[index], model)
            if version != serving:
                wrong.append(f"{model} ({kind}): host {index} answers by version {version}, not {serving}")
    revisions = fleet.postgres.query("SELECT model, COUNT(*), MAX(revision), COUNT(DISTINCT revision) FROM model_route_history GROUP BY model")
    for model, count, newest, distinct in revisions:
        if count != distinct or int(newest) < 1:
            wrong.append(f"{model}: revisions of its route: {count} rows, newest {newest}")
    leaders = fleet.postgres.query("SELECT COUNT(*) FROM release_leader")
    if leaders != [["1"]]:
        wrong.append(f"leaders: {leaders}")
    return wrong


def _version_of(server, model):
    body = {"inputs": [{"name": "x", "shape": [1], "datatype": "INT64", "data": [3]}]}
    status, _, text = server.request("POST", f"/v2/models/{model}/infer", json.dumps(body).encode())
    return json.loads(text).get("model_version") if status == 200 else f"{status}: {text[:120]}"


RUNS = {"rollback": rollback, "storm": storm, "full_load": full_load, "errors": errors}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", choices=RUNS)
    parser.add_argument("options", nargs="*", help="name=number, of the run's function")
    options = parser.parse_args()
    chosen = {name: json.loads(value) for name, value in (pair.split("=", 1) for pair in options.options)}
    if options.run == "storm":
        chosen["report"] = lambda line: print(line, flush=True)
    print(json.dumps(RUNS[options.run](**chosen)))


if __name__ == "__main__":
    main()
