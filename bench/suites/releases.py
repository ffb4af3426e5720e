"""Releases: how often a good version is rolled back, and how soon a bad one (in virtual time, by the analysis that serves); and what
callers of real hosts see meanwhile (tests/releases/fleet.py). What a call pays for its route; the registry's lists and searches."""

import json
import os
import subprocess
import sys

import harness
from harness import Measure

sys.path.insert(0, str(harness.ROOT / "tests"))

from postgres_server import PostgresServer  # noqa: E402

RELEASE = harness.BUILD / "bench" / "mezzo_bench_release"
BOUND_NOTE = "At best log(1/0.01) / KL = 11.2 s, were both rates known."


def simulate(scenario, releases, seed, **options):
    command = [RELEASE, "--scenario", scenario, "--releases", releases, "--seed", seed, "--threads", os.cpu_count() or 1]
    for name, value in options.items():
        command += [f"--{name.replace('_', '-')}", value]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True, timeout=3600)
    return json.loads(done.stdout)


def many(name, whole):
    """How many releases of a scenario; RELEASES makes all smaller, to try the suite."""
    return min(whole, int(os.environ.get("RELEASES", whole)))


def equal(count):
    """10,000 releases of an equal version, a look per second through all steps; by other seeds each round."""
    measures = []
    for scenario, text in (("aa", "A/A"), ("drift", "A/A, load, latency and errors swing by day and night")):
        whole = many(scenario, 10_000 if scenario == "aa" else 2000)
        results = [simulate(scenario, max(1, whole // count), 1 + index * whole, seconds=600) for index in range(count)]
        shares = [each["rolled_back"] / each["releases"] for each in results]
        done = [100 * each["promoted"] / each["releases"] for each in results]
        measures.append(Measure(f"{text}, {whole:,} releases, a look per second: false rollbacks", [100 * share for share in shares],
                                5, "<=", " %", "200 calls/s; 5 → 25 → 50 → 100 %, a minute a step at least.",
                                {"rolled back, %": [100 * share for share in shares], "promoted within 600 s, %": done}))
    return measures


def errors(count):
    """Errors 0.1 % → 2 % at 5 % of 200 calls/s: seconds from the canary's first call to the decision."""
    results = [simulate("errors", many("errors", 1000), 1 + index * 1000) for index in range(count)]
    return [Measure("errors 0.1 % → 2 % at 5 % of 200 calls/s: median delay", [each["delay_p50_s"] for each in results], 15, "<=", " s",
                    BOUND_NOTE, {"median, s": [each["delay_p50_s"] for each in results],
                                 "p90, s": [each["delay_p90_s"] for each in results],
                                 "bound of theory, s": [each["bound_s"] for each in results]})]


def latency(count):
    """p99 doubled: with all of the distribution, and by a longer tail alone."""
    measures = []
    for scenario, text in (("slow", "all calls take twice as long"), ("tail", "a longer tail, the median stays")):
        results = [simulate(scenario, many(scenario, 1000), 1 + index * 1000) for index in range(count)]
        measures.append(Measure(f"p99 × 2 at 5 % of 200 calls/s, {text}: median delay", [each["delay_p50_s"] for each in results], 30,
                                "<=", " s", series={"median, s": [each["delay_p50_s"] for each in results],
                                                    "p90, s": [each["delay_p90_s"] for each in results]}))
    return measures


def low(count):
    """Two calls a second: nothing may be promoted that was not seen, and nothing good be rolled back."""
    results = [simulate("aa", many("low", 500), 1 + index * 500, rate=2, seconds=3600) for index in range(count)]
    wrong = [100 * each["rolled_back"] / each["releases"] for each in results]
    return [Measure("A/A at 2 calls/s, an hour: false rollbacks", wrong, 5, "<=", " %",
                    "A step needs 100 calls of each arm: 1,000 s at 5 %.",
                    {"rolled back, %": wrong, "paused, %": [100 * each["paused"] / each["releases"] for each in results],
                     "promoted, %": [100 * each["promoted"] / each["releases"] for each in results]})]


def fleet(run, **options):
    """One run on real hosts; its counts."""
    environment = {**os.environ, "BUILD_UNDER_TEST": str(harness.BUILD)}
    chosen = [f"{name}={json.dumps(value)}" for name, value in options.items()]
    command = [sys.executable, harness.ROOT / "tests" / "releases" / "fleet.py", run, *chosen]
    done = subprocess.run([str(part) for part in command], env=environment, stdout=subprocess.PIPE, text=True, check=False, timeout=3600)
    if done.returncode != 0:
        raise RuntimeError(f"fleet.py {run} ended with {done.returncode}:\n{done.stdout[-2000:]}")
    found = json.loads(done.stdout.splitlines()[-1])
    for line in [*map(str, found.get("failures", [])), *found.get("wrong", [])]:
        print(f"  {line}", flush=True)
    return found


def seen(_count):
    """Versions that fail 2 %, 10 % and all of the calls at 5 % of 200 calls/s to a real server: what callers see; once, as long as it takes."""
    found = fleet("errors")
    text = ", ".join(f"{kind}: rolled back after {seconds:.1f} s" for kind, seconds in found["rolled_back_s"].items())
    return [Measure("versions that fail 2 %, 10 %, 100 % of the calls, on a real server: failed calls seen by callers", [found["failed"]], 0, "<=",
                    note=f"{found['calls']:,} calls; {text}.")]


def rollback(count):
    """A version rolled back by hand on three hosts that share results, under load; ROLLBACKS of them a round."""
    results = [fleet("rollback", rounds=int(os.environ.get("ROLLBACKS", 5))) for _ in range(count)]
    note = (f"Three processes on one machine, a shared PostgreSQL and Redis, {sum(each['calls'] for each in results):,} calls, "
            f"{sum(each['hits'] for each in results):,} of them hits. The worst of {results[0]['rounds']} rollbacks a round: from the command to the "
            "begin of the last call of any host that the version answered.")
    worst = [max(each["everywhere_s"]) for each in results]
    series = {"everywhere, s": worst, "the command answered, s": [max(each["answered_s"]) for each in results]}
    return [Measure("rollback by hand, 3 hosts, under load: in force everywhere after", worst, 1, "<=", " s", note, series),
            Measure("rollback by hand, 3 hosts, under load: failed calls", [each["failed"] for each in results], 0, "<="),
            Measure("rollback by hand, 3 hosts, under load: stale cached answers", [each["stale"] for each in results], 0, "<=")]


def storm(_count):
    """500 releases at once on three hosts, of which one after the other is killed; once (RELEASES=… for fewer)."""
    whole = int(os.environ.get("RELEASES", 500))
    found = fleet("storm", releases=whole, kills=max(2, min(8, whole // 40)), seconds=int(os.environ.get("STORM_SECONDS", 600)))
    kinds = ", ".join(f"{count} {kind}" for kind, count in found["kinds"].items())
    if found["releases"] != whole or found["kills"] < 2 or found["calls"] < 10 * whole:
        raise RuntimeError(f"the run has not shown what it is about: {found}")
    note = (f"{found['releases']} models × 2 versions ({kinds}); {found['kills']} hosts killed; all had ended after {found['seconds']:.0f} s: "
            f"{found['states']}; {found['calls']:,} calls answered, {found['cut']} connections cut by a kill and asked of another host, as a "
            "balancer does.")
    name = f"{found['releases']} releases at once on 3 hosts, kill -9 of random hosts"
    return [Measure(f"{name}: failed calls", [found["failed"]], 0, "<=", note=note),
            Measure(f"{name}: what is wrong with states, routes and histories", [found["inconsistent"]], 0, "<=")]


def full_load(count):
    """p99 of calls to three hosts that are as busy as they can be, before and during a release."""
    found = fleet("full_load", rounds=count, seconds=float(os.environ.get("LOAD_SECONDS", 20)))
    series = {"before and behind, ms": found["p99_before_ms"], "during, ms": found["p99_during_ms"], "calls/s": found["rate"]}
    note = "16 connections without a pause to three hosts on one machine; 5 → 25 → 50 → 100 %, both versions the same."
    return [Measure("release under full load: p99 during / before", found["ratio"], 1.2, "<=", "×", note, series),
            Measure("release under full load: failed calls", [found["failed"]], 0, "<=")]


def routing(count):
    """What a call pays to find its route and its arm: the slowest of the routes that are measured, by rules and arms."""
    program = harness.BUILD / "src" / "mezzo" / "releases" / "mezzo_releases_route_bench"
    routes = {}
    for _ in range(count):
        done = subprocess.run([program, "--benchmark_format=json"], capture_output=True, text=True, check=True, timeout=600)
        for row in json.loads(done.stdout)["benchmarks"]:
            routes.setdefault(row["name"], []).append(row["real_time"])
    worst = [max(times[index] for times in routes.values()) for index in range(count)]
    return [Measure("routing of a call, the slowest route", worst, 1000, "<=", " ns", series=routes)]


def registry(count):
    """Lists and searches among 1,000 models of 5 versions each: the slowest kind of call, in a new database each round."""
    program = harness.BUILD / "bench" / "mezzo_bench_registry"

    def calls(*database):
        done = subprocess.run([program, "--models", "1000", "--versions", "5", "--calls", "300", *database], capture_output=True, text=True,
                              check=True, timeout=600)
        return {facts["call"]: facts for facts in map(json.loads, done.stdout.splitlines())}

    found = {"PostgreSQL": [], "SQLite": []}
    for _ in range(count):
        with PostgresServer() as database:
            found["PostgreSQL"].append(calls("--database", database.url))
        found["SQLite"].append(calls())
    measures = []
    for name, results in found.items():
        slowest = [max(facts["p99_ms"] for facts in result.values()) for result in results]
        series = {f"{call}, p99, ms": [result[call]["p99_ms"] for result in results] for call in results[0]}
        measures.append(Measure(f"registry of 1,000 models × 5 versions on {name}, slowest list or search, p99", slowest, 20, "<=", " ms",
                                series=series))
    return measures


BENCHMARKS = {"equal": equal, "errors": errors, "latency": latency, "low": low, "seen": seen, "rollback": rollback, "storm": storm,
              "full_load": full_load, "routing": routing, "registry": registry}
