"""Admission, accounting and fairness between tenants: what they cost, and what they hold."""

import contextlib
import hashlib
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time

import harness
from harness import Measure, Mezzo, labelled, load, rounds
from serving import MAGIKA, MLP, Repository, infer_url, mlp_body_binary, ratio

sys.path.insert(0, str(harness.ROOT / "tests"))
from redis_server import RedisServer  # noqa: E402

ADMISSION = harness.BUILD / "bench" / "mezzo_bench_admission"
FAIRNESS = harness.BUILD / "bench" / "mezzo_bench_fairness"
MLP_FLOW = {"model": "mlp", "protocol": "http"}


def program(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True, timeout=600)
    return json.loads(done.stdout)


def tenant(name, **more):
    return {"id": name, "key_sha256": [hashlib.sha256(name.encode()).hexdigest()], **more}


def admission(count):
    """A key looked up, four limits asked, the work charged, by one thread alone and by one of two."""
    alone, beside = rounds(count, labelled("one thread", lambda: program(ADMISSION, "--threads", 1)),
                           labelled("two threads", lambda: program(ADMISSION, "--threads", 2)))
    series = {f"mezzo {quantile} {name}, µs": [each[f"{quantile}_ns"] / 1000 for each in results]
              for name, results in (("alone", alone), ("beside another", beside)) for quantile in ("p50", "p99")}
    note = "10,000 tenants, each with a key; limits on requests and cost by key, on concurrency by tenant, on requests of all."
    return [Measure("admission of one request, p50", series["mezzo p50 beside another, µs"], 2, "<=", " µs", note, series),
            Measure("admission of one request, p99", series["mezzo p99 beside another, µs"], 10, "<=", " µs")]


def throughput(count):
    """Without and with keys, limits and accounting: of the cheapest call there is, and of a real model's (Magika, one file of 2 KB)."""
    body, headers = mlp_body_binary()
    limits = [{"name": "all", "kind": "requests", "rate": 1e9, "burst": 1e9},
              {"name": "key", "kind": "requests", "per": ["key"], "rate": 1e8, "burst": 1e8},
              {"name": "cost", "kind": "cost", "per": ["key", "model"], "rate": 1e8, "burst": 1e8},
              {"name": "room", "kind": "concurrency", "per": ["tenant"], "amount": 100000}]
    flow = {"name": "magika", "model": "magika", "protocol": "http", "shapes": ["bytes:1x2048"], "ranges": ["bytes:0..255"],
            "concurrency": 16}
    with Repository(MLP, MAGIKA) as models, Mezzo([models], sets=["jobs.enabled=false"]) as off, \
            Mezzo([models], config={"tenants": [tenant("a")], "limits": limits}) as on:
        def real(mezzo, more):
            return load([{**flow, **more}], 2, warmup=0.5, url=mezzo.url, env={"A": "a"})["magika"]["throughput_per_s"]

        def asked(mezzo, more):
            return harness.wrk(infer_url(mezzo, "mlp"), body, "application/octet-stream", {**headers, **more}, seconds=1)

        key = {"Authorization": "Bearer a"}
        ours, bare = harness.sliced(count, 10, labelled("with tenancy", lambda: asked(on, key)),
                                    labelled("without", lambda: asked(off, {})))
        ours_real, bare_real = harness.sliced(count, 5,
                                              labelled("Magika with tenancy", lambda: real(on, {"tenant": "a", "key_env": "A"})),
                                              labelled("without", lambda: real(off, {})))
    return [ratio("throughput with keys, limits and accounting / without", 0.95, ours, bare,
                  {"mezzo with tenancy, calls/s": ours, "mezzo without, calls/s": bare},
                  note="MLP, binary HTTP, 64 connections: a call costs some ten microseconds, so this is the worst case."),
            ratio("throughput of Magika with keys, limits and accounting / without", 0.95, ours_real, bare_real,
                  {"mezzo with tenancy, calls/s": ours_real, "mezzo without, calls/s": bare_real},
                  note="A real small model: Magika over HTTP, 16 callers.")]


def noisy(count):
    """A tenant at twenty times its limit beside one that keeps to its own."""
    env = {"VICTIM": "victim", "NOISY": "noisy"}
    limits = [{"name": "noisy", "tenant": "noisy", "kind": "requests", "rate": 200, "burst": 20},
              {"name": "victim", "tenant": "victim", "kind": "requests", "rate": 400, "burst": 100}]
    victim = {**MLP_FLOW, "name": "victim", "tenant": "victim", "key_env": "VICTIM", "rate": 300}
    other = {**MLP_FLOW, "name": "noisy", "tenant": "noisy", "key_env": "NOISY", "rate": 20 * 200}
    config = {"tenants": [tenant("victim"), tenant("noisy")], "limits": limits}
    within = {**other, "rate": 190}
    with Repository(MLP) as models, Mezzo([models], config=config) as mezzo:
        quiet, loud = rounds(
            count,
            labelled("both within their limits", lambda: load([victim, within], 10, url=mezzo.url, env=env)),
            labelled("one at 20 times its own", lambda: load([victim, other], 10, url=mezzo.url, env=env)))
    before = [each["victim"]["latency_s"]["p99"] * 1000 for each in quiet]
    beside = [each["victim"]["latency_s"]["p99"] * 1000 for each in loud]
    passed = [each["noisy"]["throughput_per_s"] for each in loud]
    refused = [each["noisy"].get("refusal_latency_s", {}).get("p99", float("nan")) * 1000 for each in loud]
    measures = [ratio("noisy neighbour at 20 × its limit: victim's p99 / both within their limits", 1.1, beside, before,
                      {"mezzo victim p99 beside, ms": beside, "mezzo victim p99 before, ms": before,
                       "mezzo noisy tenant's calls/s that passed (limit 200)": passed}, sense="<=",
                      note="Victim 300 calls/s of 400 allowed; noisy 4,000 of 200. Refusals cost the server work too, and "
                           "generator and server share the cores.")]
    if refused and refused[0] == refused[0]:
        measures.append(Measure("noisy neighbour: p99 of a refusal", refused, 1, "<=", " ms"))
    return measures


def fairness(count):
    """1,000 tenants of three weights on a saturated device, unequal costs, in virtual time; a seed a round."""
    results = [program(FAIRNESS, "--seed", seed + 1) for seed in range(count)]
    return [Measure("1,000 tenants, saturated: largest error of a share", [100 * each["worst_share_error"] for each in results],
                    5, "<=", " %", "Weights 1, 2, 4; runs of 0.25, 1 and 5 ms a row; the scheduler that serves, in virtual time."),
            Measure("1,000 tenants, saturated: Jain's index of shares over weights", [each["jain"] for each in results], 0.99),
            Measure("1,000 tenants, saturated: difference of service / VTC's bound",
                    [each["vtc_worst"] / each["vtc_bound"] for each in results], 1, "<=",
                    series={"mezzo: largest difference, ms": [each["vtc_worst"] for each in results],
                            "bound, ms": [each["vtc_bound"] for each in results]})]


def usage(count):
    """What tenants are charged beside what the device was busy, under load of two tenants."""
    env = {"A": "a", "B": "b"}
    config = {"tenants": [tenant("a"), tenant("b", scopes=["admin"])]}
    flows = [{**MLP_FLOW, "name": name, "tenant": name, "key_env": name.upper(), "concurrency": 8} for name in "ab"]
    shares, rows = [], {"mezzo charged, s": [], "device busy, s": []}
    key = {"Authorization": "Bearer b"}
    with Repository(MLP) as models, Mezzo([models], config=config) as mezzo:
        def busy():
            return mezzo.metrics(key)['mezzo_inference_device_seconds_total{model="mlp",version="1"}']

        def charged():
            answer = json.loads(ask(mezzo, "/v1/usage?group=tenant", key))
            return answer["total"]["device_ms"] / 1000

        for index in range(count):
            print(f"  round {index + 1}/{count}", flush=True)
            before = (charged(), busy())
            load(flows, 6, url=mezzo.url, env=env)
            after = (charged(), busy())
            rows["mezzo charged, s"].append(after[0] - before[0])
            rows["device busy, s"].append(after[1] - before[1])
            shares.append(100 * abs((after[0] - before[0]) / (after[1] - before[1]) - 1))
    return [Measure("usage charged beside device busy time: difference", shares, 1, "<=", " %", series=rows)]


def ask(mezzo, path, headers):
    import urllib.request

    with urllib.request.urlopen(urllib.request.Request(mezzo.url + path, headers=headers), timeout=60) as answer:
        return answer.read()


def kills(count):
    """100 times `kill -9` under load (KILLS: another number): what was charged beside what was answered."""
    per_round = max(1, int(os.environ.get("KILLS", "100")) // count)
    twice, missing = [], []
    with Repository(MLP) as models:
        for index in range(count):
            print(f"  round {index + 1}/{count}", flush=True)
            folder = pathlib.Path(tempfile.mkdtemp())
            worst, extra = 0.0, 0
            try:
                for _ in range(per_round):
                    uncharged, rate, over = one_kill(models, folder)
                    worst, extra = max(worst, uncharged / rate), max(extra, over)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
            missing.append(worst)
            twice.append(extra)
    return [Measure("kill -9 under load: calls charged that were not made", twice, 0, "<=",
                    note=f"{per_round} kills a round on one data folder; a call that was under way when the server died may or "
                         "may not be charged."),
            Measure("kill -9 under load: work that is not charged", missing, 1, "<=", " s",
                    note="Answered calls that are missing, over the rate of calls.")]


def one_kill(models, folder):
    """(answered and not charged, calls a second, charged and not made) of one server's life."""
    import http.client

    body, headers = mlp_body_binary()
    with Mezzo([models], sets=[f"data_dir={folder}/data"]) as mezzo:
        before = charged_requests(mezzo)
        done, sent, answered = threading.Event(), [0], [0]

        def calls():
            connection = http.client.HTTPConnection("127.0.0.1", mezzo.http_port, timeout=10)
            while not done.is_set():
                sent[0] += 1
                try:
                    connection.request("POST", "/v2/models/mlp/infer", body,
                                       {"Content-Type": "application/octet-stream", **headers})
                    connection.getresponse().read()
                except (OSError, http.client.HTTPException):
                    return
                answered[0] += 1

        thread = threading.Thread(target=calls)
        started = time.monotonic()
        thread.start()
        time.sleep(0.7)
        mezzo.child.kill()
        took = time.monotonic() - started
        done.set()
        thread.join()
        mezzo.child.wait()
    with Mezzo([models], sets=[f"data_dir={folder}/data"]) as mezzo:
        after = charged_requests(mezzo) - before
    return max(0, answered[0] - after), answered[0] / took, max(0, after - sent[0])


def charged_requests(mezzo):
    return json.loads(ask(mezzo, "/v1/usage?group=tenant", {}))["total"]["requests"]


HOSTS_LIMIT = 1000
HOSTS_OFFERED = 1600
HOSTS_SHARES = [(0.80, 0.15, 0.05), (0.05, 0.80, 0.15), (0.15, 0.05, 0.80), (0.34, 0.33, 0.33)]
HOSTS_PASSED = 'mezzo_inference_requests_total{model="mlp",version="1",tenant="anonymous",outcome="success"}'


def hosts_trace(path, host, seconds, seed):
    """Poisson arrivals at one host; what part of all traffic it gets changes every four seconds."""
    draw, now, times = random.Random(seed * 10 + host), 0.0, []
    while now < seconds:
        rate = HOSTS_OFFERED * HOSTS_SHARES[int(now / 4) % len(HOSTS_SHARES)][host]
        now += draw.expovariate(rate)
        times.append(now)
    path.write_text("".join(f"{at:.6f}\n" for at in times))


def window(samples, length, sense):
    """The most (or fewest) a second in any span of so many seconds, of (time, total) samples."""
    found, begin = [], 0
    for at, total in samples:
        while samples[begin + 1][0] <= at - length:
            begin += 1
        if samples[begin][0] <= at - length:
            found.append((total - samples[begin][1]) / (at - samples[begin][0]))
    return sense(found)


def hosts(count):
    """One limit over three hosts and a real Redis, with traffic that moves between them; then Redis is killed."""
    settled, shared, alone = 3, 24, 16  # Seconds: of leases to begin with; of each part.
    rows = {name: [] for name in ("least in 10 s, calls/s", "most in 10 s, calls/s", "without Redis: most in 10 s, calls/s",
                                  "without Redis: most in 1 s, calls/s", "without Redis: fewest in 1 s, calls/s",
                                  "offered, calls/s")}
    config = {"redis": {"url": "env:BENCH_REDIS"}, "jobs": {"enabled": False},
              "limits": [{"name": "all", "kind": "requests", "rate": HOSTS_LIMIT, "burst": 0.4 * HOSTS_LIMIT}]}
    for index in range(count):
        print(f"  round {index + 1}/{count}", flush=True)
        with Repository(MLP) as models, RedisServer() as redis, contextlib.ExitStack() as stack, \
                tempfile.TemporaryDirectory() as folder:
            env = {"BENCH_REDIS": redis.url}
            three = [stack.enter_context(Mezzo([models], config=config, env=env)) for _ in range(3)]
            harness.wait_for(lambda three=three: all(one.metrics()["mezzo_tenancy_limit_hosts"] == 3 for one in three),
                             "three hosts that see each other")
            seconds = settled + shared + alone + 2
            flows = []
            for host, one in enumerate(three):
                trace = pathlib.Path(folder, f"{host}.csv")
                hosts_trace(trace, host, seconds, index + 1)
                flows.append({**MLP_FLOW, "name": f"h{host}", "url": one.url, "trace": str(trace), "connections": 16})
            running = harness.Background(lambda flows=flows, seconds=seconds: load(flows, seconds, warmup=0.0))

            def sample(until, three=three):
                samples = []
                while time.monotonic() < until:
                    # A sample's time is the middle of its reading: 0.1 s at a 1,000 a second would be 1 % of ten seconds.
                    begun = time.monotonic()
                    total = sum(one.metrics().get(HOSTS_PASSED, 0) for one in three)
                    samples.append(((begun + time.monotonic()) / 2, total))
                    time.sleep(max(0, begun + 0.2 - time.monotonic()))
                return samples

            harness.wait_for(lambda three=three: all(one.metrics().get(HOSTS_PASSED, 0) > 0 for one in three), "the load")
            start = time.monotonic() + settled
            time.sleep(settled)
            together = sample(start + shared)
            redis.kill()
            apart = sample(time.monotonic() + alone)
            report = running.join()
        rows["least in 10 s, calls/s"].append(window(together, 10, min))
        rows["most in 10 s, calls/s"].append(window(together, 10, max))
        rows["without Redis: most in 10 s, calls/s"].append(window(apart, 10, max))
        rows["without Redis: most in 1 s, calls/s"].append(window(apart, 1, max))
        rows["without Redis: fewest in 1 s, calls/s"].append(window(apart, 1, min))
        rows["offered, calls/s"].append(sum(flow["intended"] for flow in report.values()) / seconds)
    errors = [100 * max(1 - least / HOSTS_LIMIT, most / HOSTS_LIMIT - 1)
              for least, most in zip(rows["least in 10 s, calls/s"], rows["most in 10 s, calls/s"], strict=True)]
    return [Measure("3 hosts, one limit of 1,000/s: largest error over any 10 s", errors, 5, "<=", " %", series=rows,
                    note="1,600 calls/s, of which a host gets 5 to 80 %, changing every 4 s; the servers, Redis and the generator "
                         "share the cores."),
            Measure("3 hosts, Redis killed: most over any 10 s / the limit",
                    [most / HOSTS_LIMIT for most in rows["without Redis: most in 10 s, calls/s"]], 1.3, "<="),
            Measure("3 hosts, Redis killed: fewest calls in any second", rows["without Redis: fewest in 1 s, calls/s"], 1)]


BENCHMARKS = {"admission": admission, "throughput": throughput, "noisy": noisy, "fairness": fairness, "usage": usage,
              "kills": kills, "hosts": hosts}
