"""The cache: hit ratios of its tier beside LRU, S3-FIFO and W-TinyLFU, written here from their papers, on the same traces;
what a hit costs; what a stampede runs."""

import asyncio
import bisect
import collections
import contextlib
import itertools
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

import harness
from harness import Measure, Mezzo, labelled, rounds
from serving import MLP, infer_url, mlp_body_binary, ratio

REPLAY = harness.BUILD / "bench" / "mezzo_bench_cache"
PLACES = 1000
HOSTS = 3
STAMPEDE = 10_000
LENGTH = 150_000


def zipf(alpha, count, length, seed):
    """Keys below `count` with probabilities as 1 / rank^alpha, ranks shuffled."""
    draw = random.Random(seed)
    names = list(range(count))
    draw.shuffle(names)
    sums = list(itertools.accumulate(1 / (rank + 1) ** alpha for rank in range(count)))
    return [names[min(bisect.bisect_left(sums, draw.random() * sums[-1]), count - 1)] for _ in range(length)]


def scans():
    """Zipf 0.9, every 3,000 requests interrupted by 1,500 keys that never come again."""
    hot, fresh, trace = zipf(0.9, 5000, 100_000, 2), itertools.count(10_000), []
    for begin in range(0, len(hot), 3000):
        trace += hot[begin:begin + 3000] + list(itertools.islice(fresh, 1500))
    return trace


def shifts():
    """What is popular changes every 25,000 requests."""
    return [key + phase * 2000 for phase in range(6) for key in zipf(0.9, 4000, 25_000, 10 + phase)]


TRACES = {
    "zipf 0.7": lambda: zipf(0.7, 20_000, LENGTH, 1),
    "zipf 0.9": lambda: zipf(0.9, 20_000, LENGTH, 1),
    "zipf 1.0": lambda: zipf(1.0, 20_000, LENGTH, 1),
    "zipf 1.2": lambda: zipf(1.2, 20_000, LENGTH, 1),
    "scans": scans,
    "loop x 1.5": lambda: [i % (PLACES * 3 // 2) for i in range(LENGTH)],
    "loop x 4": lambda: [i % (PLACES * 4) for i in range(LENGTH)],
    "shifts": shifts,
}
# Points above LRU, and above the better of the other two. The sketch remembers what was popular for nine requests a
# place, so a new set every 25 is where admission by frequency loses; the bars there only say how much.
BARS = collections.defaultdict(lambda: (0, -1), {"shifts": (-2, -4)})


def lru(trace):
    held, hits = collections.OrderedDict(), 0
    for key in trace:
        if key in held:
            hits += 1
            held.move_to_end(key)
            continue
        held[key] = None
        if len(held) > PLACES:
            held.popitem(last=False)
    return hits / len(trace)


def s3fifo(trace):
    """SOSP'23, algorithm 1: small queue of a tenth, ghosts as many as the main queue has places."""
    small, main, ghost, reads, hits = collections.deque(), collections.deque(), collections.OrderedDict(), {}, 0
    few = PLACES // 10

    def evict_main():
        while main:
            key = main.popleft()
            if reads[key] > 0:
                reads[key] -= 1
                main.append(key)
            else:
                del reads[key]
                return

    def evict_small():
        while small:
            key = small.popleft()
            if reads[key] > 1:
                reads[key] = 0
                main.append(key)
                if len(main) > PLACES - few:
                    evict_main()
            else:
                del reads[key]
                ghost[key] = None
                if len(ghost) > PLACES - few:
                    ghost.popitem(last=False)
                return

    for key in trace:
        if key in reads:
            hits += 1
            reads[key] = min(reads[key] + 1, 3)
            continue
        while len(reads) >= PLACES:
            if len(small) >= few or not main:
                evict_small()
            else:
                evict_main()
        reads[key] = 0
        if key in ghost:
            del ghost[key]
            main.append(key)
        else:
            small.append(key)
    return hits / len(trace)


def wtinylfu(trace):
    """ToS'17: window LRU of 1 %, segmented LRU (80 % protected), counts up to 15 halved every ten requests a place; the
    sketch is exact here."""
    window, probation, protected = (collections.OrderedDict() for _ in range(3))
    counts, hits, since = collections.Counter(), 0, 0
    first, kept = max(PLACES // 100, 1), (PLACES - max(PLACES // 100, 1)) * 8 // 10
    for key in trace:
        counts[key] = min(counts[key] + 1, 15)
        since += 1
        if since >= 10 * PLACES:
            counts, since = collections.Counter({k: n // 2 for k, n in counts.items() if n > 1}), 0
        if key in window:
            hits += 1
            window.move_to_end(key)
        elif key in protected:
            hits += 1
            protected.move_to_end(key)
        elif key in probation:
            hits += 1
            del probation[key]
            protected[key] = None
            if len(protected) > kept:
                probation[protected.popitem(last=False)[0]] = None
        else:
            window[key] = None
            if len(window) <= first:
                continue
            newcomer = window.popitem(last=False)[0]
            if len(probation) + len(protected) < PLACES - first:
                probation[newcomer] = None
                continue
            victim = next(iter(probation)) if probation else next(iter(protected))
            if counts[newcomer] > counts[victim]:
                (probation if probation else protected).pop(victim)
                probation[newcomer] = None
    return hits / len(trace)


def tier(trace):
    done = subprocess.run([REPLAY, "--places", str(PLACES)], input="\n".join(map(str, trace)), capture_output=True,
                          text=True, check=True, timeout=120)
    result = json.loads(done.stdout)
    return result["hits"] / result["asked"]


def ratios(_count):
    """The traces are the same each time, so once is enough."""
    measures = []
    for name, make in TRACES.items():
        trace = make()
        ours, peers = tier(trace), {policy.__name__: policy(trace) for policy in (lru, s3fifo, wtinylfu)}
        series = {"mezzo, %": [100 * ours]} | {f"{peer}, %": [100 * ratio] for peer, ratio in peers.items()}
        measures.append(Measure(f"hit ratio on {name}, points above LRU", [100 * (ours - peers["lru"])], BARS[name][0], ">=",
                                note=f"{PLACES:,} places, {len(trace):,} requests.", series=series))
        better = max(peers["s3fifo"], peers["wtinylfu"])
        measures.append(Measure(f"hit ratio on {name}, points above the better of S3-FIFO and W-TinyLFU",
                                [100 * (ours - better)], BARS[name][1], ">=", series=series))
    return measures


def gets(count):
    """Look-ups of Zipf 1.0 keys by two threads, mostly hits, of one core's worth of processor time."""
    binary = harness.BUILD / "src" / "mezzo" / "cache" / "mezzo_cache_memory_tier_bench"

    def two_threads():
        done = subprocess.run([binary, "--benchmark_filter=BM_Get/.*threads:2", "--benchmark_format=json"], capture_output=True,
                              text=True, check=True, timeout=300)
        return 1e3 / json.loads(done.stdout)["benchmarks"][0]["cpu_time"]  # cpu_time: ns of each thread for a get.

    (rates,) = rounds(count, labelled("two threads", two_threads))
    return [Measure("gets of a core, two threads on Zipf 1.0", rates, 1, ">=", " M/s", series={"mezzo, M gets/s": rates})]


def cached_models(folder, cache):
    """A folder with the MLP, its answers kept as `cache` says."""
    shutil.copytree(MLP, folder / "mlp")
    (folder / "mlp" / "model.yaml").write_text(f"cache: {json.dumps(cache)}\n")
    return folder


def http_hit(count):
    """A hit over HTTP beside the server's emptiest handler, both by wrk with 64 connections."""
    body, headers = mlp_body_binary()
    with tempfile.TemporaryDirectory() as folder, \
            Mezzo([cached_models(pathlib.Path(folder), {"mode": "exact", "ttl": "1h"})]) as mezzo:
        url = infer_url(mezzo, "mlp")
        hits, empty, misses = rounds(
            count, labelled("hits", lambda: harness.wrk(url, body, "application/octet-stream", headers)),
            labelled("empty handler", lambda: harness.wrk(mezzo.url + "/v2/health/live")),
            labelled("no-store", lambda: harness.wrk(url, body, "application/octet-stream",
                                                     {**headers, "Cache-Control": "no-store"})))
    times = {"mezzo: a hit, µs": [1e6 / rate for rate in hits], "an empty handler, µs": [1e6 / rate for rate in empty],
             "mezzo: the same call computed, µs": [1e6 / rate for rate in misses]}
    return [ratio("time of a hit over HTTP / of an empty handler", 1.3, times["mezzo: a hit, µs"], times["an empty handler, µs"],
                  times, sense="<=", note="The hit reads 1.2 KB of tensor and head, hashes it and answers 1 KB; the empty handler, "
                                          "GET /v2/health/live, reads and answers nothing.")]


def misses(count):
    """10,000 calls of one key at the same time that nobody has computed yet, over 2,000 connections."""
    executions = []
    for index in range(count):
        print(f"  round {index + 1}/{count}", flush=True)
        with tempfile.TemporaryDirectory() as folder, \
                Mezzo([cached_models(pathlib.Path(folder), {"mode": "exact", "ttl": "1h"})],
                      sets=["http.max_connections_per_peer=4000"]) as mezzo:
            answered = asyncio.run(stampede(mezzo.http_port, 2000, 5))
            assert answered == 10_000, f"{answered} of 10,000 calls were answered"
            executions.append(mezzo.metrics()['mezzo_inference_batch_rows_sum{model="mlp",version="1"}'])
    return [Measure("10,000 calls of one key at once: executions", executions, 1, "<=",
                    note="One host, 2,000 connections with five calls each.")]


def misses_hosts(count):
    """The same over three hosts that share results through a Redis and a PostgreSQL."""
    sys.path.insert(0, str(harness.ROOT / "tests"))
    from postgres_server import PostgresServer
    from redis_server import RedisServer

    executions, took = [], []
    # The machine is overloaded on purpose: what a call to Redis may take is not what is measured.
    sets = ["http.max_connections_per_peer=4000", "cache.shared_timeout=10s", "redis.command_timeout=20s"]
    config = {"redis": {"url": "env:BENCH_REDIS_URL"}, "database": {"url": "env:BENCH_DATABASE_URL", "connections": 4}}
    for index in range(count):
        print(f"  round {index + 1}/{count}", flush=True)
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            models = cached_models(pathlib.Path(folder), {"mode": "exact", "ttl": "1h", "shared": True})
            redis, postgres = stack.enter_context(RedisServer()), stack.enter_context(PostgresServer())
            env = {"BENCH_REDIS_URL": redis.url, "BENCH_DATABASE_URL": postgres.url}
            hosts = [stack.enter_context(Mezzo([models], sets=sets, config=config, env=env)) for _ in range(HOSTS)]
            started = time.monotonic()
            answered = asyncio.run(stampedes([host.http_port for host in hosts], STAMPEDE // (HOSTS * 5) + 1, 5))
            took.append(time.monotonic() - started)
            assert answered >= STAMPEDE, f"{answered} of {STAMPEDE:,} calls were answered"
            ran = [host.metrics().get('mezzo_inference_batch_rows_sum{model="mlp",version="1"}', 0) for host in hosts]
            executions.append(sum(ran))
    return [Measure(f"{STAMPEDE:,} calls of one key at once over {HOSTS} hosts: distance from one execution",
                    [abs(ran - 1) for ran in executions], 0, "<=", series={"executions": executions, "time of all, s": took},
                    note="All processes on one machine; results through Redis, epochs and the secret through PostgreSQL.")]


async def stampedes(ports, connections, calls):
    return sum(await asyncio.gather(*(stampede(port, connections, calls) for port in ports)))


async def stampede(port, connections, calls):
    """How many of `connections` times `calls` equal calls were answered with 200."""
    body, headers = mlp_body_binary()
    lines = [f"{name}: {value}" for name, value in headers.items()]
    request = "\r\n".join(["POST /v2/models/mlp/infer HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}",
                           *lines]).encode() + b"\r\n\r\n" + body
    opened = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", port) for _ in range(connections)))

    async def one(reader, writer):
        answered = 0
        for _ in range(calls):
            writer.write(request)
            await writer.drain()
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
            await reader.readexactly(length)
            answered += head.startswith(b"HTTP/1.1 200")
        writer.close()
        return answered

    return sum(await asyncio.gather(*(one(*pair) for pair in opened)))


def releases(_count):
    """A model published 1,000 times on three hosts under load, with faults between hosts, database and Redis; once, as long
    as it takes (RELEASES=… for fewer)."""
    environment = {**os.environ, "BUILD_UNDER_TEST": str(harness.BUILD)}
    done = subprocess.run([sys.executable, harness.ROOT / "tests" / "cache" / "releases.py", "--json",
                           os.environ.get("RELEASES", "1000")], env=environment, stdout=subprocess.PIPE, text=True, check=False,
                          timeout=3600)
    if done.returncode not in (0, 1):
        raise RuntimeError(f"releases.py ended with {done.returncode}")
    found = json.loads(done.stdout.splitlines()[-1])
    print(f"  {found['text']}", flush=True)
    if found["releases"] != int(os.environ.get("RELEASES", "1000")) or found["hits"] < found["releases"] or found["faults"] < 10:
        raise RuntimeError(f"the run has not shown what it is about: {found['text']}")
    return [Measure(f"{found['releases']:,} releases under load and faults: {what} answers", [found[what]], 0, "<=", note=found["text"])
            for what in ("stale", "wrong")]


BENCHMARKS = {"ratios": ratios, "gets": gets, "http_hit": http_hit, "misses": misses, "misses_hosts": misses_hosts,
              "releases": releases}
