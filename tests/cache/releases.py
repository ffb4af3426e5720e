"""Publishes a model again and again on hosts that share a database (and a Redis) through proxies that fail, under load.

`run()` gives the counts and the checker's verdict. Used by test_releases.py and by the bench."""

import argparse
import collections
import contextlib
import dataclasses
import http.client
import json
import math
import os
import pathlib
import random
import struct
import sys
import tempfile
import threading
import time

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent), str(pathlib.Path(__file__).resolve().parent.parent)]

import release_history  # noqa: E402
from fault_proxy import FaultProxy  # noqa: E402
from mezzo_server import Server  # noqa: E402
from postgres_server import PostgresServer  # noqa: E402
from redis_server import PASSWORD, RedisServer  # noqa: E402
from release_history import STEP, Call, Publication, Purge  # noqa: E402

MODEL = "released"
BOUND = 2.0  # cache.max_staleness, in seconds.


def _field(number, value):
    """One member of a protobuf message: bytes and texts with their length, integers as varints."""
    def varint(n):
        out = b""
        while n > 127:
            out, n = out + bytes([n & 127 | 128]), n >> 7
        return out + bytes([n])

    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def model_file(content):
    """An ONNX file: Y = X + STEP * content, of INT64 [rows, 1]."""
    int64 = 7

    def info(name):
        shape = _field(1, _field(2, "rows")) + _field(1, _field(1, 1))
        return _field(1, name) + _field(2, _field(1, _field(1, int64) + _field(2, shape)))

    number = _field(1, 1) + _field(2, int64) + _field(8, "K") + _field(9, struct.pack("<q", STEP * content))
    node = _field(1, "X") + _field(1, "K") + _field(2, "Y") + _field(3, "add") + _field(4, "Add")
    graph = _field(1, node) + _field(2, "released") + _field(5, number) + _field(11, info("X")) + _field(12, info("Y"))
    return _field(1, 8) + _field(2, "mezzo-tests") + _field(7, graph) + _field(8, _field(1, "") + _field(2, 17))


class Host(Server):
    """A server on an address of its own, with its own copy of the model and its own ways to database and Redis."""

    def __init__(self, index, folder, database, redis, shared, binary_args=()):
        self.index = index
        self.address = f"127.0.0.{index + 2}"
        self.models = folder / f"host-{index}"
        (self.models / MODEL / "1").mkdir(parents=True)
        cache = {"mode": "exact", "ttl": "1h", **({"shared": True} if shared else {})}
        (self.models / MODEL / "model.yaml").write_text(f"cache: {json.dumps(cache)}\n")
        self.write(0)
        config = {"database": {"url": "env:DATABASE_URL"}, "grpc": {"enabled": False},
                  "http": {"address": self.address}, "insecure": True,
                  "models": {"control": "explicit", "startup": [MODEL]},
                  "cache": {"max_staleness": f"{int(BOUND * 1000)}ms", "poll_interval": "100ms"}}
        if redis:
            config["redis"] = {"url": "env:REDIS_URL"}
        super().__init__(*binary_args, models=self.models, config=json.dumps(config), data_dir=folder / f"data-{index}",
                         env={"DATABASE_URL": database, "REDIS_URL": redis})

    @property
    def http(self):
        return f"{self.address}:{self.http_port}"

    def write(self, content):
        """The file as a whole, or not at all."""
        target = self.models / MODEL / "1" / "model.onnx"
        new = self.models / MODEL / ".new"
        new.write_bytes(model_file(content))
        os.replace(new, target)


class Caller(threading.Thread):
    """Asks one host the same few questions for ever and writes down what it saw."""

    def __init__(self, host, keys, seed, timeout):
        super().__init__(daemon=True)
        self.calls = []
        self._host, self._keys, self._timeout = host, keys, timeout
        self._random = random.Random(seed)
        self._stopping = threading.Event()

    def stop(self):
        self._stopping.set()
        self.join(60)

    def run(self):
        connection = None
        while not self._stopping.is_set():
            key = self._random.randrange(self._keys)
            body = json.dumps({"inputs": [{"name": "X", "shape": [1, 1], "datatype": "INT64", "data": [key]}]})
            begin, answer, use = time.monotonic(), None, None
            try:
                connection = connection or http.client.HTTPConnection(self._host.http, timeout=self._timeout)
                connection.request("POST", f"/v2/models/{MODEL}/infer", body, {"Content-Type": "application/json"})
                reply = connection.getresponse()
                text = reply.read()
                if reply.status == 200:
                    answer, use = json.loads(text)["outputs"][0]["data"][0], reply.headers.get("X-Mezzo-Cache")
            except (OSError, http.client.HTTPException):
                with contextlib.suppress(Exception):
                    connection.close()
                connection = None
            self.calls.append(Call(begin, time.monotonic(), self._host.index, key, answer, use))
            if answer is None:
                time.sleep(0.005)


class Faults(threading.Thread):
    """Sets one way wrong for a moment, again and again."""

    def __init__(self, kind, proxy, seed):
        super().__init__(daemon=True)
        self.counts = collections.Counter()
        self._kind, self._proxy, self._random = kind, proxy, random.Random(seed)
        self._stopping = threading.Event()

    def stop(self):
        self._stopping.set()
        self.join(60)
        self._proxy.set("pass")

    def run(self):
        # What goes to the database has no checksum of its own: a changed byte in an answer is a lie that no host can find
        # out, so there it is noise, which breaks the protocol.
        modes = ["cut", "cut", "stall", "delay", "noise"] + (["garble"] if self._kind == "redis" else [])
        while not self._stopping.wait(self._random.uniform(0.2, 2.5)):
            mode = self._random.choice(modes)
            self.counts[f"{self._kind} {mode}"] += 1
            self._proxy.set(mode, self._random.uniform(0.01, 0.2))
            self._stopping.wait(self._random.choice([0.02, 0.02, 0.2, 0.5, 1.0, BOUND * 1.5]))
            self._proxy.set("pass")


@dataclasses.dataclass
class Outcome:
    verdict: release_history.Verdict
    releases: int = 0
    acknowledged: int = 0  # Loads that a host has confirmed, of `releases` times hosts.
    rollbacks: int = 0
    purges: int = 0
    faults: dict = dataclasses.field(default_factory=dict)
    seconds: float = 0.0
    shared: bool = False
    raised: int = 0  # The model's epoch in the database.

    def text(self):
        v = self.verdict
        faults = ", ".join(f"{name} {count}" for name, count in sorted(self.faults.items()))
        uses = ", ".join(f"{use} {count:,}" for use, count in sorted(v.uses.items(), key=lambda pair: -pair[1]))
        return (f"{self.releases} releases ({self.rollbacks} rollbacks, {self.purges} purges) on 3 hosts in {self.seconds:.0f} s, "
                f"{self.acknowledged} loads confirmed, {sum(self.faults.values())} faults ({faults}); {v.calls:,} calls, {v.answered:,} "
                f"answered ({uses}); epoch {self.raised}; shared tier: {'yes' if self.shared else 'no'}; wrong {len(v.wrong)}, "
                f"stale {len(v.stale)}, old {len(v.old)}, unpurged {len(v.unpurged)}")


def accepts_shared(folder):
    """Whether this build has a tier that hosts share."""
    with Server("--set", "models.control=explicit", "--set", "jobs.enabled=false", models=folder) as server:
        answer = server.request("POST", f"/v2/repository/models/{MODEL}/load", b"{}")
        return answer[0] == 200


def publish(host, content, timeout):
    """Whether the host has confirmed it. Waits for as long as it takes to know, at most `timeout`."""
    host.write(content)
    try:
        return host.request("POST", f"/v2/repository/models/{MODEL}/load", b"{}", timeout=timeout)[0] == 200
    except (OSError, http.client.HTTPException):
        return False


def run(releases, seed=1, keys=20, callers=1, pause=0.0, report=None):
    """`callers` for each of three hosts; `pause`: seconds between releases, on average."""
    chance = random.Random(seed)
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        probe = folder / "probe"
        (probe / MODEL / "1").mkdir(parents=True)
        (probe / MODEL / "1" / "model.onnx").write_bytes(model_file(0))
        (probe / MODEL / "model.yaml").write_text('cache: {mode: exact, ttl: 1h, shared: true}\n')
        shared = accepts_shared(probe)
        database = stack.enter_context(PostgresServer())
        redis = stack.enter_context(RedisServer())
        ways, hosts = [], []
        for index in range(3):
            sql = stack.enter_context(FaultProxy(database.port, seed * 100 + index))
            kv = stack.enter_context(FaultProxy(redis.port, seed * 100 + 50 + index))
            ways += [("database", sql), ("redis", kv)]
            hosts.append(stack.enter_context(Host(index, folder, f"postgresql://mezzo@127.0.0.1:{sql.port}/postgres?connect_timeout=5",
                                                  f"redis://:{PASSWORD}@127.0.0.1:{kv.port}/0", shared)))
        start = time.monotonic()
        publications = [Publication(host.index, 0, 0.0, start) for host in hosts]
        purges, rollbacks, acknowledged, newest = [], 0, 0, 0
        threads = [Caller(host, keys, seed * 1000 + host.index * 10 + n, 30) for host in hosts for n in range(callers)]
        for thread in threads:
            thread.start()
        faults = [Faults(kind, proxy, seed * 10 + n) for n, (kind, proxy) in enumerate(ways)]
        for way in faults:
            way.start()
        for release in range(1, releases + 1):
            if newest > 3 and chance.random() < 0.1:
                content, rollbacks = chance.randrange(newest - 2, newest), rollbacks + 1
            else:
                content = newest = newest + 1
            for host in chance.sample(hosts, len(hosts)):
                begin = time.monotonic()
                done = publish(host, content, 60)
                acknowledged += done
                publications.append(Publication(host.index, content, begin, time.monotonic() if done else math.inf))
            if chance.random() < 0.1:
                host, begin = chance.choice(hosts), time.monotonic()
                with contextlib.suppress(OSError, http.client.HTTPException):
                    if host.request("POST", "/v1/cache/purge", json.dumps({"model": MODEL}).encode(), timeout=30)[0] == 200:
                        purges.append(Purge(host.index, begin, time.monotonic()))
            if report and release % 50 == 0:
                report(f"  release {release}/{releases}, {time.monotonic() - start:.0f} s")
            time.sleep(pause * chance.uniform(0, 2))
        for way in faults:
            way.stop()
        time.sleep(0.5)
        for thread in threads:
            thread.stop()
        raised = int(database.query(f"SELECT epoch FROM cache_epochs WHERE model = '{MODEL}'")[0][0])
        seconds = time.monotonic() - start
        calls = [call for thread in threads for call in thread.calls]
    verdict = release_history.judge(publications, calls, purges, BOUND, shared)
    return Outcome(verdict, releases, acknowledged, rollbacks, len(purges), sum((way.counts for way in faults), collections.Counter()), seconds, shared, raised)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("releases", type=int, nargs="?", default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pause", type=float, default=0.1, help="seconds between releases, on average [%(default)s]")
    parser.add_argument("--json", action="store_true", help="end with a line of JSON")
    options = parser.parse_args()
    outcome = run(options.releases, seed=options.seed, pause=options.pause, report=lambda line: print(line, flush=True))
    verdict = outcome.verdict
    if options.json:
        print(json.dumps({"releases": outcome.releases, "faults": sum(outcome.faults.values()), "calls": verdict.calls,
                          "hits": verdict.uses.get("hit", 0), "wrong": len(verdict.wrong), "old": len(verdict.old),
                          "stale": len(verdict.stale) + len(verdict.old) + len(verdict.unpurged), "text": outcome.text()}))
    else:
        print(outcome.text())
    return 0 if verdict.ok else 1


if __name__ == "__main__":
    sys.exit(main())
