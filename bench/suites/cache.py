"""The cache: hit ratios of its tier beside LRU, S3-FIFO and W-TinyLFU on the same traces (bench/cache_policies.h says whose logic);
what a get and a hit cost; what a stampede and entries that expire together run."""

import asyncio
import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import harness
from harness import Measure, Mezzo, labelled, rounds
from serving import MLP, infer_url, mlp_body_binary, ratio

REPLAY = harness.BUILD / "bench" / "mezzo_bench_cache"
HOSTS = 3
STAMPEDE = 10_000
EXPIRY = harness.BUILD / "bench" / "mezzo_bench_expiry"
GENTD26 = harness.ROOT / "bench" / "data" / "gentd26-checkpoints.txt"
POLICIES = {"mezzo": "mezzo", "lru": "LRU", "s3fifo": "S3-FIFO (libCacheSim)", "wtinylfu": "W-TinyLFU (paper)",
            "wtinylfu_libcachesim": "W-TinyLFU (libCacheSim)"}
# What the workloads are made to show beyond the ones with bars: popularity that moves, and keys that only recency tells apart. There
# the better of the others is no bar, and LRU within half a point; `shifts` at 100 places within one, as 15,000 requests tell no better.
WITHOUT_BARS = {"shifts", "long shifts", "drift", "recent"}
WORKLOADS = {
    "zipf": "100,000 keys by Zipf's law, 1 M requests.",
    "zipf 0.9 with scans": "50,000 keys by Zipf's law; after every 3 requests a place, 1.5 a place for keys that never come again.",
    "zipf 0.9 with a loop": "By turns a key by Zipf's law and the next of a loop of twice the places.",
    "loop": "The same keys over and over, so many times the places.",
    "shifts": "Zipf 0.9 over 4 keys a place; all popularities are drawn anew every 25 requests a place.",
    "long shifts": "The same, every 100 requests a place.",
    "drift": "Zipf 0.9 over 4 keys a place; every 50 requests a new key becomes the most popular.",
    "recent": "A tenth new keys; the others come again after a geometrically distributed number of requests, the places on average.",
    "gentd26 checkpoints": "The checkpoint of each of 12,991 requests to an image service (GenTD26): 76 checkpoints.",
}


def ratios(count):
    """A seed a round, none of them the one that the policy was made with. The bars hold at every size: the measure of a round is the
    worst of them."""
    seen = []
    for seed in range(1, count + 1):
        print(f"  round {seed}/{count}", flush=True)
        done = subprocess.run([REPLAY, "--gentd26", GENTD26, "--seed", str(seed)], capture_output=True, text=True, check=True,
                              timeout=1800)
        workloads = {}
        for line in done.stdout.splitlines():
            result = json.loads(line)
            workloads.setdefault(result["workload"], []).append(result)
        seen.append(workloads)
    plot_ratios(seen[0])
    others = [policy for policy in POLICIES if policy not in ("mezzo", "lru")]
    measures = []
    for name, results in seen[0].items():
        above_lru = [min(100 * (result["mezzo"] - result["lru"]) for result in workloads[name]) for workloads in seen]
        above_best = [min(100 * (result["mezzo"] - max(result[policy] for policy in others)) for result in workloads[name])
                      for workloads in seen]
        series = {f"{label}, {result['places']:,} places, %": [100 * workloads[name][index][policy] for workloads in seen]
                  for index, result in enumerate(results) for policy, label in POLICIES.items()}
        note = WORKLOADS.get(name) or WORKLOADS[name.split()[0]]
        if not measures:
            note += "\n\n![hit ratios by size and policy](cache-ratios.png)"
        free = name in WITHOUT_BARS
        measures.append(Measure(f"hit ratio on {name}, points above LRU, least of {len(results)} sizes", above_lru,
                                (-1 if name == "shifts" else -0.5) if free else 0, ">=", note=note, series=series))
        if not free:
            measures.append(Measure(f"hit ratio on {name}, points above the best of S3-FIFO and W-TinyLFU, least of "
                                    f"{len(results)} sizes", above_best, -1, ">="))
    return measures


def plot_ratios(workloads):
    """bench/results/cache-ratios.png: hit ratio by size and policy, a panel for each workload."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    columns = 4
    rows = -(-len(workloads) // columns)
    figure, panels = pyplot.subplots(rows, columns, figsize=(4 * columns, 2.6 * rows), squeeze=False)
    for panel in panels.flat[len(workloads):]:
        panel.axis("off")
    for panel, (name, results) in zip(panels.flat, workloads.items()):
        for policy, label in POLICIES.items():
            panel.plot([result["places"] for result in results], [100 * result[policy] for result in results], marker="o",
                       markersize=3, label=label, linewidth=2.2 if policy == "mezzo" else 1,
                       color={"mezzo": "#2b6cb0", "lru": "#a0aec0"}.get(policy))
        panel.set_xscale("log")
        panel.set_title(name, fontsize=9)
        panel.set_ylabel("hits, %", fontsize=8)
        panel.tick_params(labelsize=7)
    panels[0][0].legend(fontsize=7)
    figure.tight_layout()
    folder = harness.ROOT / "bench" / "results"
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / "cache-ratios.png", dpi=90)
    pyplot.close(figure)


def expiring(_count):
    """Simulated time, the same each time: 10 M entries made at once, ttl and stale_while_revalidate 300 s, each asked for three times
    in a lifetime."""
    measures = []
    for name, alpha in {"alike": 0, "by Zipf 0.6": 0.6}.items():
        done = subprocess.run([EXPIRY, "--alpha", str(alpha)], capture_output=True, text=True, check=True, timeout=3600)
        result = json.loads(done.stdout)
        measures.append(Measure(f"{result['entries']:,} entries that expire together, asked for {name}: executions / steady",
                                [result["most"] / result["steady"]], 1.2, "<=",
                                series={"mezzo: most in any 5 s, 1/s": [result["most"]], "entries / ttl, 1/s": [result["steady"]]},
                                note="Simulated time, the real cache: 10 M entries of one moment, ttl 300 s, "
                                     "stale_while_revalidate 300 s, 30,000,000 requests a lifetime."))
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


class EmptyHandler(harness.Process):
    """The server's HTTP library with a handler that does nothing but answer so many bytes."""

    def __init__(self, answer):
        self.port = harness.free_port()
        super().__init__([harness.BUILD / "src" / "mezzo" / "net" / "mezzo_net_http_server_bench", "--serve", self.port, 2, answer])
        self.url = f"http://127.0.0.1:{self.port}"
        harness.wait_for(lambda: len(harness.http_get(self.url)) == answer, "the empty handler")


def http_hit(count):
    """A hit over HTTP beside empty handlers: by wrk with one connection, where a call's time is its latency, and with 64, where it is
    what the processors take for it (wrk's part too)."""
    body, headers = mlp_body_binary()
    with tempfile.TemporaryDirectory() as folder, \
            Mezzo([cached_models(pathlib.Path(folder), {"mode": "exact", "ttl": "1h"})]) as mezzo, EmptyHandler(204) as empty:
        url = infer_url(mezzo, "mlp")

        def way(connections, address, *call):
            return lambda: 1e6 / harness.wrk(address, *call, connections=connections, seconds=1)

        call = (body, "application/octet-stream", headers)
        no_store = (*call[:2], {**headers, "Cache-Control": "no-store"})
        measures = []
        for label, connections in {"one connection": 1, "64 connections": 64}.items():
            hits, same, bare, computed = harness.sliced(
                count, 10, labelled("hits", way(connections, url, *call)),
                labelled("an empty handler", way(connections, empty.url, *call)),
                labelled("liveness", way(connections, mezzo.url + "/v2/health/live")),
                labelled("no-store", way(connections, url, *no_store)))
            series = {"mezzo: a hit, µs": hits, "an empty handler with the same bytes in and out, µs": same,
                      "the server's emptiest handler, without a body, µs": bare, "mezzo: the same call computed, µs": computed}
            measures.append(ratio(f"time of a hit over HTTP / of an empty handler, {label}", 1.3, hits, same, series, sense="<=",
                                  note="The hit reads 1.2 KB of head and tensor, finds and answers 0.2 KB. The empty handler is the "
                                       "server's HTTP library alone: it reads the same request and answers as many bytes."))
            measures.append(ratio(f"time of a hit over HTTP / of GET /v2/health/live, {label}", 1.3, hits, bare, {}, sense="<=",
                                  note="The same against a request and an answer without bodies."))
    return measures


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
    """The same over three hosts that share results through a Redis and a PostgreSQL: of a model that takes no time, and of
    one that takes half a second, so that hosts have to wait for each other."""
    sys.path.insert(0, str(harness.ROOT / "tests"))
    from postgres_server import PostgresServer
    from redis_server import RedisServer

    found = {model: {"executions": [], "hosts that waited for another": [], "time of all, s": []} for model in ("mlp", "delay")}
    shared = {"mode": "exact", "ttl": "1h", "shared": True}
    config = {"redis": {"url": "env:BENCH_REDIS_URL"}, "database": {"url": "env:BENCH_DATABASE_URL", "connections": 4}}
    for index in range(count):
        print(f"  round {index + 1}/{count}", flush=True)
        with contextlib.ExitStack() as stack:
            models = cached_models(pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory())), shared)
            cached_delay(models, shared)
            redis, postgres = stack.enter_context(RedisServer()), stack.enter_context(PostgresServer())
            env = {"BENCH_REDIS_URL": redis.url, "BENCH_DATABASE_URL": postgres.url}
            hosts = [stack.enter_context(Mezzo([models], sets=["http.max_connections_per_peer=4000"], config=config, env=env))
                     for _ in range(HOSTS)]
            for model, series in found.items():
                what = mlp_body_binary() if model == "mlp" else delay_body(hosts[0], 0.5)
                before = [host.metrics() for host in hosts]
                started = time.monotonic()
                answered = asyncio.run(stampedes([host.http_port for host in hosts], STAMPEDE // (HOSTS * 5) + 1, 5, model, what))
                series["time of all, s"].append(time.monotonic() - started)
                assert answered >= STAMPEDE, f"{answered} of {STAMPEDE:,} calls were answered"
                after = [host.metrics() for host in hosts]

                def grown(name, before=before, after=after):
                    return sum(b.get(name, 0) - a.get(name, 0) for a, b in zip(before, after, strict=True))

                series["executions"].append(grown(f'mezzo_inference_batch_rows_sum{{model="{model}",version="1"}}'))
                series["hosts that waited for another"].append(grown('mezzo_cache_shared_calls_total{outcome="join"}'))
    return [Measure(f"{STAMPEDE:,} calls of one key at once over {HOSTS} hosts, {what}: distance from one execution",
                    [abs(ran - 1) for ran in found[model]["executions"]], 0, "<=", series=found[model],
                    note="All processes on one machine; results through Redis, epochs and the secret through PostgreSQL.")
            for model, what in (("mlp", "a run of no time"), ("delay", "a run of half a second"))]


def cached_delay(folder, cache):
    """The tests' model that takes as long as it is told, with and without a cache."""
    for name in ("delay", "delay_uncached"):
        shutil.copytree(harness.CACHE / "testmodels" / "delay", folder / name)
    (folder / "delay" / "model.yaml").write_text(f"cache: {json.dumps(cache)}\n")


def delay_body(mezzo, seconds):
    """The body and the headers of a call of about so many seconds."""

    def body(steps):
        return {"inputs": [{"name": "STEPS", "shape": [1, 1], "datatype": "INT64", "data": [steps]}]}

    steps, took = 500, 0
    while took < 0.03:
        steps *= 3
        started = time.monotonic()
        mezzo.post("/v2/models/delay_uncached/infer", body(steps))
        took = time.monotonic() - started
    return json.dumps(body(int(steps * seconds / took))).encode(), {}


async def stampedes(ports, connections, calls, model, what):
    """Of all ports; nobody asks before all are connected."""
    gate = asyncio.Barrier(len(ports))
    return sum(await asyncio.gather(*(stampede(port, connections, calls, model, what, gate) for port in ports)))


async def stampede(port, connections, calls, model="mlp", what=None, gate=None):
    """How many of `connections` times `calls` equal calls were answered with 200."""
    body, headers = what or mlp_body_binary()
    lines = [f"{name}: {value}" for name, value in headers.items()]
    request = "\r\n".join([f"POST /v2/models/{model}/infer HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}",
                           *lines]).encode() + b"\r\n\r\n" + body
    opened = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", port) for _ in range(connections)))
    if gate is not None:
        await gate.wait()

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
    if found["releases"] != int(os.environ.get("RELEASES", "1000")) or found["hits"] < found["releases"] or found["faults"] < min(10, found["releases"] // 5):
        raise RuntimeError(f"the run has not shown what it is about: {found['text']}")
    return [Measure(f"{found['releases']:,} releases under load and faults: {what} answers", [found[what]], 0, "<=", note=found["text"])
            for what in ("stale", "wrong")]


BENCHMARKS = {"ratios": ratios, "expiring": expiring, "gets": gets, "http_hit": http_hit, "misses": misses,
              "misses_hosts": misses_hosts, "releases": releases}
